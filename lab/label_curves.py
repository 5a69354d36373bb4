"""Accuracy against labels: one plan, compared again for each number of labelled images of a class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.catalogue import RecipeError
from lab.compare import Comparison, Phase
from lab.frames import frame_of
from lab.plans import Plan
from lab.recipe import Recipe, checked
from lab.transfer import transfers
from lab.verdicts import Verdict, verdict

if TYPE_CHECKING:
    import pandas as pd

COUNTS = (1, 2, 5, 10, 50, None)  # labelled images of each class; None: all there are
BASELINE = "scratch"
PER_CLASS = "-per-class"  # how the folders of comparisons end


def transfer_arms(recipe: Recipe, names: Iterable[str] = ()) -> dict[str, Recipe]:
    """Scratch, then each of these transfers of the recipe's source, by name; its own transfer keeps its settings.

    Args:
        names: of the catalogue `transfers`; all of them by default.
    Raises:
        RecipeError: the recipe has no source; an unknown transfer; one that does not go with the rest of the recipe.
    Example:
        >>> list(transfer_arms(Recipe(source={"name": "run", "folder": "runs/first"}), ["whole", "features"]))
        ['scratch', 'whole', 'features']
    """
    if checked(recipe).source.name == "nothing":
        raise RecipeError(
            "Transfers take weights from a source, but the recipe has none: set source, for example "
            "source='{name: run, folder: runs/FOLDER}', and the model that its weights are of."
        )
    chosen = [transfers.parse(name).name for name in names] or list(transfers)
    others = [name for name in dict.fromkeys(chosen) if name != BASELINE]
    fresh = {"init": "he_normal"} if recipe.init.name == "pretrained" else {}  # as layers without a source start
    arms = {name: recipe if recipe.transfer.name == name else recipe.changed(transfer=name) for name in others}
    return {BASELINE: recipe.changed(transfer=BASELINE, **fresh), **arms}


def with_labels(recipe: Recipe, count: int | None) -> Recipe:
    """The recipe with so many labelled images of each class, whatever it had; its place in the list stays.

    Whether few images are chosen before the others change something or after decides which ones they are.
    """
    if count is None:
        return recipe.changed(modify=[choice for choice in recipe.modify if choice.name != "subset"])
    if all(choice.name != "subset" for choice in recipe.modify):
        return recipe.changed(modify=[*recipe.modify, {"name": "subset", "per_class": count}])
    return recipe.changed(**{"modify.subset.per_class": count})


class LabelDraws(Comparison):
    """A comparison whose seeds decide too which images have labels, where that is few: intervals hold that luck."""

    def _recipe(self, name: str, point: Any, seed: int) -> Recipe:
        found = super()._recipe(name, point, seed)
        few = any(choice.name == "subset" for choice in found.modify)
        return found.changed(**{"modify.subset.draw": seed}) if few else found


def label_curve(
    plan: Plan, counts: Sequence[int | None] = COUNTS, *, folder: str | Path | None = None, **where: Any
) -> dict[int | None, Comparison]:
    """Run a plan for each number of labels: its arms, seeds and search are the same, its rates are sought anew.

    So are its epochs, and an epoch is a pass over the labelled images: from one number to the next updates grow with
    the labels (20 steps of the default recipe at 1 label of each digit, 400 at all). Arms at one number are compared
    fairly; a line's rise is that of labels and updates together.

    A seed decides the start, the order of batches, and which images have labels: it is the draw of `subset` too.

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
    return {
        count: comparison.run()
        for count, comparison in curve_comparisons(plan, counts, folder=folder, kind=LabelDraws, **where)
    }


def curve_comparisons(
    plan: Plan, counts: Sequence[int | None], *, folder: str | Path | None, kind: type[LabelDraws], **where: Any
) -> Iterator[tuple[int | None, Comparison]]:
    """Those of `label_curve`, each of the kind, and to be run before the next is asked for."""
    if not counts or len(set(counts)) < len(counts):
        raise RecipeError(f"counts is {counts!r}, but must be numbers of labels, each once; None stands for all.")
    plans = {count: at_labels(plan, count) for count in counts}
    for count in counts:
        place = Path(folder) / place_of(count) if folder else None
        yield count, kind(plans[count], folder=place, **where)


def at_labels(plan: Plan, count: int | None) -> Plan:
    """The plan with so many labelled images of each class."""
    return plan.model_copy(update={"arms": {name: with_labels(arm, count) for name, arm in plan.arms.items()}})


def place_of(count: int | None) -> str:
    """The folder of a comparison at so many labels."""
    return f"{count or 'all'}{PER_CLASS}"


def label_table(found: Mapping[int | None, Comparison], phase: Phase) -> pd.DataFrame:
    """A row for each number of labels and each pair with the first arm: mean accuracies, and their paired difference.

    low, high: interval of (arm - first arm) at the plan's level, corrected for all rows; where the plan may stop early
    one that holds whenever one stops. outcome: what it says of the arm.

    Raises:
        RecipeError: the plan has no such phase.
    """
    return frame_of([row_of(count, each) for count, judged in label_verdicts(found, phase).items() for each in judged])


def label_verdicts(found: Mapping[int | None, Comparison], phase: Phase) -> dict[int | None, list[Verdict]]:
    """Of each arm against the first, at each number of labels, corrected for all of them together."""
    return {count: verdicts_in(comparison, phase, len(found)) for count, comparison in found.items()}


def scores_in(comparison: Comparison, phase: Phase) -> dict[str, list[float]]:
    """Test accuracies by arm. Raises RecipeError where the plan has no such phase."""
    if phase not in comparison.phases:
        there = " and ".join(comparison.phases)
        raise RecipeError(
            f"phase is {phase!r}, but this plan has {there} alone: its rates were not tuned (tune: false)."
        )
    return comparison.scores(phase)


def verdicts_in(comparison: Comparison, phase: Phase, counts: int) -> list[Verdict]:
    scores, plan = scores_in(comparison, phase), comparison.plan
    first, *others = scores
    judged = partial(
        verdict, level=plan.level, comparisons=counts * len(others), worth=plan.worth, sequential=comparison.sequential
    )
    return [judged(name, first, scores[name], scores[first]) for name in others]


def row_of(count: int | None, found: Verdict) -> dict[str, Any]:
    return {
        "per_class": count,
        "arm": found.a,
        "accuracy": found.mean_a,
        f"accuracy of {found.b}": found.mean_b,
        "low": found.interval.low,
        "high": found.interval.high,
        "outcome": found.outcome,
    }


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
