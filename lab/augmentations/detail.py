"""Fine detail: sharper, softer, noisier."""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from lab.augmentations.chain import augmentations
from lab.augmentations.chosen import Retouch, each
from lab.augmentations.colour import Strength, factors
from lab.augmentations.draws import Probability, uniform
from lab.catalogue import Knob

Width = Annotated[float, Field(ge=0, le=20, description="largest standard deviation, in pixels"), Knob(0, 4)]
Noise = Annotated[float, Field(ge=0, le=1, description="largest standard deviation, white being 1"), Knob(0, 0.5)]


@augmentations.add
def sharpness(
    shape: torch.Size, generator: torch.Generator, *, strength: Strength = 0.4, p: Probability = 1.0
) -> Retouch:
    """Make a sample sharper or softer: away from a smoothed copy of it, or towards it.

    x <- f x + (1 - f) smooth(x) but for the outermost pixels,  f uniform in [1 - strength, 1 + strength],
    smooth = the mean of 3 by 3 pixels with weight 5 in the middle and 1 around it

    Source: Cubuk et al. 2019 (AutoAugment), arXiv 1805.09501, table 6; torchvision adjust_sharpness.
    """
    factor = factors(shape[0], generator, strength, p)
    return Retouch(factor != 1, sharpened, (factor,))


@augmentations.add
def blur(shape: torch.Size, generator: torch.Generator, *, sigma: Width = 1.0, p: Probability = 0.5) -> Retouch:
    """Smooth a sample with a Gaussian of its own width, with probability p; the image is mirrored at its edges.

    x <- sum over k of w(k) x(i + k), along rows and columns,  w(k) ~ exp(-k^2 / (2 s^2)) for |k| <= ceil(3 sigma),
    s uniform in [0, sigma]

    Source: Chen et al. 2020 (SimCLR), arXiv 2002.05709, appendix A; torchvision gaussian_blur.
    """
    coin, amount = uniform(shape, generator, 2)
    widths = sigma * amount * (coin < p)
    return Retouch(widths > 0, partial(blurred, radius=ceil(3 * sigma)), (widths,))


@augmentations.add
def noise(shape: torch.Size, generator: torch.Generator, *, sigma: Noise = 0.1, p: Probability = 0.5) -> Retouch:
    """Add Gaussian noise to a sample's pixels, with probability p.

    x <- x + s e, cut off at 0 and 1,  e standard normal for each pixel and channel,  s uniform in [0, sigma]

    Source: Bishop, Neural Computation 1995, "Training with noise is equivalent to Tikhonov regularization".
    """
    coin, amount = uniform(shape, generator, 2)
    widths = sigma * amount * (coin < p)
    grains = torch.randn(shape, generator=generator, device=generator.device)
    return Retouch(widths > 0, roughened, (widths, grains))


def sharpened(images: Tensor, factor: Tensor) -> Tensor:
    """(n, c, h, w) by factor (n,): 0 is smooth, 1 the image itself; images of one or two rows or columns stay."""
    if min(images.shape[-2:]) <= 2:
        return images
    rows = images[:, :, 1:-1] + images[:, :, :-2]
    rows += images[:, :, 2:]
    square = rows[..., 1:-1] + rows[..., :-2]
    square += rows[..., 2:]
    share = (1 - each(factor, images)) / 13
    out = images.clone()
    inner = out[..., 1:-1, 1:-1]
    inner.mul_(1 - 9 * share).addcmul_(square, share)
    return out.clamp_(0, 1)


def blurred(images: Tensor, width: Tensor, radius: int) -> Tensor:
    """(n, c, h, w) by a Gaussian of width (n,) above 0, cut off at radius, both in pixels."""
    for axis in (2, 3):
        reach = min(radius, images.shape[axis] - 1)  # a mirror shows no more than there is
        images = smoothed_along(axis, images, bell(width, reach))
    return images.clamp_(0, 1)


def bell(width: Tensor, reach: int) -> Tensor:
    """(n, reach + 1) weights at distance 0, 1, ...; both sides together they sum to 1."""
    distance = torch.arange(reach + 1, device=width.device)
    weights = torch.exp(-0.5 * (distance / width.clamp_min(1e-3)[:, None]) ** 2)
    return weights / (2 * weights.sum(1, keepdim=True) - weights[:, :1])


def smoothed_along(axis: int, images: Tensor, weights: Tensor) -> Tensor:
    """A weighted mean of each pixel and its neighbours along one axis (2: down, 3: across)."""
    size, reach = images.shape[axis], weights.shape[1] - 1
    wide = functional.pad(images, (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0), mode="reflect")
    out = wide.narrow(axis, reach, size) * each(weights[:, 0], images)
    for distance in range(1, reach + 1):
        weight = each(weights[:, distance], images)
        out.addcmul_(wide.narrow(axis, reach - distance, size), weight)
        out.addcmul_(wide.narrow(axis, reach + distance, size), weight)
    return out


def roughened(images: Tensor, width: Tensor, grains: Tensor) -> Tensor:
    return torch.addcmul(images, grains.to(images), each(width, images)).clamp_(0, 1)
