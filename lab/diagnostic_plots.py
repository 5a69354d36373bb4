"""Plotly figures of signals, health and rates, on light and dark paper: no training, no widgets.

Blue is what goes forward, orange what comes back or goes wrong; shape or dash says it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, isfinite
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from lab.diagnostics import HealthHistory, InitReport, LayerSignal, RangeTest
from lab.diagnostics.rate_rules import RULES
from lab.figure_parts import empty, framed, shown, subtitled
from lab.plots import COLOURS, by_itself

FORWARD, BACKWARD, DEAD = COLOURS[0], COLOURS[1], COLOURS[3]
PALE = {FORWARD: "rgba(47,127,193,0.2)", BACKWARD: "rgba(213,94,0,0.25)"}
LOOKS = {"signal": (FORWARD, "solid", "circle"), "gradient": (BACKWARD, "dash", "square")}
MARKS = {"steepest": "triangle-down", "valley": "diamond", "minimum_tenth": "square"}
GUIDE = 1e-3  # of a layer's weights in one step: a common rule of thumb for a rate that is neither too low nor too high
DECADES = 2.0  # that an axis of sizes spans at least
SMALLEST = 1e-38  # what a logarithmic axis shows of a zero
SIZES = "signal: std of output<br>gradient: nats per unit"
DOCTOR_KEY = (("● signal", FORWARD), ("■ gradient", BACKWARD), ("▮ dead units", DEAD))
GLYPHS = {"triangle-down": "▼", "diamond": "◆", "square": "■"}
MEASURES = {  # with the unit that they are drawn in
    "update": "update / weight, log10",
    "gradient": "gradient norm, log10",
    "weight": "weight norm, log10",
    "mean": "mean of activations, ",
    "std": "std of activations, log10",
    "dead": "dead units, %",
    "lr": "learning rate, log10",
}
AROUND_GUIDE = 2.0  # decades to either side that colours tell apart: the same in every run, and while it goes on

Measure = Literal["update", "gradient", "weight", "mean", "std", "dead", "lr"]


def themed(figure: go.Figure, *, dark: bool) -> go.Figure:
    """On paper that text and grid fit: white, or a dark page's own, which shows through."""
    return figure.update_layout(by_itself(dark=dark))


def ink(*, dark: bool) -> str:
    return "#f2f5fa" if dark else "#2a3f5f"


# -- before the first step --------------------------------------------------------------------------------------


def init_doctor(report: InitReport, *, compact: bool = False, dark: bool = False) -> go.Figure:
    """Size of the signal (forward) and of the gradient (backward) at each layer, dead units as bars, and the sentence.

    What the sentence compares: the signal is the standard deviation of the layer's output, the gradient the norm of
    that of an image's loss by this output, in nats per unit of it. Under the pointer: gain, measured and by theory, and
    the activation behind.
    The axis spans two decades or more, so that what differs little looks alike. Compact: for 330 px, 200 px high.
    """
    if not report.layers:
        return themed(empty("Before the first step", "This network has no layers with weights."), dark=dark)
    places = np.arange(1, len(report.layers) + 1)
    figure = framed("" if compact else "Before the first step", height=200 if compact else 400)
    figure.add_traces(doctor_traces(report.layers, places))
    shown_every = max(1, ceil(len(places) / (6 if compact else 12)))
    figure.update_xaxes(title_text="layer", range=[0.4, len(places) + 0.6], tick0=1, dtick=shown_every)
    figure.update_yaxes(type="log", title_text=SIZES, **size_axis(figure, 3 if compact else 6))
    percent = {
        "range": [0, 100],
        "overlaying": "y",
        "side": "right",
        "showgrid": False,
        "ticktext": ["0", "50%", "100%"],
    }
    figure.update_layout(yaxis2={**percent, "tickvals": [0, 50, 100], "title": {"text": "dead units"}}, bargap=0.3)
    if compact:
        compacted(figure, report.sentence, DOCTOR_KEY)
        figure.update_layout(margin={"l": 60, "r": 48})
    else:
        subtitled(figure, report.sentence)
        figure.update_layout(margin={"l": 80, "r": 65, "b": 85})
    return themed(figure, dark=dark)


def doctor_traces(layers: Sequence[LayerSignal], places: np.ndarray) -> list[Any]:
    names = [f"{layer.kind} {layer.name}" for layer in layers]
    dead = [None if layer.dead is None else 100 * layer.dead for layer in layers]
    bars = go.Bar(x=places, y=dead, yaxis="y2", name="dead units", marker={"color": DEAD, "opacity": 0.45})
    bars.update(hovertemplate="%{y:.0f}% dead<extra>%{text}</extra>", text=names, textposition="none")
    texts = [f"{name}{said_of(layer)}" for name, layer in zip(names, layers, strict=True)]
    signal = sized("signal", [layer.std for layer in layers], texts)
    gradient = sized("gradient", [layer.gradient_norm for layer in layers], names)
    return [bars, signal.update(x=places), gradient.update(x=places)]


