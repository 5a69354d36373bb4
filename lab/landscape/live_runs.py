"""A run as a landscape sees it: its snapshots so far, and a network of its own to evaluate them with."""

from __future__ import annotations

from collections.abc import Generator
from copy import deepcopy
from math import isfinite, prod
from typing import NamedTuple

import torch
from torch import nn
from torch.func import functional_call

from lab.data import Dataset
from lab.landscape.evaluators import Evaluator, losses_and_hits, on, use_batch_statistics
from lab.landscape.functions import Function
from lab.landscape.stability import Reading, bound_seen
from lab.landscape.trails import Trail
from lab.landscape.weights import Weights, beyond, bounds, trained
from lab.steps import enough_threads
from lab.training import Training

MARKS = 32  # snapshots of a path at most: before one more, every second is forgotten
OFFERS = 256  # snapshots of a run, were none forgotten: the first come soon
LEAST_MARKS = 12  # of a whole run, whatever they cost: a shorter path says nothing
TRAIL_BYTES = 128 * 2**20
DIVERGED, LEFT_ALL_BOUNDS = "diverged", "left all bounds"
MOST_WEIGHTS = TRAIL_BYTES // (4 * 4)  # four snapshots in float32
LIGHT_WEIGHTS, LIGHT_DATA = 2**16, 8 * 2**20  # of a run that is followed before anyone asks: values, bytes of images


class Snapshot(NamedTuple):
    """Weights after so many steps, and the buffers (statistics of batch normalisation, say) that belong to them."""

    step: int
    weights: Weights
    buffers: Weights


