"""The one thread of a kernel that does tensor work.

Two OpenMP teams on the same cores slow small models down three to four times, so the main thread keeps to
one OpenMP thread and this one has them all.
"""

from __future__ import annotations

import atexit
import contextlib
import queue
import threading
import traceback
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Protocol

import torch

from lab import steps
from lab.events import Event, Finished, History, Looking, Step
from lab.recipe import Recipe
from lab.runs import Run, new_folder, run_of
from lab.steps import is_out_of_memory, no_memory, pick_device
from lab.store import Recorder
from lab.training import Training

POLL_SECONDS = 0.1


class Stopped(Exception):  # noqa: N818  # not an error
    """A person asked to stop."""


class Held(Protocol):
    """What can be paused and stopped from any thread."""

    going: threading.Event
    stopping: threading.Event


def wait_while_paused(job: Held) -> None:
    while not job.going.wait(POLL_SECONDS) and not job.stopping.is_set():
        pass


class Post(Protocol):
    """How a job tells: `Pump.post`, or a test's own."""

    def __call__(self, item: Any, *, at_once: bool = False) -> None: ...


_unfinished: set[Job] = set()


class Job:
    """One recipe to train: told to stop or pause from any thread, telling what happens through `post`.

    Args:
        post: called in the worker thread with (job, event) for every event but single steps; `at_once` for the last.
        root: folder for run folders; None keeps the run in memory.
    """

    def __init__(self, recipe: Recipe, post: Post, root: Path | None, device: str | None) -> None:
        self.recipe, self.post, self.root, self.device = recipe, post, root, device
        self.stopping, self.going = threading.Event(), threading.Event()
        self.going.set()
        self.session: Training | None = None
        self.recorder: Recorder | None = None
        self.done, self.told = threading.Event(), threading.Event()  # told: `post` has heard the end as well
        self.run: Run | None = None  # once it has ended
        _unfinished.add(self)

    def work(self) -> None:
        """In the worker thread: train until the end or a stop; every way out is posted as Finished."""
        try:
            last = self._train()
            self.run = self._result(last)
        except Exception as error:  # noqa: BLE001  # shown in the panel, in words; the thread lives on
            last = self._failure(error)
            self.run = Run(self.recipe, self.session.history if self.session else History(), last.status, last.detail)
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

    def _train(self) -> Finished:
        if self.stopping.is_set():
            return Finished("stopped", 0, "Taken off the queue.")
        self.session = Training(self.recipe, device=self.device)
        if self.root is not None:
            self.recorder = Recorder(self.session, new_folder(self.recipe, self.root))
        with contextlib.closing(self._events()) as events:
            for event in events:
                if isinstance(event, Finished):
                    return event
                if not isinstance(event, Step | Looking):
                    self.post((self, event))
                if self._stops():
                    break
        return Finished("stopped", self.session.step)

    def _result(self, last: Finished) -> Run:
        if self.session is None:
            return Run(self.recipe, History(), last.status, last.detail)
        return run_of(self.session, last, self.recorder)

    def _events(self) -> Generator[Event]:
        yield from self.recorder or self.session or ()

    def _stops(self) -> bool:
        wait_while_paused(self)
        return self.stopping.is_set()

    def stop(self) -> None:
        self.stopping.set()
        self.going.set()


def in_words(error: Exception) -> str:
    """A person's mistake in its own words; ours with the place where it happened."""
    if isinstance(error, ValueError):
        return str(error)
    return f"{type(error).__name__}: {error}\n{''.join(traceback.format_exception(error))}"


_jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
_thread: threading.Thread | None = None


def finish() -> None:
    """At the end of the process: stop what trains, or it would be cut off in the middle of a step."""
    for job in list(_unfinished):
        job.stop()
    if _thread is not None:
        _jobs.put(None)
        _thread.join(5)


def submit(work: Callable[[], None]) -> None:
    """Run `work` in the kernel's training thread, after what was submitted before."""
    global _thread  # one per kernel is the point
    _jobs.put(work)
    if _thread is None:
        cores = torch.get_num_threads()
        steps.full_team = cores
        torch.set_num_threads(1)
        atexit.register(finish)
        _thread = threading.Thread(target=_work_forever, args=(cores,), name="lab-training", daemon=True)
        _thread.start()


def _work_forever(cores: int) -> None:
    torch.set_num_threads(cores)
    while (work := _jobs.get()) is not None:
        try:
            work()
        except Exception:  # noqa: BLE001  # one broken job must not end all later ones
            traceback.print_exc()
