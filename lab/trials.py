"""One run of a comparison, what is kept of it, and the file that keeps it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from lab.data import Split
from lab.events import Epoch
from lab.recipe import flat
from lab.training import Training

Phase = Literal["search", "given", "tuned"]


@dataclass(frozen=True)
class Trial:
    """One run of a comparison.

    phase: "search" for a rate, "given" for the arm as it was given, "tuned" at the rate that was found.
    accuracy, loss: on the validation split after the last epoch; a run that diverged has the accuracy of chance. A
        search looks at no label of another domain: it has the source's accuracy instead, and training's loss.
    test_accuracy: with the final weights; not looked at in the search.
    curve: that accuracy after each epoch.
    settings: what the search chose, by dotted key; the learning rate among them.
    """

    arm: str
    phase: Phase
    seed: int
    rate: float
    recipe: str
    status: str
    accuracy: float
    loss: float
    test_accuracy: float | None
    epochs: int
    steps: int
    seconds: float
    flops: float
    steps_per_epoch: int = 0
    curve: tuple[float, ...] = ()
    settings: tuple[tuple[str, float], ...] = ()

    @property
    def score(self) -> float:
        """What verdicts are about: accuracy on the test split where it was looked at."""
        return self.accuracy if self.test_accuracy is None else self.test_accuracy


def trial_of(phase: Phase, session: Training) -> Trial:
    """What a training that has ended says; arm, rate and status are filled in by who asked for it."""
    epochs = session.history.epochs
    last = epochs[-1] if epochs else None
    good = last is not None and isfinite(last.validation_loss) and not session.history.diverged
    judge = in_source if phase == "search" and session.data.shift else in_validation
    steps = len(session.history.loss)  # a run that diverged went on until that was noticed, which depends on the clock
    return Trial(
        arm="",
        phase=phase,
        seed=session.recipe.seed,
        rate=flat(session.recipe)["optimizer.lr"],
        recipe=session.recipe.id,
        status="",
        accuracy=judge(last)[0] if last and good else chance(session.validation_split),
        loss=judge(last)[1] if last and good else float("nan"),
        test_accuracy=None if phase == "search" else tested(session) if good else chance(session.data.test),
        epochs=len(epochs),
        steps=steps,
        seconds=session.seconds,
        flops=session.learning_flops + session.flops_per_image * session.images_seen * steps / max(1, session.step),
        steps_per_epoch=session.steps_per_epoch,
        curve=tuple(judge(epoch)[0] for epoch in epochs),
    )


def in_validation(epoch: Epoch) -> tuple[float, float]:
    """Accuracy and loss on the validation split."""
    return epoch.validation_accuracy, epoch.validation_loss


def in_source(epoch: Epoch) -> tuple[float, float]:
    """Accuracy on validation images of the domain that was learned, and the loss of training."""
    return epoch.also["source"], epoch.train_loss


def epochs_to(trial: Trial, target: float) -> int | None:
    """After how many epochs the validation accuracy first was `target`; None if it never was."""
    return next((epoch for epoch, accuracy in enumerate(trial.curve, start=1) if accuracy >= target), None)


def tested(session: Training) -> float:
    """The look at the test split: one for each final run."""
    return session.evaluate(session.data.test)[1]


def chance(split: Split) -> float:
    """Accuracy of always naming the most frequent class."""
    return float(split.labels.bincount().max()) / len(split)


def end_last_line(path: Path) -> None:
    """So that what is added does not go on with a line that was cut off."""
    if not path.read_bytes().endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")


def read_trials(path: Path) -> list[Trial]:
    """Trials of a folder; a last line that was cut off is passed over."""
    trials = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            fields: dict[str, Any] = json.loads(line)
            fields["curve"] = tuple(fields["curve"])
            fields["settings"] = tuple((key, value) for key, value in fields["settings"])
            trials.append(Trial(**fields))
        except (ValueError, TypeError, KeyError):
            continue
    return trials
