"""Many recipes, as fast as this machine trains them: stacked where that pays, in turn where it does not."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from lab.events import Event, Finished, Learning, Looking, Metrics, Step
from lab.optimizers import batch_of
from lab.provenance import custom_sources
from lab.recipe import Recipe, checked, flat, refuse_choices
from lab.runs import Run, run_of
from lab.spread import Heard, Spread, Task, packed, processors
from lab.stacks import ALIKE, Stack
from lab.stacks.forward import is_chain
from lab.stacks.misfit import alone_because, misfit_of
from lab.stacks.room import SHARE, arms_that_fit, held_that_fit
from lab.steps import is_out_of_memory
from lab.store import Recorder
from lab.training import Training

SPREAD_FLOPS = 1e12  # of training in turn, half a minute of two cores, from which on several processes pay
MAPPED_FLOPS = 1e8  # per step of one arm: above it a CPU is busy enough without vmap

Told = tuple[int, Event]
Train = Callable[[list[int], dict[str, Any]], Generator[Told, None, list[int]]]  # what did not fit comes back


class Many:
    """Trains recipes and tells (index, event) of each as it comes; `runs` has those that have ended.

    Recipes that differ only in what a stack's arms may differ in train in one loop; by measurement that pays for
    fully connected networks of every size, for small networks of other kinds, and on a GPU; convolutions on a
    CPU train in turn, a block of steps each. Leaving the iteration stops what trains.

    Args:
        recipes: any mixture; each one's numbers are those it has alone, up to rounding.
        folders: where to keep each run; in memory only by default.
        at_end: called with the training of a run that has ended, before it is let go; `results` has what it gives.
            A function of a module (or a `partial` of one), so that other processes can find it.
        keep: whether `runs` keeps what has ended.
        spread: whether long work that cannot be stacked may go to several processes; by default where it pays.
        where: device, data_budget_bytes, workers of `training`.
    """

    def __init__(
        self,
        recipes: Sequence[Recipe],
        *,
        folders: Sequence[Path] | None = None,
        at_end: Callable[[Training], Any] | None = None,
        keep: bool = True,
        spread: bool = True,
        **where: Any,
    ) -> None:
        self.recipes, self.folders, self.at_end, self.where = list(map(checked, recipes)), folders, at_end, where
        self.keep, self.spread = keep, spread
        self.runs: dict[int, Run] = {}
        self.results: dict[int, Any] = {}
        self._recorders: dict[int, Recorder] = {}
        self._stepping: list[int] = []  # whose step an error would come from

    def __iter__(self) -> Iterator[Told]:
        try:
            for members in groups(self.recipes):
                yield from self._group(members)
        except Exception as error:
            for index in self._stepping:
                if index in self._recorders:
                    self._recorders[index].fail(error)
            raise
        finally:
            for recorder in self._recorders.values():
                recorder.close()

    def _group(self, members: list[int]) -> Iterator[Told]:
        probe = Training(self.recipes[members[0]], **self.where)
        share = SHARE if self.spread else SHARE / processors()  # the other processes take as much
        size = arms_that_fit(probe, share) if len(members) > 1 and pays(probe) else 1
        if size == 1 and self.spread and self._long_enough(members, probe):
            yield from self._over_processes(members)
            return
        train, size = (self._together, size) if size > 1 else (self._in_turn, held_that_fit(probe, share))
        yield from self._packs(train, members, size, {**self.where, "like": probe})

    def _packs(self, train: Train, members: list[int], size: int, where: dict[str, Any]) -> Iterator[Told]:
        """Packs of one size; what did not fit after all is trained anew, half as many at once."""
        size = -(-len(members) // -(-len(members) // size))
        for start in range(0, len(members), size):
            pack = members[start : start + size]
            crowded = yield from self._tried(train, pack, where)
            if crowded:
                yield from self._packs(train, crowded, -(-len(pack) // 2), where)

    @staticmethod
    def _tried(train: Train, pack: list[int], where: dict[str, Any]) -> Generator[Told, None, list[int]]:
        """What did not fit, be it while the pack was set up."""
        try:
            return (yield from train(pack, where))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or len(pack) == 1:
                raise
        return pack  # outside `except`: a held exception would pin the very tensors that did not fit

    def _long_enough(self, members: list[int], probe: Training) -> bool:
        """Whether processes would gain more than it takes to start them; options of a person's own are not there."""
        recipes = [self.recipes[index] for index in members]
        if len(members) < 2 or probe.device.type != "cpu" or processors() < 2 or any(map(custom_sources, recipes)):
            return False
        # Counted, not timed: the same recipes are to have the same bits each time, and threads change the last ones.
        return probe.flops_per_step * probe.steps_per_epoch * sum(recipe.epochs for recipe in recipes) > SPREAD_FLOPS

    def _over_processes(self, members: list[int]) -> Iterator[Told]:
        parts = [members[start :: processors()] for start in range(min(processors(), len(members)))]
        spread = Spread([Task(part, self._arguments(part)) for part in parts], "lab.many")
        for place, event in spread:
            if place in spread.made:
                self.runs[place], self.results[place] = spread.made.pop(place)
            yield place, event

    def _arguments(self, members: list[int]) -> dict[str, Any]:
        folders = None if self.folders is None else [self.folders[index] for index in members]
        recipes = [self.recipes[index] for index in members]
        return {"recipes": recipes, "folders": folders, "at_end": self.at_end, "keep": self.keep, **self.where}

    def _together(self, members: list[int], where: dict[str, Any]) -> Generator[Told, None, list[int]]:
        stack, crowded = Stack([self.recipes[index] for index in members], **where), list[int]()
        for index, arm in zip(members, stack.arms, strict=True):
            self._record(index, arm)
        self._stepping = members
        for arm, event in stack:
            if did_not_fit(event) and len(members) > 1:
                crowded.append(members[arm])
                continue
            self._hear(members[arm], stack.arms[arm], event)
            yield members[arm], event
        return crowded

    def _in_turn(self, members: list[int], where: dict[str, Any]) -> Generator[Told, None, list[int]]:
        sessions, crowded = {index: Training(self.recipes[index], **where) for index in members}, list[int]()
        for index, session in sessions.items():
            self._record(index, session)
        events = {index: iter(session) for index, session in sessions.items()}
        while events:
            for index in list(events):
                self._stepping = [index]
                for event in until_a_block(events[index]):
                    if did_not_fit(event) and len(members) > 1:
                        crowded.append(index)
                    else:
                        self._hear(index, sessions[index], event)
                        yield index, event
                    if isinstance(event, Finished):
                        del events[index], sessions[index]
        return crowded

    def _record(self, index: int, session: Training) -> None:
        if index in self._recorders:  # trained anew, because it did not fit beside the others
            self._recorders[index].session = session
        elif self.folders is not None:
            self._recorders[index] = Recorder(session, self.folders[index])

    def _hear(self, index: int, session: Training, event: Event) -> None:
        recorder = self._recorders.get(index)
        if recorder:
            recorder.hear(event)
        if isinstance(event, Finished):
            if self.keep:
                self.runs[index] = run_of(session, event, recorder)
            if self.at_end:
                self.results[index] = self.at_end(session)


