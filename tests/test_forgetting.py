"""What a run has forgotten of its source's task: nothing where nothing moved, much where labels were random."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_choices import digits_in
from small_runs import TINY_CNN

import lab
from lab.__main__ import main
from lab.recipe import Recipe

pytestmark = pytest.mark.usefixtures("one_thread")
BASE = Recipe(model={**TINY_CNN, "norm": "batch"}, optimizer={"name": "adam", "lr": 0.01}, epochs=4)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "run"
    lab.train(BASE, folder=folder, progress=False, device="cpu")
    return folder


def trained(earlier: Path, *, folder: Path | None = None, **changes) -> lab.Run:
    taken = BASE.changed(source={"name": "run", "folder": str(earlier)}, transfer="whole", epochs=2)
    return lab.train(taken.changed(**changes), folder=folder, progress=False, device="cpu")


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


def test_the_command_tells_it_when_asked_and_counts_the_look_at_the_source(source, tmp_path, capsys) -> None:
    run = trained(source, modify="random_labels", folder=tmp_path / "run")
    looks, expected = lab.open_run(source).test_looks, lab.forgotten(run, device="cpu")
    command = ["test", str(run.folder), "--device", "cpu"]
    assert main(command) == 0
    assert "forgotten" not in capsys.readouterr().out
    assert lab.open_run(source).test_looks == looks + 1
    assert main([*command, "--forgotten"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == str(expected)
    assert lab.open_run(source).test_looks == looks + 2
    assert main([*command, "--forgotten", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["forgotten"]["images"] == expected.images


def test_the_command_says_where_there_is_nothing_to_forget(source, capsys) -> None:
    looks = lab.open_run(source).test_looks
    assert main(["test", str(source), "--forgotten", "--device", "cpu"]) == 2
    assert lab.open_run(source).test_looks == looks
    assert "took no weights from an earlier run (source: run)" in capsys.readouterr().err
