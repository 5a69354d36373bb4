"""What a run has forgotten of its source's task: nothing where nothing moved, much where labels were random."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_choices import digits_in
from small_runs import TINY_CNN

import lab
from lab.recipe import Recipe

pytestmark = pytest.mark.usefixtures("one_thread")
BASE = Recipe(model={**TINY_CNN, "norm": "batch"}, optimizer={"name": "adam", "lr": 0.01}, epochs=4)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "run"
    lab.train(BASE, folder=folder, progress=False, device="cpu")
    return folder


def trained(folder: Path, **changes) -> lab.Run:
    taken = BASE.changed(source={"name": "run", "folder": str(folder)}, transfer="whole", epochs=2)
    return lab.train(taken.changed(**changes), progress=False, device="cpu")


def test_labels_drawn_at_random_make_it_forget(source) -> None:
    looks = lab.open_run(source).test_looks
    found = lab.forgotten(trained(source, modify="random_labels", epochs=8), device="cpu")
    assert found.own_head
    assert found.before == pytest.approx(lab.open_run(source).test("cpu")[1])
    assert found.interval.low > 0.2
    assert f"{100 * found.after:.1f}% now, with its own last layer" in str(found)
    assert lab.open_run(source).test_looks == looks + 2  # the look was counted there


def test_after_runs_accuracy_is_the_runs_own_where_the_images_are_the_same(source) -> None:
    run = trained(source)
    assert lab.forgotten(run, device="cpu").after == pytest.approx(run.test("cpu")[1])


def test_frozen_features_forget_nothing_though_the_classes_are_others(source, tmp_path) -> None:
    data = {"name": "folder", "path": str(digits_in(tmp_path / "few")), "size": 8, "colour": "grey"}
    found = lab.forgotten(trained(source, data=data, transfer="features"), device="cpu")
    assert not found.own_head
    assert found.after == found.before > 0.5
    assert "the source's last layer, as the classes are others" in str(found)


@pytest.mark.parametrize("changes", [{"source": "nothing"}, {"transfer": "scratch"}])
def test_without_weights_of_an_earlier_run_there_is_nothing_to_forget(changes, source) -> None:
    with pytest.raises(lab.RunError, match="took no weights from an earlier run"):
        lab.forgotten(trained(source, **changes))
