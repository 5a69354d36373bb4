"""Where to start from: recipes out of a folder, or a line of text that restores all choices."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ipywidgets as widgets

from lab.catalogue import RecipeError
from lab.panel.controls import LABEL, wide
from lab.panel.words import message
from lab.presets import Preset
from lab.recipe import Recipe
from lab.short_texts import read_short_text, short_text

OWN = "own choices"
LINE = "All choices as one line: what differs from the defaults. Paste another one here to restore it."


class Start:
    """A list of recipes and a line of text; both follow the controls, and set them.

    Args:
        presets: by name, as they come out in this panel; use: takes a recipe into the controls.
    """

    def __init__(self, presets: Mapping[str, Preset], use: Callable[[Recipe], None]) -> None:
        self.presets, self._use, self._showing = presets, use, False
        self.list = widgets.Dropdown(options=[OWN, *presets], description="start from", style=LABEL, layout=wide())
        self.line = widgets.Text(description="as text", style=LABEL, continuous_update=False, layout=wide())
        self.line.placeholder = "the default recipe"
        self.fault = widgets.HTML(layout=wide())
        for css, control in (("lab-preset", self.list), ("lab-line", self.line)):
            control.add_class(css)
        self.list.observe(lambda change: self._picked(change["new"]), "value")
        self.line.observe(lambda change: self._written(change["new"]), "value")
        self.widget = widgets.VBox([self.list, self.line, self.fault], layout=wide())

    @property
    def titles(self) -> dict[str, str]:
        """Tooltips by CSS class: of a preset, what its file says."""
        chosen = self.presets.get(str(self.list.value))
        about = chosen.about if chosen else "Recipes that come with the lab, each with a question that it answers"
        return {"lab-preset": about, "lab-line": LINE}

    def show(self, recipe: Recipe) -> None:
        """Follow the controls."""
        self._showing = True
        self.list.value = next((name for name, preset in self.presets.items() if preset.recipe == recipe), OWN)
        self.line.value, self.fault.value = short_text(recipe), ""
        self._showing = False

    def _picked(self, name: str) -> None:
        if not self._showing and name in self.presets:
            self._use(self.presets[name].recipe)

    def _written(self, text: str) -> None:
        if self._showing:
            return
        try:
            self._use(read_short_text(text))
        except RecipeError as error:  # the line stays, to be put right
            self.fault.value = message(str(error))
