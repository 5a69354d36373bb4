"""Who works next in the one thread: trainings take turns, everything else has it alone."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, Protocol

AT_ONCE = 4  # trainings: each has its network, its data and its moments in memory
SLICE_SECONDS = 0.05


class Held(Protocol):
    """What can be paused and stopped from any thread."""

    going: threading.Event
    stopping: threading.Event


class Turn(NamedTuple):
    """A work that may be left between any two of its events, and how it is held."""

    held: Held
    events: Generator[None]
    threads: Callable[[], AbstractContextManager[None]] = nullcontext  # held through a slice


class Turns:
    """What waits, in the order in which it was asked for, and the trainings that take turns.

    What has the thread alone waits until the trainings before it have ended, and those after it wait for it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._waiting: deque[Turn | Callable[[], None]] = deque()
        self._taking: deque[Turn] = deque()

    def __bool__(self) -> bool:
        """Whether there is work, be it held."""
        return bool(self._waiting or self._taking)

    @property
    def held(self) -> bool:
        """Whether nothing goes on before a person lets it."""
        return bool(self._taking) and not any(turn.held.going.is_set() for turn in self._taking)

    def add(self, work: Turn | Callable[[], None]) -> None:
        self._waiting.append(work)
        self._seat()

    def work(self) -> None:
        """A slice of the training whose turn it is, or all of what has the thread alone."""
        if not self._taking:
            if self._waiting:
                self._alone()
        elif not self.held:
            self._slice()
        self._seat()

    def _seat(self) -> None:
        while self._waiting and isinstance(self._waiting[0], Turn) and len(self._taking) < AT_ONCE:
            turn = self._waiting.popleft()
            assert isinstance(turn, Turn)
            self._taking.append(turn)

    def _alone(self) -> None:
        work = self._waiting.popleft()
        assert not isinstance(work, Turn)
        work()

    def _slice(self) -> None:
        turn = next(turn for turn in self._taking if turn.held.going.is_set())
        self._taking.remove(turn)
        if self._advance(turn):
            self._taking.append(turn)

    def _advance(self, turn: Turn) -> bool:
        """Whether there is more to do."""
        end = self.clock() + SLICE_SECONDS
        with turn.threads():
            return any(self.clock() >= end or not turn.held.going.is_set() for _ in turn.events)
