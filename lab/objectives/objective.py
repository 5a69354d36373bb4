"""What every objective answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab.data.splits import Dataset, Split

Batch = tuple[Tensor, ...]  # what a step sees: images and labels, and whatever else the objective put there
Part = Literal["validation", "test"]


@dataclass(frozen=True)
class Moment:
    """A step: its own draws, on the host; how much of the run lies behind it (0 to 1); how other images are seen.

    prepare: uint8 images anywhere -> what the network sees of them, on its device, without augmentation.
    images: the batch, uint8, before it was augmented; view: images like these -> what the network sees of them, with
    augmentations drawn anew, where `hard` with more of them; plain: whether the recipe has none. Scripts lack these.
    """

    draws: torch.Generator
    progress: float
    prepare: Callable[[Tensor], Tensor]
    images: Tensor | None = None
    view: Callable[[Tensor, bool], Tensor] | None = None
    plain: bool = True

    def again(self, images: Tensor | None = None, *, hard: bool = False) -> Tensor:
        """Another view of these images, or of the batch."""
        assert self.view is not None
        shown = self.images if images is None else images
        assert shown is not None
        return self.view(shown, hard)


@dataclass(frozen=True)
class Look:
    """What is measured beside the accuracy of the run: how many of these images are answered rightly.

    task: which of the network's answers, where it has several; as_trained: with the statistics of batch normalisation
    that training has left, whatever the network is used with; chance: accuracy of guessing, where that is shown beside.
    """

    name: str
    split: Split
    task: str = ""
    as_trained: bool = False
    chance: float | None = None


class Objective:
    """Learn the class of each image; other objectives change some of this."""

    learns_classes = True  # whether a training accuracy at chance means that nothing is learned
    uses_labels = True  # else the last layer rests, and is fitted to what it reads whenever the network is looked at
    takes_views = False  # whether its steps look at images otherwise than they have been augmented for it
    adapts_to: Split | None = None  # images from which batch normalisation takes its statistics for use

    def __init__(self, data: Dataset, smoothing: float) -> None:
        self.data, self.smoothing = data, smoothing

    @property
    def names_classes(self) -> bool:
        """Whether labels teach the model's last layer a number for each class: who takes weights over asks for that."""
        return self.learns_classes

    @property
    def meanings(self) -> dict[str, list[str]]:
        """What the numbers of layers stand for that it has taught beside the classes, by the layers' names.

        A network of the same objective takes over those that stand for the same: see `take_beside`.
        """
        return {}

    def outputs(self) -> int:
        """How many numbers the recipe's model gives for an image."""
        return len(self.data.classes)

    def network(self, model: nn.Module) -> nn.Module:
        """What is trained: the recipe's model, with what the objective puts on it. Its weights are drawn afterwards.

        Called with images alone, it gives logits (b, classes).
        """
        return model

    def batch(self, images: Tensor, labels: Tensor, moment: Moment) -> Batch:  # noqa: ARG002  # others need it
        """What the step sees; labels (b,) or shares (b, classes) stay second. All of its random draws are made here.

        Args:
            images: as the network sees them.
        """
        return images, labels

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Loss (mean nats) of what the step sees, and logits (b, classes) of it, unless no label is used."""
        logits = network(batch[0])
        return self.classified(logits, batch[1]), logits

    def classified(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy in at least float32."""
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return functional.cross_entropy(exact, labels, label_smoothing=self.smoothing)

    def looks(self, part: Part) -> tuple[Look, ...]:
        """What else is measured: the domain that was learned, where another one is judged; classes without images."""
        shift, found = self.data.shift, list[Look]()
        if shift is not None:
            found.append(Look("source", getattr(shift, part), as_trained=self.adapts_to is not None))
        if self.data.unseen:
            found.append(Look("unseen among all", self.unseen(part), chance=1 / len(self.data.classes)))
        return tuple(found)

    def unseen(self, part: Part) -> Split:
        """Images of the classes that have none in training."""
        split = getattr(self.data, part)
        return split.take(torch.isin(split.labels.cpu(), torch.tensor(self.data.unseen)).nonzero().flatten())
