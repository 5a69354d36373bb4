"""From catalogues to controls: every option a dropdown entry, every setting a control that says its range.

Each control has `widget` (what is shown), `value` (what a recipe takes) and tells `changed` when a person
changes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from html import escape
from typing import Any, Protocol

import ipywidgets as widgets
from pydantic.fields import FieldInfo

from lab.catalogue import Choice, Knob, bounds_of, doc_of, fault_of, is_number, knob_of, options_of

LABEL = {"description_width": "112px"}
FIXED = "Set by the notebook."
Changed = Callable[[], None]


class Titled(Protocol):
    """What has tooltips, by CSS class."""

    @property
    def titles(self) -> dict[str, str]: ...


class Control(Titled, Protocol):
    """What is shown, and the value that a recipe takes.

    fixed: it stays as it is; read by `rest`, which shows it.
    """

    fixed: bool

    @property
    def widget(self) -> Any: ...
    @property
    def value(self) -> Any: ...
    @value.setter
    def value(self, value: Any, /) -> None: ...
    def rest(self, reason: str, *, locked: bool = True) -> None: ...


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

    fixed = False

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
        self.widget.disabled = self.fixed or (bool(reason) and locked)
        greyed(self.widget, grey=bool(reason))
        marked(self.widget, "lab-fixed", on=self.fixed)
        self.titles = dict.fromkeys(self.titles, reason or hint_of(self.hint, fixed=self.fixed))

    @property
    def value(self) -> Any:
        return self.widget.value

    @value.setter
    def value(self, value: Any) -> None:
        self.widget.value = value


class Number:
    """A slider over the usual range beside a box that takes any number; the box holds the value.

    A number that the setting refuses is said below it.
    """

    fixed = False

    def __init__(self, name: str, field: FieldInfo, knob: Knob | None, changed: Changed, value: float) -> None:
        self.whole, self.field = field.annotation is int, field
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
        self.fault = widgets.HTML(layout=wide())
        self.widget = widgets.VBox([widgets.HBox(list(parts), layout=wide()), self.fault], layout=wide())
        self._say_zero()
        self._say_fault()
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
        slider.value = self._on_grid(slider, self.box.value)
        slider.observe(self._slider_moved, "value")
        return slider

    def _clamped(self, value: float) -> float:
        assert self.knob
        return min(max(value, self.knob.low), self.knob.high)

    def _on_grid(self, slider: Any, value: float) -> float:
        """Where the slider can stand: else the browser puts it there and reports that, maybe when it is closed."""
        assert self.knob
        clamped, log = self._clamped(value), self.knob.log
        if (self.whole and not log) or not math.isfinite(clamped):
            return clamped
        scaled = math.log10(clamped) if log else clamped
        stood = slider.min + slider.step * round((scaled - slider.min) / slider.step)
        return 10**stood if log else stood

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

    def _say_fault(self) -> None:
        """Where the number is, and not only where the results are: a column of controls is long."""
        fault = fault_of(self.field, self.value)
        self.fault.value = f'<div class="lab-fault">{escape(fault)}</div>' if fault else ""
        self.fault.layout.display = None if fault else "none"
        marked(self.widget, "lab-refused", on=bool(fault))

    def _box_changed(self, change: dict[str, Any]) -> None:
        self._say_zero()
        self._say_fault()
        if self.slider is not None:
            self.moving = True  # a value outside the slider's range must not come back clipped
            self.slider.value = self._on_grid(self.slider, change["new"])
            self.moving = False
        self.changed()

    def rest(self, reason: str, *, locked: bool = True) -> None:
        """Grey it out, saying why, where it has no effect; an empty reason wakes it up."""
        for part in filter(None, (self.box, self.slider)):
            part.disabled = self.fixed or (bool(reason) and locked)
        greyed(self.widget, grey=bool(reason))
        marked(self.widget, "lab-fixed", on=self.fixed)
        self.titles = dict.fromkeys(self.titles, reason or hint_of(self.hint, fixed=self.fixed))

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
    marked(widget, "lab-resting", on=grey)


def marked(widget: widgets.DOMWidget, css: str, *, on: bool) -> None:
    if on:
        widget.add_class(css)
    else:
        widget.remove_class(css)


def hint_of(hint: str, *, fixed: bool) -> str:
    """A tooltip; of what the notebook has set it says that first."""
    return "\n\n".join(filter(None, [FIXED, hint])) if fixed else hint


def gathered(controls: Iterable[Titled]) -> dict[str, str]:
    """The tooltips of several controls, by CSS class."""
    return {css: text for control in controls for css, text in control.titles.items()}


def boxed(controls: Iterable[Control]) -> widgets.VBox:
    box = widgets.VBox([control.widget for control in controls], layout=wide())
    if box.children:
        box.add_class("lab-settings")
    return box


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
