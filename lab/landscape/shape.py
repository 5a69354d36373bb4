"""Numbers that say what a loss surface is like: how sharp, how bent, how high between two runs; each with its error."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from math import hypot

import numpy as np
import torch
from torch import Tensor, nn

from lab.landscape.directions import random_plane
from lab.landscape.eigenpairs import error_of
from lab.landscape.evaluators import Evaluator, has_batchnorm
from lab.landscape.planes import check_alike, line
from lab.landscape.samples import Samples, error_over_parts
from lab.landscape.surfaces import Surface
from lab.landscape.trails import at_once
from lab.landscape.weights import Weights, trained
from lab.views import BatchNormMode, Normalisation

SLICE_POINTS = 11  # with the centre among them
RADIUS, DIRECTIONS = 0.1, 10  # of sharpness
LINE_POINTS = 21
TILES = 4  # along each axis, into which a picture is cut
ROUNDING = 4  # units in the last place that a loss may be off by


@dataclass(frozen=True)
class Share:
    """How much of a picture is so: `value` from 0 to 1; error: its standard error over so many parts of the picture."""

    value: float
    error: float
    parts: int


@dataclass(frozen=True)
class Sharpness:
    """By how much the loss rises within `radius`, in nats.

    rise: the mean over directions; error: its standard error over directions and over the samples, at the places where
    the loss is highest; the search for those is not in it. rises: of each direction, (directions,).
    """

    rise: float
    error: float
    rises: np.ndarray
    radius: float
    normalisation: Normalisation


@dataclass(frozen=True)
class Barrier:
    """What stands between two places, in nats.

    height: 0 where the loss never rises above the straight line between its values at the ends. error: its standard
    error over the samples, at the place between the ends where it is highest, also where that lies below the line; the
    search for it is not in it. at: where it is highest, from 0 (start) to 1 (end). batchnorm: whose statistics
    normalisation used. samples: over which the loss is the mean.
    """

    height: float
    error: float
    at: float
    batchnorm: BatchNormMode
    samples: Samples


def sharpness(
    model: nn.Module,
    samples: Samples,
    *,
    radius: float = RADIUS,
    directions: int = DIRECTIONS,
    normalisation: Normalisation = "filter",
    weights: Mapping[str, Tensor] | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Sharpness:
    """By how much the loss rises within a radius, along random directions.

    rise = mean over directions d of  max over -radius <= a <= radius of  L(theta + a d) - L(theta)
    at 11 evenly spaced a. raw (normalisation none): d ~ N(0, 1), made as long as theta, so that radius is a share of
    the length of all weights. filter: each filter of d as long as that filter of theta, biases not moved; for a ReLU
    network that does not change when a layer is scaled up and the next one down, which raw sharpness does.
    Batch normalisation uses the statistics that the network has learned.

    Args:
        radius: above 0, in lengths of the directions.
        directions: at least 2.
        weights: the place, by name; the model's own by default.
        seed: of the first direction; the others have the next ones.
    Raises:
        ValueError: a radius of 0 or less, one direction, an unknown normalisation, or weights of another network.
    Source: Keskar et al. 2017, arXiv 1609.04836, metric 2.1 (there the largest rise, sought in a box); filter: Li et
    al. 2018, arXiv 1712.09913, section 4; why raw is not enough: Dinh et al. 2017, arXiv 1703.04933.
    """
    place = weights or trained(model)
    drawn = {"directions": directions, "seed": seed}
    return at_once(rising(model, samples, place, normalisation, radius=radius, dtype=dtype, **drawn))


def rising(
    model: nn.Module,
    samples: Samples,
    weights: Mapping[str, Tensor],
    normalisation: Normalisation,
    *,
    radius: float = RADIUS,
    directions: int = DIRECTIONS,
    seed: int,
    dtype: torch.dtype,
) -> Generator[None, None, Sharpness]:
    """The same, with chances to stop."""
    if not radius > 0:
        raise ValueError(f"radius is {radius}, but must be above 0.")
    if directions < 2:
        raise ValueError(f"directions is {directions}, but a standard error needs at least 2.")
    centre = weights_of(model, weights, "the place")
    places = np.stack([np.linspace(-radius, radius, SLICE_POINTS), np.zeros(SLICE_POINTS)], 1)
    found: list[Tensor] = []  # of each direction, by how much each sample's loss rises
    for index in range(directions):
        plane = random_plane(centre, seed=seed + index, normalisation=normalisation, dimensions=1)
        losses = yield from Evaluator(model, plane, samples, dtype=dtype).measuring(places)
        above = (losses - losses[SLICE_POINTS // 2]).double()
        found.append(above[above.mean(1).argmax()])
    each = torch.stack(found)
    rises = each.mean(1).cpu().numpy()
    error = hypot(error_of(rises), error_over(each.mean(0), samples))
    return Sharpness(float(rises.mean()), error, rises, radius, normalisation)


def error_over(each: Tensor, samples: Samples) -> float:
    """Standard error of a mean over samples as that of the whole split, from (n,) what each of them gives."""
    return float(each.std()) * (samples.unseen / len(each)) ** 0.5


def negative_share(surface: Surface) -> Share:
    """Share of negative second differences along the lines of a grid: 0 where every line is convex.

    L(i - 1) - 2 L(i) + L(i + 1) < 0, along both axes; a difference within rounding is not negative, and one with a loss
    that is not finite does not count. It needs exact values: a spline would make differences of its own.
    Neighbours are alike, so that its error comes from up to 4 x 4 parts of the picture (4 of a line), not from single
    differences. What other images would give is not in it.

    Raises:
        ValueError: a surface shown by a spline, fewer than 3 points along an axis, or no three finite ones in a row.
    Source: the house's measure; Li et al. 2018, arXiv 1712.09913, section 6, map the eigenvalues
    of the Hessian instead.
    """
    if surface.spline is not None:
        raise ValueError("These values come from a spline: measure the grid, and count on what was measured.")
    if surface.grid.size < 3:
        raise ValueError(f"A second difference needs 3 points in a row, not {surface.grid.size}.")
    off = ROUNDING * float(torch.finfo(getattr(torch, surface.measured.precision)).eps)
    bends = [bends_along(surface.loss, axis, off) for axis in (0, 1) if surface.loss.shape[axis] >= 3]
    cut = [[part for row in np.array_split(each, TILES) for part in np.array_split(row, TILES, 1)] for each in bends]
    parts = [np.concatenate([known(tile) for tile in tiles]) for tiles in zip(*cut, strict=True)]
    parts = [part for part in parts if len(part)]
    if not parts:
        raise ValueError("No three losses in a row are finite: take a smaller reach.")
    error = error_over_parts([part.mean() for part in parts], [len(part) for part in parts])
    return Share(float(np.concatenate(parts).mean()), error, len(parts))


def bends_along(loss: np.ndarray, axis: int, off: float) -> np.ndarray:
    """1 where a second difference along an axis lies below 0 by more than rounding, 0 elsewhere; nan if not finite."""
    rows = np.moveaxis(loss, axis, 0)
    before, middle, after = rows[:-2], rows[1:-1], rows[2:]
    second, rounding = before - 2 * middle + after, off * (abs(before) + 2 * abs(middle) + abs(after))
    return np.moveaxis(np.where(np.isfinite(second), second < -rounding, np.nan), 0, axis)


def known(values: np.ndarray) -> np.ndarray:
    """(n,) those that are not nan."""
    return values[~np.isnan(values)]


def barrier(
    model: nn.Module,
    start: Mapping[str, Tensor],
    end: Mapping[str, Tensor],
    samples: Samples,
    *,
    points: int = LINE_POINTS,
    dtype: torch.dtype = torch.float32,
) -> Barrier:
    """How high the loss stands on the straight way between two places, above the straight line between its ends.

    height = max over 0 <= a <= 1 of  L((1 - a) start + a end) - (1 - a) L(start) - a L(end)
    Networks with batch normalisation use the statistics of each batch of 128, as learned ones fit one end only.

    Args:
        start, end: by name, the weights of two runs.
        samples: of which all losses are measured, so that their noise is shared and mostly falls out.
        points: evenly spaced, with the ends, at least 3.
    Raises:
        ValueError: fewer than 3 points, or weights of another network.
    Source: Entezari et al. 2022, arXiv 2110.06296, section 2; Frankle et al. 2020, arXiv 1912.05671, take the mean
    of the ends instead of the line.
    """
    if points < 3:
        raise ValueError(f"points is {points}, but a way between two ends needs at least 3.")
    way = line(weights_of(model, start, "the start"), weights_of(model, end, "the end"))
    evaluator = Evaluator(model, way, samples, dtype=dtype, batchnorm="batch" if has_batchnorm(model) else "stored")
    shares = torch.linspace(0, 1, points, dtype=torch.float64)
    losses = evaluator.losses([(float(share), 0.0) for share in shares]).double().cpu()
    above = losses - (1 - shares)[:, None] * losses[0] - shares[:, None] * losses[-1]
    heights = above.mean(1)
    highest, between = int(heights.argmax()), 1 + int(heights[1:-1].argmax())
    error = error_over(above[between], evaluator.samples)
    return Barrier(float(heights[highest]), error, float(shares[highest]), evaluator.batchnorm, evaluator.samples)


def weights_of(model: nn.Module, weights: Mapping[str, Tensor], what: str) -> Weights:
    """Those that a landscape moves, of all that a run keeps. Raises ValueError where one is missing."""
    check_alike(trained(model), weights, what)
    return trained(model, weights)
