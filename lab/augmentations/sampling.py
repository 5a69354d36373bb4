"""Bilinear samples from between the pixels of a batch, each sample's from places of its own."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Fill = Literal["zero", "edge", "reflect"]
PADDING = {"zero": "zeros", "edge": "border", "reflect": "reflection"}  # as torch's grid_sample calls them
HORIZON = 1e-6  # what perspective puts behind it lies far outside of every image


def at_hand(images: Tensor) -> bool:
    """Whether Python may look at values: those of another device would have to be waited for."""
    return images.device.type == "cpu"


def resampled(images: Tensor, matrix: Tensor, bend: Tensor | None, fill: Fill, *, straight: bool) -> Tensor:
    """Bilinear samples.

    Args:
        images: (n, c, h, w) float.
        matrix, bend: as a Warp's, of the images' type.
        straight: whether parallels stay parallel, so that no place need be divided.
    """
    around = fill == "reflect"  # torch mirrors in the centres of the outermost pixels only when corners are aligned
    height, width = (max(size - 1, 1) if around else size for size in images.shape[-2:])
    # grid_sample has the borders at -1 and 1.
    scaled = torch.stack([matrix[:, 0] * (2 / width), matrix[:, 1] * (2 / height), matrix[:, 2]], 1)
    grid = places(scaled, bend, *images.shape[-2:], straight=straight)
    return functional.grid_sample(images, grid, padding_mode=PADDING[fill], align_corners=around)


def places(matrix: Tensor, bend: Tensor | None, height: int, width: int, *, straight: bool) -> Tensor:
    """(n, h, w, 2) the place x, y at which each pixel of the new images looks; all x lie together, then all y."""
    x = torch.arange(width, device=matrix.device, dtype=matrix.dtype) - (width - 1) / 2
    y = torch.arange(height, device=matrix.device, dtype=matrix.dtype)[:, None] - (height - 1) / 2
    if bend is not None:
        x, y = x + bend[:, :1], y + bend[:, 1:]
    used = (matrix[:, :2] if straight else matrix)[..., None, None]
    place = used[:, :, 0] * x + (used[:, :, 1] * y + used[:, :, 2])
    place = place if straight else place[:, :2] / place[:, 2:].clamp(min=HORIZON)
    return place.permute(0, 2, 3, 1)
