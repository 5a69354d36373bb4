"""What a choice does to the signal before the first step and during training; rates to try; what a network gets wrong."""
