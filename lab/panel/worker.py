"""The one thread of a kernel that does tensor work.

Two OpenMP teams on the same cores slow small models down three to four times, so the main thread keeps to
one OpenMP thread and this one has them all. Trainings share it by turns: see `turns`.
"""

from __future__ import annotations

import atexit
import contextlib
import queue
import threading
import time
import traceback
from collections.abc import Callable, Generator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Protocol

# Before there are two threads: half imported by one, pandas breaks Plotly in the other.
import pandas as pd  # noqa: F401  # pyright: ignore[reportUnusedImport]
import torch

from lab import steps
from lab.events import Event, Finished, History, Learning, Looking, Step
from lab.loading import data_of
from lab.panel.pulse import Pulse
from lab.panel.turns import Held, Turn, Turns
from lab.recipe import Recipe
from lab.runs import Run, new_folder, run_of
from lab.steps import is_out_of_memory, no_memory, pick_device
from lab.store import Recorder
from lab.training import Training

POLL_SECONDS = 0.1


class Stopped(Exception):  # noqa: N818  # not an error
    """A person asked to stop."""


def wait_while_paused(job: Held) -> None:
    """Of what has the thread alone: do what errands are due, and hold the work for as long as a person does."""
    do_errands(at_work=True)
    while not job.going.wait(POLL_SECONDS) and not job.stopping.is_set():
        do_errands()


class Post(Protocol):
    """How a job tells: `Pump.post`, or a test's own."""

    def __call__(self, item: Any, *, at_once: bool = False) -> None: ...


_unfinished: set[Job] = set()


class Job:
    """One recipe to train: told to stop or pause from any thread, telling what happens through `post`.

    Args:
        post: called in the worker thread with (job, event) for every event but single steps; `at_once` for the last.
        root: folder for run folders; None keeps the run in memory.
        seconds: after so many of its own it is stopped.
        watching: while it is set, the health of the layers is posted too, now and then.
        follow: is told every event in the worker thread, with this job; the session may be read meanwhile.
    """

    _numbers = count(1)

    def __init__(
        self,
        recipe: Recipe,
        post: Post,
        root: Path | None,
        device: str | None,
        *,
        seconds: float | None = None,
        watching: threading.Event | None = None,
        follow: Callable[[Job, Event], None] | None = None,
    ) -> None:
        self.recipe, self.post, self.root, self.device, self.seconds = recipe, post, root, device, seconds
        self.watching, self.follow = watching or threading.Event(), follow
        self.number = next(self._numbers)  # in this process
        self.stopping, self.going = threading.Event(), threading.Event()
        self.going.set()
        self.session: Training | None = None
        self.recorder: Recorder | None = None
        self.done, self.told = threading.Event(), threading.Event()  # told: `post` has heard the end as well
        self.run: Run | None = None  # once it has ended
        _unfinished.add(self)

    def work(self) -> Generator[None]:
        """In the worker thread: an event at a time, until the end or a stop; every way out is posted as Finished."""
        try:
            last = yield from self._train()
            self.run = self._result(last)
        except Exception as error:  # noqa: BLE001  # shown in the panel, in words; the thread lives on
            last = self._failure(error)
            self.run = Run(self.recipe, self.session.history if self.session else History(), last.status, last.detail)
        self._followed(last)
        self.session = self.recorder = None  # a kept session would keep its data and weights on the device
        _unfinished.discard(self)
        self.done.set()
        self.post((self, last), at_once=True)
        self.told.set()

    def _failure(self, error: Exception) -> Finished:
        step = self.session.step if self.session else 0
        if is_out_of_memory(error):
            return Finished("out_of_memory", step, no_memory(pick_device(self.device)))
        return Finished("failed", step, in_words(error))

    def _train(self) -> Generator[None, None, Finished]:
        if self.stopping.is_set():
            return Finished("stopped", 0, "Taken off the queue.")
        self.session = Training(self.recipe, device=self.device)
        if self.root is not None:
            self.recorder = Recorder(self.session, new_folder(self.recipe, self.root))
        pulse = Pulse(self.session)
        with contextlib.closing(self._events()) as events:
            for event in events:
                if isinstance(event, Finished):
                    return event
                if not isinstance(event, Step | Looking | Learning):
                    self.post((self, event))
                self._feel(pulse, event)
                self._followed(event)
                yield
                if self.stopping.is_set():
                    break
                if self.seconds is not None and self.session.seconds >= self.seconds:
                    return self._out_of_time(self.seconds, self.session.step)
        return Finished("stopped", self.session.step)

    def _out_of_time(self, seconds: float, step: int) -> Finished:
        last = Finished("stopped", step, f"Stopped after {seconds:g} s, all that this notebook gives a run.")
        if self.recorder:
            self.recorder.finished = last
        return last

    def _feel(self, pulse: Pulse, event: Event) -> None:
        """Post the layers' health when it is time. What cannot be watched is trained all the same."""
        if not self.watching.is_set():
            return
        try:
            if (felt := pulse.hear(event)) is not None:
                self.post((self, felt))
        except Exception as error:  # noqa: BLE001  # of a network that a person wrote, perhaps
            self.watching = threading.Event()
            self.post(("fault", f"The health of this network cannot be shown: {error}"))

    def _followed(self, event: Event) -> None:
        try:
            if self.follow is not None:
                self.follow(self, event)
        except Exception as error:  # noqa: BLE001  # who follows a run must not end it
            self.follow = None
            self.post(("fault", f"This run cannot be followed: {in_words(error)}"))

    def _result(self, last: Finished) -> Run:
        if self.session is None:
            return Run(self.recipe, History(), last.status, last.detail)
        return run_of(self.session, last, self.recorder)

    def _events(self) -> Generator[Event]:
        yield from self.recorder or self.session or ()

    def threads(self) -> contextlib.AbstractContextManager[None]:
        return self.session.threads() if self.session else contextlib.nullcontext()

    def stop(self) -> None:
        self.stopping.set()
        self.going.set()


