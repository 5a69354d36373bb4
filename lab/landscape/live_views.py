"""The landscape around one run: few exact points and a spline first, refreshed as it moves on; losses of its path."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from lab.landscape.enough import Counted, noise_in_levels
from lab.landscape.evaluators import Evaluator
from lab.landscape.frames import Frame, sharing
from lab.landscape.functions import trained_by
from lab.landscape.grids import SplineError
from lab.landscape.live_runs import LiveRun, Snapshot, TrueLoss
from lab.landscape.planes import Plane
from lab.landscape.portraits import Portrait
from lab.landscape.replays import looking_through, path_on
from lab.landscape.samples import Samples, samples_of
from lab.landscape.scenes import RunPath
from lab.landscape.surfaces import FEW, Surface, Survey, measuring, refreshing
from lab.views import Lens, Precision

Piece = Generator[None, None, None]


class Enough(NamedTuple):
    """Samples were chosen that keep standard errors below a share of a level, of `most` at most; anew at that step."""

    most: int
    enough: float
    anew: int | None = None


class LiveView:
    """One run on the plane of a frame, carried along: parallel to itself through the run's newest snapshot.

    What is most urgent is done first; the pieces of work are generators that may be left between any two steps.

    Memory: two evaluators at most, and a surface for each snapshot of the path (4 MB where it has 65 x 65 points).
    """

    def __init__(
        self,
        run: LiveRun,
        frame: Frame,
        lens: Lens,
        size: int,
        heights: dict[int, float],
        *,
        precision: Precision = "float32",
        enough: Enough | None = None,
    ) -> None:
        self.run, self.frame, self.lens, self.size, self.precision = run, frame, lens, size, precision
        self.enough = enough  # why there are so few samples
        self.heights = heights  # true losses by step: they do not depend on the plane
        self.surface: Surface | None = None
        self.plane: Plane | None = None  # of the surface
        self.step = 0  # through whose snapshot the plane of the surface passes
        self.past: dict[int, Surface] = {}  # by the step of the snapshot through which each passes
        self.on_plane: dict[int, float] = {}
        self.fault = ""
        self._fine = 0  # exact points along an axis of what the picture was made from
        self._survey: Survey | None = None
        self._survey_step = -1
        self._off: SplineError | None = None  # what the survey is off by, in mixed precision
        self._base: Surface | None = None  # the finest that the survey has, which a refresh starts from
        self._true: TrueLoss | None = None
        self._counted: Counted | None = None

    def begin_with(self, counted: Counted | None) -> None:
        """An evaluator on this plane that there is already: to make one is half of what a first picture takes."""
        self._counted = counted if self.precision == "float32" else None

    def portrait(self, number: int, others: tuple[int, ...]) -> Portrait:
        """What there is to see of this run, among others on the same plane."""
        return Portrait(
            number,
            self.surface and sharing(self.surface, self.frame),
            self.plane,
            self.path,
            self.step,
            {step: sharing(surface, self.frame) for step, surface in self.past.items()},
            self.run.moving,
            others,
            self.frame.made_at,
            self.frame.why,
            self.run.function,
            self.fault,
            trained_by([self.run.recipe]),
        )

    def most_urgent(self, *, still: bool, replay: bool = False) -> tuple[int, Callable[[], Piece]] | None:
        """How urgent (0 is most) the next piece of work is, and the work; None: everything is known.

        Args:
            still: the run does not move for now.
            replay: surfaces through earlier snapshots are wanted.
        """
        if self.fault:
            return None
        newest, survey = self.run.newest.step, self._survey
        moving = self.run.moving and not still
        behind = self._survey_step != newest
        whole = self._base is not None and survey is not None and self._base.grid.size == survey.grid.size
        exact = survey is not None and whole and bool(survey.known.all())
        needed = (
            (survey is None or (behind and not moving and not self._can_refresh), self._begin),
            (self.surface is None, self._refine),
            (self._unknown_heights(newest=True), self._measure_newest),
            (not self._can_refresh and not exact, self._refine),  # or it would stay where it is while others move
            (not self._can_refresh and exact and behind, self._begin),
            (self._can_refresh and behind and self._is_old(newest), self._refresh),
            (behind and not moving, self._begin),
            (self._unknown_heights(newest=False), self._measure_first),
            (not exact, self._refine),
            (exact and not behind and not self._on_plane_known, self._measure_on_plane),
            (replay and self._base is not None and self._unseen is not None, self._look_back),
        )
        return next(((urgency, work) for urgency, (need, work) in enumerate(needed) if need), None)

    @property
    def _can_refresh(self) -> bool:
        """Whether few points do where the run has moved on: not beside a cliff, over which no spline leads."""
        base = self._base
        return base is not None and base.grid.size > FEW and bool(np.isfinite(base.loss).all())

    @property
    def evaluators(self) -> list[Evaluator]:
        """That are kept now: of its points, and the one that a first picture begins with."""
        counted = self._counted and self._counted.evaluator
        return [each for each in (self._survey and self._survey.evaluator, counted) if each]

    @property
    def fineness(self) -> int:
        """Points that are known exactly: of pictures side by side the coarsest is refined first."""
        return 0 if self._survey is None else int(self._survey.known.sum())

    def _is_old(self, step: int) -> bool:
        """Whether the picture is of an earlier snapshot, or coarser than it could be."""
        assert self._base
        return self.step != step or self._fine < self._base.grid.size

    @property
    def _unseen(self) -> int | None:
        """The place of the newest snapshot of which there is no surface; None where there is one of each."""
        if not self.frame.carries:
            return None
        steps = self.run.trail.steps
        return next((i for i in reversed(range(len(steps))) if steps[i] not in {*self.past, self.step}), None)

    # -- pieces of work ------------------------------------------------------------------------------------------

    def _begin(self) -> Piece:
        """Exact points around the newest snapshot."""
        newest = self.run.newest
        evaluator = self._evaluator(newest)
        yield
        if self._true is None:
            self._true = TrueLoss(self.run.network, evaluator)
        self._survey, self._survey_step = Survey(evaluator, self.frame.grid_of(self.size)), newest.step
        self._base = self._off = None
        self.on_plane.clear()

    def _evaluator(self, snapshot: Snapshot) -> Evaluator:
        known, self._counted = self._counted, None
        if known is not None and known.evaluator is not None and known.step == snapshot.step:
            return known.evaluator.with_samples(known.evaluator.samples.first(self.lens.samples or known.found.most))
        network = self.run.network_with(snapshot.buffers)
        if self._survey is not None:
            return self._survey.evaluator.carried_to(snapshot.weights, network)
        plane, lens = self.frame.plane.carried_to(snapshot.weights), self.lens
        return Evaluator(
            network,
            plane,
            self._samples(),
            batchnorm=lens.batchnorm,
            batch_size=lens.own_batch_size,
            dtype=getattr(torch, self.precision),
        )

    def _samples(self) -> Samples:
        return samples_of(self.run, split=self.lens.split, count=self.lens.samples, seed=self.lens.seed)

    def _refine(self) -> Piece:
        """A block of exact points. A picture is replaced by one that is as fine and no older."""
        assert self._survey
        for indices, _ in self._survey:
            if len(indices):
                break
            yield
        found = self._survey.finest()
        if found is None:
            return
        if self._off is None or bool(self._survey.known.all()):  # of a few points at first, in the end of all
            self._off = yield from self._survey.comparing()
        found = self._base = replace(found, precision_error=self._off)
        if self._survey_step < self.step:
            return
        if self.surface is None or found.grid.size >= self._fine:
            self._show(found.filled(self.size), self._survey.evaluator.plane, self._survey_step)

    def _show(self, surface: Surface, plane: Plane, step: int) -> None:
        """From now on, at the size that is aimed at: what is not measured yet comes from a spline."""
        assert self._base
        surface = self._told(surface)
        self.surface, self.plane, self.step, self._fine = surface, plane, step, self._base.grid.size
        if self.frame.carries:
            self._keep(step, surface)

    def _told(self, surface: Surface) -> Surface:
        """With the reason why it was measured on so few samples, and how noisy that is."""
        if self.enough is None:
            return surface
        noise = noise_in_levels(surface)
        return replace(surface, measured=replace(surface.measured, **self.enough._asdict(), noise=noise))

    def _keep(self, step: int, surface: Surface) -> None:
        """For a replay; what the path has forgotten is forgotten."""
        self.past = {each: seen for each, seen in self.past.items() if each in self.run.trail.steps} | {step: surface}

    def _refresh(self) -> Piece:
        """The picture of where the run is now, by few points; where no spline leads through, by a survey of its own."""
        assert self._survey
        assert self._base
        newest = self.run.newest
        evaluator = self._evaluator(newest)
        yield
        try:
            base = self._base.filled(self.size)
            found = yield from refreshing(base, evaluator, step=self._survey_step)
            self._show(found, evaluator.plane, newest.step)
        except ValueError:  # losses that are not finite: the old picture stays until there is a new one, however coarse
            self._survey, self._survey_step = Survey(evaluator, self._survey.grid), newest.step
            self._base, self._fine = None, 0

    def _look_back(self) -> Piece:
        """Through an earlier snapshot, by as few points as a refresh."""
        assert self.surface
        place = self._unseen
        assert place is not None
        snapshot = self.run.snapshot(place)
        evaluator = self._evaluator(snapshot)
        yield
        found = yield from looking_through(self.surface, evaluator, step=self.step)
        self._keep(snapshot.step, self._told(found))

    def looking_back(self) -> Piece:
        """All surfaces through earlier snapshots that there are now, whether a replay is asked for or not."""
        for _ in list(self.run.trail.steps):
            if self._base is not None and self._unseen is not None:
                yield from self._look_back()

    def _measure_newest(self) -> Piece:
        return self._measure_height(len(self.run.trail) - 1)

    def _measure_first(self) -> Piece:
        """The first that is not known."""
        return self._measure_height(next(i for i, step in enumerate(self.run.trail.steps) if step not in self.heights))

    def _measure_height(self, index: int) -> Piece:
        assert self._true
        step = self.run.trail.steps[index]
        self.heights[step] = yield from self._true(self.run.snapshot(index))

    def _measure_on_plane(self) -> Piece:
        assert self._survey
        steps, places = list(self.run.trail.steps), self.frame.places(self.run)
        found = yield from measuring(self._survey.evaluator.in_float32(), places)  # true losses are, too
        self.on_plane = dict(zip(steps, found.tolist(), strict=True))
        self._survey.evaluator.rest()

    def _unknown_heights(self, *, newest: bool) -> bool:
        steps = self.run.trail.steps[-1:] if newest else self.run.trail.steps
        return any(step not in self.heights for step in steps)

    @property
    def _on_plane_known(self) -> bool:
        return all(step in self.on_plane for step in self.run.trail.steps)

    # -- what is seen --------------------------------------------------------------------------------------------

    @property
    def path(self) -> RunPath:
        """As far as its losses are known; on the plane measured, or read off the surface."""
        steps, places = self.run.trail.steps, self.frame.places(self.run)
        true = np.array([self.heights.get(step, np.nan) for step in steps])
        on_plane = np.array([self.on_plane.get(step, np.nan) for step in steps])
        path = RunPath("", 0, places, np.array(steps), true, on_plane, self.frame.own(self.run))
        if self.surface is None or self._on_plane_known:
            return path
        return path_on(self.surface, path, self.step)
