"""Choices of seconds: digits as files, a tiny network, and contests that train nothing, by a clock of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from small_comparisons import pretended_trial
from small_runs import TINY_CNN

from lab.choosing import Contest, Standing
from lab.data import datasets, load
from lab.plans import Plan
from lab.recipe import Recipe
from lab.runs import train

QUICK = ["epochs=2", "--seeds", "2", "--device", "cpu"]


def digits_in(root: Path, classes: int = 3, each: int = 8) -> Path:
    """Real digits as PNGs, a folder for each class."""
    split = load(datasets.parse("digits")).train
    for label in range(classes):
        (root / f"digit {label}").mkdir(parents=True)
        for index, image in enumerate(split.images[split.labels == label][:each]):
            Image.fromarray(image[0].numpy()).save(root / f"digit {label}" / f"{index}.png")
    return root


def earlier_run(folder: Path) -> Path:
    """A run whose network is tiny, of grey images of 8 pixels."""
    recipe = Recipe(model={**TINY_CNN, "norm": "batch"}, optimizer={"name": "adam", "lr": 0.01}, epochs=1)
    train(recipe, folder=folder, progress=False, device="cpu")
    return folder


def stood(name: str, scores: Sequence[float], **known: Any) -> Standing:
    """A way as it came out; its images are not known unless they are given."""
    usual = {"missed": (None,) * len(scores), "rate": 0.001, "seconds": 1.0, "trained": 100, "bytes": 1000}
    return Standing(name=name, scores=tuple(scores), **(usual | known))


class Timed(Contest):
    """A contest that trains nothing: every run takes a second of a clock that nothing else moves."""

    def __init__(self, plan: Plan, seconds: float, outcome: Callable[[str, float, int], float], **options: Any) -> None:
        self.now, self.outcome, self.asked = 0.0, outcome, list[tuple[str, str, float, int]]()
        super().__init__(plan, seconds=seconds, clock=lambda: self.now, **options)

    def _runs(self, phase: Any, recipes: Sequence[Recipe]) -> Iterator[tuple[int, Any]]:
        for index, recipe in enumerate(recipes):
            name = next(name for name, arm in self.arms.items() if arm.transfer == recipe.transfer)
            rate = recipe.model_dump()["optimizer"]["lr"]
            self.asked.append((phase, name, rate, recipe.seed))
            self.now += 1.0
            self.told(recipe, None)  # pyright: ignore[reportArgumentType]
            trial = pretended_trial(phase, recipe, self.outcome(name, rate, recipe.seed))
            yield index, replace(trial, seconds=1.0)
