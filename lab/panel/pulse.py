"""Feeling a training's pulse between its events: the health of its layers, now and then."""

from __future__ import annotations

import time

from torch import Tensor

from lab.diagnostics import Health
from lab.diagnostics.watching import PROBE_IMAGES, health, probe_of, weights_of
from lab.events import Event, Started, Step
from lab.steps import enough_threads
from lab.training import Training

MOST = 100  # samples of a run: a heat map has no room for more
SHARE = 0.1  # of the time that watching may take


class Pulse:
    """Hears a training's events and gives a Health now and then; it changes no number of the training.

    As `lab.diagnostics.watched`, but at steps that the clock chooses, so that watching takes about a tenth of the run's
    own time at most, and at the last one; and it can begin and end in the middle of a run. Only at its steps is the
    device waited for.
    """

    def __init__(self, session: Training) -> None:
        self.session = session
        self._every = max(1, session.steps // MOST)
        self._probe: Tensor | None = None
        self._before: dict[str, list[Tensor]] = {}
        self._step_before = -1  # after which the weights were taken
        self._next_step, self._next_seconds = 0, 0.0

    def hear(self, event: Event) -> Health | None:
        """After a step whose weights before it are known: what it did. Raises what the network raises."""
        if not isinstance(event, Started | Step):
            return None
        if self._before and event.step == self._step_before + 1:
            return self._felt(event.step)
        self._before = {}
        if event.step == self.session.steps - 1 or self._is_due(event.step):  # how a run ended is always seen
            self._before, self._step_before = weights_of(self.session), event.step
        return None

    def _is_due(self, step: int) -> bool:
        return step >= self._next_step and self.session.seconds >= self._next_seconds

    def _felt(self, step: int) -> Health:
        session, began = self.session, time.perf_counter()
        with enough_threads(session.device, session.flops_per_step):
            self._probe = probe_of(session, PROBE_IMAGES) if self._probe is None else self._probe
            felt = health(session, self._probe, self._before)
        took = time.perf_counter() - began
        self._before, self._next_step = {}, step + self._every - 1
        self._next_seconds = session.seconds + took / SHARE
        return felt
