"""Colour: what is linear in a pixel's channels, a matrix per sample, and hue, which is not."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lab.augmentations.chain import augmentations
from lab.augmentations.changes import Recolour
from lab.augmentations.chosen import some_changed
from lab.augmentations.draws import Probability
from lab.catalogue import Knob

Strength = Annotated[
    float, Field(ge=0, le=1, description="factors are drawn from 1 - strength to 1 + strength"), Knob(0, 1)
]
Turn = Annotated[float, Field(ge=0, le=0.5, description="largest turn, 0.5 being half a circle"), Knob(0, 0.5)]
LUMA = (0.2989, 0.587, 0.114)  # red, green and blue in grey: ITU-R BT.601, rounded as torchvision does


@augmentations.add
def brightness(
    shape: torch.Size, generator: torch.Generator, *, strength: Strength = 0.4, p: Probability = 1.0
) -> Recolour:
    """Make a sample brighter or darker: all channels times one factor.

    x <- f x,  f uniform in [1 - strength, 1 + strength]

    Neighbouring linear colours are one product, cut off at 0 and 1 once, at its end; torchvision cuts after each.

    Source: Krizhevsky et al., NeurIPS 2012, section 4.1; torchvision adjust_brightness.
    """
    return brightened(factors(shape[0], generator, strength, p), shape[1])


@augmentations.add
def contrast(
    shape: torch.Size, generator: torch.Generator, *, strength: Strength = 0.4, p: Probability = 1.0
) -> Recolour:
    """Pull a sample's pixels away from the mean of its grey image, or towards it.

    x <- f x + (1 - f) mean(grey(x)),  f uniform in [1 - strength, 1 + strength]

    Source: Szegedy et al. 2015, arXiv 1409.4842, section 6; torchvision adjust_contrast.
    """
    return contrasted(factors(shape[0], generator, strength, p), shape[1])


@augmentations.add
def saturation(
    shape: torch.Size, generator: torch.Generator, *, strength: Strength = 0.4, p: Probability = 1.0
) -> Recolour:
    """Make a sample's colours stronger or paler; images without colours stay as they are.

    x <- f x + (1 - f) grey(x),  f uniform in [1 - strength, 1 + strength],  grey = 0.2989 r + 0.587 g + 0.114 b

    Source: Szegedy et al. 2015, arXiv 1409.4842, section 6; torchvision adjust_saturation.
    """
    return saturated(factors(shape[0], generator, strength, p), shape[1])


@augmentations.add
def grayscale(shape: torch.Size, generator: torch.Generator, *, p: Probability = 0.2) -> Recolour:
    """Take a sample's colours away with probability p.

    r, g, b <- 0.2989 r + 0.587 g + 0.114 b

    Source: Chen et al. 2020 (SimCLR), arXiv 2002.05709, appendix A.
    """
    return saturated((coins(shape[0], generator, p) == 0).to(torch.float32), shape[1])


@augmentations.add
def invert(shape: torch.Size, generator: torch.Generator, *, p: Probability = 0.5) -> Recolour:
    """Turn a sample into its negative with probability p.

    x <- 1 - x

    Source: Cubuk et al. 2019 (AutoAugment), arXiv 1805.09501, table 6.
    """
    return inverted(coins(shape[0], generator, p), shape[1])


@augmentations.add
def hue(images: Tensor, generator: torch.Generator, *, strength: Turn = 0.1, p: Probability = 1.0) -> Tensor:
    """Turn a sample's colours along the colour circle; images without colours stay as they are.

    In HSV, h <- h + t,  t uniform in [-strength, strength]; saturation and value are kept, exactly.

    Source: Smith, SIGGRAPH 1978 (the HSV hexagon); torchvision adjust_hue.
    """
    coin, amount = torch.rand(2, len(images), generator=generator, device=images.device)
    turn = strength * (2 * amount - 1) * (coin < p)
    return some_changed(images, turn != 0, hues_turned, turn) if images.shape[1] == 3 else images


def hues_turned(images: Tensor, turn: Tensor) -> Tensor:
    """(n, 3, h, w) with hues moved by turn (n,), in whole circles.

    With (pixel - low) / chroma the lowest channel is 0 and the highest 1, so the place on the colour circle, from 0 to
    6, is a difference of two channels and a constant that depends on which is the lowest. Back: a channel falls from
    high to low, or rises, between 1 and 2 from its peak, or from the point opposite to it.
    """
    red, green, blue = images.unbind(1)
    low, high = torch.minimum(red, green).minimum(blue), torch.maximum(red, green).maximum(blue)
    blue_is_low = torch.eq(blue, low, out=torch.empty_like(low))  # numbers: lerp is many times faster than where
    red_is_low = torch.eq(red, low, out=torch.empty_like(low))
    difference = (red - blue).lerp_(blue - green, red_is_low).lerp_(green - red, blue_is_low)
    turn = 6 * (turn.to(images) % 1)[:, None, None]
    place = torch.add(turn + 5, red_is_low, alpha=-2).lerp_(turn + 1, blue_is_low)  # 5, 3 or 1, and the turn
    chroma = (high - low).clamp_min_(torch.finfo(low.dtype).tiny)  # a grey pixel has no hue, and needs none
    circle = place.addcdiv_(difference, chroma)
    circle.sub_(torch.ge(circle, 6, out=chroma), alpha=6)
    centres = torch.tensor([3, 2, 4]).to(images, non_blocking=True).view(3, 1, 1)
    out = (circle[:, None] - centres).abs_().sub_(1).clamp_(0, 1)
    torch.lerp(low, high, out[:, 0], out=out[:, 0])
    torch.lerp(high[:, None], low[:, None], out[:, 1:], out=out[:, 1:])
    return out


def factors(count: int, generator: torch.Generator, strength: float, p: float) -> Tensor:
    """(n,) from 1 - strength to 1 + strength; 1 for the samples that are left as they are."""
    coin, amount = torch.rand(2, count, generator=generator, device=generator.device)
    return 1 + strength * (2 * amount - 1) * (coin < p)


def coins(count: int, generator: torch.Generator, p: float) -> Tensor:
    """(n,) 1 with probability p, else 0."""
    return (torch.rand(count, generator=generator, device=generator.device) < p).to(torch.float32)


def brightened(factor: Tensor, channels: int) -> Recolour:
    matrix = factor[:, None, None] * same_colours(factor, channels)
    return Recolour(matrix, torch.zeros_like(matrix), matrix.new_zeros(len(factor), channels))


def contrasted(factor: Tensor, channels: int) -> Recolour:
    matrix = factor[:, None, None] * same_colours(factor, channels)
    of_mean = (1 - factor)[:, None, None] * grey(factor, channels)
    return Recolour(matrix, of_mean, matrix.new_zeros(len(factor), channels))


def saturated(factor: Tensor, channels: int) -> Recolour:
    if channels != 3:
        factor = torch.ones_like(factor)
    share = factor[:, None, None]
    matrix = share * same_colours(factor, channels) + (1 - share) * grey(factor, channels)
    return Recolour(matrix, torch.zeros_like(matrix), matrix.new_zeros(len(factor), channels))


def inverted(chosen: Tensor, channels: int) -> Recolour:
    """The negative where chosen (n,) is 1, nothing where it is 0."""
    matrix = (1 - 2 * chosen)[:, None, None] * same_colours(chosen, channels)
    return Recolour(matrix, torch.zeros_like(matrix), chosen[:, None].expand(-1, channels))


def same_colours(like: Tensor, channels: int) -> Tensor:
    """(c, c) the matrix that leaves every colour as it is."""
    return torch.eye(channels, dtype=like.dtype, device=like.device)


def grey(like: Tensor, channels: int) -> Tensor:
    """(c, c) the matrix that puts the grey of a pixel into every channel."""
    weights = torch.tensor(LUMA if channels == 3 else [1 / channels] * channels, dtype=like.dtype)
    return weights.to(like.device, non_blocking=True).expand(channels, -1)
