"""Plotly figure of the learning rate over a run, before it runs: no training, no widgets."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from lab.plots import COLOURS, by_itself
from lab.recipe import Recipe
from lab.schedules import rate_factor, watches

POINTS = 300  # as many as the figure has pixels where it is narrow
DECADES = 1.5  # rates above 0 that span more are drawn on a logarithmic axis
SHADE = "rgba(127,127,127,0.16)"  # seen on white and on dark paper
SMALL = {"size": 11}
BY_VALIDATION = "depends on the validation; shown as it begins"


def rate_over_run(recipe: Recipe, *, steps: int | None = None, dark: bool = False) -> go.Figure:
    """The learning rate from the first epoch to the last, warm-up and cool-down shaded; readable at 320 x 180 pixels.

    A schedule that watches the validation is drawn as if nothing came of it. With a rate per depth it is the rate of
    the output layer. The axis is logarithmic if the rates between the ramps are above 0 and span more than one and a
    half decades; what lies far below them is cut off.

    Args:
        steps: updates of the run, each drawn as a stair if they are few; without them the curve is drawn through.
        dark: for dark paper.
    """
    few = steps if steps is not None and steps <= POINTS else None
    places = np.arange((few or POINTS) + 1) / (few or POINTS)
    rates = rates_at(recipe, places)
    drawn = np.append(rates[:-1], rates[-2]) if few else rates  # the last of few steps holds to the end
    line: dict[str, Any] = {"color": COLOURS[0], "width": 2, "shape": "hv" if few else "linear"}
    hover = "rate %{y:.3~g}, epoch %{x:.2f}<extra></extra>"
    curve = go.Scatter(x=places * recipe.epochs, y=drawn, mode="lines", line=line, hovertemplate=hover)
    return go.Figure(curve, layout(recipe, places, rates, dark=dark))


def rates_at(recipe: Recipe, places: np.ndarray) -> np.ndarray:
    """(n,) progress -> (n,) learning rates, as long as the validation has said nothing."""
    factors = [
        rate_factor(recipe.schedule, warmup=recipe.warmup, cooldown=recipe.cooldown, progress=place)
        for place in places.tolist()
    ]
    return getattr(recipe.optimizer, "lr", 1.0) * np.array(factors)


def layout(recipe: Recipe, places: np.ndarray, rates: np.ndarray, *, dark: bool) -> dict[str, Any]:
    whose = "" if recipe.depth_decay == 1 else " of the output layer"
    top_left = {"x": 0, "xref": "container", "y": 1, "yanchor": "top", "pad": {"t": 6, "l": 8}}
    return {
        "height": 180,
        "margin": {"l": 44, "r": 10, "t": 26, "b": 34},
        "title": {"text": f"learning rate{whose}", "font": {"size": 12}, **top_left},
        "xaxis": {"title": {"text": "epoch", "font": SMALL, "standoff": 4}, "range": [0, recipe.epochs]},
        "yaxis": {"automargin": "left", "tickformat": "~g", "nticks": 6, **rate_axis(recipe, places, rates)},
        "font": SMALL,
        "shapes": shades(recipe),
        "annotations": notes(recipe),
        "showlegend": False,
        **by_itself(dark=dark),
    }


def rate_axis(recipe: Recipe, places: np.ndarray, rates: np.ndarray) -> dict[str, Any]:
    """Linear from 0, or logarithmic over what is between the ramps."""
    highest, between = rates.max(), rates[(places >= recipe.warmup) & (places <= 1 - recipe.cooldown)]
    lowest = between.min() if between.size else 0.0
    if lowest > 0 and np.log10(highest / lowest) > DECADES:
        return {"type": "log", "range": [np.log10(lowest) - 0.3, np.log10(highest) + 0.15]}
    return {"range": [0, 1.08 * highest or 1.0]}


def shades(recipe: Recipe) -> list[dict[str, Any]]:
    """A rectangle behind the warm-up, and one behind the cool-down."""
    ramps = [(0.0, recipe.warmup), (1 - recipe.cooldown, 1.0)]
    look = {"type": "rect", "yref": "paper", "y0": 0, "y1": 1, "layer": "below", "line": {"width": 0}}
    return [
        {**look, "x0": start * recipe.epochs, "x1": end * recipe.epochs, "fillcolor": SHADE}
        for start, end in ramps
        if end > start
    ]


def notes(recipe: Recipe) -> list[dict[str, Any]]:
    if not watches(recipe.schedule):
        return []
    middle = {"xref": "paper", "x": 0.5, "yref": "paper", "y": 0.35}
    return [{"text": BY_VALIDATION, "showarrow": False, "font": SMALL, **middle}]
