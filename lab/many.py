"""Many recipes, as fast as this machine trains them: stacked where that pays, in turn where it does not."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lab.events import Event, Finished, Looking, Metrics, Step
from lab.optimizers import batch_of, uses_other_weights
from lab.recipe import Recipe, flat
from lab.runs import Run, run_of
from lab.spread import Heard, Spread, Task, packed, processors
from lab.stacks import ALIKE, Stack, alone_because
from lab.stacks.forward import forward_of, is_chain
from lab.steps import dropout_stream
from lab.store import Recorder, custom_sources
from lab.training import Training

ARMS = {"cpu": 32, "cuda": 256}  # in one stack: more fall out of a CPU's cache
IN_TURN = 8  # trainings that are held at once where nothing is stacked
SPREAD_SECONDS = 30  # of training in turn, from which on several processes pay
MAPPED_FLOPS = 1e8  # per step of one arm: above it a CPU is busy enough without vmap
STACK_SHARE = 0.5  # of the free memory of a GPU

Told = tuple[int, Event]


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
        self.recipes, self.folders, self.at_end, self.where = list(recipes), folders, at_end, where
        self.keep, self.spread = keep, spread
        self.runs: dict[int, Run] = {}
        self.results: dict[int, Any] = {}
        self._recorders: dict[int, Recorder] = {}

    def __iter__(self) -> Iterator[Told]:
        with ExitStack() as at_exit:
            at_exit.callback(self._close)
            for members in groups(self.recipes):
                yield from self._group(members)

    def _close(self) -> None:
        for recorder in self._recorders.values():
            recorder.close()

    def _group(self, members: list[int]) -> Iterator[Told]:
        probe = Training(self.recipes[members[0]], **self.where)
        size = arms_that_fit(probe) if len(members) > 1 and pays(probe) else 1
        if size == 1 and self.spread and self._long_enough(members, probe):
            yield from self._over_processes(members)
            return
        train, size = (self._together, size) if size > 1 else (self._in_turn, IN_TURN)
        size = -(-len(members) // -(-len(members) // size))  # packs of one size
        for start in range(0, len(members), size):
            yield from train(members[start : start + size], {**self.where, "like": probe})

    def _long_enough(self, members: list[int], probe: Training) -> bool:
        """Whether processes would gain more than it takes to start them; options of a person's own are not there."""
        recipes = [self.recipes[index] for index in members]
        if len(members) < 2 or probe.device.type != "cpu" or processors() < 2 or any(map(custom_sources, recipes)):
            return False
        where: dict[str, Any] = {**self.where, "like": probe}
        step = seconds_per_step(Training(endless(recipes[0]), **where))
        return step * probe.steps_per_epoch * sum(recipe.epochs for recipe in recipes) > SPREAD_SECONDS

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

    def _together(self, members: list[int], where: dict[str, Any]) -> Iterator[Told]:
        stack = Stack([self.recipes[index] for index in members], **where)
        for index, arm in zip(members, stack.arms, strict=True):
            self._record(index, arm)
        for arm, event in stack:
            self._hear(members[arm], stack.arms[arm], event)
            yield members[arm], event

    def _in_turn(self, members: list[int], where: dict[str, Any]) -> Iterator[Told]:
        sessions = {index: Training(self.recipes[index], **where) for index in members}
        for index, session in sessions.items():
            self._record(index, session)
        events = {index: iter(session) for index, session in sessions.items()}
        while events:
            for index in list(events):
                for event in until_a_block(events[index]):
                    self._hear(index, sessions[index], event)
                    yield index, event
                    if isinstance(event, Finished):
                        del events[index], sessions[index]

    def _record(self, index: int, session: Training) -> None:
        if self.folders is not None:
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
    many = Many(recipes, **options)
    for _ in many:
        pass
    return [many.runs[index] for index in range(len(many.recipes))]


def groups(recipes: Sequence[Recipe]) -> list[list[int]]:
    """Indices of recipes that could train in one stack, in order of appearance."""
    found: dict[str, list[int]] = {}
    for index, recipe in enumerate(recipes):
        choice = recipe.optimizer
        key = [*(getattr(recipe, field) for field in (*ALIKE, "epochs")), batch_of(choice, recipe.batch_size)]
        found.setdefault("\n".join(map(str, [*key, uses_other_weights(choice)])), []).append(index)
    return list(found.values())