class Task:
    """Long work in the worker thread that is no training: held and stopped like one, and told by name.

    A kind of task has `do`, which calls `look_up` as often as a person may want it to stop.
    """

    run = None  # what a training's job has here

    def __init__(self, name: str, post: Post) -> None:
        self.name, self.post = name, post
        self.stopping, self.going, self.done, self.told = (threading.Event() for _ in range(4))
        self.going.set()

    def do(self) -> None:
        raise NotImplementedError

    def work(self) -> None:
        try:
            self.do()
            self.post((self.name, "finished"))
        except Stopped:
            self.post((self.name, "stopped"))
        except Exception as error:  # noqa: BLE001  # shown in the panel, in words; the thread lives on
            self.post((self.name, error))
        self.done.set()
        self.post(("show", None), at_once=True)
        self.told.set()

    def look_up(self) -> None:
        """Raises Stopped when a person asked for that."""
        wait_while_paused(self)
        if self.stopping.is_set():
            raise Stopped

    def stop(self) -> None:
        self.stopping.set()
        self.going.set()


def in_words(error: Exception) -> str:
    """A person's mistake in its own words; ours with the place where it happened."""
    if isinstance(error, ValueError):
        return str(error)
    return f"{type(error).__name__}: {error}\n{''.join(traceback.format_exception(error))}"


def in_short(error: Exception, device: str | None) -> str:
    """The same for what is only looked at: a person's mistake, or the first line of what torch says to a network."""
    if is_out_of_memory(error):
        return no_memory(pick_device(device))
    said = str(error) or type(error).__name__
    return said if isinstance(error, ValueError) else f"This network cannot be looked at: {said.splitlines()[0]}"


_asked: queue.SimpleQueue[Turn | Callable[[], None] | None] = queue.SimpleQueue()  # None: look up from waiting
_thread: threading.Thread | None = None
_ending = threading.Event()


