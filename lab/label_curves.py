"""Accuracy against labels: one plan, compared again for each number of labelled images of a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.catalogue import RecipeError
from lab.compare import Comparison, Phase
from lab.frames import frame_of
from lab.plans import Plan
from lab.recipe import Recipe
from lab.verdicts import interval

if TYPE_CHECKING:
    import pandas as pd

COUNTS = (1, 2, 5, 10, 50, None)  # labelled images of each class; None: all there are


def with_labels(recipe: Recipe, count: int | None) -> Recipe:
    """The recipe with so many labelled images of each class, whatever it had; draw and place in the list stay.

    Whether few images are chosen before the others change something or after decides which ones they are.
    """
    if count is None:
        return recipe.changed(modify=[choice for choice in recipe.modify if choice.name != "subset"])
    if all(choice.name != "subset" for choice in recipe.modify):
        return recipe.changed(modify=[*recipe.modify, {"name": "subset", "per_class": count}])
    return recipe.changed(**{"modify.subset.per_class": count})


def label_curve(
    plan: Plan, counts: Sequence[int | None] = COUNTS, *, folder: str | Path | None = None, **where: Any
) -> dict[int | None, Comparison]:
    """Run a plan for each number of labels: its arms, seeds and search are the same, its rates are sought anew.

    So are its epochs, and an epoch is a pass over the labelled images: from one number to the next updates grow with
    the labels (20 steps of the default recipe at 1 label of each digit, 400 at all). Arms at one number are compared
    fairly; a line's rise is that of labels and updates together.

    Args:
        counts: labelled images of each class; None for all.
        folder: keeps a comparison for each of them, to go on from.
        where: device, data_budget_bytes, workers of `training`.
    Raises:
        RecipeError: no number, or one twice; a number of labels that cannot be. Nothing has been run then.
    Example:
        >>> plan = Plan(arms={"sgd": Recipe(epochs=1), "adam": Recipe(epochs=1, optimizer="adam")}, seeds=2, tune=False)
        >>> list(label_curve(plan, (1, 5)))
        [1, 5]
    """
    if not counts or len(set(counts)) < len(counts):
        raise RecipeError(f"counts is {counts!r}, but must be numbers of labels, each once; None stands for all.")
    arms = {count: {name: with_labels(arm, count) for name, arm in plan.arms.items()} for count in counts}
    found: dict[int | None, Comparison] = {}
    for count in counts:
        place = Path(folder) / f"{count or 'all'}-per-class" if folder else None
        found[count] = Comparison(plan.model_copy(update={"arms": arms[count]}), folder=place, **where).run()
    return found


def label_table(found: Mapping[int | None, Comparison], phase: Phase) -> pd.DataFrame:
    """A row for each number of labels and each pair with the first arm: mean accuracies, and their paired difference.

    low, high: interval of (arm - first arm) at the plan's level, corrected for all rows; where the plan may stop early
    one that holds whenever one stops.

    Raises:
        RecipeError: the plan has no such phase.
    """
    rows = [row for count, comparison in found.items() for row in rows_of(count, comparison, phase, len(found))]
    return frame_of(rows)


def scores_in(comparison: Comparison, phase: Phase) -> dict[str, list[float]]:
    """Test accuracies by arm. Raises RecipeError where the plan has no such phase."""
    if phase not in comparison.phases:
        there = " and ".join(comparison.phases)
        raise RecipeError(
            f"phase is {phase!r}, but this plan has {there} alone: its rates were not tuned (tune: false)."
        )
    return comparison.scores(phase)


def rows_of(count: int | None, comparison: Comparison, phase: Phase, counts: int) -> list[dict[str, Any]]:
    scores = scores_in(comparison, phase)
    first, *others = scores
    level = 1 - (1 - comparison.plan.level) / (counts * len(others))
    rows: list[dict[str, Any]] = []
    for name in others:
        differences = [a - b for a, b in zip(scores[name], scores[first], strict=True)]
        span = interval(differences, level, sequential=comparison.sequential)
        means = {which: sum(scores[which]) / len(scores[which]) for which in (first, name)}
        rows.append(
            {
                "per_class": count,
                "arm": name,
                "accuracy": means[name],
                f"accuracy of {first}": means[first],
                "low": span.low,
                "high": span.high,
            }
        )
    return rows


def labels_to(target: float, curve: Mapping[int, float]) -> float | None:
    """Labels of each class at which the accuracy first is `target`; None if it never is.

    Between two numbers it is taken to be straight on the logarithm of labels; there with the fewest, it is those.

    Args:
        curve: accuracy by labels of each class.
    Example:
        >>> labels_to(0.75, {1: 0.5, 4: 1.0})
        2.0
    """
    below: tuple[int, float] | None = None
    for count, accuracy in sorted(curve.items()):
        if accuracy >= target:
            return between(below, (count, accuracy), target) if below else float(count)
        below = count, accuracy
    return None


def between(low: tuple[int, float], high: tuple[int, float], target: float) -> float:
    """Where a line through two points (labels, accuracy), labels on their logarithm, is at `target`."""
    share = (target - low[1]) / (high[1] - low[1])
    return low[0] * (high[0] / low[0]) ** share
