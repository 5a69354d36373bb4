"""What lies over a sample: a rectangle of it is not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lab.augmentations.sampling import at_hand

Filling = Literal["zero", "mean", "noise"]


@dataclass(frozen=True)
class Cover:
    """A rectangle of each sample is covered.

    Args:
        sides: (n, 4) its first row, how many rows, its first column, how many columns; it may reach out of the image.
        fill: with black, with the sample's mean pixel as it is by then, or with the grains.
        grains: (n, c, h, w) from 0 to 1, for "noise".
    """

    sides: Tensor
    fill: Filling = "zero"
    grains: Tensor | None = None

    @property
    def keeps_type(self) -> bool:
        """Whether it may be done to integers: black is black for all."""
        return self.fill == "zero"

    def part(self, samples: slice) -> Cover:
        return Cover(self.sides[samples], self.fill, None if self.grains is None else self.grains[samples])

    def of(self, images: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h, w); what is not covered keeps its bits."""
        return self.onto(images.clone())

    def onto(self, images: Tensor) -> Tensor:
        """Likewise, in the images themselves."""
        shown = self.shown(images).expand_as(images)
        return covered_slices(images, self.sides, shown) if at_hand(images) else covered(images, self.sides, shown)

    def shown(self, images: Tensor) -> Tensor:
        if self.grains is not None:
            return self.grains.to(images)
        return images.mean((2, 3), keepdim=True) if self.fill == "mean" else images.new_zeros(1, 1, 1, 1)


def covered_slices(images: Tensor, sides: Tensor, cover: Tensor) -> Tensor:
    """On the CPU, in the images themselves: what lies within a rectangle is copied from the cover, all else stays."""
    new, shown = images.numpy(), cover.numpy()  # a slice costs a tenth of what it does as a tensor
    known = sides.numpy()
    chosen = np.flatnonzero((known[:, 1] > 0) & (known[:, 3] > 0))
    for sample, (top, height, left, width) in zip(chosen.tolist(), known[chosen].astype(int).tolist(), strict=True):
        hole = (
            sample,
            slice(None),
            slice(max(0, top), max(0, top + height)),
            slice(max(0, left), max(0, left + width)),
        )
        new[hole] = shown[hole]
    return images


def covered(images: Tensor, sides: Tensor, cover: Tensor) -> Tensor:
    """Anywhere: all pixels at once, without asking the device where the rectangles are."""
    rows, columns = (
        between(first, length, size)
        for first, length, size in zip(sides.T[::2], sides.T[1::2], images.shape[-2:], strict=True)
    )
    return torch.where((rows[:, :, None] & columns[:, None])[:, None], cover, images)


def between(first: Tensor, length: Tensor, size: int) -> Tensor:
    """(n, size) whether a sample's stretch (n,) of a row or column lies there."""
    place = torch.arange(size, device=first.device) - first[:, None]
    return (place >= 0) & (place < length[:, None])
