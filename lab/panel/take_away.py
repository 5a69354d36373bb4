"""The recipe to take away: as YAML, as a command, as a script."""

from __future__ import annotations

import ipywidgets as widgets

from lab.panel.controls import wide
from lab.panel.toolbar import Look, button, row
from lab.panel.words import TAKE_AWAY, heading, known_here_only, message
from lab.panel.worker import in_words
from lab.recipe import Recipe

COPY = Look("Copy", "copy", "Copy to the clipboard")


class TakeAway:
    """The recipe shown, as text in the chosen format; `invalid` says what cannot be written."""

    def __init__(self) -> None:
        hints = [hint for _, hint in TAKE_AWAY.values()]
        self.recipe: Recipe | None = None
        self.format = widgets.ToggleButtons(options=list(TAKE_AWAY), tooltips=hints, style={"button_width": "auto"})
        self.copy = button("copy", COPY, lambda: None)  # the helper copies
        self.text = widgets.Textarea(layout=widgets.Layout(width="100%", height="260px"), disabled=True)
        self.text.add_class("lab-code")
        self.format.add_class("lab-format")
        self.format.observe(lambda _: self.show(self.recipe), "value")
        self.invalid = widgets.HTML(layout=wide())
        title = widgets.HTML(heading("Take this recipe with you"))
        parts = [title, row("lab-formats", [self.format, self.copy]), self.invalid, self.text]
        self.widget = widgets.VBox(parts, layout=wide())

    def show(self, recipe: Recipe | None) -> None:
        """None: the controls show none that is valid, which is said elsewhere."""
        self.recipe, text, fault = recipe, "", ""
        if recipe is not None:
            try:
                text = TAKE_AWAY[str(self.format.value)][0](recipe)
                fault = "" if self.format.value == "script" else known_here_only(recipe)
            except Exception as error:  # noqa: BLE001  # shown in words, whatever it is
                fault = in_words(error)
        self.text.value, self.invalid.value = text, message(fault)
        self.copy.disabled = not text
