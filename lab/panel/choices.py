"""The column of controls: a recipe as a person sets it, what rests in it, and the pictures that unfold beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import ipywidgets as widgets

from lab.catalogue import RecipeError
from lab.idle import idle, without_idle
from lab.panel.controls import Control, gathered, setting
from lab.panel.forecast import PAUSE
from lab.panel.locks import Locks
from lab.panel.offers import ManyChoices, OneChoice, rest
from lab.panel.ordered import OrderedChoices
from lab.panel.pictures import PICTURES
from lab.panel.words import heading
from lab.panel.worker import Post, errand, forget, in_short
from lab.recipe import CATALOGUES, Recipe


class Choices:
    """A control for every field of a recipe.

    Args:
        recipe: what they show first.
        sections: heading -> fields below it, in order.
        changed: told after a person changed something, and after `recipe` was set.
        post: reaches the pump, which hands `("picture", news)` to `draw`.
        locks: what nobody can change; hidden: fields and dotted settings that are not shown.
    """

    def __init__(
        self,
        recipe: Recipe,
        sections: Mapping[str, Sequence[str]],
        changed: Callable[[], None],
        post: Post,
        device: str | None,
        *,
        locks: Locks | None = None,
        hidden: Collection[str] = (),
    ) -> None:
        self._told, self.post, self.device = changed, post, device
        self.locks, self.hidden = locks or Locks({}, recipe), hidden
        self._given = self.locks.recipe.model_dump()
        self._setting = True  # until all controls are there
        self.controls: dict[str, Any] = {field: self._control(field, value) for field, value in self.locks.recipe}
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
        for title, fields in sections.items():
            if shown := [field for field in fields if field not in self.hidden]:
                rows.append(widgets.HTML(heading(title)))
                rows += [self.controls[field].widget for field in shown]
        return rows

    @property
    def spec(self) -> dict[str, Any]:
        """What the controls show, valid or not."""
        return {field: control.value for field, control in self.controls.items()}

    @property
    def recipe(self) -> Recipe:
        """What they show; where that has no effect as the recipe set last has it, if it had none there, else defaults.

        Raises:
            RecipeError: it is not valid.
        """
        return Recipe(**without_idle(self.spec, self._given))

    @recipe.setter
    def recipe(self, recipe: Recipe) -> None:
        recipe = self.locks.held(recipe)
        self._given = recipe.model_dump()
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
        self._hold()
        self._rest()
        for field in PICTURES:
            self._ask_for_picture(field)
        self._told()

    def _hold(self) -> None:
        """Put back what the notebook has set: a new option came with its defaults, or a cell changed a control."""
        self._setting = True
        for key, value in self.locks.values.items():
            field, _, inner = key.partition(".")
            hold(self.controls[field], inner, value)
        self._setting = False

    def _rest(self) -> None:
        rest(self.controls, idle(self.spec), self.locks.values)
        for key in self.hidden:
            field, _, inner = key.partition(".")
            if inner and (control := self.controls[field].settings.get(inner)):
                control.widget.layout.display = "none"

    # -- pictures -------------------------------------------------------------------------------------------

    def _ask_for_picture(self, field: str) -> None:
        """Of a choice whose fold-out is open, in the recipe shown; an invalid one leaves the picture as it is."""
        if self.controls[field].about.open:
            with contextlib.suppress(RecipeError):
                errand(f"picture of {field}", partial(self._picture, field, self.recipe), after=PAUSE)

    def _picture(self, field: str, recipe: Recipe) -> None:
        """In the worker thread."""
        try:
            picture = PICTURES[field](recipe, self.device)
        except Exception as error:  # noqa: BLE001  # shown in words, whatever it is
            picture = f"There is no picture: {in_short(error, self.device)}"
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


def hold(control: Any, inner: str, value: Any) -> None:
    """Set a control, or a setting of its option, where that shows something else."""
    if isinstance(control, OneChoice) and not inner:
        if control.dropdown.value != value:
            control.value = control.catalogue.parse(value)
    elif isinstance(control, OneChoice):
        setting_of_it = control.settings.get(inner)
        if setting_of_it is not None and setting_of_it.value != value:
            setting_of_it.value = value
    elif isinstance(control, ManyChoices | OrderedChoices):
        if control.value != [choice.model_dump() for choice in value]:
            control.value = value
    elif control.value != value:
        control.value = value
