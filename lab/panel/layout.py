"""How the panel is laid out: the column of controls, and beside it the panes that are shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import ipywidgets as widgets

from lab.panel.controls import wide

MAIN = ("curves", "health", "runs")  # panes that stay in view where there is room for two columns


def captioned(figure: widgets.Widget, caption: str) -> widgets.VBox:
    return widgets.VBox([figure, widgets.HTML(f'<div class="lab-caption">{caption}</div>')], layout=wide())


def results(
    head: Sequence[widgets.Widget], panes: Mapping[str, widgets.Widget], hidden: Collection[str]
) -> widgets.VBox:
    """What always shows, and below it the panes in their order, without those that are hidden: one column or two."""
    shown = {name: pane for name, pane in panes.items() if name not in hidden}
    main = column("lab-main", [pane for name, pane in shown.items() if name in MAIN])
    more = column("lab-more", [pane for name, pane in shown.items() if name not in MAIN])
    parts = [column("lab-head", head), widgets.Box([main, more], layout=wide())]
    parts[1].add_class("lab-panes")
    made = widgets.VBox(parts, layout=widgets.Layout(flex="1 1 300px", min_width="0", width="auto"))
    made.add_class("lab-results")
    return made


def column(css: str, children: Sequence[widgets.Widget]) -> widgets.VBox:
    made = widgets.VBox(children, layout=wide())
    made.add_class(css)
    return made


def side_by_side(*parts: widgets.Widget) -> widgets.HBox:
    made = widgets.HBox(parts, layout=widgets.Layout(width="100%", flex_flow="row wrap"))
    made.add_class("lab-panel")
    return made
