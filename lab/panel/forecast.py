"""Before the first step: what the recipe costs, what the init doctor says of it, and its learning rate over the run.

It follows the controls. The worker thread computes it, as errands between the steps of what trains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from html import escape
from typing import Any, ClassVar

import ipywidgets as widgets
import plotly.graph_objects as go

from lab.costs import costs
from lab.costs import words as costs_in_words
from lab.diagnostic_plots import init_doctor
from lab.diagnostics import InitReport, examinations
from lab.layer_tables import LayerTable, layer_table
from lab.panel.about import redraw
from lab.panel.controls import wide
from lab.panel.layers import in_html as layers_in_html
from lab.panel.live_figure import small_figure
from lab.panel.worker import Post, errand, forget, in_short
from lab.recipe import Recipe
from lab.savings import savings
from lab.schedule_plots import rate_over_run

PAUSE = 0.15  # seconds without a change before anything is computed: a slider passes many values
NETWORK = ("data", "modify", "model", "activation", "init", "source", "transfer", "objective", "precision", "seed")
SIDE_BY_SIDE = 560  # pixels of the results from which two pictures stand beside each other
GAP, WIDEST, HEIGHT = 8, 480, 200
PLACES = ("rate", "doctor")
TITLE = "Before the first step: signal, cost, transfer table"
REQUEST, CONTINUATION = "forecast", "rest of the forecast"  # errands: a newer request does not displace itself


class LastAnswer:
    """The last answer to a question about a recipe, and what of the recipe it depends on: its key."""

    def __init__(self, key: Callable[[Recipe], Any]) -> None:
        self.key = key
        self._known: tuple[Any, Any] | None = None

    def find(self, recipe: Recipe) -> Any:
        """The answer, if it is one for this recipe too; else None."""
        return self._known[1] if self._known is not None and self._known[0] == self.key(recipe) else None

    def keep(self, recipe: Recipe, answer: Any) -> Any:
        self._known = self.key(recipe), answer
        return answer


def signal_key(recipe: Recipe) -> tuple[Any, ...]:
    """All that the init doctor's report depends on."""
    return tuple(getattr(recipe, field) for field in (*NETWORK, "label_smoothing"))


def cost_key(recipe: Recipe) -> tuple[Any, ...]:
    """All that costs depend on: of an optimizer its kind and settings, but not how far it steps."""
    fields = (getattr(recipe, field) for field in (*NETWORK, "batch_size", "gradient", "average", "augment"))
    return (*fields, type(recipe.optimizer), recipe.optimizer.model_dump(exclude={"lr"}))


def layers_key(recipe: Recipe) -> tuple[Any, ...]:
    """All that the table of layers depends on: what thaws does so at an epoch."""
    return (*(getattr(recipe, field) for field in NETWORK), recipe.epochs)


def cost_lines(recipe: Recipe) -> list[str]:
    """What the recipe costs, and below that what its ways of saving are worth."""
    return [costs_in_words(costs(recipe)), *savings(recipe)]


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
        self._costs, self._layers, self._report = map(LastAnswer, (cost_key, layers_key, signal_key))
        self._build()

    def _build(self) -> None:
        self.button = widgets.ToggleButton(value=self.unfolded, description=TITLE, layout=widgets.Layout(width="auto"))
        self.button.add_class("lab-fold")
        self.button.observe(lambda _: self._fold(), "value")
        self.costs, self.layers, self.sentence, self.problem = (widgets.HTML(layout=wide()) for _ in range(4))
        self.sentence.add_class("lab-doctor")
        self.frames = {place: widgets.VBox(layout=widgets.Layout(display="none")) for place in PLACES}
        pictures = widgets.HBox([self.frames["doctor"], self.frames["rate"]], layout=wide())
        pictures.add_class("lab-forecast-pictures")
        self.body = widgets.VBox([self.costs, self.layers, self.problem, self.sentence, pictures], layout=wide())
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
        forget(REQUEST)
        if recipe is None:
            self._tell(self._number, "nothing")
        elif self.button.value:
            self._tell(self._number, "wait")
            errand(REQUEST, partial(self._go_on, self._number, self._findings(recipe)), after=PAUSE)

    def close(self) -> None:
        """Ask for nothing any more."""
        self._number += 1
        forget(REQUEST)

    def _tell(self, number: int, part: str, found: Any = None) -> None:
        self.post(("forecast", (number, part, found)))

    # -- in the worker thread -------------------------------------------------------------------------------

    def _go_on(self, number: int, findings: Iterator[tuple[str, Any]]) -> None:
        """Find one thing, the next as an errand of its own: what trains takes its turn between, and a newer request."""
        if number == self._number and (found := next(findings, None)) is not None:
            self._tell(number, *found)
            errand(CONTINUATION, partial(self._go_on, number, findings))

    def _findings(self, recipe: Recipe) -> Iterator[tuple[str, Any]]:
        """What is quick first."""
        try:
            yield "rate", rate_over_run(recipe)
            yield "costs", self._costs.find(recipe) or self._costs.keep(recipe, cost_lines(recipe))
            yield "layers", self._table(recipe)
            for report in self._reports(recipe):
                yield "doctor", (report, init_doctor(replace(report, sentence=""), compact=True))
            yield "end", None
        except Exception as error:  # noqa: BLE001  # shown in words, whatever it is
            yield "problem", in_short(error, self.device)

    def _table(self, recipe: Recipe) -> LayerTable | None:
        """None from scratch: there every layer is the network's own, and trained."""
        if recipe.transfer.name == "scratch":
            return None
        return self._layers.find(recipe) or self._layers.keep(recipe, layer_table(recipe))

    def _reports(self, recipe: Recipe) -> Iterator[InitReport]:
        """One after each pass through the network."""
        report: InitReport | None = self._report.find(recipe)
        if report is not None:
            yield report
            return
        for report in examinations(recipe, device=self.device):
            yield report
        self._report.keep(recipe, report)

    # -- what is shown; only the pump calls these ------------------------------------------------------------

    def hear(self, news: tuple[int, str, Any]) -> None:
        """Take in what was found; what belongs to an older request is dropped."""
        number, part, found = news
        if number == self._number:
            getattr(self, f"_on_{part}")(found)

    def _on_wait(self, _: None) -> None:
        """What is shown is of an older recipe until the end comes."""
        self.body.add_class("lab-stale")

    def _on_end(self, _: None) -> None:
        self.body.remove_class("lab-stale")

    def _on_nothing(self, _: None) -> None:
        self._clear()
        self._on_end(None)

    def _clear(self) -> None:
        self.costs.value = self.layers.value = self.sentence.value = self.problem.value = ""
        for frame in self.frames.values():
            frame.layout.display = "none"

    def _on_rate(self, picture: go.Figure) -> None:
        self.problem.value = ""
        self._draw("rate", picture)

    def _on_costs(self, lines: list[str]) -> None:
        self.costs.value = "".join(f'<div class="lab-detail">{escape(line)}</div>' for line in lines)

    def _on_layers(self, table: LayerTable | None) -> None:
        self.layers.value = layers_in_html(table) if table else ""

    def _on_doctor(self, found: tuple[InitReport, go.Figure]) -> None:
        report, picture = found
        self.sentence.value = in_html(report)
        self._draw("doctor", picture)

    def _on_problem(self, text: str) -> None:
        self._on_nothing(None)
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
