"""Time for work beside a training: a share of what the training takes, and no more."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from math import inf
from statistics import median
from typing import NamedTuple

SHARE = 0.05  # of the time of training
AIM = 0.8  # of the share, for work that this clock sees: by the clock on the wall it lost up to 1.2% more
MOST_CREDIT = 0.1  # seconds that may be saved up: a training is never held up longer at once, but for one piece of work
WORTHWHILE = 0.005  # seconds of credit before work begins: each beginning slows the steps after it down
PIECES = 8  # of work, the longest of which is what the next one may take
SETTLED = 3  # steps after which a training no longer feels that it was interrupted
USUAL = 32  # steps whose median is what a step usually takes


class Cost(NamedTuple):
    """Seconds of work and of training since the share that is allowed was last changed."""

    spent: float
    trained: float
    share: float

    @property
    def taken(self) -> float | None:
        """The share that it really was; None while nothing was trained."""
        return self.spent / self.trained if self.trained > 0 else None


class Budget:
    """Earns nearly its share of the seconds trained, and may begin work while it has some left.

    A piece begins when there is enough for the longest of the last few; what it takes too much is paid back first. What
    is lent may be worked before it is earned.

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
        self.trained = self.spent = self._credit = self._piece = 0.0
        self._before = Cost(0.0, 0.0, share)  # what was spent and trained under another share
        self._pieces: deque[float] = deque(maxlen=PIECES)
        self._lent = self._owed = 0.0

    def allow(self, share: float) -> None:
        """Another share from now on; from any thread."""
        if share != self.share:
            self._before, self.share = Cost(self.spent, self.trained, self.share), share

    def lend(self, seconds: float) -> None:
        """So many may be worked in advance, from now on; what was taken of an earlier loan stays to be earned."""
        self._lent, self._owed = seconds, max(self._owed, seconds)

    def earn(self, seconds: float) -> None:
        """So many were trained."""
        self.trained += seconds
        self._credit = min(MOST_CREDIT, self._credit + AIM * self.share * seconds)
        if self._credit >= 0:
            self._owed = self._lent

    def pay(self, seconds: float) -> None:
        """So many were not trained because of the work; below 0 corrects what was paid before."""
        self.spent += seconds
        self._credit -= seconds

    @property
    def in_debt(self) -> bool:
        """Whether earlier work is still to be paid back; a loan that was agreed upon is none."""
        return self._credit < -self._owed

    @property
    def ripe(self) -> bool:
        """Whether there is enough to begin."""
        return self._credit + self._lent >= max(WORTHWHILE, self._piece)

    def allows(self, seconds: float) -> bool:
        """Whether there is enough for one more piece when so many seconds are going to be paid."""
        return self._credit + self._lent > seconds + self._piece

    def worked(self, seconds: float) -> None:
        """So long one piece of work took: the next one is thought to take no longer than the last few."""
        self._pieces.append(min(seconds, MOST_CREDIT / 2))
        self._piece = max(self._pieces)

    @property
    def cost(self) -> Cost:
        before = self._before
        return Cost(self.spent - before.spent, self.trained - before.trained, self.share)


class Wake:
    """What work leaves behind: it has filled the caches, and the next steps of the training take longer."""

    def __init__(self) -> None:
        self._since = SETTLED
        self._usual: deque[float] = deque(maxlen=USUAL)
        self.shortest = inf  # seconds of a step

    def begin(self) -> None:
        """Now there was work."""
        self._since = 0

    @property
    def usually(self) -> float:
        """Seconds of a step, as they come in the company of whatever else the machine does; inf before there is one."""
        return median(self._usual) if self._usual else self.shortest

    @property
    def over(self) -> bool:
        """Whether the training no longer feels it."""
        return self._since >= SETTLED

    def excess(self, seconds: float, steps: int = 1) -> float:
        """How much of a step is due to work before it: below 0 by chance, and at most as much as a step usually takes.

        A longer one was held up by something else. Several steps that took so long together were not disturbed.
        """
        each = seconds / steps
        self._since += 1
        self.shortest = min(self.shortest, each) if each > 0 else self.shortest
        if self._since > SETTLED:
            self._usual.append(each)
            return 0.0
        usual = median(self._usual) if self._usual else each
        return min(each - usual, usual)
