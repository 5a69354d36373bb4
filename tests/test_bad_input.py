"""Recipes that a person gets wrong, and the exact words that come back."""

from __future__ import annotations

from typing import Any

import pytest
from wording import KEYS, NOT_AN_OPTIMIZER, NOT_EPOCHS, NOT_LR, Act, bad, complaint, options, settings

import lab
import lab.export
from lab.recipe import CATALOGUES, Recipe, RecipeError

NEAR_MISSES = {
    "data": ("digit", "digits"),
    "modify": ("subsett", "subset"),
    "model": ("mlpp", "mlp"),
    "activation": ("relo", "relu"),
    "init": ("he_norml", "he_normal"),
    "optimizer": ("sgdd", "sgd"),
    "schedule": ("cosin", "cosine"),
    "augment": ("flipp", "flip"),
    "source": ("nothin", "nothing"),
    "transfer": ("scrach", "scratch"),
    "objective": ("supervisd", "supervised"),
}


def choices(**choices: Any) -> Act:
    return lambda _: Recipe(**choices)


def sgd(**choices: Any) -> Act:
    return lambda _: Recipe(optimizer={"name": "sgd", **choices})


RECIPES = [
    *(
        bad(
            f"unknown {field}",
            choices(**{field: given}),
            f"Unknown {CATALOGUES[field].kind} {given!r}. Did you mean {meant!r}? Expected one of: {options(field)}.",
        )
        for field, (given, meant) in NEAR_MISSES.items()
    ),
    bad(
        "unknown name like no other",
        choices(model="zzzzz"),
        f"Unknown model 'zzzzz'. Expected one of: {options('model')}.",
    ),
    bad(
        "unknown key",
        choices(optimiser="sgd"),
        f"Unknown recipe key 'optimiser'. Did you mean 'optimizer'? Expected one of: {KEYS}.",
    ),
    bad(
        "unknown setting",
        sgd(momentun=0.9),
        "Unknown setting 'momentun' of optimizer sgd. Did you mean 'momentum'? "
        f"Expected one of: {settings('optimizer', 'sgd')}.",
    ),
    bad(
        "setting of another option",
        choices(augment=[{"name": "crop", "p": 0.5}]),
        f"Unknown setting 'p' of augmentation crop. Expected one of: {settings('augment', 'crop')}.",
    ),
    bad("epochs none", choices(epochs=0), f"epochs is 0, {NOT_EPOCHS}"),
    bad("epochs endless", choices(epochs=10**7), f"epochs is 10000000, {NOT_EPOCHS}"),
    bad("epochs a half", choices(epochs=2.5), f"epochs is 2.5, {NOT_EPOCHS}"),
    bad("epochs a text", choices(epochs="many"), f"epochs is 'many', {NOT_EPOCHS}"),
    bad("epochs a list", choices(epochs=[3]), f"epochs is [3], {NOT_EPOCHS}"),
    bad("epochs nothing", choices(epochs=None), f"epochs is None, {NOT_EPOCHS}"),
    bad("epochs nan", choices(epochs=float("nan")), f"epochs is nan, {NOT_EPOCHS}"),
    bad("epochs true", choices(epochs=True), "epochs is True, but must be a number."),
    bad(
        "batch size",
        choices(batch_size=-8),
        "batch_size is -8, but must be a whole number at least 1 and at most 1000000 (usual: 1 to 1024).",
    ),
    bad(
        "label smoothing",
        choices(label_smoothing=1),
        "label_smoothing is 1, but must be a number at least 0 and less than 1 (usual: 0 to 0.3).",
    ),
    bad("clip norm", choices(clip_norm=-1), "clip_norm is -1, but must be a number at least 0 (usual: 0 to 10)."),
    bad(
        "seed",
        choices(seed=2**30),
        "seed is 1073741824, but must be a whole number at least 0 and less than 1073741824 (usual: 0 to 100).",
    ),
    bad(
        "precision",
        choices(precision="float16"),
        "precision is 'float16', but must be one of: float32, bfloat16, float64.",
    ),
    bad(
        "precision a number", choices(precision=32), "precision is 32, but must be one of: float32, bfloat16, float64."
    ),
    bad("lr zero", sgd(lr=0), f"optimizer sgd: lr is 0, {NOT_LR}"),
    bad("lr nan", sgd(lr=float("nan")), f"optimizer sgd: lr is nan, {NOT_LR}"),
    bad("lr infinite", sgd(lr=float("inf")), f"optimizer sgd: lr is inf, {NOT_LR}"),
    bad("lr a text", sgd(lr="big"), f"optimizer sgd: lr is 'big', {NOT_LR}"),
    bad("lr a list", sgd(lr=[0.1, 0.2]), f"optimizer sgd: lr is [0.1, 0.2], {NOT_LR}"),
    bad("lr nothing", sgd(lr=None), f"optimizer sgd: lr is None, {NOT_LR}"),
    bad("lr true", sgd(lr=True), "optimizer sgd: lr is True, but must be a number."),
    bad("nesterov a word", sgd(nesterov="maybe"), "optimizer sgd: nesterov is 'maybe', but must be true or false."),
    bad(
        "nesterov without momentum",
        sgd(nesterov=True),
        "optimizer sgd: nesterov needs momentum: set momentum above 0.",
    ),
    bad(
        "warm-up longer than the run",
        choices(schedule="cosine", warmup=1),
        "warmup is 1, but must be a number at least 0 and less than 1 (usual: 0 to 0.5).",
    ),
    bad(
        "path a number",
        choices(data={"name": "folder", "path": 3}),
        "data set folder: path is 3, but must be a text.",
    ),
    bad(
        "colour",
        choices(data={"name": "folder", "colour": "gray"}),
        "data set folder: colour is 'gray', but must be one of: rgb, grey.",
    ),
    bad("name missing", choices(optimizer={"lr": 0.1}), f"optimizer is {{'lr': 0.1}}, {NOT_AN_OPTIMIZER}"),
    bad(
        "name a number",
        choices(optimizer={"name": 3}),
        f"Unknown optimizer 3. Expected one of: {options('optimizer')}.",
    ),
    bad("option a list", choices(optimizer=["sgd"]), f"optimizer is ['sgd'], {NOT_AN_OPTIMIZER}"),
    bad("option nothing", choices(optimizer=None), f"optimizer is None, {NOT_AN_OPTIMIZER}"),
    bad("option true", choices(optimizer=True), f"optimizer is True, {NOT_AN_OPTIMIZER}"),
    bad("list a number", choices(augment=3), "augment is 3, but must be a list."),
    bad(
        "list of garbage",
        choices(augment=[["flip"]]),
        "augmentation is ['flip'], but must be a name or a mapping with a name. "
        f"Expected one of: {options('augment')}.",
    ),
    bad(
        "name inside the list missing",
        choices(augment={"flip": {"p": 1}}),
        "augment is {'flip': {'p': 1}}, but must be a list.",
    ),
    bad(
        "every fault at once",
        choices(epochs=0, optimizer={"name": "sgd", "lr": -1, "momentum": 2}, learning_rate=1),
        "optimizer sgd: lr is -1, but must be a number greater than 0 (usual: 1e-05 to 10).",
        "optimizer sgd: momentum is 2, but must be a number at least 0 and less than 1 (usual: 0 to 0.99).",
        f"epochs is 0, {NOT_EPOCHS}",
        f"Unknown recipe key 'learning_rate'. Expected one of: {KEYS}.",
    ),
    bad(
        "a key that Python uses",
        lambda _: Recipe(self=1),
        f"Unknown recipe key 'self'. Did you mean 'seed'? Expected one of: {KEYS}.",
    ),
]


