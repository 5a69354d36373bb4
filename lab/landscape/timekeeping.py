"""What runs have trained and what following them takes, from event to event: both go into one budget."""

from __future__ import annotations

from math import inf, isfinite

from lab.events import Event, Step
from lab.landscape.budgets import Budget, Wake
from lab.landscape.live_runs import LiveRun
from lab.training import Training

ADVANCE = 1.0  # seconds at most that a run's first picture may take before they are earned, and
ADVANCE_SHARE = 0.7  # of what the run is still going to earn: the rest is for following it
BREATH = 0.005  # seconds of training between two steps that are heard
LOOKING = 0.3  # of the budget, for snapshots: the rest is for what is seen around them


class Timekeeper:
    """Reads the clocks of the trainings that are heard, each by its number."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.looked = 0.0  # seconds spent on snapshots
        self._asked, self._asking = 0, inf  # how often it was asked whether a step may go by, and seconds of that
        self._heard: dict[int, tuple[float, int]] = {}  # seconds and steps of training
        self._wakes: dict[int, Wake] = {}

    def can_wait(self, number: int, session: Training, run: LiveRun | None) -> bool:
        """Whether a step may go by unheard: to account for each would take half of what may be taken of small steps."""
        self._asked += 1
        heard = self._heard.get(number)
        if run is None or heard is None or not self._wakes[number].over:
            return False
        return session.seconds - heard[0] < BREATH and not run.due(session.step, affordable=False)

    def charge_unheard(self, seconds: float) -> None:
        """Pay for the steps that went by since the last one that is heard: to ask took so long now, or less before."""
        self._asking = min(self._asking, seconds)
        self.budget.pay(self._asking * max(0, self._asked - 1))  # the last one is paid with what follows it
        self._asked = 0

    def earn(self, number: int, session: Training, event: Event) -> None:
        """What was trained since this run was last heard; by how much longer that took because of us is paid."""
        seconds, step = self._heard.get(number, (session.seconds, session.step))
        self._heard[number] = session.seconds, session.step
        took, wake = session.seconds - seconds, self._wakes.setdefault(number, Wake())
        excess = wake.excess(took, session.step - step) if isinstance(event, Step) and session.step > step else 0.0
        self.budget.earn(took - excess)
        self.budget.pay(excess)

    def advance(self, number: int, session: Training) -> float:
        """What a run may take for its first picture at once, as it is going to earn that until its end."""
        wake, left = self._wakes.get(number), session.steps - session.step
        if wake is None or not isfinite(wake.shortest):  # it has ended, or begins
            return 0.0
        return min(ADVANCE, ADVANCE_SHARE * self.budget.share * wake.usually * max(0, left))

    def disturb(self, number: int) -> None:
        """There is work between two steps of this run now."""
        self._wakes[number].begin()

    @property
    def may_look(self) -> bool:
        """Whether a snapshot is affordable."""
        return self.looked <= LOOKING * self.budget.share * self.budget.trained

    def forget(self, number: int) -> None:
        self._heard.pop(number, None)
        self._wakes.pop(number, None)
