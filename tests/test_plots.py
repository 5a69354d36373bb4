"""Figures show what was measured, in few points, apart for every eye."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import lab
from lab.events import Epoch, History
from lab.plots import (
    COLOURS,
    DRAWN_POINTS,
    NOT_ON_LOG,
    TITLES,
    TITLES_OF_DOMAINS,
    TITLES_OF_OBJECTIVES,
    TITLES_WITHOUT_LABELS,
    colour_and_dash,
    curves,
    decimate,
    loss_cut,
    lowest,
    notes,
    on_paper,
    titles,
    trace_data,
)


def history(losses: list[float], per_epoch: int = 10) -> History:
    epochs = [Epoch(i, (i + 1) * per_epoch, 0, 0, 0.5, 0.9, 0) for i in range(len(losses) // per_epoch)]
    return History(losses, [0.5] * len(losses), [0.1] * len(losses), epochs)


@pytest.mark.parametrize("count", [0, 1, 249, 250, 251, 1000, 100_003])
def test_bins_are_means_and_few(count: int) -> None:
    values = np.random.RandomState(0).rand(count)
    width, means = decimate(list(values))
    assert len(means) == math.ceil(count / width)
    assert len(means) <= DRAWN_POINTS
    assert width & (width - 1) == 0
    assert means == pytest.approx([values[i : i + width].mean() for i in range(0, count, width)], abs=1e-6)


def test_a_run_draws_at_most_a_thousand_points() -> None:
    data = trace_data(history([1.0] * 50_000, per_epoch=10), 10)
    assert sum(len(trace["y"]) for trace in data) <= 1000  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [1, 2, 250, 251, 252, 999, 1001])
def test_the_last_epoch_is_always_drawn(count: int) -> None:
    run = history([1.0] * count, per_epoch=1)
    run.epochs[-1] = replace(run.epochs[-1], validation_loss=7.0)
    _, _, loss, *_ = trace_data(run, 1)
    assert loss["x0"] + loss["dx"] * (len(loss["y"]) - 1) == count
    assert loss["y"][-1] == 7
    assert loss["x0"] <= loss["dx"]
    assert len(loss["y"]) <= DRAWN_POINTS


@pytest.mark.parametrize(("count", "mode"), [(40, "lines+markers"), (41, "lines"), (300, "lines")])
def test_many_points_have_no_marks(count: int, mode: str) -> None:
    assert [trace.get("mode", "lines") for trace in trace_data(history([1.0] * count, 1), 1)] == ["lines"] * 2 + [
        mode
    ] * 3


def test_training_points_stand_at_the_middle_of_their_bins() -> None:
    loss, _, validation, *_ = trace_data(history([1.0] * 1000, per_epoch=10), 10)
    assert (loss["x0"], loss["dx"]) == (0.25, 0.4)  # bins of 4 steps; steps 1 to 4 of 10 have their middle at 2.5
    assert (validation["x0"], validation["dx"]) == (1.0, 1.0)


def test_the_first_36_runs_have_different_lines_and_the_first_six_share_nothing() -> None:
    pairs = [colour_and_dash(i) for i in range(36)]
    assert len(set(pairs)) == 36
    assert len({colour for colour, _ in pairs[:6]}) == len({dash for _, dash in pairs[:6]}) == 6


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(colour: str, paper: str) -> float:
    low, high = sorted([luminance(colour), luminance(paper)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("paper", ["#ffffff", "#111111"])
def test_lines_stand_out_on_white_and_on_black(colour: str, paper: str) -> None:
    assert contrast(colour, paper) >= 3  # WCAG 2.1, 1.4.11: graphics


@pytest.mark.parametrize("dark", [False, True])
def test_plotlys_buttons_stand_out_from_the_paper_that_shows_through(dark: bool) -> None:
    buttons = on_paper(dark=dark)["modebar"]
    assert buttons["bgcolor"] == "rgba(0,0,0,0)"
    papers = ["#111111", "#212121"] if dark else ["#ffffff", "#f7f7f7"]
    assert all(contrast(buttons[name], paper) >= 4.5 for name in ("color", "activecolor") for paper in papers)


def test_huge_losses_do_not_flatten_the_others() -> None:
    recipe = lab.Recipe()
    good = lab.Run(recipe, history([2.0] * 10 + [1.0] * 10), "finished")
    wild = lab.Run(recipe, history([2.4] * 5 + [1e9, 1e20, math.inf]), "diverged")
    assert loss_cut([]) is None
    assert loss_cut([good]) is None
    assert loss_cut([lab.Run(recipe, history([2.0, 9.0, 2.0]), "finished")]) is None
    for runs, top in (([good, wild], 3), ([wild], 3.6)):
        cut = loss_cut(runs)
        assert cut is not None
        assert cut == (pytest.approx(top), pytest.approx(1e20))
    assert curves([good, wild]).layout.yaxis.range == (0, pytest.approx(3))


def test_a_run_that_diverges_for_most_of_its_steps_does_not_flatten_the_others_and_the_plot_says_what_is_cut() -> None:
    recipe = lab.Recipe()
    good = lab.Run(recipe, history([2.0] * 10 + [1.0] * 10), "finished")
    wild = lab.Run(recipe, history([2.4] + [1e9] * 19), "diverged")
    figure = curves([good, wild])
    assert figure.layout.yaxis.range == (0, pytest.approx(3))
    assert figure.layout.annotations[2].text == "cut off: losses up to 1e+09 ↑<br>a log axis shows them"
    assert curves([good]).layout.annotations[2].text == ""
    large = lab.Run(recipe, history([1e3] * 20), "finished")  # of one that is large and sound nothing is cut
    assert curves([good, large]).layout.yaxis.range is None


@pytest.mark.parametrize("status", ["running", "stuck", "finished"])
def test_a_run_that_blew_up_and_stayed_finite_does_not_flatten_the_others(status: str) -> None:
    recipe = lab.Recipe()
    good = lab.Run(recipe, history([2.0] * 10 + [1.0] * 10), "finished")
    wild = lab.Run(recipe, history([2.4] * 4 + [16.0] * 12 + [1e20] * 4), status)
    assert loss_cut([good, wild]) == (pytest.approx(3), pytest.approx(1e20))
    assert loss_cut([wild]) == (pytest.approx(3.6), pytest.approx(1e20))
    nothing = lab.Run(recipe, history([0.0] * 4 + [1.0] * 12), status)
    assert loss_cut([nothing]) is None


def test_curves_name_runs_by_what_differs() -> None:
    runs = [lab.train(lab.Recipe(epochs=1, optimizer=name), progress=False) for name in ("sgd", "adam")]
    names = {trace.name for trace in curves(runs).data if trace.name}
    assert names == {"sgd", "adam"}


def test_without_labels_the_axes_say_that_the_two_losses_differ_and_what_answers() -> None:
    recipe = lab.Recipe()
    assert titles([lab.Run(recipe, history([1.0] * 10), "finished")]) == TITLES
    runs = [lab.Run(each, history([1.0] * 10), "finished") for each in (recipe.changed(objective="simclr"), recipe)]
    figure = curves(runs)
    assert [title.text for title in figure.layout.annotations] == [*TITLES_WITHOUT_LABELS, ""]


def test_where_the_loss_has_more_in_it_than_classes_the_title_says_whose_it_is() -> None:
    runs = [
        lab.Run(lab.Recipe(objective=name), history([1.0] * 10), "finished") for name in ("supervised", "multi_task")
    ]
    assert titles(runs[:1]) == TITLES
    assert titles(runs) == TITLES_OF_OBJECTIVES


def test_losses_below_zero_are_missed_on_a_log_axis_only() -> None:
    sunk, usual = (lab.Run(lab.Recipe(), history([1.0, last] * 5), "finished") for last in (-0.5, 0.5))
    assert notes([usual, sunk], None, log=True)[2] == NOT_ON_LOG
    assert (lowest([usual]), lowest([usual, sunk])) == (0, -0.5)
    assert notes([usual, sunk], None)[2] == notes([usual], None, log=True)[2] == ""


def test_with_two_domains_the_source_has_a_curve_of_its_own_and_the_gap_under_the_pointer() -> None:
    plain = history([1.0] * 20)
    shifted = replace(plain, epochs=[replace(e, also={"source": 0.95 + 0.02 * e.epoch}) for e in plain.epochs])
    runs = [lab.Run(lab.Recipe(), each, "finished") for each in (plain, shifted)]
    figure = curves(runs)
    alone, source = figure.data[6], figure.data[11]  # after two empty ones, five of each run
    assert len(alone.y) == 0
    assert source.y == pytest.approx([0.95, 0.97])
    assert source.customdata == pytest.approx([0.05, 0.07])  # the target's is 0.9
    assert (source.xaxis, source.yaxis, source.line.color) == ("x2", "y2", figure.data[10].line.color)
    assert [title.text for title in figure.layout.annotations] == [*TITLES_OF_DOMAINS, ""]
