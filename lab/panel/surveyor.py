"""Landscapes in the worker thread: between two steps within a share of the time, freely while nothing trains."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache, partial
from types import MappingProxyType
from typing import NamedTuple

from lab.events import Event, Finished
from lab.followed import Followed, looking_back, standing
from lab.landscape import Live, Portrait, Question
from lab.landscape.budgets import SHARE, Cost
from lab.landscape.live import MOST_RUNS
from lab.landscape.live_runs import LiveRun
from lab.landscape.stability import EdgePath
from lab.landscape.weights import trained
from lab.panel.worker import Job, Post, errand, forget, in_short
from lab.recipe import Recipe
from lab.training import Training

NEWS_SECONDS = 1.0  # for each surface, between two pictures: a browser without a GPU draws one for nearly as long
SLICE_SECONDS = 0.08  # of work while idle, before others have their turn
WORK, RUNS, FOLD, WARM = "landscape", "landscape runs", "landscape fold", "landscape warm-up"  # errands
NOTHING_TOLD = (-1, False, 0)  # version, whether that was all, runs with a picture


class Closer(NamedTuple):
    """The runs as they stand, for what takes a closer look: in the worker thread only.

    portraits: with a surface. followed: the runs by number, without glimpses before they are gathered.
    """

    live: Live
    portraits: tuple[Portrait, ...]
    followed: dict[int, Followed]

    @property
    def lost(self) -> dict[int, Followed]:
        """Those that are left out of the pictures."""
        return {number: self.followed[number] for number in self.live.lost if number in self.followed}

    @property
    def unplaced(self) -> list[tuple[Followed, str]]:
        """Those around which there is no plane, and why."""
        known = self.live.unplaced.items()
        return [(self.followed[number], why) for number, why in known if why and number in self.followed]

    def gather(self) -> Iterator[object]:
        """What the networks saw and answered at each snapshot; all are held before the first chance to train on."""
        live = self.live
        looks = {
            job: looking_back(live.runs[job], run, live.lens_of(job), live.heights(job))
            for job, run in self.followed.items()
        }
        for job, look in looks.items():
            for found in look:
                self.followed[job].glimpses.append(found)
                yield


class News(NamedTuple):
    """What is known of the landscapes.

    cost: of following what trained. rests: no work is left. missing: what the plane
    that was asked for wants before there is a picture. edges: sharpness along the runs, by number, without names.
    bytes: that snapshots and surfaces take; held: that what measures points does. lost: why a run is left out, by
    number; unplaced: why there is no plane around one, in sentences, empty while there may be one soon.
    """

    portraits: tuple[Portrait, ...]
    cost: Cost
    rests: bool
    missing: str = ""
    edges: Mapping[int, EdgePath] = MappingProxyType({})
    bytes: int = 0
    lost: Mapping[int, str] = MappingProxyType({})
    held: int = 0
    unplaced: Mapping[int, str] = MappingProxyType({})


class Surveyor:
    """Follows the panel's jobs while it is switched on, and posts `("landscape", News)`.

    Off it keeps the paths of small networks, for whoever looks later; closed it does nothing at all.

    Everything but `follow` is called from the main thread.
    """

    def __init__(self, post: Post) -> None:
        self.post = post
        self.on = threading.Event()
        self.question, self.share = Question(), SHARE
        self._live: Live | None = None  # the worker thread's own
        self._told, self._told_at = NOTHING_TOLD, 0.0
        self._waits = False  # whether work is asked for that has not begun
        self._closed = False

    def ask(self, question: Question, share: float) -> None:
        """From now on; what was begun for another question is dropped at once."""
        self.question, self.share = question, share
        if (live := self._live) is not None:
            live.ask(question)
            live.budget.allow(share)
            if self.on.is_set():
                self._work_on()

    def switch(self, *, on: bool) -> None:
        if on:
            self.on.set()
            errand(WARM, warm_up, idle=True)
        elif self.on.is_set():
            self.on.clear()
            forget(RUNS)
            errand(FOLD, self._fold)

    def close(self) -> None:
        self._closed = True
        self.switch(on=False)
        errand(FOLD, self._drop)

    def keep(self, jobs: Sequence[Job], away: Collection[int] = ()) -> None:
        """Look at these runs only, at most eight; those that ended before are looked at where they ended.

        Args:
            away: numbers of runs that may come back: what is known of their paths is kept.
        """
        errand(RUNS, partial(self._keep, jobs, frozenset(away)))

    def closer(self, names: Mapping[int, str]) -> Closer:
        """In the worker thread, like all below: the runs of these numbers as they stand now."""
        live = self._engine()
        runs = live.runs
        known = {
            number: standing(runs[number], live.lens_of(number), name=name, ended=how_it_stands(runs[number]))
            for number, name in names.items()
            if number in runs
        }
        return Closer(live, tuple(each for each in live.portraits() if each.surface and each.number in known), known)

    def looking_back(self) -> Iterator[object]:
        """Measure what a replay shows and nobody has seen yet."""
        yield from self._engine().looking_back()

    # -- in the worker thread --------------------------------------------------------------------------------------

    def follow(self, job: Job, event: Event) -> None:
        """Between two events of a job."""
        if self._closed or job.session is None:
            return
        live = self._engine()
        if not self.on.is_set():
            live.trace(job.number, job.session, event)
            return
        live.hear(job.number, job.session, event)
        is_first = live.seen > self._told[2]
        if (last := isinstance(event, Finished)) or is_first or not live.budget.in_debt:
            began = live.budget.clock()
            self._tell(at_once=last)
            live.budget.pay(live.budget.clock() - began)
        if not live.rests and not self._waits:
            self._work_on()

    def _engine(self) -> Live:
        if self._live is None:
            self._live = Live(self.question, self.share)
            self._live.ask(self.question)  # which may have come between these two lines
        return self._live

    def _work_on(self) -> None:
        self._waits = True
        errand(WORK, self._work, idle=True)

    def _work(self) -> None:
        self._waits = False
        if self._live is None or not self.on.is_set():
            return
        try:
            more = self._live.idle(SLICE_SECONDS)
        except Exception as error:  # noqa: BLE001  # shown in words, whatever it is
            self.post(("fault", f"No landscape was found: {in_short(error, None)}"))
            return
        self._tell(at_once=not more)
        if more:
            self._work_on()

    def _keep(self, jobs: Sequence[Job], away: Collection[int]) -> None:
        if self._live is None and not self.on.is_set():
            return
        live, jobs = self._engine(), followed_of(jobs)
        numbers = {job.number for job in jobs}
        for gone in {*live.runs, *live.away} - {*numbers, *away}:
            live.forget(gone)
        for gone in live.runs.keys() - numbers:
            live.send_away(gone)
        for back in live.away.keys() & numbers:
            live.call_back(back)
        if self.on.is_set():
            self._take_in(live, [job for job in jobs if job.done.is_set() and job.number not in live.runs])

    def _take_in(self, live: Live, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._add(live, job)
        self._tell(at_once=True)
        self._work_on()

    def _add(self, live: Live, job: Job) -> None:
        """A run that ended before anyone followed it: with the weights that it has kept, if it has."""
        if job.run is None or job.run.weights is None:
            return
        try:
            session = Training(job.recipe, device=job.device)
            start = trained(session.model)
            session.model.load_state_dict(job.run.weights)
            session.step, session.history = max(0, job.run.step - 1), job.run.history
            session.set_rate()  # that of its last step: behind it a schedule may have ended at 0
            session.step = job.run.step
            live.add(job.number, session, start)
        except Exception as error:  # noqa: BLE001  # shown in words, whatever it is
            self.post(("fault", f"There is no landscape of a run: {in_short(error, job.device)}"))

    def _fold(self) -> None:
        if self._live is not None and not self.on.is_set():
            self._told, self._waits = NOTHING_TOLD, False
            self._live.fold()

    def _drop(self) -> None:
        self._live = None

    def _tell(self, *, at_once: bool) -> None:
        live, now = self._live, time.monotonic()
        if live is None:
            return
        standing = (live.version, live.rests, live.seen)  # that nothing is left to do is news too
        waits = live.seen == self._told[2] and now - self._told_at <= NEWS_SECONDS * max(1, live.seen)
        if standing == self._told or (waits and not at_once):
            return
        is_first, self._told, self._told_at = live.seen > self._told[2], standing, now
        self.post(("landscape", news_of(live)), at_once=is_first)


@cache
def warm_up() -> None:
    """Half a second that a kernel's first landscape takes once: it would be a training's, and paid off by the next."""
    live = Live()
    live.add(0, Training(Recipe(epochs=1), device="cpu"))
    while not live.seen and live.step():
        pass


def followed_of(jobs: Sequence[Job]) -> list[Job]:
    """As many as one plane takes: those that train, then the last that ended; what waits for its turn has no place."""
    begun = [job for job in jobs if job.done.is_set() or job.session is not None]
    urgent = sorted(begun, key=lambda job: (not job.done.is_set(), job.number))[-MOST_RUNS:]
    return [job for job in begun if job in urgent]


def how_it_stands(run: LiveRun) -> str:
    return run.lost or ("running" if run.moving else "")


def news_of(live: Live) -> News:
    seen, edges = tuple(live.portraits()), live.edges.paths
    known = (seen, live.budget.cost, live.rests, live.missing, edges, live.bytes, live.lost, live.held)
    return News(*known, unplaced=live.unplaced)
