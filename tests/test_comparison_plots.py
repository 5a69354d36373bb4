"""Pictures of comparisons show what was found: every mark at its number, apart for every eye, and words for nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_comparisons import CHANCE, come_to, finals, trial
from test_plots import luminance

from lab.compare import Comparison, Trial
from lab.comparison_plots import (
    GREY,
    accuracy_by_rate,
    curves_with_bands,
    differences,
    front,
    pareto,
)
from lab.figure_parts import DEPTH
from lab.recipe import Recipe
from lab.trial_plots import WORST_TO_BEST, heat, parallel

SHORT = Recipe(epochs=3)
ARMS = {
    "sgd": SHORT.changed(**{"optimizer.lr": 0.01}),
    "adam": SHORT.changed(optimizer="adam", **{"optimizer.lr": 0.01}),
    "rmsprop": SHORT.changed(optimizer="rmsprop", **{"optimizer.lr": 0.01}),
}
SEARCHED = {0.001: [0.85], 0.01: [0.9, 0.92], 0.1: [0.95, 0.97]}
FIGURES: dict[str, Callable[[Comparison], go.Figure]] = {
    "accuracy_by_rate": accuracy_by_rate,
    "curves_with_bands given": partial(curves_with_bands, phase="given"),
    "curves_with_bands tuned": partial(curves_with_bands, phase="tuned"),
    "differences given": partial(differences, phase="given"),
    "differences tuned": partial(differences, phase="tuned"),
    "pareto given": partial(pareto, phase="given"),
    "pareto tuned": partial(pareto, phase="tuned", x="flops"),
}
every_figure = pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)


def searched(arm: str, tried: Mapping[float, Sequence[float]]) -> list[Trial]:
    return [
        trial(arm, "search", 10_000 + seed, accuracy, rate=rate, test_accuracy=None)
        for rate, accuracies in tried.items()
        for seed, accuracy in enumerate(accuracies)
    ]


def comparison(trials: Sequence[Trial], arms: Mapping[str, Recipe] = ARMS, **settings: Any) -> Comparison:
    return come_to(trials, arms, **settings)


def named(figure: go.Figure, name: str) -> Any:
    """The last trace of a name: of an arm its line or its mean."""
    return [each for each in figure.data if each.name == name][-1]


def words_in(figure: go.Figure) -> str:
    return " ".join(note.text.replace("<br>", " ") for note in figure.layout.annotations)


# -- all of them ------------------------------------------------------------------------------------------------


@every_figure
def test_where_nothing_is_known_words_say_so(draw: Callable[[Comparison], go.Figure]) -> None:
    assert words_in(draw(comparison([]))) in ("No rate was tried yet.", "No run has ended yet.")
    assert not draw(comparison([])).data


@every_figure
def test_every_stage_on_the_way_can_be_drawn(draw: Callable[[Comparison], go.Figure]) -> None:
    trials = [each for arm in ARMS for each in searched(arm, SEARCHED)]
    for phase in ("given", "tuned"):
        trials += finals({"sgd": [0.9, 0.91], "adam": [0.93, 0.95], "rmsprop": [0.95, 0.96]}, phase)
    for count in [*range(0, len(trials), 3), len(trials)]:
        figure = draw(comparison(trials[:count]))
        assert figure.data or words_in(figure)
    assert figure.layout.xaxis.title.text
    assert figure.layout.title.text


@pytest.mark.parametrize("draw", [curves_with_bands, differences, pareto])
def test_a_phase_that_shows_nothing(draw: Callable[..., go.Figure]) -> None:
    found = comparison(finals({"sgd": [0.9, 0.91], "adam": [0.93, 0.95]}), tune=False)
    assert words_in(draw(found, "tuned")) == "This comparison was planned without a search: there are no tuned rates."
    with pytest.raises(ValueError, match=r"phase is 'search'\. Expected one of: given, tuned\."):
        draw(found, "search")


def test_a_comparison_without_a_search_says_so() -> None:
    found = comparison(finals({"sgd": [0.9], "adam": [0.93], "rmsprop": [0.9]}), tune=False)
    assert words_in(accuracy_by_rate(found)) == "This comparison was planned without a search."


def test_eight_arms_differ_in_more_than_colour() -> None:
    arms = {f"arm {i}": SHORT.changed(**{"optimizer.lr": 0.01 * (i + 1)}) for i in range(8)}
    figure = curves_with_bands(comparison(finals({name: [0.9, 0.95] for name in arms}), arms), "given")
    lines = [each for each in figure.data if each.name]
    assert len({(each.line.color, each.line.dash, each.marker.symbol) for each in lines}) == 8
    assert len({(each.line.dash, each.marker.symbol) for each in lines}) == 8


def test_names_are_shown_letter_by_letter_in_short_lines() -> None:
    long = "sgd, momentum 0.9, nesterov, weight decay 0.0005, cosine schedule"
    arms = {"<b>lr</b> < 1": ARMS["sgd"], long: ARMS["adam"]}
    found = comparison(finals({name: [0.9, 0.95] for name in arms}), arms)
    names = {each.name for each in curves_with_bands(found, "given").data}
    assert names >= {
        "&lt;b&gt;lr&lt;/b&gt; &lt; 1",
        "sgd, momentum 0.9, nesterov, weight<br>decay 0.0005, cosine schedule",
    }
    (pair,) = differences(found, "given").layout.yaxis.ticktext
    assert max(len(line) for line in pair.split("<br>")) <= 2 + 38


def test_more_names_make_a_higher_figure() -> None:
    heights = []
    for count in (2, 8):
        arms = {
            f"an arm with a longer name {i}": SHORT.changed(**{"optimizer.lr": 0.01 * (i + 1)}) for i in range(count)
        }
        found = comparison(finals({name: [0.9, 0.95] for name in arms}), arms)
        heights.append(curves_with_bands(found, "given").layout.height)
    assert heights[1] > heights[0]


@pytest.mark.parametrize("colour", [GREY, WORST_TO_BEST[0][1], WORST_TO_BEST[-1][1]])
@pytest.mark.parametrize("paper", ["#ffffff", "#111111"])
def test_colours_stand_out_on_white_and_on_black(colour: str, paper: str) -> None:
    low, high = sorted([luminance(colour), luminance(paper)])
    assert (high + 0.05) / (low + 0.05) >= 3


# -- the search -------------------------------------------------------------------------------------------------


def test_the_search_shows_means_seeds_and_the_rates_given_and_taken() -> None:
    figure = accuracy_by_rate(comparison(searched("sgd", SEARCHED)))
    dots, line, given_, taken = figure.data[:4]
    assert list(dots.x) == [0.001, 0.01, 0.01, 0.1, 0.1]
    assert list(line.x) == [0.001, 0.01, 0.1]
    assert list(line.y) == pytest.approx([85, 91, 96])
    assert list(line.text) == ["1 seed", "2 seeds", "2 seeds"]
    assert (given_.marker.symbol, given_.x[0], given_.y[0]) == ("circle-open", 0.01, pytest.approx(91))
    assert (taken.marker.symbol, taken.x[0], taken.y[0]) == ("star", 0.1, pytest.approx(96))
    assert [each.name for each in figure.data if each.showlegend is None] == [*ARMS, "rate given", "rate taken"]
    assert figure.layout.xaxis.type == "log"
    assert figure.layout.title.text == "Accuracy by learning rate, so far"


def test_a_given_rate_that_the_search_rounds_is_marked_where_it_was_tried() -> None:
    arms = {"sgd": SHORT.changed(**{"optimizer.lr": 0.0123456}), "adam": ARMS["adam"]}
    figure = accuracy_by_rate(comparison(searched("sgd", {0.0123: [0.9]}), arms))
    assert [each.x[0] for each in figure.data if each.text == ("rate given",)] == [0.0123]


def test_rates_that_fail_do_not_flatten_the_others() -> None:
    figure = accuracy_by_rate(comparison(searched("sgd", SEARCHED | {1.0: [CHANCE]})))
    assert figure.layout.yaxis.range[0] == pytest.approx(96 - DEPTH)
    assert "from 71% up, double-click: all" in figure.layout.title.subtitle.text
    assert accuracy_by_rate(comparison(searched("sgd", SEARCHED))).layout.yaxis.range is None


def test_an_arm_that_is_far_behind_stays_in_the_picture_but_one_that_only_failed_need_not() -> None:
    behind = searched("sgd", {0.01: [0.98]}) + searched("adam", {0.01: [0.6], 0.1: [CHANCE]})
    assert accuracy_by_rate(comparison(behind)).layout.yaxis.range[0] == pytest.approx(55)
    lost = [trial("adam", "search", 10_000, CHANCE, status="diverged")]
    figure = accuracy_by_rate(comparison(searched("sgd", {0.01: [0.98]}) + lost))
    assert figure.layout.yaxis.range[0] == pytest.approx(98 - DEPTH)


# -- the final runs ---------------------------------------------------------------------------------------------


def test_curves_show_the_mean_and_the_range_of_the_seeds() -> None:
    figure = curves_with_bands(comparison(finals({"sgd": [0.86, 0.9, 0.94]})), "given")
    band, line = figure.data
    assert list(line.x) == [1, 2, 3]
    assert list(line.y) == pytest.approx([70, 80, 90])
    assert list(band.y) == pytest.approx([74, 84, 94, 86, 76, 66])
    assert line.text[-1] == "86.0 to 94.0%, 3 seeds"
    assert figure.layout.title.subtitle.text == "line: mean of 3 seeds; band: lowest to highest seed"


def test_from_where_a_run_diverged_its_curve_is_chance() -> None:
    lost = trial("sgd", "given", 1, CHANCE, status="diverged", epochs=1, curve=(0.5,))
    never = trial("sgd", "given", 2, CHANCE, status="diverged", epochs=0, curve=())
    line = named(curves_with_bands(comparison([trial("sgd", "given", 0, 0.9), lost, never]), "given"), "sgd")
    assert list(line.y) == pytest.approx([100 * (0.7 + 0.5 + 0.1) / 3, 100 * (0.8 + 0.2) / 3, 100 * (0.9 + 0.2) / 3])


def test_arms_may_have_different_numbers_of_epochs() -> None:
    arms = {"sgd": ARMS["sgd"], "long": Recipe(epochs=700, optimizer="adam")}
    found = comparison(finals({"sgd": [0.9, 0.8]}), arms)
    found.arms = arms  # as a budget other than epochs leaves them
    found.trials += finals({"long": [0.9, 0.8]}, epochs=700, curve=tuple(np.linspace(0, 0.9, 700)))
    figure = curves_with_bands(found, "given")
    assert list(named(figure, "sgd").x) == [1, 2, 3]
    assert list(named(figure, "long").x) == list(range(1, 701, 3))
    assert len(figure.data[-2].x) == 2 * len(figure.data[-1].x)


def judged(**scores: Sequence[float]) -> Comparison:
    return comparison(finals(scores), {name: ARMS[name] for name in scores})


def test_differences_are_those_of_the_verdicts_and_shown_ones_are_filled() -> None:
    found = judged(sgd=[0.8, 0.81, 0.8, 0.79], adam=[0.9, 0.92, 0.91, 0.9], rmsprop=[0.9, 0.93, 0.9, 0.91])
    figure = differences(found, "given")
    filled, hollow = named(figure, "difference shown"), named(figure, "no difference shown")
    assert (filled.marker.symbol, hollow.marker.symbol) == ("circle", "circle-open")
    assert list(figure.layout.yaxis.ticktext) == ["rmsprop - adam", "adam - sgd", "rmsprop - sgd"]
    assert (list(hollow.y), list(filled.y)) == ([0], [1, 2])
    by_pair = {f"{verdict.a} - {verdict.b}": verdict for verdict in found.verdicts("given")}
    for each in (filled, hollow):
        for place, x, above, below in zip(each.y, each.x, each.error_x.array, each.error_x.arrayminus, strict=True):
            verdict = by_pair[figure.layout.yaxis.ticktext[place]]
            ends = [100 * verdict.interval.low, verdict.points, 100 * verdict.interval.high]
            assert [x - below, x, x + above] == pytest.approx(ends)
            assert figure.layout.xaxis.range[0] < ends[0] < ends[2] < figure.layout.xaxis.range[1]
    assert figure.layout.title.subtitle.text == "95% intervals for all pairs together, 4 of 4 paired seeds"


def test_the_band_is_what_the_plan_calls_worth_having() -> None:
    found = comparison(finals({"sgd": [0.9, 0.91], "adam": [0.93, 0.95], "rmsprop": [0.9, 0.92]}), worth=0.02)
    figure = differences(found, "given")
    band, zero = figure.layout.shapes
    assert (band.x0, band.x1, zero.x0) == (-2, 2, 0)
    assert named(figure, "less than 2 points").marker.color == GREY


def test_one_seed_is_not_judged() -> None:
    assert (
        words_in(differences(judged(sgd=[0.9], adam=[0.8]), "given")) == "Two seeds of every arm are needed to judge."
    )


def test_an_interval_that_rules_out_nothing_does_not_widen_the_axis() -> None:
    figure = differences(judged(sgd=[0.9, 0.91], adam=[0.89, 0.9]), "given")
    low, high = figure.layout.xaxis.range
    (above,) = named(figure, "no difference shown").error_x.array
    assert above > 90 > 5 > high > 1
    assert low < 0


def test_what_lies_far_beyond_the_others_becomes_an_arrow_with_its_number() -> None:
    figure = differences(judged(sgd=[0.1, 0.1, 0.11], adam=[0.9, 0.91, 0.92], rmsprop=[0.9, 0.92, 0.92]), "given")
    arrows = named(figure, "further than the axis goes")
    assert list(arrows.x) == [25, 25] == [figure.layout.xaxis.range[1]] * 2
    assert list(arrows.y) == [1, 2]
    assert list(arrows.text) == ["80.7 ", "81.0 "]
    assert named(figure, "no difference shown").x == (pytest.approx(100 / 300),)
    two = differences(judged(sgd=[0.1, 0.1, 0.11], adam=[0.9, 0.91, 0.92]), "given")
    assert two.layout.xaxis.range[1] > 80


def test_pareto_joins_and_fills_the_front() -> None:
    trials = finals({"sgd": [0.8, 0.82]}, flops=1e9) + finals({"adam": [0.9, 0.92]}, flops=2e9)
    trials += finals({"rmsprop": [0.85, 0.87]}, flops=3e9)
    figure = pareto(comparison(trials), "given", x="flops")
    path = figure.data[0]
    assert list(zip(path.x, path.y, strict=True)) == [(1e9, pytest.approx(81)), (2e9, pytest.approx(91))]
    means = {name: named(figure, name) for name in ARMS}
    assert {name: mean.marker.symbol for name, mean in means.items()} == {
        "sgd": "circle",
        "adam": "square",
        "rmsprop": "diamond-open",
    }
    assert (means["rmsprop"].x[0], means["rmsprop"].y[0]) == (3e9, pytest.approx(86))
    keys = {each.name: each.marker.symbol for each in figure.data if each.name and ": " in each.name}
    assert keys == {"filled: none is as accurate for less": None, "open: another is": "circle-open"}
    assert figure.layout.xaxis.title.text == "mean floating-point operations of a run"
    assert "alone, s" in pareto(comparison(trials), "given").layout.xaxis.title.text


def test_costs_far_apart_are_on_a_logarithmic_axis_and_equal_ones_from_0() -> None:
    near = finals({"sgd": [0.8], "adam": [0.9]})
    assert pareto(comparison(near), "given").layout.xaxis.rangemode == "tozero"
    far = near + finals({"rmsprop": [0.95]}, steps=900)
    assert pareto(comparison(far), "given").layout.xaxis.type == "log"


def test_an_arm_that_never_finished_is_no_bargain() -> None:
    lost = finals({"sgd": [CHANCE, CHANCE]}, status="diverged", steps=1)
    assert words_in(pareto(comparison(lost), "given")) == "No run has finished."
    figure = pareto(comparison(lost + finals({"adam": [0.9, 0.92]})), "given")
    assert {each.name for each in figure.data if each.name} == {"adam"}


def test_an_unknown_cost() -> None:
    with pytest.raises(ValueError, match=r"x is 'money'\. Expected one of: seconds, flops\."):
        pareto(comparison([]), "given", x="money")  # type: ignore[arg-type]


some_means = st.tuples(st.integers(1, 5).map(float), st.integers(0, 5).map(float))


@given(st.dictionaries(st.text(max_size=2), some_means, min_size=1, max_size=8))
def test_nothing_beats_the_front_and_the_front_beats_the_rest(means: dict[str, tuple[float, float]]) -> None:
    def beats(a: str, b: str) -> bool:
        (cost_a, score_a), (cost_b, score_b) = means[a], means[b]
        return cost_a <= cost_b and score_a >= score_b and means[a] != means[b]

    best = front(means)
    assert not any(beats(a, b) for a in means for b in best)
    assert all(any(beats(a, b) or means[a] == means[b] for a in best) for b in set(means) - set(best))
    assert [means[name] for name in best] == sorted(means[name] for name in best)


# -- tables of trials -------------------------------------------------------------------------------------------

TRIALS = pd.DataFrame(
    {
        "optimizer": ["sgd", "sgd", "sgd", "adam", "adam"],
        "lr": [0.1, 0.01, 0.1, 0.1, 0.00001],
        "accuracy": [0.8, 0.6, 0.9, 0.7, float("nan")],
        "loss": [0.5, 0.7, 0.4, 0.6, float("nan")],
    }
)


def test_a_heat_map_shows_means_in_order_and_blanks() -> None:
    (cells,) = heat(TRIALS, "lr", "optimizer").data
    assert (list(cells.x), list(cells.y)) == (["1e-05", "0.01", "0.1"], ["sgd", "adam"])
    assert np.array(cells.z) == pytest.approx(np.array([[np.nan, 60, 85], [np.nan, np.nan, 70]]), nan_ok=True)
    assert heat(TRIALS, "lr", "optimizer").layout.title.subtitle.text == "mean of 1 to 2 runs in each cell"
    assert heat(TRIALS, "lr", "optimizer").layout.xaxis.type == "category"
    (losses,) = heat(TRIALS, "optimizer", "lr", value="loss").data
    assert losses.z[-1][0] == pytest.approx(0.45)


def test_parallel_axes_have_a_line_per_trial_that_ended() -> None:
    (lines,) = parallel(TRIALS, ["optimizer", "lr"]).data
    optimizer, rate, accuracy = lines.dimensions
    assert list(accuracy.values) == pytest.approx([60, 70, 80, 90])
    assert (list(optimizer.values), list(optimizer.ticktext)) == ([0, 1, 0, 0], ["sgd", "adam"])
    assert [rate.ticktext[place] for place in rate.values] == ["0.01", "0.1", "0.1", "0.1"]


def test_many_numbers_are_on_a_logarithmic_axis_where_they_are_far_apart() -> None:
    rates = np.logspace(-4, 0, 20)
    frame = pd.DataFrame({"lr": rates, "momentum": np.linspace(0, 0.95, 20), "accuracy": np.linspace(0, 1, 20)})
    rate, momentum, _ = parallel(frame, ["lr", "momentum"]).data[0].dimensions
    assert list(rate.values) == pytest.approx(list(np.log10(rates)))
    assert list(rate.ticktext) == ["0.0001", "0.001", "0.01", "0.1", "1"]
    assert list(momentum.values) == list(frame.momentum)


def test_a_comparisons_own_table_can_be_drawn() -> None:
    frame = comparison(searched("sgd", SEARCHED) + finals({"sgd": [0.9]})).frame()
    assert heat(frame, "rate", "arm").data[0].z.tolist()[0] == pytest.approx([85, 90.667, 96], abs=1e-3)
    assert len(parallel(frame, ["arm", "phase", "rate"]).data[0].dimensions) == 4


def test_tables_without_trials_or_columns() -> None:
    assert words_in(heat(TRIALS[4:], "lr", "optimizer")) == "No trial has all three."
    assert words_in(parallel(TRIALS[4:], ["lr"])) == "No trial has all of these."
    expected = r"There is no column 'lrr'\. Expected one of: optimizer, lr, accuracy, loss\."
    with pytest.raises(ValueError, match=expected):
        heat(TRIALS, "lrr", "optimizer")
    with pytest.raises(ValueError, match=expected):
        parallel(TRIALS, ["lrr"])
