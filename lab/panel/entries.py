"""A run in the panel: what has been heard of it, and how far it and those beside it are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from lab.diagnostics import Health, HealthHistory
from lab.events import Epoch, Event, Finished, History, Learned, Metrics, Started
from lab.panel.worker import Job
from lab.run_notes import Note, write_note
from lab.runs import Run


class Entry:
    """A run's number (and so its line), its job, and what the panel has heard of it."""

    def __init__(self, number: int, job: Job) -> None:
        self.number, self.job = number, job
        self.run = Run(job.recipe, History(), "queued")
        self.steps, self.steps_per_epoch = 0, 1  # until training has started
        self.health = HealthHistory()
        self.note, self._note_waits = Note(), False

    @property
    def trains(self) -> bool:
        return self.run.status == "running" and not self.job.done.is_set()

    def hear(self, event: Event | Health) -> str:
        """Take in what the job says; what a person is to be told of it, if anything."""
        if isinstance(event, Started):
            self.run.status, self.steps, self.steps_per_epoch = "running", event.steps, event.steps_per_epoch
        elif isinstance(event, Finished):
            self.run = self.job.run or replace(self.run, status=event.status, detail=event.detail)
            if self._note_waits:
                self.keep_note()
            return f"Run {self.number}: {event.detail}" if event.detail else ""
        elif isinstance(event, Learned):
            return f"Run {self.number}: {event.option} has learned for {event.seconds:.1f} s."
        elif isinstance(event, Health):
            self.health.add(event)
        elif isinstance(event, Metrics | Epoch):
            self.run.history.add(event)
            self.run.step, self.run.seconds = len(self.run.history.loss), event.seconds
        return ""

    def keep_note(self) -> None:
        """In the run's folder; while the run goes on its folder has another writer, so the note waits for the end."""
        self._note_waits = not self.job.done.is_set()
        if not self._note_waits and self.run.folder is not None:
            write_note(self.run.folder, self.note)


class Way(NamedTuple):
    """How far runs are together: updates done, of how many, and the seconds left if that can be known."""

    step: int
    steps: int
    left: float | None


def way_of(entries: Sequence[Entry]) -> Way:
    """What is left is the sum of what each has left: they take turns."""
    known = all(entry.trains and entry.run.step for entry in entries)
    left = [entry.run.seconds * (entry.steps / entry.run.step - 1) for entry in entries] if known else []
    step, steps = sum(entry.run.step for entry in entries), sum(entry.steps for entry in entries)
    return Way(step, steps, sum(left) if left else None)
