"""The list and the page of options: nothing is missing, and the page in the docs is that of the catalogues."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from lab.__main__ import main
from lab.catalogue import Catalogue, Knob, bounds_of, knob_of
from lab.option_tables import (
    KINDS,
    PLAIN,
    TRIED,
    Told,
    in_words,
    lines_of,
    options_in,
    page,
    plain_fields,
    row,
    section,
    shipped,
)
from lab.recipe import CATALOGUES, Recipe

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = json.loads((DOCS / "options_results.json").read_text())
EVERY = [
    *((field, name) for field in KINDS.values() for name in shipped(field)),
    *((PLAIN, field) for field in TRIED),
]
CURE = "run `python docs/run_options.py`"


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue]:
    """A catalogue of one option, in the place of the augmentations."""
    catalogue = Catalogue("colour")

    @catalogue.add
    def red(
        image: object,
        *,
        strength: Annotated[float, Field(ge=0, lt=1, description="how red"), Knob(0.01, 0.5, log=True)] = 0.1,
        bright: bool = False,
        tone: Literal["warm", "cold"] = "warm",
    ) -> object:
        """A red tint, by |x|. It is mild.

        x <- x + strength

        Source: this
            test.
        """
        return image

    monkeypatch.setitem(CATALOGUES, "augment", catalogue)
    return catalogue


def test_every_kind_of_option_has_its_place() -> None:
    assert set(KINDS.values()) == set(CATALOGUES)


def test_every_other_field_of_a_recipe_is_listed_and_tried_at_another_value_than_its_own() -> None:
    there = [told.name for told in plain_fields()]
    assert sorted([*there, *CATALOGUES]) == sorted(Recipe.model_fields)
    assert there == list(TRIED)
    for field, value in TRIED.items():
        assert getattr(Recipe(**{field: value}), field) == value != Recipe.model_fields[field].default


@pytest.mark.parametrize("told", plain_fields(), ids=lambda told: told.name)
def test_every_other_field_has_a_sentence_a_formula_and_a_source(told: Told) -> None:
    assert told.sentence.endswith((".", ":"))
    assert told.body
    assert told.source
    assert told.settings[told.name].description


def test_the_command_lists_the_recipes_own_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["options", "recipe"]) == 0
    assert capsys.readouterr().out.partition("\n  cooldown")[0].splitlines() == [
        "recipe",
        "  warmup: The learning rate rises in a straight line from 0 to where the schedule begins.",
        "      warmup=0.0 (at least 0 and less than 1; usually 0 to 0.5): fraction of the run in which the rate rises "
        "from 0",
        "      rate = lr factor(0) progress / warmup        while progress < warmup",
        "      The schedule then has what is left between warm-up and cool-down.",
        "      Source: Goyal et al. 2017, arXiv 1706.02677, section 2.2.",
    ]


def test_a_field_or_the_name_of_an_option_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for words in ("models", "model", "resnet", "nothing", "epochs"):
        assert main(["options", words]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert told[2].startswith("models\n  resnet: ")
    assert [re.findall(r"^ {0,2}\w+:?", text, re.MULTILINE) for text in told[2:]] == [
        ["models", "  resnet:"],
        ["averages", "  nothing:", "sources", "  nothing:"],
        ["recipe", "  epochs:"],
    ]


def test_machines_get_a_schema_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["options", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [*KINDS, PLAIN]
    assert found["optimizers"]["sgd"]["properties"]["lr"]["exclusiveMinimum"] == 0
    assert found["recipe"]["patience"]["default"] == 0


def test_a_line_has_default_valid_and_usual_range_and_what_it_is(colours: Catalogue) -> None:
    assert list(lines_of(options_in(colours))) == [
        "  red: A red tint, by |x|.",
        "      strength=0.1 (at least 0 and less than 1; usually 0.01 to 0.5, log): how red",
        "      bright=false (true or false)",
        "      tone=warm (warm | cold)",
        "      Source: this test.",
    ]


def test_a_section_has_the_sentence_the_result_the_formula_the_settings_and_the_source(colours: Catalogue) -> None:
    result = {"red": {"status": "finished", "validation_accuracy": 0.9744}}
    assert section("augmentations", "augment", ["red"], result).splitlines() == [
        "## augmentations (`augment`)",
        "",
        "| option | | on digits |",
        "|---|---|---|",
        "| [red](#augment-red) | A red tint, by \\|x\\|. | 97.4 % |",
        "",
        '<a id="augment-red"></a>',
        "### red",
        "",
        "A red tint, by |x|.",
        "",
        "```text",
        "It is mild.",
        "",
        "x <- x + strength",
        "```",
        "",
        "| setting | default | valid | usual | |",
        "|---|---|---|---|---|",
        "| `strength` | `0.1` | at least 0 and less than 1 | 0.01 to 0.5, log | how red |",
        "| `bright` | `false` | true or false |  |  |",
        "| `tone` | `warm` | warm \\| cold |  |  |",
        "",
        "Source: this test.",
    ]


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"status": "finished", "validation_accuracy": 0.97449}, "97.4 %"),
        ({"status": "stuck", "validation_accuracy": 0.1}, "gets stuck (10.0 %)"),
        ({"status": "diverged", "validation_accuracy": 0.1}, "diverges"),
        ({"status": "diverged", "validation_accuracy": None}, "diverges"),
        ({"status": "out_of_memory", "validation_accuracy": None}, "out of memory"),
        ({"said": "not on digits"}, "not on digits"),
        ({}, "no result yet"),
    ],
)
def test_a_result_in_words(result: dict[str, object], said: str) -> None:
    assert in_words(result) == said


def test_a_bar_does_not_end_a_cell() -> None:
    assert row("a|b", "c") == "| a\\|b | c |"


@pytest.mark.parametrize(("field", "name"), EVERY)
def test_every_option_was_run_on_digits(field: str, name: str) -> None:
    result = RESULTS.get(field, {}).get(name)
    assert result, f"{field} {name} has no result: {CURE}"
    unused = {"data": "not on digits", "source": "no effect without a transfer"}
    why = "not without a source" if name == "pretrained" else unused.get(field)
    assert "status" in result or result == {"said": why}


def test_the_page_in_the_docs_is_that_of_the_catalogues() -> None:
    assert (DOCS / "options.md").read_text() == page(RESULTS), CURE


@pytest.mark.parametrize(("field", "value"), TRIED.items())
def test_the_result_of_a_field_is_that_of_the_value_beside_it(field: str, value: object) -> None:
    result = RESULTS[PLAIN][field]
    assert result["command"] == f"lab run {field}={value}", CURE
    assert result["recipe"] == Recipe(**{field: value}).id, CURE


def test_results_of_options_that_are_gone_are_gone_too() -> None:
    assert [(field, name) for field, found in RESULTS.items() for name in found] == EVERY


def test_what_a_notebook_adds_is_listed_and_not_in_the_docs(colours: Catalogue) -> None:
    assert "red" in "".join(lines_of(options_in(colours)))
    assert shipped("augment") == []
    assert "red tint" not in page({})


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_lists_every_option_with_settings_ranges_and_source(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["options", kind]) == 0
    said = capsys.readouterr().out
    catalogue = CATALOGUES[KINDS[kind]]
    assert said.startswith(f"{kind}\n")
    for name, choice in catalogue.items():
        assert f"\n  {name}: {catalogue.sentence(name)}\n" in said
        for key, field in choice.model_fields.items():
            assert key == "name" or f"\n      {key}=" in said
            if knob := knob_of(field):
                assert f"{knob.low:g} to {knob.high:g}" in said
            assert bounds_of(field) in said
    assert said.count("Source: ") >= len(shipped(KINDS[kind]))
