"""The pieces of a training that keep nothing: devices, streams, the network, one update, one evaluation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Sequence
from copy import deepcopy
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab.activations import activations, gain_of
from lab.data import Dataset, Split
from lab.data.batches import batches, sample
from lab.depth import rate_groups
from lab.gradients import Compute
from lab.initializers import finish, initializers
from lab.memory import weights_that_fit
from lab.models import initialise, models
from lab.objectives import Batch, Objective, beside_trunk, objectives, take_beside, trunk_of
from lab.optimizers import joined, optimizers, parameter_groups
from lab.recipe import Recipe, RecipeError
from lab.transfer import sources, thawing, transfers

TRIES = 3  # at once
EVALUATION_BATCH = 256  # larger batches fall out of a CPU's cache and are slower there
STREAMS = ("init", "order", "augment", "dropout")
ONE_THREAD_FLOPS = 2e7  # per step, forward and backward


class DeviceError(ValueError):
    """A device was asked for that this machine does not have."""


def stream(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """The random stream of a run for one purpose: changing the model never changes the order of the batches."""
    return torch.Generator(device).manual_seed(seed * len(STREAMS) + STREAMS.index(purpose))


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or the best there is. Raises DeviceError when it is not there."""
    found = ["cpu", *(["cuda"] if torch.cuda.is_available() else []), *(["mps"] if torch.mps.is_available() else [])]
    name = str(device or found[-1])
    try:
        picked = torch.device(name)
    except RuntimeError:  # not the name of a device at all
        picked = None
    if (
        picked is None
        or picked.type not in found
        or (picked.type == "cuda" and (picked.index or 0) >= torch.cuda.device_count())
    ):
        raise DeviceError(f"device is {name!r}, but this machine has: {', '.join(found)}.")
    # As tensors name it, so that the two compare equal: `cuda` is `cuda:0`, `cpu:0` is `cpu`.
    return torch.device("cpu") if picked.type == "cpu" else torch.device(picked.type, picked.index or 0)


def build_objective(recipe: Recipe, data: Dataset) -> Objective:
    """What the recipe's network learns."""
    return objectives.build(recipe.objective, data, recipe.label_smoothing)


def build_model(recipe: Recipe, data: Dataset, objective: Objective | None = None) -> nn.Module:
    """The recipe's network on the CPU, initialised from the recipe's own stream and filled by its transfer.

    Args:
        objective: the recipe's own, where it is at hand.

    Raises:
        MemoryError: its weights do not fit.
        SourceError: the source of its weights is missing, damaged, or does not fit the network.
    """
    objective = objective or build_objective(recipe, data)
    with torch.random.fork_rng(devices=[]):  # layers draw throw-away weights from the global stream
        torch.default_generator.manual_seed(recipe.seed)  # torch.manual_seed would also queue a seed for each GPU
        activation = partial(activations.build, recipe.activation)
        with weights_that_fit():
            model: nn.Module = models.build(recipe.model, data.shape, objective.outputs(), activation)
            network = objective.network(model)
        fill = partial(initializers.build, recipe.init)
        gain, generator = gain_of(recipe.activation), stream(recipe.seed, "init")
        initialise(network, lambda weight: fill(weight, gain, generator))
        finish(recipe.init, model, partial(sample, data))
    if recipe.transfer.name == "scratch":  # whatever the source is, nothing of it is read
        return network
    weights = sources.build(recipe.source)
    filled: nn.Module = transfers.build(recipe.transfer, model, weights, data)
    if network is model:
        return filled
    take_beside(network, filled, weights, taken_over(recipe, objective))
    return network


def taken_over(recipe: Recipe, objective: Objective) -> dict[str, list[str]]:
    """Which of an objective's layers a transfer may fill: none where it names those that it copies."""
    return {} if getattr(recipe.transfer, "layers", "") else objective.meanings


