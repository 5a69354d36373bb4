"""Fixtures that several test files ask for."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import settings
from small_comparisons import ADAM, FEW, small
from small_runs import read_every

import lab
from lab.compare import Comparison
from lab.landscape import evaluators
from lab.panel.landscape import Landscapes
from lab.panel.predictions import PredictionsPane
from lab.panel.samples import Samples
from lab.recipe import CATALOGUES

settings.register_profile("lab", parent=settings(), deadline=None, max_examples=25)
settings.register_profile("stress", parent=settings.get_profile("lab"), max_examples=1000)
settings.load_profile("lab")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # by a shell that runs us behind its back: processes inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
collect_ignore = ["conftest.py"]  # it has no doctests, and two modules of one name would meet in the search for them


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """On a busy machine two threads that wait for each other are a hundred times slower than one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def own_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options added in a test are gone after it."""
    for catalogue in CATALOGUES.values():
        monkeypatch.setattr(catalogue, "functions", dict(catalogue.functions))
        monkeypatch.setattr(catalogue, "_choices", dict(catalogue._choices))


@pytest.fixture
def one_block_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long an epoch takes, its losses are read in one go."""
    read_every(1e9, monkeypatch)


class SlowGroups:
    """A clock that only evaluating moves, by 0.03 s for each group of points; who evaluated, in order."""

    def __init__(self) -> None:
        self.seconds, self.evaluators = 0.0, []

    def perf_counter(self) -> float:
        return self.seconds


@pytest.fixture
def slow_groups(monkeypatch: pytest.MonkeyPatch) -> SlowGroups:
    """Groups of one point each, every one of which takes its time by the clock of the evaluators."""
    slow, group = SlowGroups(), evaluators.Evaluator._group

    def slowed(self, *given):
        slow.seconds += 0.03
        slow.evaluators.append(self)
        return group(self, *given)

    monkeypatch.setattr(evaluators, "time", slow)
    monkeypatch.setattr(evaluators, "GROUP_FLOPS", 1)
    monkeypatch.setattr(evaluators.Evaluator, "_group", slowed)
    return slow


@contextmanager
def fresh_panel() -> Iterator[lab.Panel]:
    """An empty panel, whose sections are folded as at first."""
    made = lab.Panel(folder=None, device="cpu")
    yield made
    made.close()
    Landscapes.unfolded, PredictionsPane.unfolded, Samples.unfolded = False, False, True


@pytest.fixture
def panel() -> Iterator[lab.Panel]:
    with fresh_panel() as made:
        yield made


@pytest.fixture(scope="module")
def used_panel() -> Iterator[lab.Panel]:
    """One that goes from test to test, with the choices of the last."""
    with fresh_panel() as made:
        yield made


@pytest.fixture(scope="module")
def two(one_thread: None) -> Comparison:
    """A real comparison of two arms that has come to its end."""
    return small({"sgd": FEW, "adam": ADAM})
