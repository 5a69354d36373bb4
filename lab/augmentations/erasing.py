"""Erasing: a rectangle of a sample is lost, so that no single part of an object is enough to know it."""

from __future__ import annotations

from math import log
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from lab.augmentations.chain import augmentations
from lab.augmentations.draws import Probability
from lab.catalogue import Knob

Filling = Literal["zero", "mean", "noise"]
Filled = Annotated[Filling, Field(description="what is put there: black, the sample's mean pixel, or random pixels")]
Area = Annotated[float, Field(ge=0, le=1, description="smallest area, as a share of the image's"), Knob(0, 0.3)]
TopArea = Annotated[float, Field(ge=0, le=1, description="largest area, as a share of the image's"), Knob(0.05, 1)]
Elongation = Annotated[float, Field(ge=1, le=20, description="longer side over shorter side, at most"), Knob(1, 5)]
Side = Annotated[int, Field(ge=0, le=1024, description="side of the square, in pixels"), Knob(0, 32)]
CANDIDATES = 10  # rectangles per sample, of which the first that fits is taken; torchvision draws as many


@augmentations.add(rules={"smallest must not be above largest.": lambda given: given.smallest <= given.largest})
def random_erasing(
    images: Tensor,
    generator: torch.Generator,
    *,
    smallest: Area = 0.02,
    largest: TopArea = 0.33,
    ratio: Elongation = 3.3,
    fill: Filled = "zero",
    p: Probability = 0.5,
) -> Tensor:
    """Cover a rectangle of random size, shape and place, with probability p.

    area uniform in [smallest, largest] of the image's; log(height / width) uniform in [-log ratio, log ratio]; the
    first of ten such that is smaller than the image, both ways, at a place where it is whole

    Source: Zhong et al. 2020, arXiv 1708.04896, algorithm 1 (there the ratio itself is uniform); torchvision
    RandomErasing.
    """
    coin, down, right, *sizes = torch.rand(3 + 2 * CANDIDATES, len(images), generator=generator, device=images.device)
    area, shape = torch.stack(sizes).unflatten(0, (2, CANDIDATES))
    pixels = (smallest + (largest - smallest) * area) * images.shape[-2] * images.shape[-1]
    height, width = first_that_fits(pixels, torch.exp(log(ratio) * (2 * shape - 1)), images.shape[-2:])
    top = (down * (images.shape[-2] - height + 1)).floor()
    left = (right * (images.shape[-1] - width + 1)).floor()
    sides = torch.stack([top, height, left, width], 1)
    return erased(images, sides * (coin < p)[:, None], fill, generator)


@augmentations.add
def cutout(
    images: Tensor, generator: torch.Generator, *, side: Side = 8, fill: Filled = "zero", p: Probability = 1.0
) -> Tensor:
    """Cover a square whose middle lies anywhere in a sample: at the edge only part of it is seen.

    x[i, j] <- 0 where |i - row| and |j - column| are within side / 2,  row and column uniform over the image

    Source: DeVries & Taylor 2017, arXiv 1708.04552, section 3.2.
    """
    coin, down, right = torch.rand(3, len(images), generator=generator, device=images.device)
    top = (down * images.shape[-2]).floor() - side // 2
    left = (right * images.shape[-1]).floor() - side // 2
    length = torch.full_like(top, side)
    sides = torch.stack([top, length, left, length], 1)
    return erased(images, sides * (coin < p)[:, None], fill, generator)


def first_that_fits(area: Tensor, ratio: Tensor, frame: torch.Size) -> tuple[Tensor, Tensor]:
    """Height and width (n,) in whole pixels of the first rectangle that is smaller than the frame; else 0 and 0.

    Args:
        area, ratio: (candidates, n) in pixels, and height over width.
    """
    height, width = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = ((height < frame[0]) & (width < frame[1])).to(area.dtype)
    first = fits * (fits.cumsum(0) == 1)  # at most one of a sample's candidates
    return (height * first).sum(0), (width * first).sum(0)


def erased(images: Tensor, sides: Tensor, fill: Filling, generator: torch.Generator) -> Tensor:
    """The images with a rectangle of each covered.

    Args:
        sides: (n, 4) its first row, how many rows, its first column, how many columns; it may reach out of the image.
    """
    if fill == "noise":
        cover = torch.rand(images.shape, generator=generator, device=images.device).to(images)
    else:
        cover = images.mean((2, 3), keepdim=True) if fill == "mean" else images.new_zeros(1, 1, 1, 1)
    cover = cover.expand_as(images)
    return covered_slices(images, sides, cover) if images.device.type == "cpu" else covered(images, sides, cover)


def covered_slices(images: Tensor, sides: Tensor, cover: Tensor) -> Tensor:
    """On the CPU: what lies within a rectangle is copied from the cover, and nothing else is touched."""
    out = images.clone()
    new, shown = out.numpy(), cover.numpy()  # a slice costs a tenth of what it does as a tensor
    for sample, (top, height, left, width) in enumerate(sides.int().tolist()):
        if height and width:
            rows = slice(max(0, top), max(0, top + height))
            columns = slice(max(0, left), max(0, left + width))
            new[sample, :, rows, columns] = shown[sample, :, rows, columns]
    return out


def covered(images: Tensor, sides: Tensor, cover: Tensor) -> Tensor:
    """Anywhere: all pixels at once, without asking the device where the rectangles are."""
    rows, columns = (
        between(first, length, size, images.dtype)
        for first, length, size in zip(sides.T[::2], sides.T[1::2], images.shape[-2:], strict=True)
    )
    return torch.lerp(images, cover, (rows[:, :, None] * columns[:, None])[:, None])


def between(first: Tensor, length: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """(n, size) 1 where a sample's stretch (n,) of a row or column lies, else 0."""
    place = torch.arange(size, device=first.device) - first[:, None]
    return ((place >= 0) & (place < length[:, None])).to(dtype)
