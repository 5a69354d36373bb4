"""Recipes: read, written, compared and changed without a surprise."""

import json
import pickle
from functools import cache
from pathlib import Path

import jsonschema
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError
from strategies import augments_without_labels, awake_activation, leaves_something_to_learn, recipes

from lab.catalogue import Choice
from lab.reading import parse_overrides
from lab.recipe import CATALOGUES, Recipe, RecipeError, difference, labels, overrides

NESTEROV = {"optimizer.nesterov": True, "optimizer.momentum": 0.9}


def dotted(recipe):
    """A recipe as overrides: every option, every setting of one, every list, every number."""
    leaves = {}
    for key, value in recipe:
        if isinstance(value, Choice):
            leaves |= {f"{key}.{setting}": inner for setting, inner in value if setting != "name"}
            leaves[key] = value.name
        else:
            leaves[key] = [choice.model_dump() for choice in value] if isinstance(value, tuple) else value
    return leaves


@st.composite
def neighbours(draw):
    """Two recipes that differ in one key at most."""
    recipe, other = draw(recipes()), draw(recipes())
    key = draw(st.sampled_from(list(Recipe.model_fields)))
    spec = {**recipe.model_dump(), key: other.model_dump()[key]}
    assume(leaves_something_to_learn(spec) and augments_without_labels(spec))
    assume("activation" in awake_activation(spec) or spec["activation"] == Recipe().activation.model_dump())
    return recipe, recipe.changed(**{key: spec[key]})


@given(recipes())
def test_yaml_brings_back_the_same_recipe(recipe):
    again = Recipe.from_yaml(recipe.to_yaml())
    assert again == recipe
    assert again.id == recipe.id


def test_a_saved_recipe_is_loaded_again(tmp_path):
    recipe = Recipe(data={"name": "folder", "path": "Bücher: täglich\n"}, augment=["flip"])
    recipe.save(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe


@given(neighbours())
def test_ids_are_equal_exactly_when_recipes_are(pair):
    a, b = pair
    assert (a.id == b.id) == (a == b)


def test_an_id_depends_neither_on_spelling_nor_on_the_sign_of_zero():
    assert Recipe(optimizer={"lr": "3e-4", "name": "adam"}).id == Recipe(optimizer={"name": "adam", "lr": 0.0003}).id
    assert Recipe(augment="flip").id == Recipe(augment=[{"name": "flip", "p": 0.5}]).id
    assert Recipe(clip_norm=-0.0) == Recipe(clip_norm=0)
    assert Recipe(clip_norm=-0.0).id == Recipe(clip_norm=0).id


@given(recipes(), recipes(), st.data())
def test_overrides_arrive_in_whatever_order_they_come(start, goal, data):
    order = data.draw(st.permutations(list(dotted(goal).items())))
    assert start.changed(**dict(order)) == goal


@given(recipes(), recipes())
def test_overrides_are_the_way_from_one_recipe_to_another(start, goal):
    assert start.changed(**overrides(goal, start)) == goal
    assert Recipe().changed(**overrides(goal)) == goal
    assert overrides(goal, goal) == {}


@pytest.mark.parametrize("changes", [NESTEROV, dict(reversed(NESTEROV.items()))])
def test_two_settings_that_need_each_other_arrive_together(changes):
    optimizer = Recipe().changed(**changes).optimizer
    assert (optimizer.nesterov, optimizer.momentum) == (True, 0.9)


@pytest.mark.parametrize("alone", ["flip", {"name": "flip"}, ["flip"]])
def test_a_dotted_key_reaches_an_option_that_stands_without_a_list(alone):
    assert str(Recipe().changed(**{"augment": alone, "augment.flip.p": 0.25}).augment[0]) == "flip(p=0.25)"


def test_a_dotted_key_reaches_into_the_list_of_augmentations():
    recipe = Recipe().changed(**{"augment.flip.p": 0.25, "augment": ["crop", "flip"]})
    assert [str(choice) for choice in recipe.augment] == ["crop", "flip(p=0.25)"]
    assert recipe.changed(**{"augment.crop.padding": 1}).augment[0].padding == 1
    assert recipe.changed(augment=[]).augment == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimiser": "sgd"}, r"^Unknown recipe key 'optimiser'\. Did you mean 'optimizer'\? Expected one of: "),
        ({"epochs.lr": 1}, r"^'epochs' has no settings inside, so 'epochs.lr' means nothing\. Use epochs=\.\.\.$"),
        (
            {"optimizer.lr.x": 1},
            r"^'optimizer.lr.x' does not name a setting\. Expected something like optimizer\.lr\.$",
        ),
        ({"optimizer.name": "adam"}, r"write optimizer=adam, not optimizer.name=adam\.$"),
        ({"augment.flip": 1, "augment": ["flip"]}, r"^'augment.flip' does not name a setting\."),
        (
            {"augment.flip.p": 1},
            r"^augment has no entry 'flip' \(it is: empty\)\. Add it first: augment=\[flip\]\.$",
        ),
        ({"augment.flip.q": 1, "augment": ["flip"]}, r"^Unknown setting 'q' of augmentation flip\."),
        ({"optimizer.beta1": 0.9}, r"^Unknown setting 'beta1' of optimizer sgd\."),
        ({"epochs": 0}, r"^epochs is 0, but must be a whole number at least 1 and at most 1000000"),
        ({"epochs": True}, r"^epochs is True, but must be a number\.$"),
        ({"precision": "half"}, r"^precision is 'half', but must be one of: float32, bfloat16, float64\.$"),
        ({"augment": 5}, r"^augment is 5, but must be a list\.$"),
    ],
)
def test_a_wrong_override_is_refused_in_words(changes, said):
    with pytest.raises(RecipeError, match=said):
        Recipe().changed(**changes)