@pytest.mark.parametrize(("act", "said"), RECIPES)
def test_a_bad_recipe_is_answered_in_words(act, said, tmp_path):
    assert complaint(act, tmp_path, RecipeError) == said


NEEDED = 'but a recipe is needed: Recipe.load("FILE.yaml") reads one, Recipe(optimizer="adam") makes one.'


@pytest.mark.parametrize("takes", [lab.train, lab.training, lab.examine, lab.range_test, lab.export.script])
@pytest.mark.parametrize("given", ["recipes/x.yaml", {"optimizer": "sgd"}, None])
def test_what_is_no_recipe_is_answered_with_how_to_get_one(takes: Any, given: Any) -> None:
    with pytest.raises(RecipeError) as refusal:
        takes(given)
    assert str(refusal.value) == f"{given!r} was given, {NEEDED}"


@pytest.mark.parametrize("takes", [lab.train_many, lab.compare])
def test_a_list_with_something_else_than_recipes_too(takes: Any) -> None:
    with pytest.raises(RecipeError, match="'adam' was given, but a recipe is needed"):
        takes([Recipe(), "adam"])


@pytest.mark.parametrize("takes", [lab.train, lab.training, lambda recipe, **more: lab.train_many([recipe], **more)])
def test_a_choice_beside_the_recipe_is_pointed_into_it(takes: Any) -> None:
    with pytest.raises(RecipeError) as refusal:
        takes(Recipe(), epochs=3, optimizer="adam")
    said = "epochs, optimizer belongs into the recipe: give recipe.changed(epochs=3, optimizer='adam')."
    assert str(refusal.value) == said
