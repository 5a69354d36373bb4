"""Choosing in the panel without a browser: what it costs, what is taken home, and words for what is wrong."""

from __future__ import annotations

import pytest
import torch
from small_choices import digits_in, earlier_run

import lab
from lab.choosing import WAYS


@pytest.fixture
def pane(panel, tmp_path, monkeypatch):
    """A pane that is filled in, for images and weights of milliseconds."""
    monkeypatch.setattr("lab.choosing.pricing.RATES", 3)
    made = panel.choosing
    made.path.value = str(digits_in(tmp_path / "few"))
    made.source.value, made.out.value = str(earlier_run(tmp_path / "run")), str(tmp_path / "out")
    made.changes.value, made.seeds.value = "epochs=2", 2
    for name, box in made.ways.items():
        box.value = name in ("features", "fine_tuning")
    return made


def pressed(panel, name: str):
    panel.choosing.buttons[name].click()
    panel.wait()
    return panel.choosing


def test_the_tab_opens_with_every_way(panel) -> None:
    assert panel.choosing.widget.layout.display == "none"
    panel.toolbar.toggles["choose"].value = True
    assert panel.choosing.widget.layout.display is None
    assert list(panel.choosing.ways) == list(WAYS)
    assert panel.choosing.wishes.ways == tuple(WAYS)


def test_the_cost_is_said_without_training(panel, pane, tmp_path) -> None:
    said = pressed(panel, "choose-price").cost.value
    assert "2 ways on 3 classes: 18 to train on, 3 to tune rates by, 3 held out." in said
    assert "about" in said
    assert pane.problem.value == ""
    assert not (tmp_path / "out").exists()


def test_choosing_takes_the_winner_home(panel, pane, tmp_path) -> None:
    pressed(panel, "choose-start")
    assert pane.problem.value == ""
    assert pane.taken.choice.winner.name in ("features", "fine_tuning")
    assert "Take " in pane.result.value
    assert f"{tmp_path}/out" in pane.result.value
    assert (tmp_path / "out" / "model_card.md").is_file()
    run = lab.open_run(tmp_path / "out" / "run")
    assert all(torch.equal(run.weights[name], tensor) for name, tensor in pane.taken.run.weights.items())
    assert pane.figure is not None
    assert not pane.buttons["choose-start"].disabled


def test_a_stop_leaves_what_is_there_to_go_on_from(panel, pane, tmp_path) -> None:
    pane.changes.value = "epochs=400"
    pane.buttons["choose-start"].click()
    while not (tmp_path / "out" / "comparison" / "plan.json").exists():
        panel.pump.drain()
    panel.stop()
    panel.wait()
    assert "Stopped; Choose goes on" in pane.result.value
    assert not pane.busy


def test_a_pause_takes_none_of_the_seconds(pane) -> None:
    class Clocked:
        deadline, now = 10.0, 0.0

        def clock(self):
            return self.now

        def keep_to_time(self):
            assert self.now <= self.deadline

    contest = Clocked()
    pane.start(only_price=True)
    pane.job.look_up = lambda: setattr(contest, "now", 100.0)
    pane.job._keep_to_time(contest)
    assert contest.deadline == 110.0


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("path", "", "Name the folder of your images first"),
        ("path", "nowhere", "There is no folder"),
        ("source", "resnet", "There is no source &#x27;resnet&#x27;"),
        ("changes", "epochs", "Override &#x27;epochs&#x27; must look like"),
    ],
)
def test_what_is_wrong_is_said_in_words(field: str, value: str, said: str, panel, pane) -> None:
    getattr(pane, field).value = value
    assert said in pressed(panel, "choose-start").problem.value
    assert not pane.busy


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("path", "nowhere", "nowhere. “images” must be a folder that holds"),
        ("changes", "source=nothing", "source is not changed here: “source” says it."),
        ("out", __file__, "Choose another folder: “take home to” FOLDER."),
    ],
)
def test_what_is_wrong_is_said_in_words_of_the_pane(field: str, value: str, said: str, panel, pane) -> None:
    getattr(pane, field).value = value
    told = pressed(panel, "choose-start").problem.value
    assert said in told
    assert "--" not in told


def test_too_few_seconds_are_said_in_words_of_the_pane(panel, pane, monkeypatch) -> None:
    monkeypatch.setattr("lab.choosing.pricing.SHARE", 1e-6)  # of any machine's seconds too little
    told = pressed(panel, "choose-start").problem.value
    assert "Or give more time: “seconds” " in told
    assert "--" not in told


def test_a_folder_that_is_not_there_is_named_with_where_it_was_looked_for(panel, pane, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    pane.path.value = "my_images"
    assert f"There is no folder {tmp_path}/my_images." in pressed(panel, "choose-price").problem.value


def test_fewer_than_two_ways_are_no_choice(panel, pane) -> None:
    for box in pane.ways.values():
        box.value = False
    assert "a choice is between two or more" in pressed(panel, "choose-start").problem.value


def test_the_pane_can_be_left_out() -> None:
    made = lab.Panel(folder=None, device="cpu", hide=["choose"])
    assert made.toolbar.toggles["choose"].layout.display == "none"
    made.close()
