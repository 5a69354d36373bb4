"""The panel without a browser: controls for every option, runs, words."""

from __future__ import annotations

import math
import shlex
import threading

import ipywidgets
import pytest
import torch

import lab
from lab.panel.controls import Number, Plain
from lab.panel.pump import Pump
from lab.panel.turns import AT_ONCE
from lab.panel.words import as_command, as_papermill, clock, message, runs_table
from lab.plots import HEIGHT, colour_and_dash
from lab.reading import parse_overrides
from lab.recipe import CATALOGUES, Recipe

OPTIONS = [(field, name) for field, catalogue in CATALOGUES.items() for name in catalogue]


@pytest.mark.parametrize(("field", "name"), OPTIONS)
def test_every_option_has_a_control_for_every_setting(used_panel, field: str, name: str) -> None:
    panel = used_panel
    many = isinstance(getattr(Recipe(), field), tuple)
    taking = {"source": {"name": "run", "folder": "a"}, "transfer": "whole"} if name == "pretrained" else {}
    recipe = Recipe(**{field: [name] if many else name}, **taking)
    panel.recipe = recipe
    control = panel.controls[field]
    shown = control.chosen[name] if many else control.settings
    fields = {key: info for key, info in CATALOGUES[field][name].model_fields.items() if key != "name"}
    assert set(shown) == set(fields)
    for key, info in fields.items():
        assert isinstance(shown[key], Number) == (info.annotation in (int, float))
        assert isinstance(shown[key], Number | Plain)
    assert panel.recipe == recipe


def test_numbers_outside_the_slider_survive(panel) -> None:
    recipe = Recipe(epochs=100_000, optimizer={"name": "sgd", "lr": 1234.5}, seed=98765)
    panel.recipe = recipe
    assert panel.recipe == recipe


@pytest.mark.parametrize(("setting", "value"), [("beta1", 0.9), ("beta2", 0.999), ("lr", 0.0123), ("lr", 1e9)])
def test_a_slider_stands_where_the_browser_would_put_it_and_the_box_says_the_number(panel, setting, value) -> None:
    panel.recipe = Recipe(optimizer={"name": "adam", setting: value})
    control = panel.controls["optimizer"].settings[setting]
    place = math.log10(control.slider.value) if control.knob.log else control.slider.value
    steps = (place - control.slider.min) / control.slider.step
    assert steps == pytest.approx(round(steps), abs=1e-6)
    assert control.slider.min - 1e-9 <= place <= control.slider.max + 1e-9
    assert control.box.value == value


def test_moving_a_slider_sets_the_box(panel) -> None:
    lr = panel.controls["optimizer"].settings["lr"]
    lr.slider.value = 0.5012
    assert panel.recipe.optimizer.lr == 0.501
    lr.slider.value = 0.5012 * 1.02  # less than half a step: the browser's rounding, not a person
    assert panel.recipe.optimizer.lr == 0.501


def test_a_number_that_is_refused_says_so_where_it_stands(panel) -> None:
    lr, epochs = panel.controls["optimizer"].settings["lr"], panel.controls["epochs"]
    assert lr.fault.layout.display == epochs.fault.layout.display == "none"
    lr.value, epochs.value = -1, 2.5
    assert "must be a number greater than 0" in lr.fault.value
    assert "must be a whole number" in epochs.fault.value
    assert "lab-refused" in lr.widget._dom_classes
    lr.value = 0.1
    assert not lr.fault.value
    assert "lab-refused" not in lr.widget._dom_classes
    assert epochs.fault.layout.display is None


def test_a_zero_that_is_no_amount_says_what_it_means(panel) -> None:
    gain = panel.controls["init"].settings["gain"]
    assert gain.value == 0
    assert gain.zero in gain.widget.children[0].children
    assert gain.zero.value == "own"
    gain.slider.value = 2
    assert gain.zero.value == ""
    gain.value = 0
    assert gain.zero.value == "own"
    assert (panel.controls["clip_norm"].zero.value, panel.controls["patience"].zero.value) == ("off", "never")
    assert panel.controls["warmup"].zero is None  # there 0 is an amount


def test_swapping_options_leaves_no_widgets_behind(panel) -> None:
    def alive() -> int:
        return len(ipywidgets.widgets.widget._instances)

    panel.recipe = Recipe(optimizer="adam")
    panel.recipe = Recipe()
    before = alive()
    for _ in range(5):
        panel.recipe = Recipe(optimizer="adam", augment=["flip", "crop"])
        panel.recipe = Recipe()
    assert alive() == before


