"""Objectives without labels: the network learns from the images alone, for others to take over."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from lab.catalogue import Knob, RecipeError
from lab.data.splits import DataError, Dataset
from lab.last_layer import end_of
from lab.objectives import objectives
from lab.objectives.losses import masked_error, nt_xent
from lab.objectives.objective import Batch, Moment, Objective
from lab.objectives.trunk import OnTrunk, features_of_last, in_full

without_labels = ("simclr", "masked_autoencoder")  # options that never look at a label
with_views = ("simclr", "pseudo_labels", "fixmatch")  # those that augment images whose labels they do not know

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
    data: Dataset, smoothing: float, *, temperature: Temperature = 0.5, width: ProjectedWidth = 128
) -> Objective:
    """Without labels: two augmented views of an image are to be alike, and unlike those of all other images.

    z = W2 relu(W1 h) ;  l_i = -ln( exp(s_ij / t) / sum_{k != i} exp(s_ik / t) ),  s the cosine of two z
    h is what the last layer reads; W1 and W2 are of no use afterwards. The augmentations decide what is learned: what
    they change, the network learns to overlook; a recipe without any has rand_augment and cutout here, and those
    that mix or make images are refused. Loss and accuracy on the validation images are those of a last layer fitted by
    softmax regression to h of training images and their labels, which nothing else looks at.

    Source: Chen et al. 2020, arXiv 2002.05709, eq. 1 and algorithm 1.
    """
    return SimClr(data, smoothing, temperature, width)


@objectives.add
def masked_autoencoder(data: Dataset, smoothing: float, *, masked: Masked = 0.75, patch: PatchSize = 2) -> Objective:
    """Without labels: guess what stands in the hidden patches of an image from those that are left.

    x' = (1 - m) x ;  loss = mean over hidden pixels of (W h(x') + b - x)^2
    h is what the last layer reads; W and b are of no use afterwards. Differs from the paper, so that it suits any
    network: hidden patches are set to the mean where there they are left out, and the decoder is one layer. Loss and
    accuracy on the validation images are those of a last layer fitted as for simclr.

    Raises:
        DataError: a patch is as large as the image.

    Source: He et al. 2022, arXiv 2111.06377, section 3; hidden patches that are seen, one layer as decoder: Xie et al.
    2022, arXiv 2111.09886 (SimMIM).
    """
    return MaskedAutoencoder(data, smoothing, masked, patch)


def hidden_patches(shape: torch.Size, size: int, share: float, draws: torch.Generator) -> Tensor:
    """(b, 1, h, w), 1 in the same number of patches of each image, at least one and not all where there are two."""
    count, (height, width) = shape[0], shape[-2:]
    rows, columns = -(-height // size), -(-width // size)
    patches = rows * columns
    hidden = min(max(1, round(share * patches)), max(1, patches - 1))
    order = torch.rand(count, patches, generator=draws).argsort(1).argsort(1)
    mask = (order < hidden).float().view(count, 1, rows, columns)
    return functional.interpolate(mask, scale_factor=size, mode="nearest")[..., :height, :width]


class WithoutLabels(Objective):
    """The last layer rests."""

    learns_classes = uses_labels = False

    def at_rest(self, model: nn.Module) -> nn.Module:
        """The model with its last layer frozen. Raises RecipeError where that is no fully connected one."""
        last = end_of(model, torch.zeros(1, *self.data.shape))
        if last is None:
            raise RecipeError(
                "An objective without labels learns what a last fully connected layer reads, but this network does not "
                "end with one: choose another model."
            )
        last.requires_grad_(requires_grad=False)
        return model


class WithProjection(OnTrunk):
    """Two layers to where views are compared."""

    def __init__(self, trunk: nn.Module, width: int) -> None:
        super().__init__(trunk)
        features = features_of_last(trunk)
        self.projection = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, width))


class SimClr(WithoutLabels):
    """Two views of each image."""

    takes_views = True

    def __init__(self, data: Dataset, smoothing: float, temperature: float, width: int) -> None:
        super().__init__(data, smoothing)
        self.temperature, self.width = temperature, width

    def network(self, model: nn.Module) -> nn.Module:
        return WithProjection(self.at_rest(model), self.width)

    def batch(self, images: Tensor, labels: Tensor, moment: Moment) -> Batch:
        first = moment.again(hard=True) if moment.plain else images
        return first, labels, moment.again(hard=moment.plain)

    def loss(self, network: Any, batch: Batch) -> tuple[Tensor, None]:
        places = network.projection(network.read(torch.cat([batch[0], batch[2]]))[0])
        with torch.autocast(places.device.type, enabled=False):
            first, second = in_full(places).tensor_split(2)
            return nt_xent(first, second, self.temperature), None


class WithDecoder(OnTrunk):
    """Every pixel from all features."""

    def __init__(self, trunk: nn.Module, pixels: int) -> None:
        super().__init__(trunk)
        self.decoder = nn.Linear(features_of_last(trunk), pixels)


class MaskedAutoencoder(WithoutLabels):
    """A part of each image from the rest."""

    def __init__(self, data: Dataset, smoothing: float, masked: float, patch: int) -> None:
        super().__init__(data, smoothing)
        self.masked, self.patch = masked, patch
        height, width = data.shape[1:]
        if patch >= max(height, width):
            raise DataError(
                f"A patch of {patch} pixels hides all of an image of {height} x {width}, and nothing is left to guess "
                f"from. Set patch to at most {max(height, width) - 1}."
            )

    def network(self, model: nn.Module) -> nn.Module:
        return WithDecoder(self.at_rest(model), math.prod(self.data.shape))

    def batch(self, images: Tensor, labels: Tensor, moment: Moment) -> Batch:
        return images, labels, hidden_patches(images.shape, self.patch, self.masked, moment.draws).to(images)

    def loss(self, network: Any, batch: Batch) -> tuple[Tensor, None]:
        images, _, mask = batch
        guessed = network.decoder(network.read(images * (1 - mask))[0])
        return masked_error(in_full(guessed).view(images.shape), images, mask), None
