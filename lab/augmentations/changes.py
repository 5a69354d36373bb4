"""What an augmentation may ask for: a warp, a change of colour, a mixture; each sample of a batch has its own.

Two warps are one warp and two changes of colour are one, so a chain of them resamples once and multiplies once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from lab.augmentations.chosen import some_changed

Fill = Literal["zero", "edge", "reflect"]
PADDING = {"zero": "zeros", "edge": "border", "reflect": "reflection"}  # as torch's grid_sample calls them


@dataclass(frozen=True)
class Warp:
    """Every pixel is taken from another place, between four pixels by bilinear interpolation.

    Args:
        matrix: (n, 3, 3) place in the new image -> place in the old one, homogeneous; pixels from the centre,
            x to the right, y down.
        fill: what lies outside of the old image.
    """

    matrix: Tensor
    fill: Fill = "zero"

    def then(self, later: Warp) -> Warp:
        """Both as one. The later one is asked first: it says which place of the image between them to look at."""
        return Warp(self.matrix @ later.matrix, self.fill)

    def joins(self, later: object) -> bool:
        return isinstance(later, Warp) and later.fill == self.fill

    def of(self, images: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h, w); a sample that stays in its place keeps its bits."""
        matrix = self.matrix.to(images)
        grid = places(matrix, *images.shape[-2:])
        moved = functional.grid_sample(images, grid, padding_mode=PADDING[self.fill], align_corners=False)
        still = (matrix == torch.eye(3).to(matrix)).all(2).all(1)
        return torch.where(still[:, None, None, None], images, moved)


def places(matrix: Tensor, height: int, width: int) -> Tensor:
    """(n, h, w, 2) where each pixel of the new images looks, as grid_sample counts: the borders at -1 and 1."""
    x = torch.arange(width).to(matrix) - (width - 1) / 2
    y = torch.arange(height).to(matrix) - (height - 1) / 2
    rows = matrix[:, :, 0, None, None] * x + matrix[:, :, 1, None, None] * y[:, None] + matrix[:, :, 2, None, None]
    return torch.stack([rows[:, 0] / rows[:, 2] * (2 / width), rows[:, 1] / rows[:, 2] * (2 / height)], -1)


@dataclass(frozen=True)
class Recolour:
    """Every pixel's channels x become `matrix x + of_mean m + offset`, m being the image's mean pixel.

    Args:
        matrix, of_mean: (n, c, c).
        offset: (n, c), where 0 is black and 1 the brightest.
    """

    matrix: Tensor
    of_mean: Tensor
    offset: Tensor

    def then(self, later: Recolour) -> Recolour:
        """Both as one, nothing cut off at black and white in between."""
        mean = self.matrix + self.of_mean  # what becomes of the mean pixel, but for the offset
        return Recolour(
            later.matrix @ self.matrix,
            later.matrix @ self.of_mean + later.of_mean @ mean,
            ((later.matrix + later.of_mean) @ self.offset[..., None])[..., 0] + later.offset,
        )

    def joins(self, later: object) -> bool:
        return isinstance(later, Recolour)

    def of(self, images: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h, w) within 0 and 1; a sample that keeps its colours keeps its bits."""
        same = torch.eye(images.shape[1], device=self.matrix.device)
        parts = ((self.matrix - same).flatten(1), self.of_mean.flatten(1), self.offset)
        differs = torch.cat(parts, 1).any(1)
        return some_changed(images, differs, recoloured, self.matrix, self.of_mean, self.offset)


def recoloured(images: Tensor, matrix: Tensor, of_mean: Tensor, offset: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, h, w) within 0 and 1; the others as a Recolour's."""
    pixels = images.flatten(2)
    shift = of_mean.to(images) @ pixels.mean(2, keepdim=True) + offset.to(images)[..., None]
    return torch.baddbmm(shift, matrix.to(images), pixels).clamp_(0, 1).view_as(images)


@dataclass(frozen=True)
class Mix:
    """Every sample becomes part itself and part another of the batch; its label likewise.

    Args:
        partner: (n,) index of the other one.
        own: (n, 1, 1, 1) or (n, 1, h, w) share that is kept, from 0 to 1, or a mask: True keeps the pixel.
    """

    partner: Tensor
    own: Tensor

    def of(self, images: Tensor) -> Tensor:
        other = images[self.partner]
        if self.own.dtype == torch.bool:
            return torch.where(self.own, images, other)
        return torch.lerp(other, images, self.own.to(images))

    def of_labels(self, shares: Tensor) -> Tensor:
        """(n, classes) -> (n, classes) shares, by how much of the image is whose."""
        own = self.own.to(shares).mean((1, 2, 3))[:, None]
        return torch.lerp(shares[self.partner], shares, own)


Change = Warp | Recolour | Mix | Tensor