def said_of(layer: LayerSignal) -> str:
    """Lines on a layer's gain and on the activation behind it, as far as there are numbers."""
    parts = {
        "gain {:.2g}": layer.gain,
        "by theory {:.2g}": layer.expected_gain,
        f"after {layer.activation} {{:.2g}}": layer.activation_std,
        "{:.0%} of inputs where flat": layer.saturated,
    }
    return "".join(f"<br>{words.format(number)}" for words, number in parts.items() if number is not None)


def sized(name: str, sizes: Sequence[float], texts: Sequence[str]) -> go.Scatter:
    """A line on a logarithmic axis; what is 0 or not finite leaves a gap."""
    colour, dash, symbol = LOOKS[name]
    y = [size if isfinite(size) and size > SMALLEST else None for size in sizes]
    line = go.Scatter(y=y, name=name, mode="lines+markers" if len(sizes) <= 40 else "lines", text=texts)
    line.update(line={"color": colour, "dash": dash, "width": 2}, marker={"symbol": symbol, "size": 6, "color": colour})
    return line.update(hovertemplate=f"{name} %{{y:.2~e}}<extra>%{{text}}</extra>")


def size_axis(figure: go.Figure, count: int) -> dict[str, Any]:
    """About so many ticks at powers of ten, over all that is drawn and over two decades at least."""
    lines: Any = figure.data
    sizes = [y for line in lines if line.type == "scatter" for y in line.y if y is not None] or [1.0]
    low, high = np.log10(min(sizes)), np.log10(max(sizes))
    margin = max(0.1, (DECADES - (high - low)) / 2)
    ticks = {"dtick": ceil((high - low) / count) or 1, "exponentformat": "power"}
    return {"range": [low - margin, high + margin], **ticks}


def compacted(figure: go.Figure, sentence: str, key: Sequence[tuple[str, str]]) -> None:
    """For a narrow column: small print, the sentence in place of a title, and under it in colours what is what."""
    named = "  ".join(f'<span style="color:{colour}">{escape(name)}</span>' for name, colour in key)
    text = "<br>".join(filter(None, [shown(sentence, 54), named]))
    above = 16 + 14 * (text.count("<br>") + 1)
    title = {"text": text, "font": {"size": 11}, "pad": {"t": 10, "l": 6}}
    figure.update_layout(height=155 + above, font_size=10, title=title, showlegend=False)
    figure.update_layout(margin={"l": 50, "r": 34, "t": above, "b": 34})
    figure.update_xaxes(title_standoff=2)
    figure.update_yaxes(title={"standoff": 2, "font_size": 10})


# -- during training --------------------------------------------------------------------------------------------


def health_map(history: HealthHistory, measure: Measure = "update", *, dark: bool = False) -> go.Figure:
    """One measure of every layer over the steps, as colours; by default the update over the weight, in powers of ten.

    There the palest colour is the guide of a thousandth, orange above it and blue below. The first layer is at the top.

    Errors:
        ValueError for an unknown measure.
    """
    values, title = measured(history, measure), title_of(measure)
    if values is None:
        return themed(empty(title, "No step was watched yet."), dark=dark)
    names, unit = layer_names(history), MEASURES[measure].partition(", ")[2]
    places = list(range(1, len(names) + 1))
    figure = framed(title, height=170 + 26 * max(4, min(len(names), 24)))
    figure.add_heatmap(x=history.steps, y=places, z=values, **colours_of(measure, dark=dark))
    what = {"text": MEASURES[measure].removesuffix(", "), "side": "right", "font": {"size": 11}}
    figure.update_traces(colorbar={"thickness": 12, "title": what})
    figure.update_traces(customdata=np.array([names] * values.shape[1]).T)
    figure.update_traces(hovertemplate=f"step %{{x}}: %{{z:.2~f}} {unit}<extra>%{{customdata}}</extra>")
    figure.update_xaxes(title_text="step", minallowed=0)
    figure.update_yaxes(autorange="reversed", automargin=True)
    if len(names) <= 24:
        figure.update_yaxes(tickvals=places, ticktext=[shown(name) for name in names])
    else:
        figure.update_yaxes(title_text="layer")
    if measure == "update":
        subtitled(figure, "pale: -3, a thousandth of the weight in a step; orange: more; blue: less")
    return themed(figure, dark=dark)


def title_of(measure: str) -> str:
    """Raises ValueError for an unknown measure."""
    if measure not in MEASURES:
        raise ValueError(f"measure is {measure!r}. Expected one of: {', '.join(MEASURES)}.")
    return MEASURES[measure].removesuffix(", ").capitalize()


