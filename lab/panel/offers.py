"""Controls over a catalogue: one option of it in a dropdown, or several by checkboxes, with their settings."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from html import escape
from typing import Any, Protocol, runtime_checkable

import ipywidgets as widgets

from lab.catalogue import Catalogue, Choice, RecipeError
from lab.idle import OF_THEIR_OWN_VALUE
from lab.panel.about import About
from lab.panel.controls import (
    LABEL,
    Changed,
    Control,
    boxed,
    close,
    gathered,
    greyed,
    hint_of,
    marked,
    settings_of,
    wide,
    words,
)


@runtime_checkable
class Many(Protocol):
    """A list of options, each of which may rest; `fixed`: the list as a whole stays as it is."""

    fixed: bool

    def rest_each(self, reasons: Mapping[str, str]) -> None: ...


class OneChoice:
    """A dropdown over a catalogue; picking an option swaps in its settings.

    fixed: the option stays; its settings have a `fixed` of their own.
    """

    fixed = False

    def __init__(
        self, name: str, catalogue: Catalogue, changed: Changed, value: Choice, ask: Changed | None = None
    ) -> None:
        self.catalogue, self.changed, self.idle = catalogue, changed, ""
        narrow = widgets.Layout(flex="1 1 auto", width="auto", min_width="0")
        self.dropdown = widgets.Dropdown(options=list(catalogue), description=words(name), style=LABEL, layout=narrow)
        self.css = f"lab-{name}"
        self.dropdown.add_class(self.css)
        self.about = About(name, catalogue, ask)
        self.head = widgets.HBox([self.dropdown, self.about.button], layout=wide())
        self.why = widgets.HTML(layout=widgets.Layout(width="100%", display="none"))
        self.top = [self.head, self.why, self.about.box]
        self.widget = widgets.VBox(self.top, layout=wide())
        self.value = value
        self.dropdown.observe(self._picked, "value")

    @property
    def titles(self) -> dict[str, str]:
        sentence = self.catalogue.sentence(str(self.dropdown.value))
        own = {self.css: self.idle or hint_of(sentence, fixed=self.fixed)}
        return own | gathered(self.settings.values())

    def rest(self, reason: str, *, locked: bool = True) -> None:
        """Grey the choice out, saying why, where it has no effect; an empty reason wakes it up.

        Where it can be changed all the same, the reason is its own value: that stands below it, not in a tooltip alone.
        """
        self.idle = reason
        self.why.value = "" if locked or not reason else f'<div class="lab-why" role="status">{escape(reason)}</div>'
        self.why.layout.display = None if self.why.value else "none"
        self.dropdown.disabled = self.fixed or (bool(reason) and locked)
        greyed(self.dropdown, grey=bool(reason))
        marked(self.dropdown, "lab-fixed", on=self.fixed)

    def _picked(self, change: dict[str, Any]) -> None:
        self._show(self.catalogue.parse(change["new"]))
        self.changed()

    def _show(self, choice: Choice) -> None:
        old = self.widget.children[len(self.top) :]
        self.shown, self.settings = type(choice), settings_of(choice, self._setting_changed)
        settings = [boxed(self.settings.values())] if self.settings else []
        self.widget.children = [*self.top, *settings]
        self.about.show(choice)
        close(*old)

    def _setting_changed(self) -> None:
        with contextlib.suppress(RecipeError):  # said elsewhere
            self.about.show(self.catalogue.parse(self.value))
        self.changed()

    @property
    def value(self) -> dict[str, Any]:
        return {"name": self.dropdown.value, **{key: control.value for key, control in self.settings.items()}}

    @value.setter
    def value(self, choice: Choice) -> None:
        if choice.name != self.dropdown.value:
            self.dropdown.value = choice.name
        self._show(choice)

    def refresh(self) -> None:
        """Offer what the catalogue has now: a person may have added an option in a cell, or changed one."""
        if tuple(self.catalogue) != self.dropdown.options:
            chosen = self.dropdown.value
            self.dropdown.options = list(self.catalogue)
            self.dropdown.value = chosen
        if self.shown is not self.catalogue[str(self.dropdown.value)]:
            self._show(self.catalogue.parse(self.dropdown.value))


class ManyChoices:
    """A checkbox per option of a catalogue; ticked ones show their settings and apply in the order of ticking."""

    fixed = False

    def __init__(self, name: str, catalogue: Catalogue, changed: Changed, value: tuple[Choice, ...]) -> None:
        self.name, self.catalogue, self.changed, self._setting = name, catalogue, changed, False
        self.widget = widgets.VBox([], layout=wide())
        self.chosen: dict[str, dict[str, Control]] = {}
        self.boxes: dict[str, widgets.Checkbox] = {}
        self.abouts: dict[str, About] = {}
        self.heads: dict[str, widgets.VBox] = {}
        self.idle: Mapping[str, str] = {}
        self.panes: dict[str, widgets.VBox] = {}
        self.value = value

    def _make_box(self, option: str) -> widgets.Checkbox:
        hint = self.catalogue.sentence(option)
        layout = widgets.Layout(flex="1 1 auto", width="auto", min_width="0")
        box = widgets.Checkbox(
            value=option in self.chosen, description=words(option), tooltip=hint, indent=False, layout=layout
        )
        box.add_class(f"lab-{self.name}-{option}")
        box.observe(lambda change: self._ticked(option, on=change["new"]), "value")
        return box

    def _make_head(self, option: str) -> widgets.VBox:
        about = self.abouts[option]
        row = widgets.HBox([self.boxes[option], about.button], layout=wide())
        return widgets.VBox([row, about.box], layout=wide())

    @property
    def titles(self) -> dict[str, str]:
        hints = {option: hint_of(self.catalogue.sentence(option), fixed=self.fixed) for option in self.catalogue}
        own = {f"lab-{self.name}-{option}": self.idle.get(option) or hint for option, hint in hints.items()}
        return own | gathered(control for settings in self.chosen.values() for control in settings.values())

    def rest_each(self, reasons: Mapping[str, str]) -> None:
        """Grey out the ticked options that have no effect, saying why; they can still be unticked."""
        self.idle = reasons
        for box in self.boxes.values():
            box.disabled = self.fixed
            marked(box, "lab-fixed", on=self.fixed)
        for option, settings in self.chosen.items():
            greyed(self.boxes[option], grey=option in reasons)
            for control in settings.values():
                control.fixed = self.fixed
                control.rest(reasons.get(option, ""))

    def _ticked(self, option: str, *, on: bool) -> None:
        if self._setting:
            return
        close(*(pane for pane in [self.panes.pop(option, None)] if pane))
        self.chosen.pop(option, None)
        if on:
            self._choose(self.catalogue.parse(option))
        self._show()
        self.changed()

    def _choose(self, choice: Choice) -> None:
        settings = settings_of(choice, self.changed)
        self.chosen[choice.name] = settings
        if settings:
            self.panes[choice.name] = boxed(settings.values())

    def _show(self) -> None:
        rows: list[widgets.Widget] = []
        for option in self.catalogue:
            rows += [self.heads[option], *([self.panes[option]] if option in self.panes else [])]
        self.widget.children = rows

    @property
    def value(self) -> list[dict[str, Any]]:
        return [
            {"name": option, **{key: control.value for key, control in settings.items()}}
            for option, settings in self.chosen.items()
        ]

    @value.setter
    def value(self, choices: tuple[Choice, ...]) -> None:
        old, self.chosen, self.panes = self.panes, {}, {}
        for choice in choices:
            self._choose(choice)
        self._setting = True
        for option in self.catalogue:
            self._offer(option)
        self._setting = False
        self._show()
        close(*old.values())

    def _offer(self, option: str) -> None:
        """Have a row for an option, and in it what is so now."""
        if option not in self.heads:
            self.boxes[option] = self._make_box(option)
            self.abouts[option] = About(f"{self.name}-{option}", self.catalogue)
            self.heads[option] = self._make_head(option)
        self.boxes[option].value = option in self.chosen
        self.abouts[option].show(self.catalogue.parse(option))

    def refresh(self) -> None:
        """Offer what the catalogue has now, the ticked ones as they are."""
        self.value = tuple(self.catalogue.parse(spec) for spec in self.value)


def rest(
    controls: Mapping[str, Control | OneChoice | Many], reasons: Mapping[str, str], fixed: Collection[str] = ()
) -> None:
    """Grey out what rests, by dotted key, and wake up all else; the settings of a choice rest with it.

    fixed: dotted keys of what nobody can change.
    """
    for field, control in controls.items():
        control.fixed = field in fixed
        if isinstance(control, Many):
            begin = f"{field}."
            control.rest_each({key.removeprefix(begin): why for key, why in reasons.items() if key.startswith(begin)})
            continue
        own = reasons.get(field, "")
        control.rest(own, locked=field not in OF_THEIR_OWN_VALUE)
        for key, inner in control.settings.items() if isinstance(control, OneChoice) else ():
            inner.fixed = f"{field}.{key}" in fixed
            inner.rest(own or reasons.get(f"{field}.{key}", ""))
