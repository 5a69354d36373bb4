"""How the weights of a network start: the recipe's initialiser, and what some layers ask for themselves."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


@torch.no_grad()
def initialise(model: nn.Module, fill: Callable[[torch.Tensor], None]) -> None:
    """Fill every weight of a linear or convolutional layer with `fill`, every bias of one with 0.

    A layer with `fill_weights` of its own does that itself. Then come the marks: `bias_starts_at` is another start of
    the bias, and a layer that `starts_at_zero` is 0 as a whole.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            fill(layer.weight)
            if layer.bias is not None:
                layer.bias.fill_(getattr(layer, "bias_starts_at", 0.0))
        elif hasattr(layer, "fill_weights"):
            layer.fill_weights(fill)  # pyright: ignore[reportCallIssue]  # torch types attributes as tensors or modules
        if getattr(layer, "starts_at_zero", False):
            for parameter in layer.parameters(recurse=False):
                parameter.zero_()


def start_at_zero(layer: nn.Module) -> nn.Module:
    """Mark a layer: whatever the initialiser, its weights and biases are 0 at the start."""
    layer.starts_at_zero = True  # pyright: ignore[reportArgumentType]
    return layer
