"""What a notebook sets in its panel: choices that stay, parts that are not shown, seconds that a run may take."""

from __future__ import annotations

import threading

import pytest

import lab
from lab.panel import everything_but
from lab.panel.controls import FIXED
from lab.panel.locks import Locks
from lab.panel.parts import FIELDS
from lab.recipe import Recipe


@pytest.fixture
def open_panel(monkeypatch: pytest.MonkeyPatch):
    made: list[lab.Panel] = []

    def opened(*args, **settings) -> lab.Panel:
        made.append(lab.Panel(*args, folder=None, device="cpu", **settings))
        return made[-1]

    yield opened
    made[-1].close()


def shown(panel: lab.Panel, widget) -> bool:
    """Whether a widget is somewhere in the panel, and nothing around it is taken off."""

    def inside(box) -> bool:
        if getattr(box.layout, "display", None) == "none":
            return False
        return box is widget or any(map(inside, getattr(box, "children", ())))

    return inside(panel.ui)


def test_what_is_locked_is_set_and_says_so(open_panel) -> None:
    panel = open_panel(lock={"model": "cnn", "optimizer.lr": 0.02, "epochs": 3, "augment": ["flip"]})
    assert panel.recipe == Recipe(model="cnn", optimizer={"name": "sgd", "lr": 0.02}, epochs=3, augment=["flip"])
    model, lr, epochs, augment = (panel.controls["model"], panel.controls["optimizer"].settings["lr"], *(
        panel.controls[field] for field in ("epochs", "augment")
    ))  # fmt: skip
    assert model.dropdown.disabled
    assert lr.box.disabled
    assert lr.slider.disabled
    assert epochs.box.disabled
    assert augment.dropdown.disabled
    assert augment.entries[0].on.disabled
    assert augment.entries[0].remove.disabled
    for css in ("lab-model", "lab-lr", "lab-epochs", "lab-augment", "lab-augment-flip"):
        assert panel.helper.titles[css].startswith(FIXED)


def test_what_is_not_locked_can_be_changed(open_panel) -> None:
    panel = open_panel(lock={"model": "cnn"})
    assert not any(
        inner.box.disabled for inner in (panel.controls["model"].settings["width"], panel.controls["epochs"])
    )
    panel.controls["model"].settings["width"].value = 8
    assert panel.recipe.model.width == 8


@pytest.mark.parametrize(
    "attempt",
    [
        lambda panel: setattr(panel, "recipe", Recipe(model="rnn", optimizer={"name": "adam", "lr": 1}, epochs=7)),
        lambda panel: setattr(panel.controls["model"].dropdown, "value", "rnn"),
        lambda panel: setattr(panel.controls["optimizer"].dropdown, "value", "adam"),
        lambda panel: setattr(panel.controls["optimizer"].settings["lr"], "value", 1),
        lambda panel: setattr(panel.controls["epochs"], "value", 7),
        lambda panel: setattr(panel.controls["augment"], "value", ()),
        lambda panel: panel.choices.use_rate(1),
        lambda panel: panel.choices.refresh(),
    ],
    ids=["recipe", "option", "other option", "setting", "field", "list", "found rate", "refresh"],
)
def test_nothing_changes_what_is_locked(open_panel, attempt) -> None:
    panel = open_panel(lock={"model": "cnn", "optimizer.lr": 0.02, "epochs": 3, "augment": ["flip"]})
    attempt(panel)
    panel.choices.refresh()  # a list does not tell when a cell changes it; whatever is told next puts it right
    recipe = panel.recipe
    assert (recipe.model.name, recipe.optimizer.lr, recipe.epochs) == ("cnn", 0.02, 3)
    assert [choice.name for choice in recipe.augment] == ["flip"]


def test_a_locked_option_leaves_its_settings_free_but_those_given_with_it(open_panel) -> None:
    panel = open_panel(lock={"optimizer": {"name": "sgd", "momentum": 0.9}})
    panel.recipe = Recipe(optimizer={"name": "sgd", "lr": 0.5, "momentum": 0.1})
    assert (panel.recipe.optimizer.lr, panel.recipe.optimizer.momentum) == (0.5, 0.9)
    settings = panel.controls["optimizer"].settings
    assert (settings["lr"].box.disabled, settings["momentum"].box.disabled) == (False, True)


