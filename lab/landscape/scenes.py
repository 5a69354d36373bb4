"""What a picture of a landscape shows: a surface with the paths on it, and the one scale that pictures share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, floor, isnan, log10

import numpy as np

from lab.landscape.grids import Spline
from lab.landscape.planes import ENDS, Origin, Plane
from lab.landscape.surfaces import Measured, Surface

OFF = 0.1  # of the true loss: a mark whose loss on the plane is further off is grey
DECADES = 1.0  # losses above 0 that span more are shown by their logarithm: else a valley is one colour
ABOVE_TYPICAL = 100.0  # times the median loss is the highest that is shown: a cliff would flatten all else
BELOW_HIGHEST = 1e-6  # of the highest loss is the lowest that is told apart
MOST_TICKS = 7
FEWEST_TIMES, MOST_TIMES = 10, 1000  # no percentages are read beyond, and no number
LEAST_SHARE = 1e-5  # rounding
BANDS = 16


@dataclass(frozen=True)
class RunPath:
    """The marks of one run on a plane, (k,) each; nan where something was not measured.

    number: of the run, from 0 on: its colour and dash. coordinates: (k, 2); on a line the second ones are 0.
    true: loss at the snapshot itself. on_plane: loss where the snapshot is projected to. read_off: that is not measured
    but read off the picture's surface, at points between those of its grid.
    own: the step of a mark through which the plane passes: its loss there is its true one, and is not measured.
    explained: share of this path's own variance that lies in the plane; None where that is not known.
    """

    name: str
    number: int
    coordinates: np.ndarray
    steps: np.ndarray
    true: np.ndarray
    on_plane: np.ndarray
    explained: float | None = None
    read_off: bool = False
    own: int | None = None

    def first(self, count: int) -> RunPath:
        """As it was after so many marks."""
        return self._part(slice(count))

    def until(self, step: int | None) -> RunPath:
        """As it was after so many steps of training; None: as it is."""
        return self.first(marks_until(self.steps, step))

    @property
    def end(self) -> RunPath:
        """Its last mark only."""
        return self._part(slice(-1, None))

    def _part(self, part: slice) -> RunPath:
        columns = ("coordinates", "steps", "true", "on_plane")
        return replace(self, **{name: getattr(self, name)[part] for name in columns})

    @property
    def gaps(self) -> np.ndarray:
        """(k,) by how much of its true loss a mark is off on the plane; only of marks of which both were found."""
        known = np.isfinite(self.true) & np.isfinite(self.on_plane) & (self.true != 0) & (self.steps != self.own)
        return np.abs(self.on_plane[known] / self.true[known] - 1)

    @property
    def off(self) -> np.ndarray:
        """(k,) whether the plane misleads at a mark: its loss is more than `OFF` of the true loss away from it."""
        with np.errstate(invalid="ignore"):
            return np.abs(self.on_plane - self.true) > OFF * np.abs(self.true)


def marks_until(steps: Sequence[int] | np.ndarray, step: int | None) -> int:
    """How many marks lie at or before a step, of all for None; one at least: of some runs the end alone is known."""
    return len(steps) if step is None else max(1, int(np.searchsorted(steps, step, side="right")))


@dataclass(frozen=True)
class Scene:
    """A surface and the paths of the runs that it belongs to.

    plane: on which it lies, where that is to be kept with the picture. apart: why others that could share the surface
    have one of their own, in words. step: of the snapshot that the surface passes through; None where it passes through
    none, or that is not known. past: surfaces on parallel planes through earlier snapshots of its one path, by step.
    trained_by: objectives of its runs that train by another loss than the one shown, which is that of the classes.
    """

    surface: Surface
    paths: tuple[RunPath, ...] = ()
    title: str = ""
    plane: Plane | None = None
    apart: str = ""
    step: int | None = None
    past: Mapping[int, Surface] = field(default_factory=dict[int, Surface])
    trained_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scale:
    """The losses from `low` to `high` that pictures show, by their logarithm or not.

    Decided once and shared: no picture changes its scale behind a person's back. What lies above is cut off, what lies
    below is drawn as `low`.
    """

    low: float
    high: float
    log: bool

    @classmethod
    def of(cls, scenes: Iterable[Scene]) -> Scale:
        """A scale for all these, from what is known of them now: up to a hundred times the median loss."""
        parts = [
            part for scene in scenes for part in (deciding(scene.surface), *(path.on_plane for path in scene.paths))
        ]
        losses = np.concatenate([np.ravel(part) for part in parts]) if parts else np.empty(0)
        losses = losses[np.isfinite(losses)]
        if not len(losses):
            return cls(0.0, 1.0, log=False)
        low, highest = float(losses.min()), float(losses.max())
        high = min(highest, ABOVE_TYPICAL * float(np.median(losses)) or highest)
        if high <= low:
            return cls(low, low + max(1e-6, abs(low) / 100), log=False)
        log = low >= 0 and high > 10**DECADES * low
        return cls(max(low, BELOW_HIGHEST * high) if log else low, high, log)

    def heights(self, losses: np.ndarray) -> np.ndarray:
        """Losses as they are drawn: their logarithms to base 10, or themselves. nan stays nan, and leaves a hole.

        What lies far above is drawn one range above the highest shown, so that a wall stands where it is cut.
        """
        with np.errstate(invalid="ignore"):
            shown = np.log10(np.maximum(losses, self.low)) if self.log else np.maximum(losses, self.low)
        bottom, top = self.range
        return np.minimum(shown, 2 * top - bottom)

    @property
    def range(self) -> tuple[float, float]:
        """Of the heights."""
        return (log10(self.low), log10(self.high)) if self.log else (self.low, self.high)

    @property
    def levels(self) -> np.ndarray:
        """(BANDS + 1,) heights between which a band of one colour lies."""
        return np.linspace(*self.range, BANDS + 1)

    @property
    def ticks(self) -> tuple[list[float], list[str]]:
        """Round losses within the range: their heights, and how they are written."""
        losses = round_powers(self.low, self.high) if self.log else round_steps(self.low, self.high)
        return self.heights(np.array(losses)).tolist(), [f"{loss:g}" for loss in losses]

    @property
    def name(self) -> str:
        return "loss, log scale" if self.log else "loss"

    def cut(self, surface: Surface) -> str:
        """Which part of what was measured of a surface lies above, in words; empty if none does."""
        above = self.above(surface)
        return f"{share(above)} of the points lie above {self.high:.3g} and are cut off." if above else ""

    def above(self, surface: Surface) -> float:
        """Share of what was measured of a surface that is cut off."""
        losses = deciding(surface)
        losses = losses[~np.isnan(losses)]
        return float((losses > self.high * (1 + 1e-9)).mean()) if len(losses) else 0.0


def deciding(surface: Surface) -> np.ndarray:
    """The losses that decide a scale: what was measured, as a spline may swing beyond it."""
    exact = surface.exact
    return surface.loss[exact] if exact.any() else surface.loss


def round_powers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between two losses, or powers alone where those are too many."""
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [x for power in powers for digit in digits if low <= (x := float(f"{digit}e{power}")) <= high]
        if len(found) <= MOST_TICKS:
            return found
    return found[:: ceil(len(found) / MOST_TICKS)]


