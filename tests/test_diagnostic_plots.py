"""Pictures of diagnostics show what was found: every mark at its number, for any paper, and words for nothing."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import plotly.io
import pytest
import torch
from small_runs import SMALL
from test_plots import luminance

from lab import diagnostic_plots as plots
from lab.data import Split
from lab.diagnostics import Curve, HealthHistory, Predictions, RangeTest, examine, predictions, range_test, watched
from lab.recipe import Recipe
from lab.training import Training


def seen_in_training():
    session, history = Training(SMALL, device="cpu"), HealthHistory()
    for event in watched(session, 4):
        history.add(event)
    return session, history


SESSION, HEALTH = seen_in_training()
FOUND = predictions(SESSION)
REPORT = examine(Recipe(), device="cpu")
RATES = range_test(Recipe(), device="cpu", repeats=2)
NOBODY = Predictions(Split(torch.zeros(0, 1, 2, 2), torch.zeros(0).long()), ("a", "b"), torch.zeros(0, 2), SESSION)
FIGURES = {
    "init_doctor": partial(plots.init_doctor, REPORT),
    "init_doctor compact": partial(plots.init_doctor, REPORT, compact=True),
    "health_map": partial(plots.health_map, HEALTH),
    "health_map dead": partial(plots.health_map, HEALTH, "dead"),
    "health_lines": partial(plots.health_lines, HEALTH),
    "rates": partial(plots.rates, RATES),
    "rates compact": partial(plots.rates, RATES, compact=True),
    "confusion": partial(plots.confusion, FOUND),
    "class_accuracy": partial(plots.class_accuracy, FOUND),
    "reliability": partial(plots.reliability, FOUND),
    "hardest": partial(plots.hardest, FOUND.highest_losses(5)),
    "saliency_overlay": partial(plots.saliency_overlay, FOUND.split.images[0], FOUND.saliency(0)),
}
EMPTY = {
    "health_map": partial(plots.health_map, HealthHistory()),
    "health_lines": partial(plots.health_lines, HealthHistory()),
    "rates": partial(plots.rates, RangeTest(Recipe(), (Curve(np.empty(0), np.empty(0), 1e-6),))),
    "confusion": partial(plots.confusion, NOBODY),
    "class_accuracy": partial(plots.class_accuracy, NOBODY),
    "reliability": partial(plots.reliability, NOBODY),
    "hardest": partial(plots.hardest, []),
}


def traces(figure, **wanted):
    return [trace for trace in figure.data if all(getattr(trace, key) == value for key, value in wanted.items())]


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_figures_fit_both_papers(draw):
    light, dark = draw(dark=False), draw(dark=True)
    assert light.layout.paper_bgcolor == dark.layout.paper_bgcolor == "rgba(0,0,0,0)"
    text = [figure.layout.template.layout.font.color for figure in (light, dark)]
    assert luminance(text[0]) < 0.2 < 0.7 < luminance(text[1])
    assert plotly.io.from_json(light.to_json()).data


@pytest.mark.parametrize("draw", EMPTY.values(), ids=EMPTY)
def test_nothing_is_said_in_words(draw):
    figure = draw()
    assert not figure.data
    assert figure.layout.annotations[0].text.endswith(("yet.", "images.", "step."))


@pytest.mark.parametrize("compact", [False, True])
def test_the_doctor_draws_signal_gradient_and_dead_units_of_each_layer(compact):
    figure = plots.init_doctor(REPORT, compact=compact)
    (signal,), (gradient,), (bars,) = (traces(figure, name=name) for name in ("signal", "gradient", "dead units"))
    layers = REPORT.layers
    assert list(signal.y) == [layers[0].activation_std, layers[1].activation_std, layers[2].std]
    assert list(gradient.y) == [layer.gradient_rms for layer in layers]
    assert list(bars.y) == [100 * layers[0].dead, 100 * layers[1].dead, None]
    assert signal.line.color != gradient.line.color
    assert signal.line.dash != gradient.line.dash
    words = figure.layout.title.text if compact else figure.layout.title.subtitle.text
    assert REPORT.sentence in words.replace("<br>", " ")
    assert figure.layout.height <= (215 if compact else 400)


def test_sizes_without_a_logarithm_leave_gaps():
    wild = examine(SMALL.changed(init={"name": "random_normal", "std": 1.0}, **{"model.depth": 60}), device="cpu")
    signal = traces(plots.init_doctor(wild), name="signal")[0]
    assert None in signal.y
    assert all(size is None or math.isfinite(size) for size in signal.y)


def test_the_map_of_updates_is_pale_at_the_guide():
    figure = plots.health_map(HEALTH)
    (heat,) = figure.data
    assert np.allclose(heat.z, np.log10(HEALTH.values("update")))
    assert (list(heat.x), heat.zmid) == (HEALTH.steps, -3)
    assert list(figure.layout.yaxis.ticktext) == ["Linear 1", "Linear 3", "Linear 5"]
    assert np.isnan(plots.health_map(HEALTH, "dead").data[0].z[2]).all()
    with pytest.raises(ValueError, match="measure is 'size'"):
        plots.health_map(HEALTH, "size")


def test_rates_show_the_band_the_rules_and_where_it_diverged():
    figure = plots.rates(RATES)
    median, low, high = RATES.band()
    assert np.allclose(figure.data[0].y, np.append(high, low[::-1]))
    assert np.allclose(figure.data[1].y, median)
    marks = {trace.name.split()[0]: trace.x[0] for trace in figure.data[2:]}
    assert marks == {name.replace("minimum_tenth", "min/10"): rate for name, rate in RATES.suggestions.items()}
    assert len({trace.marker.symbol for trace in figure.data[2:]}) == 3
    assert figure.layout.shapes[0].x0 == RATES.diverged


def test_the_matrix_has_counts_as_text_and_shares_of_rows_as_colours():
    (heat,) = plots.confusion(FOUND).data
    assert (np.asarray(heat.text) == FOUND.confusion).all()
    assert np.allclose(np.asarray(heat.z).sum(1), 100)


def test_classes_stand_by_accuracy_with_their_intervals():
    (dots,) = plots.class_accuracy(FOUND).data
    assert list(dots.x) == sorted(dots.x, reverse=True)
    worst = min(FOUND.per_class(), key=lambda each: each.accuracy)
    assert dots.x[-1] - dots.error_x.arrayminus[-1] == pytest.approx(100 * worst.low)
    assert dots.x[-1] + dots.error_x.array[-1] == pytest.approx(100 * worst.high)


def test_reliability_draws_bins_and_says_the_error():
    figure, at = plots.reliability(FOUND, bins=5), FOUND.calibration(5)
    assert np.allclose(figure.data[0].y, 100 * at.accuracy, equal_nan=True)
    assert f"expected calibration error {100 * at.error:.1f}%" in figure.layout.title.subtitle.text


def test_hard_images_are_drawn_as_they_are_and_named():
    worst = FOUND.highest_losses(5)
    figure = plots.hardest(worst, columns=3)
    sheet = np.asarray(figure.data[0].z)
    assert (sheet[:8, :8, 0] == worst[0].image[0].numpy()).all()
    assert len(figure.layout.annotations) == 5
    assert figure.layout.annotations[0].text.startswith(f"{worst[0].true} → <b>{worst[0].predicted}</b>")


@pytest.mark.parametrize(("channels", "shown"), [(1, [7, 7, 7]), (3, [7, 8, 9]), (5, [7, 8, 9])])
def test_pixels_of_any_number_of_channels(channels, shown):
    image = torch.arange(7, 7 + channels, dtype=torch.uint8).view(channels, 1, 1).expand(channels, 2, 3)
    drawn = plots.pixels(image)
    assert drawn.shape == (2, 3, 4)
    assert drawn[1, 2].tolist() == [*shown, 255]


def test_saliency_of_nothing_is_the_grey_image():
    image = torch.full((1, 2, 2), 200, dtype=torch.uint8)
    sheet = np.asarray(plots.saliency_overlay(image, torch.zeros(2, 2)).data[0].z)
    assert sheet[0, 0].tolist() == [200, 200, 200, 255]
    assert sheet[0, -1].tolist() == [150, 150, 150, 255]
