"""Fixtures of the fault tests."""

import multiprocessing
from multiprocessing import forkserver

import pytest
import torch
from fault_runs import QUIET, RECIPES, numbers

import lab


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As in the processes that are killed: the number of threads may change the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def nursery():
    """Starts processes that have imported what a training imports, and have no threads of torch in them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lab", "torch._dynamo"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # a process that is forked beside threads may wait for them for ever
        forkserver.ensure_running()
    return context


@pytest.fixture(scope="module")
def whole(one_thread):
    """The runs as they are when nothing happens."""
    return {name: numbers(lab.train(recipe, **QUIET)) for name, recipe in RECIPES.items()}
