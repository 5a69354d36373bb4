"""Plotly figures of diagnostics, on light and dark paper: no training, no widgets.

Blue is what goes forward, orange what comes back or goes wrong; shape or dash says it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, isfinite
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from torch import Tensor

from lab.comparison_plots import GREY
from lab.diagnostics import HealthHistory, InitReport, LayerSignal, Mistake, Predictions, RangeTest
from lab.diagnostics.rate_rules import RULES
from lab.figure_parts import counted, empty, framed, shown, subtitled
from lab.plots import COLOURS

FORWARD, BACKWARD, DEAD = COLOURS[0], COLOURS[1], COLOURS[3]
PALE = {FORWARD: "rgba(47,127,193,0.2)", BACKWARD: "rgba(213,94,0,0.25)"}
LOOKS = {"signal": (FORWARD, "solid", "circle"), "gradient": (BACKWARD, "dash", "square")}
MARKS = {"steepest": "triangle-down", "valley": "diamond", "minimum_tenth": "square"}
GUIDE = 1e-3  # of a layer's weights in one step: a common rule of thumb for a rate that is neither too low nor too high
SMALLEST = 1e-38  # what a logarithmic axis shows of a zero
WRITTEN_CLASSES = 20  # in smaller cells numbers do not fit
DOCTOR_KEY = (("● signal", FORWARD), ("■ gradient", BACKWARD), ("▮ dead units", DEAD))
GLYPHS = {"triangle-down": "▼", "diamond": "◆", "square": "■"}
MEASURES = {
    "update": "update / weight, log10",
    "gradient": "gradient norm, log10",
    "weight": "weight norm, log10",
    "std": "std of activations, log10",
    "dead": "dead units, %",
}

Measure = Literal["update", "gradient", "weight", "std", "dead"]


def themed(figure: go.Figure, *, dark: bool) -> go.Figure:
    """On the paper of the page: it is left transparent, and text and grid fit a light or a dark one."""
    clear = "rgba(0,0,0,0)"
    figure.update_layout(template="plotly_dark" if dark else "plotly_white", paper_bgcolor=clear, plot_bgcolor=clear)
    return figure


def ink(*, dark: bool) -> str:
    return "#f2f5fa" if dark else "#2a3f5f"


# -- before the first step --------------------------------------------------------------------------------------


def init_doctor(report: InitReport, *, compact: bool = False, dark: bool = False) -> go.Figure:
    """Size of the signal (forward) and of the gradient (backward) at each layer, dead units as bars, and the sentence.

    The signal is the standard deviation of the activation's output, or of the layer's where none follows; the gradient
    the root mean square by one output value. Compact: for a column of 330 px, 200 px high.
    """
    if not report.layers:
        return themed(empty("Before the first step", "This network has no layers with weights."), dark=dark)
    places = np.arange(1, len(report.layers) + 1)
    figure = framed("" if compact else "Before the first step", height=200 if compact else 400)
    figure.add_traces(doctor_traces(report.layers, places))
    shown_every = max(1, ceil(len(places) / (6 if compact else 12)))
    figure.update_xaxes(title_text="layer", range=[0.4, len(places) + 0.6], tick0=1, dtick=shown_every)
    figure.update_yaxes(type="log", title_text="" if compact else "size", **power_ticks(figure, 3 if compact else 6))
    percent = {
        "range": [0, 100],
        "overlaying": "y",
        "side": "right",
        "showgrid": False,
        "ticktext": ["0", "50%", "100%"],
    }
    title = {"text": "" if compact else "dead units"}
    figure.update_layout(yaxis2={**percent, "tickvals": [0, 50, 100], "title": title}, bargap=0.3)
    if compact:
        compacted(figure, report.sentence, DOCTOR_KEY)
    else:
        subtitled(figure, report.sentence)
        figure.update_layout(margin_r=65, margin_b=85)
    return themed(figure, dark=dark)


def doctor_traces(layers: Sequence[LayerSignal], places: np.ndarray) -> list[Any]:
    names = [f"{layer.kind} {layer.name}" for layer in layers]
    signal = [layer.std if layer.activation_std is None else layer.activation_std for layer in layers]
    dead = [None if layer.dead is None else 100 * layer.dead for layer in layers]
    bars = go.Bar(x=places, y=dead, yaxis="y2", name="dead units", marker={"color": DEAD, "opacity": 0.45})
    bars.update(hovertemplate="%{y:.0f}% dead<extra>%{text}</extra>", text=names, textposition="none")
    back = [layer.gradient_rms for layer in layers]
    lines = [sized("signal", signal, names), sized("gradient", back, names)]
    return [bars, *(line.update(x=places) for line in lines)]


def sized(name: str, sizes: Sequence[float], texts: Sequence[str]) -> go.Scatter:
    """A line on a logarithmic axis; what is 0 or not finite leaves a gap."""
    colour, dash, symbol = LOOKS[name]
    y = [size if isfinite(size) and size > SMALLEST else None for size in sizes]
    line = go.Scatter(y=y, name=name, mode="lines+markers" if len(sizes) <= 40 else "lines", text=texts)
    line.update(line={"color": colour, "dash": dash, "width": 2}, marker={"symbol": symbol, "size": 6, "color": colour})
    return line.update(hovertemplate=f"{name} %{{y:.2~e}}<extra>%{{text}}</extra>")


def power_ticks(figure: go.Figure, count: int) -> dict[str, Any]:
    """Ticks at powers of ten, about so many; of a narrow span only at 1, 2 and 5 times these."""
    lines: Any = figure.data
    sizes = [y for line in lines if line.type == "scatter" for y in line.y if y is not None]
    decades = np.log10(max(sizes) / min(sizes)) if sizes else 0.0
    return {"dtick": ceil(decades / count), "exponentformat": "power"} if decades > 2 else {"dtick": "D2"}


def compacted(figure: go.Figure, sentence: str, key: Sequence[tuple[str, str]]) -> None:
    """For a narrow column: small print, the sentence in place of a title, and under it in colours what is what."""
    named = "  ".join(f'<span style="color:{colour}">{escape(name)}</span>' for name, colour in key)
    text = "<br>".join(filter(None, [shown(sentence, 54), named]))
    above = 16 + 14 * (text.count("<br>") + 1)
    title = {"text": text, "font": {"size": 11}, "pad": {"t": 10, "l": 6}}
    figure.update_layout(height=155 + above, font_size=10, title=title, showlegend=False)
    figure.update_layout(margin={"l": 38, "r": 34, "t": above, "b": 34})
    figure.update_xaxes(title={"standoff": 2})


# -- during training --------------------------------------------------------------------------------------------


def health_map(history: HealthHistory, measure: Measure = "update", *, dark: bool = False) -> go.Figure:
    """One measure of every layer over the steps, as colours; by default the update over the weight, in powers of ten.

    There white is the guide of a thousandth, orange above it and blue below. The first layer is at the top.

    Errors:
        ValueError for an unknown measure.
    """
    values, title = measured(history, measure), MEASURES[measure].capitalize()
    if values is None:
        return themed(empty(title, "No step was watched yet."), dark=dark)
    names = layer_names(history)
    figure = framed(title, height=170 + 26 * max(4, min(len(names), 24)))
    scale: dict[str, Any] = {"colorscale": "Cividis"}
    if measure == "update":
        middle = "#3a3f4a" if dark else "#f4f4f2"
        scale = {"colorscale": [[0, FORWARD], [0.5, middle], [1, BACKWARD]], "zmid": np.log10(GUIDE)}
    number = "%{z:.1f}"
    figure.add_heatmap(x=history.steps, y=list(range(1, len(names) + 1)), z=values, **scale)
    figure.update_traces(customdata=np.array([names] * values.shape[1]).T, colorbar={"thickness": 12})
    figure.update_traces(hovertemplate=f"step %{{x}}: {number}<extra>%{{customdata}}</extra>")
    figure.update_xaxes(title_text="step")
    few = len(names) <= 24
    figure.update_yaxes(autorange="reversed", automargin=True)
    if few:
        figure.update_yaxes(tickvals=list(range(1, len(names) + 1)), ticktext=[shown(name) for name in names])
    if measure == "update":
        subtitled(figure, "pale: -3, a thousandth of the weight in a step; orange: more; blue: less")
    return themed(figure, dark=dark)


def health_lines(history: HealthHistory, measure: Measure = "update", *, dark: bool = False) -> go.Figure:
    """One measure over the steps, a line per layer from the first (pale) to the last (full colour).

    Errors:
        ValueError for an unknown measure.
    """
    values, title = measured(history, measure), MEASURES[measure].capitalize()
    if values is None:
        return themed(empty(title, "No step was watched yet."), dark=dark)
    names, shares = layer_names(history), np.linspace(0, 1, len(values))
    figure = framed(title)
    for name, row, share in zip(names, values, shares, strict=True):
        line = {"color": FORWARD, "width": 1 + 1.5 * share}
        figure.add_scatter(
            x=history.steps, y=row, name=shown(name), opacity=0.35 + 0.65 * share, line=line, mode="lines"
        )
    figure.update_traces(hovertemplate="step %{x}: %{y:.2f}", showlegend=False)
    for place in {0, len(names) - 1}:
        figure.add_annotation(**end_label(history.steps, values[place], names[place]), font={"color": ink(dark=dark)})
    if measure == "update":
        figure.add_hline(y=np.log10(GUIDE), line={"color": BACKWARD, "dash": "dot", "width": 1.5})
    figure.update_layout(margin_r=110)
    figure.update_xaxes(title_text="step")
    return themed(
        subtitled(figure, "thin and pale: first layer; dotted: a thousandth" * (measure == "update")), dark=dark
    )


def end_label(steps: Sequence[int], row: np.ndarray, name: str) -> dict[str, Any]:
    known = np.flatnonzero(np.isfinite(row))
    last = known[-1] if len(known) else 0
    y = float(row[last]) if len(known) else 0.0
    return {"x": steps[last], "y": y, "text": shown(name, 16), "showarrow": False, "xanchor": "left", "xshift": 6}


def measured(history: HealthHistory, measure: str) -> np.ndarray | None:
    """(layers, samples) as drawn, nan for nothing; None when nothing was watched."""
    if measure not in MEASURES:
        raise ValueError(f"measure is {measure!r}. Expected one of: {', '.join(MEASURES)}.")
    if not history.samples:
        return None
    values = history.values(measure)
    if measure == "dead":
        return 100 * values
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isfinite(values) & (values > 0), np.log10(values), np.nan)


def layer_names(history: HealthHistory) -> list[str]:
    return [f"{layer.kind} {layer.name}" for layer in history.samples[0].layers]


# -- rates ------------------------------------------------------------------------------------------------------


def rates(found: RangeTest, *, compact: bool = False, dark: bool = False) -> go.Figure:
    """Smoothed loss by learning rate: median of the passes, band from lowest to highest, marks of the rules."""
    if not len(found.rates):
        return themed(empty("Learning-rate range test", "The loss was not finite at the first step."), dark=dark)
    figure = framed("" if compact else "Learning-rate range test", height=200 if compact else 400)
    figure.add_traces(rate_traces(found))
    if found.diverged:
        label = {"text": "diverges", "font": {"color": ink(dark=dark)}}
        figure.add_vline(x=found.diverged, line={"color": BACKWARD, "dash": "dash", "width": 1.5})
        figure.add_annotation(x=np.log10(found.diverged), y=1, yref="paper", xanchor="right", showarrow=False, **label)
    figure.update_xaxes(type="log", exponentformat="power", dtick=2 if compact else 1, title_text="learning rate")
    figure.update_yaxes(title_text="" if compact else "smoothed loss, nats", range=loss_range(found))
    if compact:
        compacted(figure, found.agreement, [(f"{GLYPHS[mark]} {name}", BACKWARD) for name, mark in rule_names(found)])
    else:
        subtitled(figure, found.agreement)
        figure.update_layout(margin_b=85)
    return themed(figure, dark=dark)


def rate_traces(found: RangeTest) -> list[go.Scatter]:
    median, low, high = found.band()
    x = found.rates
    band = go.Scatter(x=np.append(x, x[::-1]), y=np.append(high, low[::-1]), fill="toself", fillcolor=PALE[FORWARD])
    band.update(mode="lines", line_width=0, hoverinfo="skip", showlegend=False)
    line = go.Scatter(x=x, y=median, mode="lines", line={"color": FORWARD, "width": 2.5}, showlegend=False)
    line.update(hovertemplate="rate %{x:.2~e}: %{y:.3f}<extra></extra>")
    return [band, line, *(rule_mark(found, name, median) for name in RULES if name in found.suggestions)]


def rule_mark(found: RangeTest, name: str, median: np.ndarray) -> go.Scatter:
    rate = found.suggestions[name]
    at = float(np.interp(np.log(rate), np.log(found.rates), median))
    mark = go.Scatter(x=[rate], y=[at], mode="markers", name=rule_name(name, rate))
    return mark.update(marker={"symbol": MARKS[name], "size": 11, "color": BACKWARD}, hovertemplate="%{x:.2~e}")


def rule_name(name: str, rate: float) -> str:
    return f"{name.replace('minimum_tenth', 'min/10')} {rate:.2g}"


def rule_names(found: RangeTest) -> list[tuple[str, str]]:
    """The rules with their rates, and the symbols of their marks."""
    return [(rule_name(name, rate), MARKS[name]) for name, rate in found.suggestions.items()]


def loss_range(found: RangeTest) -> list[float]:
    """From the lowest loss to half above the start: what runs away is cut."""
    _, low, high = found.band()
    bottom, top = float(low.min()), 1.5 * float(high[: max(1, len(high) // 10)].max())
    return [bottom - 0.05 * (top - bottom), min(top, float(high.max()) * 1.05)]


# -- predictions ------------------------------------------------------------------------------------------------


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


def class_accuracy(found: Predictions, *, dark: bool = False) -> go.Figure:
    """Accuracy (%) of each class with its 95% Wilson interval, the worst at the top."""
    classes = sorted((each for each in found.per_class() if each.count), key=lambda each: -each.accuracy)
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
    figure.update_xaxes(title_text="accuracy, % of the class's images")
    figure.update_yaxes(type="category", automargin=True)
    return themed(subtitled(figure, "bars: 95% intervals; dotted: all images"), dark=dark)


def reliability(found: Predictions, *, bins: int = 15, dark: bool = False) -> go.Figure:
    """How often answers are right (bars) by how sure the network is; on the diagonal it is as good as it says."""
    at = found.calibration(bins)
    if not at.counts.sum():
        return themed(empty("Reliability", "The split has no images."), dark=dark)
    figure = framed("Reliability", height=400)
    middles, width = 100 * (at.edges[1:] + at.edges[:-1]) / 2, 100 * np.diff(at.edges)
    figure.add_bar(
        x=middles, y=100 * at.accuracy, width=width, name="right", marker={"color": FORWARD, "line_width": 1}
    )
    figure.update_traces(customdata=np.stack([at.counts, 100 * at.confidence], 1))
    figure.update_traces(hovertemplate="sure: %{customdata[1]:.1f}%, right: %{y:.1f}%<br>images: %{customdata[0]}")
    points = {"symbol": "line-ew", "size": 14, "line": {"color": BACKWARD, "width": 3}}
    figure.add_scatter(x=middles, y=100 * at.confidence, mode="markers", name="mean confidence", marker=points)
    line = {"color": GREY, "dash": "dot", "width": 1.5}
    figure.add_scatter(x=[0, 100], y=[0, 100], mode="lines", line=line, hoverinfo="skip", name="perfect")
    figure.update_xaxes(title_text="confidence, %", range=[0, 100])
    figure.update_yaxes(title_text="right, %", range=[0, 103])
    figure.update_layout(bargap=0, margin_b=85)
    of = counted(int(at.counts.sum()), "image")
    return themed(
        subtitled(figure, f"expected calibration error {100 * at.error:.1f}% of {of}, {bins} bins"), dark=dark
    )


# -- images -----------------------------------------------------------------------------------------------------


def hardest(mistakes: Sequence[Mistake], *, columns: int = 8, dark: bool = False) -> go.Figure:
    """Images in a grid, the hardest first, each with its true and its predicted class and its loss."""
    if not mistakes:
        return themed(empty("Hardest images", "There are no images."), dark=dark)
    columns = min(columns, len(mistakes))
    rows, (height, width) = ceil(len(mistakes) / columns), mistakes[0].image.shape[1:]
    label, gap = ceil(0.55 * height), max(1, width // 8)
    sheet = np.zeros((rows * (height + label), columns * (width + gap), 4), dtype=np.uint8)  # see-through between
    figure = framed("Hardest images", height=110 + round(rows * (height + label) / (width + gap) * 960 / columns))
    for place, mistake in enumerate(mistakes):
        top, left = (place // columns) * (height + label), (place % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = pixels(mistake.image)
        text = f"{escape(mistake.true)} → <b>{escape(mistake.predicted)}</b><br>{mistake.loss:.2g}"
        at = {"x": left + (width - 1) / 2, "y": top + height - 0.5, "yanchor": "top", "showarrow": False}
        figure.add_annotation(text=text, font={"size": 11, "color": ink(dark=dark)}, **at)
    figure.add_image(z=sheet, colormodel="rgba", hoverinfo="skip")
    figure.update_xaxes(visible=False, constrain="domain").update_yaxes(visible=False)
    figure.update_layout(margin={"l": 12, "r": 12, "b": 12})
    return themed(subtitled(figure, "true → predicted, and the loss in nats"), dark=dark)


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
