"""The weights of a block of points, made in one sum each, and lent to the network point by point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lab.landscape.weights import Weights


class Block:
    """Weights of up to `points` places of a plane, one row each, in the layout that the network reads fastest.

    Args:
        model: the network whose parameters become views of a row.
        sets: centre and directions, by name, in the network's type.
        idle: names that the network does not read.
    """

    def __init__(self, model: nn.Module, sets: Sequence[Weights], idle: set[str], points: int) -> None:
        parameters = dict(model.named_parameters())
        self.names = [name for name in sets[0] if name not in idle]
        self.parameters = [parameters[name] for name in self.names]
        self.sums = [in_a_row([weights[name] for name in self.names], sets[0]) for weights in sets]
        self.rows = torch.empty(points, len(self.sums[0]), dtype=self.sums[0].dtype, device=self.sums[0].device)
        shapes = [parameter.shape for parameter in self.parameters]
        self.views = [cut(row, shapes) for row in self.rows]

    @property
    def bytes(self) -> int:
        return (len(self.sums) + len(self.rows)) * self.rows.size(1) * self.rows.element_size()

    @torch.no_grad()
    def fill(self, places: np.ndarray) -> None:
        """Make the weights of these points, (n, 2)."""
        centre, *directions = self.sums
        for row, place in zip(self.rows, places, strict=False):
            row.copy_(centre)
            for length, direction in zip(
                place[::-1] if len(directions) == 2 else place, reversed(directions), strict=False
            ):
                row.add_(direction, alpha=float(length))

    def lend(self, index: int) -> None:
        """The network has the weights of this point of the block."""
        for parameter, view in zip(self.parameters, self.views[index], strict=True):
            parameter.data = view


def in_a_row(tensors: Sequence[Tensor], like: Weights) -> Tensor:
    """(p,) images' kernels with their channels last, everything else as it lies."""
    if not tensors:
        return next(iter(like.values())).new_empty(0)
    return torch.cat([(t.permute(0, 2, 3, 1) if t.dim() == 4 else t).reshape(-1) for t in tensors])


def cut(row: Tensor, shapes: Sequence[torch.Size]) -> list[Tensor]:
    """Views of a row with these shapes."""
    parts = row.split([shape.numel() for shape in shapes])
    return [seen(part, shape) for part, shape in zip(parts, shapes, strict=True)]


def seen(part: Tensor, shape: torch.Size) -> Tensor:
    if len(shape) != 4:
        return part.view(shape)
    outputs, inputs, height, width = shape
    return part.view(outputs, height, width, inputs).permute(0, 3, 1, 2)
