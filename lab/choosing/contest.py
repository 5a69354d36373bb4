"""The comparison of the ways within the seconds that a person gives: rates are searched, then as many seeds as fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from lab.choosing.telling import COMMAND, Command
from lab.compare import Comparison, Phase
from lab.plans import Plan
from lab.recipe import Recipe
from lab.store import RunError
from lab.trials import Trial
from lab.tuning import ROUND

PORTION = 2  # seeds between two looks at the clock; no verdict is looked at then


class OutOfTimeError(RunError):
    """The seconds are over, and too little is there to judge."""


class Contest(Comparison):
    """A comparison of tuned arms that keeps to its seconds; how far it comes depends on the clock, on no result.

    Args:
        seconds: from now on, by `clock`, less those that are `spent` already. A search widens only where that leaves
            time for all seeds, seeds come in portions of which each must fit, and what still runs at the end is left.
        said: how whoever has asked for it is told what to do next.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        seconds: float,
        spent: float = 0.0,
        said: Command = COMMAND,
        folder: str | Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        **where: Any,
    ) -> None:
        self.clock, self.seconds, self.deadline = clock, seconds, clock() + seconds - spent
        self._passed, self._trained_for = 0.0, 0.0  # by the clock, and by the runs' own
        self.wanted, self.said = plan.seeds, said
        super().__init__(plan, folder=folder, **where)
        self.told = lambda *_: self.keep_to_time()

    @property
    def phases(self) -> list[Phase]:
        """Only tuned: the rates that searches begin at mean nothing by themselves."""
        return ["tuned"]

    def keep_to_time(self) -> None:
        """Raises OutOfTimeError once the seconds are over."""
        if self.left < 0:
            kept = f" What has ended is kept, to go on from:{self.on_with_more}" if self.kept else ""
            raise OutOfTimeError(f"The {self.seconds:g} s are over, and too few runs have ended to choose by.{kept}")

    @property
    def on_with_more(self) -> str:
        """How to go on with twice the time: after what is kept, that is more than twice as far."""
        return self.said.again(seconds=f"{2 * self.seconds:g}")

    @property
    def left(self) -> float:
        return self.deadline - self.clock()

    def _trained(self, phase: Phase, recipes: Sequence[Recipe]) -> Iterator[tuple[int, Trial]]:
        before = self.clock()
        for place, trial in super()._trained(phase, recipes):
            self._trained_for += trial.seconds
            yield place, trial
        self._passed += self.clock() - before

    def seconds_for(self, runs: float, names: Iterable[str] | None = None) -> float:
        """What so many more runs of each of these ways will take, as runs took so far."""
        pace = self._passed / self._trained_for if self._trained_for else 1.0  # several train at once, or wait
        return pace * runs * sum(map(self.seconds_each, self.arms if names is None else names))

    def seconds_each(self, name: str) -> float:
        """The mean of a way's runs."""
        found = [trial.seconds for trial in self.trials if trial.arm == name]
        return fmean(found) if found else 0.0

    def _widens(self) -> bool:
        more = ROUND + 1  # rates, and a second seed for one of them
        return self.left > self.seconds_for(more + self.plan.seeds + 1) and super()._widens()

    def _looks(self) -> Iterator[range]:
        for first in range(0, self.plan.seeds, PORTION):
            seeds = range(first, min(first + PORTION, self.plan.seeds))
            winner = max(map(self.seconds_each, self.arms))
            if first and self.left < self.seconds_for(1, self._unknown(seeds)) + winner:
                return
            yield seeds

    def _unknown(self, seeds: range) -> Iterator[str]:
        """A way's name for each of these seeds at which it has no run yet."""
        for name in self.arms:
            for seed in seeds:
                recipe = self._recipe(name, self.point(name, "tuned"), seed)
                if ("tuned", name, recipe.id) not in self._known:
                    yield name

    def _seeds(self) -> Iterator[Trial]:
        try:
            yield from super()._seeds()
        except OutOfTimeError:
            if self.done < 2:
                raise
        self._settle_for(self.done)

    @property
    def done(self) -> int:
        """Seeds at which every way has its run."""
        return min(map(len, self.scores("tuned").values()))

    def cut(self) -> list[str]:
        """What the clock has left out of the plan, in a sentence; none where it left out nothing."""
        more = f" With more {self.said.name('seconds')} {self.said.goes_on} with the others." if self.kept else ""
        said = f"There was time for {self.plan.seeds} of {self.wanted} seeds, which makes intervals wider.{more}"
        return [said] if self.plan.seeds < self.wanted else []

    def _settle_for(self, seeds: int) -> None:
        """The plan is what there is: an interval is of a number of seeds that no result has decided."""
        if seeds < self.plan.seeds:
            self.plan = self.plan.model_copy(update={"seeds": seeds})
            if self.kept:
                self.kept.plan = self.plan