def test_a_recipe_cannot_be_changed_in_place():
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().epochs = 3


def test_overrides_are_read_as_yaml():
    read = parse_overrides(["optimizer.lr=3e-4", "augment=[flip, crop]", " epochs =5", "data.path=a=b"])
    assert read == {"optimizer.lr": "3e-4", "augment": ["flip", "crop"], "epochs": 5, "data.path": "a=b"}
    assert parse_overrides(["data.path=2024-13-01"]) == {"data.path": "2024-13-01"}


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["epochs"], "Override 'epochs' must look like optimizer.lr=0.3."),
        (["=3"], "Override '=3' must look like optimizer.lr=0.3."),
        (["epochs=1", "epochs=2"], "Override 'epochs' is given twice."),
        (
            ["epochs=[1"],
            "Override 'epochs=[1': cannot read '[1' as a value. Was it torn at a space? Quote it in the shell: "
            "'schedule={name: cosine}'.",
        ),
        (["seed=0x_"], "Override 'seed=0x_': cannot read '0x_' as a value."),
        (["data.path=!!timestamp x"], "Override 'data.path=!!timestamp x': cannot read '!!timestamp x' as a value."),
    ],
)
def test_overrides_that_cannot_be_read(texts, said):
    with pytest.raises(RecipeError) as refusal:
        parse_overrides(texts)
    assert str(refusal.value) == said


def test_yaml_that_calls_a_number_a_text_is_understood():
    recipe = Recipe.from_yaml("optimizer: {name: adam, lr: 3e-4, eps: '1e-6'}")
    assert (recipe.optimizer.lr, recipe.optimizer.eps) == (0.0003, 0.000001)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs: 1\nepochs: 2", r"^Cannot read the text as YAML: written twice: epochs$"),
        ("optimizer: {name: sgd, lr: 1, lr: 2}", r"written twice: lr$"),
        ("augment: [&a flip, *a]", r"aliases \(\*name\) are not allowed in a recipe$"),
        ("model: &m {name: mlp}\ninit: *m", r"aliases \(\*name\) are not allowed"),
        ("epochs: [", r"^Cannot read the text as YAML: while parsing"),
        ("- sgd", r"^the text must be a mapping such as `optimizer: sgd`, but is \['sgd'\]\.$"),
        ("", r"^the text must be a mapping such as `optimizer: sgd`, but is None\.$"),
        ("optimizer: off", r"^optimizer is False, but must be a name or a mapping with a name"),
        ("epochs: yes", r"^epochs is True, but must be a number\.$"),
        ("clip_norm: .inf", r"^clip_norm is inf, but must be a number at least 0"),
        ("data: 2020-13-45", r"^Unknown data set '2020-13-45'\."),
        ("data: !!timestamp 2020-13-45", r"^Cannot read the text as YAML: month must be in 1\.\.12"),
        ("data: !!timestamp tomorrow", r"^Cannot read the text as YAML: "),
        ("seed: 0x_", r"^Cannot read the text as YAML: invalid literal"),
        ("seed: !!python/name:os.system", r"^Cannot read the text as YAML: could not determine a constructor"),
        ("optimiser: sgd", r"^Unknown recipe key 'optimiser'\."),
        ("arms: {a: , b: {epochs: 3}}", r"^the text is not a recipe\. Try: lab compare FILE$"),
        ("claim: x\ncomparisons: {a: {arms: }}", r"^the text is not a recipe\. Try: lab claim FILE$"),
    ],
)
def test_yaml_is_read_strictly(text, said):
    with pytest.raises(RecipeError, match=said):
        Recipe.from_yaml(text)


