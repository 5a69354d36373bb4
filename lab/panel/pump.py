"""The bridge from worker threads to widgets: everything posted is shown by one loop, in batches."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any


class Pump:
    """Threads `post`; `flush` gets what has gathered, on the kernel's main loop, at most `hz` times a second.

    Widgets and figures are not thread-safe, and which thread runs a button's callback depends on the
    ipykernel version: so nothing but `flush` touches them. Without a loop (plain Python), call `drain`.
    """

    def __init__(self, flush: Callable[[list[Any]], None], hz: float = 8.0) -> None:
        self.flush, self.period = flush, 1 / hz
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._armed = False
        self._flushed_at = 0.0
        try:
            self.loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self.loop = None

    def post(self, item: Any, *, at_once: bool = False) -> None:
        """From any thread; `at_once` for what a person waits for."""
        self._queue.put(item)
        with self._lock:
            loop = self.loop
            if loop is None or (self._armed and not at_once):
                return
            self._armed = True
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody looks any more
            # An empty context: output must not go to the cell or message that happened to start the thread.
            loop.call_soon_threadsafe(self._arm, loop, at_once, context=contextvars.Context())

    def _arm(self, loop: asyncio.AbstractEventLoop, at_once: bool) -> None:
        wait = 0.0 if at_once else max(0.0, self._flushed_at + self.period - time.monotonic())
        loop.call_later(wait, self.drain)

    def drain(self) -> None:
        """Flush now; only on the loop's thread, or where there is no loop."""
        with self._lock:
            self._armed = False
        items: list[Any] = []
        while not self._queue.empty():
            items.append(self._queue.get_nowait())
        if items:
            self._flushed_at = time.monotonic()
            try:
                self.flush(items)
            except Exception:  # noqa: BLE001  # one bad update must not end all later ones
                traceback.print_exc()

    def close(self) -> None:
        """Show nothing any more: what still arrives is for widgets that are gone."""
        self.loop, self.flush = None, lambda _: None
