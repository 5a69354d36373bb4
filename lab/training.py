"""Training as an iterator: the loop never knows who watches.

Stop = stop iterating; pause = do not ask for the next event. Nothing here waits for the device at a
step: losses stay there and are read in blocks.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator
from copy import copy
from functools import partial
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from lab.answering import Answering
from lab.arithmetic import flops_of_update
from lab.averages import averages, blend
from lab.data.batches import batches, place
from lab.endings import diverged, unjudged, verdict
from lab.events import Epoch, Event, Finished, History, Looking, Metrics, Started, State, Step
from lab.gradients import Compute, from_within, gradients
from lab.loading import data_of
from lab.objectives import Moment, trunk_of
from lab.optimizers import batch_of
from lab.recipe import Recipe, checked, refuse_choices
from lab.schedules import rate_factor, watches
from lab.sight import statistics_on
from lab.states import put_back, taken
from lab.steps import (
    build_model,
    build_objective,
    build_optimizer,
    dropout_stream,
    enough_threads,
    evaluation,
    is_out_of_memory,
    like,
    loss_and_accuracy,
    no_memory,
    noise_stream,
    objective_stream,
    pick_device,
    stalled,
    stream,
    update,
)
from lab.transfer import before_epoch

BLOCK_SECONDS = 0.05
DATA_BUDGET_BYTES = 4 * 2**30


def training(recipe: Recipe, **where: Any) -> Training:
    """The iterator over a recipe's run; `where` is device, data_budget_bytes, workers.

    Example:
        >>> for event in training(Recipe(epochs=1)):
        ...     if isinstance(event, Finished):
        ...         print(event.status, event.step)
        finished 20
    """
    refuse_choices(where)
    return Training(recipe, **where)


class Training(Answering):
    """Everything one run needs, and the iterator over its events.

    Between two events `state()` may be taken: a Training that is given it by `restore()` goes on with the
    same numbers, bit for bit on a CPU.

    Args:
        device: "cpu", "cuda", ...; the best there is by default.
        data_budget_bytes: splits up to this size lie on the device, larger ones are streamed to it.
        workers: processes that read ahead when streaming.
        like: a training of the same data and network on the same device, whose data this one shares.
    Raises:
        DataError, SourceError: the data set, or the source of weights, is missing, damaged or unfit.
        DeviceError: no such device.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        device: str | torch.device | None = None,
        data_budget_bytes: int = DATA_BUDGET_BYTES,
        workers: int = 0,
        like: Training | None = None,
    ) -> None:
        self.recipe, self.device, self.workers = checked(recipe), pick_device(device), workers
        self.data = like.data if like else data_of(recipe)
        self.train_split = like.train_split if like else place(self.data.train, self.device, data_budget_bytes)
        self.validation_split = (
            like.validation_split if like else place(self.data.validation, self.device, data_budget_bytes)
        )
        self.batch_size = batch_of(recipe.optimizer, recipe.batch_size) or len(self.train_split)
        self.steps_per_epoch = -(-len(self.train_split) // self.batch_size)
        self.steps = self.steps_per_epoch * recipe.epochs
        self.step, self.seconds, self.history, self.between_steps = 0, 0.0, History(), True
        self._prepare_model()
        self.flops_per_step = like.flops_per_step if like else self._count_flops()
        self._order = stream(recipe.seed, "order")
        self._augment = stream(recipe.seed, "augment", self.device)
        self._order_of_epoch = self._order.get_state()  # as the stream stood before this epoch's permutation
        self.average: dict[str, Tensor] = {}  # of the trained weights, by name, as far as the recipe has one
        self._unread: list[tuple[Tensor, Tensor, float]] = []
        self._draws: bool | None = None  # whether the network draws random numbers; not known before a step
        self._read_early: list[Metrics] = []  # by state(), between two blocks

    def _prepare_model(self) -> None:
        recipe = self.recipe
        self.dtype = torch.float64 if recipe.precision == "float64" else torch.float32
        self.objective = build_objective(recipe, self.data)
        self.model = build_model(recipe, self.data, self.objective)
        convolutional = any(isinstance(layer, nn.Conv2d) for layer in self.model.modules())
        self.memory_format = torch.channels_last if convolutional else torch.contiguous_format
        self.model = self.model.to(self.device, self.dtype).to(memory_format=self.memory_format)  # pyright: ignore[reportCallIssue]
        self.optimizer = build_optimizer(recipe, self.model)
        self._base_rates = [group["lr"] * group.get("scale", 1.0) for group in self.optimizer.param_groups]
        self.autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16")
        self.statistics = statistics_on(self.data, self.device, self.dtype)

    @property
    def flops_per_image(self) -> float:
        """Floating-point operations of one image's part in an update, forward and backward."""
        return self.flops_per_step / self.batch_size

    @property
    def images_seen(self) -> int:
        """So far; the last batch of an epoch may be smaller."""
        epochs, rest = divmod(self.step, self.steps_per_epoch)
        return epochs * len(self.train_split) + min(rest * self.batch_size, len(self.train_split))

    def _count_flops(self) -> float:
        probe = torch.zeros(4, *self.data.shape, dtype=self.dtype, device=self.device)
        return flops_of_update(self.recipe, self.objective, self.model, probe, self.batch_size)

    def __iter__(self) -> Iterator[Event]:
        """The run's events, from where it stands to its end; only the time spent here is counted."""
        events = self._guarded()
        while (event := self._next(events)) is not None:
            yield event

    def threads(self) -> contextlib.AbstractContextManager[None]:
        """As many as its steps keep busy: who holds them around several events spares the changes between these."""
        return enough_threads(self.device, self.flops_per_step)

    def _next(self, events: Iterator[Event]) -> Event | None:
        with self.threads():
            self._clock = time.perf_counter()
            event = next(events, None)
            self.seconds = self._elapsed()
        return event

    def _elapsed(self) -> float:
        return self.seconds + time.perf_counter() - self._clock

    def _guarded(self) -> Iterator[Event]:
        yield self.started()
        try:
            yield from self.learned()
            yield from self.keep_features()
            yield from self._epochs()
            return  # noqa: TRY300  # what follows is for those who ran out of memory
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside `except`: a held exception would pin the very tensors that did not fit.
        yield from self._blocks()
        yield Finished("out_of_memory", self.step, no_memory(self.device))

    def started(self) -> Started:
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        return Started(self.recipe, str(self.device), parameters, self.steps, self.steps_per_epoch, self.step)

    def _epochs(self) -> Iterator[Event]:
        if self.history.diverged:  # restored from after the divergence
            yield self.diverged(len(self.history.loss) - 1)
            return
        for epoch in range(len(self.history.epochs), self.recipe.epochs):
            if self.stalled:
                break
            for event in self._steps(epoch):
                yield event
                if isinstance(event, Metrics) and not isfinite(event.loss[-1]):
                    yield self.diverged(event.first_step + len(event.loss) - 1)
                    return
            result = yield from self._end_of_epoch(epoch)
            yield result
            if not isfinite(result.validation_loss):
                yield self.diverged(self.step)
                return
        yield self.verdict()

    def _steps(self, epoch: int) -> Iterator[Event]:
        rest = self.permutation()[(self.step - epoch * self.steps_per_epoch) * self.batch_size :]
        read_at = time.perf_counter() + BLOCK_SECONDS
        if self.features is None:
            before_epoch(self.recipe.transfer, trunk_of(self.model), epoch, self.recipe.epochs)
        for images, labels in batches(self.stepped_split, rest, self.batch_size, self.device, self.workers):
            self._step(images, labels)
            yield Step(self.step, epoch)
            if time.perf_counter() >= read_at:
                yield from self._blocks()
                read_at = time.perf_counter() + BLOCK_SECONDS
        yield from self._blocks()

    def permutation(self) -> Tensor:
        """(n,) the order of this epoch's images, from the stream as it stood before the epoch."""
        self._order.set_state(self._order_of_epoch)
        return torch.randperm(len(self.train_split), generator=self._order)

    def end_permutation(self) -> None:
        """The next epoch has the next order."""
        self._order_of_epoch = self._order.get_state()

    def twin(self) -> Training:
        """A copy that shares everything but the random streams, which go their own way from here."""
        other = copy(self)
        other._order, other._augment = self._order.clone_state(), self._augment.clone_state()
        return other

    def share_streams(self, other: Training) -> None:
        """Put the streams of a training with the same seed where these stand."""
        other._order_of_epoch = self._order_of_epoch
        other._augment.set_state(self._augment.get_state())

    def _blocks(self) -> Iterator[Metrics]:
        """What was measured since the last block, in order."""
        while self._read_early:
            yield self._read_early.pop(0)
        if self._unread:
            yield self._read()

    def _step(self, images: Tensor, labels: Tensor) -> None:
        self.between_steps = False  # until the step is whole: what breaks in it leaves no state to go on from
        lr = self.set_rate()
        seen = (images, labels) if self.features else self.prepare_batch(images, labels)
        batch = self.objective.batch(*seen, self.moment(images))
        with self._own_stream():
            loss, accuracy = update(
                self.stepped_network,
                self.optimizer,
                batch,
                loss_of=self.objective.loss,
                clip_norm=self.recipe.clip_norm,
                autocast=self.autocast,
                change=self._changed,
            )
        share = averages.build(self.recipe.average, self.step, self.steps_per_epoch, self.recipe.epochs)
        self.average = blend(self.average, share, self.model, self.optimizer)
        self._unread.append((loss, accuracy, lr))
        self.step += 1
        if self.step % self.steps_per_epoch == 0:
            self.end_permutation()
        self.between_steps = True

    def moment(self, images: Tensor) -> Moment:
        """The step to come, as its objective needs to know it, and its batch before it is augmented."""
        draws = objective_stream(self.recipe.seed, self.step)
        return Moment(
            draws,
            self.step / self.steps,
            prepare=lambda others: self.prepare(others.to(self.device)),
            images=images,
            view=lambda others, hard: self.view(others, draws, hard=hard),
            plain=not self.recipe.augment,
        )

    def _changed(self, compute: Compute) -> Compute:
        """The computation of the gradient with the recipe's changes around it, the first one innermost."""
        for choice in from_within(self.recipe.gradient):
            draws = noise_stream(self.recipe.seed, self.step, self.device)
            compute = partial(gradients.build, choice, compute, self.model, draws, self.step)
        return compute

    @contextlib.contextmanager
    def _own_stream(self) -> Generator[None]:
        """What the network draws (dropout) comes from the step's own start; the person's stream is put back.

        The first step tells whether it draws at all: most networks do not.
        """
        if self._draws is False:
            yield
            return
        with dropout_stream(self.recipe.seed, self.step, self.device) as moved:
            yield
            self._draws = moved()

    @property
    def base_rate(self) -> float:
        """The recipe's learning rate, before its schedule; with a rate per depth that of the output."""
        return self._base_rates[0]

    def set_rate(self) -> float:
        """Give the optimizer the rate that its schedule has for this step."""
        recipe = self.recipe
        factor = rate_factor(
            recipe.schedule,
            warmup=recipe.warmup,
            cooldown=recipe.cooldown,
            progress=self.step / self.steps,
            validations=self.history.validations if watches(recipe.schedule) else (),
        )
        for group, base in zip(self.optimizer.param_groups, self._base_rates, strict=True):
            group["lr"] = base * factor
        return self._base_rates[0] * factor

    @property
    def stalled(self) -> bool:
        """Whether the recipe's patience is at an end."""
        return self.recipe.patience > 0 and stalled(
            [loss for loss, _ in self.history.validations], self.recipe.patience
        )

    def _read(self) -> Metrics:
        """Bring the block's numbers to the host: the only place where the device is waited for.

        What follows the first loss that is not finite is dropped: it means nothing.
        """
        losses, accuracies, rates = zip(*self._unread, strict=True)
        values = torch.stack([*losses, *accuracies]).tolist()
        first = self.step - len(rates)
        self._unread.clear()
        loss, accuracy = values[: len(rates)], values[len(rates) :]
        keep = next((i + 1 for i, value in enumerate(loss) if not isfinite(value)), len(loss))
        metrics = Metrics(first, loss[:keep], accuracy[:keep], list(rates[:keep]), self._elapsed())
        self.history.add(metrics)
        return metrics

    def _end_of_epoch(self, epoch: int) -> Generator[Event, None, Epoch]:
        validation = yield from self._look()
        return self.close_epoch(epoch, *validation, self.also())

    def close_epoch(
        self, epoch: int, validation_loss: float, validation_accuracy: float, also: dict[str, float] | None = None
    ) -> Epoch:
        """Sum the epoch up, over images: its last batch may be smaller."""
        sizes = torch.full((self.steps_per_epoch,), self.batch_size, dtype=torch.float64)
        sizes[-1] -= self.steps_per_epoch * self.batch_size - len(self.train_split)
        weights = sizes / len(self.train_split)
        loss, accuracy = (
            float(torch.tensor(values[-self.steps_per_epoch :], dtype=torch.float64) @ weights)
            for values in (self.history.loss, self.history.accuracy)
        )
        measured = (loss, accuracy, validation_loss, validation_accuracy)
        result = Epoch(epoch, self.step, *measured, self._elapsed(), also or {})
        self.history.add(result)
        return result

    def _look(self) -> Generator[Event, None, tuple[float, float]]:
        """Evaluate on the validation split, with an event after each batch: who wants to stop need not wait longer."""
        sums: list[Tensor] = []
        predict, split = self.stepped_validation(partial(self.answer, self.other_weights()))
        for part in evaluation(predict, split, self.device):
            sums.append(part)
            yield Looking(self.step, len(sums))
        return loss_and_accuracy(sums, len(split))

    def diverged(self, step: int) -> Finished:
        return diverged(self.history, step)

    def verdict(self) -> Finished:
        """Finished, or stuck, after the last epoch there was."""
        if not self.objective.learns_classes:  # at chance with them, it may have learned all the same
            blind = not self.objective.uses_labels and not self.tells_images_apart()
            return unjudged(self.history, self.step, self.validation_split, self.recipe.epochs, blind=blind)
        return verdict(self.history, self.step, self.train_split, self.validation_split, self.recipe.epochs)

    def state(self) -> State:
        """Everything that decides the rest of the run; what is unread is read into the history first."""
        if self._unread and not self.history.diverged:
            self._read_early.append(self._read())
        tensors, scalars = taken(self.model, self.optimizer)
        tensors |= {"stream.order": self._order_of_epoch, "stream.augment": self._augment.get_state()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.items()}
        tensors |= {f"used.{name}": tensor for name, tensor in self.other_weights().items()}
        snapshot = {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
        return State(self.recipe.id, snapshot, scalars, self.step, self.seconds, self.history.copy())

    def restore(self, state: State) -> None:
        """Go on from a state of the same recipe. Raises ValueError when it belongs to another one."""
        if state.recipe != self.recipe.id:
            raise ValueError(f"This checkpoint belongs to another recipe ({state.recipe}, not {self.recipe.id}).")
        put_back(state, self.model, self.optimizer)
        parameters = dict(self.model.named_parameters())
        self.average = {name: like(mean, parameters[name]) for name, mean in state.part("average.").items()}
        self._order_of_epoch = state.tensors["stream.order"]
        self._augment.set_state(state.tensors["stream.augment"])
        self.step, self.seconds, self.history = state.step, state.seconds, state.history.copy()
