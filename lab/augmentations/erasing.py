"""Erasing: a rectangle of a sample is lost, so that no single part of an object is enough to know it."""

from __future__ import annotations

from math import log
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lab.augmentations.chain import augmentations
from lab.augmentations.covers import Cover, Filling
from lab.augmentations.draws import Probability, by_chance, spread_over, uniform
from lab.catalogue import Knob

Filled = Annotated[Filling, Field(description="what is put there: black, the sample's mean pixel, or random pixels")]
Area = Annotated[float, Field(ge=0, le=1, description="smallest area, as a share of the image's"), Knob(0, 0.3)]
TopArea = Annotated[float, Field(ge=0, le=1, description="largest area, as a share of the image's"), Knob(0.05, 1)]
Elongation = Annotated[float, Field(ge=1, le=20, description="longer side over shorter side, at most"), Knob(1, 5)]
Side = Annotated[int, Field(ge=0, le=1024, description="side of the square, in pixels"), Knob(0, 32)]
CANDIDATES = 10  # rectangles per sample, of which the first that fits is taken; torchvision draws as many


@augmentations.add(rules={"smallest must not be above largest.": lambda given: given.smallest <= given.largest})
def random_erasing(
    shape: torch.Size,
    generator: torch.Generator,
    *,
    smallest: Area = 0.02,
    largest: TopArea = 0.33,
    ratio: Elongation = 3.3,
    fill: Filled = "zero",
    p: Probability = 0.5,
) -> Cover:
    """Cover a rectangle of random size, shape and place, with probability p.

    area uniform in [smallest, largest] of the image's; log(height / width) uniform in [-log ratio, log ratio]; the
    first of ten such that is smaller than the image, both ways, at a place where it is whole

    Source: Zhong et al. 2020, arXiv 1708.04896, algorithm 1 (there the ratio itself is uniform); torchvision
    RandomErasing.
    """
    pixels = shape[-2] * shape[-1]
    coin, place, area, way = uniform(shape, generator, 3 + 2 * CANDIDATES).split([1, 2, CANDIDATES, CANDIDATES])
    ratios = spread_over(way, -log(ratio), log(ratio)).exp_()
    lengths = first_that_fits(spread_over(area, smallest * pixels, largest * pixels), ratios, shape[-2:])
    sides = torch.stack([corners(place, lengths, shape[-2:]), lengths], 1).flatten(0, 1)
    return Cover(by_chance(sides, coin, p).T, fill, grains(fill, shape, generator))


@augmentations.add
def cutout(
    shape: torch.Size, generator: torch.Generator, *, side: Side = 8, fill: Filled = "zero", p: Probability = 1.0
) -> Cover:
    """Cover a square whose middle lies anywhere in a sample: at the edge only part of it is seen.

    x[i, j] <- 0 where |i - row| and |j - column| are within side / 2,  row and column uniform over the image

    Source: DeVries & Taylor 2017, arXiv 1708.04552, section 3.2.
    """
    coin, down, right = uniform(shape, generator, 3)
    top = (down * shape[-2]).floor() - side // 2
    left = (right * shape[-1]).floor() - side // 2
    length = torch.full_like(top, side)
    sides = by_chance(torch.stack([top, length, left, length]), coin, p)
    return Cover(sides.T, fill, grains(fill, shape, generator))


def first_that_fits(area: Tensor, ratio: Tensor, frame: torch.Size) -> Tensor:
    """(2, n) height and width in whole pixels of the first rectangle that is smaller than the frame; else 0 and 0.

    Args:
        area, ratio: (candidates, n) in pixels, and height over width.
    """
    # One side after the other: torch shares 2,048 roots among threads, and waking them takes longer than the roots.
    height, width = (area * ratio).sqrt_().round_(), (area / ratio).sqrt_().round_()
    fits = (height < frame[0]) & (width < frame[1])
    first = fits & (fits.cumsum(0) == 1)  # at most one of a sample's candidates
    return torch.stack([(height * first).sum(0), (width * first).sum(0)])


def corners(draws: Tensor, lengths: Tensor, frame: torch.Size) -> Tensor:
    """(2, n) first row and column of rectangles with sides (2, n), drawn (2, n) from 0 to 1 so that all is seen."""
    rooms = (size + 1 - length for size, length in zip(frame, lengths, strict=True))
    return torch.stack([(draw * room).floor_() for draw, room in zip(draws, rooms, strict=True)])


def grains(fill: Filling, shape: torch.Size, generator: torch.Generator) -> Tensor | None:
    """Random pixels, where they are what is put over a sample."""
    return torch.rand(shape, generator=generator, device=generator.device) if fill == "noise" else None
