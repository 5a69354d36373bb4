"""Pictures of predictions show what was answered, for any paper, and words for nothing."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from functools import partial
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import SMALL, trained
from test_diagnostic_plots import fits_both_papers

from lab import prediction_plots as plots
from lab.data import Split
from lab.diagnostics import Predictions, predictions

SESSION = trained(SMALL)[0]
FOUND = predictions(SESSION)
NOBODY = Predictions(Split(torch.zeros(0, 1, 2, 2), torch.zeros(0).long()), ("a", "b"), torch.zeros(0, 2), SESSION)
FIGURES = {
    "confusion": partial(plots.confusion, FOUND),
    "class_accuracy": partial(plots.class_accuracy, FOUND),
    "reliability": partial(plots.reliability, FOUND),
    "hardest": partial(plots.hardest, FOUND.highest_losses(5)),
    "saliency_overlay": partial(plots.saliency_overlay, FOUND.split.images[0], FOUND.saliency(0)),
}
EMPTY = {
    "confusion": partial(plots.confusion, NOBODY),
    "class_accuracy": partial(plots.class_accuracy, NOBODY),
    "reliability": partial(plots.reliability, NOBODY),
    "hardest": partial(plots.hardest, []),
}


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_figures_fit_both_papers(draw):
    fits_both_papers(draw)


@pytest.mark.parametrize("draw", EMPTY.values(), ids=EMPTY)
def test_nothing_is_said_in_words(draw):
    figure = draw()
    assert not figure.data
    assert figure.layout.annotations[0].text.endswith("images.")


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
    sheet = np.asarray(Image.open(BytesIO(b64decode(figure.data[0].source.partition(",")[2]))))
    assert (sheet[:8, :8, 0] == worst[0].image[0].numpy()).all()
    assert figure.layout.yaxis.range == (len(sheet) - 0.5, -0.5), "upright, and nothing cut off"
    assert figure.layout.xaxis.range == (-0.5, sheet.shape[1] - 0.5)
    assert len(figure.layout.annotations) == 5
    sure = f"{100 * worst[0].confidence:.0f}%"
    assert figure.layout.annotations[0].text.startswith(f"{worst[0].true} → <b>{worst[0].predicted}</b><br>{sure}, ")


def test_long_names_have_lines_of_their_own():
    named = [replace(FOUND.highest_losses(1)[0], true="T-shirt/top", predicted="<b>Shirt")]
    (note,) = plots.hardest(named).layout.annotations
    assert note.text.startswith("T-shirt/top →<br><b>&lt;b&gt;Shirt</b><br>")


def test_of_many_classes_the_worst_can_be_shown_alone():
    (dots,) = plots.class_accuracy(FOUND, most=3).data
    (all_of_them,) = plots.class_accuracy(FOUND).data
    assert list(dots.y) == list(all_of_them.y)[-3:]
    assert "the 3 worst of 10" in plots.class_accuracy(FOUND, most=3).layout.title.subtitle.text


def test_compact_the_legend_is_words():
    figure = plots.reliability(FOUND, compact=True)
    assert figure.layout.showlegend is False
    assert "orange: mean confidence" in figure.layout.title.subtitle.text.replace("<br>", " ")


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
