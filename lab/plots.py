"""Plotly figures of runs: no training, no widgets."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lab.events import Epoch, History
from lab.objectives import LOSS_OF_CLASSES, without_labels
from lab.recipe import labels
from lab.runs import Run

# Six hues of middle lightness, apart for the common kinds of colour blindness and on white and black alike
# (after Okabe & Ito 2008); the dash repeats what the colour says.
COLOURS = ("#2f7fc1", "#d55e00", "#009e73", "#c46a9c", "#a77f0e", "#7a68c8")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
DRAWN_POINTS = 250  # of each of a run's four curves: together at most 1,000, and 250 more with a second domain
MARKED_POINTS = 40  # more marks than that only make a line thick
LARGEST = float(np.finfo(np.float32).max) / 1e4  # a mean of such losses still is a float32
MEASURES = ("loss", "accuracy")
HEIGHT = 376  # pixels
CLEAR = "rgba(0,0,0,0)"
CUT_NOTE: dict[str, Any] = {  # at the upper right of the loss: most losses fall
    "xref": "paper",
    "yref": "paper",
    "xanchor": "right",
    "yanchor": "top",
    "align": "right",
    "font": {"size": 11},
    "showarrow": False,
}
NOT_ON_LOG = "losses below 0 ↓<br>a log axis has no place for them"
TITLES = ("Loss (nats per example)", "Accuracy (fraction)")
TITLES_WITHOUT_LABELS = ("Loss (training: the objective's)", "Accuracy (without labels: fitted)")
TITLES_OF_OBJECTIVES = ("Loss (thin: the objective's)", "Accuracy (fraction)")
TITLES_OF_DOMAINS = ("Loss (dots: target)", "Accuracy (◇ source, ● target)")  # longer ones would meet


def on_paper(*, dark: bool) -> dict[str, Any]:
    """A layout for light or dark paper: it shows through, behind Plotly's buttons too, which would darken it."""
    buttons = ("#a9b1bd", "#f2f5fa") if dark else ("#5f6b7a", "#2a3f5f")
    return {
        "template": "plotly_dark" if dark else "plotly_white",
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "modebar": {"bgcolor": CLEAR, "color": buttons[0], "activecolor": buttons[1]},
    }


def by_itself(*, dark: bool) -> dict[str, Any]:
    """A layout for a figure that a cell may show: a light one brings white paper, and can be read on a dark page."""
    white = {"paper_bgcolor": "white", "plot_bgcolor": "white"}
    return on_paper(dark=dark) | ({} if dark else white)


