"""The edge of stability under the landscapes: the top eigenvalue along each run, growing while it trains."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets

from lab.edge_plots import bound_name, edge_data, edge_figure
from lab.landscape.stability import EdgePath
from lab.panel.controls import wide
from lab.panel.live_figure import Succession, small_figure
from lab.panel.toolbar import Look, toggle

LOOK = Look("Edge", "signal", "Edge of stability: the top eigenvalue along each run beside what its rate bears")
WAITS = "No eigenvalue yet: the first comes after the first picture of a run."


class EdgeView:
    """A toggle, and what it shows; off nothing is read.

    Args:
        ask: told that it was switched.
        tell: called, in any thread, when the browser has drawn what there was.
    """

    def __init__(self, ask: Callable[[], None], tell: Callable[[], None]) -> None:
        self._place = Succession(tell)
        self._drawn: Hashable = None  # all but what grows in place
        self.toggle = toggle("landscape-edge", LOOK, lambda _: ask())
        self.frame, self.words = self._place.frame, widgets.HTML(layout=wide())
        self.pane = widgets.VBox([self.frame, self.words], layout=wide())

    @property
    def figure(self) -> Any:
        """None before the first reading."""
        return self._place.figure

    def close(self) -> None:
        """Figures that were replaced."""
        self._place.close()

    @property
    def on(self) -> bool:
        return bool(self.toggle.value)

    def show(self, paths: Sequence[EdgePath], *, dark: bool, width: int | None) -> None:
        """Only the pump calls this."""
        self.pane.layout.display = None if self.on else "none"
        if not self.on:
            return
        seen = [path for path in paths if path.readings]
        self.frame.layout.display = None if seen else "none"
        said = [path.words for path in paths] or [WAITS]
        self.words.value = f'<div class="lab-trust">{"".join(f"<p>{escape(each)}</p>" for each in said)}</div>'
        if seen:
            self._draw(seen, dark=dark, width=width)

    def _draw(self, paths: Sequence[EdgePath], *, dark: bool, width: int | None) -> None:
        self._place.let_go()
        drawn = (dark, width, tuple((path.name, path.number, bound_name(path)) for path in paths))
        if drawn != self._drawn:
            self._place.put(small_figure(edge_figure(paths, dark=dark).update_layout(width=width)))
            self._drawn = drawn
            if width:  # somebody looks
                self.figure.expect()
            return
        with self.figure.change():
            for trace, data in zip(self.figure.data, (d for path in paths for d in edge_data(path)), strict=True):
                trace.update(data)
