"""What came out of a sweep: its combinations in order, how far luck carries the best of them, and what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, fmean, variance
from typing import TYPE_CHECKING, Any

from lab.frames import frame_of
from lab.recipe import Recipe, flat, labels
from lab.sweeps.outcomes import Outcome
from lab.sweeps.plan import Point, Sweep

if TYPE_CHECKING:
    import pandas as pd

BEST = 10  # that are named first
FAILED = 20  # points that a terminal names: all of them might push the best out of sight
FEWEST_TO_TELL = 3  # combinations of which the best is in question


@dataclass(frozen=True)
class Combination:
    """The runs of one combination, over its seeds. accuracies: (final, validation split) of those that have one."""

    name: str
    recipe: Recipe
    points: tuple[Point, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def accuracies(self) -> list[float]:
        return [outcome.accuracy for outcome in self.outcomes if outcome.accuracy is not None]

    @property
    def complete(self) -> bool:
        """Whether every seed has an accuracy: others are not ranked among the best by what did not fail."""
        return len(self.accuracies) == len(self.points)

    @property
    def mean(self) -> float:
        return fmean(self.accuracies) if self.accuracies else float("nan")


@dataclass(frozen=True)
class Failure:
    """A point that did not finish: its row in every list."""

    name: str
    seed: int
    status: str
    detail: str
    attempts: int
    errors: tuple[str, ...]
    id: str


@dataclass(frozen=True)
class Findings:
    """combinations: the complete ones first, each kind by its mean. keys: what differs between the points."""

    sweep: Sweep
    combinations: tuple[Combination, ...]
    keys: tuple[str, ...]
    failures: tuple[Failure, ...]
    missing: int

    @property
    def complete(self) -> list[Combination]:
        """Those that are ranked, the best first."""
        return [each for each in self.combinations if each.complete]


def findings(sweep: Sweep, outcomes: Mapping[str, Outcome]) -> Findings:
    """Of what is known by now of the points that the sweep asks for."""
    members: dict[int, list[Point]] = {}
    for point in sweep.points:
        members.setdefault(point.combination, []).append(point)
    recipes = [points[0].recipe.changed(seed=sweep.base.seed) for points in members.values()]
    found = [
        Combination(name, recipe, tuple(points), tuple(outcomes[p.id] for p in points if p.id in outcomes))
        for name, recipe, points in zip(labels(recipes), recipes, members.values(), strict=True)
    ]
    ranked = sorted(found, key=lambda each: (not each.complete, not each.accuracies, -each.mean))
    failures = [
        failure(each.name, point, outcomes[point.id])
        for each in found
        for point in each.points
        if point.id in outcomes and outcomes[point.id].status != "finished"
    ]
    missing = sum(point.id not in outcomes for point in sweep.points)
    return Findings(sweep, tuple(ranked), tuple(varied(recipes)), tuple(failures), missing)


def failure(name: str, point: Point, outcome: Outcome) -> Failure:
    seed = point.recipe.seed
    return Failure(name, seed, outcome.status, outcome.detail, outcome.attempts, outcome.errors, point.id)


def varied(recipes: Sequence[Recipe]) -> list[str]:
    """Dotted keys whose values are not the same in all recipes; a key that some lack counts where the others differ."""
    leaves = [flat(recipe) for recipe in recipes]
    keys = dict.fromkeys(key for each in leaves for key in each)
    return [key for key in keys if len({in_words(each[key]) for each in leaves if key in each}) > 1]


def in_words(value: Any) -> str:
    return " + ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)


def contenders(found: Findings) -> list[Combination]:
    """The better half of the complete combinations, three at least: luck carries no other to the top."""
    return found.complete[: max(FEWEST_TO_TELL, -(-len(found.complete) // 2))]


def luck(found: Findings) -> float | None:
    """By how much the best of equally good contenders would lead their mean, by the spread between seeds alone.

    s / sqrt(n) * q((k - 0.375) / (k + 0.25)): s the standard deviation between the n seeds, pooled over the k
    contenders, q the normal quantile. None with one seed, or fewer than three combinations.

    Source: Blom 1958, Statistical Estimates and Transformed Beta-Variables (the expected largest of k).
    """
    rivals = contenders(found)
    variances = [variance(each.accuracies) for each in rivals if len(each.accuracies) > 1]
    if not variances or len(rivals) < FEWEST_TO_TELL:
        return None
    seeds, count = fmean(len(each.accuracies) for each in rivals), len(rivals)
    return sqrt(fmean(variances) / seeds) * NormalDist().inv_cdf((count - 0.375) / (count + 0.25))


def caution(found: Findings) -> str:
    """That the best of many is optimistic, and by how much, if that can be told."""
    if (count := len(found.complete)) < 2:
        return ""
    lead, rivals = luck(found), len(contenders(found))
    size = "With one seed, or so few combinations, nothing can be said of how much."
    if lead is not None:
        points = f"about {100 * lead:.1f} points, by the spread between seeds alone"
        size = f"Were the {rivals} highest equally good, the best would still lead their mean by {points}."
    return (
        f"The best of {count} combinations is partly the luckiest: it was chosen by these validation images and seeds. "
        f"{size} Try the few best again with other seeds: lab compare does so, and judges on the test images."
    )


def counts(found: Findings) -> str:
    """`7 of 8 points finished, 1 diverged; 2 of them took more than one attempt`."""
    outcomes = [outcome for each in found.combinations for outcome in each.outcomes]
    statuses = [outcome.status for outcome in outcomes]
    total = len(found.sweep.points)
    others = [f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses) if status != "finished"]
    parts = [f"{statuses.count('finished')} of {total} point{'s' * (total != 1)} finished", *others]
    parts += [f"{found.missing} not trained yet"] if found.missing else []
    again = sum(outcome.attempts > 1 for outcome in outcomes)
    tried = f"; {again} took more than one attempt" if again else ""
    repeated = f"; {found.sweep.repeated} left out, as others are the same recipe" if found.sweep.repeated else ""
    return f"{', '.join(parts)}{tried}{repeated}."


def line(place: int, each: Combination) -> str:
    """One row of the list of the best: `1. 95.2% (94.8 to 95.5, 2 seeds)  lr 0.3, width 64`."""
    span = f"{100 * min(each.accuracies):.1f} to {100 * max(each.accuracies):.1f}, " if len(each.accuracies) > 1 else ""
    seeds = f"{len(each.accuracies)} seed{'s' * (len(each.accuracies) != 1)}"
    return f"{place:2}. {100 * each.mean:5.1f}% ({span}{seeds})  {one_line(each.name)}"


def one_line(text: str) -> str:
    """So that no name or error can begin a line of its own."""
    return " ".join(text.split())


def report(found: Findings, most: int | None = None) -> str:
    """All of it as text: counts, the best with the caution, and what failed.

    Args:
        most: failures that are named, where the page has them all; None for each.
    """
    best = [line(place, each) for place, each in enumerate(found.complete[:BEST], start=1)]
    heading = "Best by validation accuracy after the last epoch, mean of the seeds:"
    failed = [
        f"{one_line(each.name)}, seed {each.seed}: {each.status} {one_line(each.detail)}".rstrip()
        for each in found.failures[:most]
    ]
    more = len(found.failures) - len(failed)
    failed += [f"and {more} more, which the page has"] if more > 0 else []
    lines = [counts(found), *([heading, *best, caution(found)] if best else [])]
    return "\n".join(filter(None, [*lines, *(["Did not finish:", *failed] if failed else [])]))


def frame(found: Findings) -> pd.DataFrame:
    """One row per combination: mean, lowest and highest accuracy, seeds with one, and what differs."""
    return frame_of([row(each, found.keys) for each in found.combinations])


def row(each: Combination, keys: Sequence[str]) -> dict[str, Any]:
    leaves, accuracies = flat(each.recipe), each.accuracies
    ends = (each.mean, min(accuracies), max(accuracies)) if accuracies else (None, None, None)
    numbers = dict(zip(("accuracy", "lowest", "highest"), ends, strict=True))
    return {**numbers, "seeds": len(accuracies), **{key: in_words(leaves[key]) for key in keys if key in leaves}}
