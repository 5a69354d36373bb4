"""Plotly figures of what a network answers and gets wrong, on light and dark paper: no training, no widgets."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil
from typing import Any

import numpy as np
import plotly.graph_objects as go
from torch import Tensor

from lab.comparison_plots import GREY
from lab.diagnostic_plots import BACKWARD, FORWARD, themed
from lab.diagnostics import Calibration, Mistake, Predictions
from lab.figure_parts import counted, empty, framed, subtitled
from lab.sheets import as_source

AROUND, LINE = 12, 14  # pixels: beside images in a grid, and of a line under one
SHORT = 10  # letters of two names that fit into one line
WRITTEN_CLASSES = 20  # in smaller cells numbers do not fit


def confusion(found: Predictions, *, dark: bool = False) -> go.Figure:
    """Counts of images by true (row) and predicted (column) class; colours are shares of the row, in %."""
    counts, names = found.confusion, [escape(name) for name in found.classes]
    if not counts.sum():
        return themed(empty("Confusion matrix", "The split has no images."), dark=dark)
    with np.errstate(invalid="ignore"):
        shares = 100 * counts / counts.sum(1, keepdims=True)
    side = max(300, min(900, 34 * len(names)))
    figure = framed("Confusion matrix", height=side + 130)
    written = "%{text}" if len(names) <= WRITTEN_CLASSES else ""
    figure.add_heatmap(x=names, y=names, z=shares, text=counts, texttemplate=written, zmin=0, zmax=100)
    figure.update_traces(colorscale="Cividis", colorbar={"ticksuffix": "%", "thickness": 12}, xgap=1, ygap=1)
    figure.update_traces(hovertemplate="true %{y}, predicted %{x}<br>%{text}, %{z:.1f}% of the row<extra></extra>")
    figure.update_xaxes(title_text="predicted", type="category", showgrid=False)
    figure.update_yaxes(title_text="true", type="category", autorange="reversed", automargin=True, showgrid=False)
    right = f"{100 * found.accuracy:.1f}% of {counted(int(counts.sum()), 'image')} right"
    return themed(subtitled(figure, right, "numbers: images; colours: % of the row"), dark=dark)


def class_accuracy(found: Predictions, *, most: int | None = None, dark: bool = False) -> go.Figure:
    """Accuracy (%) of each class with its 95% Wilson interval, the worst at the top; of so many at most."""
    there = sorted((each for each in found.per_class() if each.count), key=lambda each: -each.accuracy)
    classes = there if most is None else there[-most:]
    if not classes:
        return themed(empty("Accuracy by class", "The split has no images."), dark=dark)
    figure = framed("Accuracy by class", height=150 + 24 * len(classes))
    x = np.array([100 * each.accuracy for each in classes])
    beyond = np.array([[100 * each.high, 100 * each.low] for each in classes]).T
    bars = {"array": beyond[0] - x, "arrayminus": x - beyond[1], "color": GREY, "thickness": 2, "width": 4}
    figure.add_scatter(x=x, y=[escape(each.name) for each in classes], mode="markers", error_x=bars)
    figure.update_traces(marker={"color": FORWARD, "size": 9}, showlegend=False)
    figure.update_traces(text=[f"{each.right} of {each.count}" for each in classes])
    figure.update_traces(hovertemplate="%{x:.1f}%, %{text}<extra>%{y}</extra>")
    figure.add_vline(x=100 * found.accuracy, line={"color": BACKWARD, "dash": "dot", "width": 1.5})
    figure.update_xaxes(title_text="accuracy, %")
    figure.update_yaxes(type="category", automargin=True)
    left_out = f"the {len(classes)} worst of {len(there)}" if len(classes) < len(there) else ""
    return themed(subtitled(figure, left_out, "bars: 95% intervals", "dotted: all images"), dark=dark)


def reliability(found: Predictions, *, bins: int = 15, compact: bool = False, dark: bool = False) -> go.Figure:
    """How often answers are right (bars) by how sure the network is; on the diagonal it is as good as it says.

    Compact: for 240 px and more, the legend as words.
    """
    at = found.calibration(bins)
    if not at.counts.sum():
        return themed(empty("Reliability", "The split has no images."), dark=dark)
    figure = framed("Reliability", height=400).add_traces(bars_and_diagonal(at, 6 if compact else 14))
    figure.update_xaxes(title_text="confidence, %", range=[0, 100])
    figure.update_yaxes(title_text="right, %", range=[0, 103])
    figure.update_layout(bargap=0, margin_b=50 if compact else 85, showlegend=not compact)
    of, legend = counted(int(at.counts.sum()), "image"), "bars: right; orange: mean confidence; dotted: perfect"
    error = f"expected calibration error {100 * at.error:.1f}% of {of}, {bins} bins"
    return themed(subtitled(figure, error, legend if compact else ""), dark=dark)


def bars_and_diagonal(at: Calibration, size: int) -> list[go.Bar | go.Scatter]:
    """How often right in each bin, marks so many pixels long at the mean confidence, and the diagonal."""
    middles, width = 100 * (at.edges[1:] + at.edges[:-1]) / 2, 100 * np.diff(at.edges)
    right, known = {"color": FORWARD, "line_width": 1}, np.stack([at.counts, 100 * at.confidence], 1)
    bars = go.Bar(x=middles, y=100 * at.accuracy, width=width, name="right", marker=right, customdata=known)
    bars.hovertemplate = "sure: %{customdata[1]:.1f}%, right: %{y:.1f}%<br>images: %{customdata[0]}"
    mark = {"symbol": "line-ew", "size": size, "line": {"color": BACKWARD, "width": 3}}
    marks = go.Scatter(x=middles, y=100 * at.confidence, mode="markers", name="mean confidence", marker=mark)
    line = {"color": GREY, "dash": "dot", "width": 1.5}
    return [bars, marks, go.Scatter(x=[0, 100], y=[0, 100], mode="lines", line=line, hoverinfo="skip", name="perfect")]


# -- images -----------------------------------------------------------------------------------------------------


def hardest(
    mistakes: Sequence[Mistake],
    title: str = "Hardest images",
    *,
    columns: int = 8,
    across: int = 960,
    dark: bool = False,
) -> go.Figure:
    """Images in a grid, the hardest first, each with its true and predicted class, the confidence and the loss.

    Args:
        across: pixels that the figure is going to be wide.
    """
    if not mistakes:
        return themed(empty(title, "There are no images."), dark=dark)
    columns, width = min(columns, len(mistakes)), mistakes[0].image.shape[2]
    gap, long = max(1, width // 8), any(len(mistake.true + mistake.predicted) > SHORT for mistake in mistakes)
    pixel = (across - 2 * AROUND) / columns / (width + gap)  # how large one of an image is on the screen
    sheet, corners = laid_out(
        [each.image for each in mistakes], columns, gap, ceil(LINE * (3.3 if long else 2.3) / pixel)
    )
    figure = subtitled(framed(title), "true → predicted, how sure of that, and the loss in nats")
    for mistake, corner in zip(mistakes, corners, strict=True):
        figure.add_annotation(said(mistake, corner, long=long))
    figure.add_image(source=as_source(sheet), hoverinfo="skip")
    figure.update_xaxes(visible=False, constrain="domain", range=[-0.5, sheet.shape[1] - 0.5])
    figure.update_yaxes(visible=False, constrain="domain", range=[len(sheet) - 0.5, -0.5], scaleanchor="x")
    figure.update_layout(margin={"l": AROUND, "r": AROUND, "b": AROUND})
    layout: Any = figure.layout
    return themed(figure.update_layout(height=layout.margin.t + AROUND + round(len(sheet) * pixel)), dark=dark)


def laid_out(images: Sequence[Tensor], columns: int, gap: int, label: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """uint8 (c, h, w) each, of one size -> (h', w', 4), see-through between; and where each begins: (top, left).

    Args:
        gap, label: room beside and below each, in pixels of theirs.
    """
    height, width = images[0].shape[1:]
    corners = [(place // columns * (height + label), place % columns * (width + gap)) for place in range(len(images))]
    sheet = np.zeros((corners[-1][0] + height + label, columns * (width + gap), 4), dtype=np.uint8)
    for image, (top, left) in zip(images, corners, strict=True):
        sheet[top : top + height, left : left + width] = pixels(image)
    return sheet, corners


def said(mistake: Mistake, corner: tuple[int, int], *, long: bool) -> dict[str, Any]:
    """Under an image that begins there: true and predicted class (in two lines where names are long), and how sure."""
    (top, left), (height, width) = corner, mistake.image.shape[1:]
    classes = f"{escape(mistake.true)} →{'<br>' if long else ' '}<b>{escape(mistake.predicted)}</b>"
    text = f"{classes}<br>{100 * mistake.confidence:.0f}%, {mistake.loss:.2g}"
    below = {"x": left + (width - 1) / 2, "y": top + height - 0.5, "yanchor": "top"}
    return {"text": text, "font_size": 11, "showarrow": False, **below}


def saliency_overlay(image: Tensor, saliency: Tensor, title: str = "Saliency", *, dark: bool = False) -> go.Figure:
    """The image in grey, and over it in orange where the answer hangs on its pixels; beside it the image as it is.

    Args:
        image: uint8 (c, h, w); saliency: (h, w).
    """
    picture, strength = pixels(image), saliency.double().numpy()
    if (largest := float(np.nanmax(strength))) > 0:
        strength = strength / largest
    grey = picture[..., :3].mean(2, keepdims=True)
    colour = np.array([int(BACKWARD[place : place + 2], 16) for place in (1, 3, 5)])
    mixed = (1 - strength[..., None]) * 0.75 * grey + strength[..., None] * colour
    over = np.concatenate([mixed.round().astype(np.uint8), picture[..., 3:]], 2)
    between = np.zeros((len(picture), max(1, picture.shape[1] // 10), 4), dtype=np.uint8)
    figure = framed(title, height=320)
    figure.add_image(z=np.concatenate([picture, between, over], 1), colormodel="rgba", hoverinfo="skip")
    figure.update_xaxes(visible=False, constrain="domain").update_yaxes(visible=False)
    figure.update_layout(margin={"l": 12, "r": 12, "b": 12})
    return themed(subtitled(figure, "orange: where the predicted class's logit hangs on a pixel"), dark=dark)


def pixels(image: Tensor) -> np.ndarray:
    """uint8 (c, h, w) -> (h, w, 4), opaque; one or two channels as grey, more than three: the first three."""
    values = image.cpu().numpy().transpose(1, 2, 0)
    values = values[..., :3] if values.shape[2] >= 3 else np.repeat(values[..., :1], 3, axis=2)
    return np.concatenate([values, np.full_like(values[..., :1], 255)], 2)
