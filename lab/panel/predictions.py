"""What a run that has ended answers on its validation images: confusions, accuracy by class, calibration, mistakes.

Folded, which it is at first, nothing is computed and nothing kept. The worker thread asks the network, a batch at a
time between two turns of what trains; only pictures and words come back, and another width wants no other answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any, ClassVar, NamedTuple

import ipywidgets as widgets
import plotly.graph_objects as go

from lab.diagnostics import Mistake, Predictions
from lab.diagnostics.predictions import predicting
from lab.figure_parts import counted
from lab.objectives import learns_no_classes
from lab.panel.about import redraw, untitled
from lab.panel.controls import wide
from lab.panel.entries import Entry
from lab.panel.live_figure import small_figure
from lab.panel.slices import Slices
from lab.panel.toolbar import row
from lab.panel.words import FITTED, NO_CLASSES, message
from lab.panel.worker import Job, Post, in_short
from lab.prediction_plots import class_accuracy, confusion, hardest, reliability
from lab.runs import Run
from lab.store import RunError

TITLE = "Predictions"
HINT = "What a run says of its validation images: confusions, accuracy by class, calibration, mistakes"
WHICH = "Whose answers are shown: runs that have ended"
NOTHING = "No answers yet: press <b>Train</b>. What a run says of its validation images shows here when it has ended."
LATEST = "the last that ended with weights"
NO_NUMBERS = "Run {} ({}) answers nothing: what its network computes are no numbers any more."
ALL_RIGHT = "It takes no validation image for another class."
PLACES = ("confusion", "classes", "reliability", "mistakes")
MOST_MISTAKES, MOST_CLASSES = 12, 20
SIDE_BY_SIDE, GAP, WIDEST = 480, 12, 560  # pixels: from where two stand beside each other, between them, of one
STEP = 10  # pixels: a browser whose window is drawn wider tells of every one
LOWEST = 270  # pixels of a picture that gets as high as wide
WITH_SCALE = 380  # pixels from which the matrix has room for its scale of colours
TILE = 74  # pixels of a mistake, which three lines of words fit under
ABOVE = 8  # pixels above a picture that has its title elsewhere


class Answer(NamedTuple):
    """Words, pictures that are the same at any width but for their height, and the mistakes, whose grid is not."""

    said: str
    figures: dict[str, go.Figure]
    worst: Sequence[Mistake]

    def pictures(self, width: int) -> dict[str, go.Figure]:
        """By their places, each so many pixels wide."""
        square = max(LOWEST, round(0.9 * width))
        made = {place: go.Figure(each).update_layout(height=square) for place, each in self.figures.items()}
        made["confusion"].update_traces(showscale=width >= WITH_SCALE)
        return {**made, "mistakes": in_place(self.worst, width)} if self.worst else made


class Card:
    """A picture with its title and what is what, which here stand above it and may break into lines."""

    def __init__(self) -> None:
        self.words = widgets.HTML(layout=wide())
        self.figure: Any = None
        self.picture: go.Figure | None = None
        self.frame = widgets.VBox(layout=wide())
        self.widget = widgets.VBox([self.words, self.frame], layout=widgets.Layout(display="none"))

    def show(self, picture: go.Figure | None) -> None:
        self.picture = picture
        self.widget.layout.display = None if picture else "none"
        if picture is not None:
            self.words.value = f'<div class="lab-small">{in_words(picture)}</div>'
            layout: Any = picture.layout
            lower = layout.height - layout.margin.t + ABOVE  # by what the title took
            untitled(picture).update_layout(height=lower, margin_t=ABOVE, font_size=11)

    def draw(self, *, dark: bool, width: int) -> None:
        if self.picture is None:
            return
        if self.figure is None:
            self.figure = small_figure()
            self.frame.children = [self.figure]
        self.widget.layout.width = f"{width}px"
        redraw(self.figure, self.picture, dark=dark, width=width)


class PredictionsPane:
    """A section of the panel that can be unfolded.

    Args:
        post: reaches the pump, which hands `("predictions", news)` to `hear`.
        shown: False where the panel leaves it out, and it stays folded.
    """

    unfolded: ClassVar[bool] = False  # as a person left it, for the next panel too

    def __init__(self, post: Post, device: str | None, *, shown: bool = True) -> None:
        self.post, self.device, self.dark, self.width = post, device, False, 0
        self.ended: dict[int, Job] = {}  # by the run's number, in the order in which they ended
        self.answer: Answer | None = None
        self._each = width_of(0)  # pixels of a picture, as they were made
        self._asked: int | None = None  # of which job
        self._looking: int | None = None  # in the worker thread
        self._showing = False
        self.slices = Slices("predictions", self._broke)
        self._build_choices(unfolded=self.unfolded and shown)
        self._build()

    def _build_choices(self, *, unfolded: bool) -> None:
        self.fold = widgets.ToggleButton(value=unfolded, description=TITLE, layout=widgets.Layout(width="auto"))
        self.fold.add_class("lab-fold")
        self.fold.observe(lambda _: self._fold(), "value")
        style, layout = {"description_width": "24px"}, widgets.Layout(width="300px")
        self.which = widgets.Dropdown(options=[(LATEST, 0)], value=0, description="run", style=style, layout=layout)
        self.which.add_class("lab-predictions-run")
        self.which.observe(lambda _: self.refresh(), "value")

    def _build(self) -> None:
        self.said = widgets.HTML(layout=wide())
        self.cards = {place: Card() for place in PLACES}
        pictures = widgets.HBox([card.widget for card in self.cards.values()], layout=wide())
        pictures.add_class("lab-predictions-pictures")
        self.tools = row("lab-toolbar", [self.which])
        self.body = widgets.VBox([self.tools, self.said, pictures], layout=wide())
        self.widget = widgets.VBox([self.fold, self.body], layout=wide())
        self.widget.add_class("lab-predictions")
        self._show_fold()
        self._show_nothing()

    @property
    def titles(self) -> dict[str, str]:
        """Tooltips by CSS class."""
        return {"lab-predictions-run": WHICH}

    def _fold(self) -> None:
        PredictionsPane.unfolded = bool(self.fold.value)
        self._show_fold()
        self.refresh()

    def _show_fold(self) -> None:
        self.fold.icon = "caret-down" if self.fold.value else "caret-right"
        self.fold.tooltip = "Fold, and compute nothing" if self.fold.value else HINT
        self.body.layout.display = None if self.fold.value else "none"

    # -- what is asked for ----------------------------------------------------------------------------------

    def show(self, entries: Sequence[Entry], names: Mapping[int, str]) -> None:
        """Of these runs from now on: of those that have ended, the one chosen or the last."""
        there = {entry.number: entry.job for entry in entries if entry.job.run is not None}
        kept = {number: there[number] for number, job in self.ended.items() if there.get(number) is job}
        self.ended = kept | there  # those that were known keep their places
        options = [(LATEST, 0), *((names[number], number) for number in there)]
        if self.which.options != tuple(options):
            chosen = self.which.value
            self._showing = True
            self.which.options = options
            self.which.value = chosen if chosen in there else 0
            self._showing = False
        self.refresh()

    @property
    def chosen(self) -> int:
        """The number of the run whose answers are to be shown; 0: there is none."""
        latest = [number for number, job in self.ended.items() if job.run and job.run.weights is not None]
        return self.which.value or next(reversed(latest or self.ended), 0)

    def refresh(self) -> None:
        """Ask for what is to be seen now, if that is not what was asked for last; else only its width is new."""
        if self._showing:
            return
        number = self.chosen if self.fold.value else 0
        job = self.ended[number] if number else None
        asked = job and job.number
        if asked == self._asked:
            self._fit()
            return
        self._asked, self.answer = asked, None  # pictures stay until there are others
        self.slices.cancel()
        if job is None:
            self._show_nothing()
            return
        assert job.run is not None
        self.said.value = detail(f"Asking run {number} ...")
        self.slices.begin(partial(self._look, job.number, number, job.run))

    def close(self) -> None:
        """Ask for nothing any more."""
        self._asked = None
        self.slices.cancel()

    # -- in the worker thread -------------------------------------------------------------------------------

    def _look(self, job: int, number: int, run: Run) -> Iterator[object]:
        self._looking = job
        for found in predicting(run, device=self.device):
            yield
            if found is not None:
                self.post(("predictions", (job, answered(found, number, run))))

    def _broke(self, error: Exception) -> None:
        self.post(("predictions", (self._looking, in_short(error, self.device))))

    # -- what is shown; only the pump calls these ------------------------------------------------------------

    def hear(self, news: tuple[int | None, Answer | str]) -> None:
        """Take in what was found; what belongs to an older question is dropped. Words: why there is nothing."""
        job, found = news
        if job != self._asked or job is None:
            return
        self.answer = found if isinstance(found, Answer) else None
        self.said.value = detail(found.said) if isinstance(found, Answer) else message(found)
        self._draw()

    def _show_nothing(self) -> None:
        self.answer = None
        self.said.value = f'<div class="lab-detail">{NOTHING}</div>'
        self.tools.layout.display = None if self.ended else "none"
        self._draw()

    def _draw(self) -> None:
        self.tools.layout.display = None if self.ended else "none"
        self._each = width_of(self.width)
        made = self.answer.pictures(self._each) if self.answer else {}
        for place, card in self.cards.items():
            card.show(made.get(place))
        self._redraw()

    def _fit(self) -> None:
        if self.answer and width_of(self.width) != self._each:
            self._draw()

    def _redraw(self) -> None:
        for card in self.cards.values():
            card.draw(dark=self.dark, width=self._each)

    def set_theme(self, *, dark: bool) -> None:
        self.dark = dark
        self._redraw()

    def set_width(self, pixels: int) -> None:
        """From the next `show` on, which comes after the last of many."""
        self.width = pixels


def answered(found: Predictions, number: int, run: Run) -> Answer:
    """All that is shown of a run; words alone where its answers mean nothing."""
    objective = found.session.objective
    if learns_no_classes(run.recipe.objective):
        raise RunError(f"Run {number} has learned no classes. {NO_CLASSES}.")
    if not found.logits.isfinite().all():
        raise RunError(NO_NUMBERS.format(number, run.status))
    worst = found.worst_mistakes(MOST_MISTAKES)
    said = [
        f"Run {number}: {moment(run)} {sentence(found)}",
        "" if objective.uses_labels else f"{FITTED}.",
        "" if worst else ALL_RIGHT,
    ]
    figures = {
        "confusion": confusion(found),
        "classes": class_accuracy(found, most=MOST_CLASSES),
        "reliability": reliability(found, compact=True),
    }
    return Answer(" ".join(filter(None, said)), figures, worst)


def in_place(worst: Sequence[Mistake], width: int) -> go.Figure:
    """As it is as wide and high as its images need, they are square without Plotly, which keeps room from before."""
    made = hardest(worst, "Hardest mistakes", columns=max(1, width // TILE), across=width)
    return made.update_yaxes(scaleanchor=False)


def moment(run: Run) -> str:
    """Of which weights the answers are: the best epoch, which the table of runs shows, may be another."""
    epochs = run.history.epochs
    return "after the last epoch" if epochs and epochs[-1].step == run.step else f"after step {run.step:,}"


def sentence(found: Predictions) -> str:
    images, sure = counted(len(found.labels), "validation image"), float(found.confidence.double().mean())
    domain = " of the target" if found.session.data.shift else ""
    return f"{found.accuracy:.1%} of {images}{domain} right, and {sure:.1%} sure on average."


def in_words(picture: go.Figure) -> str:
    """A figure's title and subtitle as a line of HTML, which they are but for their line breaks."""
    title: Any = picture.layout.title  # pyright: ignore[reportAttributeAccessIssue]
    return f"<b>{title.text}</b> {title.subtitle.text or ''}".replace("<br>", " ")


def width_of(width: int) -> int:
    """Pixels of a picture where the results are so wide, in steps."""
    room = width or 900
    return min(WIDEST, (room - GAP) // 2 if room >= SIDE_BY_SIDE else room) // STEP * STEP


def detail(text: str) -> str:
    return f'<div class="lab-detail" role="status">{escape(text)}</div>'