def test_runs_keep_their_order_and_end_with_their_status(panel) -> None:
    for changes in ({"epochs": 2}, {"optimizer.lr": 1e5}, {"optimizer": "adam", "epochs": 1}):
        panel.recipe = Recipe().changed(**changes)
        panel.start()
    runs = panel.wait()
    assert [run.status for run in runs] == ["finished", "diverged", "finished"]
    assert runs[0].history.loss == lab.train(Recipe(epochs=2), progress=False).history.loss


def test_what_an_augmentation_has_learned_before_the_first_step_is_told(panel) -> None:
    panel.recipe = Recipe(epochs=1, augment={"name": "generated", "steps": 20})
    panel.start()
    assert [run.status for run in panel.wait()] == ["finished"]
    assert "Run 1: generated has learned for " in panel.message.value


def test_a_failed_run_fails_the_wait_and_leaves_the_panel_usable(panel) -> None:
    panel.recipe = Recipe(data={"name": "folder", "path": "nowhere"})
    panel.start()
    with pytest.raises(lab.RunError, match="There is no folder nowhere"):
        panel.wait()
    panel.clear()
    panel.recipe = Recipe(epochs=1)
    panel.start()
    assert panel.wait()[0].history.epochs


def test_stop_ends_the_run_and_empties_the_queue(panel) -> None:
    panel.recipe = Recipe(epochs=5000)
    for _ in range(AT_ONCE + 1):
        panel.start()
    panel.pump.drain()
    while not panel.runs[0].history.loss:
        threading.Event().wait(0.05)
        panel.pump.drain()
    panel.stop()
    first, *_, last = panel.wait()
    assert (first.status, last.status) == ("stopped", "stopped")
    assert len(first.history.loss) == first.step > 0
    assert last.detail == "Taken off the queue."


def test_runs_are_kept_and_a_stopped_one_resumes(tmp_path) -> None:
    panel = lab.Panel(Recipe(epochs=120), folder=tmp_path)
    panel.start()
    panel.pump.drain()
    while not panel.runs[0].history.epochs:
        threading.Event().wait(0.02)
        panel.pump.drain()
    panel.stop()
    (run,) = panel.wait()
    panel.close()
    resumed = lab.resume(run.folder, progress=False)
    assert resumed.history.loss == lab.train(Recipe(epochs=120), progress=False).history.loss


def test_where_no_kernel_is_the_panel_says_what_it_would_be(panel) -> None:
    panel.recipe = Recipe(optimizer="adam")
    shown = panel._repr_mimebundle_()
    assert shown["text/plain"].endswith("lab run optimizer=adam")
    assert shown["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.ui.model_id


def test_a_panel_whose_choices_do_not_go_together_is_shown_all_the_same(panel) -> None:
    panel.controls["epochs"].value = 0
    with pytest.raises(lab.RecipeError):
        _ = panel.recipe
    assert panel._repr_mimebundle_()["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.ui.model_id


def test_a_new_panel_closes_the_old_one() -> None:
    old = lab.Panel(folder=None)
    new = lab.Panel(folder=None)
    assert old.ui.comm is None
    assert new.ui.comm is not None
    new.close()


def test_text_from_strangers_is_shown_not_run() -> None:
    nasty = "<script>alert(1)</script>"
    assert "<script>" not in message(nasty)
    run = lab.Run(Recipe(data={"name": "folder", "path": nasty}), lab.training(Recipe()).history, "failed", nasty)
    assert "<script>" not in runs_table({1: run, 2: lab.Run(Recipe(), run.history, "finished")})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "adam", "optimizer.lr": 0.003},
        {"augment": ["flip"], "data": {"name": "folder", "path": "it's here"}},
    ],
)
def test_the_command_to_take_away_gives_the_same_recipe(changes: dict) -> None:
    recipe = Recipe().changed(**changes)
    words = shlex.split(as_command(recipe))
    assert words[:2] == ["lab", "run"]
    assert Recipe().changed(**parse_overrides(words[2:])) == recipe
    words = shlex.split(as_papermill(recipe))
    assert words[:3] == ["papermill", "notebooks/run.ipynb", "executed.ipynb"]


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (7, "0:07"), (61, "1:01"), (3661, "1:01:01")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_the_pump_gathers_what_is_posted_and_survives_a_bad_flush(capsys) -> None:
    seen: list[list[int]] = []

    def flush(items: list[int]) -> None:
        seen.append(items)
        if len(seen) == 1:
            raise ValueError("first flush breaks")

    pump = Pump(flush)
    pump.post(1)
    pump.post(2)
    pump.drain()
    pump.post(3)
    pump.drain()
    assert seen == [[1, 2], [3]]
    assert "first flush breaks" in capsys.readouterr().err


def test_a_stop_right_after_the_start_is_heard(panel) -> None:
    panel.recipe = Recipe(epochs=50_000)
    panel.start()
    panel.stop()
    assert panel.wait()[0].status == "stopped"


