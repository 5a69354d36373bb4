"""What mean-field theory says of an activation: means over normal inputs, and slopes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from copy import copy, deepcopy
from dataclasses import dataclass, field
from functools import cache, lru_cache
from math import sqrt

import numpy as np
import torch
from torch import Tensor, nn

NODES = 200  # of the quadrature; a kink (relu) away from 0 costs it 1e-3
SATURATED = 0.05  # of the largest slope: a sigmoid beyond +-4.4, a tanh beyond +-2.2
WIDEST = 10.0  # where slopes are looked at: float32 still tells a sigmoid's from 0 there


def expected_std(activation: nn.Module, mean: float, std: float, fan_in: int, weight_std: float) -> float:
    """Size of a layer's output when the activation before it receives z ~ N(mean, std^2), by theory.

    q_l = fan_in weight_std^2 E[f(z)^2] ;  the returned size is sqrt(q_l)

    Source: Poole et al. 2016, arXiv 1606.05340, eq. 3 (their sigma_w^2 is fan_in weight_std^2; biases are 0).
    """
    return sqrt(fan_in * mean_square(activation, mean, std)) * weight_std


def mean_square(activation: nn.Module, mean: float, std: float) -> float:
    """E[f(z)^2] for z ~ N(mean, std^2), by Gauss-Hermite quadrature in float64.

    Example:
        >>> round(mean_square(nn.ReLU(), 0.0, 2.0), 6)
        2.0
    """
    nodes, weights = quadrature()
    values = torch.from_numpy(mean + std * nodes).unsqueeze(1)
    with torch.no_grad():
        squares = double(activation)(values).square().squeeze(1).numpy()
    return float(squares @ weights)


def slopes(activation: nn.Module, values: Tensor) -> Tensor:
    """f'(z) at each value, in the same shape; neither the values nor the activation's parameters are touched."""
    with torch.enable_grad():
        at = values.detach().requires_grad_()
        passed = activation.forward(at.clone())  # a copy: it may work in place; not called: hooks are not wanted
        if not passed.requires_grad:  # a constant
            return torch.zeros_like(values)
        return torch.autograd.grad(passed, at, torch.ones_like(passed))[0]


def largest_slope(activation: nn.Module) -> float:
    """The largest |f'(z)| for z in [-10, 10].

    Example:
        >>> largest_slope(nn.Sigmoid())
        0.25
    """
    return largest_of(double(activation))


def flat_share(activation: nn.Module) -> float:
    """Share of standard normal inputs where |f'| is below a twentieth of its largest.

    Example:
        >>> round(flat_share(nn.ReLU()), 2)
        0.5
    """
    return flat_share_of(double(activation))


# A network has one kind of activation in all its layers: what theory says of it is asked for once, not once a layer.
KINDS = 64


@lru_cache(KINDS)
def largest_of(activation: nn.Module) -> float:
    grid = torch.linspace(-WIDEST, WIDEST, 2001, dtype=torch.float64).unsqueeze(1)
    return float(slopes(activation, grid).abs().max())


@lru_cache(KINDS)
def flat_share_of(activation: nn.Module) -> float:
    grid = torch.linspace(-WIDEST, WIDEST, 2000, dtype=torch.float64).unsqueeze(1)  # even: 0 is not among them
    sizes, density = slopes(activation, grid).abs(), torch.exp(-grid.square() / 2)
    return float(density[sizes < SATURATED * sizes.max()].sum() / density.sum())


def double(activation: nn.Module) -> nn.Module:
    """A copy in float64 on the CPU, without the hooks of the original (they would be copied with all they hold).

    Activations of one kind have one copy, so that what is known of it is known of all.
    """
    bare = copy(activation)
    bare._forward_hooks, bare._forward_pre_hooks = OrderedDict(), OrderedDict()
    kind = kind_of(bare)
    return double_of(bare) if kind is None else double_of_kind(Kind(kind, bare))


@dataclass(frozen=True)
class Kind:
    """Equal for activations that compute the same."""

    key: Hashable
    activation: nn.Module = field(compare=False)


def kind_of(activation: nn.Module) -> Hashable | None:
    """Type, settings and weights of an activation of torch's; None where those may not tell all.

    What a person has written in a cell may compute something else when the next cell has run.
    """
    if not type(activation).__module__.startswith("torch."):
        return None
    own = tuple(item for item in vars(activation).items() if item[0] not in EVERY_MODULES)
    if activation._modules or not all(isinstance(value, PLAIN) for _, value in own):
        return None
    weights = {**activation._parameters, **activation._buffers}
    tensors = tuple(
        (name, each.shape, tuple(each.flatten().tolist())) for name, each in weights.items() if each is not None
    )
    return type(activation), activation.training, own, tensors


PLAIN = (bool, int, float, str, type(None))
EVERY_MODULES = vars(nn.Module()).keys()


@lru_cache(KINDS)
def double_of_kind(kind: Kind) -> nn.Module:
    return double_of(kind.activation)


def double_of(bare: nn.Module) -> nn.Module:
    return deepcopy(bare).to("cpu", torch.float64)


@cache
def quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Nodes, and weights that sum to 1, for means over a standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return nodes, weights / weights.sum()
