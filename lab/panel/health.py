"""The health of the current run under its curves: a row of a heat map per layer, a column per look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import ipywidgets as widgets

from lab.diagnostic_plots import MEASURES, Measure, health_map
from lab.diagnostics import HealthHistory
from lab.panel.about import redraw, untitled
from lab.panel.live_figure import small_figure
from lab.panel.toolbar import row

ROW, AROUND = 18, 96  # pixels: of a layer, and of all else in the figure
ROWS = (4, 20)  # fewer layers leave room, more are drawn thinner
KEY = {"update": ": orange is above a thousandth in a step, blue below"}
EMPTY = "Nothing was watched yet: health is looked at while a run trains."


class HealthView:
    """Hidden until a person asks for it.

    Args:
        ask: has the pump call `draw`.
    """

    def __init__(self, ask: Callable[[], None]) -> None:
        self.dark, self.width = False, 0
        self.figure: Any = None
        self._shown: tuple[Any, ...] = ()
        self._history, self._number = HealthHistory(), 0
        names = {words.partition(",")[0]: name for name, words in MEASURES.items()}
        self.measure = widgets.Dropdown(
            options=names,
            value="update",
            description="health of",
            style={"description_width": "initial"},
            layout=widgets.Layout(width="248px"),
        )
        self.measure.add_class("lab-health-measure")
        self.measure.observe(lambda _: ask(), "value")
        self.caption = widgets.HTML()
        self.frame = widgets.VBox(layout=widgets.Layout(width="100%", display="none"))
        self.widget = widgets.VBox(
            [row("lab-toolbar", [self.measure, self.caption]), self.frame],
            layout=widgets.Layout(width="100%", display="none"),
        )
        self.widget.add_class("lab-health-pane")

    @property
    def visible(self) -> bool:
        return self.widget.layout.display is None

    def set_visible(self, *, visible: bool) -> None:
        self.widget.layout.display = None if visible else "none"
        self.draw()

    def show(self, history: HealthHistory, number: int) -> None:
        """Of this run from now on; drawn when there is something new."""
        self._history, self._number = history, number
        self.draw()

    def draw(self) -> None:
        state = (self._number, len(self._history.samples), self.measure.value, self.dark)
        if not self.visible or state == self._shown:
            return
        self._shown = state
        seen = bool(self._history.samples)
        said = f"run {self._number}{KEY.get(str(self.measure.value), '')}" if seen else EMPTY
        self.caption.value = f'<span class="lab-detail">{said}</span>'
        self.frame.layout.display = None if seen else "none"
        if seen:
            self._draw_map()

    def _draw_map(self) -> None:
        if self.figure is None:
            self.figure = small_figure()
            self.frame.children = [self.figure]
        picture = health_map(self._history, cast("Measure", self.measure.value), dark=self.dark)
        rows = min(max(len(self._history.names), ROWS[0]), ROWS[1])
        untitled(picture).update_layout(height=AROUND + ROW * rows, font_size=11)
        picture.update_layout(margin={"t": 10, "b": 40, "r": 10})
        redraw(self.figure, picture, dark=self.dark, width=self.width or None)

    def set_width(self, pixels: int) -> None:
        self.width = pixels
        if self.figure is not None:
            self.figure.layout.width = pixels

    def set_theme(self, *, dark: bool) -> None:
        self.dark = dark
        self.draw()