def test_a_locked_setting_waits_where_the_option_has_none() -> None:
    locks = Locks({"optimizer.momentum": 0.9}, Recipe())
    adam = Recipe(optimizer="adam")
    assert locks.held(adam) == adam
    assert locks.held(Recipe()).optimizer.momentum == 0.9


@pytest.mark.parametrize(
    ("lock", "words"),
    [
        ({"optimiser": "sgd"}, "Unknown recipe key 'optimiser'. Did you mean 'optimizer'?"),
        ({"optimizer": "adm"}, "Did you mean 'adam'?"),
        ({"optimizer.lrr": 1}, "Did you mean 'lr'?"),
        ({"epochs": 0}, "epochs is 0"),
        ({"augment.crop.padding": 2}, "A list is locked as a whole: lock augment, not augment.crop.padding."),
    ],
)
def test_a_lock_that_makes_no_sense_is_refused(lock: dict, words: str) -> None:
    with pytest.raises(lab.RecipeError) as refused:
        lab.Panel(folder=None, lock=lock)
    assert words in str(refused.value)


def test_hidden_fields_settings_sections_and_panes_are_not_shown(open_panel) -> None:
    panel = open_panel(hide=["epochs", "optimizer.nesterov", "Transfer", "compare", "code", "rates"])
    controls = panel.controls
    gone = [controls["epochs"], controls["source"], controls["transfer"], controls["optimizer"].settings["nesterov"]]
    assert not any(shown(panel, control.widget) for control in gone)
    assert not any(shown(panel, part.widget) for part in (panel.comparing, panel.take_away, panel.finding))
    assert not shown(panel, panel.toolbar.toggles["compare"])
    assert not shown(panel, panel.toolbar.buttons["find-rate"])
    assert shown(panel, controls["batch_size"].widget)
    assert shown(panel, panel.forecast.widget)
    headings = [row.value for row in panel.choices.widget.children if hasattr(row, "value")]
    assert not any("Transfer" in heading for heading in headings)
    panel.controls["optimizer"].dropdown.value = "adam"
    panel.controls["optimizer"].dropdown.value = "sgd"
    assert not shown(panel, controls["optimizer"].settings["nesterov"].widget)  # made anew with its option


def test_everything_but_some_leaves_those(open_panel) -> None:
    panel = open_panel(hide=everything_but("init", "model.depth", "Data", "curves", "runs"))
    there = [field for field in FIELDS if shown(panel, panel.controls[field].widget)]
    assert there == ["data", "modify", "model", "init"]
    settings = panel.controls["model"].settings
    assert [key for key, control in settings.items() if shown(panel, control.widget)] == ["depth"]
    assert shown(panel, panel.curves.figure)
    assert not shown(panel, panel.landscapes.widget)


def test_an_unknown_part_is_refused_with_what_may_be_meant() -> None:
    for name, meant in (("augmnt", "augment"), ("Transfr", "transfer"), ("optimizer.nestrov", "optimizer.nesterov")):
        with pytest.raises(lab.RecipeError, match=f"no part '{name}'. Did you mean '{meant}'"):
            lab.Panel(folder=None, hide=[name])


def test_a_run_that_takes_too_long_is_stopped_cleanly_and_says_so(tmp_path) -> None:
    panel = lab.Panel(Recipe(epochs=100_000), folder=tmp_path, device="cpu", seconds=0.2)
    panel.start()
    (run,) = panel.wait()
    panel.close()
    kept = lab.open_run(run.folder)
    said = "Stopped after 0.2 s, all that this notebook gives a run."
    assert (run.status, run.detail) == (kept.status, kept.detail) == ("stopped", said)
    assert said in panel.message.value
    assert 0 < run.step == len(kept.history.loss)
    assert kept.weights is not None


def test_the_seconds_of_a_run_are_its_own(open_panel) -> None:
    """A run that is paused does not use up its time."""
    panel = open_panel(Recipe(epochs=100_000), seconds=0.4)
    panel.start()
    panel.pause()
    threading.Event().wait(0.8)
    panel.pump.drain()
    assert not panel.jobs[0].done.is_set()
    panel.go_on()
    assert panel.wait()[0].status == "stopped"


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_seconds_must_be_some(seconds: float) -> None:
    with pytest.raises(lab.RecipeError, match="must be a number greater than 0"):
        lab.Panel(folder=None, seconds=seconds)
