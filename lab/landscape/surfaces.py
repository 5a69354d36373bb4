"""Surfaces: loss and accuracy over a plane, what they were measured on, and how far to trust them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lab.landscape.evaluators import COLUMNS, Evaluator, Found
from lab.landscape.grids import Grid, Spline, SplineError, error_of, loss_spline, loss_spline_at, spline
from lab.landscape.planes import Origin
from lab.landscape.trails import at_once
from lab.store import write_atomically
from lab.views import BatchNormMode, SplitName

RATIOS = ("loss", "error", "difference_error")  # of what a surface keeps; an accuracy may be 0
FEW = 5  # points along an axis that tell how a surface has changed
BESIDE = 8  # points held out of what a coarse grid is made to show
CHECKED = 16  # points at which mixed precision is held against float32


@dataclass(frozen=True)
class Measured:
    """On what and how a surface was measured.

    batchnorm: None where the network has none. batch_size: decides values in the mode `batch` only. precision: of the
    arithmetic. most: how many samples there might have been, where fewer were enough for standard errors of `enough` of
    a level; None where their number was given. noise: what standard errors are, as such a share. marked: on which the
    marks of paths were measured, where it is on more. anew: the step at which samples were counted again.
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
    noise: float | None = None
    marked: int | None = None
    anew: int | None = None


