"""Objectives without labels: the network learns from the images alone, for others to take over."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from lab.catalogue import Knob
from lab.objectives import objectives
from lab.objectives.batch import Batch, Measure, Measured
from lab.objectives.helping import helpers, passes
from lab.objectives.losses import masked_error, nt_xent

Temperature = Annotated[
    float, Field(gt=0, description="how much the nearest of the other images count"), Knob(0.05, 1, log=True)
]
ProjectedWidth = Annotated[
    int, Field(ge=1, le=16384, description="numbers in which the views are compared"), Knob(8, 256, log=True)
]
Masked = Annotated[float, Field(gt=0, lt=1, description="share of the patches that is hidden"), Knob(0.1, 0.9)]
PatchSize = Annotated[int, Field(ge=1, le=256, description="height and width of what is hidden at once"), Knob(1, 16)]


@objectives.add
def simclr(
    batch: Batch,
    *,
    temperature: Temperature = 0.5,
    width: ProjectedWidth = 128,  # noqa: ARG001  # of the helper
) -> Measure:
    """Without labels: two augmented views of an image are to be alike, and unlike those of all other images.

    z = W2 relu(W1 h) ;  l_i = -ln( exp(s_ij / t) / sum_{k != i} exp(s_ik / t) ),  s the cosine of two z
    h is what the last layer reads; W1 and W2 are thrown away afterwards. The augmentations decide what is learned: what
    they change, the network learns to overlook; a recipe without any has rand_augment and cutout here. Loss and
    accuracy on the validation images are those of a last layer fitted by softmax regression to h of training images and
    their labels, which nothing else looks at.

    Source: Chen et al. 2020, arXiv 2002.05709, eq. 1 and algorithm 1.
    """
    first, second = (batch.strong(batch.images) if batch.plain else batch.view() for _ in range(2))

    def measure() -> Measured:
        one, two = batch.helped(torch.cat([first, second])).tensor_split(2)
        return Measured(nt_xent(one, two, temperature))

    return measure


@objectives.add
def masked_autoencoder(batch: Batch, *, masked: Masked = 0.75, patch: PatchSize = 2) -> Measure:
    """Without labels: guess what stands in the hidden patches of an image from those that are left.

    x' = (1 - m) x ;  loss = mean over hidden pixels of (W h(x') + b - x)^2
    h is what the last layer reads; W and b are thrown away afterwards. Differs from the paper, so that it suits any
    network: hidden patches are set to the mean where there they are left out, and the decoder is one layer. Loss and
    accuracy on the validation images are those of a last layer fitted as for simclr.

    Source: He et al. 2022, arXiv 2111.06377, section 3; hidden patches that are seen, one layer as decoder: Xie et al.
    2022, arXiv 2111.09886 (SimMIM).
    """
    images = batch.view()
    mask = hidden_patches(images.shape, patch, masked, batch.draws).to(images)

    def measure() -> Measured:
        guessed = batch.helped(images * (1 - mask)).view(images.shape)
        return Measured(masked_error(guessed, images, mask))

    return measure


def hidden_patches(shape: torch.Size, size: int, share: float, draws: torch.Generator) -> Tensor:
    """(b, 1, h, w), 1 in the same number of patches of each image, at least one and not all where there are two."""
    count, (height, width) = shape[0], shape[-2:]
    rows, columns = -(-height // size), -(-width // size)
    patches = rows * columns
    hidden = min(max(1, round(share * patches)), max(1, patches - 1))
    order = torch.rand(count, patches, generator=draws).argsort(1).argsort(1)
    mask = (order < hidden).float().view(count, 1, rows, columns)
    return functional.interpolate(mask, scale_factor=size, mode="nearest")[..., :height, :width]


def projection(features: int, pixels: int, *, width: int) -> nn.Module:  # noqa: ARG001  # as others have it
    """Of simclr: one hidden layer, as wide as the features."""
    return nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, width))


def decoder(features: int, pixels: int) -> nn.Module:
    """Of masked_autoencoder: every pixel from all features."""
    return nn.Linear(features, pixels)


helpers["simclr"] = projection, ("width",)
helpers["masked_autoencoder"] = decoder, ()
passes["simclr"] = lambda _: 2.0
