"""One run of a comparison, what is kept of it, and the file that keeps it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import torch

from lab.data import Split
from lab.data.batches import batches
from lab.events import Epoch
from lab.recipe import flat
from lab.steps import EVALUATION_BATCH
from lab.training import Training

Phase = Literal["search", "given", "tuned"]
MOST_LISTED = 1_000  # test images of which those that were missed are kept


@dataclass(frozen=True)
class Trial:
    """One run of a comparison.

    phase: "search" for a rate, "given" for the arm as it was given, "tuned" at the rate that was found.
    accuracy, loss: on the validation split after the last epoch; a run that diverged has the accuracy of chance. A
        search looks at no label of another domain: it has the source's accuracy instead, and training's loss.
    test_accuracy: with the final weights; not looked at in the search.
    curve: that accuracy after each epoch.
    settings: what the search chose, by dotted key; the learning rate among them.
    missed: places of the test images whose class was not named, of at most 1,000 images; None where that is not kept.
    also: what the objective measures beside the accuracy, by name, with the final weights: on test images too.
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
    missed: tuple[int, ...] | None = None
    also: tuple[tuple[str, float], ...] = ()

    @property
    def score(self) -> float:
        """What verdicts are about: accuracy on the test split where it was looked at."""
        return self.accuracy if self.test_accuracy is None else self.test_accuracy

    @property
    def beside(self) -> dict[str, float]:
        """What stands in `also`; with two domains their gap too: how much more is right in the source."""
        told = dict(self.also)
        return told | ({"gap": told["source"] - self.score} if "source" in told else {})


def trial_of(phase: Phase, session: Training) -> Trial:
    """What a training that has ended says; arm, rate and status are filled in by who asked for it."""
    epochs = session.history.epochs
    last = epochs[-1] if epochs else None
    good = last is not None and isfinite(last.validation_loss) and not session.history.diverged
    missed = missed_by(session) if good and phase != "search" else None
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
        test_accuracy=None if phase == "search" else score_on(session.data.test, missed),
        epochs=len(epochs),
        steps=steps,
        seconds=session.seconds,
        flops=session.learning_flops + session.flops_per_image * session.images_seen * steps / max(1, session.step),
        steps_per_epoch=session.steps_per_epoch,
        curve=tuple(judge(epoch)[0] for epoch in epochs),
        missed=missed if missed is None or len(session.data.test) <= MOST_LISTED else None,
        also=() if missed is None else tuple(session.also("test").items()),
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


def score_on(test: Split, missed: Sequence[int] | None) -> float:
    """Accuracy by what was missed; that of chance where a run diverged, which answers nothing."""
    return chance(test) if missed is None else (len(test) - len(missed)) / len(test)


@torch.inference_mode()
def missed_by(session: Training) -> tuple[int, ...]:
    """The look at the test split, one for each final run: places of the images whose class was not named."""
    test, weights = session.data.test, session.other_weights()
    parts = batches(test, torch.arange(len(test)), EVALUATION_BATCH, session.device)
    wrong = [session.answer(weights, images).argmax(1) != labels for images, labels in parts]
    return tuple(torch.cat(wrong).nonzero().flatten().tolist())


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
            fields["missed"] = None if fields.get("missed") is None else tuple(fields["missed"])
            fields["also"] = tuple((name, value) for name, value in fields.get("also", ()))
            trials.append(Trial(**fields))
        except (ValueError, TypeError, KeyError):
            continue
    return trials
