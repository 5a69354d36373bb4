"""What a network is used with where that is not what it is trained with: other weights, and statistics for them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from lab.catalogue import Choice
from lab.initializers import evaluating
from lab.optimizers import optimizers, parameter_groups

STATISTICS_BATCH = 256
STATISTICS_IMAGES = 2048  # from these batch normalisation learns what the layers give under other weights


def used_weights(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """By name the values that the optimizer wants used in place of those it steps; empty for most optimizers."""
    own = getattr(optimizer, "used_weights", dict[Tensor, Tensor])()
    return {name: own[parameter] for name, parameter in model.named_parameters() if parameter in own} if own else {}


def uses_other_weights(choice: Choice) -> bool:
    """Whether this optimizer ever has `used_weights`."""
    sizes = ((1, 1), (1,))  # one weight, one bias; a layer would draw from the person's stream
    probe = nn.ParameterList(nn.Parameter(torch.zeros(size)) for size in sizes)
    return hasattr(optimizers.build(choice, parameter_groups(probe)), "used_weights")


def answer(model: nn.Module, weights: dict[str, Tensor], images: Tensor, task: str = "") -> Tensor:
    """Images (b, c, h, w) as the network sees them -> logits (b, classes), in inference mode with other weights.

    Args:
        task: what is asked, of a network that answers several questions.
    """
    asked = (images, task) if task else (images,)
    with evaluating(model):  # what is frozen rests in training too
        return functional_call(model, weights, asked) if weights else model(*asked)


def spread(count: int) -> Sequence[Tensor]:
    """Indices of the training images from which statistics are taken: whole batches, evenly spread."""
    images = min(count, STATISTICS_IMAGES)
    whole = images // STATISTICS_BATCH * STATISTICS_BATCH or images
    return torch.linspace(0, count - 1, whole).round().long().split(STATISTICS_BATCH)


@torch.no_grad()
def statistics(model: nn.Module, weights: dict[str, Tensor], batches: Iterable[Tensor]) -> dict[str, Tensor]:
    """Statistics of batch normalisation by name, as they are when the network has these weights.

    The mean over the batches, without dropout and augmentation; layers that learned none keep theirs.

    Source: Izmailov et al. 2018, section 3.2; torch.optim.swa_utils.update_bn.
    """
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, _BatchNorm) and learns(layer)}
    fresh = {
        f"{name}.{key}": torch.zeros_like(value)
        for name, layer in layers.items()
        for key, value in layer.named_buffers()
    }
    if fresh:
        with cumulative(model, list(layers.values())):
            for images in batches:
                functional_call(model, {**weights, **fresh}, (images,))
    return fresh


def learns(layer: _BatchNorm) -> bool:
    """Whether a batch has moved its statistics; if not, it is frozen, or saw single numbers only."""
    return layer.training and layer.num_batches_tracked is not None and bool(layer.num_batches_tracked)


@contextmanager
def cumulative(model: nn.Module, layers: Sequence[_BatchNorm]) -> Generator[None]:
    """Only these layers are in training mode, and count all batches alike."""
    modes = [(layer, layer.training) for layer in model.modules()]
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.training, layer.momentum = True, None
    try:
        yield
    finally:
        for layer, mode in modes:
            layer.training = mode
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
