"""What the figures of comparisons share: frames, titles, traces, and words for what is not there."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from textwrap import wrap
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lab.compare import Comparison, Phase, Trial
from lab.plots import colour_and_dash
from lab.reports import PHASES

MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "triangle-down", "cross")
DEPTH = 25  # points below the best that an accuracy axis shows at least
ACROSS = 110  # characters in a line of the legend
LINE_LENGTH = 38  # characters of a name before it goes on in the next line
DECADES = 1.5  # numbers above 0 that span more are drawn on a logarithmic axis

HOVER = {"rate": "rate %{x:~g}", "epoch": "epoch %{x}", "seconds": "%{x:.3~g} s", "flops": "%{x:.3~e} operations"}


def framed(title: str, height: int = 400) -> go.Figure:
    figure = go.Figure()
    at_top = {"x": 0, "xref": "container", "y": 1, "yanchor": "top", "pad": {"t": 14, "l": 12}}
    legend = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "itemwidth": 45}
    margin = {"l": 60, "r": 15, "t": 60, "b": 50}
    figure.update_layout(title={"text": shown(title, 90), **at_top}, legend=legend, margin=margin, height=height)
    return figure.update_layout(template="plotly_white", uirevision="keep")


def subtitled(figure: go.Figure, *parts: str) -> go.Figure:
    """What is what, under the title."""
    text = shown("; ".join(filter(None, parts)), 85)
    above = 60 + 17 * (text.count("<br>") + 1)
    return figure.update_layout(title_subtitle_text=text, margin_t=above)


def completed(figure: go.Figure, *parts: str) -> go.Figure:
    """With its subtitle, and higher by the lines that the legend takes."""
    subtitled(figure, *parts)
    names = [each.name.split("<br>") for each in drawn(figure) if each.name and each.showlegend is not False]
    lines = max(map(len, names)) * -(-sum(max(map(len, name)) + 10 for name in names) // ACROSS)
    layout: Any = figure.layout
    return figure.update_layout(height=layout.height + 19 * lines)


def empty(title: str, why: str) -> go.Figure:
    """Words in place of a picture."""
    figure = framed(title, height=200)
    figure.add_annotation(text=shown(why, 70), x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font_size=14)
    return figure.update_xaxes(visible=False).update_yaxes(visible=False)


def zoomed(figure: go.Figure, seen: Sequence[float]) -> str:
    """End an axis of accuracy (%) below what must be seen, where lower points would flatten that. The words for it."""
    values = [float(y) for each in drawn(figure) if each.y is not None for y in each.y if y is not None]
    bottom = min(max(seen) - DEPTH, min(seen) - DEPTH / 5) if seen else 0
    if min(values) >= bottom:
        return ""
    figure.update_yaxes(range=[bottom, max(values) + DEPTH / 20])
    return f"from {bottom:.0f}% up, double-click: all"


def drawn(figure: go.Figure) -> Any:
    """The traces; Plotly does not say their type."""
    return figure.data


def trace(name: str, index: int, x: Any, y: Any, *, mode: str = "lines+markers", x_is: str = "rate") -> go.Scatter:
    """Points of an arm in its colour, dash and marker; under the pointer its name, the point and the trace's text."""
    colour, dash = colour_and_dash(index)
    return go.Scatter(
        name=shown(name),
        legendgroup=name,
        x=x,
        y=y,
        mode=mode,
        line={"color": colour, "dash": dash, "width": 2},
        marker={"color": colour, "symbol": marker_of(index), "size": 8, "line_color": colour},
        hovertemplate=f"{HOVER[x_is]}: %{{y:.1f}}%<br>%{{text}}",
    )


def marker_of(index: int) -> str:
    return MARKERS[index % len(MARKERS)]


def seed_dots(
    name: str, index: int, trials: Sequence[Trial], points: Sequence[tuple[float, float]], *, x_is: str
) -> go.Scatter:
    """Pale points (x, accuracy) of single runs; under the pointer seed, and status of those that did not finish."""
    ends = [f"seed {trial.seed}" + f", {trial.status}" * (trial.status != "finished") for trial in trials]
    x, y = [place for place, _ in points], [100 * accuracy for _, accuracy in points]
    dots = trace(name, index, x, y, mode="markers", x_is=x_is)
    return dots.update(text=ends, showlegend=False, opacity=0.45, marker_size=5)


def shown(text: str, length: int = LINE_LENGTH) -> str:
    """Text as Plotly shows it letter by letter, in lines of such a length."""
    return "<br>".join(escape(line, quote=False) for line in wrap(text, length))


def pale(index: int) -> str:
    colour, _ = colour_and_dash(index)
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"


def phase_words(phase: Phase) -> str:
    if phase not in PHASES:
        raise ValueError(f"phase is {phase!r}. Expected one of: {', '.join(PHASES)}.")
    return PHASES[phase]


def missing(comparison: Comparison, phase: Phase) -> str:
    """Why there is nothing to show of a phase; empty if there is something."""
    if phase not in comparison.phases:
        return "This comparison was planned without a search: there are no tuned rates."
    return "" if any(trial.phase == phase for trial in comparison.trials) else "No run has ended yet."


def trials_of(comparison: Comparison, name: str, phase: Phase) -> list[Trial]:
    return [trial for trial in comparison.trials if (trial.arm, trial.phase) == (name, phase)]


def those_that_finished(comparison: Comparison, phase: Phase) -> list[str]:
    """Arms of which some run finished."""
    names = {trial.arm for trial in comparison.trials if (trial.phase, trial.status) == (phase, "finished")}
    return [name for name in comparison.arms if name in names]


def seeds_of(comparison: Comparison, phase: Phase) -> str:
    """How many seeds the arms have that have any."""
    counts = [len(trials_of(comparison, name, phase)) for name in comparison.arms]
    return span(min(filter(None, counts)), max(counts), "seed")


def counted(count: float, what: str) -> str:
    return f"{count:g} {what}{'' if count == 1 else 's'}"


def span(low: float, high: float, what: str) -> str:
    return counted(high, what) if low == high else f"{low:g} to {high:g} {what}s"


def is_wide(values: np.ndarray) -> bool:
    return bool(values.min() > 0 and np.log10(values.max() / values.min()) > DECADES)
