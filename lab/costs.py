"""What a network costs, measured without training it: parameters, arithmetic, memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from lab.arithmetic import flops_of_update, seen, work_of_loss
from lab.augmentations.learning import learning_flops
from lab.checkpointing import in_pieces
from lab.data import Dataset
from lab.gradients import at_once, runs_again, unchanged
from lab.loading import data_of
from lab.objectives import Batch, Objective
from lab.optimizers import batch_of
from lab.recipe import Recipe
from lab.steps import build_model, build_objective, build_optimizer, update

FEW, MORE = 2, 4  # images of the two batches from which a batch of any size follows


@dataclass(frozen=True)
class Layer:
    """One layer of a network, as the images pass it.

    name: where it stands; kind: its class; shape: of its last output for one image, () where it was never called;
    parameters: its own; applied: how often for each image: more than once where its weights are shared.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    applied: int


@dataclass(frozen=True)
class Costs:
    """What a recipe's network costs on a CPU; other devices choose other kernels, which may keep a little more or less.

    trained, frozen: numbers of parameters. flops_forward: of one image's part in the loss, with the other images
    that its objective looks at and what it adds to the network, forward only, as torch counts them: products of
    matrices and convolutions; flops_per_image: of its part in an update, of which what is frozen needs less. bytes: of
    the weights (with buffers); of what the optimizer and an average keep beside them; of what the forward pass of one
    batch, or of the part of it that is in the network at once, keeps for the backward pass, the images among it. What
    other changes of the gradient hold in the middle of an update is not counted.
    learning_flops: once, of what augmentations learn before the first step.
    """

    trained: int
    frozen: int
    layers: tuple[Layer, ...]
    flops_forward: float
    batch_size: int
    weight_bytes: int
    optimizer_bytes: int
    activation_bytes: int
    average_bytes: int
    flops_per_image: float
    learning_flops: float = 0.0

    @property
    def parameters(self) -> int:
        return self.trained + self.frozen


def costs(recipe: Recipe, data: Dataset | None = None) -> Costs:
    """Build the recipe's network and measure it on a few images that mean nothing.

    Args:
        data: the recipe's data set, where it is at hand; only its shape, classes and number of images are used.
    Raises:
        DataError: the data set is missing; ValueError: the network cannot read its images.
    """
    data = data or data_of(recipe)
    with torch.random.fork_rng(devices=[]):  # dropout draws
        objective = build_objective(recipe, data)
        return _measured(recipe, build_model(recipe, data, objective), data, objective)


def _measured(recipe: Recipe, model: nn.Module, data: Dataset, objective: Objective) -> Costs:
    dtype = torch.float64 if recipe.precision == "float64" else torch.float32
    model, images = model.to(dtype), torch.rand(MORE, *data.shape, dtype=dtype)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bfloat16")
    frozen = sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad)
    trained = sum(parameter.numel() for parameter in model.parameters()) - frozen
    batch_size = batch_of(recipe.optimizer, recipe.batch_size) or len(data.train)
    return Costs(
        trained=trained,
        frozen=frozen,
        layers=tuple(layers_of(model, images[:1])),
        flops_forward=work_of_loss(objective, model, images, batch_size).forward / batch_size,
        batch_size=batch_size,
        weight_bytes=sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers())),
        activation_bytes=bytes_of_batch(
            model,
            images,
            objective,
            autocast,
            count=at_once(recipe.gradient, batch_size),
            again=runs_again(recipe.gradient),
        ),
        average_bytes=0 if recipe.average.name == "nothing" else trained * dtype.itemsize,
        flops_per_image=flops_of_update(recipe, objective, model, images, batch_size) / batch_size,
        learning_flops=learning_flops(recipe.augment, data.shape, len(data.classes), len(data.train)),
        optimizer_bytes=bytes_of_optimizer(recipe, model, images, objective, autocast),  # last: it moves the weights
    )


@torch.no_grad()
def layers_of(model: nn.Module, image: Tensor) -> Iterator[Layer]:
    """Every layer that holds parameters or does arithmetic itself, in the order they first run; idle ones last.

    Args:
        image: (1, c, h, w).
    """
    outputs: dict[str, list[Any]] = {}
    listed = {name: layer for name, layer in model.named_modules() if is_listed(layer)}
    hooks = [layer.register_forward_hook(partial(_note, outputs, name)) for name, layer in listed.items()]
    was_training = model.training
    model.eval()(image)
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    for name in {**outputs, **listed}:
        layer, shapes = listed[name], outputs.get(name, [])
        own = sum(parameter.numel() for parameter in layer.parameters(recurse=False))
        yield Layer(name, type(layer).__name__, shapes[-1] if shapes else (), own, len(shapes))


