"""What stands behind the small button beside a choice: its formula and source, and a picture where there is one."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from inspect import cleandoc
from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go

from lab.catalogue import Catalogue, Choice, bounds_of
from lab.panel.live_figure import leaves, small_figure
from lab.plots import on_paper

WIDTH = 310  # pixels of a picture in the column of controls


class About:
    """A button, and what unfolds under the choice when it is pressed; nothing is made before.

    Args:
        ask: told when a picture is wanted, which comes back by `draw`; None where there is none.
    """

    def __init__(self, name: str, catalogue: Catalogue, ask: Callable[[], None] | None = None) -> None:
        self.catalogue, self.ask = catalogue, ask
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
        self.picture: go.Figure | None = None
        self.figure: Any = None
        self.reason = widgets.HTML(layout=widgets.Layout(display="none"))
        self.reason.add_class("lab-about")
        self.frame = widgets.VBox(layout=widgets.Layout(display="none", width="100%"))
        self.box = widgets.VBox(
            [self.text, self.reason, self.frame], layout=widgets.Layout(display="none", width="100%")
        )
        self.button.observe(lambda _: self._unfold(), "value")

    @property
    def open(self) -> bool:
        return bool(self.button.value)

    def show(self, choice: Choice) -> None:
        """Of another choice from now on; its picture is asked for by who knows the whole recipe."""
        self.choice = choice
        if self.open:
            self.text.value = explained(self.catalogue, choice)

    def set_theme(self, *, dark: bool) -> None:
        self.dark = dark
        if self.picture is not None:
            self.draw(self.picture)

    def _unfold(self) -> None:
        if self.open and self.choice is not None:
            self.show(self.choice)
            if self.ask is not None:
                self.ask()
        self.box.layout.display = None if self.open else "none"

    def draw(self, picture: go.Figure | str | None) -> None:
        """Only the pump calls this. Words: why there is no picture. None: this choice has none."""
        self.picture = picture if isinstance(picture, go.Figure) else None
        self.reason.value = escape(picture) if isinstance(picture, str) else ""
        self.reason.layout.display = None if self.reason.value else "none"
        self.frame.layout.display = None if self.picture else "none"
        if self.picture is None:
            return
        if self.figure is None:
            self.figure = small_figure()
            self.frame.children = [self.figure]
        redraw(self.figure, self.picture, dark=self.dark, width=WIDTH)


def untitled(picture: go.Figure) -> go.Figure:
    """Without title and subtitle: what they say stands beside the figure already."""
    return picture.update_layout(title={"text": "", "subtitle": {"text": ""}})


def redraw(figure: Any, picture: go.Figure, *, dark: bool, width: int | None = None) -> None:
    """Put another picture into a figure that is shown, in the colours of the theme."""
    layout = go.Layout(picture.layout).update(on_paper(dark=dark))
    if width:
        layout.width = width
    kept = leaves(layout.to_plotly_json())
    if gone := {path: None for path in leaves(figure.layout.to_plotly_json()) if path not in kept}:
        figure.plotly_relayout(gone)  # what a new layout does not name, the browser would keep of the old one
    with figure.batch_update():
        figure.data = []
        figure.layout = layout
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
