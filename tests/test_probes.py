"""Checks that train and examine for themselves: what each calls a pass, and the lab's claims in small."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from test_claims import CLAIMS, FEW, HEAD, load
from wording import Act, bad, complaint

from lab import probes
from lab.checks import Finding
from lab.claims import Claim, numbers
from lab.recipe import Recipe, RecipeError, flat
from lab.runs import train

FEWER: dict[str, Any] = {"seeds": 2, "rates": 2}
SHORTER = FEWER | {"readings": 4, "planes": 2, "size": 3}  # what makes any check short
NEITHER = [path for path in sorted(CLAIMS.glob("*.yaml")) if "\ncomparisons:" not in path.read_text()]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def found(check: dict[str, Any], **recipes: Recipe) -> Finding:
    """Of a claim that is made of recipes."""
    claim = Claim.from_mapping(
        "x", {"claim": "x", "source": "y", "check": check, "recipes": {name: {} for name in recipes}}
    )
    claim.recipes.update(recipes)
    return claim.tried(device="cpu")[0]


@pytest.mark.parametrize("path", NEITHER, ids=lambda path: path.stem)
def test_the_labs_claims_without_comparisons_run_when_they_are_shorter(path: Path) -> None:
    claim = Claim.load(path)
    for name, recipe in claim.recipes.items():
        small = {key: value for key, value in FEW.items() if key != "modify" or not recipe.modify}
        claim.recipes[name] = recipe.changed(**small)
    check = claim.check.model_copy(update={key: SHORTER[key] for key, _ in claim.check if key in SHORTER})
    finding, comparisons = Claim("x", "x", "y", {}, check, claim.recipes).tried(device="cpu")
    assert comparisons == {}
    assert finding.result in ("PASS", "FAIL", "INCONCLUSIVE")
    assert any(letter.isdigit() for letter in finding.margin)
    kept = json.loads(numbers(claim, finding, comparisons), parse_constant=pytest.fail)
    assert list(kept["recipes"]) == list(claim.recipes)
    assert len(kept) > 5  # what was measured stands there too


# -- what is called a pass ----------------------------------------------------------------------------------

HIGH, MIDDLE, LOW = [0.9, 0.95], [0.9, 0.5], [0.1, 0.15]


@pytest.mark.parametrize(
    ("a", "b", "result"),
    [
        ([HIGH, LOW], [LOW, LOW], "PASS"),
        ([HIGH, LOW], [LOW, [0.1, 0.25]], "INCONCLUSIVE"),  # b learns a little
        ([MIDDLE, LOW], [LOW, LOW], "INCONCLUSIVE"),  # a at one seed only
        ([HIGH, HIGH], [LOW, HIGH], "FAIL"),
        ([LOW, LOW], [LOW, LOW], "FAIL"),
    ],
)
def test_one_learns_wants_every_seed_of_one_and_no_run_of_the_other(
    a: list[list[float]], b: list[list[float]], result: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {1: np.array(a), 2: np.array(b)}
    monkeypatch.setattr(probes, "scores_of", lambda recipe, *_: scores[recipe.seed])
    check = {"name": "one_learns", "low": 0.01, "high": 1, **FEWER}
    assert found(check, a=Recipe(seed=1), b=Recipe(seed=2)).result == result


def test_the_rates_and_seeds_of_a_sweep_are_all_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[Recipe] = []

    def pretend(recipes: list[Recipe], *, device: str | None) -> list[Any]:
        trained.extend(recipes)
        return [SimpleNamespace(best=SimpleNamespace(validation_accuracy=recipe.seed / 10)) for recipe in recipes]

    monkeypatch.setattr(probes, "train_many", pretend)
    scores = probes.scores_of(Recipe(), probes.grid_of(0.01, 1, 3), 2, None)
    assert scores.tolist() == [[0.0, 0.1]] * 3
    assert [(flat(recipe)["optimizer.lr"], recipe.seed) for recipe in trained] == [
        (rate, seed) for rate in (0.01, 0.1, 1.0) for seed in (0, 1)
    ]


@pytest.mark.parametrize(("init", "result"), [("constant", "PASS"), ("he_normal", "FAIL")])
def test_units_are_alike_only_from_equal_weights(init: str, result: str) -> None:
    small = Recipe().changed(**FEW)
    alike = small.changed(**{"init": init} | ({"init.value": 0.05} if init == "constant" else {}))
    assert found({"name": "units_stay_alike"}, alike=alike, random=small).result == result


def test_that_nothing_differs_anywhere_says_nothing() -> None:
    alike = Recipe(init={"name": "constant", "value": 0.05}).changed(**FEW)
    assert found({"name": "units_stay_alike"}, alike=alike, random=alike).result == "INCONCLUSIVE"


def deep(std: float, **changes: Any) -> Recipe:
    model = {"name": "mlp", "depth": 12, "width": 64}
    return Recipe(init={"name": "random_normal", "std": std}, model=model, precision="float64").changed(**changes)


@pytest.mark.parametrize(
    ("small", "far", "result"),
    [(deep(0.01), 8, "PASS"), (deep(0.01), 12, "FAIL"), (deep(1.0), 8, "FAIL"), (deep(0.01), 20, "FAIL")],
    ids=["both", "one of the two is not so far", "the other explodes too", "neither is so far"],
)
def test_a_signal_must_grow_as_far_as_is_said(small: Recipe, far: float, result: str) -> None:
    check = {"name": "signal_changes_size", "seeds": 3, "far": far}
    measured = found(check, large=deep(1.0), small=small)
    assert measured.result == result


@pytest.mark.parametrize(
    ("grown", "theory", "result"),
    [
        ([11, 12, 11], [11, 12, 11], "PASS"),
        ([11, 12, 9], [11, 12, 9], "INCONCLUSIVE"),  # not so far at one seed
        ([11, 12, 11], [11.5, 13.5, 11], "INCONCLUSIVE"),  # theory may be off by one order or not
        ([11, 12, 11], [14, 15.1, 14.2], "FAIL"),  # it is
    ],
)
def test_how_far_and_how_near_to_theory_are_judged_over_the_seeds(
    grown: list[float], theory: list[float], result: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    signs = {"large": 1, "small": -1}
    recipes = {name: Recipe(epochs=1 if sign > 0 else 2) for name, sign in signs.items()}

    def of(values: list[float]) -> Any:
        return lambda recipe: values[recipe.seed] * (1 if recipe.epochs == 1 else -1)

    monkeypatch.setattr(probes, "examine", lambda recipe, **_: recipe)
    monkeypatch.setattr(probes, "growth", of(grown))
    monkeypatch.setattr(probes, "predicted_growth", of(theory))
    assert found({"name": "signal_changes_size", "seeds": 3}, **recipes).result == result


def test_the_prediction_is_that_of_relu() -> None:
    measured = found({"name": "signal_changes_size", "seeds": 2}, large=deep(1.0), small=deep(0.01))
    gain = math.log10(math.sqrt(64 / 2))
    for name, per_layer in (("large", gain), ("small", gain - 2)):
        numbers_of = measured.measured["orders"][name]
        theory = [grown - off for grown, off in zip(*numbers_of.values(), strict=True)]
        assert theory == pytest.approx([12 * per_layer] * 2, abs=0.1)


def test_a_signal_that_leaves_its_precision_is_refused_in_words() -> None:
    lost = deep(0.01, **{"precision": "float32", "model.depth": 60})
    with pytest.raises(RecipeError, match="use precision float64 or fewer layers"):
        found({"name": "signal_changes_size", "seeds": 2}, large=deep(1.0), small=lost)


@pytest.mark.parametrize(
    ("suggested", "result"),
    [({"x": 0.1, "y": 1.0}, "PASS"), ({"x": 0.1, "y": 10.0}, "INCONCLUSIVE"), ({"x": 5.0}, "FAIL"), ({}, "FAIL")],
)
def test_every_rule_must_suggest_a_good_rate(
    suggested: dict[str, float], result: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = np.array([[0.5, 0.5], [0.9, 0.9], [0.9, 0.9], [0.1, 0.1]])  # at .01, .1, 1, 10
    monkeypatch.setattr(probes, "scores_of", lambda *_: scores)
    monkeypatch.setattr(probes, "range_test", lambda *_, **__: SimpleNamespace(suggestions=suggested))
    check = {"name": "range_test_brackets", "low": 0.01, "high": 10, "rates": 4, "seeds": 2}
    assert found(check, any=Recipe()).result == result


@pytest.mark.parametrize(
    ("training", "validation", "result"),
    [
        ([1.0, 1.0], [0.1, 0.12], "PASS"),
        ([1.0, 0.9], [0.1, 0.12], "INCONCLUSIVE"),
        ([0.9, 0.9], [0.1, 0.12], "FAIL"),
        ([1.0, 1.0], [0.1, 0.3], "INCONCLUSIVE"),
        ([1.0, 1.0], [0.3, 0.3], "FAIL"),
    ],
)
def test_by_heart_is_all_of_training_and_none_of_validation(
    training: list[float], validation: list[float], result: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs = [
        SimpleNamespace(train_accuracy=train, validation_accuracy=other)
        for train, other in zip(training, validation, strict=True)
    ]
    runs = [SimpleNamespace(history=SimpleNamespace(epochs=[epoch])) for epoch in epochs]
    monkeypatch.setattr(probes, "train_many", lambda *_, **__: runs)
    assert found({"name": "learns_by_heart", "seeds": 2}, random=Recipe()).result == result


@pytest.mark.parametrize(
    ("right", "result"),
    [([0.9, 0.93], "PASS"), ([0.9, 0.8], "INCONCLUSIVE"), ([0.8, 0.8], "FAIL"), ([0.95, 0.8], "FAIL")],
)
def test_a_level_is_that_of_every_seed(right: list[float], result: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "accuracy_on_test", lambda recipe, _: right[recipe.seed])
    check = {"name": "lands_between", "a": "random", "seeds": 2, "low": 0.876, "high": 0.939}
    assert found(check, random=Recipe()).result == result


def test_a_level_is_measured_on_test_images() -> None:
    recipe = Recipe(epochs=1)
    _, right = train(recipe, device="cpu").test(device="cpu")
    assert probes.accuracy_on_test(recipe, "cpu") == pytest.approx(right)


@pytest.mark.parametrize(("k", "plain", "momentum"), [(9, 0.8, 0.5), (100, 99 / 101, 9 / 11)])
def test_the_measured_rates_of_descent_are_those_of_theory(k: int, plain: float, momentum: float) -> None:
    for name, rate in (("plain", plain), ("momentum", momentum)):
        choice, _, theory = probes.best_settings(k)[name]
        assert theory == pytest.approx(rate)
        assert probes.rate_of_descent(choice, k) == pytest.approx(rate, rel=0.01)


def test_no_result_off_by_more_than_is_allowed_passes() -> None:
    claim = Claim.from_mapping(
        "x", {"claim": "x", "source": "y", "check": {"name": "rate_of_momentum", "tolerance": 1e-9}}
    )
    assert claim.tried()[0].result == "FAIL"


# -- what a person writes -----------------------------------------------------------------------------------

ONE = "check: {name: learns_by_heart, a: x}\n"
WRITTEN = [
    bad("no recipes", load(HEAD + ONE), "PLACE/claim.yaml: A claim needs recipes: check learns_by_heart judges them."),
    bad(
        "recipes that are not looked at",
        load(HEAD + "check: rate_of_momentum\nrecipes: {x: {}}"),
        "PLACE/claim.yaml: check rate_of_momentum brings its own problem: take out recipes.",
    ),
    bad(
        "comparisons beside recipes",
        load(HEAD + ONE + "recipes: {x: {}}\ncomparisons: {}"),
        "PLACE/claim.yaml: check learns_by_heart judges recipes: take out comparisons.",
    ),
    bad(
        "recipes a list",
        load(HEAD + ONE + "recipes: [x]"),
        "PLACE/claim.yaml: `recipes` must be a mapping from a name to a recipe.",
    ),
    bad(
        "a recipe that is a word",
        load(HEAD + ONE + "recipes: {x: sgd}"),
        "PLACE/claim.yaml: x must be a recipe such as `{optimizer: sgd}`, but is 'sgd'.",
    ),
    bad(
        "a bad recipe",
        load(HEAD + ONE + "recipes: {x: {epoch: 3}}"),
        "PLACE/claim.yaml: x: Unknown recipe key 'epoch'. "
        f"Did you mean 'epochs'? Expected one of: {', '.join(Recipe.model_fields)}.",
    ),
    bad(
        "a recipe that is not there",
        load(HEAD + ONE + "recipes: {y: {}}"),
        "PLACE/claim.yaml: Unknown recipe 'x' in check learns_by_heart. Expected one of: y.",
    ),
]


@pytest.mark.parametrize(("act", "said"), WRITTEN)
def test_a_bad_claim_of_recipes_is_answered_in_words(act: Act, said: str, tmp_path: Path) -> None:
    assert complaint(act, tmp_path, RecipeError) == said
