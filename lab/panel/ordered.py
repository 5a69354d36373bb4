"""A list of options in order: added, moved, switched off without being lost, removed; each with its settings."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets

from lab.catalogue import Catalogue, Choice, RecipeError
from lab.panel.about import About
from lab.panel.controls import LABEL, Changed, boxed, close, greyed, hint_of, marked, settings_of, wide, words


class Listed:
    """One entry: a checkbox that has it in the recipe or not, small buttons, and its settings in a fold-out.

    Args:
        owner: the list, told when something changes, or when the entry is to move or to go.
    """

    def __init__(self, choice: Choice, owner: OrderedChoices) -> None:
        field, catalogue = owner.name, owner.catalogue
        self.catalogue, self.changed, self.name, self.kind = catalogue, owner.changed, choice.name, type(choice)
        self.idle, self.fixed = "", False
        self.css, self.settings = f"lab-{field}-{choice.name}", settings_of(choice, self._set)
        name = words(choice.name)
        self.on = widgets.Checkbox(value=True, description=name, indent=False, layout=_stretched())
        self.on.add_class(self.css)
        self.up = icon_button("up", "chevron-up", f"Move {name} up", lambda: owner.move(self, -1))
        self.down = icon_button("down", "chevron-down", f"Move {name} down", lambda: owner.move(self, 1))
        self.remove = icon_button("remove", "times", f"Remove {name}", lambda: owner.remove(self))
        self.about = About(f"{field}-{choice.name}", catalogue)
        self.about.show(choice)
        self.pane = boxed(self.settings.values())
        self.fold = self._fold_button(name)
        head = widgets.HBox([self.on, self.fold, self.up, self.down, self.about.button, self.remove], layout=wide())
        head.add_class("lab-entry-head")
        self.widget = widgets.VBox([head, self.about.box, self.pane], layout=wide())
        for css in ("lab-entry", f"lab-entry-{choice.name}"):
            self.widget.add_class(css)
        self.on.observe(lambda _: self._switched(), "value")

    def _fold_button(self, name: str) -> widgets.ToggleButton:
        fold = widgets.ToggleButton(value=True, icon="caret-down", tooltip=f"Strengths of {name}", layout=_small())
        fold.add_class("lab-entry-fold")
        fold.disabled = not self.settings
        fold.observe(lambda _: self._folded(), "value")
        return fold

    @property
    def spec(self) -> dict[str, Any]:
        return {"name": self.name, **{key: control.value for key, control in self.settings.items()}}

    @property
    def titles(self) -> dict[str, str]:
        """By the path of CSS classes: two entries may have settings of the same name."""
        inner = {css: text for control in self.settings.values() for css, text in control.titles.items()}
        own = {f"lab-entry-{self.name} .{css}": text for css, text in inner.items()}
        return {self.css: self.idle or hint_of(self.catalogue.sentence(self.name), fixed=self.fixed), **own}

    def rest(self, reason: str, *, fixed: bool) -> None:
        """Grey it out, saying why; it can still be switched off, moved and removed, unless it is fixed."""
        self.idle, self.fixed = reason, fixed
        greyed(self.on, grey=bool(reason))
        marked(self.on, "lab-fixed", on=fixed)
        self.on.disabled = self.remove.disabled = fixed
        for control in self.settings.values():
            control.fixed = fixed
            control.rest(reason)

    def stand(self, *, first: bool, last: bool) -> None:
        """At which end of the list it stands: it cannot move beyond."""
        self.up.disabled, self.down.disabled = first, last

    def _set(self) -> None:
        with contextlib.suppress(RecipeError):  # said elsewhere
            self.about.show(self.catalogue.parse(self.spec))
        self.changed()

    def _switched(self) -> None:
        if self.on.value:
            self.widget.remove_class("lab-entry-off")
        else:
            self.widget.add_class("lab-entry-off")
        self.changed()

    def _folded(self) -> None:
        self.fold.icon = "caret-down" if self.fold.value else "caret-right"
        self.pane.layout.display = None if self.fold.value else "none"


class OrderedChoices:
    """The entries, and below them a dropdown of what can be added: an option stands in a list once.

    What is switched off is in the list, but not in `value`.
    """

    fixed = False

    def __init__(self, name: str, catalogue: Catalogue, changed: Changed, value: tuple[Choice, ...]) -> None:
        self.name, self.catalogue, self.changed = name, catalogue, changed
        self.entries: list[Listed] = []
        self.rows = widgets.VBox([], layout=wide())
        self.dropdown = widgets.Dropdown(description=words(name), style=LABEL, layout=_stretched())
        self.dropdown.add_class(f"lab-{name}")
        self.dropdown.observe(lambda _: changed(), "value")  # its tooltip says what the option does
        self.add = icon_button("add", "plus", "Add it to the list", self._add)
        self.add.add_class(f"lab-{name}-add")
        head = widgets.HBox([self.dropdown, self.add], layout=wide())
        self.widget = widgets.VBox([self.rows, head], layout=wide())
        self.value = value

    @property
    def titles(self) -> dict[str, str]:
        """Tooltips: of what can be added, what it does."""
        own = self.catalogue.sentence(str(self.dropdown.value)) if self.dropdown.value else "All are in the list"
        own = hint_of("" if self.fixed else own, fixed=self.fixed)
        return {f"lab-{self.name}": own} | {css: text for entry in self.entries for css, text in entry.titles.items()}

    def rest_each(self, reasons: Mapping[str, str]) -> None:
        """Grey out the entries that have no effect, saying why."""
        for entry in self.entries:
            entry.rest(reasons.get(entry.name, ""), fixed=self.fixed)
        self._stand()

    @property
    def chosen(self) -> dict[str, dict[str, Any]]:
        """Settings of what is in the recipe, by option."""
        return {entry.name: entry.settings for entry in self.entries if entry.on.value}

    @property
    def value(self) -> list[dict[str, Any]]:
        return [entry.spec for entry in self.entries if entry.on.value]

    @value.setter
    def value(self, choices: tuple[Choice, ...]) -> None:
        old, self.entries = self.entries, [Listed(choice, self) for choice in choices]
        self._show()
        close(*(entry.widget for entry in old))

    def refresh(self) -> None:
        """Offer what the catalogue has now; an entry whose option was written anew starts with its defaults."""
        old = [entry for entry in self.entries if self.catalogue.get(entry.name) is not entry.kind]
        for entry in old:
            place = self.entries.index(entry)
            fresh = [Listed(self.catalogue.parse(entry.name), self)] if entry.name in self.catalogue else []
            self.entries[place : place + 1] = fresh
        self._show()
        close(*(entry.widget for entry in old))

    def _show(self) -> None:
        self.rows.children = [entry.widget for entry in self.entries]
        there = {entry.name for entry in self.entries}
        kept, offered = self.dropdown.value, [name for name in self.catalogue if name not in there]
        if self.dropdown.options != tuple(offered):
            self.dropdown.options = offered
            self.dropdown.value = kept if kept in offered else next(iter(offered), None)
        self._stand()

    def _stand(self) -> None:
        """What can be moved where, and whether anything can be added."""
        for place, entry in enumerate(self.entries):
            entry.stand(first=self.fixed or place == 0, last=self.fixed or place == len(self.entries) - 1)
        self.dropdown.disabled = self.add.disabled = self.fixed or not self.dropdown.options

    def _add(self) -> None:
        if self.dropdown.value:
            self.entries.append(Listed(self.catalogue.parse(self.dropdown.value), self))
            self._show()
            self.changed()

    def move(self, entry: Listed, by: int) -> None:
        place = self.entries.index(entry)
        if 0 <= place + by < len(self.entries):
            self.entries.insert(place + by, self.entries.pop(place))
            self._show()
            self.changed()
            pressed = entry.up if by < 0 else entry.down
            (pressed if not pressed.disabled else entry.down if by < 0 else entry.up).focus()

    def remove(self, entry: Listed) -> None:
        self.entries.remove(entry)
        self._show()
        self.changed()
        close(entry.widget)
        self.dropdown.focus()


def icon_button(css: str, icon: str, hint: str, action: Changed) -> widgets.Button:
    made: Any = widgets.Button(icon=icon, tooltip=hint, layout=_small())
    made.add_class("lab-icon")
    made.add_class(f"lab-icon-{css}")
    made.on_click(lambda _: action())
    return made


def _small() -> widgets.Layout:
    return widgets.Layout(width="26px", flex="0 0 26px", padding="0", margin="2px 0 2px 2px")


def _stretched() -> widgets.Layout:
    return widgets.Layout(flex="1 1 auto", width="auto", min_width="0")