def test_a_comparison_claim_or_sweep_of_the_lab_says_which_command_it_is_for():
    for path in (Path(__file__).parents[1] / "recipes").rglob("*.yaml"):
        command = {"claims": "claim", "sweeps": "sweep"}.get(path.parent.name, "compare")
        try:
            Recipe.load(path)
        except RecipeError as refusal:
            assert str(refusal) == f"{path} is not a recipe. Try: lab {command} FILE"  # noqa: PT017  # recipes load


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    missing, latin = tmp_path / "nowhere.yaml", tmp_path / "latin.yaml"
    latin.write_bytes("# Größe".encode("latin-1"))
    for path, reason in ((missing, "No such file or directory"), (latin, "it is not UTF-8 text")):
        with pytest.raises(RecipeError) as refusal:
            Recipe.load(path)
        assert str(refusal.value) == f"Cannot read the recipe {path}: {reason}."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "no difference"),
        ({"optimizer.lr": 0.3}, "optimizer.lr 0.1 -> 0.3"),
        ({"optimizer": "adam", "optimizer.lr": 0.3, "seed": 4}, "optimizer sgd -> adam(lr=0.3), seed 0 -> 4"),
        ({"augment": ["flip", "crop"]}, "augment none -> flip + crop"),
        ({"model.width": 8, "model.depth": 1}, "model.depth 2 -> 1, model.width 64 -> 8"),
    ],
)
def test_a_difference_tells_what_differs_and_only_that(changes, words):
    assert difference(Recipe(), Recipe().changed(**changes)) == words


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ([{}, {}], ["all alike", "all alike"]),
        ([{}], ["all alike"]),
        ([{"optimizer.lr": 1}, {"optimizer.lr": 2}], ["lr 1.0", "lr 2.0"]),
        ([{"augment": "flip"}, {}], ["flip", "augment none"]),
        ([{}, {"optimizer": "adam", "seed": 1}], ["sgd, seed 0", "adam, seed 1"]),
        ([{"epochs": 1}, {"model": "cnn", "epochs": 1}], ["mlp", "cnn"]),
    ],
)
def test_labels_name_what_sets_recipes_apart(changes, names):
    assert labels([Recipe().changed(**change) for change in changes]) == names


@given(neighbours())
def test_labels_and_difference_notice_every_change(pair):
    a, b = pair
    assert (difference(a, b) == "no difference") == (a == b)
    assert (len(set(labels([a, b]))) == 1) == (a == b)


@cache
def validator():
    """Made once, not for every example: the schema is long."""
    schema = Recipe.model_json_schema()
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


@given(recipes())
def test_the_schema_accepts_every_recipe(recipe):
    validator().validate(json.loads(json.dumps(recipe.model_dump(mode="json"))))


@pytest.mark.parametrize("wrong", [{"optimiser": "sgd"}, {"model": {"name": "cn"}}, {"epochs": 0}, {"seed": "one"}])
def test_the_schema_refuses_what_the_recipe_refuses(wrong):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, Recipe.model_json_schema())
    with pytest.raises(RecipeError):
        Recipe(**wrong)


def test_the_schema_lists_every_option_of_every_catalogue():
    properties = Recipe.model_json_schema()["properties"]
    for kind, catalogue in CATALOGUES.items():
        options = properties[kind].get("anyOf") or properties[kind]["items"]["anyOf"]
        assert [option["properties"]["name"]["const"] for option in options] == list(catalogue)


def test_a_recipe_goes_to_another_process():
    recipe = Recipe(optimizer={"name": "adam", "lr": 1 / 3}, augment=["flip"], seed=7)
    assert pickle.loads(pickle.dumps(recipe)) == recipe