def colours_of(measure: Measure, *, dark: bool) -> dict[str, Any]:
    """The update and the mean have a middle; all else goes from little to much."""
    if measure not in ("update", "mean"):
        return {"colorscale": "Cividis"}
    scale = {"colorscale": [[0, FORWARD], [0.5, "#3a3f4a" if dark else "#f4f4f2"], [1, BACKWARD]]}
    middle = np.log10(GUIDE)
    return scale | (
        {"zmid": 0} if measure == "mean" else {"zmin": middle - AROUND_GUIDE, "zmax": middle + AROUND_GUIDE}
    )


def health_lines(history: HealthHistory, measure: Measure = "update", *, dark: bool = False) -> go.Figure:
    """One measure over the steps, a line per layer from the first (pale) to the last (full colour).

    Errors:
        ValueError for an unknown measure.
    """
    values, title = measured(history, measure), title_of(measure)
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
    title_of(measure)
    if not history.samples:
        return None
    values = history.values(measure)
    if measure in ("dead", "mean"):
        return 100 * values if measure == "dead" else values
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isfinite(values) & (values > 0), np.log10(values), np.nan)


def layer_names(history: HealthHistory) -> list[str]:
    return [f"{layer.kind} {layer.name}" for layer in history.samples[0].layers]


# -- rates ------------------------------------------------------------------------------------------------------


def rates(found: RangeTest, *, compact: bool = False, dark: bool = False) -> go.Figure:
    """Smoothed loss by learning rate: median of the passes, band from lowest to highest, marks of the rules."""
    if not np.isfinite(found.band()[0]).any():
        return themed(empty("Learning-rate range test", "The loss was not finite at the first step."), dark=dark)
    figure = framed("" if compact else "Learning-rate range test", height=200 if compact else 400)
    figure.add_traces(rate_traces(found))
    if found.diverged:
        label = {"text": "diverges", "font": {"color": ink(dark=dark)}}
        figure.add_vline(x=found.diverged, line={"color": BACKWARD, "dash": "dash", "width": 1.5})
        figure.add_annotation(x=np.log10(found.diverged), y=1, yref="paper", xanchor="right", showarrow=False, **label)
    figure.update_xaxes(type="log", exponentformat="power", dtick=2 if compact else 1, title_text="learning rate")
    figure.update_yaxes(title_text="smoothed loss, nats", range=loss_range(found))
    if compact:
        compacted(figure, found.agreement, [(f"{GLYPHS[mark]} {name}", BACKWARD) for name, mark in rule_names(found)])
    else:
        subtitled(figure, found.agreement)
        figure.update_layout(margin_b=85)
    return themed(figure, dark=dark)


def rate_traces(found: RangeTest) -> list[go.Scatter]:
    x, median, low, high = until_most_ran_away(found)
    band = go.Scatter(x=np.append(x, x[::-1]), y=np.append(high, low[::-1]), fill="toself", fillcolor=PALE[FORWARD])
    band.update(mode="lines", line_width=0, hoverinfo="skip", showlegend=False)
    line = go.Scatter(x=x, y=median, mode="lines", line={"color": FORWARD, "width": 2.5}, showlegend=False)
    line.update(hovertemplate="rate %{x:.2~e}: %{y:.3f}<extra></extra>")
    return [band, line, *(rule_mark(found, name, x, median) for name in RULES if name in found.suggestions)]


def until_most_ran_away(found: RangeTest) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rates, and the band as far as its median goes; where a pass has run away it leaves the picture at the top."""
    median, low, high = found.band()
    end = int(np.isfinite(median).sum())
    top = 2 * loss_range(found)[1]
    return found.rates[:end], median[:end], low[:end], np.minimum(high[:end], top)


def rule_mark(found: RangeTest, name: str, rates: np.ndarray, median: np.ndarray) -> go.Scatter:
    rate = found.suggestions[name]
    at = float(np.interp(np.log(rate), np.log(rates), median))
    mark = go.Scatter(x=[rate], y=[at], mode="markers", name=rule_name(name, rate))
    return mark.update(marker={"symbol": MARKS[name], "size": 11, "color": BACKWARD}, hovertemplate="%{x:.2~e}")


def rule_name(name: str, rate: float) -> str:
    return f"{name.replace('minimum_tenth', 'min/10')} {rate:.2g}"


def rule_names(found: RangeTest) -> list[tuple[str, str]]:
    """The rules with their rates, and the symbols of their marks."""
    return [(rule_name(name, rate), MARKS[name]) for name, rate in found.suggestions.items()]


def loss_range(found: RangeTest) -> list[float]:
    """From the lowest loss to half above the start: what runs away is cut."""
    median, low, high = found.band()
    start, finite = median[: max(1, len(median) // 10)], high[np.isfinite(high)]
    bottom, top = float(low.min()), 1.5 * float(start[np.isfinite(start)].max())
    return [bottom - 0.05 * (top - bottom), min(top, 1.05 * float(finite.max(initial=bottom)))]
