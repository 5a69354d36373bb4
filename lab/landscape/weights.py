"""Weights by name as points of one space: those that are trained, and sums and products over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]
FAR = 1e3  # times the length of the weights at the start


def trained(model: nn.Module, weights: Mapping[str, Tensor] | None = None) -> Weights:
    """Copies of what a landscape moves, by name: all parameters that are not frozen.

    Buffers, such as the statistics of batch normalisation, are no directions of a landscape.

    Args:
        weights: by name, as a run keeps them; the model's own by default.
    """
    given = weights or {}
    return {
        name: given.get(name, parameter).detach().clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def flat(weights: Mapping[str, Tensor]) -> Tensor:
    """(p,) all weights one after the other, in the order of the names."""
    return torch.cat([tensor.reshape(-1) for tensor in weights.values()])


def shaped(vector: Tensor, like: Mapping[str, Tensor]) -> Weights:
    """(p,) -> weights with the names, shapes and types of `like`."""
    parts = vector.split([tensor.numel() for tensor in like.values()])
    pairs = zip(like.items(), parts, strict=True)
    return {name: part.view(tensor.shape).to(tensor) for (name, tensor), part in pairs}


def inner(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    """Inner product over all weights, summed in float64."""
    return float(sum((a[name].double() * b[name].double()).sum() for name in a))


def norm(weights: Mapping[str, Tensor]) -> float:
    """Length over all weights."""
    return inner(weights, weights) ** 0.5


def left_all_bounds(weights: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> bool:
    """Whether they are a thousand times as long as at the start, or no numbers: beside such a path no other is seen."""
    return beyond(bounds(start), weights)


def bounds(start: Mapping[str, Tensor]) -> float:
    """How long weights that began like this may become."""
    return FAR * max(1.0, float(flat(start).float().norm()))


def beyond(farthest: float, weights: Mapping[str, Tensor]) -> bool:
    """Whether they are longer, or no numbers."""
    return not float(flat(weights).float().norm()) <= farthest


def minus(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> Weights:
    return {name: tensor - b[name] for name, tensor in a.items()}


def scaled(weights: Mapping[str, Tensor], factor: float) -> Weights:
    return {name: tensor * factor for name, tensor in weights.items()}


def moved(start: Mapping[str, Tensor], steps: Sequence[tuple[float, Mapping[str, Tensor]]]) -> Weights:
    """start + sum of length times direction, in float64, with the types of `start`."""
    return {
        name: sum((length * step[name].double() for length, step in steps), tensor.double()).to(tensor.dtype)
        for name, tensor in start.items()
    }


def mean(points: Sequence[Mapping[str, Tensor]]) -> Weights:
    """The point in the middle of all."""
    first = points[0]
    return {
        name: torch.stack([point[name].double() for point in points]).mean(0).to(tensor.dtype)
        for name, tensor in first.items()
    }


def orthonormal(directions: Sequence[Mapping[str, Tensor]]) -> tuple[Weights, ...]:
    """The same plane by directions of length 1 at right angles (Gram-Schmidt, each taken twice).

    Raises:
        ValueError: a direction is 0 or lies along an earlier one.
    """
    found: list[Weights] = []
    for direction in directions:
        rest, length = dict(direction), norm(direction)
        for _ in range(2):
            rest = moved(rest, [(-inner(rest, axis), axis) for axis in found])
        if not norm(rest) > 1e-6 * length:
            raise ValueError("The points lie on one line or coincide: they span no plane. Give points that differ.")
        found.append(scaled(rest, 1 / norm(rest)))
    return tuple(found)
