"""The search for several settings at once: on their usual ranges, in numbers a person can type, to an end."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from small_comparisons import ADAM as FEW_ADAM
from small_comparisons import FEW, noise, small

from lab import knobs
from lab.catalogue import Knob, RecipeError, knob_of
from lab.compare import Comparison
from lab.knobs import KnobSearch, Point, at_end, range_of, tidy
from lab.plans import Plan
from lab.recipe import CATALOGUES, Recipe
from lab.reports import report
from lab.tuning import Score, widen

SEEDS = (10, 11, 12)
ADAM = Recipe(optimizer="adam")
LINEAR, LOG = Knob(0, 10), Knob(1e-4, 1, log=True)
pytestmark = pytest.mark.usefixtures("one_thread")


def searched(search: KnobSearch, outcome: Callable[[dict[str, float], int], Score]) -> KnobSearch:
    """Asked and told to its end, as a comparison does it."""
    for question in (search.explore, search.decide):
        while wanted := question():
            for point, seed in wanted:
                assert seed not in search.scores.get(point, {}), "asked for twice"
                search.tell(point, seed, outcome(dict(point), seed))
    return search


def likes_momentum(settings: dict[str, float], seed: int) -> Score:
    return 0.9 - abs(settings["optimizer.momentum"] - 0.5) / 10 + noise(seed), 0.0


# -- numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((0.9996, 0.9996), (0.99999, 0.99999), (0.99912345, 0.999123), (0.90449, 0.9045), (0.9, 0.9), (0.5, 0.5)),
        *((1.0, 1.0), (1.2345, 1.23), (0.000123456, 0.000123), (0.0, 0.0), (-0.95, -0.95)),
    ],
)
def test_numbers_have_three_digits_and_just_below_1_three_of_the_distance(value: float, expected: float) -> None:
    assert tidy(value) == expected


@given(st.floats(0, 1, exclude_max=True))
@example(0.9996)
@example(1 - 1e-9)
def test_what_is_below_1_stays_below_1_and_near(value: float) -> None:
    assert tidy(value) < 1 or value > 1 - 1e-12
    assert tidy(value) == pytest.approx(value, rel=0.005)
    assert tidy(tidy(value)) == pytest.approx(tidy(value), rel=1e-12)


@pytest.mark.parametrize(
    ("value", "knob", "expected"),
    [
        *((value, LINEAR, True) for value in (0, 0.2, 9.8, 10, 11, -1)),
        *((value, LINEAR, False) for value in (0.21, 5, 9.79)),
        *((value, LOG, True) for value in (1e-4, 1.2e-4, 0.84, 1, 2, 1e-5)),
        *((value, LOG, False) for value in (1.21e-4, 0.01, 0.83)),
    ],
)
def test_within_a_fiftieth_of_a_range_is_at_its_end(value: float, knob: Knob, expected: bool) -> None:
    assert at_end(value, knob) == expected


# -- what can be tuned --------------------------------------------------------------------------------------


def test_a_range_is_the_sliders() -> None:
    info = CATALOGUES["optimizer"]["adam"].model_fields["beta2"]
    assert range_of(ADAM, "optimizer.beta2") == knob_of(info)


@pytest.mark.parametrize(
    "key", ["optimizer.momentum", "optimizer.betta2", "optimizer", "batch_size", "epochs", "model.width", "nothing", ""]
)
def test_what_is_no_number_with_a_range_is_refused_in_words(key: str) -> None:
    with pytest.raises(RecipeError, match=rf"^{key} cannot be tuned: it is no number with a usual range in "):
        KnobSearch(ADAM, [key], 9, SEEDS)


def test_without_optuna_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(RecipeError, match=r"Optuna is needed: .*pip install optuna"):
        KnobSearch(ADAM, ["optimizer.beta2"], 9, SEEDS)


# -- the search ---------------------------------------------------------------------------------------------


def test_the_recipes_own_settings_come_first_and_the_rate_is_always_among_them() -> None:
    search = KnobSearch(Recipe(), ["optimizer.momentum"], 9, SEEDS)
    ((first, seed), *_) = search.explore()
    assert (dict(first), seed) == ({"optimizer.lr": 0.1, "optimizer.momentum": 0.0}, SEEDS[0])
    assert search.centre == first


def test_points_lie_in_their_ranges_and_the_best_third_meets_all_seeds() -> None:
    search = searched(KnobSearch(Recipe(), ["optimizer.momentum"], 12, SEEDS), likes_momentum)
    assert len(search.scores) == 12
    for point in search.scores:
        for key, value in point:
            assert search.ranges[key].low <= value <= search.ranges[key].high
            assert value == tidy(value)
    assert {point for point, scores in search.scores.items() if len(scores) == 3} == set(search.finalists)
    assert len(search.finalists) == 4
    assert search.best in search.finalists
    assert not widen([search], 12)


def test_it_comes_nearer_than_chance() -> None:
    search = searched(KnobSearch(Recipe(), ["optimizer.momentum"], 24, SEEDS), likes_momentum)
    assert abs(dict(search.best)["optimizer.momentum"] - 0.5) < 0.1


def test_a_best_value_at_the_end_of_its_range_is_told() -> None:
    def likes_none(settings: dict[str, float], seed: int) -> Score:
        return 0.9 - settings["optimizer.momentum"] / 10 - abs(math.log10(settings["optimizer.lr"] / 0.1)) / 10, 0.0

    search = KnobSearch(Recipe(), ["optimizer.momentum"], 9, SEEDS)
    assert search.edges == []  # nothing is known yet
    assert searched(search, likes_none).edges == ["optimizer.momentum"]  # its own settings are the best there are


@pytest.mark.parametrize("lost", [(-1.0, -math.inf), (0.1, -2.3)])
def test_points_that_all_fail_or_are_alike_come_to_an_end(lost: Score) -> None:
    search = searched(KnobSearch(ADAM, ["optimizer.beta2"], 9, SEEDS), lambda *_: lost)
    assert search.best in search.scores


def test_a_snapshot_does_not_change_any_more() -> None:
    search = KnobSearch(Recipe(), ["optimizer.momentum"], 9, SEEDS)
    search.tell(search.centre, SEEDS[0], (0.9, 0.0))
    still = search.snapshot()
    search.tell(search.centre, SEEDS[1], (0.8, 0.0))
    other: Point = (("optimizer.lr", 0.2), ("optimizer.momentum", 0.1))
    search.tell(other, SEEDS[0], (0.95, 0.0))
    assert still.scores == {search.centre: {SEEDS[0]: (0.9, 0.0)}}


# -- in a comparison ----------------------------------------------------------------------------------------


class Upwards:
    """A study, and its trials, that asks for what is ever closer to the upper ends."""

    def __init__(self) -> None:
        self.asked = 0

    def ask(self) -> Upwards:
        self.asked += 1
        return self

    def suggest_float(self, key: str, low: float, high: float, *, log: bool) -> float:
        return high - (high - low) / 100 / self.asked

    def tell(self, *_: object) -> None: ...


def test_betas_close_to_1_make_recipes_that_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knobs, "new_study", Upwards)
    arms = {"adam": ADAM, "adamw": Recipe(optimizer="adamw")}
    comparison = Comparison(Plan(arms=arms, knobs=("optimizer.beta2",), trials=20))
    search = comparison.searches["adam"]
    assert isinstance(search, KnobSearch)
    searched(search, lambda *_: (0.9, 0.0))
    recipes = [comparison._recipe("adam", point, 0) for point in search.scores]
    assert sum(0.9995 < recipe.model_dump()["optimizer"]["beta2"] < 1 for recipe in recipes) == 17  # not 1.000


def test_a_comparison_tunes_several_settings_and_says_what_was_chosen() -> None:
    arms = {"plain": FEW, "smooth": FEW.changed(label_smoothing=0.1)}
    comparison = small(arms, knobs=("optimizer.momentum",), trials=4, tuning_seeds=1)
    for name, search in comparison.searches.items():
        best = dict(search.best)
        assert {trial.settings for trial in comparison.of(name, "tuned")} == {tuple(best.items())}
        assert len(comparison.of(name, "search")) == 4
        said = f"  {name}: optimizer.lr {best['optimizer.lr']:g}, optimizer.momentum {best['optimizer.momentum']:g}\n"
        assert said in report(comparison).split("\n\nWhat the search chose\n")[1]


def test_an_arm_without_the_knob_is_tuned_without_it() -> None:
    comparison = Comparison(Plan(arms={"adam": ADAM, "sgd": Recipe()}, knobs=("optimizer.beta2",)))
    ranges = {
        name: list(search.ranges) for name, search in comparison.searches.items() if isinstance(search, KnobSearch)
    }
    assert ranges == {"adam": ["optimizer.lr", "optimizer.beta2"], "sgd": ["optimizer.lr"]}


def test_a_real_search_skips_the_knob_for_the_arm_without_it() -> None:
    comparison = small({"adam": FEW_ADAM, "sgd": FEW}, knobs=("optimizer.beta2",), trials=4, tuning_seeds=1)
    for name, keys in (("adam", {"optimizer.lr", "optimizer.beta2"}), ("sgd", {"optimizer.lr"})):
        assert len(comparison.of(name, "search")) == 4
        assert {key for trial in comparison.of(name, "tuned") for key, _ in trial.settings} == keys


def test_a_setting_that_is_no_number_is_refused_before_anything_trains() -> None:
    with pytest.raises(RecipeError, match=r"^optimizer\.nesterov cannot be tuned: it is no number"):
        Comparison(Plan(arms={"adam": ADAM, "sgd": Recipe()}, knobs=("optimizer.nesterov",)))
