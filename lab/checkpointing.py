"""Activation checkpointing: a chain of layers in pieces, of which only what goes in is kept for the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TypeGuard

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

Run = Callable[[nn.Module, Tensor], Tensor]


def is_chain(layer: nn.Module) -> TypeGuard[nn.Sequential]:
    """Whether its layers pass what they make on to the next one, and nothing else happens in it."""
    return isinstance(layer, nn.Sequential) and type(layer).forward is nn.Sequential.forward


def chains(model: nn.Module) -> Iterator[nn.Module]:
    """The outermost chains of a network; one that several layers share comes with each of them."""
    if is_chain(model):
        yield model
    else:
        for child in model.children():
            yield from chains(child)


def links_of(layer: nn.Module) -> list[nn.Module]:
    """The layers of a chain in order, those of chains within it among them."""
    # Not its children(), which name a layer once that stands in it twice.
    return [link for child in layer for link in links_of(child)] if is_chain(layer) else [layer]


def pieces_of(links: Sequence[nn.Module]) -> list[nn.Module]:
    """About as many pieces as each has layers: then least is kept, where all layers keep as much."""
    size = max(1, round(len(links) ** 0.5))
    return [nn.Sequential(*links[start : start + size]) for start in range(0, len(links), size)]


def passed(pieces: Sequence[nn.Module], run: Run, signal: Tensor) -> Tensor:
    """Through all pieces."""
    for piece in pieces:
        signal = run(piece, signal)
    return signal


@contextmanager
def in_pieces(model: nn.Module, run: Run) -> Generator[None]:
    """For a while each chain of the network goes piece by piece through `run`."""
    found = [(chain, pieces_of(links_of(chain))) for chain in dict.fromkeys(chains(model))]
    for chain, pieces in found:
        chain.forward = partial(passed, pieces, run)  # of this one object, before that of its class
    try:
        yield
    finally:
        for chain, _ in found:
            del chain.forward


def run_again_backwards(piece: nn.Module, signal: Tensor) -> Tensor:
    """Keep what goes in; the rest is computed again when the backward pass comes by, to the same bits."""
    return checkpoint(piece, signal, use_reentrant=False, context_fn=partial(first_and_second, piece))


def first_and_second(piece: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), statistics_kept(piece)


@contextmanager
def statistics_kept(piece: nn.Module) -> Generator[None]:
    """Batch normalisation has seen this batch already: its statistics do not move a second time."""
    layers = [layer for layer in piece.modules() if isinstance(layer, _BatchNorm)]
    kept = [(layer, layer.momentum, layer.num_batches_tracked) for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
        layer.num_batches_tracked = None if layer.num_batches_tracked is None else layer.num_batches_tracked.clone()
    try:
        yield
    finally:
        for layer, momentum, count in kept:
            layer.momentum, layer.num_batches_tracked = momentum, count
