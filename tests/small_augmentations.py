"""Augmentations whose draws can be read off the images, for tests alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lab.augmentations import Mix, Recolour, Warp, augmentations
from lab.catalogue import Knob

Strength = Annotated[float, Field(ge=0, le=1, description="strength"), Knob(0, 1)]
Probability = Annotated[float, Field(ge=0, le=1, description="share"), Knob(0, 1)]


def lighter(shape: torch.Size, generator: torch.Generator, *, strength: Strength = 0.5) -> Recolour:
    """Add up to `strength` to all pixels. Source: this test."""
    amount = strength * torch.rand(shape[0], generator=generator)
    nothing = torch.zeros_like(amount)
    return Recolour(nothing + 1, nothing, nothing, amount, shape[1])


def slid(shape: torch.Size, generator: torch.Generator, *, pixels: Strength = 1.0) -> Warp:
    """Move by up to so many pixels to the side. Source: this test."""
    matrix = torch.eye(3).repeat(shape[0], 1, 1)
    matrix[:, 0, 2] = pixels * torch.rand(shape[0], generator=generator)
    return Warp(matrix)


def blended(shape: torch.Size, generator: torch.Generator, *, share: Strength = 0.5) -> Mix:
    """Mix with the next sample. Source: this test."""
    own = 1 - share * torch.rand(shape[0], 1, 1, 1, generator=generator)
    return Mix(torch.arange(shape[0]).roll(1), own)


def upside_down(images: Tensor, generator: torch.Generator, *, p: Probability = 0.5) -> Tensor:
    """Turn a sample upside down. Source: this test."""
    coin = torch.rand(len(images), 1, 1, 1, generator=generator) < p
    return torch.where(coin, images.flip(-2), images)


@contextmanager
def offered(*functions: object) -> Iterator[None]:
    """The catalogue with these options too, and without them afterwards."""
    for function in functions:
        augmentations.add(function)
    try:
        yield
    finally:
        for function in functions:
            augmentations.functions.pop(function.__name__)
            augmentations._choices.pop(function.__name__)
