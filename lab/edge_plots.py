"""Plotly figure of the edge of stability: the sharpness along runs, with errors, beside what their rates bear.

Traces are made once by `edge_traces` and drawn anew in place with what `edge_data` gives, in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import Any

import numpy as np
import plotly.graph_objects as go

from lab.diagnostic_plots import themed
from lab.figure_parts import shown
from lab.landscape.stability import EdgePath
from lab.plots import colour_and_dash

HEIGHT = 300
WHAT = "top eigenvalue"
FAR = 10  # times the highest eigenvalue: bounds above that would flatten the curve, and are left out
TICKS = [digit * 10.0**power for power in range(-5, 8) for digit in (1, 2, 5)]  # those that are in the picture
HOVER = "step %{x:,}<br>sharpness %{y:.4~g} ± %{customdata:.2~g}"
BEARS = "step %{x:,}<br>the rate bears %{y:.4~g}"


def edge_figure(paths: Sequence[EdgePath], *, dark: bool = False) -> go.Figure:
    """The top eigenvalue of each run as a curve with error bars, and dashed what its rate can just bear.

    Both have a logarithmic axis, on which equal shares of the bound are equal distances. Where a schedule lets the rate
    fall to 0 the bound leaves the picture.

    Errors:
        ValueError for no run.
    """
    if not paths:
        raise ValueError("A picture of the edge of stability needs at least one run that was read.")
    figure = go.Figure()
    for path in paths:
        for trace, data in zip(edge_traces(path), edge_data(path), strict=True):
            figure.add_trace(trace.update(data))
    figure.update_xaxes(title_text="step").update_yaxes(title_text=WHAT, type="log", tickvals=TICKS)
    key = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "itemwidth": 45}
    margin = {"l": 70, "r": 20, "t": 20, "b": 80}
    figure.update_layout(height=HEIGHT, legend=key, margin=margin, showlegend=True, uirevision="keep")
    return themed(figure, dark=dark)


def edge_traces(path: EdgePath) -> list[Any]:
    """What the rate bears, error bars, and the curve; nothing on them yet."""
    colour, dash = colour_and_dash(path.number)
    common: dict[str, Any] = {"legendgroup": str(path.number)}
    bound = {
        **common,
        "mode": "lines",
        "name": bound_name(path),
        "line": {"color": colour, "width": 1.5, "dash": "dash"},
    }
    bars = {**common, "mode": "lines", "line": {"color": colour, "width": 1}, "hoverinfo": "skip", "showlegend": False}
    curve = {**common, "mode": "lines+markers", "line": {"color": colour, "width": 2, "dash": dash}}
    return [
        go.Scatter({**bound, "showlegend": any(each.bound for each in path.readings), "hovertemplate": BEARS}),
        go.Scatter({**bars, "connectgaps": False}),
        go.Scatter({**curve, "marker": {"size": 5}, "name": shown(path.name or WHAT), "hovertemplate": HOVER}),
    ]


def bound_name(path: EdgePath) -> str:
    """Of the line: the rule, and whose it is; where all of it lies far above the curve it says so."""
    bounded = [each for each in path.readings if each.bound]
    rule = bounded[-1].note if bounded else "edge"
    above = ", far above" if bounded and np.isnan(bounds_of(path)).all() else ""
    return shown(f"{path.name}: {rule}{above}" if path.name else f"{rule}{above}")


def bounds_of(path: EdgePath) -> np.ndarray:
    """(k,) what the rate bears; nan where it bears anything, or far more than there is."""
    highest = max(each.sharpness for each in path.readings)
    return np.array([each.bound if each.bound and each.bound <= FAR * highest else nan for each in path.readings])


def edge_data(path: EdgePath) -> list[dict[str, Any]]:
    """What `edge_traces` show; what a logarithm does not show is left out."""
    steps = np.array([each.step for each in path.readings])
    values = np.array([each.sharpness if each.sharpness > 0 else nan for each in path.readings])
    errors = np.array([each.off for each in path.readings])
    low, gap = np.where(values > errors, values - errors, values), np.full(len(steps), nan)
    bars = np.stack([low, values + errors, gap], 1).ravel()
    return [
        {"x": steps, "y": bounds_of(path)},
        {"x": np.repeat(steps, 3), "y": bars},
        {"x": steps, "y": values, "customdata": errors},
    ]
