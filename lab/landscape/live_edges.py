"""The edge of stability while runs train: the sharpness along their paths, read at snapshots in spare time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial

from lab.landscape.budgets import Budget
from lab.landscape.curvature import Curvature
from lab.landscape.eigenpairs import Eigenpairs
from lab.landscape.live_runs import LiveRun, Snapshot
from lab.landscape.samples import samples_of
from lab.landscape.stability import SAMPLES, Bound, EdgePath, loss_of, reading
from lab.steps import is_out_of_memory, no_memory

READING = 0.5  # of the budget while runs train: the rest is for their surfaces
NEWEST, EARLIER = (
    3.5,
    6.5,
)  # how urgent: before a picture is brought up to date, and behind the true losses of its marks
Work = Callable[[], Generator[None]]
Due = tuple[float, bool, Work]  # how urgent, whether its run has ended (then it can wait), and the work


class LiveEdge:
    """The sharpness along one run's path, as far as it was read, on training images; each reading helps the next.

    Memory: a `Curvature` while one is made, and between two readings two vectors as long as the weights.

    fault: why the last one that failed has no number.
    """

    def __init__(self, run: LiveRun) -> None:
        self.run = run
        self.fault = ""
        self._failed: set[int] = set()
        self._earlier: Eigenpairs | None = None

    def rest(self) -> None:
        """Let go of what would help the next reading."""
        self._earlier = None

    def unread(self, *, newest: bool) -> int | None:
        """Which snapshot is to be read next: the newest, or of all the first; None where nothing is left."""
        steps = self.run.trail.steps
        places = [len(steps) - 1] if newest else range(len(steps))
        return next((place for place in places if steps[place] not in self.run.readings.keys() | self._failed), None)

    def read(self, place: int) -> Generator[None]:
        """Read a snapshot, with chances to stop."""
        snapshot = self.run.snapshot(place)
        try:
            yield from self._read(snapshot, self.run.edges[snapshot.step])
        except (ValueError, RuntimeError, MemoryError) as error:
            self._failed.add(snapshot.step)
            why = no_memory(self.run.device) if is_out_of_memory(error) else str(error)
            self.fault = f"No sharpness at step {snapshot.step:,}: {why}"

    def _read(self, snapshot: Snapshot, bound: Bound) -> Generator[None]:
        run, (step, weights, buffers) = self.run, snapshot
        samples, loss = samples_of(run, split="training", count=SAMPLES), loss_of(run.recipe)
        curvature = Curvature(run.network_with(buffers), samples, weights=weights, loss=loss, dtype=run.dtype)
        yield
        run.readings[step], self._earlier = yield from reading(curvature, step, bound, self._earlier)


class LiveEdges:
    """The readings of all runs that are followed; while they train these take a part of the budget and no more."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.of: dict[int, LiveEdge] = {}
        self._spent = 0.0  # seconds of training

    def follow(self, number: int, run: LiveRun) -> None:
        self.of[number] = LiveEdge(run)

    def forget(self, number: int) -> None:
        self.of.pop(number, None)

    def rest(self) -> None:
        """None is asked for any more; what was read stays."""
        for edge in self.of.values():
            edge.rest()

    @property
    def paths(self) -> dict[int, EdgePath]:
        """What is known, by the run's number; without names."""
        return {
            number: EdgePath("", number, edge.run.edge_readings, edge.fault)
            for number, edge in self.of.items()
            if edge.run.readings or edge.fault
        }

    def most_urgent(self, *, still: bool) -> Iterator[Due]:
        """Of each run the next reading.

        Args:
            still: no run moves for now, so that there is time for the earlier snapshots too.
        """
        if not still and self._spent > READING * self.budget.share * self.budget.trained:
            return
        for edge in self.of.values():
            for newest, urgency in ((True, NEWEST), (False, EARLIER)):
                if (newest or still or not edge.run.moving) and (place := edge.unread(newest=newest)) is not None:
                    work = partial(edge.read, place)
                    yield urgency, not edge.run.moving, work if still else partial(self._timed, work)
                    break

    def _timed(self, work: Work) -> Generator[None]:
        """What is worked between two chances to stop counts as spent."""
        began = self.budget.clock()
        for _ in work():
            self._spent += self.budget.clock() - began
            yield
            began = self.budget.clock()
        self._spent += self.budget.clock() - began