def test_clearing_as_a_run_ends_leaves_an_empty_panel(panel) -> None:
    panel.recipe = Recipe(epochs=1)
    panel.start()
    panel.jobs[0].told.wait(20)
    panel.clear()
    panel.pump.drain()
    assert panel.runs == []
    assert "Runs appear here" in panel.list.table.value


def test_runs_keep_their_number_and_line_when_others_are_cleared(panel) -> None:
    panel.recipe = Recipe(epochs=1)
    panel.start()
    panel.wait()
    panel.recipe = Recipe(epochs=50_000)
    panel.start()
    panel.pump.drain()
    panel.clear()
    panel.pump.drain()
    assert [entry.number for entry in panel.entries] == [2]
    assert panel.curves.figure.data[2].line.color == colour_and_dash(1)[0]
    panel.stop()
    panel.wait()


def test_the_panel_and_train_agree_on_a_network_of_many_threads(panel) -> None:
    recipe = Recipe(model={"name": "mlp", "width": 512, "depth": 3}, batch_size=256, epochs=1)
    panel.recipe = recipe
    panel.start()
    assert panel.wait()[0].history.loss == lab.train(recipe, progress=False, device="cpu").history.loss


def test_an_option_added_in_a_cell_is_offered_at_once(panel) -> None:
    def late(progress, *, start: float = 0.5):
        """A schedule that comes late. Source: this test."""
        return start

    def written_anew(progress, *, other: float = 0.5):
        """A schedule that comes late. Source: this test."""
        return other

    written_anew.__name__ = "late"
    lab.schedules.add(late)
    try:
        panel.pump.drain()
        assert "late" in panel.controls["schedule"].dropdown.options
        panel.recipe = Recipe(schedule="late")
        lab.schedules.add(written_anew)
        panel.pump.drain()
        assert list(panel.controls["schedule"].settings) == ["other"]
    finally:
        panel.recipe = Recipe()
        lab.schedules.functions.pop("late")
        lab.schedules._choices.pop("late")


def test_an_option_of_this_notebook_is_said_to_be_unknown_elsewhere(panel) -> None:
    try:

        @lab.optimizers.add
        def of_a_cell(params):
            """Steps of one size. Source: this test."""
            return torch.optim.SGD(params, lr=0.1)

        panel.recipe = Recipe(optimizer="of_a_cell")
        for shown in ("YAML", "papermill", "command"):
            panel.take_away.format.value = shown
            assert "of_a_cell: known to this notebook only" in panel.take_away.invalid.value
        panel.take_away.format.value = "script"
        assert panel.take_away.invalid.value == ""
    finally:
        panel.recipe = Recipe()
        panel.take_away.format.value = "YAML"
        lab.optimizers.functions.pop("of_a_cell")
        lab.optimizers._choices.pop("of_a_cell")


def test_an_invalid_recipe_cannot_be_copied(panel) -> None:
    panel.controls["epochs"].value = 0
    assert "epochs is 0" in panel.invalid.value
    assert panel.take_away.text.value == ""
    assert panel.take_away.copy.disabled
    panel.controls["epochs"].value = 3
    assert "epochs: 3" in panel.take_away.text.value
    assert panel.invalid.value == ""


def test_a_failure_is_not_told_twice(panel) -> None:
    panel.recipe = Recipe(data={"name": "folder", "path": "nowhere"})
    panel.start()
    with pytest.raises(lab.RunError):
        panel.wait()
    panel.recipe = Recipe(epochs=1)
    panel.start()
    assert panel.wait()[-1].history.epochs


def test_what_cannot_be_shown_is_said_and_hides_nothing_else(panel: lab.Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise TypeError("no such picture")

    monkeypatch.setitem(panel.hearers, "comparison", broken)
    panel.pump.post(("comparison", None))
    panel.pump.post(("log", True))
    panel.pump.drain()
    assert "no such picture" in panel.message.value
    assert panel.curves.figure.layout.yaxis.type == "log"


def test_in_a_narrow_place_loss_stands_above_accuracy(panel) -> None:
    layout = panel.curves.figure.layout
    panel.curves.set_width(400)
    assert layout.yaxis.domain[0] > layout.yaxis2.domain[1]
    assert [(note.x, note.y) for note in layout.annotations[:3]] == [(0.5, 1), (0.5, 0.4), (1, 1)]
    assert layout.yaxis.domain[0] < layout.annotations[3].y < layout.yaxis.domain[1]  # the hint stands on no axis
    panel.curves.set_width(900)
    assert layout.xaxis.domain[1] < layout.xaxis2.domain[0]
    assert (layout.yaxis.domain, layout.yaxis2.domain, layout.height) == ((0, 1), (0, 1), HEIGHT)
