"""The health of every layer during training: a consumer of the same iterator, which changes no number of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from math import nan
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lab.data.batches import batches
from lab.diagnostics.signals import Trace, matrices, traced
from lab.events import Event, Started, Step
from lab.frames import frame_of
from lab.steps import dropout_stream
from lab.training import Training

if TYPE_CHECKING:
    import pandas as pd

PROBE_IMAGES = 64
EVERY = 20


@dataclass(frozen=True)
class LayerHealth:
    """One layer after one step.

    mean, std: of its activation's output on the probe batch (of its own output when none is behind it).
    dead: share of units whose activation has slope 0 for every image and place; None without an activation.
    gradient: norm of the gradient that the step used, after clipping; None when the layer is frozen.
    weight: norm of the weights; update: norm of the step's change over the norm of the weights before it.
    lr: learning rate of the step for these weights; 0 when the layer is frozen.
    """

    name: str
    kind: str
    mean: float
    std: float
    dead: float | None
    gradient: float | None
    weight: float
    update: float
    lr: float


@dataclass(frozen=True)
class Health:
    """All layers after a step, in the order they run. It stands behind the Step event of the same number."""

    step: int
    layers: tuple[LayerHealth, ...]


@dataclass
class HealthHistory:
    """What was seen so far, to draw from."""

    samples: list[Health] = field(default_factory=list)

    def add(self, event: Event | Health) -> None:
        if isinstance(event, Health):
            self.samples.append(event)

    @property
    def steps(self) -> list[int]:
        return [sample.step for sample in self.samples]

    @property
    def names(self) -> list[str]:
        """Of the layers, in the order they run."""
        return [layer.name for layer in self.samples[0].layers] if self.samples else []

    def values(self, measure: str) -> np.ndarray:
        """(layers, samples) of one measure of LayerHealth; nan where there is none."""
        rows = [[getattr(layer, measure) for layer in sample.layers] for sample in self.samples]
        return np.array(rows, dtype=float).reshape(len(rows), len(self.names)).T

    def table(self) -> pd.DataFrame:
        """One row per sample and layer."""
        rows = [{"step": sample.step, **asdict(layer)} for sample in self.samples for layer in sample.layers]
        return frame_of(rows)


def watched(session: Training, every: int = EVERY, *, images: int = PROBE_IMAGES) -> Iterator[Event | Health]:
    """The events of a training, and after every n-th step the health of its layers.

    Nothing of the training is changed: between two events its network is read, and run on a fixed batch of training
    images with copies of its buffers and a random stream of its own. Only at these steps is the device waited for.

    Raises:
        ValueError: every or images below 1.
    Example:
        >>> from lab.recipe import Recipe
        >>> history = HealthHistory()
        >>> for event in watched(Training(Recipe(epochs=1), device="cpu"), every=10):
        ...     history.add(event)
        >>> history.steps
        [10, 20]
    """
    if every < 1 or images < 1:
        raise ValueError(f"every is {every} and images {images}, but both must be at least 1.")
    return _watched(session, every, images)


def _watched(session: Training, every: int, images: int) -> Iterator[Event | Health]:
    probe = probe_of(session, images)
    before: dict[str, list[Tensor]] = {}
    for event in session:
        yield event
        if isinstance(event, Step) and event.step % every == 0:
            yield health(session, probe, before)
        if isinstance(event, Started | Step):
            before = weights_of(session) if (event.step + 1) % every == 0 else {}


def probe_of(session: Training, images: int) -> Tensor:
    """Images (b, c, h, w) at equal distances in the training split, as the network sees them, not augmented."""
    count = min(images, len(session.train_split))
    index = torch.linspace(0, len(session.train_split) - 1, count).long()
    return session.prepare(next(batches(session.train_split, index, count, session.device))[0])


def weights_of(session: Training) -> dict[str, list[Tensor]]:
    """Copies of all layers' weights by the layers' names."""
    layers = ((name, matrices(module)) for name, module in session.model.named_modules())
    return {name: [weight.detach().clone() for weight in weights] for name, weights in layers if weights}


def health(session: Training, probe: Tensor, before: dict[str, list[Tensor]]) -> Health:
    rates = {id(p): float(group["lr"]) for group in session.optimizer.param_groups for p in group["params"]}
    layers = [layer_health(trace, before[trace.name], rates) for trace in signals_of(session, probe)]
    return Health(session.step, tuple(layers))


def signals_of(session: Training, probe: Tensor) -> list[Trace]:
    """One forward pass in training mode that leaves statistics, gradients and random streams as they were."""
    buffers = {name: buffer.clone() for name, buffer in session.model.named_buffers()}
    with (
        torch.no_grad(),
        session.autocast,
        dropout_stream(session.recipe.seed, 0, session.device),
        traced(session.model, session.recipe.activation) as traces,
    ):
        torch.func.functional_call(session.model, buffers, (probe,))
    return traces


def layer_health(trace: Trace, before: Sequence[Tensor], rates: dict[int, float]) -> LayerHealth:
    weights, shown = trace.weights, trace.passed if trace.activation else trace.output
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    changes = [weight.detach() - old for weight, old in zip(weights, before, strict=True)]
    return LayerHealth(
        name=trace.name,
        kind=type(trace.layer).__name__,
        mean=shown.mean,
        std=shown.std,
        dead=trace.dead,
        gradient=norm(gradients) if gradients else None,
        weight=norm(weights),
        update=ratio(norm(changes), norm(before)),
        lr=rates.get(id(weights[0]), 0.0),
    )


def norm(tensors: Sequence[Tensor]) -> float:
    """Euclidean norm of all values together."""
    return float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(each.detach()) for each in tensors])))


def ratio(change: float, weight: float) -> float:
    return change / weight if weight else nan
