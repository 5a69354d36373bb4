"""Catalogues: options describe themselves, and whatever they describe can be read back."""

from inspect import cleandoc
from typing import Annotated, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError
from strategies import OPTIONS, specs

import lab
from lab.catalogue import Catalogue, Knob, RecipeError, bounds_of, edits, first_sentence, knob_of
from lab.recipe import CATALOGUES

Strength = Annotated[float, Field(gt=0, le=2, description="how much"), Knob(0.1, 1)]
every_option = pytest.mark.parametrize(("kind", "name"), OPTIONS, ids=[f"{kind}-{name}" for kind, name in OPTIONS])


@pytest.fixture
def colours():
    catalogue = Catalogue("colour")

    @catalogue.add
    def red(image, *, strength: Strength = 1.0, tone: Literal["warm", "cold"] = "warm", layers: int = 1):
        """A red tint. Source: this test."""
        return image, strength, tone, layers

    @catalogue.add(rules={"glow needs light.": lambda choice: choice.light or not choice.glow})
    def green(image, *, light: bool = False, glow: bool = False):
        """A green tint. Source: this test."""
        return image, light, glow

    return catalogue


def run_cell(catalogue, source, module="__main__"):
    """Run a piece of source as a notebook or another module does."""
    exec(source, {"__name__": module, "catalogue": catalogue})


def blue(default, body="return image"):
    return f'@catalogue.add\ndef blue(image, *, shade: float = {default}):\n    "A blue tint."\n    {body}\n'


def test_an_option_of_a_notebook_cell_joins_at_the_end(colours):
    run_cell(colours, blue(0.5))
    assert list(colours) == ["red", "green", "blue"]
    assert colours.parse("blue").shade == 0.5


def test_a_cell_that_runs_again_replaces_its_option(colours):
    run_cell(colours, blue(0.5, "return 'first'"))
    run_cell(colours, blue(0.7, "return 'second'"))
    assert list(colours) == ["red", "green", "blue"]
    assert colours.parse("blue").shade == 0.7
    assert colours.build(colours.parse("blue"), None) == "second"


def test_a_choice_made_before_its_option_was_replaced_is_read_anew(colours):
    run_cell(colours, blue(0.5))
    earlier = colours.parse({"name": "blue", "shade": 0.1})
    run_cell(colours, blue(0.7))
    again = colours.parse(earlier)
    assert type(again) is colours["blue"]
    assert again.shade == 0.1


def test_two_modules_cannot_own_one_name(colours):
    run_cell(colours, blue(0.5), module="paints")
    with pytest.raises(ValueError, match=r"^colour 'blue' exists already, in paints\.$"):
        run_cell(colours, blue(0.7))
    assert colours.parse("blue").shade == 0.5


@pytest.mark.parametrize("setting", ["shade", "shade=1.0", "shade: float"])
def test_a_setting_needs_a_type_and_a_default(colours, setting):
    with pytest.raises(ValueError, match=r"^colour 'blue': setting 'shade' needs a type and a default\.$"):
        run_cell(colours, f"@catalogue.add\ndef blue(image, *, {setting}): pass")
    assert "blue" not in colours


@pytest.mark.parametrize("name", ["on", "off", "yes", "no", "Y", "N", "Off", "null"])
def test_names_that_yaml_reads_as_something_else_are_refused(colours, name):
    with pytest.raises(ValueError, match=f"^An option cannot be called '{name}': YAML reads that as a boolean"):
        run_cell(colours, f"@catalogue.add\ndef {name}(image): pass")
    assert name not in colours


