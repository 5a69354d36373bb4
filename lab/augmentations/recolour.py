"""Colours changed in a straight line: brightness, contrast, saturation and negatives, however many of them, are one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lab.augmentations.chosen import each, some_changed

LUMA = (0.2989, 0.587, 0.114)  # red, green and blue in grey: ITU-R BT.601, rounded as torchvision does


@dataclass(frozen=True)
class Recolour:
    """Every pixel's channels x become `own x + grey g + mean m + offset`, cut off at 0 and 1.

    g is the pixel's grey: 0.2989 red + 0.587 green + 0.114 blue, or the mean of the channels where they are not three;
    m is the mean of g over the image.

    Args:
        own, grey, mean, offset: (n,); 1, 0, 0 and 0 leave a sample as it is.
        channels: of the images.
    """

    own: Tensor
    grey: Tensor
    mean: Tensor
    offset: Tensor
    channels: int

    keeps_type = False

    def then(self, later: Recolour) -> Recolour:
        """Both as one, nothing cut off at black and white in between."""
        of_grey = sum(LUMA) if self.channels == 3 else 1.0  # the grey of a grey pixel; rounded weights sum to 0.9999
        own_and_grey = later.own.add(later.grey, alpha=of_grey)
        shade = self.own.add(self.grey, alpha=of_grey)  # what becomes of the grey, but for the mean and the offset
        return Recolour(
            later.own * self.own,
            torch.addcmul(later.own * self.grey, later.grey, shade),
            torch.addcmul(own_and_grey * self.mean, later.mean, shade.add(self.mean, alpha=of_grey)),
            torch.addcmul(later.offset, own_and_grey.add(later.mean, alpha=of_grey), self.offset),
            self.channels,
        )

    def part(self, samples: slice) -> Recolour:
        own, grey, mean, offset = (part[samples] for part in (self.own, self.grey, self.mean, self.offset))
        return Recolour(own, grey, mean, offset, self.channels)

    def of(self, images: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h, w) within 0 and 1; a sample that keeps its colours keeps its bits."""
        settings = (self.own, self.grey, self.mean, self.offset)
        differs = torch.stack([self.own - 1, *settings[1:]]).any(0)
        return some_changed(images, differs, recoloured, *settings)


def recoloured(images: Tensor, own: Tensor, grey: Tensor, mean: Tensor, offset: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, h, w) within 0 and 1; the others (n,) as a Recolour's."""
    own, grey, mean, offset = (each(part, images)[..., 0] for part in (own, grey, mean, offset))
    pixels, weights = images.flatten(2), grey_weights(images)
    shift = torch.addcmul(offset, mean, weights @ pixels.mean(2, keepdim=True))
    shade = torch.baddbmm(shift, grey * weights, pixels)
    return torch.addcmul(shade, pixels, own).clamp_(0, 1).view_as(images)


def grey_weights(images: Tensor) -> Tensor:
    """(1, c) by which the channels of (n, c, h, w) images are one grey."""
    channels = images.shape[1]
    weights = torch.tensor([LUMA if channels == 3 else [1 / channels] * channels], dtype=images.dtype)
    return weights.to(images.device, non_blocking=True)
