"""Catalogue `gradients`: what is done to the gradient before the optimizer sees it.

Each option gets `compute`, which fills every parameter's `.grad` from the batch at the weights as they stand and
returns what was measured; it calls that once or more, leaves in `.grad` what it wants, and returns what the first call
gave. Options wrap each other: what stands first in the recipe's list is innermost, but for what takes parts of a batch,
which always is. Gradients may be None: no part in
the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from lab.catalogue import Catalogue, Choice, Knob
from lab.checkpointing import in_pieces, run_again_backwards

gradients = Catalogue("gradient change", gives="what its first call of compute() gave")

Compute = Callable[..., Any]  # innermost with a number of images, of which so many go through the network at once
Radius = Annotated[
    float, Field(gt=0, description="distance at which the worst loss is sought"), Knob(0.001, 1, log=True)
]
L1 = Annotated[float, Field(ge=0, description="pull of every weight to zero"), Knob(1e-6, 0.1, log=True)]
L2 = Annotated[float, Field(ge=0, description="share of every parameter in its gradient"), Knob(1e-6, 0.1, log=True)]
Variance = Annotated[
    float, Field(ge=0, le=1e6, description="variance of the first step's noise"), Knob(0.001, 1, log=True)
]
Fall = Annotated[float, Field(ge=0, le=10, description="how fast the noise falls with the steps"), Knob(0, 1)]
Limit = Annotated[
    float, Field(gt=0, le=1e6, description="largest size of any gradient's entry"), Knob(1e-4, 10, log=True)
]
AtOnce = Annotated[int, Field(ge=1, le=1_000_000, description="images in the network at once"), Knob(1, 256, log=True)]
PASSES = {"sam": 2.0}  # passes of the batch that a change takes, where it is not one
INNERMOST = ("in_parts",)  # changes that ask for a part of the batch


@gradients.add
def sam(compute: Compute, model: nn.Module, draws: torch.Generator, step: int, *, rho: Radius = 0.05) -> Any:
    """Sharpness-aware minimisation: the gradient of the worst loss nearby, at the price of a second pass.

    e = rho g / |g| ;  the gradient is taken at theta + e and used at theta
    |g| is the norm over all parameters together. The second pass has the dropout masks of the first and moves no
    statistics of batch normalisation; the loss that is recorded is the first one's, at theta.

    Source: Foret et al. 2021, arXiv 2010.01412, algorithm 1 and eq. 2.
    """
    streams = [(stream, stream.get_state()) for stream in global_streams(model)]
    measured = compute()
    for stream, state in streams:
        stream.set_state(state)
    with shifted(model, rho), buffers_kept(model):
        compute()
    return measured


@gradients.add
def l1(compute: Compute, model: nn.Module, draws: torch.Generator, step: int, *, strength: L1 = 0.0001) -> Any:
    """Pull every weight to zero by the same amount, however small it is: many end close to it.

    g <- g + strength sign(theta), for matrices and kernels, not for biases and norms; the recorded loss is without it

    Source: Tibshirani, JRSS B 1996; Goodfellow et al., Deep Learning 2016.
    """
    measured = compute()
    for weight in with_gradient(model):
        if weight.ndim > 1:
            weight.grad.add_(weight.detach().sign(), alpha=strength)
    return measured


@gradients.add
def l2(compute: Compute, model: nn.Module, draws: torch.Generator, step: int, *, strength: L2 = 0.0001) -> Any:
    """Pull every parameter to zero, the harder the larger it is: biases and norms too, which weight_decay spares.

    g <- g + strength theta ;  the recorded loss is without it
    For all parameters what an optimizer's weight_decay is for matrices and kernels alone; set that to 0 beside it. An
    optimizer that divides by the gradient's size (adam, adamw, ...) divides this pull too.

    Source: Goodfellow et al., Deep Learning 2016, section 7.1.1; Loshchilov & Hutter 2019, arXiv 1711.05101.
    """
    measured = compute()
    for parameter in with_gradient(model):
        parameter.grad.add_(parameter.detach(), alpha=strength)
    return measured


@gradients.add
def gradient_noise(
    compute: Compute,
    model: nn.Module,
    draws: torch.Generator,
    step: int,
    *,
    eta: Variance = 0.01,
    gamma: Fall = 0.55,
) -> Any:
    """Noise on every gradient, less and less of it: it helps very deep networks out of bad starts.

    g <- g + N(0, eta / (1 + t)^gamma), with t = 0, 1, ... the step; drawn from a stream of the step's own

    Source: Neelakantan et al. 2015, arXiv 1511.06807, section 3.
    """
    measured = compute()
    deviation = (eta / (1 + step) ** gamma) ** 0.5
    for weight in with_gradient(model):
        weight.grad.add_(torch.empty_like(weight.grad).normal_(generator=draws), alpha=deviation)
    return measured


@gradients.add
def clip_value(compute: Compute, model: nn.Module, draws: torch.Generator, step: int, *, limit: Limit = 0.1) -> Any:
    """Cut every entry of the gradient off at a limit; unlike clip_norm this changes its direction.

    g <- min(max(g, -limit), limit)

    Source: Mikolov, PhD thesis, Brno 2012, who cuts at 15; torch.nn.utils.clip_grad_value_.
    """
    measured = compute()
    nn.utils.clip_grad_value_(model.parameters(), limit)
    return measured


@gradients.add
def centralise(compute: Compute, model: nn.Module, draws: torch.Generator, step: int) -> Any:
    """Take from each unit's gradient its mean, so that the sum of the unit's weights stays as it is.

    g[o] <- g[o] - mean(g[o]), for each output o of a matrix (out, in) or kernel (out, in, h, w)

    Source: Yong et al. 2020, arXiv 2004.01461, eq. 1.
    """
    measured = compute()
    for weight in with_gradient(model):
        if weight.ndim > 1:
            weight.grad.sub_(weight.grad.mean(dim=tuple(range(1, weight.ndim)), keepdim=True))
    return measured


@gradients.add
def in_parts(compute: Compute, model: nn.Module, draws: torch.Generator, step: int, *, images: AtOnce = 16) -> Any:
    """Gradient accumulation: the batch goes through the network part by part, and the parts' gradients are added up.

    g = sum over parts of (images in the part / images in the batch) g_part
    The gradient of the whole batch up to rounding, with the memory of a part and the same arithmetic; batch
    normalisation and objectives that compare images see one part at a time. Innermost, wherever it is in the list.

    Source: the linearity of the gradient; Goyal et al. 2017, arXiv 1706.02677, section 3 (over workers).
    """
    return compute(images)


@gradients.add
def recompute(compute: Compute, model: nn.Module, draws: torch.Generator, step: int) -> Any:
    """Activation checkpointing: memory for time. Of pieces of the network only what goes in is kept for the way back.

    n layers in sqrt(n) pieces: sqrt(n) inputs and one piece's layers are kept, not n ;  up to a forward pass more
    The gradient is the same to the last bit, dropout and batch normalisation among it. It does not pay where one piece
    keeps nearly all, as a recurrent layer over all its steps, nor in networks of a few layers or blocks: the arithmetic
    grows and the memory does not shrink. A network of one's own without a chain of layers has no pieces.

    Source: Chen et al. 2016, arXiv 1604.06174, section 4.1; torch.utils.checkpoint.
    """
    with in_pieces(model, run_again_backwards):
        return compute()


def unchanged(compute: Compute) -> Compute:
    """No change at all."""
    return compute


def with_gradient(model: nn.Module) -> list[Any]:
    """The parameters that have a gradient; it may be changed in place."""
    return [parameter for parameter in model.parameters() if parameter.grad is not None]


def global_streams(model: nn.Module) -> list[torch.Generator]:
    """The generators from which the network's layers draw (dropout)."""
    device = next(model.parameters()).device
    cuda = [torch.cuda.default_generators[device.index or 0]] if device.type == "cuda" else []
    return [torch.default_generator, *cuda]


