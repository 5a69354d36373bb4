"""Random directions through the weights, in the scale of the weights themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import torch
from torch import Tensor

from lab.landscape.planes import Origin, Plane
from lab.landscape.weights import Weights, norm, scaled
from lab.views import CHOICES, Normalisation

TINY = 1e-10  # as in the authors' code: keeps a filter of zeros from a division by 0


def random_plane(centre: Weights, *, seed: int, normalisation: Normalisation = "filter", dimensions: int = 2) -> Plane:
    """Random directions from a point, each as long as the weights that it moves.

    filter: every filter (the weights of one unit of output) of a direction gets the length of that filter of the
    centre; biases and all else with one axis are not moved, as in the paper's own pictures.
    layer: every tensor gets the length of that tensor, those with one axis too.
    none: N(0, 1) throughout, one factor for the whole: as long as all weights together.

    The directions are the same on every device: they are drawn on the CPU, in float32, in the order of the names.

    Raises:
        ValueError: an unknown normalisation, nothing to move, or only weights that are zero, which give no length.
    Source: Li et al. 2018, arXiv 1712.09913, section 4 and the authors' code.
    """
    if normalisation not in (known := CHOICES["normalisation"]):
        raise ValueError(f"Unknown normalisation {normalisation!r}. Expected one of: {', '.join(known)}.")
    if normalisation == "filter" and all(tensor.dim() < 2 for tensor in centre.values()):
        raise ValueError("No weights have filters: nothing would move. Choose the normalisation 'layer'.")
    if why := why_unscaled(centre, normalisation):
        raise ValueError(why)
    generator = torch.Generator().manual_seed(seed)
    drawn = [draw(centre, generator) for _ in range(dimensions)]
    return Plane(
        centre, tuple(fitted(each, centre, normalisation) for each in drawn), Origin("random", seed, normalisation)
    )


def why_unscaled(centre: Weights, normalisation: Normalisation) -> str:
    """Why no direction gets a length from these weights, and what to do; empty where one does."""
    if has_scale(centre, normalisation):
        return ""
    others = [repr(other) for other in get_args(Normalisation) if has_scale(centre, other)]
    instead = f"normalisation {' or '.join(others)}, or " if others else ""
    which = "weights that directions scaled by filter would move" if others else "weights"
    return f"All {which} are zero, so no random direction can be scaled to them. Choose {instead}another plane."


def has_scale(centre: Weights, normalisation: Normalisation) -> bool:
    """Whether anything that is moved has a length, in the arithmetic that makes directions as long; nan is no 0."""
    return any(bool(tensor.norm() != 0) for tensor in centre.values() if normalisation != "filter" or tensor.dim() > 1)


def draw(like: Mapping[str, Tensor], generator: torch.Generator) -> Weights:
    """N(0, 1) for each weight."""
    return {name: torch.randn(tensor.shape, generator=generator).to(tensor) for name, tensor in like.items()}


def fitted(direction: Weights, centre: Weights, normalisation: Normalisation) -> Weights:
    """A direction in the scale of the centre."""
    if normalisation == "none":
        return scaled(direction, norm(centre) / norm(direction))
    fit = by_filter if normalisation == "filter" else by_layer
    return {name: fit(tensor, centre[name]) for name, tensor in direction.items()}


def by_filter(direction: Tensor, weight: Tensor) -> Tensor:
    """(out, ...): each row as long as the weight's row; nothing where there is one axis or none."""
    if weight.dim() < 2:
        return torch.zeros_like(weight)
    rows, own = direction.flatten(1), weight.flatten(1)
    factors = own.norm(dim=1) / (rows.norm(dim=1) + TINY)
    return (rows * factors[:, None]).view_as(weight)


def by_layer(direction: Tensor, weight: Tensor) -> Tensor:
    return direction * (weight.norm() / (direction.norm() + TINY))
