"""Which plane runs are shown on, and how far it reaches: made once, kept until it shows too little of their paths."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from lab.landscape.curvature import Curvature, reach_of
from lab.landscape.directions import has_scale, random_plane
from lab.landscape.grids import Grid, line_grid
from lab.landscape.live_ends import through_points
from lab.landscape.live_runs import LiveRun
from lab.landscape.planes import ENDS, Plane, line
from lab.landscape.samples import samples_of
from lab.landscape.surfaces import Surface
from lab.landscape.trails import NO_PATH, at_once, centred, laying_joint, laying_path, scatter
from lab.landscape.weights import inner, norm
from lab.steps import is_out_of_memory, no_memory
from lab.views import Lens, Normalisation, View

KEPT = 0.9  # of the share of a path that a plane showed when it was made: below that it is made anew
THROUGH = "carried along, through the newest snapshot"
THROUGH_EACH = "the same directions for all, each picture through its own run's newest snapshot"
THREE_ENDS = "the ends of the three runs"
THREE_SNAPSHOTS = "the first, the middle and the last snapshot of the run"
INSTEAD = "as the one asked for was not found:"
LEAST_SNAPSHOTS = 3  # span a plane
MARGIN = 1.6  # times the largest distance of a snapshot from the middle of the paths
GROWN = 2  # times the steps: after so many eigenvectors are looked for again

PlaneKind = Literal["path", "random", "hessian", "line", "points"]
ALONE: tuple[PlaneKind, ...] = ("random", "hessian")  # each run has its own


class Laid(NamedTuple):
    """A plane, and how far a picture of it goes where its own making says that."""

    plane: Plane
    reach: float | None = None


class Frame:
    """A plane for one run, or for several of one architecture, with reach and scale; nothing of it changes.

    Args:
        kind: random; the plane of the paths, which falls back on a random one before there are three snapshots; of
            the sharpest eigenvectors where a run is, which does where the curvature is not finite; the line between
            two runs; or the plane through the ends of three, or through three snapshots of one.
        why: it replaces another one; empty for the first.
        laid: what `laying` has come to; made at once by default.
    """

    def __init__(
        self, runs: Sequence[LiveRun], kind: PlaneKind, seed: int, why: str = "", laid: Laid | None = None
    ) -> None:
        self.runs, self.kind, self.why = tuple(runs), kind, why
        self.made_at = max(run.newest.step for run in runs)
        self.plane, self._reach = laid or at_once(laying(runs, kind, Lens(seed=seed)))
        self._lengths = products(self.plane)
        self._rows: dict[LiveRun, dict[int, np.ndarray]] = {run: {} for run in runs}
        self.share = self.plane.origin.explained  # of the variance of all paths together, as far as `worn` has looked
        self.middle, self.reach = self._extent()
        self.worst_then = self.worst()

    @property
    def of_paths(self) -> bool:
        return self.plane.origin.kind in ("path", "joint")

    @property
    def shows_paths(self) -> bool:
        """Whether it is more than the ends of runs that lies in the plane."""
        return self.of_paths or (self.through_points and len(self.runs) == 1)

    @property
    def through_points(self) -> bool:
        return self.plane.origin.kind == "points"

    @property
    def carries(self) -> bool:
        """Whether it is carried along with a run, and so differs from snapshot to snapshot."""
        return self.kind != "line" and not (self.through_points and len(self.runs) > 1)

    @property
    def at_random(self) -> bool:
        return self.plane.origin.kind == "random"

    def grid_of(self, size: int) -> Grid:
        if self.kind == "line":
            return line_grid(size)
        return Grid(size, reach=(self.reach, self.reach), middle=self.middle)

    def _extent(self) -> tuple[tuple[float, float], float]:
        """Random directions are as long as the weights; along others one length counts the same both ways."""
        if not (self.of_paths or self.through_points):
            return (0.0, 0.0), self._reach or 1.0
        places = np.concatenate([self.places(run)[0 if self.shows_paths else -1 :] for run in self.runs])
        low, high = places.min(0), places.max(0)
        middle = (low + high) / 2
        return (float(middle[0]), float(middle[1])), MARGIN * float((high - low).max()) / 2

    def places(self, run: LiveRun) -> np.ndarray:
        """(k, 2) of a run's snapshots; each is projected once."""
        rows, steps = self._rows[run], run.trail.steps
        new = [index for index, step in enumerate(steps) if step not in rows]
        if new:
            found = run.trail.places(self.plane, new)
            flat = np.pad(found, ((0, 0), (0, 2 - found.shape[1])))  # a line has one coordinate
            rows |= {steps[index]: row for index, row in zip(new, flat, strict=True)}
        return np.array([rows[step] for step in steps])

    def worn(self) -> str:
        """Why the plane does not serve any more; empty while it does."""
        if self.kind in ("random", "line", "points"):
            return ""
        if self.kind == "hessian":
            newest = max(run.newest.step for run in self.runs)
            return f"the run has made {GROWN} times as many steps" if newest > GROWN * self.made_at else ""
        if not self.of_paths:
            return "the path has begun" if snapshots(self.runs) >= LEAST_SNAPSHOTS else ""
        if (worst := self.worst()) is not None:
            self.share = self._share_of_all()
            then = 1.0 if self.worst_then is None else self.worst_then
            if worst < KEPT * then:
                whose = "the path" if len(self.runs) == 1 else "one of the paths"
                return f"the old one showed {worst:.0%} of {whose}, {then:.0%} when it was made"
        return "the path had left the picture" if self.left else ""

    def _share_of_all(self) -> float:
        places = np.concatenate([self.places(run) for run in self.runs])
        return spread(places) / scatter([run.trail for run in self.runs])

    def serves_better_than(self, other: Frame) -> bool:
        """Whether to go over from a plane of the same runs; one that is kept is held to what it shows now."""
        if other.left or not other.of_paths:
            return True
        mine, theirs = self.worst(), other.worst()
        other.worst_then = theirs
        return mine is None or theirs is None or KEPT * mine > theirs

    def own(self, run: LiveRun) -> float | None:
        """Share of a run's variance that lies along the plane; None where no path is seen on it."""
        total = float(np.trace(centred(run.trail.gram)))
        if not self.carries or len(run.trail) < LEAST_SNAPSHOTS or total <= 0:
            return None
        places = self.places(run)
        away = places - places.mean(0)
        return float(((away @ self._lengths) * away).sum() / total)

    def worst(self) -> float | None:
        """The share of the path that a plane of paths shows least of: that of all together hides one beside it."""
        if not self.shows_paths:
            return None
        return min((own for run in self.runs if (own := self.own(run)) is not None), default=None)

    @property
    def left(self) -> bool:
        """Whether a path has left the picture."""
        return any(self._outside(run) for run in self.runs)

    def _outside(self, run: LiveRun) -> bool:
        return bool((np.abs(self.places(run)[-1] - np.array(self.middle)) > self.reach).any())