def test_build_hands_over_context_then_settings(colours):
    assert colours.build(colours.parse({"name": "red", "strength": 2, "tone": "cold"}), "sky") == (
        "sky",
        2.0,
        "cold",
        1,
    )


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ("rde", "Unknown colour 'rde'. Did you mean 'red'? Expected one of: red, green."),
        ("mauve", "Unknown colour 'mauve'. Expected one of: red, green."),
        (3, "colour is 3, but must be a name or a mapping with a name. Expected one of: red, green."),
        ({"name": None}, "Unknown colour None. Expected one of: red, green."),
        (
            {"name": "red", "strenght": 1},
            "Unknown setting 'strenght' of colour red. Did you mean 'strength'? "
            "Expected one of: strength, tone, layers.",
        ),
        (
            {"name": "red", "strength": -1},
            "colour red: strength is -1, but must be a number greater than 0 and at most 2 (usual: 0.1 to 1).",
        ),
        ({"name": "red", "strength": float("nan")}, None),
        ({"name": "red", "tone": "hot"}, "colour red: tone is 'hot', but must be one of: warm, cold."),
        ({"name": "red", "layers": 1.5}, "colour red: layers is 1.5, but must be a whole number."),
        ({"name": "red", "layers": True}, "colour red: layers is True, but must be a number."),
        ({"name": "green", "glow": True}, "colour green: glow needs light."),
    ],
)
def test_what_is_refused_and_what_is_said(colours, given_, said):
    with pytest.raises(RecipeError) as refusal:
        colours.parse(given_)
    assert said in (None, str(refusal.value))


def test_every_fault_has_its_line(colours):
    with pytest.raises(RecipeError) as refusal:
        colours.parse({"name": "red", "strength": 0, "tone": "hot"})
    assert len(str(refusal.value).splitlines()) == 2


def test_a_choice_cannot_be_changed(colours):
    with pytest.raises(ValidationError, match="frozen"):
        colours.parse("red").strength = 2


def test_a_choice_names_only_what_is_not_its_default(colours):
    assert str(colours.parse("red")) == "red"
    assert str(colours.parse({"name": "red", "tone": "cold", "strength": 0.5})) == "red(strength=0.5, tone=cold)"


def test_the_schema_offers_the_options_there_are_now(colours):
    def names():
        return [option["properties"]["name"]["const"] for option in colours.json_schema()["anyOf"]]

    assert names() == ["red", "green"]
    run_cell(colours, blue(0.5))
    assert names() == ["red", "green", "blue"]


def test_the_schema_of_a_setting_has_its_bounds_and_its_words(colours):
    strength = colours.json_schema()["anyOf"][0]["properties"]["strength"]
    assert (strength["exclusiveMinimum"], strength["maximum"]) == (0, 2)
    assert (strength["description"], strength["default"]) == ("how much", 1.0)


def test_the_tooltip_is_the_first_sentence(colours):
    assert colours.sentence("red") == "A red tint."
    assert first_sentence("One\n    line. Two.\n\n    Three.") == "One line."
    assert first_sentence("Is it one? Yes.") == "Is it one?"
    assert first_sentence(None) == ""


@every_option
def test_every_tooltip_is_the_beginning_of_its_text(kind, name):
    doc = " ".join(cleandoc(CATALOGUES[kind].functions[name].__doc__).split())
    assert doc.startswith(CATALOGUES[kind].sentence(name))


@every_option
def test_every_option_explains_itself(kind, name):
    doc = cleandoc(CATALOGUES[kind].functions[name].__doc__ or "")
    first, *blocks, source = doc.split("\n\n")
    assert first.endswith((".", "?"))
    assert CATALOGUES[kind].sentence(name)[0].isupper() or first[0].isdigit()
    assert any(block.strip() for block in blocks), "a formula or shapes stand between the sentence and the source"
    assert source.startswith("Source: ")
    assert doc.isascii()


@every_option
def test_every_setting_has_words_and_every_number_a_slider(kind, name):
    for key, field in CATALOGUES[kind][name].model_fields.items():
        if key != "name":
            assert field.description, key
            assert (knob_of(field) is not None) == (field.annotation in (int, float)), key
            assert bounds_of(field) or field.annotation not in (int, float), key


@every_option
def test_every_default_and_both_ends_of_every_slider_are_valid(kind, name):
    choice = CATALOGUES[kind][name]
    defaults = choice().model_dump()
    assert CATALOGUES[kind].parse(defaults).model_dump() == defaults
    for key, field in choice.model_fields.items():
        for end in (knob_of(field) or ())[:2]:
            assert getattr(CATALOGUES[kind].parse({"name": name, key: end}), key) == end


@given(st.data())
@every_option
def test_every_choice_survives_the_way_there_and_back(kind, name, data):
    spec = data.draw(specs(kind, name))
    choice = CATALOGUES[kind].parse(spec)
    assert choice.model_dump() == spec
    assert CATALOGUES[kind].parse(choice.model_dump(mode="json")) == choice
    assert CATALOGUES[kind].parse(choice) == choice


