"""Two samples made one: mixup, CutMix, FMix; the label is shared as the picture is."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lab.augmentations.chain import augmentations
from lab.augmentations.changes import Mix
from lab.catalogue import Knob

Probability = Annotated[float, Field(ge=0, le=1, description="share of the samples that are mixed"), Knob(0, 1)]
Alpha = Annotated[
    float,
    Field(gt=0, le=100, description="of Beta(alpha, alpha): 1 draws every share alike, more: near halves"),
    Knob(0.1, 2),
]
Strength = Annotated[
    float,
    Field(ge=0, le=100, description="of Beta(alpha, alpha): the more, the nearer to halves; 0: no mixing"),
    Knob(0, 2),
]
Decay = Annotated[
    float, Field(ge=0, le=10, description="how fast high frequencies fade: large, smooth blots"), Knob(1, 5)
]
Softness = Annotated[
    float,
    Field(ge=0, le=1, description="share of the pixels in which one picture fades into the other; 0: none"),
    Knob(0, 1),
]


@augmentations.add
def mixup(shape: torch.Size, generator: torch.Generator, *, alpha: Strength = 0.2, p: Probability = 1.0) -> Mix:
    """Blend a sample with another one of the batch, and its label by the same shares.

    x <- l x + (1 - l) x[partner], label likewise;  b ~ Beta(alpha, alpha), l = max(b, 1 - b)

    The paper has l = b and one draw for the batch. Here each sample has its own draw and keeps the larger share: as a
    partner is any sample, that gives the same pairs as often, no picture twice, and no change as alpha goes to 0.
    The accuracy of training counts the class with the largest share.

    Source: Zhang et al. 2018, arXiv 1710.09412, section 2.
    """
    partner, mixed = partners(shape, generator), per_sample(shape, generator) < p
    share = symmetric_beta(shape, generator, alpha)
    return Mix(partner, torch.where(mixed, torch.maximum(share, 1 - share), 1.0))


@augmentations.add
def cutmix(shape: torch.Size, generator: torch.Generator, *, alpha: Alpha = 1.0, p: Probability = 0.5) -> Mix:
    """Paste a box of another sample of the batch over a sample; the label is shared by area.

    b ~ Beta(alpha, alpha);  a box sqrt(1 - b) as high and as wide as the picture, its middle anywhere in the picture
    label <- l label + (1 - l) label[partner], l being the share of the pixels outside of the box as it was cut off

    Each sample has its own box. The accuracy of training counts the class with the largest share.

    Source: Yun et al. 2019, arXiv 1905.04899, section 3.1 (there one box for the batch).
    """
    partner, mixed = partners(shape, generator), per_sample(shape, generator) < p
    side = torch.where(mixed, (1 - symmetric_beta(shape, generator, alpha)).sqrt(), 0.0)
    down, right = (per_sample(shape, generator) for _ in range(2))
    rows, columns = (pixel_middles(length, generator) for length in shape[-2:])
    return Mix(partner, ((rows[:, None] - down).abs() >= side / 2) | ((columns - right).abs() >= side / 2))


@augmentations.add
def fmix(
    shape: torch.Size,
    generator: torch.Generator,
    *,
    alpha: Alpha = 1.0,
    decay: Decay = 3.0,
    softness: Softness = 0.2,
    p: Probability = 0.5,
) -> Mix:
    """Fuse a sample with another one of the batch along a random smooth mask; the label is shared by the mask.

    noise with amplitude 1 / frequency^decay;  r(pixel) = share of the pixels with a lower value
    mask = clip((r - (1 - b)) / softness + 1/2, 0, 1), b ~ Beta(alpha, alpha);  x <- mask x + (1 - mask) x[partner]
    label <- l label + (1 - l) label[partner], l = mean(mask)

    Softness 0 is FMix as published: every pixel is of one of the two. Above, one fades into the other, which is ours.
    The accuracy of training counts the class with the largest share.

    Source: Harris et al. 2020, arXiv 2002.12047.
    """
    partner, mixed = partners(shape, generator), per_sample(shape, generator) < p
    share = symmetric_beta(shape, generator, alpha)
    above = ranked(low_frequency_noise(shape, generator, decay)) - (1 - share)
    mask = (above / softness + 0.5).clamp(0, 1) if softness else (above > 0).to(above)
    return Mix(partner, torch.where(mixed, mask, 1.0))


def partners(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """(n,) for each sample another one of the batch, or itself: a random permutation."""
    return torch.randperm(shape[0], generator=generator, device=generator.device)


def per_sample(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """(n, 1, 1, 1) numbers from 0 up to 1."""
    return torch.rand(shape[0], 1, 1, 1, generator=generator, device=generator.device)


def symmetric_beta(shape: torch.Size, generator: torch.Generator, alpha: float) -> Tensor:
    """(n, 1, 1, 1) of Beta(alpha, alpha), from two uniform numbers each, whatever alpha is: 0 gives zeros and ones.

    (1 + c / s) / 2, c = cos(2 pi v), s^2 = c^2 + r, r = 1 / (u^(-1/alpha) - 1): a t variable with 2 alpha degrees of
    freedom, drawn in polar coordinates and squeezed into 0 to 1. Near 0 written without a difference of ones.

    Source: Bailey 1994, Mathematics of Computation 62, 779-781; Devroye 1996, Random variate generation in one line of
        code, section 3.
    """
    u, v = per_sample(shape, generator), per_sample(shape, generator)
    across = torch.cos(2 * math.pi * v)
    rest = torch.expm1(-u.log() / alpha).reciprocal() if alpha else torch.zeros_like(u)
    root = (across.square() + rest).sqrt()
    smaller = rest / (2 * root * (root + across.abs()))
    return torch.where(across < 0, smaller, 1 - smaller)


def pixel_middles(length: int, generator: torch.Generator) -> Tensor:
    """(length,) where the middles of the pixels lie, from 0 to 1."""
    return (torch.arange(length, device=generator.device) + 0.5) / length


def low_frequency_noise(shape: torch.Size, generator: torch.Generator, decay: float) -> Tensor:
    """(n, 1, h, w) normal noise whose waves have amplitudes that fall with their frequency."""
    height, width = shape[-2:]
    noise = torch.randn(shape[0], 1, height, width, generator=generator, device=generator.device)
    down = torch.fft.fftfreq(height, device=generator.device)
    right = torch.fft.rfftfreq(width, device=generator.device)
    waves = (torch.hypot(down[:, None], right) * max(height, width)).clamp(min=1)  # in the longer side
    return torch.fft.irfft2(torch.fft.rfft2(noise) / waves**decay, s=(height, width))


def ranked(values: Tensor) -> Tensor:
    """(n, 1, h, w) -> the place of each value in the order of its sample, between 0 and 1."""
    order = values.flatten(1).argsort(1)
    ranks = torch.arange(order.shape[1], device=values.device).to(values).add_(0.5).div_(order.shape[1])
    return torch.empty_like(values).flatten(1).scatter_(1, order, ranks.expand_as(order)).view_as(values)
