"""Training as an iterator: the loop never knows who watches.

Stop = stop iterating; pause = do not ask for the next event. Nothing here waits for the device at a
step: losses stay there and are read in blocks.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from math import isfinite, sqrt
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from lab.activations import activations, gain_of
from lab.augmentations import augmentations
from lab.data import Dataset, Split, load
from lab.data.batches import batches, normalise, place, to_float
from lab.initializers import initializers
from lab.models import initialise, models
from lab.optimizers import optimizers, parameter_groups
from lab.recipe import Recipe
from lab.schedules import schedules
from lab.transfer import sources, transfers

Status = Literal["finished", "stopped", "diverged", "stuck", "out_of_memory", "failed"]
BLOCK_SECONDS = 0.05
ONE_THREAD_FLOPS = 2e7  # per step, forward and backward
EVALUATION_BATCH = 256  # larger batches fall out of a CPU's cache and are slower there
DATA_BUDGET_BYTES = 4 * 2**30
STREAMS = ("init", "order", "augment", "dropout")


class DeviceError(ValueError):
    """A device was asked for that this machine does not have."""


@dataclass(frozen=True)
class Started:
    """Training begins, or goes on after `step` steps."""

    recipe: Recipe
    device: str
    parameters: int
    steps: int
    steps_per_epoch: int
    step: int = 0


@dataclass(frozen=True)
class Step:
    """One update was made; its loss is not read yet."""

    step: int
    epoch: int


@dataclass(frozen=True)
class Metrics:
    """What a block of updates measured, read from the device at once.

    loss: mean nats per example of each batch; accuracy: fraction of each batch; lr: rate of each update.
    """

    first_step: int
    loss: list[float]
    accuracy: list[float]
    lr: list[float]


@dataclass(frozen=True)
class Epoch:
    """A pass over the training split is over, and the validation split was looked at."""

    epoch: int
    step: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


@dataclass(frozen=True)
class Finished:
    """The last event: how it ended, and in words why."""

    status: Status
    step: int
    detail: str = ""


Event = Started | Step | Metrics | Epoch | Finished


@dataclass
class History:
    """Per step and per epoch, as far as it was read."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)

    def add(self, event: Event) -> None:
        if isinstance(event, Metrics):
            self.loss += event.loss
            self.accuracy += event.accuracy
            self.lr += event.lr
        elif isinstance(event, Epoch):
            self.epochs.append(event)

    def copy(self) -> History:
        return History(list(self.loss), list(self.accuracy), list(self.lr), list(self.epochs))

    @property
    def diverged(self) -> bool:
        """Whether the last loss that was read is not finite; nothing is read after it."""
        return bool(self.loss) and not isfinite(self.loss[-1])