def is_listed(layer: nn.Module) -> bool:
    return not any(True for _ in layer.children()) or any(True for _ in layer.parameters(recurse=False))


def _note(outputs: dict[str, list[Any]], name: str, layer: nn.Module, inputs: Any, output: Any) -> None:  # noqa: ARG001  # torch's signature
    outputs.setdefault(name, []).append(tuple(output.shape[1:]) if isinstance(output, Tensor) else ())


def bytes_of_batch(
    model: nn.Module,
    images: Tensor,
    objective: Objective,
    autocast: AbstractContextManager[Any],
    *,
    count: int,
    again: bool,
) -> int:
    """What the forward pass of so many images keeps: a part for each of them, and a part that all share."""
    few, more = (
        kept_bytes(model, seen(objective, images[:size].clone()), objective, autocast, again=again)
        for size in (FEW, MORE)
    )
    each = (more - few) / (MORE - FEW)
    return round(few + each * (count - FEW))


def kept_bytes(
    model: nn.Module, batch: Batch, objective: Objective, autocast: AbstractContextManager[Any], *, again: bool = False
) -> int:
    """Bytes that the forward pass keeps for the backward pass beside the weights; memory that is shared counts once.

    again: of each piece of the network only what goes in stays; when the way back comes to it, the rest is there again.
    """
    kept: dict[int, int] = {}
    within: list[dict[int, int]] = [{}]  # of each piece

    signals: list[Tensor] = []  # as long as they are held no memory is used twice

    def counted(piece: nn.Module, signal: Tensor) -> Tensor:
        signals.append(signal)
        note(kept, signal)
        within.append({})
        with saved_tensors_hooks(partial(note, within[-1]), lambda tensor: tensor):
            return piece(signal)

    pieces = in_pieces(model, counted) if again else nullcontext()
    with saved_tensors_hooks(partial(note, kept), lambda tensor: tensor), autocast, pieces:
        loss, logits = objective.loss(model, batch)
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    del loss, logits  # until here it held what was kept, so that no memory was used twice
    signals.clear()
    return without(own, kept) + max(without({*own, *kept}, found) for found in within)


def note(kept: dict[int, int], tensor: Tensor) -> Tensor:
    """By address, how large its memory is."""
    memory = tensor.untyped_storage()
    kept[memory.data_ptr()] = memory.nbytes()
    return tensor.detach()  # the tensor itself would hold the graph that holds it


def without(others: Collection[int], kept: Mapping[int, int]) -> int:
    """Bytes at addresses that are none of the others."""
    return sum(size for address, size in kept.items() if address not in others)


def bytes_of_optimizer(
    recipe: Recipe, model: nn.Module, images: Tensor, objective: Objective, autocast: AbstractContextManager[Any]
) -> int:
    """What the optimizer keeps after a step, counters aside: none, one or two numbers for each weight, or more."""
    optimizer = build_optimizer(recipe, model)
    step = partial(update, loss_of=objective.loss, clip_norm=recipe.clip_norm, autocast=autocast, change=unchanged)
    step(model, optimizer, seen(objective, images))
    states = (value for state in optimizer.state.values() for value in state.values())
    return sum(value.nbytes for value in states if isinstance(value, Tensor) and value.ndim)


def words(found: Costs) -> str:
    """One line for people: arithmetic as in training, and what lies in memory.

    Example:
        >>> words(Costs(25_450, 0, (), 266_000.0, 64, 101_800, 0, 2_100_000, 0, 798_000.0))
        '25,450 parameters · 0.798 MFLOP per image trained · 102 kB weights, 2.1 MB per batch of 64'
    """
    parameters = f"{found.parameters:,} parameters"
    if found.frozen:
        parameters += f" ({found.frozen:,} frozen)"
    parts = {"weights": found.weight_bytes, "optimizer": found.optimizer_bytes, "average": found.average_bytes}
    parts[f"per batch of {found.batch_size:,}"] = found.activation_bytes
    memory = ", ".join(f"{with_prefix(size)}B {part}" for part, size in parts.items() if size)
    once = f" · {with_prefix(found.learning_flops)}FLOP before the first step" if found.learning_flops else ""
    return f"{parameters} · {with_prefix(found.flops_per_image)}FLOP per image trained{once} · {memory}"


def with_prefix(number: float) -> str:
    """Three digits and the prefix that keeps them short: `0.8 M`, `12.3 G`."""
    size, prefix = next(
        (
            (size, prefix)
            for size, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
            if number >= size / 2
        ),
        (1.0, ""),
    )
    return f"{number / size:.3g} {prefix}"
