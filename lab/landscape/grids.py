"""Grids on a plane, computed coarse first and each point once; and fine pictures from few points, with their error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy

HELD_OUT = 24
BEYOND = 0.25  # of the length of a line
LEAST_POINTS = 4  # along an axis, of the coarsest grid
PARABOLA, CUBIC = 2, 3  # degrees
NEXT_TO_0 = 1e-6  # of the median value, below which a relative error tells nothing


@dataclass(frozen=True)
class Grid:
    """`size` points along each axis, from middle - reach to middle + reach; one row of them on a line.

    Nested: where size - 1 is even, every second point is the grid of half the size, with the same coordinates to the
    last bit. The sizes 5, 9, 17, 33 and 65 go down to 5.

    Args:
        size: at least 2. middle, reach: coordinates; reach above 0.
    """

    size: int
    reach: tuple[float, float] = (1.0, 1.0)
    middle: tuple[float, float] = (0.0, 0.0)
    line: bool = False

    def __post_init__(self) -> None:
        if self.size < 2:
            raise ValueError(f"size is {self.size}, but a grid has at least 2 points along an axis.")
        if not min(self.reach) > 0:
            raise ValueError(f"reach is {self.reach}, but must be above 0 along both axes.")

    @property
    def shape(self) -> tuple[int, int]:
        """Points along a and along b."""
        return self.size, 1 if self.line else self.size

    @property
    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates along a and along b."""
        steps = 2 * np.arange(self.size) / (self.size - 1) - 1  # rounded once: the same on every nested grid
        a, b = (middle + reach * steps for middle, reach in zip(self.middle, self.reach, strict=True))
        return a, np.array([self.middle[1]]) if self.line else b

    def points(self, indices: np.ndarray) -> np.ndarray:
        """(n, 2) places in the grid (i, j) -> (n, 2) coordinates (a, b)."""
        a, b = self.axes
        return np.stack([a[indices[:, 0]], b[indices[:, 1]]], 1)

    def levels(self) -> Iterator[np.ndarray]:
        """(n, 2) places (i, j), coarse grid first; each level holds only what no coarser one had.

        The first level has at least 4 points along an axis, as a cubic spline needs them.
        """
        seen = np.zeros(self.shape, dtype=bool)
        for stride in self.strides():
            chosen = np.zeros(self.shape, dtype=bool)
            chosen[::stride, ::stride] = True
            yield np.argwhere(chosen & ~seen)
            seen |= chosen

    def strides(self) -> list[int]:
        """Of the nested grids, the coarsest first: each takes every so manieth point."""
        found = [1]
        while (self.size - 1) % (2 * found[0]) == 0 and (self.size - 1) // (2 * found[0]) + 1 >= LEAST_POINTS:
            found.insert(0, 2 * found[0])
        return found

    def between(self) -> np.ndarray:
        """(n, 2) coordinates of the middles of the grid's cells: where an interpolation is worst."""
        a, b = ((axis[1:] + axis[:-1]) / 2 if len(axis) > 1 else axis for axis in self.axes)
        return np.array(list(product(a, b)))

    def held_out(self, count: int = HELD_OUT, seed: int = 0) -> np.ndarray:
        """(count or fewer, 2) coordinates of middles of cells, drawn without repetition."""
        cells = self.between()
        return np.random.default_rng(seed).permutation(cells)[:count]

    def anywhere(self, count: int, seed: int = 0) -> np.ndarray:
        """(count, 2) coordinates drawn evenly over this part of the plane: points of no nested grid, as middles are."""
        draw = np.random.default_rng(seed)
        return np.stack([draw.uniform(axis[0], axis[-1], count) for axis in self.axes], 1)


def line_grid(size: int) -> Grid:
    """From one end of a line (0) to the other (1), and some way beyond both."""
    return Grid(size, reach=(0.5 + BEYOND, 1.0), middle=(0.5, 0.0), line=True)


@dataclass(frozen=True)
class SplineError:
    """|shown - exact| / |exact| at so many `points` that a spline has not seen, or in float32: median, 95%, largest."""

    median: float
    most: float
    largest: float
    points: int


@dataclass(frozen=True)
class Spline:
    """Where the values of a picture come from that were not measured.

    knots: exact points along an axis. error: of losses at points held out. checked: knots of the spline that the error
    is of: fewer where every second one was held out, so that what is shown is off by less as a rule. ratio: it is
    another surface times a spline of here / there. there: at which step, where that is known. base: exact points along
    an axis of the other surface, where not all of it are.
    """

    knots: int
    error: SplineError
    checked: int
    ratio: bool = False
    there: int | None = None
    base: int | None = None


def spline(grid: Grid, values: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Bicubic spline through all values (na, nb) of a grid, at all (a[i], b[j]); a cubic spline on a line.

    Through three points along an axis it is a parabola.

    Raises:
        ValueError: fewer than 3 points along an axis, or values that are not finite.
    """
    fitted = through(grid, values)
    if isinstance(fitted, scipy.interpolate.CubicSpline):
        return fitted(a)[:, None]
    return fitted(a, b)


def spline_at(grid: Grid, values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(n,) the same spline at single points (n, 2)."""
    fitted = through(grid, values)
    if isinstance(fitted, scipy.interpolate.CubicSpline):
        return fitted(points[:, 0])
    return fitted.ev(points[:, 0], points[:, 1])


def loss_spline(grid: Grid, losses: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The same of losses: of their logarithms where all are above 0, so that it never swings below."""
    if not (losses > 0).all():
        return spline(grid, losses, a, b)
    return np.exp(spline(grid, np.log(losses), a, b))


def loss_spline_at(grid: Grid, losses: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(n,) that of losses at single points (n, 2)."""
    if not (losses > 0).all():
        return spline_at(grid, losses, points)
    return np.exp(spline_at(grid, np.log(losses), points))


def through(grid: Grid, values: np.ndarray) -> scipy.interpolate.CubicSpline | scipy.interpolate.RectBivariateSpline:
    if grid.size <= PARABOLA:
        raise ValueError(f"A spline needs {PARABOLA + 1} points along an axis, not {grid.size}.")
    wrong = int((~np.isfinite(values)).sum())
    if wrong:
        raise ValueError(
            f"{wrong} of {values.size} values are not finite: no spline runs through them. Take a smaller reach."
        )
    a, b = grid.axes
    if grid.line:
        return scipy.interpolate.CubicSpline(a, values[:, 0])
    degree = min(CUBIC, grid.size - 1)
    return scipy.interpolate.RectBivariateSpline(a, b, values, kx=degree, ky=degree)


def error_of(shown: np.ndarray, exact: np.ndarray) -> SplineError:
    """Where an exact value is next to 0, as of a network that fits all, off by a share of the typical one instead."""
    sizes = np.abs(exact)
    known = sizes[np.isfinite(sizes)]
    floor = max(NEXT_TO_0 * float(np.median(known)) if len(known) else 0.0, NEXT_TO_0**2)
    off = np.abs(shown - exact) / np.maximum(sizes, floor)
    return SplineError(float(np.median(off)), float(np.quantile(off, 0.95)), float(off.max()), len(off))