class Errand(NamedTuple):
    """Something short to do, not before it is due (by the monotonic clock); perhaps only while nothing is at work."""

    work: Callable[[], None]
    due: float
    idle: bool


_errands: dict[str, Errand] = {}  # by name: the last request only
_errands_lock = threading.Lock()


def errand(name: str, work: Callable[[], None], after: float = 0.0, *, idle: bool = False) -> None:
    """Do something short in the training thread: at once if it is idle, else between two slices of what is at work.

    A later request of the same name takes its place, if the first has not begun. `after`: seconds to wait for that.
    `idle`: wait until nothing is at work, or what is at work is held.
    """
    with _errands_lock:
        _errands[name] = Errand(work, time.monotonic() + after, idle)
    _ask(None)


def forget(name: str) -> None:
    """Leave an errand undone that has not begun."""
    with _errands_lock:
        _errands.pop(name, None)


def do_errands(*, at_work: bool = False) -> None:
    """In the worker thread: all that are due now, in the order of their names' first requests.

    What these ask for in turn waits until what is at work has had its turn. `at_work`: leave out those for idle times.
    """
    now = time.monotonic()
    while (found := _due(now, at_work=at_work)) is not None:
        try:
            found.work()
        except Exception:  # noqa: BLE001  # one broken errand must not end a training
            traceback.print_exc()


def _due(now: float, *, at_work: bool) -> Errand | None:
    with _errands_lock:
        due = (name for name, waiting in _errands.items() if waiting.due <= now and not (at_work and waiting.idle))
        name = next(due, None)
        return _errands.pop(name) if name is not None else None


def _seconds_to_errand() -> float | None:
    """Until the next one is due; None when there is none."""
    with _errands_lock:
        due = min((waiting.due for waiting in _errands.values()), default=None)
    return None if due is None else max(0.0, due - time.monotonic())


def finish() -> None:
    """At the end of the process: stop what trains, or it would be cut off in the middle of a step."""
    for job in list(_unfinished):
        job.stop()
    _ending.set()
    if _thread is not None:
        _asked.put(None)
        _thread.join(5)


def submit(work: Callable[[], None]) -> None:
    """Run `work` alone in the kernel's training thread, after what was submitted before."""
    _ask(work)


def take_turns(job: Job) -> None:
    """Have a job take turns with others, after what was submitted before."""
    _ask(Turn(job, job.work(), job.threads))


def _ask(work: Turn | Callable[[], None] | None) -> None:
    global _thread  # one per kernel is the point
    _asked.put(work)
    if _thread is None:
        cores = torch.get_num_threads()
        steps.full_team = cores
        torch.set_num_threads(1)
        atexit.register(finish)
        _thread = threading.Thread(target=_work_forever, args=(cores,), name="lab-training", daemon=True)
        _thread.start()


def warm_up(recipe: Recipe) -> None:
    """Read the data before the first click, so that the first point comes at once."""
    if recipe.data.name != "folder":  # which may be large
        with contextlib.suppress(ValueError):  # shown when the person presses Train
            data_of(recipe)


def _work_forever(cores: int) -> None:
    torch.set_num_threads(cores)
    turns = Turns()
    while turns or not _ending.is_set():
        _take_in(turns)
        do_errands(at_work=bool(turns) and not turns.held)
        try:
            turns.work()
        except Exception:  # noqa: BLE001  # one broken job must not end all later ones
            traceback.print_exc()


def _take_in(turns: Turns) -> None:
    """What was asked for meanwhile; while there is nothing to do, wait for it until an errand is due."""
    wait = _seconds_to_wait(turns)
    with contextlib.suppress(queue.Empty):
        while True:
            if (work := _asked.get(timeout=wait)) is not None:
                turns.add(work)
            wait = 0.0


def _seconds_to_wait(turns: Turns) -> float | None:
    if not turns:
        return _seconds_to_errand()
    return POLL_SECONDS if turns.held else 0.0
