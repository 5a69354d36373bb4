"""What an objective has for one step, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab.last_layer import caught


class Measured(NamedTuple):
    """The loss of a step, and logits (b, classes) beside labels where there is an accuracy to speak of.

    labels: (b,) classes, or (b, classes) shares of each.
    """

    loss: Tensor
    logits: Tensor | None = None
    labels: Tensor | None = None


Measure = Callable[[], Measured]


@dataclass(frozen=True)
class Batch:
    """A batch as it was drawn, and the ways to look at it.

    Args:
        images: uint8 (b, c, h, w); labels: (b,).
        network: in training mode; last: its last layer, and helper: what learns beside it, for options with a helper.
        seen: images and labels -> both as a step sees them: augmented, normalised.
        strong: images -> the same augmented harder.
        unlabelled: so many images, drawn from those of the training split whose labels may be missing.
        draws: on the CPU; the same for a step however often it is begun anew.
        progress: the share of the run's steps that lies behind.
        label_smoothing, plain: of the recipe; whether it has no augmentations.
    """

    images: Tensor
    labels: Tensor
    network: nn.Module
    last: nn.Linear | None
    helper: nn.Module | None
    seen: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    strong: Callable[[Tensor], Tensor]
    unlabelled: Callable[[int], Tensor]
    draws: torch.Generator
    progress: float
    label_smoothing: float = 0.0
    plain: bool = False

    def view(self, images: Tensor | None = None) -> Tensor:
        """Images (these, or the batch's) as a step sees them, with augmentations drawn anew."""
        shown = self.images if images is None else images
        return self.seen(shown, torch.zeros(len(shown), dtype=torch.long, device=shown.device))[0]

    def answer(self, images: Tensor) -> Tensor:
        """Logits (b, classes)."""
        return at_least_float32(self.network(images))

    def helped(self, images: Tensor) -> Tensor:
        """What the helper makes of what the network's last layer reads of the images."""
        assert self.last is not None
        assert self.helper is not None
        found: list[Tensor] = []
        with caught(self.last, found):
            self.network(images)
        return at_least_float32(self.helper(found[0]))

    def error(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy in nats, with the recipe's label smoothing."""
        return functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)


def at_least_float32(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
