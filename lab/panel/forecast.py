"""Before the first step: what the recipe costs, what the init doctor says of it, and its learning rate over the run.

It follows the controls. The worker thread computes it, as an errand between two steps of what trains.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from html import escape
from operator import attrgetter
from typing import Any, ClassVar

import ipywidgets as widgets
import plotly.graph_objects as go

from lab.costs import costs
from lab.costs import words as costs_in_words
from lab.diagnostic_plots import init_doctor
from lab.diagnostics import InitReport, examine
from lab.gradients import passes_of
from lab.optimizers import batch_of
from lab.panel.about import redraw
from lab.panel.controls import wide
from lab.panel.live_figure import small_figure
from lab.panel.worker import Post, errand, forget, in_short
from lab.recipe import Recipe
from lab.schedule_plots import rate_over_run

PAUSE = 0.15  # seconds without a change before anything is computed: a slider passes many values
NETWORK = ("data", "modify", "model", "activation", "init", "source", "transfer", "precision", "seed")
SIDE_BY_SIDE = 560  # pixels of the results from which two pictures stand beside each other
GAP, WIDEST, HEIGHT = 8, 480, 200
PLACES = ("rate", "doctor")


class LastAnswer:
    """A function of a recipe that is not asked again while what it depends on, its `key`, stays as it is."""

    def __init__(self, function: Callable[[Recipe], Any], key: Callable[[Recipe], Any]) -> None:
        self.function, self.key = function, key
        self._known: tuple[Any, Any] | None = None

    def __call__(self, recipe: Recipe) -> Any:
        key = self.key(recipe)
        if self._known is None or self._known[0] != key:
            self._known = None  # a failure is not kept: data may appear
            self._known = key, self.function(recipe)
        return self._known[1]


def what_costs(recipe: Recipe) -> Any:
    """All that the words on costs depend on; the batch and its passes are not of `batch_size` alone."""
    batch = batch_of(recipe.optimizer, recipe.batch_size)
    return attrgetter(*NETWORK)(recipe), batch, passes_of(recipe.gradient)


class Forecast:
    """A section of the panel that can be folded; folded, it asks for nothing.

    Args:
        post: reaches the pump, which hands `("forecast", news)` to `hear`.
    """

    unfolded: ClassVar[bool] = True  # as a person left it, for the next panel too

    def __init__(self, post: Post, device: str | None) -> None:
        self.post, self.device, self.dark, self.width = post, device, False, 0
        self.recipe: Recipe | None = None
        self._number = 0  # of the last request
        self._pictures: dict[str, go.Figure] = {}
        self._figures: dict[str, Any] = {}
        self._costs = LastAnswer(lambda recipe: costs_in_words(costs(recipe)), what_costs)
        self._report = LastAnswer(partial(examine, device=device), attrgetter(*NETWORK, "label_smoothing"))
        self._build()

    def _build(self) -> None:
        self.button = widgets.ToggleButton(
            value=self.unfolded, description="Before the first step", layout=widgets.Layout(width="auto")
        )
        self.button.add_class("lab-fold")
        self.button.observe(lambda _: self._fold(), "value")
        self.costs, self.sentence, self.problem = (widgets.HTML(layout=wide()) for _ in range(3))
        self.sentence.add_class("lab-doctor")
        self.frames = {place: widgets.VBox(layout=widgets.Layout(display="none")) for place in PLACES}
        pictures = widgets.HBox([self.frames["doctor"], self.frames["rate"]], layout=wide())
        pictures.add_class("lab-forecast-pictures")
        self.body = widgets.VBox([self.costs, self.problem, self.sentence, pictures], layout=wide())
        self.widget = widgets.VBox([self.button, self.body], layout=wide())
        self.widget.add_class("lab-forecast")
        self._show_fold()

    def _fold(self) -> None:
        Forecast.unfolded = bool(self.button.value)
        self._show_fold()
        self.show(self.recipe)

    def _show_fold(self) -> None:
        self.button.icon = "caret-down" if self.button.value else "caret-right"
        self.button.tooltip = "Fold" if self.button.value else "What this recipe costs, and does to the signal"
        self.body.layout.display = None if self.button.value else "none"

    def show(self, recipe: Recipe | None) -> None:
        """Of another recipe from now on; None: the controls show none that is valid."""
        self.recipe = recipe
        self._number += 1
        if recipe is None:
            forget("forecast")
            self._clear()
        elif not self.button.value:
            forget("forecast")
        else:
            errand("forecast", partial(self._look, self._number, recipe), after=PAUSE)

    def close(self) -> None:
        """Ask for nothing any more."""
        self._number += 1
        forget("forecast")

    def _clear(self) -> None:
        self.costs.value = self.sentence.value = self.problem.value = ""
        for frame in self.frames.values():
            frame.layout.display = "none"

    # -- in the worker thread -------------------------------------------------------------------------------

    def _look(self, number: int, recipe: Recipe) -> None:
        """What is quick first; nothing more once there is a newer request."""
        for part, compute in (("rate", rate_over_run), ("costs", self._costs), ("doctor", self._examined)):
            if number != self._number:
                return
            try:
                found = compute(recipe)
            except Exception as error:  # noqa: BLE001  # shown in words, whatever it is
                self.post(("forecast", (number, "problem", in_short(error, self.device))))
                return
            self.post(("forecast", (number, part, found)))

    def _examined(self, recipe: Recipe) -> tuple[InitReport, go.Figure]:
        """The report, and its picture without the sentence, which stands above it."""
        report: InitReport = self._report(recipe)
        return report, init_doctor(replace(report, sentence=""), compact=True)

    # -- what is shown; only the pump calls these ------------------------------------------------------------

    def hear(self, news: tuple[int, str, Any]) -> None:
        """Take in what was found; what belongs to an older request is dropped."""
        number, part, found = news
        if number == self._number:
            getattr(self, f"_on_{part}")(found)

    def _on_rate(self, picture: go.Figure) -> None:
        self.problem.value = ""
        self._draw("rate", picture)

    def _on_costs(self, text: str) -> None:
        self.costs.value = f'<div class="lab-detail">{escape(text)}</div>'

    def _on_doctor(self, found: tuple[InitReport, go.Figure]) -> None:
        report, picture = found
        self.sentence.value = in_html(report)
        self._draw("doctor", picture)

    def _on_problem(self, text: str) -> None:
        self._clear()
        self.problem.value = f'<div class="lab-foreseen">{escape(text)}</div>'

    def _draw(self, place: str, picture: go.Figure) -> None:
        self._pictures[place] = picture
        frame = self.frames[place]
        if place not in self._figures:
            self._figures[place] = small_figure()
            frame.children = [self._figures[place]]
        frame.layout.display = None
        picture.update_layout(height=HEIGHT)
        redraw(self._figures[place], picture, dark=self.dark, width=self._picture_width())

    def _picture_width(self) -> int | None:
        if not self.width:
            return None
        return min(WIDEST, (self.width - GAP) // 2 if self.width >= SIDE_BY_SIDE else self.width)

    def set_width(self, pixels: int) -> None:
        self.width = pixels
        for figure in self._figures.values():
            figure.layout.width = self._picture_width()

    def set_theme(self, *, dark: bool) -> None:
        self.dark = dark
        for place, picture in self._pictures.items():
            redraw(self._figures[place], picture, dark=dark, width=self._picture_width())


def in_html(report: InitReport) -> str:
    """The doctor's sentence, marked where something is wrong."""
    trouble = escape(report.trouble or "none", quote=True)
    return f'<div class="lab-verdict-line" data-trouble="{trouble}">{escape(report.sentence)}</div>'
