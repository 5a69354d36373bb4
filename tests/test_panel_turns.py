"""Runs that take turns in the panel's one thread of work, and what is said of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest
from small_runs import SMALL, bits, measured, small_model

import lab
from lab.panel import turns
from lab.panel.entries import Entry, way_of
from lab.panel.turns import AT_ONCE, Turn, Turns
from lab.panel.words import status_line
from lab.panel.worker import Job
from lab.recipe import Recipe

LONG = Recipe(epochs=50_000)
HANGS = 60  # seconds after which something does


class Work:
    """So many events, told to `log`; held as a person would."""

    def __init__(self, name: str, events: int, log: list[str], breaks: bool = False):
        self.name, self.events, self.log, self.breaks = name, events, log, breaks
        self.going, self.stopping = threading.Event(), threading.Event()
        self.going.set()

    def turn(self) -> Turn:
        return Turn(self, self._work())

    def _work(self):
        for _ in range(self.events):
            self.log.append(self.name)
            yield
        if self.breaks:
            raise RuntimeError(self.name)


@pytest.fixture
def one_event_each(monkeypatch):
    """A slice is as short as it can be."""
    monkeypatch.setattr(turns, "SLICE_SECONDS", 0.0)


def until(panel, holds: Callable[[], bool]) -> None:
    end = time.monotonic() + HANGS
    while not holds():
        assert time.monotonic() < end
        panel.pump.drain()
        time.sleep(0.01)


def start(panel, *recipes: Recipe) -> None:
    for recipe in recipes:
        panel.recipe = recipe
        panel.start()
    panel.pump.drain()


def training(panel, count: int) -> Callable[[], bool]:
    """Whether so many runs have steps and go on."""
    return lambda: sum(entry.trains and entry.run.step > 0 for entry in panel.entries) == count


def finish(line: Turns) -> None:
    while line:
        line.work()


# -- whose turn it is --------------------------------------------------------------------------------------------------


def test_works_take_turns_of_a_slice_between_two_events():
    log, now = [], [0.0]

    def clock() -> float:
        now[0] += 0.6 * turns.SLICE_SECONDS
        return now[0]

    line = Turns(clock)
    for name in "ab":
        line.add(Work(name, 5, log).turn())
    finish(line)
    assert "".join(log) == "aabbaabbab"


def test_no_more_than_four_take_turns_and_the_next_comes_when_one_has_ended(one_event_each):
    log, line = [], Turns()
    for name in "abcdef":
        line.add(Work(name, 2, log).turn())
    finish(line)
    assert AT_ONCE == 4
    assert "".join(log) == "abcdabcdefef"


def test_what_has_the_thread_alone_waits_for_those_before_it_and_those_after_wait_for_it(one_event_each):
    log, line = [], Turns()
    line.add(Work("a", 2, log).turn())
    line.add(Work("b", 2, log).turn())
    line.add(lambda: log.append("!"))
    line.add(Work("c", 2, log).turn())
    finish(line)
    assert "".join(log) == "abab!cc"


def test_what_is_held_gives_its_turns_away_and_keeps_its_place(one_event_each):
    log, line = [], Turns()
    works = [Work(name, 3, log) for name in "ab"]
    for work in works:
        line.add(work.turn())
    line.add(lambda: log.append("!"))
    works[0].going.clear()
    for _ in range(9):
        line.work()
    assert "".join(log) == "bbb"
    assert line.held
    works[0].going.set()
    assert not line.held
    finish(line)
    assert "".join(log) == "bbbaaa!"


def test_a_slice_ends_when_the_work_is_held():
    log, line = [], Turns(lambda: 0.0)
    work = Work("a", 9, log)
    line.add(Turn(work, (work.going.clear() for _ in work.turn().events)))
    line.work()
    assert log == ["a"]
    assert line.held


def test_one_that_breaks_is_out_and_the_others_go_on(one_event_each):
    log, line = [], Turns()
    line.add(Work("a", 1, log, breaks=True).turn())
    line.add(Work("b", 3, log).turn())
    line.work()
    line.work()
    with pytest.raises(RuntimeError, match="a"):
        line.work()
    finish(line)
    assert "".join(log) == "abbb"


# -- the numbers -------------------------------------------------------------------------------------------------------


def test_runs_that_take_turns_have_the_bits_that_they_have_alone(panel, one_event_each):
    recipes = [
        SMALL.changed(model=model, optimizer="adam", augment=["flip"])
        for model in (
            small_model("mlp"),
            {**small_model("cnn"), "dropout": 0.5},
            {**small_model("resnet"), "norm": "batch"},
            {**small_model("cnn"), "dropout": 0.2},
        )
    ]
    start(panel, *recipes)
    for run, recipe in zip(panel.wait(), recipes, strict=True):
        alone = lab.train(recipe, device="cpu", progress=False)
        assert run.status == alone.status
        assert bits(run) == bits(alone)
        assert measured(run.history) == measured(alone.history)


def test_the_events_of_two_runs_alternate_and_each_counts_its_own_seconds(one_event_each):
    heard: list[int] = []
    jobs = [
        Job(SMALL, lambda *_, **__: None, None, "cpu", follow=lambda job, _: heard.append(job.number)) for _ in "ab"
    ]
    line, began = Turns(), time.perf_counter()
    for job in jobs:
        line.add(Turn(job, job.work()))
    finish(line)
    first, second = (job.number for job in jobs)
    assert heard[:8] == [first, second] * 4
    assert all(job.run is not None and job.run.seconds > 0 for job in jobs)
    assert sum(job.run.seconds for job in jobs if job.run) < time.perf_counter() - began


# -- in the panel ------------------------------------------------------------------------------------------------------


def test_four_runs_grow_at_once_and_the_fifth_waits(panel):
    start(panel, *[LONG] * 5)
    until(panel, training(panel, 4))
    assert [run.status for run in panel.runs] == ["running"] * 4 + ["queued"]
    assert "Training runs 1, 2, 3 and 4" in panel.progress.status.value
    panel.stop()
    ended = panel.wait()
    assert [run.status for run in ended] == ["stopped"] * 5
    assert [run.detail == "Taken off the queue." for run in ended] == [False] * 4 + [True]


def test_pause_holds_all_and_what_is_started_meanwhile(panel):
    start(panel, LONG, LONG)
    until(panel, training(panel, 2))
    panel.pause()
    start(panel, LONG)
    until(panel, lambda: 'data-state="paused"' in panel.progress.status.value)
    time.sleep(0.2)
    panel.pump.drain()
    held = [run.step for run in panel.runs]
    time.sleep(0.2)
    panel.pump.drain()
    assert [run.step for run in panel.runs] == held
    assert panel.runs[2].status == "queued"
    panel.go_on()
    until(panel, training(panel, 3))
    until(panel, lambda: all(run.step > before for run, before in zip(panel.runs, held, strict=True)))


def test_one_run_ends_beside_another_that_goes_on(panel):
    start(panel, LONG, Recipe(epochs=2))
    until(panel, lambda: panel.runs[1].status == "finished")
    assert "Training run 1<" in panel.progress.status.value
    panel.stop()
    assert [run.status for run in panel.wait()] == ["stopped", "finished"]


def test_a_range_test_waits_until_the_runs_before_it_have_ended(panel):
    start(panel, LONG, LONG)
    panel.find_rate()
    start(panel, Recipe(epochs=1))
    until(panel, training(panel, 2))
    assert panel.finding.busy
    assert "Training runs 1 and 2" in panel.progress.status.value
    for job in panel.jobs[:2]:
        job.stop()
    panel.wait()
    assert panel.finding.found is not None
    assert panel.runs[2].status == "finished"


def test_the_status_line_names_the_runs():
    assert ">Ready<" in status_line("idle")
    assert ">Training run 3<" in status_line("running", [3])
    assert ">Training runs 3 and 5<" in status_line("running", [3, 5])
    assert ">Paused runs 1, 3 and 5<" in status_line("paused", [1, 3, 5])


def test_what_is_left_of_runs_that_take_turns_is_the_sum():
    def entry(step: int, steps: int, seconds: float) -> Entry:
        made = Entry(1, Job(SMALL, lambda *_, **__: None, None, "cpu"))
        made.run.status, made.run.step, made.run.seconds, made.steps = "running", step, seconds, steps
        return made

    assert way_of([entry(10, 40, 2.0)]) == (10, 40, 6.0)
    assert way_of([entry(10, 40, 2.0), entry(30, 60, 3.0)]) == (40, 100, 9.0)
    assert way_of([entry(10, 40, 2.0), entry(0, 60, 0.0)]) == (10, 100, None)
    assert way_of([]) == (0, 0, None)


def test_a_slice_holds_its_threads_from_its_first_event_to_its_last() -> None:
    """Else each event would change their number twice, and torch forget what it has prepared."""
    told: list[str] = []

    @contextmanager
    def threads() -> Generator[None]:
        told.append("taken")
        yield
        told.append("given back")

    work = Work("a", 0, [])
    line = Turns(clock=lambda: 0.0)
    line.add(Turn(work, (told.append("event") for _ in range(3)), threads))
    line.work()
    assert told == ["taken", "event", "event", "event", "given back"]
