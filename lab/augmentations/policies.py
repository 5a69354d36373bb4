"""Policies: every sample draws its own operations and their magnitudes from a list."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from lab.augmentations.chain import augmentations
from lab.augmentations.draws import Probability
from lab.augmentations.learned import LEARNED
from lab.augmentations.operations import LEARNED_REACH, OPERATIONS, WIDE_REACH, magnitudes, performed, with_sign
from lab.catalogue import Knob

Count = Annotated[int, Field(ge=0, le=16, description="operations per sample (the paper's N)"), Knob(0, 4)]
Magnitude = Annotated[int, Field(ge=0, le=30, description="how strong they are (the paper's M)"), Knob(0, 30)]
Learned = Annotated[
    Literal["imagenet", "cifar10", "svhn"], Field(description="the data set on which the policy was learned")
]
CHOICES = len(OPERATIONS) - 1  # all but the last, invert, which only the learned policies use


@augmentations.add
def trivial_augment(images: Tensor, generator: torch.Generator, *, p: Probability = 1.0) -> Tensor:
    """One operation of fourteen per sample, of any strength.

    operation uniform over: nothing, shear and translate along x or y, rotate, brightness, saturation, contrast,
    sharpness, posterise, solarise, auto_contrast, equalise; magnitude uniform over 31 steps; sign + or -

    Differs from torchvision's default in that pixels between pixels are interpolated.

    Source: Mueller & Hutter 2021, arXiv 2103.10158, table 1 (the wide space); torchvision TrivialAugmentWide.
    """
    coin, which, level, sign = torch.rand(4, len(images), generator=generator, device=images.device)
    operation = (which * CHOICES).long() * (coin < p)
    table = magnitudes(images.shape[-2:], 31, WIDE_REACH, images.device)
    return performed(images, operation, with_sign(table[operation, (level * 31).long()], operation, sign))


@augmentations.add
def rand_augment(
    images: Tensor,
    generator: torch.Generator,
    *,
    operations: Count = 2,
    magnitude: Magnitude = 9,
    p: Probability = 1.0,
) -> Tensor:
    """A few operations of fourteen per sample, all of one strength.

    operations: as trivial_augment's, each uniform; magnitude: the one given, of 31 steps; sign + or -
    At magnitude 0 auto_contrast and equalise, which have none, still act, and solarise turns what is quite white.

    Differs from torchvision's default in that pixels between pixels are interpolated.

    Source: Cubuk et al. 2020, arXiv 1909.13719, figure 2; torchvision RandAugment.
    """
    coin = torch.rand(len(images), generator=generator, device=images.device)
    table = magnitudes(images.shape[-2:], 31, LEARNED_REACH, images.device)
    for which, sign in torch.rand(operations, 2, len(images), generator=generator, device=images.device):
        operation = (which * CHOICES).long() * (coin < p)
        images = performed(images, operation, with_sign(table[operation, magnitude], operation, sign))
    return images


@augmentations.add
def auto_augment(
    images: Tensor, generator: torch.Generator, *, policy: Learned = "cifar10", p: Probability = 1.0
) -> Tensor:
    """Two operations per sample, as one of the pairs says that a search found to help.

    pair uniform over the policy's 25; each of its steps with the step's own probability and magnitude; sign + or -

    Differs from torchvision's default in that pixels between pixels are interpolated.

    Source: Cubuk et al. 2019, arXiv 1805.09501, tables 7 to 9; torchvision AutoAugment.
    """
    coin, which, *rest = torch.rand(6, len(images), generator=generator, device=images.device)
    steps = torch.tensor([[numbered(step) for step in pair] for pair in LEARNED[policy]])
    steps = steps.to(images.device, non_blocking=True)[(which * len(steps)).long()]
    table = magnitudes(images.shape[-2:], 10, LEARNED_REACH, images.device)
    for (number, share, level), (own_coin, sign) in zip(steps.permute(1, 2, 0), (rest[:2], rest[2:]), strict=True):
        operation = number.long() * (coin < p) * (own_coin < share)
        images = performed(images, operation, with_sign(table[operation, level.long()], operation, sign))
    return images


def numbered(step: tuple[str, float, int | None]) -> tuple[int, float, int]:
    """A step of a learned policy as numbers: the operation's place in OPERATIONS, its probability and magnitude."""
    name, share, level = step
    return OPERATIONS.index(name), share, level or 0
