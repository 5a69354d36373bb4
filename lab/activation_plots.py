"""Small Plotly figures of an activation and of the weights that a network starts with: no training, no widgets.

They stand in a fold-out beside the choice: 200 pixels high, readable at a width of 320.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from lab.activations import activations, curve_of
from lab.catalogue import Choice
from lab.diagnostics.theory import SATURATED, largest_slope
from lab.initializers import initializers, std_of
from lab.plots import CLEAR, COLOURS, DASHES, by_itself

REACH = 4.0  # inputs from -REACH to REACH are drawn: all but one in ten thousand of N(0, 1)
POINTS = 256  # an even number: the kink at 0 lies between two
FEWEST_BINS, MOST_BINS = 8, 48
MOST_VALUES = 200_000  # of more, every n-th is looked at
BEHIND = "rgba(128,128,128,0.45)"  # of histograms: grey on white and on black


def activation_curve(choice: Choice, *, inputs: Tensor | None = None, dark: bool = False) -> go.Figure:
    """f and its derivative before the first step, and behind them where a network's inputs to it lie.

    Args:
        inputs: pre-activations of any shape; those beyond the axis are counted in the title.
    Raises:
        ValueError: the activation does not map each number to one.
    """
    points = torch.linspace(-REACH, REACH, POINTS, dtype=torch.float64)
    values, slopes = curve_of(choice, points)
    figure = small_figure(dark=dark)
    figure.update_xaxes(title_text="input x", range=[-REACH, REACH], dtick=2)
    if inputs is not None:
        seen = finite(inputs)
        figure.add_trace(behind(*shares(seen.numpy(), (-REACH, REACH)), "inputs"))
        figure.update_layout(title_text=told(choice, seen), xaxis_title_text=beyond(seen))
    for name, curve, index in (("f(x)", values, 0), ("slope f'(x)", slopes, 1)):
        figure.add_trace(line(name, points.numpy(), curve.numpy(), index).update(yaxis="y2"))
    # The curves' axis overlays that of the histogram, which has a scale of its own that nobody needs to read.
    figure.update_layout(yaxis2={"overlaying": "y", "side": "left", "tickmode": "auto", **axis_title("output, slope")})
    figure.update_layout(yaxis={"visible": False, "rangemode": "tozero"})
    return figure


def told(choice: Choice, inputs: Tensor) -> str:
    """What share of the inputs (n,) lies where the activation is flat, as the init doctor says it, and has no slope."""
    if not len(inputs):
        return "no finite inputs"
    slopes = curve_of(choice, inputs)[1].abs()
    least = SATURATED * largest_slope(activations.build(choice))
    flat, zero = (float(mask.double().mean()) for mask in (slopes < least, slopes == 0))
    return f"{flat:.0%} of inputs lie where f is flat, {zero:.0%} where f' = 0"


def beyond(inputs: Tensor) -> str:
    """The title of the axis: how many of the inputs it does not show, if any."""
    share = float((inputs.abs() > REACH).sum()) / max(len(inputs), 1)
    return f"input x ({share:.1%} beyond \u00b1{REACH:g})" if share else "input x"


def initial_weights(choice: Choice, shape: Sequence[int], gain: float, *, dark: bool = False) -> go.Figure:
    """The weights of one layer as they are drawn, and the density that the initialiser's formula gives them.

    Args:
        shape: (out, in), or (out, in, ...) of a convolution; all of it is drawn, so a huge rotation takes its time.
        gain: of the activation, as `gain_of` says.
    """
    weight = torch.empty(*shape)
    with torch.no_grad():
        initializers.build(choice, weight, gain, torch.Generator().manual_seed(0))
    drawn, expected = finite(weight).numpy(), std_of(choice, shape, gain)
    centres, heights = shares(drawn, reach_of(drawn))
    figure = small_figure(dark=dark)
    figure.add_trace(behind(centres, heights, "weights drawn"))
    if expected:
        width = centres[1] - centres[0]
        figure.add_trace(line("formula", *density(choice, expected, width), 0))
    figure.update_layout(title_text=spread(drawn, expected))
    figure.update_xaxes(title_text="weight")
    figure.update_yaxes(tickformat="~%", rangemode="tozero", **axis_title("share per bar"))
    return figure


def spread(drawn: np.ndarray, expected: float | None) -> str:
    """The standard deviation that was drawn, and that of the formula if there is one."""
    if not len(drawn):
        return "no finite weights"
    found = drawn.std() if np.ptp(drawn) else 0.0  # the mean of equal numbers is not always that number
    return f"standard deviation {found:.3g}" + ("" if expected is None else f", formula {expected:.3g}")


def density(choice: Choice, std: float, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Places and the share of weights in a bar of this width around each: a bell, or a box for uniform weights."""
    if choice.name.endswith("uniform"):
        bound = math.sqrt(3) * std
        return np.array([-bound, -bound, bound, bound]), np.array([0, 1, 1, 0]) * width / (2 * bound)
    places = np.linspace(-4, 4, 129)
    return places * std, np.exp(-(places**2) / 2) / math.sqrt(2 * math.pi) * width / std


def reach_of(drawn: np.ndarray) -> tuple[float, float]:
    low, high = (float(drawn.min()), float(drawn.max())) if len(drawn) else (0.0, 0.0)
    margin = 0 if high > low else max(abs(low), 1.0) / 2  # weights that are all alike get an axis too
    return low - margin, high + margin


def shares(values: np.ndarray, reach: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Centres of equal bins, and which fraction of all values, also of those beyond, lies in each."""
    bins = int(np.clip(2 * len(values) ** (1 / 3), FEWEST_BINS, MOST_BINS))
    counts, edges = np.histogram(values, bins, reach)
    return (edges[:-1] + edges[1:]) / 2, counts / max(len(values), 1)


def finite(values: Tensor) -> Tensor:
    """(n,) float64 on the CPU: those of at most MOST_VALUES, evenly spread, that are numbers."""
    flat = values.detach().flatten()
    some = flat[:: len(flat) // MOST_VALUES + 1].cpu().double()
    return some[some.isfinite()]


def behind(centres: np.ndarray, heights: np.ndarray, what: str) -> go.Bar:
    hover = f"%{{y:.1%}} of {what} near %{{x:.3g}}<extra></extra>"
    marker = {"color": BEHIND, "line": {"width": 0}}
    return go.Bar(x=centres, y=heights, name=what, marker=marker, hovertemplate=hover)


def line(name: str, x: np.ndarray, y: np.ndarray, index: int) -> go.Scatter:
    style = {"color": COLOURS[index], "dash": DASHES[index], "width": 2}
    hover = f"{name} %{{y:.3g}} at %{{x:.3g}}<extra></extra>"
    return go.Scatter(name=name, x=x, y=y, mode="lines", line=style, hovertemplate=hover)


def axis_title(text: str) -> dict[str, Any]:
    return {"title": {"text": text, "font": {"size": 11}, "standoff": 4}}


def small_figure(*, dark: bool) -> go.Figure:
    """An empty figure of the theme, clear behind, for a narrow place."""
    return go.Figure(
        layout={
            "height": 200,
            "margin": {"l": 46, "r": 8, "t": 42, "b": 34},
            "font": {"size": 11},
            "title": {"font": {"size": 11}, "x": 0.02, "y": 0.98, "yanchor": "top"},
            "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "bgcolor": CLEAR},
            "bargap": 0,
            "xaxis": axis_title(""),
            **by_itself(dark=dark),
        }
    )
