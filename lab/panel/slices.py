"""Longer work on request in the worker thread: a slice at a time, between two turns of what trains."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

from lab.panel.worker import errand, forget

SLICE_SECONDS = 0.05  # as long as a training's own turn


class Slices:
    """Does one work at a time; another one takes its place, and `cancel` ends it at its next chance to stop.

    Args:
        name: of the errand.
        broke: told in the worker thread what went wrong.
    """

    def __init__(self, name: str, broke: Callable[[Exception], None]) -> None:
        self.name, self.broke = name, broke
        self._number = 0  # of the work that counts

    def begin(self, make: Callable[[], Iterator[object]], *, idle: bool = False) -> None:
        """From the main thread. `make` is called in the worker thread, and what it gives is a chance to stop each time.

        Args:
            idle: only while nothing is at work.
        """
        self._number += 1
        errand(self.name, partial(self._start, self._number, make, idle), idle=idle)

    def cancel(self) -> None:
        """From the main thread."""
        self._number += 1
        forget(self.name)

    def _start(self, number: int, make: Callable[[], Iterator[object]], idle: bool) -> None:
        self._go_on(number, guarded(make, self.broke), idle)

    def _go_on(self, number: int, work: Iterator[None], idle: bool) -> None:
        end = time.monotonic() + SLICE_SECONDS
        for _ in work:
            if number != self._number:
                return
            if time.monotonic() >= end:
                errand(self.name, partial(self._go_on, number, work, idle), idle=idle)
                return


def guarded(make: Callable[[], Iterator[object]], broke: Callable[[Exception], None]) -> Iterator[None]:
    try:
        for _ in make():
            yield
    except Exception as error:  # noqa: BLE001  # shown in words, whatever it is
        broke(error)
