"""Comparisons of some tenths of a second, and pretended ones that train nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.compare import Comparison, Phase, Trial, compare
from lab.plans import Plan
from lab.recipe import Recipe
from lab.tuning import RateSearch

FEW = Recipe(modify=[{"name": "subset", "per_class": 10}], model={"name": "mlp", "width": 16}, epochs=2, batch_size=25)
ADAM = FEW.changed(optimizer={"name": "adam", "lr": 0.01})
QUICK: dict[str, Any] = {"seeds": 2, "trials": 3, "tuning_seeds": 2}
TWO = Plan(arms={"sgd": FEW, "adam": ADAM}, **QUICK)
Asked = tuple[Phase, str, float, int]
Outcome = Callable[[Asked], float | str | None]  # of a run: its accuracy, how it failed, or None if it diverged
CHANCE = 0.1
STEPS = 10  # of an epoch


class Pretended(Comparison):
    """A comparison that trains nothing: `outcome` says what comes out of each run, `asked` keeps the runs in order.

    No two arms may be the same recipe.
    """

    def __init__(self, plan: Plan, outcome: Outcome, **options: Any) -> None:
        super().__init__(plan, **options)
        self.outcome, self.asked = outcome, list[Asked]()

    def run(self) -> Pretended:
        super().run()
        return self

    def _first(self) -> None:
        """Nor what the arms would take their weights from."""

    def _trained(self, phase: Phase, recipes: Sequence[Recipe]) -> Iterator[tuple[int, Trial]]:
        names = {kind_of(arm): name for name, arm in self.arms.items()}
        for index, recipe in enumerate(recipes):
            asked = (phase, names[kind_of(recipe)], rate_of(recipe), recipe.seed)
            self.asked.append(asked)
            yield index, pretended_trial(phase, recipe, self.outcome(asked))


def kind_of(recipe: Recipe) -> str:
    """The same for all runs of an arm."""
    return recipe.changed(**{"optimizer.lr": 1.0, "seed": 0}).id


def rate_of(recipe: Recipe) -> float:
    return recipe.model_dump()["optimizer"]["lr"]


def pretended_trial(phase: Phase, recipe: Recipe, came_out: float | str | None) -> Trial:
    """Half as accurate after the first epoch, and from the second on as accurate as it ends."""
    failed = not isinstance(came_out, float)
    accuracy = CHANCE if failed else came_out
    diverged = failed and came_out != "stuck"
    return Trial(
        arm="",
        phase=phase,
        seed=recipe.seed,
        rate=rate_of(recipe),
        recipe=recipe.id,
        status=(came_out or "diverged") if failed else "finished",
        accuracy=accuracy,
        loss=float("nan") if diverged else 1 - accuracy,
        test_accuracy=None if phase == "search" else accuracy,
        epochs=recipe.epochs,
        steps=STEPS * recipe.epochs,
        seconds=0.25,
        flops=1e6,
        steps_per_epoch=STEPS,
        curve=() if diverged else (accuracy / 2, *[accuracy] * (recipe.epochs - 1)),
    )


def noise(seed: int) -> float:
    """Up to half a point either way, not regular, the same for all who ask."""
    return ((seed * 37 + 11) % 101 - 50) / 10_000


def by_distance(asked: Asked) -> float | None:
    """Every arm likes 0.03 best; a rate of 0.3 or more diverges with adam."""
    phase, name, rate, seed = asked
    if name == "adam" and rate > 0.3:
        return None
    return round(0.9 - abs(rate - 0.03) + noise(seed) + (0.01 if phase == "tuned" else 0), 4)


def small(arms: Mapping[str, Recipe], **options: Any) -> Comparison:
    """A real comparison."""
    return compare(arms, **{**QUICK, "device": "cpu", **options})


def search_of(comparison: Comparison, name: str) -> RateSearch:
    search = comparison.searches[name]
    assert isinstance(search, RateSearch)
    return search


def keys(trials: Sequence[Trial]) -> list[tuple[str, str, str]]:
    return [(trial.phase, trial.arm, trial.recipe) for trial in trials]


def without_clock(trials: Sequence[Trial]) -> list[str]:
    """What came out, in an order of its own, in a form where nan is equal to itself."""
    return sorted(repr(replace(trial, seconds=0)) for trial in trials)


def stopped_after(count: int, comparison: Comparison) -> list[Trial]:
    """What is told until one stops asking."""
    trials = iter(comparison)
    return [next(trials) for _ in range(count)]


def lines(folder: Path) -> list[str]:
    """The trials that a folder keeps."""
    return [line for line in (folder / "trials.jsonl").read_text().splitlines() if line]


# -- comparisons that have come as far as some trials ---------------------------------------------------------


def trial(arm: str, phase: Phase, seed: int, accuracy: float, **changes: Any) -> Trial:
    start = {"rate": 0.01, "recipe": "", "status": "finished", "loss": 0.1, "epochs": 3, "steps": 9, "seconds": 2.0}
    start |= {
        "flops": 1e9,
        "steps_per_epoch": 3,
        "curve": (accuracy - 0.2, accuracy - 0.1, accuracy),
        "test_accuracy": accuracy,
    }
    return Trial(arm=arm, phase=phase, seed=seed, accuracy=accuracy, **(start | changes))


def finals(scores: Mapping[str, Sequence[float]], phase: Phase = "given", **changes: Any) -> list[Trial]:
    return [trial(arm, phase, seed, score, **changes) for arm in scores for seed, score in enumerate(scores[arm])]


def come_to(trials: Sequence[Trial], arms: Mapping[str, Recipe], **settings: Any) -> Comparison:
    """One that has come as far as these trials; what a step takes need not be measured."""
    found = Comparison(Plan(arms=dict(arms), **{"seeds": 4, "trials": 3, "tuning_seeds": 2, **settings}))
    found.trials = list(trials)
    found.__dict__["step_seconds"] = dict.fromkeys(arms, 0.2)
    for each in trials:
        if each.phase == "search":
            found.searches[each.arm].tell(each.rate, each.seed, (each.accuracy, -each.loss))
    return found


def plain(*names: str) -> dict[str, Recipe]:
    """Arms that differ a little."""
    return {name: FEW.changed(label_smoothing=index / 100) for index, name in enumerate(names)}


def scored(scores: Mapping[str, Sequence[float]], **settings: Any) -> Comparison:
    """One without a search that has come to its end with these scores."""
    seeds = len(next(iter(scores.values())))
    return come_to(finals(scores), plain(*scores), **{"tune": False, "seeds": max(2, seeds), **settings})
