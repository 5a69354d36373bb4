"""A sweep under way: finished points are skipped, lost and broken ones tried again, each outcome kept as it comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from lab.catalogue import RecipeError
from lab.data import load
from lab.store import holding, make_folder
from lab.sweeps.outcomes import Outcome, SweepFolder
from lab.sweeps.plan import Point, Sweep
from lab.sweeps.points import NOTEBOOK, Order, ended_before

RETRIES = 2


class Engine(Protocol):
    """Where orders are carried out."""

    @property
    def free(self) -> bool:
        """Whether it can take an order now."""
        ...

    def take(self, order: Order) -> None: ...

    def next(self) -> Outcome:
        """Of whichever order that it took ends first; waits for it."""
        ...


class Sweeping:
    """Iterate it for (point, outcome) as points end; what has ended is not trained again.

    Args:
        folder: keeps everything; a sweep with the same folder goes on where it was left, or with what is new in it.
        retries: how often a point is tried again that broke, or whose process was lost.
        plain: the plain function in place of the notebook, whose executed copy is the point's report.
        options: files of a person's own options, for the processes.
    Raises:
        RunError: the folder holds something else, or another process runs a sweep there.
        RecipeError, DataError: there is no notebook here, or a data set is missing.
    """

    def __init__(
        self,
        sweep: Sweep,
        folder: str | Path,
        *,
        retries: int = RETRIES,
        plain: bool = False,
        device: str | None = None,
        options: Sequence[str | Path] = (),
    ) -> None:
        if retries < 0:
            raise RecipeError(f"retries is {retries}, but must be 0 or more.")
        self.sweep, self.folder, self.retries, self.device = sweep, SweepFolder(folder), retries, device
        self.notebook = "" if plain else notebook_text()
        self.options = tuple(str(Path(file).resolve()) for file in options)
        self.outcomes = self.folder.outcomes()
        self.unheard = 0  # of the outcomes told: of runs that ended before, and are only now heard of

    @property
    def todo(self) -> list[Point]:
        """Points without a result, in order."""
        return [point for point in self.sweep.points if not self.has_ended(point)]

    def has_ended(self, point: Point) -> bool:
        return point.id in self.outcomes and self.outcomes[point.id].ended

    def over(self, engine: AbstractContextManager[Engine]) -> Iterator[tuple[Point, Outcome]]:
        """Train what is left, and tell each outcome, those that will be tried again included."""
        for data in dict.fromkeys((point.recipe.data, point.recipe.modify) for point in self.todo):
            load(*data)  # a data set that is missing is said before any work
        make_folder(self.folder.path)
        with holding(self.folder.path):
            self.outcomes, self.unheard = self.folder.outcomes(), 0
            self.folder.start(self.sweep)
            yield from self._unheard()
            if self.todo:
                with engine as ready:
                    yield from self._over(ready)

    def _unheard(self) -> Iterator[tuple[Point, Outcome]]:
        """Plain runs that ended while nobody listened any more: a crash has lost the line, not the run."""
        for point in () if self.notebook else self.todo:
            if outcome := ended_before(point.recipe, self.folder.run(point.id)):
                self.outcomes[point.id] = outcome
                self.folder.add(outcome)
                self.unheard += 1
                yield point, outcome

    def _over(self, engine: Engine) -> Iterator[tuple[Point, Outcome]]:
        points = {point.id: point for point in self.todo}
        waiting, under_way, before = deque(points), 0, dict[str, Outcome]()
        while waiting or under_way:
            while waiting and engine.free:
                engine.take(self.order(points[waiting.popleft()]))
                under_way += 1
            outcome, under_way = engine.next(), under_way - 1
            outcome = outcome.after(before.get(outcome.id))
            self.outcomes[outcome.id] = before[outcome.id] = outcome
            self.folder.add(outcome)
            if not outcome.ended and outcome.attempts <= self.retries:
                waiting.append(outcome.id)
            yield points[outcome.id], outcome

    def order(self, point: Point) -> Order:
        report = self.folder.report(point.id).resolve() if self.notebook else None
        folder = self.folder.run(point.id).resolve()
        text = point.recipe.to_yaml()
        return Order(point.id, text, folder, report, self.notebook, self.device, self.options)


def notebook_text() -> str:
    """That of `notebooks/run.ipynb`. Raises RecipeError where the lab stands without its notebooks."""
    try:
        return NOTEBOOK.read_text(encoding="utf-8")
    except OSError:
        said = f"There is no {NOTEBOOK}: the lab is installed without its notebooks"
        raise RecipeError(f"{said}. Use a clone, or plain=True (--plain).") from None


def summary(outcomes: Sequence[Any]) -> str:
    """How many of which status: `7 finished, 1 diverged`."""
    statuses = [outcome.status for outcome in outcomes]
    return ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses)) or "none yet"
