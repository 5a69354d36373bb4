"""Loss landscapes: planes through the weights, and surfaces over them."""
