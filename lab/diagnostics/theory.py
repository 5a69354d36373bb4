"""What mean-field theory says of an activation: means over normal inputs, and slopes."""

from __future__ import annotations

from collections import OrderedDict
from copy import copy, deepcopy
from functools import cache
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
        return torch.autograd.grad(passed.sum(), at)[0]


def largest_slope(activation: nn.Module) -> float:
    """The largest |f'(z)| for z in [-10, 10].

    Example:
        >>> largest_slope(nn.Sigmoid())
        0.25
    """
    grid = torch.linspace(-WIDEST, WIDEST, 2001, dtype=torch.float64).unsqueeze(1)
    return float(slopes(double(activation), grid).abs().max())


def flat_share(activation: nn.Module) -> float:
    """Share of standard normal inputs where |f'| is below a twentieth of its largest.

    Example:
        >>> round(flat_share(nn.ReLU()), 2)
        0.5
    """
    grid = torch.linspace(-WIDEST, WIDEST, 2000, dtype=torch.float64).unsqueeze(1)  # even: 0 is not among them
    sizes, density = slopes(double(activation), grid).abs(), torch.exp(-grid.square() / 2)
    return float(density[sizes < SATURATED * sizes.max()].sum() / density.sum())


def double(activation: nn.Module) -> nn.Module:
    """A copy in float64 on the CPU, without the hooks of the original (they would be copied with all they hold)."""
    bare = copy(activation)
    bare._forward_hooks, bare._forward_pre_hooks = OrderedDict(), OrderedDict()
    return deepcopy(bare).to("cpu", torch.float64)


@cache
def quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Nodes, and weights that sum to 1, for means over a standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return nodes, weights / weights.sum()
