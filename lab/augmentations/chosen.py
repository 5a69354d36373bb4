"""To change some samples of a batch, in pieces that a core's cache holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

PIECE = 2**19  # numbers; a change keeps a few tensors of this size at a time


@dataclass(frozen=True)
class Retouch:
    """Some samples are changed, each by settings of its own, which know nothing of the pixels.

    Args:
        chosen: (n,) which.
        change: a function of images (k, c, h, w) and the settings of these; gives images of the same shape.
        settings: (n, ...) each.
    """

    chosen: Tensor
    change: Callable[..., Tensor]
    settings: tuple[Tensor, ...] = ()

    keeps_type = False

    def part(self, samples: slice) -> Retouch:
        return Retouch(self.chosen[samples], self.change, tuple(part[samples] for part in self.settings))

    def of(self, images: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h, w); a sample that is not chosen keeps its bits."""
        return some_changed(images, self.chosen, self.change, *self.settings)


def some_changed(images: Tensor, chosen: Tensor, change: Callable[..., Tensor], *settings: Tensor) -> Tensor:
    """The batch with `change(samples, *their settings)` in place of the chosen samples; the others keep their bits.

    Args:
        images: (n, c, h, w), left as it is.
        chosen: (n,) bool.
        settings: (n, ...) each, handed on for the samples in question.
    """
    if images.device.type != "cpu":  # to ask how many are chosen would be to wait for the device
        return torch.where(chosen[:, None, None, None], change(images, *settings), images)
    if not chosen.any():
        return images
    if chosen.all():
        return all_changed(images, change, *settings)
    out = images.clone()
    change_some(out, chosen, change, *settings)
    return out


def all_changed(images: Tensor, change: Callable[..., Tensor], *settings: Tensor) -> Tensor:
    size = piece_size(images)
    if len(images) <= size:
        return change(images, *settings)
    out = torch.empty_like(images)
    for first in range(0, len(images), size):
        piece = slice(first, first + size)
        out[piece] = change(images[piece], *(part[piece] for part in settings))
    return out


def change_some(images: Tensor, chosen: Tensor, change: Callable[..., Tensor], *settings: Tensor) -> None:
    """Likewise, in the batch itself."""
    if images.device.type != "cpu":
        torch.where(chosen[:, None, None, None], change(images, *settings), images, out=images)
        return
    pixels, size = images.numpy(), piece_size(images)  # numpy puts samples back twice as fast as index_copy_
    places = np.flatnonzero(chosen.numpy())
    for first in range(0, len(places), size):
        some = places[first : first + size]
        parts = (part.index_select(0, torch.from_numpy(some)) for part in settings)
        pixels[some] = change(torch.from_numpy(pixels[some]), *parts).numpy()


def piece_size(images: Tensor) -> int:
    """How many samples to work on at a time."""
    return max(1, PIECE // max(1, images[0].numel())) if len(images) else 1


def each(setting: Tensor, images: Tensor) -> Tensor:
    """(n,) -> (n, 1, 1, 1) in the images' type."""
    return setting.to(images.dtype)[:, None, None, None]
