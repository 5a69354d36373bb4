"""The search for several settings of an arm at once, on their usual ranges: Optuna's sampler decides what to try."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

from lab.catalogue import Choice, Knob, RecipeError, knob_of
from lab.installing import pip_install
from lab.recipe import CATALOGUES, Recipe, flat
from lab.tuning import FINALS, Score

if TYPE_CHECKING:
    import optuna

EDGE = 0.02  # of a range: what lies so near its end counts as at it
ROUND = 4  # points that train together; more would know less of each other
MISSING = "To tune more than the learning rate, Optuna is needed: {}"
Point = tuple[tuple[str, float], ...]  # dotted keys of a recipe and their values


class KnobSearch:
    """One arm's search over several knobs, with the same questions and answers as a `RateSearch`.

    Args:
        recipe: its own settings are the first point that is tried.
        keys: dotted, for example `optimizer.momentum`; the learning rate is always among what is searched.
        trials: points to try; the best third then meets all tuning seeds.
    Raises:
        RecipeError: a key that is no number with a usual range, or Optuna is not installed.

    Source: Bergstra et al., NeurIPS 2011 (TPE); Akiba et al. 2019, arXiv 1907.10902 (Optuna).
    """

    settled = True  # the ranges are the knobs' own and do not widen

    def __init__(
        self, recipe: Recipe, keys: Sequence[str], trials: int, seeds: tuple[int, ...], finals: float = FINALS
    ) -> None:
        self.trials, self.seeds, self.finals = trials, seeds, finals
        self.ranges = {key: range_of(recipe, key) for key in dict.fromkeys(["optimizer.lr", *keys])}
        self.centre: Point = tuple((key, float(flat(recipe)[key])) for key in self.ranges)
        self.scores: dict[Point, dict[int, Score]] = {}
        self._asked: dict[Point, Any] = {}
        self._study = new_study()

    def explore(self) -> list[tuple[Point, int]]:
        count = min(self.trials - len(self.scores), ROUND)
        points = [self.centre] if not self.scores and count else []
        for _ in range(count - len(points)):
            point = self._suggested()
            points += [point] if point not in points and point not in self.scores else []
        return [(point, self.seeds[0]) for point in points]

    def _suggested(self) -> Point:
        trial = self._study.ask()
        point = tuple((key, suggested(trial, key, knob)) for key, knob in self.ranges.items())
        self._asked[point] = trial
        return point

    def decide(self) -> list[tuple[Point, int]]:
        return [(point, seed) for point in self.finalists for seed in self.seeds if seed not in self.scores[point]]

    def tell(self, point: Point, seed: int, score: Score) -> None:
        self.scores.setdefault(point, {})[seed] = score
        if trial := self._asked.pop(point, None):
            self._study.tell(trial, score[0])

    @property
    def finalists(self) -> list[Point]:
        ranked = sorted(self.scores, key=lambda point: self.scores[point][self.seeds[0]], reverse=True)
        return ranked[: math.ceil(len(ranked) * self.finals)]

    @property
    def best(self) -> Point:
        def merit(point: Point) -> tuple[int, float]:
            scores = self.scores[point].values()
            return len(scores), sum(accuracy for accuracy, _ in scores) / len(scores)

        return max(self.finalists, key=merit)

    @property
    def edges(self) -> list[str]:
        """Keys whose best value lies at the end of its range."""
        return [key for key, value in (self.best if self.scores else ()) if at_end(value, self.ranges[key])]

    @staticmethod
    def overrides(point: Point) -> Mapping[str, float]:
        return dict(point)

    def snapshot(self) -> KnobSearch:
        still = copy(self)
        still.scores = {point: dict(scores) for point, scores in self.scores.items()}
        return still


def range_of(recipe: Recipe, key: str) -> Knob:
    field, _, name = key.partition(".")
    choice = getattr(recipe, field, None)
    settings = CATALOGUES[field][choice.name].model_fields if isinstance(choice, Choice) else Recipe.model_fields
    info = settings.get(name or field)
    knob = knob_of(info) if info else None
    if info is None or knob is None or info.annotation is not float:
        raise RecipeError(f"{key} cannot be tuned: it is no number with a usual range in {choice or recipe}.")
    return knob


def suggested(trial: optuna.Trial, key: str, knob: Knob) -> float:
    return tidy(trial.suggest_float(key, knob.low, knob.high, log=knob.log))


def tidy(value: float) -> float:
    """Three digits that a person can type; just below 1, where a beta may lie, of the distance from 1."""
    return round(1 - float(f"{1 - value:.3g}"), 12) if 0.9 < value < 1 else float(f"{value:.3g}")


def at_end(value: float, knob: Knob) -> bool:
    """Within a fiftieth of the range of one of its ends, or beyond it."""
    scale = math.log if knob.log else float
    low, high, place = (scale(each) for each in (knob.low, knob.high, value))
    return not low + EDGE * (high - low) < place < high - EDGE * (high - low)


def new_study() -> optuna.Study:
    try:
        import optuna  # noqa: PLC0415  # an optional package
    except ImportError:
        raise RecipeError(MISSING.format(pip_install("optuna"))) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=5))
