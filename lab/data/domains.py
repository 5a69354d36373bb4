"""More of the catalogue `modifiers`: what is learned in one domain is judged in another."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from lab.catalogue import Knob
from lab.data import modifiers
from lab.data.batches import read_all
from lab.data.embedded import digits, mnist_digits
from lab.data.labels import Draw
from lab.data.splits import DataError, Dataset, Shift, Split

WAVES = (0.5, 3.0)  # fewest and most of them across an image
judges_elsewhere = {"new_domain", "backgrounds"}  # modifiers that change what accuracy is measured on

Other = Annotated[Literal["digits", "mnist_digits"], Field(description="the data set in which accuracy is judged")]
Where = Annotated[
    Literal["target", "everywhere"], Field(description="whether training images stay plain or get backgrounds as well")
]
Strength = Annotated[float, Field(ge=0, le=1, description="brightness of the backgrounds; 0 leaves black"), Knob(0, 1)]


@modifiers.add
def new_domain(dataset: Dataset, *, data: Other = "mnist_digits") -> Dataset:
    """Train on one data set, be judged on another of the same classes: its validation and its test images.

    train = this data set's ;  validation, test = the other one's, at this one's size and number of channels
    The other's training images are there to adapt to; the run tells the accuracy in both domains.

    Raises:
        DataError: the other data set has other classes, or is not installed.

    Source: Ben-David et al., Machine Learning 2010, doi 10.1007/s10994-009-5152-4; digits: Ganin et al. 2016,
    arXiv 1505.07818, section 5.2.
    """
    other = digits() if data == "digits" else mnist_digits()
    if other.classes != dataset.classes:
        raise DataError(
            f"new_domain judges on {data}, whose classes are {', '.join(other.classes)}; those of this data set are "
            f"{', '.join(dataset.classes)}. Choose digits or mnist_digits as data."
        )
    train, validation, test = (fitted(part, dataset.shape) for part in (other.train, other.validation, other.test))
    shift = Shift(dataset.validation, dataset.test, train)
    return replace(dataset, validation=validation, test=test, shift=shift)


@modifiers.add
def backgrounds(dataset: Dataset, *, where: Where = "target", strength: Strength = 1.0, draw: Draw = 0) -> Dataset:
    """Put coloured, textured backgrounds behind the images of the domain that is judged; grey ones get three channels.

    x <- |x - strength b|, b = colour (1 + sin(2 pi (u, v) . (y, x) + phase)) / 2, one colour and wave for each image
    As MNIST-M is made, with waves in place of patches of photographs. Trained on plain images, or on such as well.

    Source: Ganin et al. 2016, arXiv 1505.07818, section 5.2 (MNIST-M).
    """
    draws = torch.Generator().manual_seed(draw)
    shift = dataset.shift or Shift(dataset.validation, dataset.test, dataset.train)
    behind = (dataset.validation, dataset.test, shift.target)
    validation, test, target = (on_backgrounds(part, strength, draws) for part in behind)
    own = (dataset.train, shift.validation, shift.test)
    change = in_colour if where == "target" else partial(on_backgrounds, strength=strength, draws=draws)
    train, learned, tested = (change(part) for part in own)
    changed = replace(dataset, train=train, validation=validation, test=test)
    both = Shift(learned, tested, target) if where == "target" or dataset.shift else None
    return replace(changed, shift=both, unlabelled=dataset.unlabelled and change(dataset.unlabelled))


def fitted(split: Split, shape: tuple[int, int, int]) -> Split:
    """Its images at another size: means over areas where it shrinks, between pixels where it grows; grey in colour."""
    channels, *size = shape
    images = pixels_of(split)
    if list(images.shape[2:]) != size:
        way = "area" if size[0] < images.size(2) else "bilinear"
        images = functional.interpolate(images.double(), size, mode=way).round().clamp(0, 255).to(torch.uint8)
    return Split(images.expand(-1, channels, -1, -1).contiguous(), split.labels)


def in_colour(split: Split) -> Split:
    """Three channels, alike where the images are grey."""
    return Split(pixels_of(split).expand(-1, 3, -1, -1).contiguous(), split.labels)


def on_backgrounds(split: Split, strength: float, draws: torch.Generator) -> Split:
    images = in_colour(split).images
    assert isinstance(images, Tensor)
    behind = strength * waves(len(images), images.size(2), images.size(3), draws)
    return Split(((images.double() / 255 - behind).abs() * 255).round().to(torch.uint8), split.labels)


def waves(count: int, height: int, width: int, draws: torch.Generator) -> Tensor:
    """(count, 3, height, width) float64 in [0, 1]: each image a colour, brighter and darker along a wave."""
    colour = torch.rand(count, 3, 1, 1, generator=draws, dtype=torch.float64)
    angle, phase, rate = (torch.rand(count, 1, 1, 1, generator=draws, dtype=torch.float64) for _ in range(3))
    rate = WAVES[0] + rate * (WAVES[1] - WAVES[0])
    y = torch.arange(height, dtype=torch.float64).view(1, 1, -1, 1) / height
    x = torch.arange(width, dtype=torch.float64).view(1, 1, 1, -1) / width
    along = rate * (y * (math.pi * angle).sin() + x * (math.pi * angle).cos())
    return colour * (1 + (2 * math.pi * (along + phase)).sin()) / 2


def pixels_of(split: Split) -> Tensor:
    return split.images if isinstance(split.images, Tensor) else read_all(split.images)
