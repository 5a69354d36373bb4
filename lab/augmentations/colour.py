"""Colour: what is a straight line in a pixel's channels and its grey, and hue, which is not."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lab.augmentations.chain import augmentations
from lab.augmentations.chosen import Retouch, each
from lab.augmentations.draws import Probability, by_chance, spread_over, uniform
from lab.augmentations.recolour import Recolour
from lab.catalogue import Knob

Strength = Annotated[
    float, Field(ge=0, le=1, description="factors are drawn from 1 - strength to 1 + strength"), Knob(0, 1)
]
Turn = Annotated[float, Field(ge=0, le=0.5, description="largest turn, 0.5 being half a circle"), Knob(0, 0.5)]


@augmentations.add
def brightness(
    shape: torch.Size, generator: torch.Generator, *, strength: Strength = 0.4, p: Probability = 1.0
) -> Recolour:
    """Make a sample brighter or darker: all channels times one factor.

    x <- f x,  f uniform in [1 - strength, 1 + strength]

    Neighbouring linear colours are one change, cut off at 0 and 1 once, at its end; torchvision cuts after each.

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
def hue(shape: torch.Size, generator: torch.Generator, *, strength: Turn = 0.1, p: Probability = 1.0) -> Retouch:
    """Turn a sample's colours along the colour circle; images without colours stay as they are.

    In HSV, h <- h + t,  t uniform in [-strength, strength]; saturation and value are kept, exactly.

    Source: Smith, SIGGRAPH 1978 (the HSV hexagon); torchvision adjust_hue.
    """
    coin, amount = uniform(shape, generator, 2)
    turn = by_chance(spread_over(amount, -strength, strength), coin, p)
    return Retouch(turn != 0, hues_turned, (turn,))


def hues_turned(images: Tensor, turn: Tensor) -> Tensor:
    """(n, 3, h, w) with hues moved by turn (n,), in whole circles; other numbers of channels as they are.

    With (pixel - low) / chroma the lowest channel is 0 and the highest 1, and the way from red on the colour circle, of
    six steps, is 1 + green + blue - red to either side: towards green, or towards blue if that is more. Back: a channel
    falls from high to low, or rises, between 1 and 2 from its peak, or from the point opposite to it.
    """
    if images.shape[1] != 3:
        return images
    red, green, blue = images.unbind(1)
    low, high = images.amin(1), images.amax(1)
    chroma = (high - low).clamp_min_(torch.finfo(low.dtype).tiny)  # a grey pixel has no hue, and needs none
    way = (green + blue).sub_(red).sub_(low).div_(chroma).add_(1).copysign_(green - blue)
    place = torch.add(
        each(1 + turn, images)[:, 0], way, alpha=1 / 6, out=way
    ).frac_()  # 1: fractions of what is positive
    peaks = torch.tensor([3 / 6, 2 / 6, 4 / 6]).to(images, non_blocking=True).view(3, 1, 1)
    out = (place[:, None] - peaks).abs_().clamp_(1 / 6, 2 / 6)
    torch.addcmul(low.sub_(chroma), chroma, out[:, 0], value=6, out=out[:, 0])
    torch.addcmul(high.add_(chroma)[:, None], chroma[:, None], out[:, 1:], value=-6, out=out[:, 1:])
    return out.clamp_(0, 1)  # rounding: a hair below 0 has no logarithm, which gamma takes


def factors(count: int, generator: torch.Generator, strength: float, p: float) -> Tensor:
    """(n,) from 1 - strength to 1 + strength; 1 for the samples that are left as they are."""
    coin, amount = torch.rand(2, count, generator=generator, device=generator.device)
    return by_chance(spread_over(amount, 1 - strength, 1 + strength), coin, p, otherwise=1)


def coins(count: int, generator: torch.Generator, p: float) -> Tensor:
    """(n,) 1 with probability p, else 0."""
    return (torch.rand(count, generator=generator, device=generator.device) < p).to(torch.float32)


def brightened(factor: Tensor, channels: int) -> Recolour:
    nothing = torch.zeros_like(factor)
    return Recolour(factor, nothing, nothing, nothing, channels)


def contrasted(factor: Tensor, channels: int) -> Recolour:
    nothing = torch.zeros_like(factor)
    return Recolour(factor, nothing, 1 - factor, nothing, channels)


def saturated(factor: Tensor, channels: int) -> Recolour:
    nothing = torch.zeros_like(factor)
    if channels != 3:
        return Recolour(nothing + 1, nothing, nothing, nothing, channels)
    return Recolour(factor, 1 - factor, nothing, nothing, channels)


def inverted(chosen: Tensor, channels: int) -> Recolour:
    """The negative where chosen (n,) is 1, nothing where it is 0."""
    nothing = torch.zeros_like(chosen)
    return Recolour(1 - 2 * chosen, nothing, nothing, chosen, channels)
