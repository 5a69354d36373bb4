"""From catalogues to controls: every option a dropdown entry, every setting a control that says its range.

Each control has `widget` (what is shown), `value` (what a recipe takes) and tells `changed` when a person
changes it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import ipywidgets as widgets
from pydantic.fields import FieldInfo

from lab.catalogue import Catalogue, Choice, Knob, RecipeError, bounds_of, doc_of, is_number, knob_of, options_of
from lab.idle import OF_THEIR_OWN_VALUE
from lab.panel.about import About

LABEL = {"description_width": "112px"}
Changed = Callable[[], None]


class Control(Protocol):
    """What is shown, and the value that a recipe takes."""

    @property
    def titles(self) -> dict[str, str]: ...
    @property
    def widget(self) -> Any: ...
    @property
    def value(self) -> Any: ...
    @value.setter
    def value(self, value: Any, /) -> None: ...
    def rest(self, reason: str, *, locked: bool = True) -> None: ...


@runtime_checkable
class Many(Protocol):
    """A list of options, each of which may rest."""

    def rest_each(self, reasons: Mapping[str, str]) -> None: ...


def tooltip(field: FieldInfo) -> str:
    """`step size per update; greater than 0`; below it, what a field without a catalogue has to say."""
    own = "; ".join(filter(None, [field.description, bounds_of(field)]))
    return "\n\n".join(filter(None, [own, doc_of(field)]))


def setting(name: str, field: FieldInfo, changed: Changed, value: Any) -> Control:
    """The control that fits a setting's type: slider with box, box, checkbox, dropdown or text."""
    knob = knob_of(field)
    if is_number(field):
        return Number(name, field, knob, changed, value)
    return Plain(name, field, changed, value)


class Plain:
    """A checkbox, dropdown or text."""

    def __init__(self, name: str, field: FieldInfo, changed: Changed, value: Any) -> None:
        common = {"value": value, "description": words(name), "tooltip": tooltip(field), "layout": wide()}
        if field.annotation is bool:
            self.widget = widgets.Checkbox(**common, indent=False)
        elif options := options_of(field):
            self.widget = widgets.Dropdown(options=options, style=LABEL, **common)
        else:
            self.widget = widgets.Text(style=LABEL, continuous_update=False, **common)
        self.widget.add_class(f"lab-{name}")
        self.hint = tooltip(field)
        self.titles = {f"lab-{name}": self.hint}
        self.widget.observe(lambda _: changed(), "value")

    def rest(self, reason: str, *, locked: bool = True) -> None:
        """Grey it out, saying why, where it has no effect; an empty reason wakes it up."""
        self.widget.disabled = bool(reason) and locked
        greyed(self.widget, grey=bool(reason))
        self.titles = dict.fromkeys(self.titles, reason or self.hint)

    @property
    def value(self) -> Any:
        return self.widget.value

    @value.setter
    def value(self, value: Any) -> None:
        self.widget.value = value


class Number:
    """A slider over the usual range beside a box that takes any number; the box holds the value."""

    def __init__(self, name: str, field: FieldInfo, knob: Knob | None, changed: Changed, value: float) -> None:
        self.whole = field.annotation is int
        self.knob, self.changed, self.moving = knob, changed, False
        hint = self.hint = tooltip(field)
        self.titles = {f"lab-{name}": hint}
        # For whole numbers too: an integer box would read 2.5 as 25, this one lets the recipe refuse it.
        self.box = widgets.FloatText(
            value=value, tooltip=hint, continuous_update=False, layout=widgets.Layout(width="84px")
        )
        label = widgets.Label(words(name), layout=widgets.Layout(width="112px"), tooltip=hint)
        self.slider = self._make_slider(hint) if knob else None
        self.zero = widgets.Label(tooltip=hint, layout=widgets.Layout(width="40px")) if knob and knob.zero else None
        parts = filter(None, (label, self.slider, self.box, self.zero))
        self.widget = widgets.HBox(list(parts), layout=wide())
        self._say_zero()
        for css in ("lab-row", f"lab-{name}"):
            self.widget.add_class(css)
        self.box.observe(self._box_changed, "value")

    def _make_slider(self, hint: str) -> Any:
        assert self.knob
        low, high, log, _ = self.knob
        common = {
            "readout": False,
            "tooltip": hint,
            "layout": widgets.Layout(flex="1 1 auto", width="auto", min_width="60px"),
        }
        if log:
            slider = widgets.FloatLogSlider(min=math.log10(low), max=math.log10(high), step=0.05, **common)
        elif self.whole:
            slider = widgets.IntSlider(min=int(low), max=int(high), **common)
        else:
            slider = widgets.FloatSlider(min=low, max=high, step=(high - low) / 100, **common)
        slider.value = self._clamped(self.box.value)
        slider.observe(self._slider_moved, "value")
        return slider

    def _clamped(self, value: float) -> float:
        assert self.knob
        return min(max(value, self.knob.low), self.knob.high)

    def _slider_moved(self, change: dict[str, Any]) -> None:
        if not self.moving and not self._is_echo(change["new"]):
            value = change["new"]
            self.box.value = round(value) if self.whole else float(f"{value:.3g}")

    def _is_echo(self, value: float) -> bool:
        """The browser moves a slider to its grid and reports that: within half a step it is not a person."""
        assert self.knob
        assert self.slider is not None
        scale = math.log10 if self.knob.log else float
        return abs(scale(value) - scale(self._clamped(self.box.value))) < 0.51 * self.slider.step

    def _say_zero(self) -> None:
        """What 0 stands for where it is no amount, beside the 0."""
        if self.zero is not None and self.knob is not None:
            self.zero.value = "" if self.box.value else self.knob.zero

    def _box_changed(self, change: dict[str, Any]) -> None:
        self._say_zero()
        if self.slider is not None:
            self.moving = True  # a value outside the slider's range must not come back clipped
            self.slider.value = self._clamped(change["new"])
            self.moving = False
        self.changed()

    def rest(self, reason: str, *, locked: bool = True) -> None:
        """Grey it out, saying why, where it has no effect; an empty reason wakes it up."""
        for part in filter(None, (self.box, self.slider)):
            part.disabled = bool(reason) and locked
        greyed(self.widget, grey=bool(reason))
        self.titles = dict.fromkeys(self.titles, reason or self.hint)

    @property
    def value(self) -> float:
        value = self.box.value
        return int(value) if self.whole and value == int(value) else value

    @value.setter
    def value(self, value: float) -> None:
        self.box.value = value


