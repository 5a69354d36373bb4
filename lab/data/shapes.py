"""Drawn shapes, whose classes have two words each, and classes that training never sees."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lab.catalogue import Knob
from lab.data import datasets, modifiers
from lab.data.labels import Draw
from lab.data.splits import DataError, Dataset, Split, divide

COLOURS = {"red": (0.9, 0.2, 0.2), "green": (0.2, 0.8, 0.2), "blue": (0.25, 0.3, 0.95), "yellow": (0.9, 0.85, 0.2)}
SHAPES = ("circle", "square", "triangle", "cross")
SIDE = 16  # pixels
FEWEST = 2  # classes that stay

Count = Annotated[int, Field(ge=1, le=1000, description="classes without training images; two stay"), Knob(1, 8)]
PerClass = Annotated[int, Field(ge=8, le=1000, description="images of each class, over all parts"), Knob(20, 200)]


@datasets.add
def shapes(*, per_class: PerClass = 60, draw: Draw = 0) -> Dataset:
    """Drawn shapes in colours: red circle, blue cross, and so on, sixteen classes whose names are made of eight words.

    (3, 16, 16): one shape at a place, of a size and on noise that are drawn; 70 % training, 15 % validation, 15 % test.
    Made for words: who knows `red cross` and `blue circle` can know a `blue cross` without having seen one.

    Source: in the manner of CLEVR, Johnson et al. 2017, arXiv 1612.06890.
    """
    draws = torch.Generator().manual_seed(draw)
    pairs = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    images = torch.cat([drawn_shapes(colour, shape, per_class, draws) for colour, shape in pairs])
    labels = torch.arange(len(pairs)).repeat_interleave(per_class)
    return divide(images, labels, tuple(f"{colour} {shape}" for colour, shape in pairs))


@modifiers.add
def unseen_classes(dataset: Dataset, *, count: Count = 2, draw: Draw = 0) -> Dataset:
    """Take the training images of a few classes away; validation and test keep them: who can know what they are?

    The classes are drawn. An ordinary network never names them; `image_and_words` can, where their words are known.

    Raises:
        DataError: fewer than two classes would stay.

    Source: the zero-shot protocol, Xian et al. 2017, arXiv 1707.00600.
    """
    known = len(dataset.classes)
    if count > known - FEWEST:
        raise DataError(
            f"unseen_classes takes {count} away, but of {known} classes {FEWEST} must stay: count can be at most "
            f"{known - FEWEST} here."
        )
    unseen = torch.randperm(known, generator=torch.Generator().manual_seed(draw))[:count]
    unlabelled = dataset.unlabelled and without(dataset.unlabelled, unseen)
    train = without(dataset.train, unseen)
    return replace(dataset, train=train, unlabelled=unlabelled, unseen=tuple(sorted(unseen.tolist())))


def without(split: Split, classes: Tensor) -> Split:
    return split.take((~torch.isin(split.labels, classes)).nonzero().flatten())


def drawn_shapes(colour: str, shape: str, count: int, draws: torch.Generator) -> Tensor:
    """uint8 (count, 3, 16, 16)."""
    place = 5 + 5 * torch.rand(2, count, 1, 1, generator=draws)
    radius = 3.5 + 1.5 * torch.rand(count, 1, 1, generator=draws)
    pixels = torch.arange(SIDE, dtype=torch.float32)
    inside = mask_of(shape, (pixels.view(1, 1, -1) - place[0]) / radius, (pixels.view(1, -1, 1) - place[1]) / radius)
    paint = torch.tensor(COLOURS[colour]).view(1, 3, 1, 1) * (0.8 + 0.2 * torch.rand(count, 1, 1, 1, generator=draws))
    noise = 0.3 * torch.rand(count, 3, SIDE, SIDE, generator=draws)
    return (torch.where(inside.unsqueeze(1), paint, noise) * 255).round().to(torch.uint8)


def mask_of(shape: str, x: Tensor, y: Tensor) -> Tensor:
    """Which pixels belong to a shape of radius 1 around 0."""
    across, down = x.abs(), y.abs()
    if shape == "circle":
        return x**2 + y**2 < 1
    if shape == "square":
        return torch.maximum(across, down) < 0.85
    if shape == "triangle":
        return (y < 0.8) & (across < (y + 1) / 1.8)
    return (torch.minimum(across, down) < 0.3) & (torch.maximum(across, down) < 1)
