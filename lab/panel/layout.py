"""How the panel is laid out: the column of controls, and beside it the panes that are shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import ipywidgets as widgets

from lab.panel.controls import wide


def captioned(figure: widgets.Widget, caption: str) -> widgets.VBox:
    return widgets.VBox([figure, widgets.HTML(f'<div class="lab-caption">{caption}</div>')], layout=wide())


def results(
    head: Sequence[widgets.Widget], panes: Mapping[str, widgets.Widget], hidden: Collection[str]
) -> widgets.VBox:
    """What always shows, and below it the panes in their order, without those that are hidden."""
    shown = [pane for name, pane in panes.items() if name not in hidden]
    made = widgets.VBox([*head, *shown], layout=widgets.Layout(flex="1 1 520px", min_width="0", width="auto"))
    made.add_class("lab-results")
    return made


def side_by_side(*parts: widgets.Widget) -> widgets.HBox:
    made = widgets.HBox(parts, layout=widgets.Layout(width="100%", flex_flow="row wrap"))
    made.add_class("lab-panel")
    return made