def build_optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimizer over what is trained of its network, with a rate per depth where it has one.

    What an objective has put on the model learns at the full rate, as the model's output does.
    """
    thaws, trunk, others = recipe.transfer.name in thawing, trunk_of(model), beside_trunk(model)
    layered = recipe.depth_decay != 1 or thaws
    if layered:
        groups = rate_groups(trunk, recipe.depth_decay, others)
    else:
        groups = parameter_groups(trunk) + parameter_groups(trunk, others)
    optimizer: torch.optim.Optimizer = optimizers.build(recipe.optimizer, groups)
    check_optimizer(optimizer, recipe.optimizer.name)
    # torch's fused steps want all of a group in the same state: layers that thaw apart stay apart.
    return optimizer if thaws else joined(optimizer)


def check_optimizer(optimizer: torch.optim.Optimizer, name: str) -> None:
    """Whether schedules can set its rate, and a step needs nothing but gradients: one of a person's own may not be so.

    Raises:
        RecipeError: it cannot be used here.
    """
    if any("lr" not in group for group in optimizer.param_groups):
        raise RecipeError(f"Optimizer {name} keeps no rate: give its groups an 'lr', which schedules then set.")
    closure = signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is closure.empty:
        raise RecipeError(f"Optimizer {name} wants to compute the loss itself, but a step here has gradients alone.")


def update(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    *,
    loss_of: Callable[[nn.Module, Batch], tuple[Tensor, Tensor | None]],
    clip_norm: float,
    autocast: contextlib.AbstractContextManager[Any],
    change: Callable[[Compute], Compute],
) -> tuple[Tensor, Tensor]:
    """One step. Returns the batch's loss (mean nats) and accuracy (fraction; nan without labels), still on the device.

    Args:
        batch: what the step sees: images, then labels, (b,) classes or (b, classes) shares of each; then anything.
        loss_of: the objective's: network and batch -> mean loss, and logits (b, classes) or None.
        change: what the recipe makes of the computation of the gradient.
    """

    def compute(images: int | None = None) -> tuple[Tensor, Tensor | None]:
        optimizer.zero_grad()
        found = [backward(*part) for part in parts_of(batch, images)]
        if len(found) == 1:
            return found[0]
        losses, logits = zip(*found, strict=True)
        return torch.stack(losses).sum(), None if logits[0] is None else torch.cat(logits)

    def backward(part: Batch, share: float) -> tuple[Tensor, Tensor | None]:
        with autocast:
            loss, logits = loss_of(model, part)
        loss = loss if share == 1 else loss * share
        loss.backward()
        return loss.detach(), logits

    loss, logits = change(compute)()
    if clip_norm:
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()
    if logits is None:
        return loss.detach(), torch.full_like(loss, torch.nan, requires_grad=False)
    return loss.detach(), (logits.detach().argmax(1) == main_class(batch[1])).to(loss.dtype).mean()


def parts_of(batch: Batch, images: int | None = None) -> list[tuple[Batch, float]]:
    """A batch in parts of so many images, each with its share of them; what is not of single images is in each part."""
    count = len(batch[0])
    if images is None or images >= count:
        return [(batch, 1.0)]
    rows = [slice(start, min(start + images, count)) for start in range(0, count, images)]
    return [
        (
            tuple(entry[row] if entry.ndim and len(entry) == count else entry for entry in batch),
            (row.stop - row.start) / count,
        )
        for row in rows
    ]


def main_class(labels: Tensor) -> Tensor:
    """(..., b) classes as they are; (..., b, classes) shares -> the class with the largest."""
    return labels.argmax(-1) if labels.is_floating_point() else labels


@torch.inference_mode()
def evaluation(
    predict: Callable[[Tensor], Tensor], split: Split, device: torch.device, batch_size: int = EVALUATION_BATCH
) -> Generator[Tensor]:
    """Per batch, still on the device: (2,) the sum of the losses (nats, no label smoothing) and how many were right.

    Args:
        predict: uint8 images (b, c, h, w) -> logits (b, classes).
    """
    for images, labels in batches(split, torch.arange(len(split)), batch_size, device):
        logits = at_least_float32(predict(images))
        loss = functional.cross_entropy(logits, labels, reduction="sum")
        yield torch.stack([loss, (logits.argmax(1) == labels).sum()])


def loss_and_accuracy(sums: Iterable[Tensor], count: int) -> tuple[float, float]:
    """Mean loss (nats) and accuracy (fraction) of `count` examples from the sums of their batches."""
    loss, correct = torch.stack(list(sums)).sum(0).tolist()
    return loss / count, correct / count


def stalled(losses: Sequence[float], patience: int) -> bool:
    """Whether the last `patience` validation losses were no lower than the lowest before them; 0 has no end."""
    return 0 < patience < len(losses) and min(losses[-patience:]) >= min(losses[:-patience])


def at_least_float32(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


full_team: int | None = None  # threads of this process, once the panel has taken them from the main thread


def threads_for(flops_per_step: float) -> int:
    """Threads that a training on the CPU gets, in whatever thread it runs: the last bits depend on their number."""
    return 1 if flops_per_step < ONE_THREAD_FLOPS else full_team or torch.get_num_threads()


@contextlib.contextmanager
def enough_threads(device: torch.device, flops_per_step: float) -> Generator[None]:
    """One thread for a tiny network on a CPU: a second one saves nothing there and waits for the first.

    On a machine that others use too, that waiting is most of the time.
    """
    before = torch.get_num_threads()
    use_threads(threads_for(flops_per_step) if device.type == "cpu" else before)
    try:
        yield
    finally:
        use_threads(before)


def use_threads(count: int) -> None:
    """Only where it changes something: torch forgets oneDNN's prepared convolutions each time it is told a number."""
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


