"""What frozen layers compute of each image, kept: training a last layer on it costs next to nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lab.data import Split
from lab.data.batches import batches
from lab.events import Looking
from lab.initializers import evaluating
from lab.last_layer import caught, end_of
from lab.recipe import Recipe
from lab.sight import Sight
from lab.transfer import cached, settle
from lab.used_weights import uses_other_weights

FEATURES_BATCH = 128  # images: deep networks leave a CPU cache with more, and say the same
Predict = Callable[[Tensor], Tensor]  # images or their features -> logits (b, classes)


class Kept(NamedTuple):
    """The network's last layer, and what it reads of the images of both splits: (n, features) in place of images."""

    layer: nn.Linear
    train: Split
    validation: Split


class Keeping(Sight):
    """A training has these: what its steps run through, the whole network or its last layer on kept features.

    Features are no part of a state: a training that goes on computes the same again.
    """

    validation_split: Split
    model: nn.Module
    autocast: torch.autocast
    workers: int
    step: int
    features: Kept | None = None

    @property
    def stepped_network(self) -> nn.Module:
        return self.features.layer if self.features else self.model

    @property
    def stepped_split(self) -> Split:
        return self.features.train if self.features else self.train_split

    def keep_features(self) -> Iterator[Looking]:
        """Compute what the last layer reads of each image, once, where that is the same at every step."""
        if self.features is None and (last := self.layer_on_features()) is not None:
            train = yield from self._features_of(last, self.train_split)
            validation = yield from self._features_of(last, self.validation_split)
            self.features = Kept(last, train, validation)
            settle(self.model)  # for good: nothing thaws any more

    def layer_on_features(self) -> nn.Linear | None:
        """The last layer, if all that it reads can be computed once."""
        if not keeps_features(self.recipe):
            return None
        images, _ = next(batches(self.train_split, torch.arange(1), 1, self.device))
        with self.autocast:
            return end_of(self.model, self.prepare(images))

    def _features_of(self, last: nn.Linear, split: Split) -> Generator[Looking, None, Split]:
        found: list[Tensor] = []
        parts = batches(split, torch.arange(len(split)), FEATURES_BATCH, self.device, self.workers)
        computing = features_of(self.model, last, (self.prepare(images) for images, _ in parts))
        while True:
            with self.autocast:  # not while whoever watches has the word
                part = next(computing, None)
            if part is None:
                return Split(torch.cat(found), split.labels.to(self.device))
            found.append(part)
            yield Looking(self.step, len(found))

    def stepped_validation(self, predict: Predict) -> tuple[Predict, Split]:
        """What the validation is looked at with: `predict` on images, or the last layer on what is kept of them."""
        return (
            (self.answer_of_features, self.features.validation) if self.features else (predict, self.validation_split)
        )

    def answer_of_features(self, features: Tensor) -> Tensor:
        """(b, features) -> logits (b, classes)."""
        assert self.features is not None
        with self.autocast:
            return self.features.layer(features)


def keeps_features(recipe: Recipe) -> bool:
    """Whether what the last layer reads is the same at every step, and all else is used as it was copied."""
    changes = bool(recipe.augment) or recipe.objective.name != "supervised"
    changes |= recipe.average.name != "nothing" or uses_other_weights(recipe.optimizer)
    return recipe.transfer.name in cached and not changes


@torch.no_grad()
def features_of(model: nn.Module, last: nn.Linear, batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """(b, features) of each batch of images: what the last layer reads when the network is at rest.

    Args:
        batches: images (b, c, h, w) as the network sees them.
    """
    found: list[Tensor] = []
    for images in batches:
        with evaluating(model), caught(last, found):
            model(images)
        yield found.pop()
