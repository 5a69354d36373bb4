"""Which plane runs are shown on, and how far it reaches: made once, kept until it shows too little of their paths."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from lab.landscape.directions import random_plane
from lab.landscape.grids import Grid
from lab.landscape.live_runs import LiveRun
from lab.landscape.planes import ENDS, Plane
from lab.landscape.trails import at_once, centred, laying_joint, laying_path, scatter

KEPT = 0.9  # of the share of a path that a plane showed when it was made: below that it is made anew
THROUGH = "carried along, through the newest snapshot"
LEAST_SNAPSHOTS = 3  # span a plane
MARGIN = 1.6  # times the largest distance of a snapshot from the middle of the paths

PlaneKind = Literal["path", "random"]


class Frame:
    """A plane for one run, or for several of one architecture, with reach and scale; nothing of it changes.

    Args:
        kind: random, or the plane of the paths, which falls back on a random one before there are three snapshots.
        why: it replaces another one; empty for the first.
        plane: what `laying` has come to; made at once by default.
    """

    def __init__(
        self, runs: Sequence[LiveRun], kind: PlaneKind, seed: int, why: str = "", plane: Plane | None = None
    ) -> None:
        self.runs, self.kind, self.why = tuple(runs), kind, why
        self.made_at = max(run.newest.step for run in runs)
        self.plane = plane or at_once(laying(runs, kind, seed))
        self._rows: dict[LiveRun, dict[int, np.ndarray]] = {run: {} for run in runs}
        self.share = self.plane.origin.explained  # of the variance of all paths together, as far as `worn` has looked
        self.middle, self.reach = self._extent()
        self.worst_then = self.worst()

    @property
    def of_paths(self) -> bool:
        return self.plane.origin.kind != "random"

    def grid_of(self, size: int) -> Grid:
        return Grid(size, reach=(self.reach, self.reach), middle=self.middle)

    def _extent(self) -> tuple[tuple[float, float], float]:
        """Random directions are as long as the weights; along paths one length counts the same both ways."""
        if not self.of_paths:
            return (0.0, 0.0), 1.0
        places = np.concatenate([self.places(run) for run in self.runs])
        low, high = places.min(0), places.max(0)
        middle = (low + high) / 2
        return (float(middle[0]), float(middle[1])), MARGIN * float((high - low).max()) / 2

    def places(self, run: LiveRun) -> np.ndarray:
        """(k, 2) of a run's snapshots; each is projected once."""
        rows, steps = self._rows[run], run.trail.steps
        new = [index for index, step in enumerate(steps) if step not in rows]
        if new:
            rows |= {steps[index]: row for index, row in zip(new, run.trail.places(self.plane, new), strict=True)}
        return np.array([rows[step] for step in steps])

    def worn(self) -> str:
        """Why the plane does not serve any more; empty while it does."""
        if self.kind == "random":
            return ""
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
        """Share of a run's variance that lies in the plane; None where there is no path, or a random plane."""
        total = float(np.trace(centred(run.trail.gram)))
        if not self.of_paths or len(run.trail) < LEAST_SNAPSHOTS or total <= 0:
            return None
        return spread(self.places(run)) / total

    def worst(self) -> float | None:
        """The share of the path that the plane shows least of: what all have together hides one beside the plane."""
        return min((own for run in self.runs if (own := self.own(run)) is not None), default=None)

    @property
    def left(self) -> bool:
        """Whether a path has left the picture."""
        return any(self._outside(run) for run in self.runs)

    def _outside(self, run: LiveRun) -> bool:
        return bool((np.abs(self.places(run)[-1] - np.array(self.middle)) > self.reach).any())


def laying(runs: Sequence[LiveRun], kind: PlaneKind, seed: int) -> Generator[None, None, Plane]:
    """A plane for these runs, with chances to stop."""
    trails = [run.trail for run in runs]
    if kind == "path" and snapshots(runs) >= LEAST_SNAPSHOTS:
        with contextlib.suppress(ValueError):  # paths that span no plane yet
            ends = all(len(trail) == 1 for trail in trails)
            found = yield from (laying_path(trails[0]) if len(runs) == 1 else laying_joint(trails))
            return replace(found, origin=replace(found.origin, note=ENDS if ends else THROUGH))
    return random_plane(runs[0].newest.weights, seed=seed)


def spread(places: np.ndarray) -> float:
    """Sum of the squared distances from the mean place."""
    return float(((places - places.mean(0)) ** 2).sum())


def snapshots(runs: Sequence[LiveRun]) -> int:
    return sum(len(run.trail) for run in runs)
