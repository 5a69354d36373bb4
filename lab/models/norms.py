"""Normalisation layers by name, for vectors (n, c), images (n, c, h, w) and sequences of vectors (n, steps, c)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

MOST_GROUPS = 32
LEAST_CHANNELS = 4  # in a group: one number alone would be normalised to 0
EPS = 1e-5  # as torch's LayerNorm has it; its RMSNorm would take that of the precision, which bfloat16 makes large


def normalisation(kind: str, channels: int) -> list[nn.Module]:
    """The layer that normalises `channels` channels; none for "nothing".

    batch: over the images of the batch and all places (Ioffe & Szegedy 2015), see BatchNorm.
    layer: over all channels and places of one image (Ba et al. 2016), a group norm with one group.
    group: the same for each of several groups of channels (Wu & He 2018), see `groups_of`.
    """
    if kind == "batch":
        return [BatchNorm(channels)]
    if kind == "layer":
        return [nn.GroupNorm(1, channels)]
    return [nn.GroupNorm(groups_of(channels), channels)] if kind == "group" else []


def vector_norm(kind: str, width: int) -> list[nn.Module]:
    """The layer that normalises each vector of a sequence (n, steps, width) by itself; none for "nothing".

    layer: to mean 0 and variance 1 (Ba et al. 2016); rms: to mean square 1, its mean stays (Zhang & Sennrich 2019).
    """
    if kind == "layer":
        return [nn.LayerNorm(width, eps=EPS)]
    return [RMSNorm(width, eps=EPS)] if kind == "rms" else []


def groups_of(channels: int) -> int:
    """The largest divisor of the channels up to 32 that leaves at least four channels to a group.

    Wu & He 2018, arXiv 1803.08494, take 32 groups. With 64 channels that is two a group, and where an image is one
    pixel, as in the last layers of small images, two numbers are always normalised to -1 and 1.
    """
    most = max(1, min(MOST_GROUPS, channels // LEAST_CHANNELS))
    return next(groups for groups in range(most, 0, -1) if channels % groups == 0)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation of vectors or images that also takes a batch of one number per channel.

    One number has no variance: torch refuses it. The last batch of an epoch can be a single image, and deep layers
    one pixel; such a batch is normalised with the stored statistics and does not move them.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        """(n, c) or (n, c, h, w) -> the same shape."""
        if self.training and input.numel() == input.size(1):
            return functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        """Any number of places, none included."""


class RMSNorm(nn.RMSNorm):
    """The mean square, with a weight in the precision of what it multiplies: torch warns of others, and is slower."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> the same shape."""
        return functional.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)
