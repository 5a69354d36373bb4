"""Small Plotly figure of the path an optimizer takes through a narrow valley: no data, no widgets.

The valley is f = (x^2 + 16 y^2) / 2, and so small that the usual rates of both kinds of optimizer show in it as they
are: gradient descent feels only rate times curvature, whatever the distance; those that divide by the gradient's size,
Adam say, only rate over distance, whatever the curvature.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import torch
from torch import nn

from lab.activation_plots import BEHIND, axis_title, small_figure
from lab.catalogue import Choice
from lab.optimizers import optimizers
from lab.plots import COLOURS

CURVATURES = np.array([1.0, 16.0])
START = np.array([-0.06, 0.02])
STEPS = 60
FRAME = np.array([0.075, 0.035])  # what is seen around the minimum at least
FARTHEST = 4  # frames: a path that leads further out is drawn as far as that
LEVELS = 4.0 ** np.arange(-4, 4)  # of the contours, times the loss at the start
CORNERS = 97  # of an ellipse
VALLEY = "f = (x² + 16 y²) / 2"
WITHOUT_NOISE = "exact gradients, rate as set"
NOTES = {
    "muon": "the point is a matrix of one row",
    "stochastic_gd": "without the noise of single images",
    "schedule_free_adamw": "drawn are the averaged weights",
}


class Walk(NamedTuple):
    """points: (steps + 1, 2) float64, the weights that would be used after each step; losses: (steps + 1,), there."""

    points: np.ndarray
    losses: np.ndarray

    @property
    def diverges(self) -> bool:
        """Whether it ends above its start, and the second half of the way leads higher than the first."""
        if not np.isfinite(self.losses).all():
            return True
        half = len(self.losses) // 2
        return self.losses[-1] > self.losses[0] and self.losses[half:].max() > self.losses[:half].max()


def walk(choice: Choice, steps: int = STEPS) -> Walk:
    """So many steps down the valley from START, with exact gradients and a constant rate, in float64."""
    point = nn.Parameter(torch.from_numpy(START[None].copy()))  # (1, 2): a matrix, so that Muon has one
    curvatures = torch.from_numpy(CURVATURES)
    optimizer = optimizers.build(choice, [{"params": [point], "hidden": [True]}])
    used = getattr(optimizer, "used_weights", dict[Any, Any])
    points = [START]
    for _ in range(steps):
        point.grad = point.detach() * curvatures
        optimizer.step()
        points.append(used().get(point, point).detach().numpy()[0].copy())
    return Walk(np.array(points), loss_at(np.array(points)))


def loss_at(points: np.ndarray) -> np.ndarray:
    """(..., 2) -> (...)."""
    with np.errstate(over="ignore", invalid="ignore"):  # of a path that diverges
        return (CURVATURES * points**2).sum(-1) / 2


def path_in_valley(choice: Choice, *, dark: bool = False) -> go.Figure:
    """The optimizer's path on the valley's contour lines; the title says its rate and where it ends."""
    found = walk(choice)
    shown = as_far_as_seen(found.points)
    x, y = np.maximum(FRAME, 1.15 * np.abs(shown[~is_far(shown)]).max(0))
    figure = small_figure(dark=dark)
    figure.add_traces([contours(), way(shown, found.losses), minimum()])
    below = f"{VALLEY}, {NOTES.get(choice.name, WITHOUT_NOISE)}"
    figure.update_layout(title={"text": told(choice, found), "subtitle": {"text": below, "font": {"size": 11}}})
    figure.update_layout(showlegend=False, height=210)
    plain = {"zeroline": False, "showgrid": False}
    figure.update_xaxes(range=[-x, x], **plain, **axis_title("x, curvature 1"))
    figure.update_yaxes(range=[-y, y], **plain, **axis_title("y, curvature 16"))
    return figure


def told(choice: Choice, found: Walk) -> str:
    """`60 steps at lr 0.1: loss 0.005 to 1.6e-08`, and whether it diverges."""
    rate = f" at lr {choice.lr:g}" if hasattr(choice, "lr") else ""  # pyright: ignore[reportAttributeAccessIssue]
    first, last = found.losses[0], found.losses[-1]
    end = "diverges" if found.diverges else "ends above its start" if last > first else ""
    reached = f"{last:.2g}" if np.isfinite(last) else "infinity"
    return ", ".join(filter(None, [f"{len(found.losses) - 1} steps{rate}: loss {first:.2g} to {reached}", end]))


def as_far_as_seen(points: np.ndarray) -> np.ndarray:
    """The path through its first point that is far out of the frame, if there is one."""
    far = is_far(points)
    kept = points[: int(far.argmax()) + 1] if far.any() else points
    return kept[np.isfinite(kept).all(1)]


def is_far(points: np.ndarray) -> np.ndarray:
    """(n, 2) -> (n,) whether a point is out of all that may be seen, or no number."""
    return np.any(~(np.abs(points) <= FARTHEST * FRAME), axis=1)


def contours() -> go.Scatter:
    """Ellipses of equal loss, each four times the next one inside."""
    angles = np.linspace(0, 2 * np.pi, CORNERS)
    circle = np.stack([np.cos(angles), np.sin(angles)], 1)
    gap = np.full((1, 2), np.nan)
    heights = LEVELS * loss_at(START)
    rings = [np.concatenate([circle * np.sqrt(2 * height / CURVATURES), gap]) for height in heights]
    x, y = np.concatenate(rings).T
    return go.Scatter(name="contours", x=x, y=y, mode="lines", line={"color": BEHIND, "width": 1}, hoverinfo="skip")


def way(points: np.ndarray, losses: np.ndarray) -> go.Scatter:
    """The steps, the first place an open circle."""
    symbols = ["circle-open", *["circle"] * (len(points) - 1)]
    return go.Scatter(
        name="path",
        x=points[:, 0],
        y=points[:, 1],
        mode="lines+markers",
        line={"color": COLOURS[0], "width": 1.5},
        marker={"color": COLOURS[0], "symbol": symbols, "size": [9, *[4] * (len(points) - 1)], "opacity": 1},
        text=[f"step {step}, loss {loss:.3g}" for step, loss in enumerate(losses[: len(points)])],
        hovertemplate="%{text}<br>x %{x:.3g}, y %{y:.3g}<extra></extra>",
    )


def minimum() -> go.Scatter:
    marker = {"symbol": "x", "size": 8, "color": COLOURS[1]}
    return go.Scatter(
        name="minimum", x=[0], y=[0], mode="markers", marker=marker, hovertemplate="minimum<extra></extra>"
    )
