"""What a training tells whoever watches: events, the history they add up to, and the state between two steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal

from torch import Tensor

from lab.recipe import Recipe

CHANCE = "chance of "  # before a name: accuracy of guessing there
Status = Literal["finished", "stopped", "diverged", "stuck", "out_of_memory", "failed"]


@dataclass(frozen=True)
class Started:
    """Training begins, or goes on after `step` steps."""

    recipe: Recipe
    device: str
    parameters: int
    steps: int
    steps_per_epoch: int
    step: int = 0


@dataclass(frozen=True)
class Learning:
    """Before the first step an augmentation is in the middle of learning from the training split."""

    option: str


@dataclass(frozen=True)
class Learned:
    """Before the first step an augmentation has learned from the training split, which took so many seconds.

    It did so in this run, or in an earlier one of this process that learned the same.
    """

    option: str
    seconds: float


@dataclass(frozen=True)
class Step:
    """One update was made; its loss is not read yet."""

    step: int
    epoch: int


@dataclass(frozen=True)
class Looking:
    """In the middle of looking at the validation split; `batches` of it are done."""

    step: int
    batches: int


@dataclass(frozen=True)
class Metrics:
    """What a block of updates measured, read from the device at once.

    loss: mean nats per example of each batch; accuracy: fraction of each batch, of mixed samples by the class with the
    largest share; lr: rate of each update; seconds: spent in training since it began, without pauses.
    """

    first_step: int
    loss: list[float]
    accuracy: list[float]
    lr: list[float]
    seconds: float = 0.0


@dataclass(frozen=True)
class Epoch:
    """A pass over the training split is over, and the validation split was looked at."""

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float
    also: dict[str, float] = field(default_factory=dict[str, float])  # other accuracies, by what they are of

    @property
    def gap(self) -> float | None:
        """How much more is right in the domain that was learned than in that which is judged; None with one domain."""
        return self.also["source"] - self.validation_accuracy if "source" in self.also else None

    @property
    def beside(self) -> dict[str, float]:
        """All that was measured beside the accuracy, by name: other accuracies, and the gap between two domains."""
        return self.also | ({} if self.gap is None else {"gap": self.gap})

    @property
    def beside_words(self) -> str:
        """`source 0.9851, gap 0.3702`: empty where nothing was measured beside."""
        return beside_in_words({name: f"{value:.4f}" for name, value in self.beside.items()})


def beside_in_words(told: Mapping[str, str]) -> str:
    """`source 0.9851, gap 0.3702`, or `unseen 0.9000 (chance 0.3333)`, of numbers that are texts already."""
    chances = {name: f" (chance {told[CHANCE + name]})" for name in told if CHANCE + name in told}
    found = (f"{name} {said}{chances.get(name, '')}" for name, said in told.items() if not name.startswith(CHANCE))
    return ", ".join(found)


@dataclass(frozen=True)
class Finished:
    """The last event: how it ended, and in words why."""

    status: Status
    step: int
    detail: str = ""


Event = Started | Learning | Learned | Step | Looking | Metrics | Epoch | Finished


@dataclass
class History:
    """Per step and per epoch, as far as it was read."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)

    def add(self, event: Event) -> None:
        if isinstance(event, Metrics):
            self.loss += event.loss
            self.accuracy += event.accuracy
            self.lr += event.lr
        elif isinstance(event, Epoch):
            self.epochs.append(event)

    def copy(self) -> History:
        return History(list(self.loss), list(self.accuracy), list(self.lr), list(self.epochs))

    @property
    def validations(self) -> list[tuple[float, float]]:
        """Loss and accuracy on the validation split after each epoch so far."""
        return [(epoch.validation_loss, epoch.validation_accuracy) for epoch in self.epochs]

    @property
    def best(self) -> Epoch | None:
        """The epoch with the highest validation accuracy (the earliest of equals)."""
        return max(self.epochs, key=lambda epoch: epoch.validation_accuracy, default=None)

    @property
    def diverged(self) -> bool:
        """Whether the last loss that was read is not finite; nothing is read after it."""
        return bool(self.loss) and not isfinite(self.loss[-1])


@dataclass(frozen=True)
class State:
    """A run between two steps: its recipe's id, tensors by name, the optimizer's plain numbers, what was measured."""

    recipe: str
    tensors: dict[str, Tensor]
    scalars: dict[str, Any]
    step: int
    seconds: float
    history: History

    def weights(self) -> dict[str, Tensor]:
        """What the network is used with, by name: what it is trained with, or else what is used in its place."""
        return {**self.part("model."), **self.part("used.")}

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin so, by the rest of their names."""
        return {name.removeprefix(prefix): part for name, part in self.tensors.items() if name.startswith(prefix)}
