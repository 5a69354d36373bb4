"""The column of controls: a recipe as a person sets it, what rests in it, and the pictures that unfold beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets as widgets

from lab.catalogue import RecipeError
from lab.idle import idle, without_idle
from lab.panel.controls import Control, ManyChoices, OneChoice, gathered, rest, setting
from lab.panel.forecast import PAUSE
from lab.panel.ordered import OrderedChoices
from lab.panel.pictures import PICTURES
from lab.panel.worker import Post, errand, forget
from lab.recipe import CATALOGUES, Recipe

SECTIONS = {
    "Data": ("data", "modify"),
    "Network": ("model", "activation", "init"),
    "Optimisation": (
        *("optimizer", "schedule", "warmup", "cooldown", "depth_decay"),
        *("epochs", "patience", "batch_size", "clip_norm", "label_smoothing"),
        *("gradient", "average"),
    ),
    "Augmentation": ("augment",),
    "Transfer": ("objective", "source", "transfer"),
    "Numbers": ("precision", "seed"),
}


class Choices:
    """A control for every field of a recipe.

    Args:
        recipe: what they show first.
        sections: heading -> fields below it, in order.
        changed: told after a person changed something, and after `recipe` was set.
        post: reaches the pump, which hands `("picture", news)` to `draw`.
    """

    def __init__(
        self,
        recipe: Recipe,
        sections: Mapping[str, Sequence[str]],
        changed: Callable[[], None],
        post: Post,
        device: str | None,
    ) -> None:
        self._told, self.post, self.device = changed, post, device
        self._setting = True  # until all controls are there
        self.controls: dict[str, Any] = {field: self._control(field, value) for field, value in recipe}
        self._setting = False
        column = widgets.Layout(width="330px", flex="0 0 330px")
        self.widget = widgets.VBox([*self._rows(sections)], layout=column)
        self.widget.add_class("lab-controls")
        self._rest()

    def _control(self, field: str, value: Any) -> Control | OneChoice | ManyChoices | OrderedChoices:
        if field not in CATALOGUES:
            return setting(field, Recipe.model_fields[field], self._changed, value)
        if field == "augment":
            return OrderedChoices(field, CATALOGUES[field], self._changed, value)
        if isinstance(value, tuple):
            return ManyChoices(field, CATALOGUES[field], self._changed, value)
        ask = partial(self._ask_for_picture, field) if field in PICTURES else None
        return OneChoice(field, CATALOGUES[field], self._changed, value, ask)

    def _rows(self, sections: Mapping[str, Sequence[str]]) -> list[widgets.Widget]:
        rows: list[widgets.Widget] = []
        for heading, fields in sections.items():
            rows.append(widgets.HTML(f'<div class="lab-heading" role="heading" aria-level="3">{heading}</div>'))
            rows += [self.controls[field].widget for field in fields]
        return rows

    @property
    def spec(self) -> dict[str, Any]:
        """What the controls show, valid or not."""
        return {field: control.value for field, control in self.controls.items()}

    @property
    def recipe(self) -> Recipe:
        """What they show, with defaults where that has no effect. Raises RecipeError when it is not valid."""
        return Recipe(**without_idle(self.spec))

    @recipe.setter
    def recipe(self, recipe: Recipe) -> None:
        self._setting = True
        try:
            for field, control in self.controls.items():
                if isinstance(control, OneChoice):
                    control.refresh()  # the recipe may name an option that the same cell has just added
                control.value = getattr(recipe, field)
        finally:
            self._setting = False
        self._changed()

    @property
    def titles(self) -> dict[str, str]:
        """Tooltips by CSS class; of what rests, why."""
        return gathered(self.controls.values())

    def refresh(self) -> None:
        """Offer what the catalogues have now."""
        for control in self.controls.values():
            if isinstance(control, OneChoice | ManyChoices | OrderedChoices):
                control.refresh()
        self._changed()

    def use_rate(self, rate: float) -> None:
        """Take a learning rate, where the optimizer has one."""
        lr = self.controls["optimizer"].settings.get("lr")
        if lr is not None:
            lr.value = rate

    def _changed(self) -> None:
        if self._setting:
            return
        self._rest()
        for field in PICTURES:
            self._ask_for_picture(field)
        self._told()

    def _rest(self) -> None:
        rest(self.controls, idle(self.spec))

    # -- pictures -------------------------------------------------------------------------------------------

    def _ask_for_picture(self, field: str) -> None:
        """Of a choice whose fold-out is open, in the recipe shown; an invalid one leaves the picture as it is."""
        if self.controls[field].about.open:
            with contextlib.suppress(RecipeError):
                errand(f"picture of {field}", partial(self._picture, field, self.recipe), after=PAUSE)

    def _picture(self, field: str, recipe: Recipe) -> None:
        """In the worker thread. What goes wrong is said by the forecast, which looks at the same recipe."""
        picture = None
        with contextlib.suppress(Exception):
            picture = PICTURES[field](recipe, self.device)
        self.post(("picture", (field, picture)))

    def draw(self, news: tuple[str, Any]) -> None:
        """Only the pump calls this."""
        field, picture = news
        self.controls[field].about.draw(picture)

    def set_theme(self, *, dark: bool) -> None:
        for control in self.controls.values():
            if isinstance(control, OneChoice):
                control.about.set_theme(dark=dark)

    def close(self) -> None:
        """Ask for nothing any more."""
        for field in PICTURES:
            forget(f"picture of {field}")
