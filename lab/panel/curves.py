"""Live curves: the figure of `lab.plots`, changed in place and only where something changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lab.events import History
from lab.panel.live_figure import LiveFigure
from lab.plots import empty_curves, loss_top, run_traces, trace_data
from lab.runs import Run

HINT = "No runs yet: choose on the left, then press <b>Train</b>."


class Curves:
    """Loss and accuracy of the panel's runs; each run has four traces, after the two that hold the axes."""

    def __init__(self) -> None:
        self.figure: Any = LiveFigure(empty_curves().update_layout(showlegend=False))  # the table of runs is the legend
        self._top: float | None = None
        self._show_hint(visible=True)
        self.set_theme(dark=False)

    def _show_hint(self, *, visible: bool) -> None:
        place = {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "showarrow": False, "font": {"size": 14}}
        titles = self.figure.layout.annotations[:2]
        self.figure.layout.annotations = [*titles, {"text": HINT, **place}] if visible else titles

    def add(self, label: str, index: int) -> None:
        if index == 0:
            self._show_hint(visible=False)
        self.figure.add_traces(run_traces(label, index))

    def clear(self) -> None:
        self.figure.data = self.figure.data[:2]
        self._show_hint(visible=True)

    def _traces(self, index: int) -> tuple[Any, ...]:
        return self.figure.data[2 + 4 * index : 6 + 4 * index]

    def rename(self, labels: list[str]) -> None:
        with self.figure.batch_update():
            for index, label in enumerate(labels):
                for trace in self._traces(index):
                    trace.name = trace.legendgroup = label

    def update(self, index: int, history: History, steps_per_epoch: int) -> None:
        """Redraw a run's traces that have new points."""
        with self.figure.batch_update():
            for trace, data in zip(self._traces(index), trace_data(history, steps_per_epoch), strict=True):
                for key, value in data.items():
                    if not same(trace[key], value):
                        trace[key] = value

    def fit_loss(self, runs: Sequence[Run]) -> None:
        """Keep the axis readable when a run has diverged; a logarithmic axis shows everything anyway."""
        top = None if self.figure.layout.yaxis.type == "log" else loss_top(runs)
        if top != self._top:
            self._top = top
            self.figure.layout.yaxis.update(
                range=[0, top], autorange=False
            ) if top else self.figure.layout.yaxis.update(range=None, autorange=True)

    def set_width(self, pixels: int) -> None:
        self.figure.layout.width = pixels

    def set_log_loss(self, *, log: bool) -> None:
        self.figure.layout.yaxis.type = "log" if log else "linear"

    def set_theme(self, *, dark: bool) -> None:
        clear = "rgba(0,0,0,0)"
        template = "plotly_dark" if dark else "plotly_white"
        self.figure.update_layout(template=template, paper_bgcolor=clear, plot_bgcolor=clear)


def same(old: Any, new: Any) -> bool:
    if isinstance(new, np.ndarray):
        return old is not None and len(old) == len(new) and np.array_equal(np.asarray(old), new, equal_nan=True)
    return old == new
