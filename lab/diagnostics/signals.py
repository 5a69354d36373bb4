"""What passes through a network: each layer's output, the activation behind it, and the gradient that comes back.

A layer is a module that owns a weight of two or more dimensions; the activation behind it is the next elementwise
module with as many units. Norms and pools may stand between the two. A layer that runs several times in one pass
(over time, or shared) is one layer whose values are pooled.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import activation as torch_activations
from torch.nn.modules.batchnorm import _BatchNorm

from lab.activations import activations
from lab.catalogue import Choice
from lab.diagnostics.theory import SATURATED, largest_slope, slopes

MIX_UNITS = ("Softmin", "Softmax", "Softmax2d", "LogSoftmax", "MultiheadAttention", "GLU")
ELEMENTWISE = tuple(getattr(torch_activations, name) for name in torch_activations.__all__ if name not in MIX_UNITS)
WHOLE = (nn.RNNBase, nn.MultiheadAttention)  # layers that call no layer inside as a module
NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


@dataclass
class Tally:
    """Mean, standard deviation and root mean square of all values added.

    Their sums stay on their device, in float64, and are read once, when first asked for.
    """

    count: int = 0
    sums: list[tuple[Tensor, Tensor]] = field(default_factory=list[tuple[Tensor, Tensor]])  # and norms
    _read: tuple[float, float] | None = None

    def add(self, values: Tensor) -> None:
        values = values.detach()
        if values.device.type == "mps":  # which has no float64
            values = values.cpu()
        self.count += values.numel()
        self.sums.append((values.sum(dtype=torch.float64), torch.linalg.vector_norm(values, dtype=torch.float64)))
        self._read = None

    @property
    def mean(self) -> float:
        return self._means[0]

    @property
    def rms(self) -> float:
        return float(np.sqrt(self._means[1]))

    @property
    def std(self) -> float:
        mean, square = self._means
        return float(np.sqrt(np.maximum(square - mean**2, 0.0)))  # nan stays nan

    @property
    def _means(self) -> tuple[float, float]:
        """Of the values, and of their squares."""
        if self._read is None:
            totals = (sum(float(total) for total, _ in self.sums), sum(float(norm.square()) for _, norm in self.sums))
            self._read = totals[0] / max(self.count, 1), totals[1] / max(self.count, 1)
        return self._read


@dataclass
class Share:
    """How many of the values looked at were so; the count stays on their device."""

    count: int = 0
    so: Tensor | int = 0

    def add(self, truths: Tensor) -> None:
        self.count += truths.numel()
        self.so = self.so + truths.count_nonzero()

    @property
    def mean(self) -> float:
        return int(self.so) / self.count if self.count else 0.0


@dataclass
class Trace:
    """What one layer did in the passes that were watched.

    shape: of its output without the batch; alive: (units,) whether the activation has a slope anywhere.
    renormed: whether what the activation gave was normalised before anything else read it.
    """

    name: str
    layer: nn.Module
    shape: tuple[int, ...] = ()
    unit_count: int = 0
    output: Tally = field(default_factory=Tally)
    gradient: Tally = field(default_factory=Tally)
    activation: nn.Module | None = None
    received: Tally = field(default_factory=Tally)
    passed: Tally = field(default_factory=Tally)
    flat: Share = field(default_factory=Share)
    alive: Tensor | None = None
    renormed: bool = False

    @property
    def dead(self) -> float | None:
        """Share of units whose activation has slope 0 for every image and place."""
        return None if self.alive is None else 1 - float(self.alive.double().mean())

    @property
    def weights(self) -> list[nn.Parameter]:
        return matrices(self.layer)

    def units(self, values: Tensor) -> Tensor:
        """(units, the rest): channels of a convolution, else the last dimension."""
        first = values.ndim > 2 and not isinstance(self.layer, nn.Linear | nn.RNNBase | nn.MultiheadAttention)
        return values.movedim(1 if first else -1, 0).flatten(1)


def matrices(layer: nn.Module) -> list[nn.Parameter]:
    """The weights that a module owns itself: no biases, no norms."""
    return [parameter for parameter in layer.parameters(recurse=False) if parameter.ndim > 1]


@contextmanager
def traced(model: nn.Module, activation: Choice) -> Generator[list[Trace]]:
    """Within this, passes through the model fill the list, a trace per layer in the order they first run."""
    watcher = Watcher()
    kinds = (*ELEMENTWISE, type(activations.build(activation)))
    with ExitStack() as at_exit:
        for name, module in outermost(model, kinds):
            if isinstance(module, kinds):
                handles = [
                    module.register_forward_pre_hook(watcher.before_activation),
                    module.register_forward_hook(watcher.after_activation),
                ]
            else:
                watcher.names[module] = name
                handles = [module.register_forward_hook(watcher.after_layer)]
            for handle in handles:
                at_exit.callback(handle.remove)
        for module in model.modules():
            if isinstance(module, NORMS):
                at_exit.callback(module.register_forward_hook(watcher.after_norm).remove)
        yield watcher.traces


def outermost(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> Generator[tuple[str, nn.Module]]:
    """Activations and layers by name; nothing inside an activation, and no module that holds layers itself."""
    inside: tuple[str, ...] = ()
    for name, module in model.named_modules():
        if name.startswith(inside) and inside:
            continue
        if isinstance(module, (*kinds, *WHOLE)):
            inside = (*inside, f"{name}.")
            yield name, module
        elif matrices(module) and not any(matrices(child) for child in module.modules() if child is not module):
            yield name, module


class Watcher:
    """Hooks that fill traces. They change nothing: what they return is None, what they compute is their own."""

    def __init__(self) -> None:
        self.names: dict[nn.Module, str] = {}
        self.traces: list[Trace] = []
        self._by_layer: dict[nn.Module, Trace] = {}
        self._last: Trace | None = None
        self._behind: Trace | None = None  # the layer that the running activation stands behind
        self._slopes: dict[nn.Module, float] = {}

    def after_layer(self, layer: nn.Module, _inputs: Any, output: Any) -> None:
        values: Tensor = output if isinstance(output, Tensor) else output[0]
        if layer not in self._by_layer:
            trace = self._by_layer[layer] = Trace(self.names[layer], layer, tuple(values.shape[1:]))
            trace.unit_count = len(trace.units(values))
            self.traces.append(trace)
        self._last = self._by_layer[layer]
        self._last.output.add(values)
        if values.requires_grad:
            values.register_hook(self._last.gradient.add)

    def before_activation(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Before, since an activation may work in place."""
        values, self._behind = inputs[0].detach(), None
        if self._last is None or len(self._last.units(values)) != self._last.unit_count:
            return
        self._behind = trace = self._last
        trace.activation = trace.activation or module
        trace.received.add(values)
        size = slopes(module, values).abs()
        trace.flat.add(size < SATURATED * self._largest(module))
        alive = trace.units(size).amax(1) > 0
        trace.alive = alive if trace.alive is None else trace.alive | alive

    def after_activation(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if self._behind is not None:
            self._behind.passed.add(output)

    def after_norm(self, _module: nn.Module, _inputs: Any, _output: Tensor) -> None:
        if self._last is not None and self._last.activation is not None:
            self._last.renormed = True

    def _largest(self, module: nn.Module) -> float:
        if module not in self._slopes:
            self._slopes[module] = largest_slope(module)
        return self._slopes[module]
