"""What of a network rests: frozen weights and statistics do not move by a bit; frozen layers work as in evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lab.catalogue import Choice
from lab.depth import by_depth
from lab.transfer.matching import copied_into


class Thaw(NamedTuple):
    """When layers begin to train: `trained` is a function of (epoch, epochs) and these settings -> last layers."""

    trained: Callable[..., int]
    settings: tuple[str, ...]


ALL = 10**9  # layers: more than any network has
thawing: dict[str, Thaw] = {}  # by option, where not all epochs train the same
cached: set[str] = set()  # options that train the last layer only: what it reads need be computed only once


def freeze_all_but(model: nn.Module, trained: int) -> None:
    """Only the last `trained` layers get gradients; depth is that of `by_depth`, at most all of them."""
    layers = by_depth(model)
    for above, layer in enumerate(reversed(layers)):
        for parameter in layer:
            parameter.requires_grad_(above < trained)
            if above >= trained:
                parameter.grad = None  # an optimizer would step by a gradient that was left


def settle(model: nn.Module) -> None:
    """Put what is frozen into evaluation mode and all else into training mode, as it must be in training.

    A layer is frozen when none of its parameters is trained. One without any (dropout, a pool) goes with the layer
    before it, and batch normalisation that keeps its statistics rests whatever its parameters do.
    """
    trained = next((parameter.requires_grad for parameter in model.parameters()), True)
    known = dict[nn.Module, set[bool]]()
    for layer in model.modules():
        if own := {parameter.requires_grad for parameter in layer.parameters(recurse=False)}:
            trained = True in own
        inner = training_within(layer, known)
        works = (True in inner if inner else trained) and not getattr(layer, "keeps_statistics", False)
        if layer.training != works:  # to set it takes longer than to ask
            layer.training = works


def training_within(layer: nn.Module, known: dict[nn.Module, set[bool]]) -> set[bool]:
    """Whether some of its parameters are trained, and whether some are not; empty where it has none."""
    if layer not in known:
        own = {parameter.requires_grad for parameter in layer.parameters(recurse=False)}
        known[layer] = own.union(*(training_within(child, known) for child in layer.children()))
    return known[layer]


def keep_statistics(model: nn.Module) -> None:
    """Mark batch normalisation that was copied: it normalises with the source's statistics, which never move."""
    for match in copied_into(model):
        layer = model.get_submodule(match.name)
        if isinstance(layer, _BatchNorm):
            layer.keeps_statistics = True  # pyright: ignore[reportArgumentType]


@torch.no_grad()
def renew_statistics(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Batch normalisation's statistics on these images in place of the source's; layers see renewed ones below them.

    Source: Li et al. 2016, arXiv 1603.04779 (adaptive batch normalisation).
    """
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.training, layer.momentum = True, None  # counts all batches alike
    for images in batches if layers else ():
        model(images)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.has_new_statistics = True  # pyright: ignore[reportArgumentType]
    model.train()


def before_epoch(choice: Choice, model: nn.Module, epoch: int, epochs: int) -> None:
    """Freeze and thaw what the transfer wants in epoch 0, 1, ...: a function of that alone, so that a run can go on."""
    if choice.name == "scratch":
        return
    if choice.name in thawing:
        freeze_all_but(model, trained_layers(choice, epoch, epochs))
    settle(model)


def trained_layers(choice: Choice, epoch: int, epochs: int) -> int:
    """How many of the last layers a transfer that thaws trains in this epoch."""
    trained, settings = thawing[choice.name]
    return trained(epoch, epochs, **{key: getattr(choice, key) for key in settings})


def freezes(choice: Choice) -> bool:
    """Whether some layer rests for some of the steps."""
    resting = bool(getattr(choice, "frozen", False)) or getattr(choice, "batchnorm", "") == "frozen"
    return choice.name in thawing or choice.name in cached or resting
