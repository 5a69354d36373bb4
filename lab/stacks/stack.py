"""The loop of a stack: one forward, one backward and one update for all of its arms."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from math import isfinite
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lab.events import Epoch, Event, Finished, Looking, Metrics, State, Step
from lab.optimizers import batch_of
from lab.recipe import Recipe
from lab.schedules import rate_factor
from lab.stacks.feed import Feed, in_order
from lab.stacks.forward import forward_of
from lab.stacks.misfit import alone_because, misfit_of
from lab.stacks.rows import Rows, kind_order
from lab.steps import EVALUATION_BATCH, at_least_float32, enough_threads, is_out_of_memory, main_class, no_memory
from lab.training import BLOCK_SECONDS, Training

ALIKE = (
    *("data", "modify", "model", "activation", "source", "transfer", "batch_size", "precision"),
    *("gradient", "average"),
)
Told = tuple[int, Event]  # which arm, and what happened to it


class Arm(Training):
    """A training whose steps its stack takes; its state is taken, restored and resumed like any other's."""

    before_state: Callable[[], None] = staticmethod(lambda: None)

    def state(self) -> State:
        self.before_state()
        return super().state()

    def _elapsed(self) -> float:
        return self.seconds  # the stack's time, in equal shares


class Stack:
    """Recipes that differ in anything but `ALIKE`, trained in one loop; iterate it for (arm, event).

    An arm that diverges, or has fewer epochs, leaves alone; its row stays, so that no bit of its neighbours changes,
    and costs what it did: recipes of one length make good stacks. Single steps are told for the first arm only. An
    arm's seconds are its equal share of the loop's. Arms with one seed see the same batches in the same order.
    A stack that is asked again after it was left goes on.

    Args:
        recipes: one per arm; where: as of `training`.
    Raises:
        ValueError: the recipes cannot be trained together, and why: their data is streamed, their network draws random
            numbers (its arms would share them), torch cannot vectorise it, or one of them trains alone (it watches the
            validation, changes its gradient, lets layers rest or is evaluated with other weights than it steps).
    """

    def __init__(self, recipes: Sequence[Recipe], **where: Any) -> None:
        self._check(recipes)
        first = Arm(recipes[0], **where)
        if misfit := misfit_of(first):
            raise ValueError(misfit)
        shared: dict[str, Any] = {**where, "like": first}
        self.arms = [first, *(Arm(recipe, **shared) for recipe in recipes[1:])]
        self.device, self.steps_per_epoch = first.device, first.steps_per_epoch
        self.flops_per_step = first.flops_per_step
        self.network = deepcopy(first.model)
        self.forward = forward_of(self.network)
        self.live: list[int] = []  # arms that go on, in the order of their rows
        self._row_of: dict[int, int] = {}
        self._unread: list[tuple[Tensor, Tensor, np.ndarray]] = []
        self._pending: list[Told] = []
        for arm in self.arms:
            arm.before_state = self._before_state

    @staticmethod
    def _check(recipes: Sequence[Recipe]) -> None:
        for field in ALIKE:
            if len({str(getattr(recipe, field)) for recipe in recipes}) > 1:
                raise ValueError(f"The arms of a stack must have the same {field}.")
        if len({batch_of(recipe.optimizer, recipe.batch_size) for recipe in recipes}) > 1:
            raise ValueError("The arms of a stack must have the same batch_size: an optimizer sets its own.")
        if said := next(filter(None, map(alone_because, recipes)), ""):
            raise ValueError(said)

    def __iter__(self) -> Iterator[Told]:
        events = self._guarded()
        while (told := self._next(events)) is not None:
            yield told

    def _next(self, events: Iterator[Told]) -> Told | None:
        """Only the time spent here is counted, shared by those who are there."""
        live, start = self.live[:] or range(len(self.arms)), time.perf_counter()
        with enough_threads(self.device, self.flops_per_step * len(live)):
            told = next(events, None)
        share = (time.perf_counter() - start) / len(live)
        for arm in live:
            self.arms[arm].seconds += share
        return told

    def _guarded(self) -> Iterator[Told]:
        try:
            yield from self._events()
            return  # noqa: TRY300  # what follows is for those who ran out of memory
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside `except`: a held exception would pin the very tensors that did not fit.
        yield from self._read()
        for arm in list(self.live):
            yield arm, Finished("out_of_memory", self.arms[arm].step, no_memory(self.device))

    def _events(self) -> Iterator[Told]:
        self._take_in()
        for index, arm in enumerate(self.arms):
            yield index, arm.started()
        going = [index for index, arm in enumerate(self.arms) if not self._ended(arm)]
        if len({(self.arms[index].step, len(self.arms[index].history.epochs)) for index in going}) > 1:
            raise ValueError("The arms of a stack must stand at the same step.")
        pending = {index for index, _ in self._pending}
        yield from self._read()
        for index in set(range(len(self.arms))) - {*going, *pending}:  # restored from after their end
            arm = self.arms[index]
            yield index, arm.diverged(len(arm.history.loss) - 1) if arm.history.diverged else arm.verdict()
        yield from ((index, event) for index in going for event in self.arms[index].learned())  # one may stop there
        self._gather(going)
        while self.live:
            yield from self._epoch(len(self.arms[self.live[0]].history.epochs))

    @staticmethod
    def _ended(arm: Arm) -> bool:
        return arm.history.diverged or len(arm.history.epochs) == arm.recipe.epochs

    # -- rows -----------------------------------------------------------------------------------------------

    def _gather(self, going: Sequence[int]) -> None:
        """Put the parameters of these arms into the rows of one matrix, of which theirs become views."""
        for index in going:
            self._tell(index)  # what an earlier gathering knows
        self.live = sorted(going, key=lambda index: kind_order(self.arms[index].optimizer))
        if not self.live:
            return
        arms = [self.arms[index] for index in self.live]
        self._share_parameters(arms)
        self._share_buffers(arms)
        optimizers, clips = [arm.optimizer for arm in arms], [arm.recipe.clip_norm for arm in arms]
        self.rows = Rows(self.values, optimizers, clips)
        self.gradients = torch.empty_like(self.values)
        self.feed = Feed(arms)
        smoothing = [arm.recipe.label_smoothing for arm in arms]
        self.smoothing = torch.tensor(smoothing, dtype=torch.float64, device=self.device) if any(smoothing) else None
        self._row_of = {index: row for row, index in enumerate(self.live)}  # last: what is told lies in those rows

    @torch.no_grad()
    def _share_parameters(self, arms: Sequence[Arm]) -> None:
        trained = [name for name, parameter in arms[0].model.named_parameters() if parameter.requires_grad]
        own = [dict(arm.model.named_parameters()) for arm in arms]
        vectors = [torch.cat([named[name].reshape(-1) for name in trained]) for named in own]
        self.values = torch.stack(vectors)
        self.leaves: dict[str, Tensor] = {}
        start = 0
        for name in trained:
            part = self.values[:, start : start + own[0][name].numel()].view(len(arms), *own[0][name].shape)
            start += own[0][name].numel()
            for row, named in enumerate(own):
                named[name].data = part[row]
            self.leaves[name] = part.detach().requires_grad_()
        frozen = [name for name in own[0] if name not in trained]
        self.constants = {name: torch.stack([named[name] for named in own]) for name in frozen}

    @torch.no_grad()
    def _share_buffers(self, arms: Sequence[Arm]) -> None:
        for name, _ in arms[0].model.named_buffers():
            stacked = torch.stack([arm.model.get_buffer(name) for arm in arms])
            owner, _, last = name.rpartition(".")
            for row, arm in enumerate(arms):
                arm.model.get_submodule(owner)._buffers[last] = stacked[row]
            self.constants[name] = stacked

    def _release(self, index: int) -> None:
        """Give an arm its own tensors: what the stack does from now on no longer concerns it."""
        arm = self.arms[index]
        self._tell(index)
        arm.restore(Training.state(arm))  # not its own, which would ask for what all arms have
        self.rows.drop(self._row_of[index])
        for tensor in (*arm.model.parameters(), *arm.model.buffers()):
            tensor.data = tensor.data.clone()
        self.live.remove(index)

    def _tell(self, index: int) -> None:
        """Bring the streams and counters that the stack keeps for an arm into the arm itself."""
        if index in self._row_of:
            self.rows.tell(self._row_of[index])
            self.feed.tell(self.arms[index], self._row_of[index])

    def _before_state(self) -> None:
        self._take_in()
        for index in self.live:
            self._tell(index)

    # -- training -------------------------------------------------------------------------------------------

    def _epoch(self, epoch: int) -> Iterator[Told]:
        lead = self.arms[self.live[0]]
        skipped = lead.step - epoch * self.steps_per_epoch
        factors = self._factors(range(lead.step, (epoch + 1) * self.steps_per_epoch))
        read_at = time.perf_counter() + BLOCK_SECONDS
        batches = zip(self.feed.batches(skipped), factors, strict=True)
        while self._next_step(batches):
            yield self.live[0], Step(self.arms[self.live[0]].step, epoch)
            if time.perf_counter() >= read_at or not self.live:
                yield from self._read()
                read_at = time.perf_counter() + BLOCK_SECONDS
            if not self.live:
                return
        yield from self._read()
        if self.live:
            yield from self._look(epoch)

    def _next_step(self, batches: Iterator[tuple[tuple[Tensor, Tensor], np.ndarray]]) -> bool:
        """Whether there was one; what breaks in it leaves no state to go on from."""
        self._between_steps(whole=False)
        batch = next(batches, None)
        if batch is not None:
            self._step(*batch[0], batch[1])
        self._between_steps(whole=True)
        return batch is not None

    def _between_steps(self, *, whole: bool) -> None:
        for index in self.live:
            self.arms[index].between_steps = whole

    def _factors(self, steps: range) -> np.ndarray:
        """(steps, K): what each arm's schedule makes of its learning rate, in float64."""
        arms = [self.arms[index] for index in self._row_of]
        keys = [(str(arm.recipe.schedule), arm.recipe.warmup, arm.recipe.cooldown, arm.steps) for arm in arms]
        columns = {key: self._column(arm, steps) for key, arm in dict(zip(keys, arms, strict=True)).items()}
        return np.array([columns[key] for key in keys]).T

    @staticmethod
    def _column(arm: Arm, steps: range) -> list[float]:
        recipe = arm.recipe
        return [
            rate_factor(
                recipe.schedule, warmup=recipe.warmup, cooldown=recipe.cooldown, progress=min(1.0, step / arm.steps)
            )
            for step in steps
        ]

    def _step(self, images: Tensor, labels: Tensor, factors: np.ndarray) -> None:
        arms = [self.arms[index] for index in self._row_of]
        rates = np.array([arm.base_rate for arm in arms]) * factors
        self.network.train()
        with arms[0].autocast:
            logits = at_least_float32(self.forward({**self.leaves, **self.constants}, images))
            losses = self._losses(logits, labels)
        leaves = list(self.leaves.values())
        parts: list[Tensor | None] = list(torch.autograd.grad(losses.sum(), leaves, allow_unused=True))
        filled = [torch.zeros_like(leaf) if part is None else part for leaf, part in zip(leaves, parts, strict=True)]
        if any(part is None for part in parts):
            used = [torch.full_like(leaf, part is not None) for leaf, part in zip(leaves, parts, strict=True)]
            self.rows.spare(torch.cat([part.reshape(len(arms), -1) for part in used], 1))
        torch.cat([part.reshape(len(arms), -1) for part in filled], 1, out=self.gradients)
        for arm in arms[self.rows.ruled :]:
            arm.set_rate()
        self.rows.step(self.gradients, torch.from_numpy(rates).to(self.values).view(-1, 1))
        accuracy = (logits.detach().argmax(1) == main_class(labels)).to(losses.dtype).mean(1)
        self._unread.append((losses.detach(), accuracy, rates))
        for index in self.live:
            self.arms[index].step += 1
        if self.arms[self.live[0]].step % self.steps_per_epoch == 0:
            self.feed.end_of_epoch()

    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(K, classes, b), (K, b) or (K, b, classes) -> (K,) mean loss in nats, each arm with its own smoothing."""
        answers = labels.mT if labels.is_floating_point() else labels
        losses = functional.cross_entropy(logits, answers, reduction="none").mean(1)
        if self.smoothing is None:
            return losses
        smooth = self.smoothing.to(losses)
        return (1 - smooth) * losses - smooth * logits.log_softmax(1).mean((1, 2))

    def _read(self) -> Iterator[Told]:
        self._take_in()
        while self._pending:
            index, event = self._pending.pop(0)
            yield index, event
            if end := self._end_after(self.arms[index], event):
                yield index, end

    @staticmethod
    def _end_after(arm: Arm, event: Event) -> Finished | None:
        if isinstance(event, Metrics) and not isfinite(event.loss[-1]):
            return arm.diverged(event.first_step + len(event.loss) - 1)
        if isinstance(event, Epoch) and not isfinite(event.validation_loss):
            return arm.diverged(arm.step)
        return arm.verdict() if isinstance(event, Epoch) and event.epoch + 1 == arm.recipe.epochs else None

    def _take_in(self) -> None:
        """Bring the block's numbers to the host, into the histories, and the events to whoever asks next."""
        if not self._unread:
            return
        losses, accuracies, rates = zip(*self._unread, strict=True)
        self._unread.clear()
        values = torch.stack([torch.stack(losses), torch.stack(accuracies)]).cpu().double().numpy()
        for index in list(self.live):
            row = self._row_of[index]
            self._metrics(index, values[0, :, row], values[1, :, row], np.stack(rates)[:, row])

    def _metrics(self, index: int, losses: np.ndarray, accuracies: np.ndarray, rates: np.ndarray) -> None:
        """What follows the first loss that is not finite is dropped, and the arm leaves."""
        arm = self.arms[index]
        first = arm.step - len(losses)
        bad = ~np.isfinite(losses)
        keep = int(bad.argmax()) + 1 if bad.any() else len(losses)
        series = (values[:keep].tolist() for values in (losses, accuracies, rates))
        event = Metrics(first, *series, seconds=arm.seconds)
        arm.history.add(event)
        self._pending.append((index, event))
        if bad.any():
            self._release(index)

    # -- validation -----------------------------------------------------------------------------------------

    def _look(self, epoch: int) -> Iterator[Told]:
        sums: list[Tensor] = []
        for part in self._evaluation():
            sums.append(part)
            yield self.live[0], Looking(self.arms[self.live[0]].step, len(sums))
        totals = torch.stack(sums).sum(0).tolist()
        for index in list(self.live):
            self._end_of_epoch(index, epoch, *totals[self._row_of[index]])
        yield from self._read()

    @torch.inference_mode()
    def _evaluation(self) -> Iterator[Tensor]:
        """Per batch of the validation split: (K, 2) sums of losses and of right answers."""
        arm = self.arms[0]
        self.network.eval()
        for images, labels in in_order(arm.validation_split, EVALUATION_BATCH):
            with arm.autocast:
                logits = at_least_float32(self.forward({**self.leaves, **self.constants}, arm.prepare(images)[None]))
            answers = labels.expand(len(logits), -1)
            loss = functional.cross_entropy(logits, answers, reduction="none").sum(1)
            yield torch.stack([loss, (logits.argmax(1) == answers).sum(1)], 1)

    def _end_of_epoch(self, index: int, epoch: int, loss: float, right: float) -> None:
        arm, count = self.arms[index], len(self.arms[0].validation_split)
        event = arm.close_epoch(epoch, loss / count, right / count)
        self._pending.append((index, event))
        if not isfinite(loss) or epoch + 1 == arm.recipe.epochs:
            self._release(index)
