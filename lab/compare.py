"""A fair comparison: arms at the rates given and each at its own tuned rate, paired seeds, and what may be said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy
from dataclasses import asdict, replace
from functools import cached_property, partial
from math import comb, inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lab.catalogue import RecipeError
from lab.comparison_folder import ComparisonFolder, same_work
from lab.events import Event, Finished
from lab.first import trained_first
from lab.frames import frame_of
from lab.knobs import KnobSearch
from lab.many import Many
from lab.plans import COUNTED, Plan, arm_names, equal_budget, seconds_per_epoch
from lab.recipe import Recipe, checked, flat
from lab.steps import is_out_of_memory, no_memory, pick_device
from lab.store import RunError, holding
from lab.trials import Phase, Trial, epochs_to, trial_of
from lab.tuning import RateSearch, widen
from lab.verdicts import Interval, Verdict, doubled_interval, sensitivity, verdicts

if TYPE_CHECKING:
    import pandas as pd

TUNING_SEEDS = 10_000  # where the seeds of the search begin: never those of the final runs
FAILED = (-1.0, -inf)  # to a search, a run that failed is worse than one below chance
FAILURES = ("diverged", "stuck")
LOOKS = 4  # with stop_early, how often the verdict is looked at

Wanted = tuple[str, Any, int]  # an arm, a point of its search, a seed
Question = Literal["explore", "decide"]
QUESTIONS: tuple[Question, ...] = ("explore", "decide")


class Comparison:
    """Runs a plan, and knows what came out so far. Iterate it for trials as they end; what is known is not redone.

    Args:
        folder: keeps the plan and every trial; a comparison with the same folder goes on where it was left.
        before: a comparison whose trials need not be made again, for example of the same plan with fewer seeds; if
            its verdict could be seen, this one's intervals are valid at every look.
        where: device, data_budget_bytes, workers of `training`.
    """

    def __init__(
        self, plan: Plan, *, folder: str | Path | None = None, before: Comparison | None = None, **where: Any
    ) -> None:
        self.plan, self.where = plan, where
        self.told: Callable[[Recipe, Event], None] = lambda *_: None  # hears every event of every run
        self.kept = ComparisonFolder(Path(folder), plan) if folder else None
        self.arms, self.uneven = self._arms(before)
        self.searches = {name: self._search(recipe) for name, recipe in self.arms.items()}
        self.trials: list[Trial] = []
        known = [*(before._known.values() if before else ()), *(self.kept.trials() if self.kept else ())]
        self._known = {(trial.phase, trial.arm, trial.recipe): trial for trial in known}
        self.looked = (before is not None and before.seen_by(plan)) or (
            self.kept is not None and self.kept.looked(sequential=plan.stop_early)
        )
        self._judged: dict[tuple[Phase, int, bool], list[Verdict]] = {}
        self._changed: dict[tuple[str, str, int, bool], Interval] = {}

    def _arms(self, before: Comparison | None) -> tuple[dict[str, Recipe], float]:
        """The arms with the epochs of the budget, those from before if there are any; and how uneven that leaves it."""
        if before and same_work(before.plan, self.plan):
            return before.arms, before.uneven
        epochs, uneven = (self.kept.epochs() if self.kept else None) or (None, 0.0)
        if epochs:
            return {name: arm.changed(epochs=epochs[name]) for name, arm in self.plan.arms.items()}, uneven
        with fitting(self.where):
            if self.plan.budget not in COUNTED:
                self._first()
            return equal_budget(self.plan, **self.where)

    def _first(self) -> None:
        """Train what arms take their weights from."""
        for recipe in self.plan.first.values():
            trained_first(recipe, self.told, **self.where)

    def seen_by(self, plan: Plan) -> bool:
        """Whether a plan that goes on from here was made with a verdict in sight."""
        judged = any(self.judged(phase) for phase in self.phases)
        return self.looked or (judged and (self.sequential or plan.seeds != self.plan.seeds))

    def _search(self, recipe: Recipe) -> RateSearch | KnobSearch:
        seeds = tuple(range(TUNING_SEEDS, TUNING_SEEDS + self.plan.tuning_seeds))
        if self.plan.tune and self.plan.knobs:
            knobs = [key for key in self.plan.knobs if key in flat(recipe)]  # another arm's optimizer may have others
            return KnobSearch(recipe, knobs, self.plan.trials, seeds, self.plan.finalists)
        return RateSearch(flat(recipe)["optimizer.lr"], self.plan.trials, seeds, self.plan.finalists)

    def __iter__(self) -> Iterator[Trial]:
        self.trials, self._judged, self._changed = [], {}, {}  # what is known comes back in another order
        self.searches = {name: self._search(recipe) for name, recipe in self.arms.items()}
        with holding(self.kept.path) if self.kept else nullcontext():
            if self.kept:
                self.kept.start({name: arm.epochs for name, arm in self.arms.items()}, self.uneven)
            with fitting(self.where):
                self._first()
                if self.plan.tune:
                    yield from self._tune()
                yield from self._seeds()
            if self.kept:
                self.kept.note_look(sequential=self.sequential)

    def snapshot(self) -> Comparison:
        """What is known by now, for another thread: it does not change any more."""
        still = copy(self)
        still.trials = list(self.trials)
        still.searches = {name: search.snapshot() for name, search in self.searches.items()}
        return still

    def run(self) -> Comparison:
        for _ in self:
            pass
        return self

    # -- search ---------------------------------------------------------------------------------------------

    def _tune(self) -> Iterator[Trial]:
        going = True
        while going:
            for question in QUESTIONS:
                while wanted := self._wanted(question):
                    yield from self._try(wanted)
            going = self._widens()

    def _widens(self) -> bool:
        """Whether the search goes on with more rates for every arm, because one of them is not settled."""
        return widen(list(self.searches.values()), self.plan.trials)

    def _wanted(self, question: Question) -> list[Wanted]:
        searches = self.searches.items()
        return [(name, point, seed) for name, search in searches for point, seed in getattr(search, question)()]

    def _try(self, wanted: Sequence[Wanted]) -> Iterator[Trial]:
        points = {(name, str(self._recipe(name, point, seed).id)): point for name, point, seed in wanted}
        for trial in self._train("search", wanted):
            self.searches[trial.arm].tell(points[trial.arm, trial.recipe], trial.seed, self._merit(trial))
            yield trial

    def _merit(self, trial: Trial) -> tuple[float, float]:
        """What the search is for: accuracy, or being early at the target; of equals the lower loss."""
        if not isfinite(trial.loss):
            return FAILED
        if self.plan.budget != "target" or self.plan.target is None:
            return trial.accuracy, -trial.loss
        epochs = epochs_to(trial, self.plan.target)
        return (1 / epochs if epochs else 0.0), trial.accuracy

    def _recipe(self, name: str, point: Any, seed: int) -> Recipe:
        return self.arms[name].changed(**self.searches[name].overrides(point), seed=seed)

    def point(self, name: str, phase: Phase) -> Any:
        """What an arm's search has to say about its final runs: a rate, or several settings."""
        return self.searches[name].best if phase == "tuned" else self.searches[name].centre

    def rate(self, name: str, phase: Phase) -> float:
        """The learning rate of an arm in its final runs."""
        return self.searches[name].overrides(self.point(name, phase))["optimizer.lr"]

    # -- final runs -----------------------------------------------------------------------------------------

    @property
    def phases(self) -> list[Phase]:
        """Of the final runs."""
        return ["given", "tuned"] if self.plan.tune else ["given"]

    def _seeds(self) -> Iterator[Trial]:
        for seeds in self._looks():
            for phase in self.phases:
                # Seed by seed: stacks then mix the arms, and an equal share of their time is a fair one.
                wanted = [(name, self.point(name, phase), seed) for seed in seeds for name in self.arms]
                yield from self._train(phase, wanted)
            if (
                self.plan.stop_early
                and all(self._clear(phase) for phase in self.phases)
                and not self._known_beyond(seeds)
            ):
                return

    def _known_beyond(self, seeds: range) -> bool:
        """Whether later seeds are there already: what was seen is not left out."""
        return any(phase != "search" and trial.seed >= seeds.stop for (phase, *_), trial in self._known.items())

    def _looks(self) -> Iterable[range]:
        """The seeds in one go, or in portions with a look at the verdict after each."""
        size = max(2, -(-self.plan.seeds // LOOKS)) if self.plan.stop_early else self.plan.seeds
        return [range(first, min(first + size, self.plan.seeds)) for first in range(0, self.plan.seeds, size)]

    def _clear(self, phase: Phase) -> bool:
        found = self.verdicts(phase)
        return bool(found) and all(verdict.winner for verdict in found)

    def _train(self, phase: Phase, wanted: Sequence[Wanted]) -> Iterator[Trial]:
        recipes = [self._recipe(name, point, seed) for name, point, seed in wanted]
        known = [self._known.get((phase, name, recipe.id)) for recipe, (name, *_) in zip(recipes, wanted, strict=True)]
        for trial in known:
            if trial is not None:
                yield self._keep(trial)
        rest = [place for place, trial in enumerate(known) if trial is None]
        for place, trial in self._trained(phase, [recipes[place] for place in rest]):
            name, point, _ = wanted[rest[place]]
            settings = tuple(self.searches[name].overrides(point).items())
            yield self._keep(replace(trial, arm=name, settings=settings), new=True)

    def _trained(self, phase: Phase, recipes: Sequence[Recipe]) -> Iterator[tuple[int, Trial]]:
        many = Many(recipes, at_end=partial(trial_of, phase), keep=False, **self.where)
        for index, event in many:
            self.told(recipes[index], event)
            if isinstance(event, Finished):
                if event.status == "out_of_memory":  # says nothing about an arm
                    raise RunError(event.detail)
                yield index, replace(many.results.pop(index), status=event.status)

    def _keep(self, trial: Trial, *, new: bool = False) -> Trial:
        self.trials.append(trial)
        self._known[trial.phase, trial.arm, trial.recipe] = trial
        if new and self.kept:
            self.kept.add(trial)
        return trial

    # -- what came out --------------------------------------------------------------------------------------

    def scores(self, phase: Phase) -> dict[str, list[float]]:
        """Test accuracy by arm, in the order of the seeds that every arm has."""
        final = {(trial.arm, trial.seed): trial.score for trial in self.trials if trial.phase == phase}
        seeds = [seed for seed in range(self.plan.seeds) if all((name, seed) in final for name in self.arms)]
        return {name: [final[name, seed] for seed in seeds] for name in self.arms}

    def verdicts(self, phase: Phase) -> list[Verdict]:
        """Every pair of arms, the better mean first."""
        scores = self.scores(phase)
        if min(map(len, scores.values())) < 2:
            return []
        key = phase, len(next(iter(scores.values()))), self.sequential
        if key not in self._judged:
            plan = self.plan
            self._judged[key] = verdicts(scores, level=plan.level, worth=plan.worth, sequential=self.sequential)
        return self._judged[key]

    def change(self, a: str, b: str) -> tuple[Interval, float]:
        """How much tuning has changed the difference a - b: an interval corrected for all pairs, and the mean."""
        given, tuned = (self.scores(phase) for phase in ("given", "tuned"))
        seeds = min(len(given[a]), len(tuned[a]))
        moved = np.subtract(tuned[a], tuned[b])[:seeds] - np.subtract(given[a], given[b])[:seeds]
        key = a, b, seeds, self.sequential
        if key not in self._changed:
            level = 1 - (1 - self.plan.level) / comb(len(self.arms), 2)
            self._changed[key] = doubled_interval(moved, level, sequential=self.sequential)
        return self._changed[key], float(moved.mean())

    @property
    def sequential(self) -> bool:
        """Whether intervals must hold at every look: after each portion of seeds, or when more follow a verdict."""
        return self.plan.stop_early or self.looked

    @property
    def stopped_early(self) -> bool:
        """Whether every verdict was clear before all seeds were there."""
        seeds = min(map(len, self.scores("given").values()))
        return self.plan.stop_early and 0 < seeds < self.plan.seeds and all(map(self._clear, self.phases))

    def judged(self, phase: Phase) -> bool:
        """Whether a verdict may be shown: with a fixed number of seeds only when all are there."""
        there = min(map(len, self.scores(phase).values()))
        return there >= 2 and (self.sequential or there == self.plan.seeds)

    def frame(self) -> pd.DataFrame:
        """One row per trial."""
        return frame_of([asdict(trial) for trial in self.trials], list(Trial.__annotations__))

    def table(self) -> pd.DataFrame:
        """One row per arm: rates, mean test accuracies, runs that failed, and how wide the range of good rates is."""
        return frame_of([self._row(name) for name in self.arms]).set_index("arm")

    def _row(self, name: str) -> dict[str, Any]:
        row: dict[str, Any] = {"arm": name}
        for phase in self.phases:
            trials = self.of(name, phase)
            scores = [trial.score for trial in trials]
            row |= {
                f"{phase} rate": self.rate(name, phase) if trials else None,
                f"{phase} accuracy": float(np.mean(scores)) if scores else None,
                f"{phase} sd": float(np.std(scores, ddof=1)) if len(scores) > 1 else None,
                **self._failed(name, phase),
            }
        return row | (self._width(name) if self.plan.tune else {})

    def _failed(self, name: str, phase: Phase) -> dict[str, Any]:
        found = self.failures(phase)[name]
        return {f"{phase} {status}": found[status] for status in FAILURES}

    def _width(self, name: str) -> dict[str, Any]:
        """The range of rates within a point of the best, and what became of all the runs of the search."""
        tried = self.by_rate(name)
        best = self.rate(name, "tuned") if tried else None  # of several seeds, which one lucky seed does not outdo
        chosen = best if best in tried else None
        found = sensitivity(list(tried), list(tried.values()), chosen=chosen) if tried else None
        low, high, decades, cut_off = found or (None, None, None, None)
        widths = {"good from": low, "good to": high, "decades": decades, "cut off": cut_off}
        return {**widths, "search runs": len(self.of(name, "search")), **self._failed(name, "search")}

    def of(self, name: str, phase: Phase) -> list[Trial]:
        """An arm's trials of a phase, in the order of their seeds: several processes end them in any."""
        found = (trial for trial in self.trials if (trial.arm, trial.phase) == (name, phase))
        return sorted(found, key=lambda trial: trial.seed)

    def failures(self, phase: Phase) -> dict[str, Counter[str]]:
        """By arm: how many of its runs of a phase diverged, and how many got stuck."""
        return {
            name: Counter(trial.status for trial in self.of(name, phase) if trial.status in FAILURES)
            for name in self.arms
        }

    @cached_property
    def step_seconds(self) -> dict[str, float]:
        """What a step of each arm takes alone, measured in turn when first asked for: a stack shares its time out."""
        epochs = seconds_per_epoch(self.arms, rounds=2, **self.where)
        steps = {trial.arm: trial.steps_per_epoch for trial in self.trials}
        return {name: seconds / steps[name] for name, seconds in epochs.items() if name in steps}

    def by_rate(self, name: str) -> dict[float, float]:
        """Mean validation accuracy of the search by rate, lowest rate first."""
        found: dict[float, list[float]] = {}
        for trial in self.of(name, "search"):
            found.setdefault(trial.rate, []).append(trial.accuracy)
        return {rate: float(np.mean(found[rate])) for rate in sorted(found)}

    def cost(self) -> dict[str, dict[str, float]]:
        """Runs, steps and training seconds of each phase: what tuning cost, and what the answer itself."""
        found: dict[str, dict[str, float]] = {}
        for trial in self.trials:
            sums = found.setdefault(trial.phase, {"runs": 0, "steps": 0, "seconds": 0.0})
            for key, amount in (("runs", 1), ("steps", trial.steps), ("seconds", trial.seconds)):
                sums[key] += amount
        return found


@contextmanager
def fitting(where: Mapping[str, Any]) -> Generator[None]:
    """A network that does not fit even before its first step has no run that could say so."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise RunError(no_memory(pick_device(where.get("device")))) from None


def compare(
    arms: Mapping[str, Recipe] | Sequence[Recipe], *, folder: str | Path | None = None, **settings: Any
) -> Comparison:
    """Compare recipes fairly, to the end.

    Args:
        arms: by name, or in a list: then each is named by what differs.
        settings: of `Plan`, and device, data_budget_bytes, workers of `training`.
    Example:
        >>> arms = [Recipe(epochs=2, optimizer=name) for name in ("sgd", "adam")]
        >>> comparison = compare(arms, seeds=2, tune=False)
        >>> [len(scores) for scores in comparison.scores("given").values()]
        [2, 2]
    """
    for recipe in arms.values() if isinstance(arms, Mapping) else arms:
        checked(recipe)
    named = dict(arms) if isinstance(arms, Mapping) else dict(zip(arm_names(arms), arms, strict=True))
    if len(named) < len(arms):
        raise RecipeError("Two arms are the same recipe: there is nothing to compare.")
    where = {key: settings.pop(key) for key in ("device", "data_budget_bytes", "workers") if key in settings}
    comparison = Comparison(Plan(arms=named, **settings), folder=folder, **where)
    if not isinstance(arms, Mapping) and len({arm.changed(seed=0).id for arm in comparison.arms.values()}) < len(arms):
        raise RecipeError("Two arms are the same recipe: there is nothing to compare.")
    return comparison.run()
