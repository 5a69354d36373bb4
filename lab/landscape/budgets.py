"""Time for work beside a training: a share of what the training takes, and no more."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

SHARE = 0.05  # of the time of training
MOST_CREDIT = 0.1  # seconds that may be saved up: a training is never held up longer at once, but for one piece of work


class Budget:
    """Earns a share of the seconds trained, and may begin work while it has some left.

    What one piece of work takes too much is paid back before the next begins.

    Args:
        share: of the time of training.
        clock: seconds; a test's own, perhaps.
    Raises:
        ValueError: a share that is not above 0 and at most 1.
    """

    def __init__(self, share: float = SHARE, clock: Callable[[], float] = time.perf_counter) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share is {share}, but must be above 0 and at most 1: a part of the time of training.")
        self.share, self.clock = share, clock
        self.trained = self.spent = self._credit = 0.0

    def earn(self, seconds: float) -> None:
        """So many were trained."""
        self.trained += seconds
        self._credit = min(MOST_CREDIT, self._credit + self.share * seconds)

    @property
    def affords(self) -> bool:
        return self._credit > 0

    @contextmanager
    def spending(self) -> Generator[None]:
        """What is done inside is paid for."""
        began = self.clock()
        try:
            yield
        finally:
            used = self.clock() - began
            self.spent += used
            self._credit -= used

    @property
    def taken(self) -> float | None:
        """The share that it really was; None while nothing was trained."""
        return self.spent / self.trained if self.trained > 0 else None