def laying(
    runs: Sequence[LiveRun], kind: PlaneKind, lens: Lens, normalisation: Normalisation = View.normalisation
) -> Generator[None, None, Laid]:
    """A plane for these runs, with chances to stop; a random one, with a note, where memory does not do for another.

    Raises:
        ValueError: there can be no random one either.
    """
    note = ""
    if kind == "line":
        return Laid(line(*(run.newest.weights for run in runs)))
    try:  # paths or points that span no plane, or a curvature that is not finite
        if kind == "points":
            return Laid(noted(through_points(runs), THREE_ENDS if len(runs) > 1 else THREE_SNAPSHOTS))
        if kind == "path" and snapshots(runs) >= LEAST_SNAPSHOTS:
            return Laid((yield from laying_paths(runs)))
        if kind == "hessian":
            return (yield from laying_hessian(runs[0], lens))
    except ValueError:
        pass
    except (RuntimeError, MemoryError) as error:
        why = no_memory(runs[0].device) if is_out_of_memory(error) else str(error)
        note = f"{INSTEAD} {why.rstrip('.')}"
    places = [run.newest.weights for run in runs]  # the first that is not 0 throughout gives directions their length
    centre = next((place for place in places if has_scale(place, normalisation)), places[0])
    return Laid(noted(random_plane(centre, seed=lens.seed, normalisation=normalisation), note))


def laying_paths(runs: Sequence[LiveRun]) -> Generator[None, None, Plane]:
    trails = [run.trail for run in runs]
    ends = all(len(trail) == 1 for trail in trails)
    found = yield from (laying_path(trails[0]) if len(runs) == 1 else laying_joint(trails))
    through = THROUGH if len(runs) == 1 else THROUGH_EACH
    return noted(found, ENDS if ends else through)


def noted(plane: Plane, note: str) -> Plane:
    return replace(plane, origin=replace(plane.origin, note=note))


def laying_hessian(run: LiveRun, lens: Lens) -> Generator[None, None, Laid]:
    """The two sharpest directions where a run is, on the images of a lens."""
    newest = run.newest
    samples = samples_of(run, split=lens.split, count=lens.samples, seed=lens.seed)
    curvature = Curvature(run.network_with(newest.buffers), samples, weights=newest.weights, dtype=run.dtype)
    yield
    pairs = yield from curvature.seeking(seed=lens.seed)
    plane = curvature.plane(pairs)
    note = f"{plane.origin.note} at step {newest.step:,} on {len(samples):,} images"
    return Laid(noted(plane, note), reach_of(float(pairs.values[0]), norm(plane.centre)))


def products(plane: Plane) -> np.ndarray:
    """(d, d) inner products of a plane's directions: random ones are neither of length 1 nor at right angles."""
    return np.array([[inner(one, other) for other in plane.directions] for one in plane.directions])


def spread(places: np.ndarray) -> float:
    """Sum of the squared distances from the mean place."""
    return float(((places - places.mean(0)) ** 2).sum())


def snapshots(runs: Sequence[LiveRun]) -> int:
    return sum(len(run.trail) for run in runs)


def no_plane(kind: PlaneKind, runs: Sequence[LiveRun], why: ValueError) -> str:
    """Why there is none of these runs, in sentences; empty while a path may still begin."""
    if kind != "path":
        return str(why)
    return "" if any(run.moving for run in runs) else f"{NO_PATH} {why}"


def who_changed(old: Frame, runs: Sequence[LiveRun]) -> str:
    """Why a plane of other runs is needed."""
    come, gone = set(runs) - set(old.runs), set(old.runs) - set(runs)
    lost = next((run.lost for run in gone if run.lost), "left")
    return " and ".join(filter(None, ["there is another run" if come else "", f"a run has {lost}" if gone else ""]))


def sharing(surface: Surface, frame: Frame) -> Surface:
    """With the share of the variance that its plane shows now, not when it was made."""
    if frame.share is None:
        return surface
    return replace(surface, origin=replace(surface.origin, explained=frame.share))