@contextmanager
def shifted(model: nn.Module, distance: float) -> Generator[None]:
    """The weights go uphill along their gradient for a while, and come back to the same bits."""
    weights = with_gradient(model)
    kept = [weight.detach().clone() for weight in weights]
    norm = nn.utils.get_total_norm([weight.grad for weight in weights])
    with torch.no_grad():
        moves = torch._foreach_mul([weight.grad for weight in weights], distance / (norm + 1e-12))  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_add_(weights, moves)  # pyright: ignore[reportPrivateImportUsage]
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(weights, kept)  # pyright: ignore[reportPrivateImportUsage]


@contextmanager
def buffers_kept(model: nn.Module) -> Generator[None]:
    """What the network keeps beside its weights (statistics of batch normalisation) is put back afterwards."""
    kept: list[tuple[Tensor, Tensor]] = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        for buffer, value in kept:
            buffer.copy_(value)


def at_once(changes: tuple[Choice, ...], batch_size: int) -> int:
    """How many images of a batch are in the network together."""
    return min([batch_size, *(change.model_dump()["images"] for change in changes if change.name == "in_parts")])


def from_within(changes: tuple[Choice, ...]) -> list[Choice]:
    """In the order in which they wrap each other, the innermost first."""
    return sorted(changes, key=lambda change: change.name not in INNERMOST)


def runs_again(changes: tuple[Choice, ...]) -> bool:
    """Whether the way back computes again what the way forward did not keep."""
    return any(change.name == "recompute" for change in changes)


def passes_of(changes: tuple[Choice, ...]) -> float:
    """How often a batch goes through the network for one update, forward and backward."""
    passes = 1.0
    for change in changes:
        passes *= PASSES.get(change.name, 1)
    return passes
