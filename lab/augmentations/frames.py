"""Where the frame lies over a sample: mirror images, crops."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lab.augmentations.chain import augmentations
from lab.augmentations.changes import Warp
from lab.augmentations.draws import Outside, Probability, matrices, uniform
from lab.catalogue import Knob

Padding = Annotated[int, Field(ge=0, le=256, description="pixels added on every side"), Knob(0, 16)]
Side = Annotated[float, Field(gt=0, le=1, description="share of each side that is kept"), Knob(0.5, 1)]
SmallestArea = Annotated[float, Field(gt=0, le=1, description="smallest area of the cut, as a share"), Knob(0.05, 0.5)]
LargestArea = Annotated[float, Field(gt=0, le=1, description="largest area of the cut, as a share"), Knob(0.5, 1)]
Ratio = Annotated[
    float, Field(ge=1, le=10, description="up to how many times as wide as high, or as high as wide"), Knob(1, 2)
]
TRIES = 10  # as torchvision's


@augmentations.add
def flip(shape: torch.Size, generator: torch.Generator, *, p: Probability = 0.5) -> Warp:
    """Mirror a sample left to right with probability p.

    x[i, j] <- x[i, w - 1 - j]

    Source: Krizhevsky et al., NeurIPS 2012, section 4.1.
    """
    (coin,) = uniform(shape, generator, 1)
    return Warp(matrices(a=torch.where(coin < p, -1.0, 1.0)), None, "whole")


@augmentations.add
def vertical_flip(shape: torch.Size, generator: torch.Generator, *, p: Probability = 0.5) -> Warp:
    """Turn a sample upside down with probability p.

    x[i, j] <- x[h - 1 - i, j]

    Source: torchvision.transforms.v2.RandomVerticalFlip; Cohen & Welling 2016, arXiv 1602.07576 (where it helps).
    """
    (coin,) = uniform(shape, generator, 1)
    return Warp(matrices(e=torch.where(coin < p, -1.0, 1.0)), None, "whole")


@augmentations.add
def crop(shape: torch.Size, generator: torch.Generator, *, padding: Padding = 4, fill: Outside = "zero") -> Warp:
    """Shift a sample by up to `padding` pixels each way; black or its own pixels come in at the edge.

    `padding` pixels on every side, then a window of the old size at a random place.

    Source: He et al. 2016, arXiv 1512.03385, section 4.2.
    """
    down, right = (uniform(shape, generator, 2) * (2 * padding + 1)).floor().clamp(max=2 * padding) - padding
    return Warp(matrices(c=right, f=down), fill, "whole")


@augmentations.add
def centre_crop(shape: torch.Size, generator: torch.Generator, *, side: Side = 0.875, p: Probability = 1.0) -> Warp:
    """The middle of a sample, scaled back to its size.

    (x, y) <- side (x, y), from the centre; 0.875 is 224 pixels of 256

    Source: Krizhevsky et al., NeurIPS 2012, section 4.1.
    """
    (coin,) = uniform(shape, generator, 1)
    kept = torch.where(coin < p, side, 1.0)
    return Warp(matrices(a=kept, e=kept), None)


@augmentations.add(rules={"smallest must not be above largest.": lambda given: given.smallest <= given.largest})
def random_resized_crop(
    shape: torch.Size,
    generator: torch.Generator,
    *,
    smallest: SmallestArea = 0.25,
    largest: LargestArea = 1.0,
    ratio: Ratio = 4 / 3,
    p: Probability = 1.0,
) -> Warp:
    """A random part of a sample, scaled back to its size.

    area = U(smallest, largest) h w;  log(width / height) = U(-log ratio, log ratio), both in whole pixels; at a random
    place. Ten tries, the first that fits is taken; where none fits the last is cut to the frame. Differs from
    torchvision in the smallest area (0.08 there, for large pictures), in that last resort, and in that samples between
    pixels at the rim of the cut see those just beyond it.

    Source: Szegedy et al. 2015, arXiv 1409.4842, section 6.
    """
    height, width = shape[-2:]
    draws = uniform(shape, generator, 2 * TRIES + 3)
    across, down = fitting_sides(draws[: 2 * TRIES].view(TRIES, 2, -1), (height, width), (smallest, largest), ratio)
    left, top = ((draws[-3] * (width - across + 1)).floor(), (draws[-2] * (height - down + 1)).floor())
    changed = draws[-1] < p
    box = (across / width, left + (across - width) / 2, down / height, top + (down - height) / 2)
    a, c, e, f = (torch.where(changed, part, same) for part, same in zip(box, (1.0, 0.0, 1.0, 0.0), strict=True))
    return Warp(matrices(a=a, c=c, e=e, f=f), None)


def fitting_sides(
    draws: Tensor, frame: tuple[int, int], areas: tuple[float, float], ratio: float
) -> tuple[Tensor, Tensor]:
    """(n,) width and (n,) height of the first try that fits in the frame.

    Args:
        draws: (tries, 2, n) from 0 to 1.
        frame: height, width.
    """
    height, width = frame
    area = (areas[0] + (areas[1] - areas[0]) * draws[:, 0]) * (height * width)
    shape = torch.exp((2 * draws[:, 1] - 1) * math.log(ratio))
    across, down = (area * shape).sqrt().round().clamp(min=1), (area / shape).sqrt().round().clamp(min=1)
    fits = (across <= width) & (down <= height)
    fits[-1] = True
    first = fits.int().argmax(0, keepdim=True)  # argmax names the first of equals
    return across.gather(0, first)[0].clamp(max=width), down.gather(0, first)[0].clamp(max=height)
