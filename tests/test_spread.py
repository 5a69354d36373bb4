"""Trainings over processes: the same numbers, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from small_runs import SMALL, TINY_CNN, same_history, same_weights, trained

import lab
from lab import many, spread
from lab.events import Finished, Metrics
from lab.many import Many
from lab.store import RunError

RECIPES = [SMALL.changed(precision="float64", model=TINY_CNN, seed=seed, epochs=2) for seed in range(3)]


@pytest.fixture
def processes(monkeypatch):
    """The processes that were started; work of any length is spread."""
    started = []
    start = subprocess.Popen

    def starting(*arguments, **options):
        process = start(*arguments, **options)
        started.extend([process] if "lab.many" in str(process.args) else [])
        return process

    monkeypatch.setattr(many, "SPREAD_FLOPS", 0)
    monkeypatch.setattr(many, "processors", lambda: 2)
    monkeypatch.setattr(spread.subprocess, "Popen", starting)
    yield started
    assert all(process.poll() is not None for process in started)


def last_loss(session):
    """A function of a module that the processes can import."""
    return session.history.loss[-1]


def test_runs_over_processes_have_the_numbers_they_have_alone(processes, tmp_path):
    folders = [tmp_path / str(index) for index in range(len(RECIPES))]
    over = Many(RECIPES, folders=folders, device="cpu")
    events = list(over)
    assert len(processes) == 2
    assert [index for index, event in events if isinstance(event, Finished)] == sorted(
        over.runs, key=[*over.runs].index
    )
    for index, recipe in enumerate(RECIPES):
        session, _ = trained(recipe)
        assert same_history(over.runs[index], session)
        assert same_weights(over.runs[index], session)
        assert same_weights(lab.open_run(folders[index]), session)


@pytest.mark.parametrize("pause", [0, 1])
def test_leaving_ends_the_processes_and_leaves_runs_that_go_on(pause, processes, tmp_path):
    recipes = [recipe.changed(epochs=2000) for recipe in RECIPES[:2]]
    folders = [tmp_path / str(index) for index in range(2)]
    heard = set()
    for index, event in Many(recipes, folders=folders, device="cpu"):
        heard |= {index} if isinstance(event, Metrics) else set()
        if len(heard) == 2:
            time.sleep(pause)  # meanwhile the queue is full
            break
    assert [process.wait(30) for process in processes] == [0, 0]
    for folder in folders:
        assert lab.open_run(folder).status == "stopped"
        assert lab.open_run(folder).step > 0


def test_who_takes_no_events_holds_the_processes(processes):
    recipes = [recipe.changed(epochs=20_000) for recipe in RECIPES[:2]]
    events, heard = iter(Many(recipes, device="cpu")), set()
    while len(heard) < 2:
        heard.add(next(events)[0])
    time.sleep(1)  # time enough for hundreds of epochs
    for process in processes:
        process.kill()
    told = []
    with pytest.raises(RunError, match="A training process ended"):
        told.extend(event for _, event in events)  # all that they had told by then
    assert len(told) <= spread.AHEAD + len(processes)


def test_a_process_that_is_killed_is_an_error_in_words(processes):
    recipes = [recipe.changed(epochs=2000) for recipe in RECIPES[:2]]
    events = iter(Many(recipes, device="cpu"))
    next(event for _, event in events if isinstance(event, Metrics))
    os.kill(processes[0].pid, signal.SIGKILL)
    with pytest.raises(RunError, match=r"A training process ended before its work did \(exit code -9\)"):
        list(events)


def test_a_process_that_ends_before_it_has_its_task_is_an_error_in_words(monkeypatch):
    def ended(command, **options):
        process = subprocess.Popen([sys.executable, "-c", ""], **options)
        process.wait(30)
        return process

    monkeypatch.setattr(spread, "subprocess", SimpleNamespace(Popen=ended, DEVNULL=subprocess.DEVNULL))
    with pytest.raises(RunError, match=r"A training process ended before its work did \(exit code 0\)"):
        list(spread.Spread([spread.Task([0], {})] * 2, "lab.many"))


LAST_WORDS = """
import atexit, pathlib, signal

def last(folder):
    pathlib.Path(folder, "seen").write_text(str(signal.getsignal(signal.SIGTERM) == signal.SIG_IGN))

def work(task, tell):
    atexit.register(last, task.arguments["folder"])
"""


def test_a_process_that_has_told_all_is_not_ended_by_a_signal(tmp_path, monkeypatch):
    (tmp_path / "last_words.py").write_text(LAST_WORDS)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    assert list(spread.Spread([spread.Task([0], {"folder": str(tmp_path)})], "last_words")) == []
    assert (tmp_path / "seen").read_text() == "True"


def test_options_of_a_persons_own_are_not_looked_for_in_other_processes(processes):
    @lab.models.add
    def only_here(shape, classes, activation):
        """A small convolutional network."""
        return lab.models.functions["cnn"](shape, classes, activation, width=2, hidden=8)

    try:
        list(Many([recipe.changed(model="only_here") for recipe in RECIPES], device="cpu"))
    finally:
        lab.models.functions.pop("only_here")
        lab.models._choices.pop("only_here")
    assert processes == []
