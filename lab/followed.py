"""Runs followed by snapshots: where they went through the weights, the true loss there, what was seen and answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab.events import Event, Finished, Started, Step
from lab.landscape.curvature import place
from lab.landscape.evaluators import use_batch_statistics, whole_batches
from lab.landscape.functions import Function
from lab.landscape.live_runs import LiveRun
from lab.landscape.samples import Samples, Source, samples_of
from lab.landscape.stability import Gauge, Reading
from lab.landscape.trails import Trail
from lab.landscape.weights import Weights, norm, trained
from lab.progress import with_bar
from lab.recipe import Recipe, RecipeError
from lab.runs import open_run
from lab.steps import EVALUATION_BATCH, enough_threads, is_out_of_memory, no_memory
from lab.training import Training
from lab.views import Lens

SNAPSHOTS = 40
MOST_FILTERS = 32
LARGEST = 1e18  # length of weights whose inner products still are a float32
SHOWN_IMAGES = 10


@dataclass(frozen=True)
class Glimpse:
    """A network at one snapshot.

    loss: true loss there, with its own statistics of batch normalisation. filters: (f, c, h, w) weights of the first
    layer as images; None if they are none. probabilities: (m, classes) predicted for the images that are shown.
    """

    step: int
    loss: float
    filters: Tensor | None
    probabilities: Tensor


@dataclass
class Followed:
    """A run and its snapshots; of a finished run the last one only, and no trail.

    model: the network at its end, as it is used. start: its weights before the first step. shown: a few validation
    images. buffers: statistics of batch normalisation, say, at each snapshot, by step. edge: readings of the sharpness
    at snapshots, where they were asked for; edge_fault: why the last one that failed has no number. ended: how, in one
    word; reason: why, in a sentence.
    """

    recipe: Recipe
    name: str
    model: nn.Module
    start: Weights
    samples: Samples
    shown: Samples
    classes: tuple[str, ...]
    trail: Trail | None = None
    glimpses: list[Glimpse] = field(default_factory=list[Glimpse])
    buffers: dict[int, Weights] = field(default_factory=dict[int, Weights])
    edge: list[Reading] = field(default_factory=list[Reading])
    edge_fault: str = ""
    ended: str = ""
    reason: str = ""

    @property
    def dtype(self) -> torch.dtype:
        """Of what is measured."""
        return torch.float64 if self.recipe.precision == "float64" else torch.float32

    @property
    def function(self) -> Function:
        """What decides its loss beside the weights that are trained."""
        return Function.of(self.recipe, self.model)

    @property
    def end(self) -> Weights:
        """Its weights at the end, on the host."""
        return {name: tensor.cpu() for name, tensor in trained(self.model).items()}

    def network_at(self, step: int) -> nn.Module:
        """A copy with the buffers of a snapshot; its weights are those of the end."""
        network = deepcopy(self.model)
        for name, buffer in network.named_buffers():
            buffer.copy_(self.buffers[step][name])
        return network


class Following:
    """The events of a training, of which snapshots are taken: before the first step, evenly between, and at the end.

    What a snapshot holds is the network as it is used; one whose weights have left all bounds is left out. A trail
    never gets more snapshots than it has room for, so that each has its glimpse.

    Args:
        edge: read the sharpness at each of them too, with `Gauge`.
    """

    def __init__(
        self, session: Training, lens: Lens, *, snapshots: int = SNAPSHOTS, name: str = "", edge: bool = False
    ) -> None:
        if snapshots < 3:
            raise ValueError(f"snapshots is {snapshots}, but a path needs at least 3.")
        self.session, self.lens, self.run = session, lens, not_yet(session, lens, name)
        self.trail = self.run.trail = Trail(self.run.start)
        self.every = -(-session.steps // min(snapshots, self.trail.room - 3))
        self.gauge = Gauge(session) if edge else None

    def __iter__(self) -> Iterator[Event]:
        for event in self.session:
            if isinstance(event, Started) or (isinstance(event, Step) and event.step % self.every == 0):
                self.take()
            elif isinstance(event, Finished):
                self.take()
                self.run.model = network_of(self.session)
                self.run.ended, self.run.reason = event.status, event.detail
            yield event

    def take(self) -> None:
        """A snapshot now, unless there is one of this step."""
        glimpses, step = self.run.glimpses, self.session.step
        if glimpses and glimpses[-1].step == step:
            return
        network = network_of(self.session)
        weights = trained(network)
        if not norm(weights) < LARGEST:  # nor nan
            return
        if glimpses:
            self.trail.add(weights, step)
        self.run.buffers[step] = {name: buffer.to("cpu", copy=True) for name, buffer in network.named_buffers()}
        with enough_threads(self.session.device, self.session.flops_per_step):
            glimpses.append(glimpse(network, self.run, self.lens, step))
        if self.gauge is not None:
            self._read_edge(self.gauge)

    def _read_edge(self, gauge: Gauge) -> None:
        """What cannot be read is said, and is a gap: the loss is not finite here, or memory does not do."""
        try:
            self.run.edge.append(gauge())
        except (ValueError, RuntimeError, MemoryError) as error:
            why = no_memory(self.session.device) if is_out_of_memory(error) else str(error)
            self.run.edge_fault = f"No sharpness at step {self.session.step:,}: {why}"


def follow(
    recipe: Recipe,
    lens: Lens,
    *,
    name: str = "",
    snapshots: int = SNAPSHOTS,
    edge: bool = False,
    progress: bool = True,
    **where: Any,
) -> Followed:
    """Train a recipe to its end and take snapshots; `edge` is that of `Following`, `where` that of `training`.

    Raises:
        RecipeError: too few snapshots or images, or a network of which memory holds no four.
    """
    session = Training(recipe, **where)
    try:
        following = Following(session, lens, snapshots=snapshots, name=name, edge=edge)
    except ValueError as error:
        raise RecipeError(str(error)) from None
    events: Iterable[Event] = with_bar(iter(following), session) if progress else following
    for _ in events:
        pass
    return following.run


def finished(folder: str | Path, lens: Lens, *, name: str = "", device: str | None = None) -> Followed:
    """The end of a run that is kept in a folder, under its name if it is given no other one.

    Raises:
        RecipeError, RunError: there is no run, it has no weights, or there are too few images.
    """
    kept = open_run(folder)
    session = Training(kept.recipe, device=device)
    try:
        run = not_yet(session, lens, name or Path(folder).name)
    except ValueError as error:
        raise RecipeError(str(error)) from None
    kept._fill(session.model)
    run.model, run.ended, run.reason = network_of(session), kept.status, kept.detail
    run.glimpses.append(glimpse(run.model, run, lens, kept.step))
    return run


def not_yet(session: Training, lens: Lens, name: str) -> Followed:
    """A run before its first snapshot. Raises ValueError where the images make no batch."""
    return Followed(
        recipe=session.recipe,
        name=name,
        model=session.model,
        start={name: weight.cpu() for name, weight in trained(session.model).items()},
        samples=samples_for(session, lens),
        shown=samples_of(session, count=SHOWN_IMAGES),
        classes=session.data.classes,
    )


def standing(run: LiveRun, lens: Lens, *, name: str, ended: str = "") -> Followed:
    """A run that is looked at live, where its newest snapshot is; without glimpses. Raises ValueError as `not_yet`."""
    return Followed(
        recipe=run.recipe,
        name=name,
        model=network_at(run, run.newest.weights, run.newest.buffers),
        start=run.trail.start,
        samples=samples_for(run, lens),
        shown=samples_of(run, count=SHOWN_IMAGES),
        classes=run.data.classes,
        trail=run.trail.as_it_is(),
        edge=list(run.edge_readings),
        ended=ended,
    )


def looking_back(run: LiveRun, followed: Followed, lens: Lens, losses: Mapping[int, float]) -> Iterator[Glimpse]:
    """A glimpse of each snapshot that `standing` found, a chance to stop each; the run may forget some from now on.

    Args:
        losses: those that are known already, by step.
    """
    assert followed.trail
    return glimpses_of(run, followed, lens, losses, run.buffers.copy())  # now, not when the first is asked for


def glimpses_of(
    run: LiveRun, followed: Followed, lens: Lens, losses: Mapping[int, float], buffers: Mapping[int, Weights]
) -> Iterator[Glimpse]:
    trail = followed.trail
    assert trail
    for index, step in enumerate(trail.steps):
        network = network_at(run, trail.weights(index), buffers[step])
        yield glimpse(network, followed, lens, step, losses.get(step))


def network_at(run: LiveRun, weights: Weights, buffers: Weights) -> nn.Module:
    """A copy of the network at a place, as it is used."""
    network = deepcopy(run.network_with(buffers)).eval()
    place(network, weights)
    return network


def samples_for(source: Source, lens: Lens) -> Samples:
    """Those of a lens; whole batches where their statistics count."""
    samples = samples_of(source, split=lens.split, count=lens.samples, seed=lens.seed)
    return samples if lens.batchnorm == "stored" else whole_batches(samples, lens.batch_size)


def network_of(session: Training) -> nn.Module:
    """A copy of the network as it is used, in evaluation mode."""
    network = deepcopy(session.model)
    network.load_state_dict(session.weights())
    return network.eval()


@torch.no_grad()
def glimpse(network: nn.Module, run: Followed, lens: Lens, step: int, loss: float | None = None) -> Glimpse:
    """A network at one snapshot; its loss is measured if it is not known."""
    probabilities = network(run.shown.batch(slice(None), next(network.parameters()).dtype)).softmax(1).cpu()
    filters = first_filters(network, tuple(run.shown.images.shape[1:]))
    if loss is None:
        loss = true_loss(network, run.samples, lens, run.dtype)
    return Glimpse(step, loss, filters, probabilities)


@torch.no_grad()
def true_loss(network: nn.Module, samples: Samples, lens: Lens, dtype: torch.dtype) -> float:
    """Mean loss (nats) of a network as it is, on the images and in the mode in which a plane is measured."""
    network, size = deepcopy(network).to(dtype).eval(), EVALUATION_BATCH
    if lens.batchnorm == "batch":
        use_batch_statistics(network)
        size = lens.batch_size
    total = 0.0
    for start in range(0, len(samples), size):
        part = slice(start, start + size)
        logits = network(samples.batch(part, dtype)).double()
        total += float(functional.cross_entropy(logits, samples.labels[part], reduction="sum"))
    return total / len(samples)


def first_filters(network: nn.Module, shape: tuple[int, ...]) -> Tensor | None:
    """(f, c, h, w) what the first layer looks for: its kernels, or the weights of its units as images."""
    first = next((weight for weight in network.parameters() if weight.dim() > 1), None)
    if first is None or not (first.dim() == 4 or (first.dim() == 2 and first.size(1) == prod(shape))):
        return None
    weights = first[:MOST_FILTERS].detach().float().cpu().clone()
    return weights if first.dim() == 4 else weights.view(-1, *shape)
