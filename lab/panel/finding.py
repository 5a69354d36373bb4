"""Find a learning rate: a range test of the recipe shown, its picture, and buttons that take what it suggests."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets

from lab.catalogue import first_sentence
from lab.diagnostic_plots import rates
from lab.diagnostics import RangeTest
from lab.diagnostics.range_test import REPEATS, RULES, range_tests
from lab.panel.about import redraw, untitled
from lab.panel.controls import close
from lab.panel.live_figure import small_figure
from lab.panel.toolbar import Look, button, row
from lab.panel.words import heading, message
from lab.panel.worker import Post, Task, in_words
from lab.recipe import Recipe

OTHER = "Of another recipe than the one shown now."
CLOSE = Look("", "times", "Take the range test off")


class FindingJob(Task):
    """A range test in the worker thread; after each repeat it tells what is known."""

    def __init__(self, recipe: Recipe, post: Post, device: str | None) -> None:
        super().__init__("rates", post)
        self.recipe, self.device = recipe, device

    def do(self) -> None:
        self.look_up()
        for found in range_tests(self.recipe, device=self.device):
            if found is not None:
                self.post((self.name, found))
            self.look_up()


class FindingPane:
    """What a range test found; hidden before the first one.

    Args:
        use: takes a learning rate into the controls.
        start: has a job worked on.
    """

    def __init__(
        self, use: Callable[[float], None], start: Callable[[FindingJob], None], post: Post, device: str | None
    ) -> None:
        self._use, self._start, self._post, self.device = use, start, post, device
        self.job: FindingJob | None = None
        self.found: RangeTest | None = None
        self._shown: Recipe | None = None
        self._said = ""
        self.dark, self.width, self.figure = False, 0, None
        title = widgets.HTML(heading("Learning-rate range test"))
        self.words = widgets.HTML()
        self.words.add_class("lab-finding-words")
        self.frame = widgets.VBox(layout=widgets.Layout(width="100%", display="none"))
        self.uses = row("lab-toolbar", [])
        head = row("lab-toolbar", [title, button("finding-close", CLOSE, self.hide)])
        parts = [head, self.words, self.frame, self.uses]
        self.widget = widgets.VBox(parts, layout=widgets.Layout(width="100%", display="none"))
        self.widget.add_class("lab-finding-pane")

    @property
    def busy(self) -> bool:
        return self.job is not None and not self.job.done.is_set()

    def start(self, recipe: Recipe) -> None:
        """Test this recipe, once no other one is tested."""
        if self.busy:
            return
        self.found = None
        self.widget.layout.display = None
        self.frame.layout.display = "none"
        self._offer({})
        self._shown = recipe
        self._say(f"Looking: the rate grows from tiny to huge, {REPEATS} times ...")
        self.job = FindingJob(recipe, self._post, self.device)
        self._start(self.job)

    def hide(self) -> None:
        if self.job is not None:
            self.job.stop()
        self.widget.layout.display = "none"

    def hear(self, news: RangeTest | Exception | str) -> None:
        """Only the pump calls this."""
        if isinstance(news, RangeTest):
            self.found = news
            self._draw()
        elif isinstance(news, Exception):
            self.words.value = message(in_words(news))
        elif news == "stopped":
            self._say("Stopped." if self.found is None else f"Stopped early. {self.found.agreement}")

    def compare(self, recipe: Recipe | None) -> None:
        """Say whether what was found is of the recipe shown, but for its rate; only the pump calls this."""
        self._shown = recipe
        if self.found is not None:
            self._say(self._said)

    def _say(self, text: str) -> None:
        self._said = text
        other = self.found is not None and rateless(self._shown) != rateless(self.found.recipe)
        self.words.value = said(f"{OTHER} {text}" if other else text)

    def _draw(self) -> None:
        assert self.found is not None
        self._say(self.found.agreement)
        self._offer(self.found.suggestions)
        if self.figure is None:
            self.figure: Any = small_figure()
            self.frame.children = [self.figure]
        self.frame.layout.display = None
        picture = untitled(rates(self.found, dark=self.dark))
        picture.update_layout(height=280, margin={"t": 10, "b": 80}, font_size=11)
        redraw(self.figure, picture, dark=self.dark, width=self.width or None)

    def _offer(self, suggestions: dict[str, float]) -> None:
        """A button for the rate of each rule."""
        old = self.uses.children
        self.uses.children = [self._use_button(rule, rate) for rule, rate in suggestions.items()]
        close(*old)

    def _use_button(self, rule: str, rate: float) -> widgets.Button:
        rounded, named = float(f"{rate:.2g}"), rule.replace("minimum_tenth", "min/10")
        where = first_sentence(RULES[rule].__doc__)
        look = Look(f"use {rounded:g} ({named})", "", f"Set the learning rate to {rounded:g}. {named}: {where}")
        return button(f"use-{rule}", look, lambda: self._use(rounded))

    def set_width(self, pixels: int) -> None:
        self.width = pixels
        if self.figure is not None:
            self.figure.layout.width = pixels

    def set_theme(self, *, dark: bool) -> None:
        self.dark = dark
        if self.found is not None:
            self._draw()


def rateless(recipe: Recipe | None) -> dict[str, Any] | None:
    """All that a range test depends on: the rate and its schedule are left out of it."""
    if recipe is None:
        return None
    left_out = {"schedule", "warmup", "cooldown", "epochs", "patience"}
    spec = recipe.model_dump(exclude=left_out)
    spec["optimizer"].pop("lr", None)
    return spec


def said(text: str) -> str:
    return f'<div class="lab-detail" role="status">{escape(text)}</div>'