def until_a_block(events: Iterator[Event]) -> Generator[Event]:
    """The events up to the next that carries numbers, or to the end."""
    for event in events:
        yield event
        if isinstance(event, Metrics | Finished):
            return


def pays(session: Training) -> bool:
    """Whether a stack of trainings like this one is faster than training them in turn; `bench/stacks.py` measures it.

    Never where arms would not have the numbers they have alone (dropout draws from one stream), where the stack would
    refuse them, or where the data is streamed.
    """
    splits = (session.train_split, session.validation_split)
    resident = all(isinstance(split.images, Tensor) and split.images.device == session.device for split in splits)
    if not resident or alone_because(session) or draws(session) or not maps(session):
        return False
    if session.device.type != "cpu":
        return True
    convolves = any(isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) for layer in session.model.modules())
    return is_chain(session.model) or (not convolves and session.flops_per_step < MAPPED_FLOPS)


def endless(recipe: Recipe) -> Recipe:
    """The same steps without an end, to be measured; so small that they do not diverge."""
    small = {"optimizer.lr": 1e-12} if "optimizer.lr" in flat(recipe) else {}
    return recipe.changed(epochs=1_000_000, **small)


def seconds_per_step(session: Training, least: float = 0.2) -> float:
    """Measured by training on for a moment; what that changes is in the session."""
    before, start = session.step, session.seconds
    for _ in session:
        if session.seconds - start >= least:
            break
    return (session.seconds - start) / max(1, session.step - before)


def draws(session: Training) -> bool:
    """Whether the network draws random numbers in training."""
    images = session.train_split.images
    assert isinstance(images, Tensor)
    model = deepcopy(session.model).train()
    with dropout_stream(0, 0, session.device) as moved, torch.no_grad():
        model(session.prepare(images[:2]))
        return moved()


def maps(session: Training) -> bool:
    """Whether torch can vectorise the network: not an LSTM, nor a layer that asks a tensor for its value."""
    images = session.train_split.images
    assert isinstance(images, Tensor)
    model = deepcopy(session.model).train()
    parameters = {name: tensor[None] for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    try:
        with torch.no_grad(), session.autocast:
            forward_of(model)(parameters, session.prepare(images[:2])[None])
    except RuntimeError:
        return False
    return True


def arms_that_fit(session: Training) -> int:
    """How many arms a stack may have: weights, gradients, two moments and what the backward pass keeps."""
    limit = ARMS.get(session.device.type, ARMS["cpu"])
    if session.device.type != "cuda":
        return limit
    free, _ = torch.cuda.mem_get_info(session.device)
    return max(1, min(limit, int(STACK_SHARE * free / bytes_of_arm(session))))


def bytes_of_arm(session: Training) -> int:
    """A rough upper bound of what an arm needs on the device."""
    parameters = sum(parameter.numel() for parameter in session.model.parameters())
    return session.dtype.itemsize * (6 * parameters + 4 * outputs_per_image(session) * session.batch_size)


@torch.no_grad()
def outputs_per_image(session: Training) -> int:
    """Numbers that all layers together give for one image."""
    count, model = 0, deepcopy(session.model).eval()

    def add(_: nn.Module, __: Any, output: Any) -> None:
        nonlocal count
        count += output.numel() if isinstance(output, Tensor) else 0

    for layer in model.modules():
        layer.register_forward_hook(add)
    model(torch.zeros(1, *session.data.shape, dtype=session.dtype, device=session.device))
    return count


def work(task: Task, tell: Callable[[Heard], None]) -> None:
    """In a process of its own: train, and tell every event but single steps."""
    many = Many(**task.arguments, spread=False)
    for index, event in many:
        made = None
        if isinstance(event, Finished):
            made = packed(many.runs.pop(index, None)), many.results.pop(index, None)
        if not isinstance(event, Step | Looking):
            tell(Heard(task.places[index], event, made))
