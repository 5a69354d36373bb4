"""What goes on, as the toolbar and the line below it say it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from lab.panel.entries import Entry, way_of
from lab.panel.jobs import Jobs
from lab.panel.toolbar import Progress, Toolbar

NUMBERS_SECONDS = 0.45


class Busy(Protocol):
    """A part of the panel that does long work of its own."""

    @property
    def busy(self) -> bool: ...


class Standing:
    """Which runs are spoken of, and how far they are.

    Args:
        tasks: parts that do long work, by what that is called.
    """

    def __init__(self, toolbar: Toolbar, progress: Progress, jobs: Jobs, tasks: Mapping[str, Busy]) -> None:
        self.toolbar, self.progress, self.jobs, self.tasks = toolbar, progress, jobs, tasks
        self._numbers_shown = 0.0

    def show(self, entries: Sequence[Entry], *, clearable: bool) -> list[Entry] | None:
        """Say it; the runs spoken of, or None while it is too soon for other numbers.

        Args:
            clearable: whether something else than runs can be cleared.
        """
        going = [entry for entry in entries if not entry.job.done.is_set()]
        training = [entry for entry in going if entry.trains]
        shown = training or (going or list(entries[-1:]))[:1]
        clearable = clearable or len(going) < len(entries)
        self.toolbar.show(busy=bool(self.jobs.unfinished), paused=self.jobs.paused, clearable=clearable)
        state = self._state(shown, training=bool(training))
        self.progress.say(state, [] if state in self.tasks else [entry.number for entry in shown])
        if state == "running" and not self._due():
            return None
        self.progress.show(way_of([] if state in self.tasks else shown))  # a task has no steps
        return shown

    def _state(self, shown: Sequence[Entry], *, training: bool) -> str:
        if self.jobs.paused:
            return "paused"
        busy = [state for state, part in self.tasks.items() if part.busy and not training]
        return busy[0] if busy else shown[0].run.status if shown else "idle"

    def _due(self) -> bool:
        """Twice a second is enough for numbers that a person reads."""
        now = time.monotonic()
        if now - self._numbers_shown < NUMBERS_SECONDS:
            return False
        self._numbers_shown = now
        return True
