"""Which augmentations keep an image's class: what a trained network says to changed validation images.

Each operation is tried alone, on every image (p = 1), at several strengths: the places of its slider. The strength is
its first setting that has a usual range and is not the probability p (a few name another, see `strengths.py`, where it
also stands which of them are the stronger the smaller it is); an operation without one has a single strength.

The rule. Of the images of a class that the network names right as they are, some are still named right once changed:
the share that the class keeps. An operation changes the class, at a strength, when its typical class (the median over
the classes) keeps less than three quarters, and chance does not explain it: 95% of the medians lie below, corrected for
the number of operations and strengths tried. Each class's share is drawn from its Beta posterior (Jeffreys' prior).

Why the typical class, and not the accuracy alone: a network also fails at what it has merely never seen. Of the clothes
of Fashion-MNIST all shoes point to the left; a network that was trained without flips knows hardly any that points to
the right, and loses a quarter of its accuracy there, but the other classes keep all. Digits lose most classes. So an
operation that hits some classes only is not flagged; those that keep less than half are named, for a person to look
at. The rule cannot tell a new class from an image in which nothing can be seen any more (too much blur), nor from
something that is strange to the network in all classes: one that was trained with an operation judges it more kindly.

Operations that mix samples are left out: there is no class to keep. So are those that learn to make
images of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
import scipy
import torch
from torch import Tensor

from lab.augmentations import Pending, augmentations, extend, learners
from lab.catalogue import Choice, RecipeError, unknown
from lab.data.batches import batches, to_float
from lab.diagnostics.predictions import filled
from lab.diagnostics.strengths import choices_at
from lab.runs import Run
from lab.sample_grids import generator_of
from lab.steps import EVALUATION_BATCH, at_least_float32, enough_threads
from lab.training import Training
from lab.used_weights import answer
from lab.verdicts import LEVEL

IMAGES, STRENGTHS = 2_000, 5
KEPT = 0.75  # what the typical class should keep at least
HIT = 0.5  # a class that keeps less is named
FEWEST = 5  # images of a class that are named right: fewer say nothing about it
DRAWS = 20_000
CAVEAT = "CLASS NOT KEPT is as this run sees it: it may only be at a loss before images that it was not trained on."


@dataclass(frozen=True)
class Probed:
    """One operation at one strength.

    setting: what the strength is of; empty where there is none. accuracy: on the changed images. difference: from
    the same images as they are, a fraction, with its interval from low to high. kept: share that the typical class
    keeps; kept_high: what it is below at the corrected level. hit: classes that keep less than half.
    """

    operation: str
    setting: str
    strength: float
    accuracy: float
    difference: float
    low: float
    high: float
    kept: float
    kept_high: float
    hit: tuple[str, ...]

    @property
    def changes_the_class(self) -> bool:
        return self.kept_high < KEPT

    @property
    def name(self) -> str:
        return f"{self.operation} {self.setting}={self.strength:g}" if self.setting else self.operation


@dataclass(frozen=True)
class LabelProbe:
    """What each operation did to the accuracy on the same images; left_out: operations that were not tried."""

    accuracy: float
    images: int
    level: float
    probed: tuple[Probed, ...]
    left_out: tuple[str, ...]

    @property
    def flagged(self) -> list[Probed]:
        """What changes the class, or hides it."""
        return [each for each in self.probed if each.changes_the_class]

    def of(self, operation: str) -> list[Probed]:
        """One operation, its strengths in the order of the slider."""
        return [each for each in self.probed if each.operation == operation]

    def facts(self) -> dict[str, Any]:
        """For machines."""
        probed = [asdict(each) | {"changes_the_class": each.changes_the_class} for each in self.probed]
        head = {"accuracy": self.accuracy, "images": self.images, "level": self.level}
        return {**head, "probed": probed, "left_out": list(self.left_out)}

    def __str__(self) -> str:
        if not self.probed:
            return "There is no operation to try."
        width = max(len(each.name) for each in self.probed)
        lines = [f"{each.name:{width}}  {words(each)}" for each in self.probed]
        end = [f"Left out, as they mix or make images: {', '.join(self.left_out)}."] if self.left_out else []
        caveat = [CAVEAT] if self.flagged else []
        return "\n".join([f"{'as they are':{width}}  {100 * self.accuracy:5.1f}%", *lines, *caveat, *end])


def words(each: Probed) -> str:
    points = f"{100 * each.difference:+6.1f} [{100 * each.low:+.1f}, {100 * each.high:+.1f}]"
    hit = f"; costs {', '.join(each.hit)}" if each.hit and not each.changes_the_class else ""
    return f"{100 * each.accuracy:5.1f}%  {points}" + ("  CLASS NOT KEPT" if each.changes_the_class else hit)


def label_probe(
    of: Run | Training,
    *,
    operations: Sequence[str] | None = None,
    strengths: int = STRENGTHS,
    images: int = IMAGES,
    seed: int = 0,
    level: float = LEVEL,
    device: str | torch.device | None = None,
) -> LabelProbe:
    """Try the operations of the catalogue on validation images; equal seeds, equal draws at every strength.

    Args:
        operations: by name; all by default.
        strengths: places of each slider, both ends among them. images: at most so many, spread over the split.
        level: of all intervals together.
    Raises:
        ValueError: no such operation, or a number that makes no sense.
        RunError, DataError, DeviceError: as for `predictions`.
    """
    for name, value, least in (("strengths", strengths, 1), ("images", images, 2)):
        if value < least:
            raise ValueError(f"{name} is {value}, but must be at least {least}.")
    if strangers := [name for name in operations or () if name not in augmentations]:
        raise RecipeError(unknown(augmentations.kind, strangers[0], augmentations))
    session = of if isinstance(of, Training) else filled(of, device, count_look=False)
    asker = Asker(session, images)
    wanted = operations or augmentations
    answers = {name: None if name in learners else asker.answers(name, strengths, seed) for name in wanted}
    kept = {name: found for name, found in answers.items() if found is not None}
    tried = sum(map(len, kept.values()))
    probed = [asker.judged(one, level=1 - (1 - level) / max(1, tried)) for found in kept.values() for one in found]
    left_out = tuple(name for name in answers if name not in kept)
    return LabelProbe(float(asker.right.double().mean()), len(asker.labels), level, tuple(probed), left_out)


# -- what the network says --------------------------------------------------------------------------------------


class Answered(NamedTuple):
    """right: (n,) whether each changed image is named right."""

    operation: str
    setting: str
    strength: float
    right: Tensor


class Asker:
    """Some validation images, and a network that is asked what it sees in them.

    images: (n, c, h, w) float from 0 to 1; labels, right: (n,), right: whether it names the image as it is.
    """

    def __init__(self, session: Training, images: int) -> None:
        self.session, self.weights = session, session.other_weights()
        split = session.validation_split
        order = torch.linspace(0, len(split) - 1, min(images, len(split))).long()
        found = list(batches(split, order, EVALUATION_BATCH, session.device))
        self.parts = [(to_float(part, session.dtype), labels) for part, labels in found]
        self.labels = torch.cat([labels for _, labels in found]).cpu()
        self.right = torch.cat([self._right(part, labels) for part, labels in self.parts])

    def answers(self, operation: str, strengths: int, seed: int) -> list[Answered] | None:
        """At every strength, with the same draws at each; None of an operation that changes labels."""
        found: list[Answered] = []
        for setting, strength, choice in choices_at(operation, strengths):
            right = self._changed(choice, seed)
            if right is None:
                return None
            found.append(Answered(operation, setting, strength, right))
        return found

    def _changed(self, choice: Choice, seed: int) -> Tensor | None:
        right: list[Tensor] = []
        for number, (part, labels) in enumerate(self.parts):
            draws = torch.Generator(self.session.device)
            draws.manual_seed(generator_of(seed, choice.name, number).initial_seed())
            batch = Pending(part, labels, len(self.session.data.classes))
            extend(batch, choice, draws)
            if batch.labels is not labels:
                return None
            right.append(self._right(batch.images, labels))
        return torch.cat(right)

    @torch.inference_mode()
    def _right(self, images: Tensor, labels: Tensor) -> Tensor:
        session = self.session
        with session.autocast, enough_threads(session.device, session.flops_per_step):
            logits = answer(session.model, self.weights, session.normalised(images))
        return (at_least_float32(logits).argmax(1) == labels).cpu().clone()

    def judged(self, found: Answered, *, level: float) -> Probed:
        before, after = self.right.numpy(), found.right.numpy()
        low, high = paired_interval(before, after, level)
        counts = self._kept(found.right)
        kept, kept_high = typical(counts, level)
        hit = tuple(name for name, (right, count) in counts.items() if right < HIT * count)
        accuracy = float(after.mean())
        named = found.operation, found.setting, found.strength
        return Probed(*named, accuracy, accuracy - float(before.mean()), low, high, kept, kept_high, hit)

    def _kept(self, right: Tensor) -> dict[str, tuple[int, int]]:
        """Of each class how many images are still named right, of how many that were; classes with too few aside."""
        both, size = self.right & right, len(self.session.data.classes)
        counts = [self.labels[which].bincount(minlength=size).tolist() for which in (both, self.right)]
        named = zip(self.session.data.classes, *counts, strict=True)
        return {name: (still, count) for name, still, count in named if count >= FEWEST}


def paired_interval(before: np.ndarray, after: np.ndarray, level: float) -> tuple[float, float]:
    """Of the difference of two shares of the same n images, each (n,) of bool.

    d -+ z sqrt(b + c - (c - b)^2 / n) / n, with half an image added to each of the four counts: of those that are
    only right before (b), only after (c), always and never.

    Source: Agresti & Min 2005, Statistics in Medicine 24, 729-740.
    """
    lost, won, count = float((before & ~after).sum()) + 0.5, float((~before & after).sum()) + 0.5, len(before) + 2
    middle = (won - lost) / count
    half = float(scipy.special.ndtri((1 + level) / 2)) * sqrt(won + lost - (won - lost) ** 2 / count) / count
    return max(-1.0, middle - half), min(1.0, middle + half)


def typical(kept: dict[str, tuple[int, int]], level: float) -> tuple[float, float]:
    """Median over the classes of the share they keep, and what it is below at this level; 1 without any class."""
    if not kept:
        return 1.0, 1.0
    right, count = np.array(list(kept.values()), dtype=float).T
    drawn = np.random.default_rng(0).beta(right + 0.5, count - right + 0.5, size=(DRAWS, len(kept)))
    return float(np.median(right / count)), float(np.quantile(np.median(drawn, axis=1), level))
