"""Checkpoints and weights that are cut, foreign or a pickle: passed over, and named."""

import pickle
import re
from pathlib import Path

import pytest
from fault_runs import QUIET, SGD, numbers, stopped_run

import lab
from lab.store import CHECKPOINT, PREVIOUS, RECIPE, WEIGHTS, RunError


def cut(path, size=None):
    """Damage a file as a power cut does."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 if size is None else size])


def is_damaged(name):
    return re.compile(rf"{re.escape(name)} is damaged \(.+\) and was passed over\.")


@pytest.mark.parametrize("size", [None, 0, 8])
def test_a_checkpoint_cut_short_gives_way_to_the_one_before(size, whole, tmp_path):
    folder = stopped_run(tmp_path / "run")
    cut(folder / CHECKPOINT, size)
    run = lab.resume(folder, **QUIET)
    assert [bool(is_damaged(CHECKPOINT).fullmatch(problem)) for problem in run.problems] == [True]
    assert lab.open_run(folder).problems == run.problems
    assert numbers(run) == whole["momentum"]


def test_without_any_readable_checkpoint_training_starts_anew_and_says_so(whole, tmp_path):
    folder = stopped_run(tmp_path / "run")
    cut(folder / CHECKPOINT)
    cut(folder / PREVIOUS)
    run = lab.resume(folder, **QUIET)
    first, second, third = run.problems
    assert is_damaged(CHECKPOINT).fullmatch(first)
    assert is_damaged(PREVIOUS).fullmatch(second)
    assert third == "No checkpoint could be read: training started anew."
    assert numbers(run) == whole["momentum"]


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    folder = stopped_run(tmp_path / "run")
    SGD.changed(**{"model.width": 3}).save(folder / RECIPE)
    with pytest.raises(ValueError, match=r"This checkpoint belongs to another recipe"):
        lab.resume(folder, **QUIET)


class Bomb:
    """Unpickling this leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def test_a_pickle_in_the_place_of_weights_is_not_run(tmp_path):
    folder, trace = tmp_path / "run", tmp_path / "exploded"
    lab.train(SGD, folder=folder, **QUIET)
    (folder / WEIGHTS).write_bytes(pickle.dumps(Bomb(trace)))
    run = lab.open_run(folder)
    assert run.weights is None
    assert [problem.startswith(f"Cannot read the weights in {folder / WEIGHTS}: ") for problem in run.problems] == [
        True
    ]
    with pytest.raises(RunError, match=rf"^This run \({run.status}\) has no weights\.$"):
        run.model()
    assert not trace.exists()
    pickle.loads((folder / WEIGHTS).read_bytes())
    assert trace.exists()


def test_a_pickle_in_the_place_of_a_checkpoint_is_not_run(whole, tmp_path):
    folder, trace = stopped_run(tmp_path / "run"), tmp_path / "exploded"
    (folder / CHECKPOINT).write_bytes(pickle.dumps(Bomb(trace)))
    assert numbers(lab.resume(folder, **QUIET)) == whole["momentum"]
    assert not trace.exists()
