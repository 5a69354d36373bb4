"""Fifty runs in one process leave nothing behind, those that broke included."""

import gc
from pathlib import Path

import pytest
import torch
from fault_runs import QUIET, SGD

import lab

RUNS, FIRST = 50, 10  # the first few fill caches
SPARE_BYTES = 16 * 2**20  # what an allocator may keep; the weights and gradients of forty runs would be more
WIDE = SGD.changed(epochs=1, **{"model.width": 32, "model.hidden": 256})


class BreaksAtWork(torch.nn.Module):
    """An activation that works while the network is looked at, and not in training."""

    def forward(self, images):
        if self.training and torch.is_grad_enabled() and len(images) > 1:
            raise RuntimeError("It broke, with a network in its hands.")
        return images.relu()


@pytest.fixture
def breaking(monkeypatch):
    monkeypatch.setattr(lab.activations, "functions", dict(lab.activations.functions))
    monkeypatch.setattr(lab.activations, "_choices", dict(lab.activations._choices))

    @lab.activations.add
    def breaking():
        """Breaks."""
        return BreaksAtWork()


def left_behind():
    """How many tensors there are, and the bytes that the process has in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects()), pages * 4096


def test_fifty_runs_leave_nothing_behind(breaking):
    after = {}
    for number in range(RUNS):
        recipe = WIDE.changed(seed=number, activation="breaking" if number % 5 == 4 else "relu")
        try:
            lab.train(recipe, **QUIET)
            broke = False
        except RuntimeError as error:
            broke = "in its hands" in str(error)
        assert broke == (number % 5 == 4)
        if number + 1 in (FIRST, RUNS):
            after[number + 1] = left_behind()
    assert after[RUNS][0] == after[FIRST][0]
    assert after[RUNS][1] - after[FIRST][1] < SPARE_BYTES
