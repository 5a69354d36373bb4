"""Surfaces: loss and accuracy over a plane, what they were measured on, and how far to trust them."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lab.landscape.evaluators import COLUMNS, Evaluator, Found
from lab.landscape.grids import Grid, SplineError, error_of, spline, spline_at
from lab.landscape.planes import Origin
from lab.landscape.trails import at_once
from lab.store import write_atomically
from lab.views import BatchNormMode, SplitName

CHECKED = 16  # points at which mixed precision is held against float32
OFF = ("spline_error", "precision_error")


@dataclass(frozen=True)
class Measured:
    """On what and how a surface was measured.

    batchnorm: None where the network has none. batch_size: decides values in the mode `batch` only. precision: of the
    arithmetic. most: how many samples there might have been, where fewer were enough for standard errors of `enough` of
    a level; None where their number was given.
    """

    split: SplitName
    samples: int
    total: int
    seed: int
    batchnorm: BatchNormMode | None
    batch_size: int
    precision: str
    most: int | None = None
    enough: float | None = None


@dataclass(frozen=True)
class Surface:
    """Values at all points of a grid, (na, nb) each: row i belongs to a[i], column j to b[j]; nan is not known yet.

    loss: mean nats. accuracy: fraction. error: standard error of the loss; difference_error: of the loss minus that at
    the plane's centre. spline_error: None where every value is exact; else the values come from a spline or a ratio,
    and this is what they are off by. precision_error: what values in mixed precision are off by, at points of the grid;
    None where they are not.
    """

    grid: Grid
    origin: Origin
    measured: Measured
    loss: np.ndarray
    accuracy: np.ndarray
    error: np.ndarray
    difference_error: np.ndarray
    spline_error: SplineError | None = None
    precision_error: SplineError | None = None

    @property
    def complete(self) -> bool:
        """Whether every point was measured; a loss may be nan all the same, an accuracy never is."""
        return not np.isnan(self.accuracy).any()

    def every(self, stride: int) -> Surface:
        """Each so manieth point along both axes, the ends among them: a coarser grid that is nested in this one."""
        grid = replace(self.grid, size=(self.grid.size - 1) // stride + 1)
        return replace(self, grid=grid, **{name: getattr(self, name)[::stride, ::stride] for name in COLUMNS})

    def shown(self, size: int, exact: tuple[np.ndarray, np.ndarray]) -> Surface:
        """A finer grid through these values by bicubic splines, with the error of the loss at held-out points.

        Args:
            size: points along an axis.
            exact: coordinates (n, 2) and exact losses (n,) of points that are not on this grid.
        Raises:
            ValueError: a point is missing or not finite, or fewer than 4 along an axis.
        """
        finer = replace(self.grid, size=size)
        loss, accuracy, error, difference = (spline(self.grid, getattr(self, name), *finer.axes) for name in COLUMNS)
        return Surface(
            finer,
            self.origin,
            self.measured,
            loss,
            accuracy.clip(0, 1),
            error.clip(min=0),
            difference.clip(min=0),
            error_of(spline_at(self.grid, self.loss, exact[0]), exact[1]),
            self.precision_error,
        )

    def refreshed(self, now: Surface, held_out: tuple[np.ndarray, np.ndarray]) -> Surface:
        """This surface after the run has moved on while the plane stayed: times a spline of the ratio now / then.

        So are the standard errors; to the accuracy, which may be 0, a spline of the difference now - then is added.

        Args:
            now: a coarse surface of the same plane and reach, 5 points along an axis, say.
            held_out: coordinates (n, 2) and losses (n,) now at points that are not on the coarse grid.
        Raises:
            ValueError: another part of the plane, or losses that are not finite and above 0.
        """
        if (now.grid.reach, now.grid.middle) != (self.grid.reach, self.grid.middle):
            raise ValueError("The two surfaces cover different parts of the plane: give them one reach and one middle.")
        then = {name: spline(self.grid, getattr(self, name), *now.grid.axes) for name in COLUMNS}
        if not ((then["loss"] > 0).all() and (now.loss > 0).all() and np.isfinite(now.loss).all()):
            raise ValueError(
                "A ratio needs losses that are finite and above 0 at all points: measure the surface anew."
            )
        grown = {name: ratios(getattr(now, name), then[name]) for name in ("loss", "error", "difference_error")}
        values = {name: getattr(self, name) * spline(now.grid, each, *self.grid.axes) for name, each in grown.items()}
        risen = spline(now.grid, now.accuracy - then["accuracy"], *self.grid.axes)
        old = spline_at(self.grid, self.loss, held_out[0])
        return Surface(
            self.grid,
            self.origin,
            now.measured,
            values["loss"],
            (self.accuracy + risen).clip(0, 1),
            values["error"].clip(min=0),
            values["difference_error"].clip(min=0),
            error_of(old * spline_at(now.grid, grown["loss"], held_out[0]), held_out[1]),
        )

    def save(self, path: str | Path) -> None:
        """Keep the surface as a safetensors file, everything else beside the numbers."""
        parts = ("grid", "origin", "measured", *OFF)
        facts = {name: json.dumps(asdict(part) if (part := getattr(self, name)) else None) for name in parts}
        columns = {name: np.ascontiguousarray(getattr(self, name), dtype=float) for name in COLUMNS}
        write_atomically(Path(path), save(columns, metadata=facts))

    @classmethod
    def load(cls, path: str | Path) -> Surface:
        """The surface that was saved, to the last bit.

        Raises:
            ValueError: the file is missing, damaged or no surface.
        """
        try:
            with safe_open(path, framework="np") as file:
                facts = {name: json.loads(text) for name, text in file.metadata().items()}
                columns = {name: file.get_tensor(name) for name in COLUMNS}
            grid, off = facts["grid"], {name: SplineError(**facts[name]) for name in OFF if facts.get(name)}
            grid |= {"reach": tuple(grid["reach"]), "middle": tuple(grid["middle"])}  # JSON has no tuples
            return cls(
                grid=Grid(**grid),
                origin=Origin(**facts["origin"]),
                measured=Measured(**facts["measured"]),
                loss=columns["loss"],
                accuracy=columns["accuracy"],
                error=columns["error"],
                difference_error=columns["difference_error"],
                spline_error=off.get("spline_error"),
                precision_error=off.get("precision_error"),
            )
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"There is no readable surface in {path}: {error}.") from None


def ratios(now: np.ndarray, then: np.ndarray) -> np.ndarray:
    """now / then; the median of all where that was 0, as the error of a difference is where it is taken from."""
    there = then > 0
    found = np.divide(now, then, where=there, out=np.ones_like(then))
    return np.where(there, found, np.median(found[there]) if there.any() else 1.0)


class Survey:
    """Measures a grid, coarse points first; an iterator that may be left at any time and gone on with.

    Example: `for indices, values in survey: ...` yields as the evaluator does, with indices (n, 2) into the grid;
    what is known so far is `survey.surface()`.
    """

    def __init__(self, evaluator: Evaluator, grid: Grid) -> None:
        if len(evaluator.plane.directions) == 1 and not grid.line:
            raise ValueError("The plane has one direction: use a Grid with line=True.")
        self.evaluator, self.grid = evaluator, grid
        self.known = np.zeros(grid.shape, dtype=bool)
        self.columns = {name: np.full(grid.shape, np.nan) for name in COLUMNS}

    def __iter__(self) -> Iterator[Found]:
        for level in self.grid.levels():
            missing = level[~self.known[tuple(level.T)]]
            if len(missing):
                yield from self._measure(missing)

    def _measure(self, places: np.ndarray) -> Iterator[Found]:
        for indices, values in self.evaluator(self.grid.points(places)):
            found = places[indices]
            self.known[tuple(found.T)] = True
            for name, column in self.columns.items():
                column[tuple(found.T)] = getattr(values, name)
            yield found, values

    def surface(self) -> Surface:
        """What is known so far; nan where nothing is."""
        loss, accuracy, error, difference = (self.columns[name].copy() for name in COLUMNS)
        origin, measured = self.evaluator.plane.origin, measured_by(self.evaluator)
        return Surface(self.grid, origin, measured, loss, accuracy, error, difference)

    def checked(self) -> Surface:
        """All that is known; in mixed precision with what it is off by, at points drawn of the grid."""
        found, evaluator = self.surface(), self.evaluator
        places = np.argwhere(np.isfinite(found.loss))
        if not evaluator.mixed or not len(places):
            return found
        drawn = np.random.default_rng(0).permutation(places)[:CHECKED]
        exact = evaluator.in_float32().values(self.grid.points(drawn)).loss
        return replace(found, precision_error=error_of(found.loss[tuple(drawn.T)], exact))

    def finest(self) -> Surface | None:
        """The finest nested grid of which every point is known; None before the first is."""
        for stride in reversed(self.grid.strides()):
            if self.known[::stride, ::stride].all():
                return self.surface().every(stride)
        return None


def measured_by(evaluator: Evaluator) -> Measured:
    samples = evaluator.samples
    return Measured(
        split=samples.split,
        samples=len(samples),
        total=samples.total,
        seed=samples.seed,
        batchnorm=evaluator.batchnorm if evaluator.normed else None,
        batch_size=evaluator.batch_size,
        precision=evaluator.precision,
    )


def surface(evaluator: Evaluator, grid: Grid) -> Surface:
    """Every point of a grid, exactly."""
    survey = Survey(evaluator, grid)
    for _ in survey:
        pass
    return survey.checked()


def quick_surface(evaluator: Evaluator, grid: Grid, size: int) -> Surface:
    """Few exact points and a spline through them, shown on a finer grid with its error at held-out exact points."""
    points = grid.held_out()
    return surface(evaluator, grid).shown(size, (points, evaluator.values(points).loss))


def refreshed_surface(old: Surface, evaluator: Evaluator, size: int = 5) -> Surface:
    """An old surface made that of the weights now by `size` x `size` exact points, and its error at held-out ones."""
    return at_once(refreshing(old, evaluator, size))


def refreshing(old: Surface, evaluator: Evaluator, size: int = 5) -> Generator[None, None, Surface]:
    """The same, with chances to stop, as the evaluator gives them."""
    coarse = replace(old.grid, size=size)
    survey, points = Survey(evaluator, coarse), coarse.held_out(count=8)
    for _ in survey:
        yield
    exact = yield from measuring(evaluator, points)
    return old.refreshed(survey.surface(), (points, exact))


def measuring(evaluator: Evaluator, points: np.ndarray) -> Generator[None, None, np.ndarray]:
    """(n,) losses at points (n, 2), with chances to stop."""
    losses = np.full(len(points), np.nan)
    for indices, values in evaluator(points):
        losses[indices] = values.loss
        yield
    return losses
