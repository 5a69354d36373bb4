"""Live curves: the figure of `lab.plots`, changed in place and only where something changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lab.panel.entries import Entry
from lab.panel.live_figure import large_figure
from lab.plots import HEIGHT, empty_curves, letters, loss_cut, lowest, notes, on_paper, run_traces, trace_data

HINT = "No runs yet:<br>choose on the left,<br>then press <b>Train</b>."
SIDE_BY_SIDE = 460  # pixels
BESIDE = ((0, 0.455), (0, 1)), ((0.545, 1), (0, 1))  # where loss and accuracy stand: (x, y), as shares of the figure
STACKED = ((0, 1), (0.6, 1)), ((0, 1), (0, 0.4))
MEANWHILE = "Curves of loss and accuracy come here as soon as the page has loaded what draws them."


class Curves:
    """Loss and accuracy of the panel's runs; each run, by its number, has the traces of `run_traces`.

    Args:
        tell: called, in any thread, when the browser has drawn what there was.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self.figure = large_figure(empty_curves().update_layout(showlegend=False))  # the table of runs is the legend
        self.figure._meanwhile = MEANWHILE
        self.figure.when_drawn(tell)
        self._span: tuple[float, float] | None = None
        self._lines: dict[int, list[Any]] = {}
        self._late: set[int] = set()  # runs that have moved since they were drawn
        self._hint_at = amid(*BESIDE[0][1])
        self._show_hint(visible=True)
        self.set_theme(dark=False)

    def _show_hint(self, *, visible: bool) -> None:
        place = {
            "xref": "paper",
            "yref": "paper",
            "x": 0.1,
            "xanchor": "left",
            "align": "left",
            "y": self._hint_at,
            "showarrow": False,
            "font": {"size": 14},
        }
        own = self.figure.layout.annotations[:3]
        self.figure.layout.annotations = [*own, {"text": HINT, **place}] if visible else own

    def keep(self, labels: Mapping[int, str]) -> None:
        """Have lines for these runs and no others, by number; those that stay keep their colour and dash."""
        for number in labels.keys() - self._lines.keys():
            new = run_traces(labels[number], number - 1)
            self.figure.add_traces(new)
            self._lines[number] = list(self.figure.data[-len(new) :])
        self._lines = {number: lines for number, lines in self._lines.items() if number in labels}
        self.figure.data = (*self.figure.data[:2], *(trace for lines in self._lines.values() for trace in lines))
        self._show_hint(visible=not self._lines)
        self._rename(labels)
        self._late = set(self._lines)

    def _rename(self, labels: Mapping[int, str]) -> None:
        with self.figure.batch_update():
            for number, label in labels.items():
                for trace in self._lines[number]:
                    trace.name = trace.legendgroup = letters(label)

    def draw(self, moved: set[int], entries: Iterable[Entry]) -> None:
        """Show all runs that have moved, by number, now or since they were drawn, once the browser is ready."""
        self._late |= moved
        if not self._late or not self.figure.ready:
            return
        shown = list(entries)
        with self.figure.change():
            for entry in shown:
                if entry.number in self._late:
                    self._update(entry)
            self._fit_axes(shown)
        self._late.clear()

    def _update(self, entry: Entry) -> None:
        """Redraw a run's traces that have new points."""
        new = trace_data(entry.run.history, entry.steps_per_epoch)
        for trace, data in zip(self._lines[entry.number], new, strict=True):
            for key, value in data.items():
                if not same(trace[key], value):
                    trace[key] = value

    def _fit_axes(self, entries: Sequence[Entry]) -> None:
        """Say what they show, and keep a linear loss readable when some are huge; a logarithmic one shows them all."""
        runs, axis = [entry.run for entry in entries], self.figure.layout.yaxis
        log = axis.type == "log"
        cut = None if log else loss_cut(runs)
        for note, text in zip(self.figure.layout.annotations, notes(runs, cut, log=log), strict=False):
            if note.text != text:
                note.text = text
        span = (lowest(runs), cut.at) if cut else None
        if span == self._span:
            return
        self._span = span
        axis.update(range=span, autorange=span is None)

    def set_width(self, pixels: int) -> None:
        """Loss and accuracy side by side, or below each other where that would leave no room."""
        loss, accuracy = STACKED if pixels < SIDE_BY_SIDE else BESIDE
        with self.figure.batch_update():
            self.figure.update_layout(width=pixels, height=HEIGHT * (1.5 if pixels < SIDE_BY_SIDE else 1))
            for place, axes in ((loss, ("xaxis", "yaxis")), (accuracy, ("xaxis2", "yaxis2"))):
                for axis, domain in zip(axes, place, strict=True):
                    self.figure.layout[axis].domain = domain
            places = (loss, 0.5), (accuracy, 0.5), (loss, 1)
            for note, ((x, y), share) in zip(self.figure.layout.annotations, places, strict=False):
                note.update(x=x[0] + share * (x[1] - x[0]), y=y[1])
            self._hint_at = amid(*loss[1])
            for hint in self.figure.layout.annotations[len(places) :]:
                hint.y = self._hint_at

    def set_log_loss(self, *, log: bool) -> None:
        self.figure.layout.yaxis.type = "log" if log else "linear"
        self._late = set(self._lines)  # their axis may end elsewhere now

    def set_theme(self, *, dark: bool) -> None:
        self.figure.update_layout(on_paper(dark=dark))


def amid(bottom: float, top: float) -> float:
    """A little above the middle of an axis."""
    return bottom + 0.55 * (top - bottom)


def same(old: Any, new: Any) -> bool:
    if isinstance(new, np.ndarray):
        return old is not None and len(old) == len(new) and np.array_equal(np.asarray(old), new, equal_nan=True)
    return old == new
