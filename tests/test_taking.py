"""What an objective puts on a model is taken over where it meant the same in the source; the table says."""

from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import SMALL
from test_export import run_all_alone
from test_export import trained as losses_and_weights

import lab
from lab.data import load
from lab.steps import build_model

TASKS = SMALL.changed(model={"name": "mlp", "width": 8}, objective="multi_task", epochs=1)
WORDS = lab.Recipe(
    data={"name": "shapes", "per_class": 8},
    model={"name": "mlp", "width": 8},
    objective={"name": "image_and_words", "width": 6},
    epochs=1,
)


def taken(recipe: lab.Recipe, earlier: lab.Recipe, folder: Path, transfer: Any = "whole") -> lab.Recipe:
    """The recipe with the weights of the earlier one, which is trained."""
    lab.train(earlier.changed(seed=5), folder=folder / "first", progress=False, device="cpu")
    return recipe.changed(source={"name": "run", "folder": str(folder / "first")}, transfer=transfer)


def starts(recipe: lab.Recipe) -> dict[str, str]:
    return {row.layer: row.start for row in lab.layer_table(recipe).rows}


def same_start(recipe: lab.Recipe, folder: Path) -> set[str]:
    """Layers whose weights are the source's to the last bit."""
    source = lab.open_run(folder / "first").weights or {}
    own = build_model(recipe, load(recipe.data, recipe.modify)).state_dict()
    return {
        name.removesuffix(".weight")
        for name, tensor in own.items()
        if name.endswith(".weight") and name in source and torch.equal(tensor, source[name])
    }


@pytest.mark.parametrize("transfer", ["whole", "features", "head", "linear_probe_then_fine_tune", "gradual_unfreezing"])
def test_heads_of_the_same_tasks_are_taken_over(transfer: str, tmp_path: Path) -> None:
    recipe = taken(TASKS, TASKS, tmp_path, transfer)
    found = starts(recipe)
    assert (found["odd"], found["turned"], found["trunk.5"]) == ("copied", "copied", "copied")
    assert same_start(recipe, tmp_path) >= {"odd", "turned", "trunk.5"}
    assert "no place here" not in lab.layer_table(recipe).sentence


def test_a_head_is_taken_over_only_where_it_was_taught_the_same(tmp_path: Path) -> None:
    few = [{"name": "classes", "first": 0, "last": 4}]
    recipe = taken(
        TASKS.changed(modify=[{"name": "classes", "first": 5, "last": 9}]), TASKS.changed(modify=few), tmp_path
    )
    assert {name: said for name, said in starts(recipe).items() if said != "copied"} == {
        "trunk.5": "own (other classes)",
        "odd": "own (other names)",  # what is odd among 0 to 4 is even among 5 to 9, which are counted from 0 too
    }
    assert same_start(recipe, tmp_path) == {"trunk.1", "trunk.3", "turned"}


def test_a_head_that_no_label_has_taught_keeps_its_own_start(tmp_path: Path) -> None:
    recipe = taken(TASKS, TASKS.changed(**{"objective.odd_weight": 0}), tmp_path)
    found = starts(recipe)
    assert (found["odd"], found["turned"]) == ("own (not learned there)", "copied")
    assert "odd" not in same_start(recipe, tmp_path)


def test_where_layers_are_named_no_head_is_copied(tmp_path: Path) -> None:
    recipe = taken(TASKS, TASKS, tmp_path, {"name": "head", "layers": "5"})
    assert same_start(recipe, tmp_path) == {"trunk.5"}
    assert starts(recipe)["odd"] == "own"


def test_a_head_that_the_source_lacks_is_said_to_be_missing(tmp_path: Path) -> None:
    found = starts(taken(TASKS, TASKS.changed(objective="supervised"), tmp_path))
    assert (found["trunk.5"], found["odd"]) == ("copied", "own (not in the source)")


def test_a_space_of_the_same_words_is_taken_over_whole(tmp_path: Path) -> None:
    recipe = taken(WORDS.changed(modify=[{"name": "subset", "per_class": 2}]), WORDS, tmp_path)
    assert same_start(recipe, tmp_path) == {"trunk.1", "trunk.3", "trunk.5", "words"}
    assert {starts(recipe)[name] for name in ("trunk.5", "words")} == {"copied"}


@pytest.mark.parametrize(
    ("changes", "last", "said"),
    [
        ({"objective.tokens": "trigrams"}, "trunk.5", "own (other names)"),
        ({"objective.width": 4}, "trunk.5", "own (another shape: 6 x 8 there)"),
        ({"objective": "supervised"}, "5", "own (names no classes: 6 x 8 there)"),
    ],
)
def test_another_space_keeps_its_own_last_layer_and_says_why(
    changes: dict[str, Any], last: str, said: str, tmp_path: Path
) -> None:
    recipe = taken(WORDS.changed(**changes), WORDS, tmp_path)
    assert starts(recipe)[last] == said
    assert not {"words", last} & same_start(recipe, tmp_path)


def test_the_script_takes_the_heads_over_too(tmp_path: Path) -> None:
    recipes = [taken(TASKS, TASKS, tmp_path), taken(WORDS, WORDS, tmp_path / "words")]
    for recipe, alone in zip(recipes, run_all_alone(recipes, tmp_path), strict=True):
        assert alone == losses_and_weights(recipe)
