"""What stands behind the small button beside a choice: its formula and source, and a picture where there is one."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from inspect import cleandoc
from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go

from lab.catalogue import Catalogue, Choice, bounds_of
from lab.panel.live_figure import LiveFigure

Picture = Callable[[Choice], go.Figure]


class About:
    """A button, and what unfolds under the choice when it is pressed; nothing is made before."""

    def __init__(self, name: str, catalogue: Catalogue, picture: Picture | None = None) -> None:
        self.catalogue, self.picture = catalogue, picture
        self.choice: Choice | None = None
        self.dark = False
        self.button = widgets.ToggleButton(
            value=False,
            icon="info",
            tooltip=f"Formula and source of this {catalogue.kind}",
            layout=widgets.Layout(width="28px", padding="0", margin="2px 0 2px 4px"),
        )
        self.button.add_class("lab-about-button")
        self.button.add_class(f"lab-about-{name}")
        self.text = widgets.HTML()
        self.text.add_class("lab-about")
        self.figure: Any = None
        self.box = widgets.VBox([self.text], layout=widgets.Layout(display="none", width="100%"))
        self.button.observe(lambda _: self._unfold(), "value")

    def show(self, choice: Choice) -> None:
        """Of another choice from now on."""
        self.choice = choice
        if self.button.value:
            self._fill()

    def set_theme(self, *, dark: bool) -> None:
        self.dark = dark
        if self.button.value:
            self._fill()

    def _unfold(self) -> None:
        if self.button.value:
            self._fill()
        self.box.layout.display = None if self.button.value else "none"

    def _fill(self) -> None:
        assert self.choice is not None
        self.text.value = explained(self.catalogue, self.choice)
        if self.picture is not None:
            self._draw(self.picture(self.choice))

    def _draw(self, picture: go.Figure) -> None:
        if self.figure is None:
            self.figure = LiveFigure()
            self.box.children = [self.text, self.figure]
        redraw(self.figure, picture, dark=self.dark)


def redraw(figure: Any, picture: go.Figure, *, dark: bool, width: int | None = None) -> None:
    """Put another picture into a figure that is shown, in the colours of the theme."""
    clear, template = "rgba(0,0,0,0)", "plotly_dark" if dark else "plotly_white"
    with figure.batch_update():
        figure.data = []
        figure.layout = picture.layout
        figure.layout.update(template=template, paper_bgcolor=clear, plot_bgcolor=clear)
        if width:
            figure.layout.width = width
        figure.add_traces(picture.data)


def explained(catalogue: Catalogue, choice: Choice) -> str:
    """An option's docstring and its settings' valid ranges, as HTML."""
    name = choice.name
    doc = escape(cleandoc(catalogue.functions[name].__doc__ or ""))
    rows = [
        f"<dt>{escape(key)}</dt><dd>{escape(said)}</dd>"
        for key, field in catalogue[name].model_fields.items()
        if key != "name" and (said := "; ".join(filter(None, [field.description, bounds_of(field)])))
    ]
    return f"<pre>{doc}</pre>" + (f"<dl>{''.join(rows)}</dl>" if rows else "")