@dataclass(frozen=True)
class Surface:
    """Values at all points of a grid, (na, nb) each: row i belongs to a[i], column j to b[j]; nan is not known yet.

    loss: mean nats. accuracy: fraction. error: standard error of the loss; difference_error: of the loss minus that at
    the plane's centre. spline: None where every value is exact; else how the others were found, and what they are off
    by. precision_error: what values in mixed precision are off by, at points of the grid; None where they are not.
    """

    grid: Grid
    origin: Origin
    measured: Measured
    loss: np.ndarray
    accuracy: np.ndarray
    error: np.ndarray
    difference_error: np.ndarray
    spline: Spline | None = None
    precision_error: SplineError | None = None

    @property
    def complete(self) -> bool:
        """Whether there is a value at every point; a loss may be nan all the same, an accuracy never is."""
        return not np.isnan(self.accuracy).any()

    @property
    def bytes(self) -> int:
        """That its values take."""
        return sum(getattr(self, name).nbytes for name in COLUMNS)

    def every(self, stride: int) -> Surface:
        """Each so manieth point along both axes, the ends among them: a coarser grid that is nested in this one."""
        grid = replace(self.grid, size=(self.grid.size - 1) // stride + 1)
        return replace(self, grid=grid, **{name: getattr(self, name)[::stride, ::stride] for name in COLUMNS})

    @property
    def exact(self) -> np.ndarray:
        """(na, nb) whether a point was measured itself: of a spline its knots, where they are points of the grid."""
        if self.spline is None:
            return np.ones(self.loss.shape, dtype=bool)
        found, stride = np.zeros(self.loss.shape, dtype=bool), stride_between(self.spline.knots, self.grid.size)
        if stride:
            found[::stride, ::stride] = True
        return found

    def shown(self, size: int, exact: tuple[np.ndarray, np.ndarray] | None = None) -> Surface:
        """A finer grid through these values by bicubic splines, with the error of the loss at held-out points.

        The values themselves are taken over as they are where they are points of the finer grid.

        Args:
            size: points along an axis.
            exact: coordinates (n, 2) and exact losses (n,) of points that are not on this grid. By default nothing more
                is measured: a spline through every second point is held against the others, and as a rule is off by
                more than the one that is shown.
        Raises:
            ValueError: a point is missing or not finite, or too few along an axis.
        """
        finer = replace(self.grid, size=size)
        loss = loss_spline(self.grid, self.loss, *finer.axes)
        accuracy, error, difference = (spline(self.grid, getattr(self, name), *finer.axes) for name in COLUMNS[1:])
        columns = (loss, accuracy.clip(0, 1), error.clip(min=0), difference.clip(min=0))
        pin(columns, self, size)
        off, checked = self._every_second_held_out() if exact is None else (self._off(*exact), self.grid.size)
        found = Spline(self.grid.size, off, checked)
        return Surface(finer, self.origin, self.measured, *columns, found, self.precision_error)

    def _off(self, points: np.ndarray, losses: np.ndarray) -> SplineError:
        """A spline through all values, at points (n, 2) whose losses (n,) are known."""
        return error_of(loss_spline_at(self.grid, self.loss, points), losses)

    def _every_second_held_out(self) -> tuple[SplineError, int]:
        """What a spline through every second point is off by at the others; and its points along an axis."""
        if self.grid.size % 2 == 0:
            raise ValueError(f"Every second of {self.grid.size} points along an axis leaves one end out: size is even.")
        coarse, others = self.every(2), np.ones(self.loss.shape, dtype=bool)
        others[::2, ::2] = False
        return coarse._off(self.grid.points(np.argwhere(others)), self.loss[others]), coarse.grid.size

    def filled(self, size: int) -> Surface:
        """As `shown`, or just this where it is as fine already, or where no spline can be had: a cliff, for one."""
        if size == self.grid.size:
            return self
        try:
            return self.shown(size)
        except ValueError:
            return self

    def refreshed(self, now: Surface, held_out: tuple[np.ndarray, np.ndarray], *, step: int | None = None) -> Surface:
        """This surface after the run has moved on while the plane stayed: times a spline of the ratio now / then.

        So are the standard errors; to the accuracy, which may be 0, a spline of the difference now - then is added.

        Args:
            now: a coarse surface of the same plane and reach, 5 points along an axis, say.
            held_out: coordinates (n, 2) and losses (n,) now at points that are neither on the coarse grid nor known of
                this surface, whose own error would not be seen there.
            step: through whose snapshot this surface passes.
        Raises:
            ValueError: another part of the plane, or losses that are not finite and above 0.
        """
        if (now.grid.reach, now.grid.middle) != (self.grid.reach, self.grid.middle):
            raise ValueError("The two surfaces cover different parts of the plane: give them one reach and one middle.")
        then = {name: spline(self.grid, getattr(self, name), *now.grid.axes) for name in COLUMNS[1:]}
        then["loss"] = loss_spline(self.grid, self.loss, *now.grid.axes)
        if not ((then["loss"] > 0).all() and (now.loss > 0).all() and np.isfinite(now.loss).all()):
            raise ValueError(
                "A ratio needs losses that are finite and above 0 at all points: measure the surface anew."
            )
        grown = {name: ratios(getattr(now, name), then[name]) for name in RATIOS}
        axes = self.grid.axes
        loss, error, difference = (getattr(self, name) * loss_spline(now.grid, grown[name], *axes) for name in RATIOS)
        accuracy = self.accuracy + spline(now.grid, now.accuracy - then["accuracy"], *axes)
        columns = (loss, accuracy.clip(0, 1), error.clip(min=0), difference.clip(min=0))
        pin(columns, now, self.grid.size)
        off = loss_spline_at(self.grid, self.loss, held_out[0]) * loss_spline_at(now.grid, grown["loss"], held_out[0])
        base, size = self.spline.knots if self.spline else None, now.grid.size
        known = Spline(size, error_of(off, held_out[1]), size, ratio=True, there=step, base=base)
        return Surface(self.grid, self.origin, now.measured, *columns, known, now.precision_error)

    def save(self, path: str | Path) -> None:
        """Keep the surface as a safetensors file, everything else beside the numbers."""
        parts = ("grid", "origin", "measured", "spline", "precision_error")
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
            grid, known, off = facts["grid"], facts.get("spline"), facts.get("precision_error")
            grid |= {"reach": tuple(grid["reach"]), "middle": tuple(grid["middle"])}  # JSON has no tuples
            return cls(
                grid=Grid(**grid),
                origin=Origin(**facts["origin"]),
                measured=Measured(**facts["measured"]),
                loss=columns["loss"],
                accuracy=columns["accuracy"],
                error=columns["error"],
                difference_error=columns["difference_error"],
                spline=known and Spline(**(known | {"error": SplineError(**known["error"])})),
                precision_error=SplineError(**off) if off else None,
            )
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"There is no readable surface in {path}: {error}.") from None