def seed_dropout(seed: int, step: int, device: torch.device) -> None:
    """Dropout draws from the global stream: give each step its own start, so that a resumed run needs none."""
    start = (seed * 1_000_003 + step * len(STREAMS) + STREAMS.index("dropout")) % 2**32
    torch.default_generator.manual_seed(start)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(start)


def noise_stream(seed: int, step: int, device: torch.device) -> torch.Generator:
    """What a change to the gradient draws from: each step has its own start, so that a resumed run needs none."""
    return torch.Generator(device).manual_seed((2**31 + seed * 1_000_003 + step) % 2**32)


def objective_stream(seed: int, step: int) -> torch.Generator:
    """What an objective draws from, on the host: each step has its own start, so that a resumed run needs none."""
    return torch.Generator().manual_seed((2**29 + seed * 1_000_003 + step) % 2**32)


def learning_stream(seed: int, device: torch.device) -> torch.Generator:
    """What augmentations draw from while they learn, before the first step."""
    return torch.Generator(device).manual_seed((2**30 + seed * 1_000_003) % 2**32)


@contextlib.contextmanager
def dropout_stream(seed: int, step: int, device: torch.device) -> Generator[Callable[[], bool]]:
    """The global stream at the start that belongs to a step; afterwards it stands as it did before.

    Yields:
        A function that tells whether something was drawn since.
    """
    generators = [torch.default_generator]
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index or 0])
    before = [generator.get_state() for generator in generators]
    seed_dropout(seed, step, device)
    start = [generator.get_state() for generator in generators]
    try:
        yield lambda: any(not torch.equal(g.get_state(), s) for g, s in zip(generators, start, strict=True))
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)


def draws_numbers(model: nn.Module, images: Tensor) -> bool:
    """Whether a network in training draws random numbers: each time, as another thread may draw some meanwhile."""
    trial = deepcopy(model).train()
    return all(drawing(trial, images) for _ in range(TRIES))


def drawing(model: nn.Module, images: Tensor) -> bool:
    with dropout_stream(0, 0, images.device) as moved, torch.no_grad():
        model(images)
        return moved()


def is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def no_memory(device: torch.device | str) -> str:
    return f"Not enough memory on {device}: try a smaller batch_size or model."


def like(value: Any, parameter: Tensor) -> Any:
    """The stored value in the parameter's memory layout: fused optimizers walk both in step."""
    if isinstance(value, Tensor) and value.shape == parameter.shape:
        return torch.empty_like(parameter).copy_(value)
    return value