def stream(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """The random stream of a run for one purpose: changing the model never changes the order of the batches."""
    return torch.Generator(device).manual_seed(seed * len(STREAMS) + STREAMS.index(purpose))


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or the best there is. Raises DeviceError when it is not there."""
    found = ["cpu", *(["cuda"] if torch.cuda.is_available() else []), *(["mps"] if torch.mps.is_available() else [])]
    name = str(device or found[-1])
    try:
        picked = torch.device(name)
        here = picked.type in found and (picked.type != "cuda" or (picked.index or 0) < torch.cuda.device_count())
    except RuntimeError:  # not the name of a device at all
        here = False
    if not here:
        raise DeviceError(f"device is {name!r}, but this machine has: {', '.join(found)}.")
    # As tensors name it, so that the two compare equal: `cuda` is `cuda:0`, `cpu:0` is `cpu`.
    return torch.device("cpu") if picked.type == "cpu" else torch.device(picked.type, picked.index or 0)


def build_model(recipe: Recipe, data: Dataset) -> nn.Module:
    """The recipe's network on the CPU, initialised from the recipe's own stream and filled by its transfer."""
    with torch.random.fork_rng(devices=[]):  # layers draw throw-away weights from the global stream
        torch.manual_seed(recipe.seed)
        activation = partial(activations.build, recipe.activation)
        model: nn.Module = models.build(recipe.model, data.shape, len(data.classes), activation)
    fill = partial(initializers.build, recipe.init)
    gain, generator = gain_of(recipe.activation), stream(recipe.seed, "init")
    initialise(model, lambda weight: fill(weight, gain, generator))
    return transfers.build(recipe.transfer, model, sources.build(recipe.source))


def update(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    *,
    label_smoothing: float,
    clip_norm: float,
    autocast: contextlib.AbstractContextManager[Any],
) -> tuple[Tensor, Tensor]:
    """One step. Returns the batch's loss (mean nats) and accuracy (fraction), still on the device."""
    with autocast:
        logits = at_least_float32(model(images))
        loss = functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    optimizer.zero_grad()
    loss.backward()
    if clip_norm:
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    return loss.detach(), (logits.detach().argmax(1) == labels).to(loss.dtype).mean()


@torch.inference_mode()
def evaluate(
    predict: Callable[[Tensor], Tensor], split: Split, device: torch.device, batch_size: int = EVALUATION_BATCH
) -> tuple[float, float]:
    """Loss (mean nats per example, no label smoothing) and accuracy (fraction).

    Args:
        predict: uint8 images (b, c, h, w) -> logits (b, classes).
    """
    sums = []
    for images, labels in batches(split, torch.arange(len(split)), batch_size, device):
        logits = at_least_float32(predict(images))
        loss = functional.cross_entropy(logits, labels, reduction="sum")
        sums.append(torch.stack([loss, (logits.argmax(1) == labels).sum()]))
    loss, correct = torch.stack(sums).sum(0).tolist()
    return loss / len(split), correct / len(split)


def at_least_float32(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def training(recipe: Recipe, **where: Any) -> Training:
    """The iterator over a recipe's run; `where` is device, data_budget_bytes, workers.

    Example:
        >>> for event in training(Recipe(epochs=1)):
        ...     if isinstance(event, Finished):
        ...         print(event.status, event.step)
        finished 20
    """
    return Training(recipe, **where)


class Training:
    """Everything one run needs, and the iterator over its events.

    Between two events `state()` may be taken: a Training that is given it by `restore()` goes on with the
    same numbers, bit for bit on a CPU.

    Args:
        device: "cpu", "cuda", ...; the best there is by default.
        data_budget_bytes: splits up to this size lie on the device, larger ones are streamed to it.
        workers: processes that read ahead when streaming.
    Raises:
        DataError: the data set is missing, damaged or unfit.
        DeviceError: no such device.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        device: str | torch.device | None = None,
        data_budget_bytes: int = DATA_BUDGET_BYTES,
        workers: int = 0,
    ) -> None:
        self.recipe, self.device, self.workers = recipe, pick_device(device), workers
        self.data = load(recipe.data, recipe.modify)
        self.train_split = place(self.data.train, self.device, data_budget_bytes)
        self.validation_split = place(self.data.validation, self.device, data_budget_bytes)
        self.steps_per_epoch = -(-len(self.train_split) // recipe.batch_size)
        self.steps = self.steps_per_epoch * recipe.epochs
        self.step, self.seconds, self.history, self.between_steps = 0, 0.0, History(), True
        self._prepare_model()
        self._order = stream(recipe.seed, "order")
        self._augment = stream(recipe.seed, "augment", self.device)
        self._order_of_epoch = self._order.get_state()  # as the stream stood before this epoch's permutation
        self._unread: list[tuple[Tensor, Tensor, float]] = []
        self._read_early: list[Metrics] = []  # by state(), between two blocks

    def _prepare_model(self) -> None:
        recipe = self.recipe
        self.dtype = torch.float64 if recipe.precision == "float64" else torch.float32
        self.model = build_model(recipe, self.data)
        convolutional = any(isinstance(layer, nn.Conv2d) for layer in self.model.modules())
        self.memory_format = torch.channels_last if convolutional else torch.contiguous_format
        self.model = self.model.to(self.device, self.dtype).to(memory_format=self.memory_format)  # pyright: ignore[reportCallIssue]
        self.optimizer: torch.optim.Optimizer = optimizers.build(recipe.optimizer, parameter_groups(self.model))
        self._base_rates = [group["lr"] for group in self.optimizer.param_groups]
        self._autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16")
        constants = [torch.tensor(values, dtype=self.dtype, device=self.device) for values in self.data.statistics]
        self._mean, self._std = (constant.view(1, -1, 1, 1) for constant in constants)
        probe = torch.zeros(1, *self.data.shape, dtype=self.dtype, device=self.device)
        self.flops_per_step = 3 * flops_per_image(self.model, probe) * recipe.batch_size

    def __iter__(self) -> Iterator[Event]:
        """The run's events, from where it stands to its end; only the time spent here is counted."""
        events = self._guarded()
        while (event := self._next(events)) is not None:
            yield event

    def _next(self, events: Iterator[Event]) -> Event | None:
        with enough_threads(self):
            self._clock = time.perf_counter()
            event = next(events, None)
            self.seconds = self._elapsed()
        return event

    def _elapsed(self) -> float:
        return self.seconds + time.perf_counter() - self._clock

    def _guarded(self) -> Iterator[Event]:
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        yield Started(self.recipe, str(self.device), parameters, self.steps, self.steps_per_epoch, self.step)
        try:
            yield from self._epochs()
            return  # noqa: TRY300  # what follows is for those who ran out of memory
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside `except`: a held exception would pin the very tensors that did not fit.
        yield from self._blocks()
        yield Finished("out_of_memory", self.step, no_memory(self.device))

    def _epochs(self) -> Iterator[Event]:
        if self.history.diverged:  # restored from after the divergence
            yield self._diverged(len(self.history.loss) - 1)
            return
        for epoch in range(len(self.history.epochs), self.recipe.epochs):
            for event in self._steps(epoch):
                yield event
                if isinstance(event, Metrics) and not isfinite(event.loss[-1]):
                    yield self._diverged(event.first_step + len(event.loss) - 1)
                    return
            result = self._end_of_epoch(epoch)
            yield result
            if not isfinite(result.validation_loss):
                yield self._diverged(self.step)
                return
        yield self._verdict()

    def _steps(self, epoch: int) -> Iterator[Event]:
        self._order.set_state(self._order_of_epoch)
        permutation = torch.randperm(len(self.train_split), generator=self._order)
        rest = permutation[(self.step - epoch * self.steps_per_epoch) * self.recipe.batch_size :]
        read_at = time.perf_counter() + BLOCK_SECONDS
        for images, labels in batches(self.train_split, rest, self.recipe.batch_size, self.device, self.workers):
            self._step(images, labels)
            yield Step(self.step, epoch)
            if time.perf_counter() >= read_at:
                yield from self._blocks()
                read_at = time.perf_counter() + BLOCK_SECONDS
        yield from self._blocks()

    def _blocks(self) -> Iterator[Metrics]:
        """What was measured since the last block, in order."""
        while self._read_early:
            yield self._read_early.pop(0)
        if self._unread:
            yield self._read()

    def _step(self, images: Tensor, labels: Tensor) -> None:
        self.between_steps = False  # until the step is whole: what breaks in it leaves no state to go on from
        lr = self._set_rate(self.step / self.steps)
        seed_dropout(self.recipe.seed, self.step, self.device)
        loss, accuracy = update(
            self.model,
            self.optimizer,
            self.prepare(images, augment=True),
            labels,
            label_smoothing=self.recipe.label_smoothing,
            clip_norm=self.recipe.clip_norm,
            autocast=self._autocast,
        )
        self._unread.append((loss, accuracy, lr))
        self.step += 1
        if self.step % self.steps_per_epoch == 0:
            self._order_of_epoch = self._order.get_state()
        self.between_steps = True

    def _set_rate(self, progress: float) -> float:
        factor = schedules.build(self.recipe.schedule, progress)
        for group, base in zip(self.optimizer.param_groups, self._base_rates, strict=True):
            group["lr"] = base * factor
        return self._base_rates[0] * factor

    def prepare(self, images: Tensor, *, augment: bool = False) -> Tensor:
        """uint8 (b, c, h, w) -> what the model sees: float, augmented on request, normalised."""
        images = to_float(images, self.dtype)
        for choice in self.recipe.augment if augment else ():
            images = augmentations.build(choice, images, self._augment)
        return normalise(images, self._mean, self._std).contiguous(memory_format=self.memory_format)

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
        metrics = Metrics(first, loss[:keep], accuracy[:keep], list(rates[:keep]))
        self.history.add(metrics)
        return metrics

    def _end_of_epoch(self, epoch: int) -> Epoch:
        sizes = torch.full((self.steps_per_epoch,), self.recipe.batch_size, dtype=torch.float64)
        sizes[-1] -= self.steps_per_epoch * self.recipe.batch_size - len(self.train_split)
        weights = sizes / len(self.train_split)
        loss, accuracy = (
            float(torch.tensor(values[-self.steps_per_epoch :], dtype=torch.float64) @ weights)
            for values in (self.history.loss, self.history.accuracy)
        )
        validation_loss, validation_accuracy = self.evaluate(self.validation_split)
        result = Epoch(epoch, self.step, loss, accuracy, validation_loss, validation_accuracy, self._elapsed())
        self.history.add(result)
        return result

    def evaluate(self, split: Split) -> tuple[float, float]:
        """Loss and accuracy on a split in inference mode: stored BatchNorm statistics, no dropout."""
        self.model.eval()
        try:
            with self._autocast:
                return evaluate(lambda images: self.model(self.prepare(images)), split, self.device)
        finally:
            self.model.train()

    def _diverged(self, step: int) -> Finished:
        lr = self.history.lr[min(step, len(self.history.lr) - 1)]
        return Finished("diverged", step, f"The loss is not finite at step {step}: try a learning rate below {lr:.3g}.")

    def _verdict(self) -> Finished:
        """Finished, or stuck: no better on its own training images than naming the most frequent class."""
        share = float(self.train_split.labels.bincount().max()) / len(self.train_split)
        noise = sqrt(share * (1 - share) / len(self.train_split))
        accuracy = self.history.epochs[-1].train_accuracy
        if accuracy > share + 3 * noise:
            return Finished("finished", self.step)
        detail = f"Training accuracy {accuracy:.3f} is not above chance ({share:.3f})"
        return Finished("stuck", self.step, f"{detail}: try another learning rate or initialisation.")

    def state(self) -> State:
        """Everything that decides the rest of the run; what is unread is read into the history first."""
        if self._unread and not self.history.diverged:
            self._read_early.append(self._read())
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        scalars: dict[str, Any] = {}
        for index, slots in self.optimizer.state_dict()["state"].items():
            for slot, value in slots.items():
                (tensors if isinstance(value, Tensor) else scalars)[f"optimizer.{index}.{slot}"] = value
        tensors |= {"stream.order": self._order_of_epoch, "stream.augment": self._augment.get_state()}
        snapshot = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        return State(snapshot, scalars, self.step, self.seconds, self.history.copy())

    def restore(self, state: State) -> None:
        """Go on from a state of the same recipe. Raises ValueError when it belongs to another network."""
        model = {name.removeprefix("model."): t for name, t in state.tensors.items() if name.startswith("model.")}
        try:
            self.model.load_state_dict(model)
        except RuntimeError as error:
            raise ValueError(f"This checkpoint belongs to another network. {error}") from None
        self._restore_optimizer({**state.tensors, **state.scalars})
        self._order_of_epoch = state.tensors["stream.order"]
        self._augment.set_state(state.tensors["stream.augment"])
        self.step, self.seconds, self.history = state.step, state.seconds, state.history.copy()

    def _restore_optimizer(self, values: dict[str, Any]) -> None:
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        slots: dict[int, dict[str, Any]] = {}
        for name, value in values.items():
            if name.startswith("optimizer."):
                _, index, slot = name.split(".", 2)
                slots.setdefault(int(index), {})[slot] = like(value, parameters[int(index)])
        self.optimizer.load_state_dict({"state": slots, "param_groups": self.optimizer.state_dict()["param_groups"]})


@dataclass(frozen=True)
class State:
    """A run between two steps: tensors by name, the optimizer's plain numbers, and what was measured."""

    tensors: dict[str, Tensor]
    scalars: dict[str, Any]
    step: int
    seconds: float
    history: History


def like(value: Any, parameter: Tensor) -> Any:
    """The stored value in the parameter's memory layout: fused optimizers walk both in step."""
    if isinstance(value, Tensor) and value.shape == parameter.shape:
        return torch.empty_like(parameter).copy_(value)
    return value


def flops_per_image(model: nn.Module, images: Tensor) -> float:
    """Floating-point operations of one forward pass over `images`, per image, counted by torch."""
    was_training = model.training
    model.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images)
    model.train(was_training)
    return counter.get_total_flops() / len(images)


@contextlib.contextmanager
def enough_threads(session: Training) -> Generator[None]:
    """One thread for a tiny network on a CPU: a second one saves nothing there and waits for the first.

    On a machine that others use too that waiting costs a factor of ten and more (bench/README.md).
    """
    before = torch.get_num_threads()
    if session.device.type == "cpu" and session.flops_per_step < ONE_THREAD_FLOPS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seed_dropout(seed: int, step: int, device: torch.device) -> None:
    """Dropout draws from the global stream: give each step its own start, so that a resumed run needs none."""
    start = (seed * 1_000_003 + step * len(STREAMS) + STREAMS.index("dropout")) % 2**32
    torch.default_generator.manual_seed(start)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(start)


def no_memory(device: torch.device | str) -> str:
    return f"Not enough memory on {device}: try a smaller batch_size or model."


def is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