def pin(columns: Sequence[np.ndarray], exact: Surface, size: int) -> None:
    """Put what was measured into columns (size, size) that come from splines, where it has points of theirs."""
    if stride := stride_between(exact.grid.size, size):
        for column, name in zip(columns, COLUMNS, strict=True):
            column[::stride, ::stride] = getattr(exact, name)


def stride_between(coarse: int, fine: int) -> int:
    """Every so manieth point of a fine grid is one of a coarse grid over the same part of the plane; 0 where not."""
    whole, rest = divmod(fine - 1, coarse - 1)
    return 0 if rest else whole


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
        return at_once(self.checking())

    def checking(self) -> Generator[None, None, Surface]:
        """The same, with chances to stop."""
        return replace(self.surface(), precision_error=(yield from self.comparing()))

    def comparing(self) -> Generator[None, None, SplineError | None]:
        """What losses in mixed precision are off by, at points drawn of those known; None where they are not."""
        places = np.argwhere(np.isfinite(self.columns["loss"]))
        if not self.evaluator.mixed or not len(places):
            return None
        drawn = np.random.default_rng(0).permutation(places)[:CHECKED]
        exact = yield from measuring(self.evaluator.in_float32(), self.grid.points(drawn))
        return error_of(self.columns["loss"][tuple(drawn.T)], exact)

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


def refreshing(
    old: Surface, evaluator: Evaluator, size: int = FEW, *, step: int | None = None
) -> Generator[None, None, Surface]:
    """An old surface made that of the weights now by `size` x `size` exact points, and its error at held-out ones.

    Where a spline through the few points alone is off by less there, as it is far from where the old one was measured,
    it is that. There are chances to stop, as the evaluator gives them; `step` is that of the old surface.
    """
    now, exact = yield from measuring_few(replace(old.grid, size=size), evaluator)
    return carried_along(old, now, exact, step=step)


def carried_along(
    old: Surface, now: Surface, exact: tuple[np.ndarray, np.ndarray], *, step: int | None = None
) -> Surface:
    """The better of two splines, by what they are off by at points held out. Raises ValueError where none is sure."""
    if not np.isfinite(exact[1]).all():
        raise ValueError("Beside the few points there are losses that are not finite: no spline leads over a cliff.")
    found = [now.shown(old.grid.size, exact)]
    with contextlib.suppress(ValueError):  # of a loss of 0 there is no ratio
        found.append(old.refreshed(now, exact, step=step))
    return min(found, key=spline_off)


def measuring_few(
    grid: Grid, evaluator: Evaluator
) -> Generator[None, None, tuple[Surface, tuple[np.ndarray, np.ndarray]]]:
    """All points of a coarse grid, and points beside it that are held out: coordinates (n, 2) and losses (n,).

    They lie anywhere: the middles of cells are points of a finer nested grid, which an older surface has seen.
    """
    survey, points = Survey(evaluator, grid), grid.anywhere(BESIDE)
    for _ in survey:
        yield
    losses = yield from measuring(evaluator, points)
    return (yield from survey.checking()), (points, losses)


def spline_off(found: Surface) -> float:
    """The error that 95% of the points held out stay below."""
    assert found.spline
    return found.spline.error.most


def measuring(evaluator: Evaluator, points: np.ndarray) -> Generator[None, None, np.ndarray]:
    """(n,) losses at points (n, 2), with chances to stop."""
    losses = np.full(len(points), np.nan)
    for indices, values in evaluator(points):
        losses[indices] = values.loss
        yield
    return losses
