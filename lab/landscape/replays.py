"""A run as it was at an earlier snapshot: the surface through it by few points, and its path so far on that."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
import scipy

from lab.landscape.evaluators import Evaluator
from lab.landscape.scenes import RunPath
from lab.landscape.surfaces import FEW, Surface, carried_along, measuring_few


def looking_through(old: Surface, evaluator: Evaluator, *, step: int | None) -> Generator[None, None, Surface]:
    """The surface of an evaluator on a plane parallel to an old one's, by few points; chances to stop.

    The old one is carried along, as by `refreshing`; where no spline leads, the few points stand alone.

    Args:
        step: that of the old surface, where it passes through a snapshot.
    """
    now, exact = yield from measuring_few(replace(old.grid, size=FEW), evaluator)
    try:
        return carried_along(old, now, exact, step=step)
    except ValueError:  # losses that are not finite
        return now


def spaced(count: int, most: int) -> list[int]:
    """At most so many of the places 0 to count - 1, evenly, the first among them.

    Example:
        >>> spaced(10, 4)
        [0, 3, 6, 9]
    """
    taken = min(count, most)
    return [round(place * (count - 1) / max(1, taken - 1)) for place in range(taken)]


def path_on(surface: Surface, path: RunPath, step: int) -> RunPath:
    """A path with its losses read off a surface through its snapshot of that step, which has its true one there."""
    found = read_off(surface, path.coordinates)
    own = (path.steps == step) & np.isfinite(path.true)
    on_plane = np.where(own, path.true, found)
    return replace(path, on_plane=on_plane, read_off=True, own=step if own.any() else None)


def read_off(surface: Surface, places: np.ndarray) -> np.ndarray:
    """(k,) losses of a surface at places (k, 2), straight from point to point; nan outside of it.

    Not by a spline: over a steep loss on a coarse grid it would overshoot, even below 0.
    """
    losses = surface.loss.squeeze()  # of a line (size,)
    axes = surface.grid.axes[: losses.ndim]
    return scipy.interpolate.interpn(axes, losses, places[:, : losses.ndim], bounds_error=False)