def settings_of(choice: Choice, changed: Changed) -> dict[str, Control]:
    fields = type(choice).model_fields
    return {key: setting(key, fields[key], changed, value) for key, value in choice if key != "name"}


def greyed(widget: widgets.DOMWidget, *, grey: bool) -> None:
    """Its label too, which `disabled` leaves as it is."""
    if grey:
        widget.add_class("lab-resting")
    else:
        widget.remove_class("lab-resting")


def rest(controls: Mapping[str, Control | OneChoice | Many], reasons: Mapping[str, str]) -> None:
    """Grey out what rests, by dotted key, and wake up all else; the settings of a choice rest with it."""
    for field, control in controls.items():
        if isinstance(control, Many):
            begin = f"{field}."
            control.rest_each({key.removeprefix(begin): why for key, why in reasons.items() if key.startswith(begin)})
            continue
        own = reasons.get(field, "")
        control.rest(own, locked=field not in OF_THEIR_OWN_VALUE)
        for key, inner in control.settings.items() if isinstance(control, OneChoice) else ():
            inner.rest(own or reasons.get(f"{field}.{key}", ""))


def gathered(controls: Iterable[Control | OneChoice | ManyChoices]) -> dict[str, str]:
    """The tooltips of several controls, by CSS class."""
    return {css: text for control in controls for css, text in control.titles.items()}


def boxed(controls: Iterable[Control]) -> widgets.VBox:
    box = widgets.VBox([control.widget for control in controls], layout=wide())
    if box.children:
        box.add_class("lab-settings")
    return box


class OneChoice:
    """A dropdown over a catalogue; picking an option swaps in its settings."""

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
        self.widget = widgets.VBox([self.head, self.about.box], layout=wide())
        self.value = value
        self.dropdown.observe(self._picked, "value")

    @property
    def titles(self) -> dict[str, str]:
        own = {self.css: self.idle or self.catalogue.sentence(str(self.dropdown.value))}
        return own | gathered(self.settings.values())

    def rest(self, reason: str, *, locked: bool = True) -> None:
        """Grey the choice out, saying why, where it has no effect; an empty reason wakes it up."""
        self.idle = reason
        self.dropdown.disabled = bool(reason) and locked
        greyed(self.dropdown, grey=bool(reason))

    def _picked(self, change: dict[str, Any]) -> None:
        self._show(self.catalogue.parse(change["new"]))
        self.changed()

    def _show(self, choice: Choice) -> None:
        old = self.widget.children[2:]
        self.shown, self.settings = type(choice), settings_of(choice, self._setting_changed)
        settings = [boxed(self.settings.values())] if self.settings else []
        self.widget.children = [self.head, self.about.box, *settings]
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
        said = {option: self.idle.get(option) or self.catalogue.sentence(option) for option in self.catalogue}
        own = {f"lab-{self.name}-{option}": text for option, text in said.items()}
        return own | gathered(control for settings in self.chosen.values() for control in settings.values())

    def rest_each(self, reasons: Mapping[str, str]) -> None:
        """Grey out the ticked options that have no effect, saying why; they can still be unticked."""
        self.idle = reasons
        for option, settings in self.chosen.items():
            greyed(self.boxes[option], grey=option in reasons)
            for control in settings.values():
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


def wide() -> widgets.Layout:
    """As wide as what holds it; one for each widget, so that closing the widget can close it too."""
    return widgets.Layout(width="100%")


def words(name: str) -> str:
    return name.replace("_", " ")


def close(*trees: widgets.Widget) -> None:
    """Close widgets with all that they hold: a closed box alone would leave its children in the kernel."""
    for widget in trees:
        close(*getattr(widget, "children", ()))
        for part in ("layout", "style"):
            if isinstance(held := getattr(widget, part, None), widgets.Widget):
                held.close()
        widget.close()