def test_a_default_outside_its_range_and_a_setting_called_name_are_refused_at_once():
    colours = Catalogue("colour")

    def dark(image, *, strength: Annotated[float, Field(gt=0)] = -1.0):
        """A dark tint. Source: this test."""

    def named(image, *, name: str = "x"):
        """A tint with a name. Source: this test."""

    with pytest.raises(ValueError, match=r"strength is -1\.0, but must be a number greater than 0"):
        colours.add(dark)
    with pytest.raises(ValueError, match="a setting cannot be called 'name'"):
        colours.add(named)


@pytest.mark.parametrize(
    ("heading", "meant"),
    [
        ("image, shade=0.5", "image, *, shade: float = 0.5"),
        ("image, other, shade='pale', *, tone: int = 1", "image, other, *, shade: str = 'pale'"),
    ],
)
def test_a_setting_before_the_star_is_refused_with_what_to_write(colours, heading, meant):
    with pytest.raises(ValueError, match="colour 'blue'") as refusal:
        run_cell(colours, f"@catalogue.add\ndef blue({heading}): return image")
    said = "colour 'blue': 'shade' stands before `*`, where nothing can be chosen. Write: def blue({})"
    assert str(refusal.value) == said.format(meant)
    assert "blue" not in colours


def test_a_forgotten_return_is_named_where_something_must_come_back():
    tints = Catalogue("tint", gives="an image")

    @tints.add
    def pale(image):
        """A tint that forgets to return. Source: this test."""

    with pytest.raises(RecipeError) as refusal:
        tints.build(tints.parse("pale"), "sky")
    assert str(refusal.value) == (
        "tint 'pale' returned nothing, but must return an image: is a `return` missing at the end of its function?"
    )


@pytest.mark.usefixtures("own_options")
def test_an_optimizer_that_forgets_its_return_is_named_before_the_first_step():
    @lab.optimizers.add
    def forgetful(params, *, lr: Strength = 0.1):
        """An optimizer that nobody gets. Source: this test."""
        torch.optim.SGD(params, lr=lr)

    with pytest.raises(RecipeError, match=r"^optimizer 'forgetful' returned nothing, but must return a torch\.optim\."):
        lab.train(lab.Recipe(optimizer="forgetful"), progress=False, device="cpu")


@pytest.mark.parametrize(
    ("field", "word", "hint"),
    [
        ("activation", "Relu", "Did you mean 'relu'?"),
        ("optimizer", "ADAM", "Did you mean 'adam'?"),
        ("model", "CNN", "Did you mean 'cnn'?"),
        ("optimizer", "adma", "Did you mean 'adam'?"),  # two letters swapped are nearer than adamax
        ("activation", "Swish", "Here it is called 'silu'."),
        ("init", "kaiming_normal", "Here it is called 'he_normal'."),
        ("model", "resnet50", "It is a network of torchvision: {name: torchvision, network: resnet50}."),
    ],
)
def test_other_names_of_the_field_are_answered_with_ours(field, word, hint):
    with pytest.raises(RecipeError) as refusal:
        CATALOGUES[field].parse(word)
    assert str(refusal.value).startswith(f"Unknown {CATALOGUES[field].kind} {word!r}. {hint} Expected one of: ")


@pytest.mark.parametrize(
    ("a", "b", "count"),
    [
        ("", "", 0),
        ("", "abc", 3),
        ("lr", "rl", 1),  # swapped
        ("adam", "adamw", 1),  # added
        ("sgdd", "sgd", 1),  # dropped
        ("gelu", "selu", 1),  # changed
        ("kitten", "sitting", 3),
        ("ca", "abc", 3),  # no place is edited twice: with that it would be 2
    ],
)
def test_edits_count_letters_changed_added_dropped_and_swapped(a, b, count):
    assert edits(a, b) == edits(b, a) == count


@pytest.mark.parametrize("kind", CATALOGUES)
def test_no_alias_hides_an_option_and_each_leads_to_one(kind):
    aliases = CATALOGUES[kind].aliases
    assert not set(aliases) & set(CATALOGUES[kind])
    assert set(aliases.values()) <= set(CATALOGUES[kind])
