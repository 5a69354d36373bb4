"""The row of buttons above the curves, and the line below it that says what goes on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import ipywidgets as widgets

from lab.panel.controls import wide
from lab.panel.entries import Way
from lab.panel.turns import AT_ONCE
from lab.panel.words import detail, status_line

Action = Callable[[], None]


class Look(NamedTuple):
    """Of a button: its text, icon and tooltip."""

    text: str
    icon: str
    hint: str


BUTTONS = {
    "train": Look("Train", "play", f"Train this recipe; up to {AT_ONCE} take turns, others wait"),
    "pause": Look("Pause", "pause", "Hold all training where it is, or go on"),
    "stop": Look("Stop", "stop", "Stop all after the current step; empty the queue"),
    "clear": Look("Clear", "trash", "Take ended runs and arms off the screen; folders stay"),
    "find-rate": Look("Find rate", "search", "Try rates from tiny to huge on this recipe, and suggest some"),
}
TOGGLES = {
    "log": Look("log loss", "", "Logarithmic axis for the loss"),
    "health": Look(
        "health",
        "",
        "Signal, gradient and updates of every layer as it trains: a tenth of the time, and no number changes",
    ),
    "compare": Look("Compare", "", "Which recipe is better? Tuned rates, paired seeds, an interval"),
    "choose": Look("Choose", "", "Which way of using pretrained weights suits my own images?"),
}
PANE_OF = {"find-rate": "rates", "log": "curves", "health": "health", "compare": "compare", "choose": "choose"}


class Toolbar:
    """Buttons that act, and toggles for what is shown; each has the CSS class `lab-<name>`.

    Args:
        actions: by the names in BUTTONS; toggled: by the names in TOGGLES, told whether it is on.
    """

    def __init__(self, actions: Mapping[str, Action], toggled: Mapping[str, Callable[[bool], None]]) -> None:
        self.buttons = {name: button(name, look, actions[name]) for name, look in BUTTONS.items()}
        self.toggles = {name: toggle(name, look, toggled[name]) for name, look in TOGGLES.items()}
        self.buttons["train"].button_style = "primary"
        self.widget = row("lab-toolbar", [*self.buttons.values(), *self.toggles.values()])

    def hide(self, names: Collection[str]) -> None:
        """Take the buttons off that belong to hidden panes."""
        for name, made in {**self.buttons, **self.toggles}.items():
            if PANE_OF.get(name) in names:
                made.layout.display = "none"

    def show(self, *, busy: bool, paused: bool, clearable: bool) -> None:
        """What can be done now."""
        pause, stop, clear = (self.buttons[name] for name in ("pause", "stop", "clear"))
        pause.disabled = stop.disabled = not busy
        clear.disabled = not clearable
        pause.description, pause.icon = ("Go on", "play") if paused else (BUTTONS["pause"].text, "pause")


class Progress:
    """How far the runs are that train, what state they are in, and how long they will take."""

    def __init__(self) -> None:
        self.bar = widgets.FloatProgress(
            min=0,
            max=1,
            layout=widgets.Layout(flex="0 1 352px", min_width="120px"),
            tooltip="share of the steps that are done, of all that train",
        )
        self.status, self.detail = widgets.HTML(), widgets.HTML()
        self.status.add_class("lab-speaks")
        self.widget = row("lab-progress", [self.bar, self.status, self.detail])

    def say(self, state: str, numbers: Sequence[int]) -> None:
        self.status.value = status_line(state, numbers)

    def show(self, way: Way) -> None:
        """0 steps: of no run."""
        self.bar.value = way.step / way.steps if way.steps else 0.0
        self.detail.value = detail(way.step, way.steps, way.left) if way.steps else ""


def row(css: str, children: Sequence[widgets.Widget]) -> widgets.HBox:
    made = widgets.HBox(children, layout=wide())
    made.add_class(css)
    return made


def button(name: str, look: Look, action: Action) -> widgets.Button:
    made: Any = widgets.Button(description=look.text, icon=look.icon, tooltip=look.hint, layout=snug())
    made.add_class(f"lab-{name}")
    made.on_click(lambda _: action())
    return made


def toggle(name: str, look: Look, toggled: Callable[[bool], None]) -> widgets.ToggleButton:
    made = widgets.ToggleButton(value=False, description=look.text, icon=look.icon, tooltip=look.hint, layout=snug())
    made.add_class(f"lab-{name}")
    made.observe(lambda change: toggled(change["new"]), "value")
    return made


def snug() -> widgets.Layout:
    """As wide as the text, however large a person has it."""
    return widgets.Layout(width="auto", flex="0 0 auto")
