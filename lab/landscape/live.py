"""Landscapes while training: between two steps, within a share of the time, and all the more while nothing trains.

The engine knows no widgets and no threads. Whoever trains lets it `hear` each event; whoever has time calls `step`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable
from dataclasses import replace
from functools import partial

from lab.events import Event, Finished, Step
from lab.landscape.budgets import SHARE, Budget
from lab.landscape.frames import ALONE, Frame, laying, no_plane, who_changed
from lab.landscape.live_counts import Chosen, Counts
from lab.landscape.live_edges import Due, LiveEdges
from lab.landscape.live_ends import missing
from lab.landscape.live_runs import LiveRun, is_light
from lab.landscape.live_views import Enough, LiveView
from lab.landscape.portraits import Portrait, Question
from lab.landscape.timekeeping import Timekeeper
from lab.landscape.weights import Weights
from lab.steps import enough_threads, is_out_of_memory, no_memory
from lab.training import Training
from lab.views import Lens

MOST_RUNS = 8  # of a joint plane
LAID = 512  # images that decide a plane, before it is known how many are enough on it


class Live:
    """Follows up to eight runs, and finds the landscapes around them.

    Memory: `LiveRun` for each run, those that may come back included, and for each that is seen two evaluators at most
    (`Evaluator.bytes`).

    Args:
        share: of the time of training.
        clock: seconds; a test's own, perhaps.
    """

    def __init__(
        self, question: Question | None = None, share: float = SHARE, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.question = question or Question()
        self.budget = Budget(share, clock)
        self.runs: dict[int, LiveRun] = {}
        self.away: dict[int, LiveRun] = {}  # that may come back
        self.edges = LiveEdges(self.budget)
        self.unplaced: dict[int, str] = {}  # why there is no plane around a run, by its number; "": not yet
        self.version = 0  # of what there is to see
        self._asked = self.question
        self._time = Timekeeper(self.budget)
        self._frames: dict[int, Frame] = {}
        self._views: dict[int, LiveView] = {}
        self._shown: dict[int, LiveView] = {}  # those that have a picture; of an older frame until the new one has
        self._counts = Counts()  # of samples that are enough
        self._heights: dict[tuple[int, Hashable], dict[int, float]] = {}
        self._arranged = self._rests = True  # whether planes fit the runs, and whether all is known
        self._piece: Generator[None] | None = None

    def ask(self, question: Question) -> None:
        """From any thread: what was begun for another question is dropped before the next step of work."""
        self._asked = question

    def add(self, number: int, session: Training, start: Weights | None = None) -> None:
        """Take in a run that has ended: of its path the last point is known.

        Args:
            start: the weights that it began with, without which nobody knows whether it has left all bounds.
        Raises:
            ValueError: the network is too large to be followed.
        """
        self._follow(number, session, last=True, start=start)

    @property
    def rests(self) -> bool:
        """Whether there is nothing to do."""
        return self._rests and self._asked == self.question

    # -- while a run trains ----------------------------------------------------------------------------------------

    def hear(self, number: int, session: Training, event: Event) -> None:
        """Between two events of a training: look, and work for as long as the budget allows.

        Raises:
            ValueError: the network is too large to be followed.
        """
        began = self.budget.clock()
        if isinstance(event, Step) and self._time.can_wait(number, session, self.runs.get(number)):
            return
        self._time.charge_unheard(self.budget.clock() - began)
        self._time.earn(number, session, event)
        self.budget.lend(self._advance(number, session))
        last = isinstance(event, Finished)
        if last or self._is_due(number, session.step) or (self.budget.ripe and not self.rests):
            with enough_threads(session.device, session.flops_per_step):
                self._turn(number, session, began, last=last)
        self.budget.pay(self.budget.clock() - began)

    def trace(self, number: int, session: Training, event: Event) -> None:
        """Between two events of a training whose landscape nobody looks at: of a small network the path alone."""
        run, last = self.runs.get(number), isinstance(event, Finished)
        if (last or run is None or run.due(session.step, affordable=False)) and is_light(session.model, session.data):
            self._follow(number, session, last=last)  # unpaid: nothing was earned either

    def fold(self) -> None:
        """Nobody looks any more: the paths of small networks stay, and nothing else."""
        every = {**self.runs, **self.away}
        for number in [number for number, run in every.items() if not is_light(run.network, run.data)]:
            self.forget(number)
        for found in (self._frames, self._views, self._shown, self._counts, self._heights):
            found.clear()
        self._leave()
        self._change()

    def _advance(self, number: int, session: Training) -> float:
        return 0.0 if number in self._shown else self._time.advance(number, session)

    def _is_due(self, number: int, step: int) -> bool:
        run = self.runs.get(number)
        return run is None or run.due(step, affordable=self._time.may_look)

    def _turn(self, number: int, session: Training, began: float, *, last: bool) -> None:
        self._time.disturb(number)
        self._time.looked += self._follow(number, session, last=last)
        while self.budget.allows((now := self.budget.clock()) - began) and self.step():
            self.budget.worked(self.budget.clock() - now)
            self.budget.lend(self._advance(number, session))  # nothing more once there is a picture

    def _follow(self, number: int, session: Training, *, last: bool, start: Weights | None = None) -> float:
        """Seconds that a snapshot took."""
        if number not in self.runs:
            self._take_in(number, LiveRun(session, start))
        began = self.budget.clock()
        if (last or self._is_due(number, session.step)) and self.runs[number].look(session):
            self._change()
        looked = self.budget.clock() - began
        if last:
            self._end(number)
        return looked

    def _take_in(self, number: int, run: LiveRun) -> None:
        """In the place of one that has ended, if there are eight."""
        if len(self.runs) == MOST_RUNS:
            self.forget(min(self.runs, key=lambda known: self.runs[known].moving))
        self.runs[number] = run
        self.edges.follow(number, run)
        self._change()

    def _end(self, number: int) -> None:
        self.runs[number].moving = False
        self._time.forget(number)
        if self.question.plane in ALONE:
            self._frames.pop(number, None)  # made anew where the run has ended
            self._leave()  # a plane that is being laid is that of an earlier place
        self._change()

    def _change(self) -> None:
        """There is something new, and perhaps something to do."""
        self._arranged = self._rests = False
        self.version += 1

    def forget(self, number: int) -> None:
        """A run is not looked at any more."""
        self._put_aside(number)
        self.away.pop(number, None)
        self.edges.forget(number)
        self._heights = {key: heights for key, heights in self._heights.items() if key[0] != number}

    def send_away(self, number: int) -> None:
        """A run is not looked at for now; its path and its losses are kept, of the last eight such runs."""
        self.away[number] = self.runs[number]
        self.edges.forget(number)
        self._put_aside(number)
        if len(self.away) > MOST_RUNS:
            self.forget(next(iter(self.away)))

    def call_back(self, number: int) -> None:
        """A run is looked at again."""
        self.runs[number] = self.away.pop(number)
        self.edges.follow(number, self.runs[number])
        self._change()

    def _put_aside(self, number: int) -> None:
        for kept in (self.runs, self._frames, self._views, self._shown):
            kept.pop(number, None)
        self._time.forget(number)
        self._leave()
        self._change()

    def _leave(self) -> None:
        """What was begun is not gone on with."""
        if self._piece is not None:
            self._piece.close()
        self._piece = None

    # -- work ------------------------------------------------------------------------------------------------------

    def step(self, *, still: bool = False) -> bool:
        """Work for less than 0.1 s, or for one batch where that takes longer; whether there was something to do.

        Args:
            still: no run moves for now, so that it is worth while to measure exactly where each is.
        """
        self._take_question()
        if self._rests:
            return False
        self._piece = self._piece or self._next_piece(still=still)
        if self._piece is None:
            self._rests = True
            return False
        try:
            next(self._piece)
        except StopIteration:
            self._piece = None
            self.version += 1
        return True

    def idle(self, seconds: float) -> bool:
        """Work for about so long while nothing trains, a step at least; whether there is more to do."""
        self._rests = False
        end = self.budget.clock() + seconds
        while self.step(still=True):
            if self.budget.clock() >= end:
                return True
        return False

    def _take_question(self) -> None:
        asked, before = self._asked, self.question
        if asked == before:
            return
        self.question = asked
        self._leave()
        self._change()
        if not asked.edge:
            self.edges.rest()
        if asked.pictures == before.pictures:
            return
        if asked.decides_plane != before.decides_plane:
            self._frames.clear()
        if "line" in {asked.plane, before.plane} and asked.plane != before.plane:
            self._shown.clear()  # a curve and a surface are never in one picture
        self._views.clear()

    def _next_piece(self, *, still: bool) -> Generator[None] | None:
        if not self._arranged:
            return self._arrange()
        # The coarsest and the oldest first, of those that are as urgent: pictures side by side grow together.
        views = sorted(self._views.items(), key=lambda each: (each[1].fineness, each[1].step))
        due: list[Due] = [
            (urgency, not self.runs[number].moving, partial(self._guarded, number, work))
            for number, view in views
            for urgency, work in filter(None, [view.most_urgent(still=still, replay=self.question.replay)])
        ]
        if self.question.edge:
            due.extend(self.edges.most_urgent(still=still))
        return min(due, key=lambda each: each[:2])[2]() if due else None

    def _guarded(self, number: int, work: Callable[[], Generator[None]]) -> Generator[None]:
        """What goes wrong with one run is said beside it, and does not end the others."""
        view = self._views[number]
        before = view.surface
        try:
            yield from work()
        except (ValueError, RuntimeError, MemoryError) as error:
            view.fault = no_memory(self.runs[number].device) if is_out_of_memory(error) else str(error)
        if (view.surface is not None or view.fault) and self._shown.get(number) is not view:
            self._shown[number] = view
            self._arranged = False  # now the plane may be made anew
        if (seen := view.surface) is not before and seen and self._counts.doubt(self.question, number, seen, view.step):
            self._arranged = False

    def _arrange(self) -> Generator[None]:
        """Each group of runs of one architecture gets a plane, unless the one that it has still serves."""
        self._arranged = True
        frames, unplaced = dict[int, Frame](), dict[int, str]()
        for members in self._groups():
            yield
            try:
                frames |= dict.fromkeys(members, (yield from self._framing(members)))
            except ValueError as error:
                why = no_plane(self.question.plane, [self.runs[number] for number in members], error)
                unplaced |= dict.fromkeys(members, why)
        self.unplaced = unplaced
        for number in {*self._views, *self._shown} - frames.keys():
            self._views.pop(number, None)
            self._shown.pop(number, None)
        chosen = yield from self._counts.choosing(self.question, frames, self.runs)
        self._frames |= frames
        for number, frame in frames.items():
            view = self._views.get(number)
            if view is None or view.frame is not frame or view.lens != chosen.lens:
                self._views[number] = self._view(number, frame, chosen)
                self._views[number].begin_with(chosen.counted.get(number))

    def _groups(self) -> list[list[int]]:
        if self.question.plane in ("line", "points"):
            return [] if self.missing else [sorted(self._drawn)]
        groups: dict[Hashable, list[int]] = {}
        for number, run in self._drawn.items():
            groups.setdefault(number if self.question.plane in ALONE else run.shapes, []).append(number)
        return list(groups.values())

    def _framing(self, members: list[int]) -> Generator[None, None, Frame]:
        runs = [self.runs[number] for number in members]
        old = self._frames.get(members[0])
        if old is not None and old.runs == tuple(runs):
            if not all(self._has_begun(number, old) for number in members) or not (why := old.worn()):
                return old
        else:
            why = who_changed(old, runs) if old is not None else ""
        kind, lens, normalisation = self.question.plane, self.question.lens, self.question.normalisation
        few = replace(lens, samples=min(lens.samples or LAID, LAID)) if self.question.enough else lens
        laid = yield from laying(runs, kind, few, normalisation)
        made = Frame(runs, kind, lens.seed, why, laid)
        if old is None or old.runs != made.runs:
            return made
        return old if (old.at_random and made.at_random) or not made.serves_better_than(old) else made

    def _has_begun(self, number: int, frame: Frame) -> bool:
        """Whether there is a picture on this plane, or never will be: before that it is not made anew."""
        view = self._views.get(number)
        return view is not None and view.frame is frame and (view.surface is not None or bool(view.fault))

    def _view(self, number: int, frame: Frame, chosen: Chosen) -> LiveView:
        question, (lens, most, anew, _) = self.question, chosen
        heights = self._heights.setdefault((number, lens), {})
        enough = None
        if most and (anew is not None or most.enough < most.most):
            enough = Enough(most.most, question.enough, anew)
        return LiveView(
            self.runs[number], frame, lens, question.size, heights, precision=question.precision, enough=enough
        )

    def lens_of(self, number: int) -> Lens:
        """How a run is measured: with as many samples as are enough."""
        view = self._views.get(number)
        return self.question.lens if view is None else view.lens

    def heights(self, number: int) -> dict[int, float]:
        """Losses of a run's snapshots that are known, by step, as the question wants them measured."""
        return self._heights.get((number, self.lens_of(number)), {})

    # -- what is seen ----------------------------------------------------------------------------------------------

    @property
    def _drawn(self) -> dict[int, LiveRun]:
        """One run that diverged would decide the plane and the scale of all."""
        return {number: run for number, run in self.runs.items() if not run.lost}

    @property
    def lost(self) -> dict[int, str]:
        """Why a run is left out, by its number."""
        return {number: run.lost for number, run in sorted(self.runs.items()) if run.lost}

    @property
    def missing(self) -> str:
        """What a line or plane through the ends of runs wants; empty where it can be drawn, and for all others."""
        kind = self.question.plane
        return missing(kind, list(self._drawn.values())) if kind in ("line", "points") else ""

    def looking_back(self) -> Generator[None]:
        """Surfaces through all snapshots of the runs that are seen, for what is to be kept; chances to stop."""
        for view in list(self._shown.values()):
            yield from view.looking_back()

    @property
    def bytes(self) -> int:
        """That snapshots and surfaces take: what stays when nothing is evaluated."""
        surfaces = {id(each): each.bytes for view in self._views.values() for each in view.past.values()}
        trails = sum(run.trail.bytes for run in (*self.runs.values(), *self.away.values()))
        return trails + sum(surfaces.values())

    @property
    def held(self) -> int:
        """Bytes of what points are measured with, now; for a moment a second one of each is made.

        Images that several of them share, or of which one takes a part, are there once.
        """
        views = {*self._views.values(), *self._shown.values()}
        evaluators = {each for view in views for each in view.evaluators}
        images = {each.samples.storage.data_ptr(): each.samples.storage.nbytes() for each in evaluators}
        return sum(images.values()) + sum(each.held for each in evaluators)

    @property
    def seen(self) -> int:
        """Of how many runs there is a picture."""
        return len(self._shown)

    def portraits(self) -> list[Portrait]:
        """Of all runs, by number; what was seen last is shown until there is something newer."""
        return [self._portrait(number) for number in sorted(self.runs) if number in {*self._shown, *self._views}]

    def _portrait(self, number: int) -> Portrait:
        view = self._shown.get(number) or self._views[number]
        beside = view.frame.runs
        others = tuple(each for each in sorted(self.runs) if self.runs[each] in beside and each != number)
        return view.portrait(number, others)