def train_many(recipes: Sequence[Recipe], **options: Any) -> list[Run]:
    """Train recipes to their ends, as `Many` does, and give their runs in order."""
    refuse_choices(options)
    many = Many(recipes, **options)
    for _ in many:
        pass
    return [many.runs[index] for index in range(len(many.recipes))]


def groups(recipes: Sequence[Recipe]) -> list[list[int]]:
    """Indices of recipes that could train in one stack, in order of appearance."""
    found: dict[str, list[int]] = {}
    for index, recipe in enumerate(recipes):
        alike = [str(getattr(recipe, field)) for field in (*ALIKE, "epochs")]
        batch = batch_of(recipe.optimizer, recipe.batch_size)
        found.setdefault("\n".join([*alike, str(batch), alone_because(recipe)]), []).append(index)
    return list(found.values())


def did_not_fit(event: Event) -> bool:
    return isinstance(event, Finished) and event.status == "out_of_memory"


def until_a_block(events: Iterator[Event]) -> Generator[Event]:
    """The events up to the next that carries numbers, or to the end."""
    for event in events:
        yield event
        if isinstance(event, Metrics | Finished):
            return


def pays(session: Training) -> bool:
    """Whether a stack of trainings like this one is faster than training them in turn; `bench/stacks.py` measures it.

    Never where it cannot be one: see `misfit_of`.
    """
    if misfit_of(session):
        return False
    if session.device.type != "cpu":
        return True
    convolves = any(isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) for layer in session.model.modules())
    return is_chain(session.model) or (not convolves and session.flops_per_step < MAPPED_FLOPS)


def endless(recipe: Recipe) -> Recipe:
    """The same steps without an end, to be measured; so small that they do not diverge."""
    small = {"optimizer.lr": 1e-12} if "optimizer.lr" in flat(recipe) else {}
    return recipe.changed(epochs=1_000_000, patience=0, **small)


def seconds_per_step(session: Training, least: float = 0.2) -> float:
    """Measured by training on for a moment; what that changes is in the session."""
    list(session.learned())  # which is no step
    before, start = session.step, session.seconds
    for _ in session:
        if session.seconds - start >= least:
            break
    return (session.seconds - start) / max(1, session.step - before)


def work(task: Task, tell: Callable[[Heard], None]) -> None:
    """In a process of its own: train, and tell every event but single steps."""
    many = Many(**task.arguments, spread=False)
    for index, event in many:
        made = None
        if isinstance(event, Finished):
            made = packed(many.runs.pop(index, None)), many.results.pop(index, None)
        if not isinstance(event, Step | Looking | Learning):
            tell(Heard(task.places[index], event, made))
