"""The network of a training as it is used: with which weights, what it answers, how often it is right."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from lab.data import Split
from lab.data.batches import batches
from lab.events import CHANCE
from lab.features import Keeping
from lab.last_layer import caught
from lab.objectives import Look, Objective, readout
from lab.objectives.objective import Part
from lab.objectives.trunk import OnTrunk, in_full
from lab.steps import EVALUATION_BATCH, evaluation, loss_and_accuracy
from lab.used_weights import answer, spread, statistics, used_weights

SAME = 1e-6  # of the largest feature: what float32 may make of one number that was computed twice


class Answering(Keeping):
    """A training has these; what it is trained with and what it is used with may differ."""

    optimizer: torch.optim.Optimizer
    objective: Objective
    average: dict[str, Tensor]

    def evaluate(self, split: Split) -> tuple[float, float]:
        """Loss and accuracy on a split in inference mode: stored BatchNorm statistics, no dropout."""
        predict = partial(self.answer, self.other_weights())
        return loss_and_accuracy(evaluation(predict, split, self.device), len(split))

    def weights(self) -> dict[str, Tensor]:
        """All that the network is used with, by name: what evaluation sees and a finished run keeps."""
        return {**self.model.state_dict(), **self.other_weights()}

    def other_weights(self) -> dict[str, Tensor]:
        """By name what the network is used with in place of what it is trained with: a mean, and statistics for it.

        Or statistics of images that the objective adapts to, or a last layer where no labels have taught it.
        """
        if not self.objective.uses_labels:
            weights = self.average_weights()
            return {**weights, **self._fitted_last_layer(weights)}
        if self.objective.adapts_to is None:
            return self.average_weights()
        weights = self.average or used_weights(self.model, self.optimizer)
        return {**weights, **self._statistics(weights, self.objective.adapts_to)}

    def average_weights(self) -> dict[str, Tensor]:
        """The same without adapting to other images."""
        weights = self.average or used_weights(self.model, self.optimizer)
        return {**weights, **self._statistics(weights, self.train_split)} if weights else {}

    def _statistics(self, weights: dict[str, Tensor], split: Split) -> dict[str, Tensor]:
        with self.autocast:
            return statistics(self.model, weights, self._plain_images(split))

    def _fitted_last_layer(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """By name a last layer that answers from what the others compute of training images; labels serve this alone.

        Args:
            weights: used in place of the network's own, by name.
        """
        network, found, labels = self.model, list[Tensor](), list[Tensor]()
        assert isinstance(network, OnTrunk)
        last = f"trunk.{network.last}"
        for index in spread(len(self.train_split)):
            for images, some in batches(self.train_split, index, len(index), self.device):
                with torch.no_grad(), caught(network.get_submodule(last), found):
                    self.answer(weights, images)
                labels.append(some)
        fitted = readout(in_full(torch.cat(found)), torch.cat(labels), len(self.data.classes))
        return {f"{last}.{name}": value.to(self.dtype) for name, value in zip(("weight", "bias"), fitted, strict=True)}

    def tells_images_apart(self) -> bool:
        """Whether what the last layer reads differs at all between a batch of validation images."""
        network, found, count = self.model, list[Tensor](), min(EVALUATION_BATCH, len(self.validation_split))
        assert isinstance(network, OnTrunk)
        images, _ = next(batches(self.validation_split, torch.arange(count), count, self.device))
        with torch.no_grad(), caught(network.get_submodule(f"trunk.{network.last}"), found):
            self.answer(self.average_weights(), images)
        features = in_full(found[0])
        return count < 2 or bool((features - features[0]).abs().max() > SAME * features.abs().max())

    def _plain_images(self, split: Split) -> Iterator[Tensor]:
        """Some of the images as the network sees them, without augmentation."""
        for index in spread(len(split)):
            for images, _ in batches(split, index, len(index), self.device):
                yield self.prepare(images)

    def answer(self, weights: dict[str, Tensor], images: Tensor, task: str = "") -> Tensor:
        """uint8 (b, c, h, w) -> logits (b, classes) of the network as it is used, not as it is trained.

        Args:
            task: another question than the class, where the objective's network has answers to several.
        """
        with self.autocast:
            return answer(self.model, weights, self.prepare(images), task)

    def also(self, part: Part = "validation") -> dict[str, float]:
        """What the objective measures beside the accuracy, by name; where it has one, its chance too."""
        found: dict[str, float] = {}
        for look in self.objective.looks(part):
            found[look.name] = self._accuracy_of(look)
            found |= {} if look.chance is None else {CHANCE + look.name: look.chance}
        return found

    def _accuracy_of(self, look: Look) -> float:
        weights = self.average_weights() if look.as_trained else self.other_weights()
        predict = partial(self.answer, weights, task=look.task)
        return loss_and_accuracy(evaluation(predict, look.split, self.device), len(look.split))[1]