def colour_and_dash(index: int) -> tuple[str, str]:
    """Colour and dash of the n-th run: 36 different pairs, the first six with nothing in common."""
    return COLOURS[index % 6], DASHES[(index + index // 6) % 6]


def decimate(values: Sequence[float] | np.ndarray, limit: int = DRAWN_POINTS) -> tuple[int, np.ndarray]:
    """Means of equal bins, at most `limit` of them.

    The bin width is a power of two, so a growing curve keeps the points it has until the width doubles.

    Returns:
        Width of a bin in steps, and the means, (bins,) float32; the last bin may be narrower.
    """
    width = 1
    while len(values) > limit * width:
        width *= 2
    series = np.clip(np.asarray(values, dtype=np.float64), -LARGEST, LARGEST)
    if width == 1:
        return 1, series.astype(np.float32)
    starts = np.arange(0, len(series), width)
    counts = np.diff(np.append(starts, len(series)))
    return width, (np.add.reduceat(series, starts) / counts).astype(np.float32)


def empty_curves() -> go.Figure:
    """Axes for loss and accuracy side by side, without a run."""
    figure = make_subplots(rows=1, cols=2, subplot_titles=TITLES, horizontal_spacing=0.09)
    figure.add_annotation(text="", x=0.455, y=1, **CUT_NOTE)
    for column in (1, 2):  # Plotly draws no axes without a trace
        figure.add_scatter(x=[None], y=[None], showlegend=False, hoverinfo="skip", row=1, col=column)
    figure.update_xaxes(title_text="epoch", rangemode="tozero", range=[0, 1], autorange=True)
    figure.update_yaxes(rangemode="tozero", col=1)
    figure.update_yaxes(range=[0, 1.02], col=2)
    figure.update_layout(
        height=HEIGHT,
        margin={"l": 50, "r": 15, "t": 56, "b": 45},  # the buttons that Plotly shows stand above the titles
        legend={"orientation": "h", "y": -0.18, "x": 0, "xanchor": "left"},
        uirevision="keep",
        template="plotly_white",
    )
    return figure


def titles(runs: Collection[Run]) -> tuple[str, str]:
    """What the axes show: without labels a run's two losses differ, and its accuracy is that of a fitted last layer.

    Other objectives train by more than the loss of the classes, which the validation is judged by.
    With two domains a run learns in the source; its validation is of the target, and beside that of the source.
    """
    if any(run.recipe.objective.name in without_labels for run in runs):
        return TITLES_WITHOUT_LABELS
    if any(has_domains(run.history) for run in runs):
        return TITLES_OF_DOMAINS
    return TITLES if all(run.recipe.objective.name in LOSS_OF_CLASSES for run in runs) else TITLES_OF_OBJECTIVES


def has_domains(history: History) -> bool:
    """Whether it was looked at in two domains; not known before the first epoch is over."""
    return bool(history.epochs) and history.epochs[0].gap is not None


def run_traces(label: str, index: int) -> list[go.Scatter]:
    """Five empty traces of one run: training loss and accuracy (thin), validation loss and accuracy (marked); source.

    The legend has one entry a run, the marked line. The last one is of the validation images of the domain that was
    learned, where another one is judged: open marks on a thinner line, and the gap under the pointer.
    """
    colour, dash = colour_and_dash(index)
    named, traces = letters(label), []
    for part in ("training", "validation"):
        for axis, measure in enumerate(MEASURES, start=1):
            thin = part == "training"
            traces.append(
                go.Scatter(
                    name=named,
                    legendgroup=named,
                    showlegend=axis == 1 and not thin,
                    mode="lines" if thin else "lines+markers",
                    line={"color": colour, "dash": dash, "width": 1 if thin else 2.5},
                    marker={"size": 5},
                    opacity=0.9 if thin else 1.0,  # less would be under 3:1 on white paper
                    xaxis=f"x{axis}" if axis > 1 else "x",
                    yaxis=f"y{axis}" if axis > 1 else "y",
                    hovertemplate=f"{part} {measure} %{{y:.4f}}, epoch %{{x:.2f}}",
                )
            )
    return [*traces, source_trace(traces[-1])]


def source_trace(target: go.Scatter) -> go.Scatter:
    """The accuracy in the source, in the look of that in the target."""
    return go.Scatter(target).update(
        line_width=1.5,
        marker={"size": 6, "symbol": "diamond-open"},
        opacity=0.85,
        hovertemplate="in the source %{y:.4f}, gap %{customdata:.4f}, epoch %{x:.2f}",
    )


def letters(text: str) -> str:
    """As Plotly shows it letter by letter: by itself it takes what looks like a tag for one."""
    return escape(text, quote=False)


def trace_data(history: History, steps_per_epoch: int) -> list[dict[str, object]]:
    """What the five traces of `run_traces` show: means of equal bins for training, every n-th epoch to the last."""
    data: list[dict[str, object]] = []
    for measure in MEASURES:
        width, means = decimate(known(getattr(history, measure)))
        data.append({"y": means, "x0": (width + 1) / 2 / steps_per_epoch, "dx": width / steps_per_epoch})
    after = every_nth(len(history.epochs))
    shown = [history.epochs[epoch - 1] for epoch in after]
    mode = "lines+markers" if len(shown) <= MARKED_POINTS else "lines"  # Plotly takes a mark's size of 0 for 6
    place = {"x0": float(after.start), "dx": float(after.step), "mode": mode}
    for measure in MEASURES:
        values = np.array([getattr(epoch, f"validation_{measure}") for epoch in shown], dtype=np.float32)
        data.append({"y": values, **place})
    return [*data, {**source_data(shown), **place}]


def every_nth(epochs: int) -> range:
    """Of so many epochs, from 1, those that are drawn: the last one among them."""
    stride = -(-epochs // DRAWN_POINTS) or 1
    return range(1 + (epochs - 1) % stride, epochs + 1, stride)


def source_data(epochs: Sequence[Epoch]) -> dict[str, np.ndarray]:
    """Accuracies in the source, and the gaps; nothing with one domain."""
    told = [(epoch.also["source"], epoch.gap) for epoch in epochs if epoch.gap is not None]
    accuracies, gaps = np.array(told, dtype=np.float32).reshape(-1, 2).T
    return {"y": accuracies, "customdata": gaps}


def known(values: Sequence[float]) -> np.ndarray:
    """The values; none at all where no step has one, as those without labels have no accuracy."""
    series = np.asarray(values, dtype=np.float64)
    return series[:0] if np.isnan(series).all() else series


def curves(runs: Sequence[Run]) -> go.Figure:
    """Loss and accuracy of one or several runs, one colour and dash each; named by what differs between them."""
    figure = empty_curves()
    layout: Any = figure.layout
    cut = loss_cut(runs)
    for annotation, text in zip(layout.annotations, notes(runs, cut), strict=True):
        annotation.text = text
    for index, (run, label) in enumerate(zip(runs, labels([run.recipe for run in runs]), strict=True)):
        name = run.recipe.id if len(runs) == 1 else label
        steps_per_epoch = steps_in_epoch(run.history)
        for trace, data in zip(run_traces(name, index), trace_data(run.history, steps_per_epoch), strict=True):
            figure.add_trace(trace.update(data))
    if cut is not None:
        figure.update_yaxes(range=[lowest(runs), cut.at], col=1)
    return figure


class Cut(NamedTuple):
    """Where a linear loss axis ends, and how far the losses go."""

    at: float
    largest: float

    def __str__(self) -> str:
        return f"cut off: losses up to {self.largest:.2g} ↑<br>a log axis shows them"


def notes(runs: Collection[Run], cut: Cut | None, *, log: bool = False) -> tuple[str, str, str]:
    """What the annotations of `empty_curves` say of these runs: two titles, and what is cut off."""
    return *titles(runs), NOT_ON_LOG if log and lowest(runs) < 0 else str(cut or "")


def lowest(runs: Collection[Run]) -> float:
    """Where a linear loss axis begins: below 0 for a sum that has logarithms of learned variances in it."""
    return min([0.0, *(float(losses.min()) for run in runs if len(losses := finite_losses(run)))])


def loss_cut(runs: Sequence[Run]) -> Cut | None:
    """Where a linear loss axis ends when a few huge losses would flatten everything else; None: show everything.

    Half above the largest typical loss of a run, if some loss is more than three times that. Typical is its first one
    or its median. Runs that blew up count only where there is no other, and then with their first one.
    """
    drawn = [(run.status, finite) for run in runs if len(finite := finite_losses(run))]
    sound = [float(max(losses[0], np.median(losses))) for status, losses in drawn if not blew_up(status, losses)]
    typical = sound or [float(losses[0]) for _, losses in drawn]
    if not typical or max(typical) <= 0:
        return None
    top, largest = 1.5 * max(typical), max(float(losses.max()) for _, losses in drawn)
    largest = max([largest, *(loss for run in runs for loss in validation_losses(run))])
    return Cut(top, largest) if largest > 3 * top else None


def blew_up(status: str, losses: np.ndarray) -> bool:
    """Diverged, or still finite, but for most of the time at several times the loss that it began with."""
    return status == "diverged" or bool(np.median(losses) - losses[0] > 2 * abs(losses[0]))


def finite_losses(run: Run) -> np.ndarray:
    """Training losses as they are drawn, of the steps that have one."""
    losses = np.asarray(run.history.loss, dtype=np.float64)
    _, means = decimate(losses[np.isfinite(losses)])
    return means


def validation_losses(run: Run) -> list[float]:
    """Those that are numbers."""
    losses = [epoch.validation_loss for epoch in run.history.epochs]
    return [loss for loss in losses if math.isfinite(loss)]


def steps_in_epoch(history: History) -> int:
    return history.epochs[0].step if history.epochs else max(1, len(history.loss))
