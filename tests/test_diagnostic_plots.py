"""Pictures of diagnostics show what was found: every mark at its number, for any paper, and words for nothing."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import plotly.io
import pytest
from small_runs import SMALL
from test_plots import luminance

from lab import diagnostic_plots as plots
from lab.diagnostics import Curve, HealthHistory, RangeTest, examine, range_test, watched
from lab.plots import on_paper
from lab.recipe import Recipe
from lab.training import Training


def seen_in_training():
    history = HealthHistory()
    for event in watched(Training(SMALL, device="cpu"), 4):
        history.add(event)
    return history


HEALTH = seen_in_training()
REPORT = examine(Recipe(), device="cpu")
RATES = range_test(Recipe(), device="cpu", repeats=2)
FIGURES = {
    "init_doctor": partial(plots.init_doctor, REPORT),
    "init_doctor compact": partial(plots.init_doctor, REPORT, compact=True),
    "health_map": partial(plots.health_map, HEALTH),
    "health_map dead": partial(plots.health_map, HEALTH, "dead"),
    "health_map lr": partial(plots.health_map, HEALTH, "lr"),
    "health_lines": partial(plots.health_lines, HEALTH),
    "health_lines mean": partial(plots.health_lines, HEALTH, "mean"),
    "rates": partial(plots.rates, RATES),
    "rates compact": partial(plots.rates, RATES, compact=True),
}
EMPTY = {
    "health_map": partial(plots.health_map, HealthHistory()),
    "health_lines": partial(plots.health_lines, HealthHistory()),
    "rates": partial(plots.rates, RangeTest(Recipe(), (Curve(np.empty(0), np.empty(0), 1e-6),))),
}


def traces(figure, **wanted):
    return [trace for trace in figure.data if all(getattr(trace, key) == value for key, value in wanted.items())]


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_figures_fit_both_papers(draw):
    fits_both_papers(draw)


def fits_both_papers(draw):
    light, dark = draw(dark=False), draw(dark=True)
    assert (light.layout.paper_bgcolor, dark.layout.paper_bgcolor) == ("white", "rgba(0,0,0,0)")
    assert all(
        figure.layout.modebar.to_plotly_json() == on_paper(dark=figure is dark)["modebar"] for figure in (light, dark)
    )
    text = [figure.layout.template.layout.font.color for figure in (light, dark)]
    assert luminance(text[0]) < 0.2 < 0.7 < luminance(text[1])
    assert plotly.io.from_json(light.to_json()).data


@pytest.mark.parametrize("draw", EMPTY.values(), ids=EMPTY)
def test_nothing_is_said_in_words(draw):
    figure = draw()
    assert not figure.data
    assert figure.layout.annotations[0].text.endswith(("yet.", "step."))


@pytest.mark.parametrize("compact", [False, True])
def test_the_doctor_draws_signal_gradient_and_dead_units_of_each_layer(compact):
    figure = plots.init_doctor(REPORT, compact=compact)
    (signal,), (gradient,), (bars,) = (traces(figure, name=name) for name in ("signal", "gradient", "dead units"))
    layers = REPORT.layers
    assert list(signal.y) == [layer.std for layer in layers]
    assert signal.y[-1] / signal.y[0] == pytest.approx(REPORT.look.forth)  # as the sentence says
    assert list(gradient.y) == [layer.gradient_norm for layer in layers]
    assert gradient.y[0] / gradient.y[-1] == pytest.approx(REPORT.look.back)  # as the sentence says
    assert list(bars.y) == [100 * layers[0].dead, 100 * layers[1].dead, None]
    assert f"gain {layers[1].gain:.2g}<br>by theory {layers[1].expected_gain:.2g}<br>" in signal.text[1]
    assert "gain" not in signal.text[0]
    assert signal.line.color != gradient.line.color
    assert signal.line.dash != gradient.line.dash
    words = figure.layout.title.text if compact else figure.layout.title.subtitle.text
    assert REPORT.sentence in words.replace("<br>", " ")
    assert figure.layout.height <= (215 if compact else 400)


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_every_axis_of_numbers_has_a_name(draw):
    layout = draw().to_dict()["layout"]
    axes = [axis for name, axis in layout.items() if name[:5] in ("xaxis", "yaxis")]
    assert axes
    assert [axis for axis in axes if not axis.get("title", {}).get("text") and "ticktext" not in axis] == []


def test_sizes_without_a_logarithm_leave_gaps():
    wild = examine(SMALL.changed(init={"name": "random_normal", "std": 1.0}, **{"model.depth": 60}), device="cpu")
    signal = traces(plots.init_doctor(wild), name="signal")[0]
    assert None in signal.y
    assert all(size is None or math.isfinite(size) for size in signal.y)


def test_the_map_of_updates_is_pale_at_the_guide():
    figure = plots.health_map(HEALTH)
    (heat,) = figure.data
    assert np.allclose(heat.z, np.log10(HEALTH.values("update")))
    assert (list(heat.x), heat.zmin, heat.zmax) == (HEALTH.steps, -5, -1)
    assert list(figure.layout.yaxis.ticktext) == ["Linear 1", "Linear 3", "Linear 5"]
    assert np.isnan(plots.health_map(HEALTH, "dead").data[0].z[2]).all()
    with pytest.raises(ValueError, match="measure is 'size'"):
        plots.health_map(HEALTH, "size")


def test_rates_and_means_are_drawn_as_they_are():
    assert np.allclose(plots.health_map(HEALTH, "lr").data[0].z, np.log10(SMALL.optimizer.lr))
    means = plots.health_map(HEALTH, "mean").data[0]
    assert np.array_equal(means.z, HEALTH.values("mean"))
    assert means.zmid == 0


@pytest.mark.parametrize("measure", plots.MEASURES)
def test_every_measure_of_health_says_its_unit(measure):
    unit = {"mean": "", "dead": ", %"}.get(measure, ", log10")
    assert plots.health_map(HEALTH, measure).data[0].colorbar.title.text == plots.MEASURES[measure].split(",")[0] + unit


def test_sizes_that_differ_little_look_alike():
    low, high = plots.init_doctor(REPORT, compact=True).layout.yaxis.range
    assert high - low == pytest.approx(2)
    deep = examine(SMALL.changed(activation="sigmoid", **{"model.depth": 12}), device="cpu")
    low, high = plots.init_doctor(deep).layout.yaxis.range
    sizes = [size for layer in deep.layers for size in (layer.std, layer.gradient_norm)]
    assert low < np.log10(min(sizes)) < np.log10(max(sizes)) < high


def test_where_most_passes_ran_away_the_line_ends_and_the_band_leaves_the_picture():
    rates, losses = np.geomspace(1e-6, 10, 100), np.full(100, 2.0)
    short, far = (Curve(rates[:end], losses[:end], rates[end]) for end in (50, 70))
    figure = plots.rates(RangeTest(Recipe(), (short, far, Curve(rates, losses, None))))
    band, line = figure.data[:2]
    assert len(line.y) == 70
    assert np.isfinite(band.y).all()
    assert band.y[60] > figure.layout.yaxis.range[1]
    assert band.y[40] < figure.layout.yaxis.range[1]


def test_rates_show_the_band_the_rules_and_where_it_diverged():
    figure = plots.rates(RATES)
    median, low, high = (sizes[:40] for sizes in RATES.band())
    drawn = len(figure.data[1].y)
    assert np.allclose(figure.data[0].y[:40], high)
    assert np.allclose(figure.data[0].y[-40:], low[::-1])
    assert np.allclose(figure.data[1].y[:40], median)
    assert len(figure.data[0].y) == 2 * drawn
    marks = {trace.name.split()[0]: trace.x[0] for trace in figure.data[2:]}
    assert marks == {name.replace("minimum_tenth", "min/10"): rate for name, rate in RATES.suggestions.items()}
    assert len({trace.marker.symbol for trace in figure.data[2:]}) == 3
    assert figure.layout.shapes[0].x0 == RATES.diverged
