"""Matrices of warps (n, 3, 3): a place in the new image -> the place in the old one that it shows.

Pixels from the centre, x to the right, y down. A product `first @ later` does the first, then the later.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rotated(angle: Tensor) -> Tensor:
    """The image turned about its centre, counter-clockwise; angle (n,) in radians."""
    cosine, sine, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return with_rows((cosine, -sine, none), (sine, cosine, none))


def sheared(x: Tensor, y: Tensor) -> Tensor:
    """Each row looks x pixels further right than the one above it, each column y pixels further down; x, y (n,)."""
    one, none = torch.ones_like(x), torch.zeros_like(x)
    return with_rows((1 + x * y, x, none), (y, one, none))


def translated(x: Tensor, y: Tensor) -> Tensor:
    """The image moved right by x and down by y pixels, (n,) each."""
    one, none = torch.ones_like(x), torch.zeros_like(x)
    return with_rows((one, none, -x), (none, one, -y))


def with_rows(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """(n, 3, 3) whose last row is 0 0 1."""
    none = torch.zeros_like(rows[0][0])
    return torch.stack([torch.stack(row, -1) for row in (*rows, (none, none, none + 1))], 1)
