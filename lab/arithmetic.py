"""Floating-point operations of a network and of an update, by torch's formulae for products and convolutions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lab.checkpointing import in_pieces, run_again_backwards
from lab.gradients import passes_of, runs_again
from lab.initializers import evaluating
from lab.objectives import Batch, Moment, Objective, trunk_of
from lab.recipe import Recipe
from lab.transfer import thawing, trained_layers
from lab.transfer.freezing import ALL, freeze_all_but


class Work(NamedTuple):
    """Floating-point operations of a loss and its gradient.

    backward: as many as the forward ones of a product for each of its factors that is differentiated: a frozen layer
    has none for its weights, and none at all below the first trained one; and those that are computed again on the
    way, where little was kept.
    """

    forward: float = 0.0
    backward: float = 0.0

    def times(self, factor: float) -> Work:
        return Work(*(factor * value for value in self))

    def plus(self, other: Work) -> Work:
        return Work(*(one + two for one, two in zip(self, other, strict=True)))

    def of_update(self, recipe: Recipe) -> float:
        """With all that the recipe does to the gradient."""
        return passes_of(recipe.gradient) * (self.forward + self.backward)


class Counter(TorchDispatchMode):
    """Adds up what passes while it is entered."""

    def __init__(self) -> None:
        from torch.utils.flop_counter import flop_registry  # noqa: PLC0415  # slow to import: brings a compiler

        super().__init__()
        # torch's own formula takes a convolution in groups for one without, on the way back.
        self.formulae = flop_registry | {torch.ops.aten.convolution_backward: of_convolution_backward}
        self.total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        result = func(*args, **given)
        if formula := self.formulae.get(func.overloadpacket):
            self.total += float(formula(*args, **given, out_val=result))
        return result


def of_convolution_backward(
    gradient: Tensor,
    images: Tensor,
    weight: Tensor,
    *others: Any,
    out_val: Any = None,  # noqa: ARG001  # torch's signature
) -> int:
    """As many operations as forward, towards each side that the last argument asks for."""
    *_, (to_images, to_weight, _) = others
    transposed = others[4]
    each = images.numel() if transposed else gradient.numel()  # a kernel is laid on each number of the smaller side
    return (to_images + to_weight) * 2 * each * weight[0].numel()


def work_of(model: nn.Module, loss_of: Callable[[], Tensor], *, again: bool = False) -> Work:
    """What a loss of a network in evaluation mode takes, and its gradient towards what is trained.

    again: as `recompute` has it, which on the way back stops in each piece at the last layer whose numbers are needed.
    """
    forward, backward = Counter(), Counter()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    pieces = in_pieces(model, run_again_backwards) if again else nullcontext()
    with evaluating(model), torch.enable_grad(), pieces:
        with forward:
            loss = loss_of()
        if trained and loss.requires_grad:
            with backward:
                torch.autograd.grad(loss, trained, allow_unused=True)
    return Work(forward.total, backward.total)


def flops_per_image(model: nn.Module, images: Tensor) -> float:
    """Floating-point operations of one forward pass over `images`, per image."""
    with evaluating(model), torch.no_grad(), Counter() as counter:
        model(images)
    return counter.total / len(images)


def work_of_loss(
    objective: Objective, model: nn.Module, images: Tensor, batch_size: int, *, again: bool = False
) -> Work:
    """Of a batch, counted on a few images.

    Every image costs the same, and so does every pair of images where an objective compares them: three batches tell
    what any batch costs, and one image does where the loss is that of the network's answers alone.

    Args:
        images: (4, c, h, w) float from 0 to 1, whatever is on them.
        again: as in `work_of`.
    """
    counted = partial(work_of, model, again=again)
    if type(objective).loss is Objective.loss:
        return counted(lambda: model(images[:1]).sum()).times(batch_size)
    two, three, four = (counted(partial(loss_of_step, objective, model, images[:count])) for count in (2, 3, 4))
    more, pairs = batch_size - 2, (batch_size - 2) * (batch_size - 3) / 2
    return two.times(1 - more + pairs).plus(three.times(more - 2 * pairs)).plus(four.times(pairs))


def loss_of_step(objective: Objective, model: nn.Module, images: Tensor) -> Tensor:
    """The loss of a step that sees these images."""
    return objective.loss(model, seen(objective, images))[0]


def flops_of_update(recipe: Recipe, objective: Objective, model: nn.Module, images: Tensor, batch_size: int) -> float:
    """Of one update with a batch, forward and backward: where layers thaw, the mean over the epochs.

    Args:
        images: as in `work_of_loss`.
    """
    work = partial(work_of_loss, objective, model, images, batch_size, again=runs_again(recipe.gradient))
    if recipe.transfer.name not in thawing:
        return work().of_update(recipe)
    trained = [trained_layers(recipe.transfer, epoch, recipe.epochs) for epoch in range(recipe.epochs)]
    trunk, found = trunk_of(model), dict[int, float]()
    for layers in set(trained):
        freeze_all_but(trunk, layers)
        found[layers] = work().of_update(recipe)
    freeze_all_but(trunk, ALL)
    return sum(map(found.__getitem__, trained)) / len(trained)


def seen(objective: Objective, images: Tensor) -> Batch:
    """What a step of the objective sees of these images, at the end of a run, where all parts of its loss count."""

    def plainly(others: Tensor) -> Tensor:
        return others.to(images) / 255

    pixels = (255 * images).to(torch.uint8)
    moment = Moment(torch.Generator(), 1.0, plainly, pixels, view=lambda others, _: plainly(others))
    return objective.batch(images, torch.zeros(len(images), dtype=torch.long, device=images.device), moment)