class LiveRun:
    """Reads a training between its events, and changes nothing of it: the weights that it is used with, a mean perhaps.

    Memory: snapshots of at most TRAIL_BYTES, buffers beside each, one copy of the network and the newest weights.

    Args:
        start: the weights that the training began with, where its first steps were not seen; by default those of now.

    Raises:
        ValueError: the network is so large that not even four snapshots fit.
    """

    def __init__(self, session: Training, start: Weights | None = None) -> None:
        self.recipe, self.data = session.recipe, session.data
        self.device, self.memory_format, self.dtype = session.device, session.memory_format, session.dtype
        self.edge = bound_seen(session)  # of stability: the curvature that the last rate can bear, or why there is none
        self.edges = {session.step: self.edge}  # at each snapshot
        self.readings: dict[int, Reading] = {}  # of the sharpness, by step; those of snapshots forgotten stay
        count = weights_in(session.model)
        first = snapshot_of(session)
        self.trail = Trail(first.weights, session.step, budget_bytes=min(TRAIL_BYTES, MARKS * 4 * count))
        self.network = without_gradients(deepcopy(session.model))
        self.function = Function.of(session.recipe, session.model)
        self.buffers = {session.step: first.buffers}
        self.newest = first._replace(weights=self.trail.start)
        self._bounds = bounds(start or first.weights)
        self.moving, self.lost = True, how_lost(session, first.weights, self._bounds)  # why it is on no plane
        self._every = max(1, session.steps // OFFERS)
        self._at_most = max(1, session.steps // LEAST_MARKS)

    @property
    def shapes(self) -> tuple[tuple[str, torch.Size], ...]:
        """Alike for runs whose weights are points of one space."""
        return tuple((name, tensor.shape) for name, tensor in self.trail.start.items())

    @property
    def edge_readings(self) -> tuple[Reading, ...]:
        """In the order of their steps."""
        return tuple(self.readings[step] for step in sorted(self.readings))

    def due(self, step: int, *, affordable: bool) -> bool:
        """Whether the next snapshot is to be taken; none of a run that is lost."""
        return not self.lost and step >= self.newest.step + (self._every if affordable else self._at_most)

    def look(self, session: Training) -> bool:
        """Take a snapshot; whether there is anything new. A run that is lost never comes back to a plane."""
        now, known = snapshot_of(session), self.lost
        why = how_lost(session, now.weights, self._bounds)
        self.lost = why if why == DIVERGED else known or why
        if self.lost or session.step <= self.newest.step:
            return self.lost != known
        self.newest, self.edge = now, bound_seen(session)
        self.buffers[session.step], self.edges[session.step] = now.buffers, self.edge
        before = len(self.trail)
        self.trail.add(now.weights, session.step, always=True)
        if len(self.trail) < before:  # it has forgotten every second one
            self._every *= 2
            self.buffers = {step: self.buffers[step] for step in self.trail.steps}
            self.edges = {step: self.edges[step] for step in self.trail.steps}
        return True

    def snapshot(self, index: int) -> Snapshot:
        """One of the path."""
        step = self.trail.steps[index]
        return Snapshot(step, self.trail.weights(index), self.buffers[step])

    def network_with(self, buffers: Weights) -> nn.Module:
        """The network, which belongs to this run, with these buffers."""
        for name, buffer in self.network.named_buffers():
            buffer.copy_(buffers[name])
        return self.network


def snapshot_of(session: Training) -> Snapshot:
    """The network as it is used now: copies on the host."""
    used = session.weights()
    weights = {name: tensor.cpu() for name, tensor in trained(session.model, used).items()}
    buffers = {
        name: used.get(name, buffer).detach().to("cpu", copy=True) for name, buffer in session.model.named_buffers()
    }
    return Snapshot(session.step, weights, buffers)


def how_lost(session: Training, weights: Weights, farthest: float) -> str:
    """Why a run has no place on a plane with others, in two or three words; empty where it has."""
    validated = session.history.epochs[-1:]
    if session.history.diverged or not all(isfinite(epoch.validation_loss) for epoch in validated):
        return DIVERGED
    return LEFT_ALL_BOUNDS if beyond(farthest, weights) else ""


def is_light(model: nn.Module, data: Dataset) -> bool:
    """Whether to hold a network, a dozen snapshots of it and its images takes so little that nobody notices."""
    values = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    return values <= LIGHT_WEIGHTS and prod(data.train.images.shape) <= LIGHT_DATA


def weights_in(model: nn.Module) -> int:
    """How many are trained. Raises ValueError where they are too many to be followed."""
    count = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    if count > MOST_WEIGHTS:
        raise ValueError(
            f"This network has {count:,} trained weights; landscapes follow up to {MOST_WEIGHTS / 1e6:.1f} million. "
            "Choose a smaller one to see its landscape."
        )
    return count


def without_gradients(network: nn.Module) -> nn.Module:
    for parameter in network.parameters():
        parameter.grad = None
    return network


class TrueLoss:
    """The loss of snapshots at their own weights and buffers, on the samples and in the mode of an evaluator."""

    def __init__(self, network: nn.Module, like: Evaluator) -> None:
        self.samples, self.size, self.flops, self.device = like.samples, like.batch_size, like.flops, like.device
        self.network = deepcopy(network).to(self.device, like.dtype).eval().requires_grad_(requires_grad=False)
        self.dtype = like.dtype
        if like.batchnorm == "batch":
            use_batch_statistics(self.network)

    def __call__(self, snapshot: Snapshot) -> Generator[None, None, float]:
        """Chances to stop, one after each batch; in the end the loss, mean nats."""
        values = on(snapshot.weights, self.device, self.dtype)
        values |= {name: buffer.to(self.device) for name, buffer in snapshot.buffers.items()}
        total = 0.0
        for start in range(0, len(self.samples), self.size):
            total += self._batch(values, slice(start, min(start + self.size, len(self.samples))))
            yield
        return total / len(self.samples)

    @torch.inference_mode()
    def _batch(self, values: Weights, part: slice) -> float:
        """Sum of the losses."""
        with enough_threads(self.device, 3 * self.flops * self.size):
            logits = functional_call(self.network, values, (self.samples.batch(part, self.dtype),))
            return float(losses_and_hits(logits.T[None], self.samples.labels[part])[0].double().sum())
