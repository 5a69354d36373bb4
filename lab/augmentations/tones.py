"""Tones: a curve per sample, the same one for each of its pixels, that is no straight line."""

from __future__ import annotations

from math import log2
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lab.augmentations.chain import augmentations
from lab.augmentations.chosen import Retouch, each
from lab.augmentations.draws import Probability, uniform
from lab.catalogue import Knob

Bend = Annotated[
    float, Field(ge=0, le=9, description="exponents are drawn from 1 / (1 + strength) to 1 + strength"), Knob(0, 2)
]
Bits = Annotated[int, Field(ge=1, le=8, description="bits that are kept of each channel's eight"), Knob(1, 8)]
Threshold = Annotated[float, Field(ge=0, le=1, description="what is this bright or brighter is inverted"), Knob(0, 1)]
BYTE = 255.999  # times a number from 0 to 1, cut to a whole one: the byte that stands for it


@augmentations.add
def gamma(shape: torch.Size, generator: torch.Generator, *, strength: Bend = 0.5, p: Probability = 1.0) -> Retouch:
    """Raise a sample's pixels to a power: dark tones open up or close.

    x <- x^g,  log g uniform between -log(1 + strength) and log(1 + strength)

    Source: Poynton, A Technical Introduction to Digital Video, 1996, chapter 6; torchvision adjust_gamma.
    """
    coin, amount = uniform(shape, generator, 2)
    exponent = torch.exp2(log2(1 + strength) * (2 * amount - 1) * (coin < p))
    return Retouch(exponent != 1, raised, (exponent,))


@augmentations.add
def posterise(shape: torch.Size, generator: torch.Generator, *, bits: Bits = 4, p: Probability = 0.5) -> Retouch:
    """Keep only the highest bits of a sample's pixels, with probability p: flat steps in place of slopes.

    byte <- byte - byte mod 2^(8 - bits),  byte = floor(255.999 x)

    Source: Cubuk et al. 2019 (AutoAugment), arXiv 1805.09501, table 6.
    """
    (coin,) = uniform(shape, generator, 1)
    return Retouch((coin < p) & (bits < 8), stepped, (torch.full_like(coin, bits),))


@augmentations.add
def solarise(
    shape: torch.Size, generator: torch.Generator, *, threshold: Threshold = 0.5, p: Probability = 0.2
) -> Retouch:
    """Invert a sample's bright pixels, with probability p.

    x <- 1 - x where x >= threshold

    Source: Cubuk et al. 2019 (AutoAugment), arXiv 1805.09501, table 6; Grill et al. 2020 (BYOL), arXiv 2006.07733.
    """
    (coin,) = uniform(shape, generator, 1)
    return Retouch(coin < p, solarised, (torch.full_like(coin, threshold),))


@augmentations.add
def auto_contrast(shape: torch.Size, generator: torch.Generator, *, p: Probability = 0.5) -> Retouch:
    """Stretch each channel of a sample until it reaches from black to the brightest, with probability p.

    x <- (x - min x) / (max x - min x); a channel of one value stays

    Source: Cubuk et al. 2019 (AutoAugment), arXiv 1805.09501, table 6.
    """
    (coin,) = uniform(shape, generator, 1)
    return Retouch(coin < p, stretched)


@augmentations.add
def equalise(shape: torch.Size, generator: torch.Generator, *, p: Probability = 0.5) -> Retouch:
    """Spread each channel of a sample until all tones are about equally frequent, with probability p.

    byte <- min(255, floor((pixels darker than byte + step // 2) / step)),  step = pixels below the brightest // 255,
    byte = floor(255.999 x); a channel whose step is 0 stays

    Source: Cubuk et al. 2019 (AutoAugment), arXiv 1805.09501, table 6; as Pillow's ImageOps.equalize.
    """
    (coin,) = uniform(shape, generator, 1)
    return Retouch(coin < p, equalised)


def raised(images: Tensor, exponent: Tensor) -> Tensor:
    """(n, c, h, w) to the power of exponent (n,) above 0."""
    return images.log2().mul_(each(exponent, images)).exp2_()  # half the time of pow


def stepped(images: Tensor, bits: Tensor) -> Tensor:
    """(n, c, h, w) with bits (n,) of each byte kept."""
    step = torch.exp2(8 - each(bits, images))
    return images.mul(BYTE / step).floor_().mul_(step / 255)


def solarised(images: Tensor, threshold: Tensor) -> Tensor:
    bright = torch.ge(images, each(threshold, images), out=torch.empty_like(images))
    return torch.lerp(images, 1 - images, bright)  # a mask of zeros and ones: many times faster than where


def stretched(images: Tensor) -> Tensor:
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    flat = high == low
    return images.sub(low.masked_fill(flat, 0)).div_((high - low).masked_fill_(flat, 1))


def equalised(images: Tensor) -> Tensor:
    """Each channel through a table of 256 tones, its own."""
    tones = images.mul(BYTE).int().flatten(2)
    brightest = tones.amax(2, keepdim=True).long()
    planes = torch.arange(tones.shape[0] * tones.shape[1], dtype=torch.int32, device=images.device)
    places = tones.add_(256 * planes.view(*tones.shape[:2], 1)).flatten()
    counts = occurrences(places, 256 * len(planes)).view(*tones.shape[:2], 256).float()
    step = ((tones.shape[2] - counts.gather(2, brightest)) / 255).floor_()
    darker = counts.cumsum(2).sub_(counts)
    table = darker.add_((step / 2).floor_()).div_(step.clamp_min(1)).floor_().clamp_max_(255)
    table = torch.where(step == 0, torch.arange(256.0, device=images.device), table).div_(255).to(images.dtype)
    return table.flatten().index_select(0, places).view_as(images)


def occurrences(places: Tensor, count: int) -> Tensor:
    """(count,) how often each place occurs."""
    if places.device.type == "cpu":
        return places.bincount(minlength=count)
    ones = torch.ones(1, dtype=torch.int32, device=places.device).expand_as(places)
    return torch.zeros(count, dtype=torch.int32, device=places.device).scatter_add_(0, places.long(), ones)