def round_steps(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two losses."""
    power = 10.0 ** floor(log10((high - low) / (MOST_TICKS - 1)))
    step = next(digit * power for digit in (1, 2, 5, 10) if (high - low) / (digit * power) <= MOST_TICKS - 1)
    return [round(place * step, 12) for place in range(ceil(low / step), floor(high / step) + 1)]


def axis_names(origin: Origin) -> tuple[str, str]:
    """What the coordinates of a plane are, with their unit."""
    if origin.kind == "line":
        return origin.note or "from start (0) to end (1)", ""
    if origin.kind == "random":
        return "direction 1 (in weight norms)", "direction 2 (in weight norms)"
    what = "eigenvector" if origin.kind == "hessian" else "axis"
    return f"{what} 1 (distance in weights)", f"{what} 2 (distance in weights)"


def trust_words(scene: Scene) -> str:
    """How far to trust a picture: only what was measured, and all that decides what is seen."""
    origin = scene.surface.origin
    own = [own_words(path) for path in scene.paths] if origin.kind != "path" else []
    parts = [
        plane_words(origin),
        classes_words(scene),
        scene.apart,
        *own,
        *map(mark_words, scene.paths),
        *measured_words(scene.surface),
    ]
    return "; ".join(filter(None, parts)) + "."


def classes_words(scene: Scene) -> str:
    """Nothing where the loss of the classes is what was trained by."""
    if not scene.trained_by:
        return ""
    trains = "trains" if len(scene.trained_by) == 1 else "train"
    return f"loss of the classes alone, where {' and '.join(scene.trained_by)} {trains} by another"


PLANES = {
    "random": "Plane of random directions",
    "path": "Plane of the path",
    "joint": "Joint plane of the paths",
    "points": "Plane through three points",
    "hessian": "Plane of the Hessian's eigenvectors",
    "line": "Straight line",
}


def plane_words(origin: Origin) -> str:
    whose = "the ends" if origin.note == ENDS else "the path" if origin.kind == "path" else "all paths"
    parts = (
        origin.note,
        None if origin.explained is None else f"holds {share(origin.explained)} of the variance of {whose}",
        None if origin.seed is None else f"seed {origin.seed}",
        origin.normalisation and f"normalisation {origin.normalisation}",
    )
    return ", ".join(["Plane" if origin.note == ENDS else PLANES[origin.kind], *filter(None, parts)])


def own_words(path: RunPath) -> str:
    """What a plane shows of this path: the share of several together hides one that lies beside the plane."""
    if path.explained is None:
        return ""
    return f"{f'{path.name}, ' if path.name else ''}{share(path.explained)} of the variance of this path"


def mark_words(path: RunPath) -> str:
    """The true loss of a path's last mark against that on the plane, and by how much all its marks are off.

    Where a plane is carried along with a run the last mark lies on it; of the others it says how far to trust them.
    """
    if not len(path.steps) or np.isnan([path.true[-1], path.on_plane[-1]]).any():
        return ""
    name = f"{path.name}, " if path.name else ""
    where = f"{'read off the surface' if path.read_off else 'on the plane'} {path.on_plane[-1]:.4g}"
    if path.steps[-1] == path.own:
        where = "where the plane passes through it"
    words = f"{name}step {path.steps[-1]:,}: loss {path.true[-1]:.4g}, {where}"
    return ", ".join(filter(None, [words, gap_words(path)]))


def gap_words(path: RunPath) -> str:
    """Nothing of a path of one mark."""
    gaps, grey = path.gaps, int(path.off.sum())
    if len(gaps) < 2:
        return ""
    marks = "marks read off the surface" if path.read_off else "marks"
    words = f"{len(gaps)} {marks} off by {share(np.median(gaps))} in the middle and up to {share(gaps.max())}"
    return f"{words} ({grey} of {len(gaps)} grey: more than {share(OFF)})" if grey else words


def measured_words(surface: Surface) -> Sequence[str]:
    on = surface.measured
    part = "all" if on.samples == on.total else f"{on.samples:,} (draw {on.seed}) of"
    images = f"{part} {on.total:,} {on.split} images"
    found = [points_words(surface), images, enough_words(on), uncertainty(surface)]
    return [*found, normalisation_words(on), precision_words(surface)]


def points_words(surface: Surface) -> str:
    """How many points were measured; and where the picture is finer, how the others were found and are off by."""
    known = surface.spline
    if known is None:
        return exact_words(surface)
    size, knots = across(surface.grid.size, surface), across(known.knots, surface)
    how = f"{other_words(known, surface)} times a spline of the ratio to it at" if known.ratio else "spline of"
    return f"{size} points: {how} {knots} exact ones, {held_out_words(known, surface)}"


def other_words(known: Spline, surface: Surface) -> str:
    """The surface that was carried along: where it was measured, and how far it is a spline itself."""
    where = "another surface" if known.there is None else f"the surface at step {known.there:,}"
    return where if known.base is None else f"{where}, itself of {across(known.base, surface)} exact ones,"


def held_out_words(known: Spline, surface: Surface) -> str:
    off = known.error
    found = f"off by {share(off.median)} in the middle and up to {share(off.largest)} at {off.points} points held out"
    return found if known.checked == known.knots else f"that of {across(known.checked, surface)} of them {found}"


def exact_words(surface: Surface) -> str:
    """A loss that is not finite is a cliff, over which no spline leads."""
    wrong = int((np.isinf(surface.loss) | (np.isnan(surface.loss) & ~np.isnan(surface.accuracy))).sum())
    words = f"{across(surface.grid.size, surface)} points, all exact"
    return f"{words}, of {wrong} the loss is not finite" if wrong else words


def across(size: int, surface: Surface) -> str:
    return f"{size}" if surface.grid.line else f"{size}x{size}"


def enough_words(on: Measured) -> str:
    """Why there are fewer samples than there might have been; nothing where there are not."""
    if on.most is None:
        return ""
    here = "" if on.noise is None or isnan(on.noise) else f" ({share(on.noise)} here)"
    words = f"enough for standard errors of {share(on.enough or 0)} of a level{here}"
    if on.marked:
        return f"{words}; marks on {on.marked:,}"
    if on.anew is None:
        return f"by the first picture {words}, and kept"
    again = f"counted anew at step {on.anew:,}, as the noise had changed"
    return f"{again}: {words if on.samples < on.most else f'fewer are not {words}'}"


def precision_words(surface: Surface) -> str:
    """The arithmetic, and what it is off by where that is known."""
    off = surface.precision_error
    found = off and f"off by {share(off.median)} in the middle and up to {share(off.largest)} at {off.points} points"
    return f"{surface.measured.precision}, {found} measured in float32" if found else surface.measured.precision


def normalisation_words(on: Measured) -> str:
    """Nothing where a network has no batch normalisation."""
    if on.batchnorm is None:
        return ""
    whose = (
        f"those of each batch of {on.batch_size} (mixed by seed {on.seed})" if on.batchnorm == "batch" else "as stored"
    )
    return f"statistics of batch normalisation {whose}"


def uncertainty(surface: Surface) -> str:
    known = surface.error[np.isfinite(surface.error)]
    return f"standard error of a loss {np.median(known):.2g} (median)" if len(known) and np.median(known) > 0 else ""


def share(fraction: float) -> str:
    """87.2%, 3.25%, 0.041%: three digits, <0.001% below; beyond ten times 12x, beyond a thousand times >1,000x."""
    if 0 < fraction < LEAST_SHARE:
        return f"<{LEAST_SHARE:.3%}"
    if fraction > MOST_TIMES:
        return f">{MOST_TIMES:,}x"
    return f"{fraction:,.0f}x" if fraction > FEWEST_TIMES else f"{float(f'{100 * fraction:.3g}'):g}%"
