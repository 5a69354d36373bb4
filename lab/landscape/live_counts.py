"""How many images are enough for runs that are seen together, and when to count them anew."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Mapping
from dataclasses import replace
from typing import NamedTuple

from lab.landscape.enough import Count, Counted, counting, noise_in_levels, pilot_of
from lab.landscape.frames import GROWN, Frame
from lab.landscape.live_runs import LiveRun
from lab.landscape.portraits import Question
from lab.landscape.surfaces import Surface
from lab.views import Lens

FITS = (0.5, 2.0)  # times the noise that is aimed at: beyond, images are counted anew


class Chosen(NamedTuple):
    """For all runs one lens. most: None where all of its images were asked for. anew: the step at which they were
    counted again, if they were. counted: what was found just now, by run.
    """

    lens: Lens
    most: Count | None = None
    anew: int | None = None
    counted: Mapping[int, Counted] = {}


class Counts:
    """By run and by what is asked. Those of a run that has left stay: nothing that is shown changes because of that."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, Hashable], Counted] = {}
        self._stale: set[tuple[int, Hashable]] = set()
        self._anew: dict[Hashable, int] = {}

    def clear(self) -> None:
        for kept in (self._found, self._stale, self._anew):
            kept.clear()

    def choosing(
        self, asked: Question, frames: Mapping[int, Frame], runs: Mapping[int, LiveRun]
    ) -> Generator[None, None, Chosen]:
        """With as many as are enough for each run that was seen so far, by the first plane it was seen on."""
        if not asked.enough or not frames:
            return Chosen(asked.lens)
        about, counted, before = topic(asked), {}, self._most(topic(asked))
        for number, frame in frames.items():
            if (key := (number, about)) not in self._found or key in self._stale:
                grid = frame.grid_of(asked.size)
                found = yield from counting(runs[number], frame.plane, grid, asked.lens, asked.enough)
                self._found[key], counted[number] = found._replace(evaluator=None), found
                if key in self._stale and self._most(about) != before:
                    self._anew[about] = found.step
                self._stale.discard(key)
        most = self._most(about)
        assert most
        return Chosen(replace(asked.lens, samples=most.enough), most, self._anew.get(about), counted)

    def _most(self, about: Hashable) -> Count | None:
        return max((each.found for (_, other), each in self._found.items() if other == about), default=None)

    def doubt(self, asked: Question, number: int, surface: Surface, step: int) -> bool:
        """Whether images are to be counted anew, as a picture's noise has left what was aimed at.

        At most once while a run makes as many steps again as it had made, and only where the number can change.
        """
        known = self._found.get((number, topic(asked)))
        if known is None or step < GROWN * max(1, known.step) or not off(surface, known.found, asked.enough):
            return False
        self._stale.add((number, topic(asked)))
        return True


def topic(asked: Question) -> Hashable:
    return asked.plane, asked.lens, asked.enough


def off(surface: Surface, count: Count, aim: float) -> bool:
    """Whether a picture is so noisy that more images would help, or so little that fewer of its own would do.

    Fewer than the pilot are never enough, however little noise there is.
    """
    noise, measured = noise_in_levels(surface), surface.measured
    if noise > FITS[1] * aim:
        return measured.samples < count.most
    least = pilot_of(measured.batchnorm, measured.batch_size)
    return noise < FITS[0] * aim and least < measured.samples == count.enough
