"""Catalogue `augmentations`: a batch -> a batch, one random draw per sample.

Each option takes images (n, c, h, w), float in [0, 1], and a generator on their device.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from lab.catalogue import Catalogue, Knob

augmentations = Catalogue(
    "augmentation", gives="a batch of images (n, c, h, w)", aliases={"mirror": "flip", "hflip": "flip"}
)

Probability = Annotated[float, Field(ge=0, le=1, description="share of the samples that are changed"), Knob(0, 1)]
Padding = Annotated[int, Field(ge=0, le=256, description="pixels added on every side"), Knob(0, 16)]


@augmentations.add
def flip(images: Tensor, generator: torch.Generator, *, p: Probability = 0.5) -> Tensor:
    """Mirror a sample left to right with probability p.

    x[i, j] <- x[i, w - 1 - j]

    Source: Krizhevsky et al., NeurIPS 2012, section 4.1.
    """
    coin = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < p
    return torch.where(coin, images.flip(-1), images)


@augmentations.add
def crop(images: Tensor, generator: torch.Generator, *, padding: Padding = 4) -> Tensor:
    """Shift a sample by up to `padding` pixels each way; black comes in at the edge.

    Zero padding on every side, then a window of the old size at a random place.

    Source: He et al. 2016, arXiv 1512.03385, section 4.2.
    """
    count, _, height, width = images.shape
    padded = functional.pad(images, [padding] * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (n, c, 2 padding + 1, 2 padding + 1, h, w), no copy
    top, left = torch.randint(2 * padding + 1, (2, count), generator=generator, device=images.device)
    return windows[torch.arange(count, device=images.device), :, top, left]
