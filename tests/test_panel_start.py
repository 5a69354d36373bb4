"""Presets and the line of text that restores all choices: in files, as text, and in the panel."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from strategies import recipes

import lab
from lab.presets import about, presets
from lab.recipe import Recipe
from lab.short_texts import read_short_text, short_text


@given(recipes())
def test_every_recipe_comes_back_from_its_line(recipe: Recipe) -> None:
    line = short_text(recipe)
    assert "\n" not in line
    assert read_short_text(line) == recipe
    assert read_short_text(f"lab run {line}") == recipe


@pytest.mark.parametrize(
    "path", ["it's here", 'a "b" c', "${HOME}; rm", "<b>x</b>", "naïve ☃ 🙂", "- [x, {y: 1}]", " ", "a=b"]
)
def test_odd_text_in_a_setting_survives(path: str) -> None:
    recipe = Recipe(data={"name": "folder", "path": path})
    assert read_short_text(short_text(recipe)) == recipe


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("optimizer", "Override 'optimizer' must look like optimizer.lr=0.3."),
        ("optimizer=adm", "Did you mean 'adam'?"),
        ("epochs=many", "epochs is 'many'"),
        ("lr=0.1", "It is a setting of optimizer: write optimizer.lr."),
        ("epochs=1 epochs=2", "given twice"),
        ("data='{name: folder", "A quotation mark is opened and not closed"),
    ],
)
def test_a_line_that_is_none_says_what_is_wrong(line: str, words: str) -> None:
    with pytest.raises(lab.RecipeError) as refused:
        read_short_text(line)
    assert words in str(refused.value)


def test_presets_are_the_recipes_of_a_folder_with_their_words(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("# Two epochs.\n# No more.\nepochs: 2\n# not this\n")
    (tmp_path / "a.yaml").write_text("epochs: 3\n")
    (tmp_path / "plan.yaml").write_text("arms: {}\n")
    (tmp_path / "broken.yaml").write_text("epochs: [\n")
    (tmp_path / "invalid.yaml").write_text("epochs: 0\n")
    found = presets(tmp_path)
    assert list(found) == ["a", "b"]
    assert found["b"] == (Recipe(epochs=2), "Two epochs. No more.")
    assert found["a"].about == ""
    assert presets(tmp_path / "nowhere") == {}


def test_every_recipe_of_the_lab_is_a_preset_that_says_what_it_is_for() -> None:
    found = presets()
    assert {"baseline", "deep_sigmoid", "transformer"} <= set(found)
    assert all(preset.about for preset in found.values())
    assert about("#!x\n\n# late\n") == "!x"


def test_a_preset_sets_the_controls_and_the_list_follows_them(panel) -> None:
    panel.start_from.list.value = "deep_sigmoid"
    assert panel.recipe == presets()["deep_sigmoid"].recipe
    assert "Six sigmoid layers" in panel.helper.titles["lab-preset"]
    panel.controls["epochs"].value = 3
    assert panel.start_from.list.value == "own choices"
    panel.recipe = presets()["lion"].recipe
    assert panel.start_from.list.value == "lion"


def test_a_pasted_line_restores_all_choices(panel) -> None:
    recipe = Recipe(model="cnn", optimizer={"name": "adam", "lr": 0.01}, augment=["flip"], epochs=2)
    panel.start_from.line.value = short_text(recipe)
    assert panel.recipe == recipe
    panel.controls["epochs"].value = 5
    assert panel.start_from.line.value == short_text(recipe.changed(epochs=5))


def test_a_bad_line_is_said_and_changes_nothing(panel) -> None:
    panel.recipe = Recipe(epochs=3)
    panel.start_from.line.value = "optimizer=<b>sgdd</b>"
    assert "Unknown optimizer" in panel.start_from.fault.value
    assert "<b>" not in panel.start_from.fault.value
    assert panel.recipe == Recipe(epochs=3)
    assert panel.start_from.line.value == "optimizer=<b>sgdd</b>"
    panel.start_from.line.value = "epochs=4"
    assert panel.start_from.fault.value == ""
    assert panel.recipe == Recipe(epochs=4)


def test_what_is_locked_survives_presets_and_lines() -> None:
    panel = lab.Panel(folder=None, device="cpu", lock={"model": "cnn", "epochs": 2})
    panel.start_from.list.value = "lion"
    assert (panel.recipe.model.name, panel.recipe.optimizer.name, panel.recipe.epochs) == ("cnn", "lion", 2)
    panel.start_from.line.value = "model=rnn epochs=9 batch_size=32"
    assert (panel.recipe.model.name, panel.recipe.batch_size, panel.recipe.epochs) == ("cnn", 32, 2)
    panel.close()


def test_presets_that_do_not_fit_what_is_locked_are_not_offered() -> None:
    panel = lab.Panel(folder=None, device="cpu", lock={"model": "torchvision"})
    assert "transformer" not in panel.start_from.list.options  # torchvision's networks bring their own activations
    assert "baseline" in panel.start_from.list.options
    panel.close()
