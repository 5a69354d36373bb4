"""The panel's choice: a person's folder of images, what choosing costs, the contest as it goes, what to take home."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from lab.catalogue import RecipeError
from lab.choosing import WAYS, Asked, Contest, Taken, Wishes, ask, concluded, take_home
from lab.choosing.asked import CARD, SCRIPT, WEIGHTS
from lab.choosing.card import HEADS, row_of
from lab.choosing.concluding import notes
from lab.choosing.given import LITE
from lab.choosing.pricing import runs_each
from lab.choosing.telling import Command
from lab.choosing.ways import chosen_ways
from lab.panel.about import redraw
from lab.panel.comparing import newest
from lab.panel.controls import wide
from lab.panel.live_figure import LiveFigure
from lab.panel.toolbar import Look, button, row
from lab.panel.words import bullets, heading, html_table, message
from lab.panel.worker import Post, Task, in_words
from lab.reading import parse_overrides

BUTTONS = {
    "choose-price": Look("What will it take?", "clock-o", "Read the images and measure a moment of each way"),
    "choose-start": Look("Choose", "balance-scale", "Compare the ways on these images, and take the winner home"),
}
FIELDS = {"path": "images", "out": "take home to"}  # what other wishes are called is what their fields are
LABEL = {"description_width": "88px"}
News = Asked | Contest | Taken | Exception | str


class Fields(Command):
    """How answers name wishes to who fills in the pane."""

    goes_on = "Choose goes on"

    def name(self, wish: str) -> str:
        return f"“{FIELDS.get(wish, wish)}”"

    def set(self, **wanted: object) -> str:
        return ", ".join(self._filled_in(wish, str(value)) for wish, value in wanted.items())

    def _filled_in(self, wish: str, value: str) -> str:
        return f"only {value.replace(',', ', ')} ticked" if wish == "ways" else f"{self.name(wish)} {value}"

    def again(self, **wanted: object) -> str:
        return f" {self.set(**wanted)}."


class ChoosingJob(Task):
    """A choice in the worker thread, told step by step: what it costs, the contest so far, what was taken home.

    Args:
        changes: to the recipe that all ways share; only_price: whether to stop before anything is trained.
    """

    def __init__(
        self, path: str, wishes: Wishes, changes: str, post: Post, device: str | None, *, only_price: bool
    ) -> None:
        super().__init__("choosing", post)
        self.path, self.wishes, self.changes, self.device = path, wishes, changes, device
        self.only_price = only_price

    def do(self) -> None:
        self.look_up()
        asked = ask(self.path, self.wishes, parse_overrides(self.changes.split()), device=self.device)
        self.post((self.name, asked))
        if not self.only_price:
            contest = self._held(asked)
            self.look_up()
            self.post((self.name, take_home(asked, contest, concluded(contest))))

    def _held(self, asked: Asked) -> Contest:
        contest = asked.contest()
        contest.told = lambda *_: self._keep_to_time(contest)
        for _ in contest:
            still = contest.snapshot()
            if still.judged("tuned"):
                still.verdicts("tuned")  # worked out here: it would hold up the main loop, which finds them ready
            self.post((self.name, still))
        return contest

    def _keep_to_time(self, contest: Contest) -> None:
        """A pause takes none of the seconds."""
        before = contest.clock()
        self.look_up()
        contest.deadline += contest.clock() - before
        contest.keep_to_time()


class ChoosePane:
    """Where the images are and what a person wishes, then what it costs, how it goes, and what to take home.

    Args:
        post, start: how to reach the pump, and how to have a job worked on.
    """

    def __init__(self, post: Post, start: Callable[[ChoosingJob], None], device: str | None) -> None:
        self._post, self._start, self.device = post, start, device
        self.job: ChoosingJob | None = None
        self.asked: Asked | None = None
        self.contest: Contest | None = None
        self.taken: Taken | None = None
        self.dark, self.width, self.figure = False, None, None
        self._build()
        self.refresh_button()

    def _build(self) -> None:
        self.path = text(
            FIELDS["path"], "my_images", "a folder that holds one folder of images per class, here or by its whole path"
        )
        self.source = widgets.Combobox(
            value=LITE, options=[LITE], ensure_option=False, description="source", layout=half(), style=LABEL
        )
        self.source.tooltip = (
            "EfficientNet-Lite0, the folder of a finished run, a file, or torchvision's weights by name"
        )
        self.changes = text("changes", "data.size=96 epochs=10", "to the recipe that all ways share")
        self.out = text(FIELDS["out"], "choices/my_images", "a folder; the same one goes on where it was left")
        self.seeds = widgets.BoundedIntText(
            Wishes().seeds, min=2, max=1000, description="seeds", layout=small(), style=LABEL
        )
        self.seconds = widgets.BoundedFloatText(
            Wishes().seconds, min=1, max=1e7, description="seconds", layout=small(), style=LABEL
        )
        self.ways = {name: way(name) for name in WAYS}
        self.buttons = {name: button(name, look, self._action(name)) for name, look in BUTTONS.items()}
        self.buttons["choose-start"].button_style = "primary"
        self.cost, self.problem, self.result = (widgets.HTML(layout=wide()) for _ in range(3))
        self.frame = widgets.VBox(layout=hidden())
        title = widgets.HTML(heading("Choose for my images"))
        wishes = row("lab-toolbar", [self.seeds, self.seconds, *self.buttons.values()])
        fields = [self.path, self.source, self.changes, self.out, row("lab-toolbar", list(self.ways.values()))]
        parts = [title, *fields, wishes, self.cost, self.problem, self.frame, self.result]
        self.widget = widgets.VBox(parts, layout=hidden())
        self.widget.add_class("lab-choose-pane")

    def _action(self, name: str) -> Callable[[], None]:
        return lambda: self._guarded(only_price=name == "choose-price")

    def _guarded(self, *, only_price: bool) -> None:
        try:
            self.problem.value = ""
            self.start(only_price=only_price)
        except Exception as error:  # noqa: BLE001  # shown in words, whatever it is
            self.problem.value = message(in_words(error))

    @property
    def wishes(self) -> Wishes:
        """What the controls say. Raises RecipeError: fewer than two ways."""
        names = chosen_ways(",".join(name for name, box in self.ways.items() if box.value))
        out = Path(self.out.value.strip()) if self.out.value.strip() else None
        return Wishes(self.seeds.value, names, self.seconds.value, self.source.value.strip(), out, Fields())

    @property
    def busy(self) -> bool:
        return self.job is not None and not self.job.done.is_set()

    def start(self, *, only_price: bool = False) -> None:
        """Say what it takes; and, unless only that is wanted, choose.

        Raises:
            RecipeError: no folder was named, or fewer than two ways.
        """
        if not self.path.value.strip():
            raise RecipeError("Name the folder of your images first: one that holds a folder for each class.")
        given = self.path.value.strip(), self.wishes, self.changes.value
        self.cost.value, self.result.value = detail("Reading the images and measuring ..."), ""
        self.contest = self.taken = None
        self.job = ChoosingJob(*given, self._post, self.device, only_price=only_price)
        self._start(self.job)
        self.refresh_button()

    def refresh_button(self) -> None:
        for made in self.buttons.values():
            made.disabled = self.busy

    def show(self, *, visible: bool) -> None:
        self.widget.layout.display = None if visible else "none"

    def hear(self, news: News) -> None:
        """Only the pump calls this."""
        if isinstance(news, Asked):
            self.asked, self.cost.value = news, detail(news.sentence())
        elif isinstance(news, Contest):
            self.contest = news
            self.result.value = detail(self._how_far(news))
            self._draw()
        elif isinstance(news, Taken):
            self.taken = news
            self.result.value = taken_in_html(news, notes(self.contest) if self.contest else [])
        elif isinstance(news, Exception):
            self.problem.value, self.cost.value = message(in_words(news)), ""
        elif news == "stopped":
            self.result.value = detail("Stopped; Choose goes on where it was left.")

    def _how_far(self, contest: Contest) -> str:
        assert self.asked is not None
        planned = len(self.asked.plan.arms) * runs_each(self.asked.plan)
        return f"Run {len(contest.trials)} of about {max(planned, len(contest.trials))}."

    def _draw(self) -> None:
        if self.contest is None or not self.contest.trials:
            return
        if self.figure is None:
            self.figure: Any = LiveFigure()
            self.frame.children = [self.figure]
        self.frame.layout.display = None
        redraw(self.figure, newest(self.contest), dark=self.dark, width=self.width)

    def set_theme(self, *, dark: bool) -> None:
        self.dark = dark
        self._draw()

    def set_width(self, pixels: int) -> None:
        self.width = pixels
        if self.figure is not None:
            self.figure.layout.width = pixels


def taken_in_html(taken: Taken, known: Sequence[str]) -> str:
    """The sentence first, then the ways, what to keep in mind, and where it lies."""
    first, *others = taken.choice.sentences()
    rows = [row_of(each, mark="* " if each is taken.choice.winner else "") for each in taken.choice.standings]
    place = f"In {taken.folder}: {SCRIPT}, {WEIGHTS}, {CARD}; {taken.run.folder} is the run."
    parts = [f"<b>{escape(first)}</b>", html_table(HEADS, *rows), bullets([*others, *known, place])]
    return f'<div class="lab-verdicts" role="status">{"".join(parts)}</div>'


def text(name: str, placeholder: str, hint: str) -> widgets.Text:
    made = widgets.Text(description=name, placeholder=placeholder, layout=half(), style=LABEL)
    made.tooltip = hint
    return made


def way(name: str) -> widgets.Checkbox:
    made = widgets.Checkbox(True, description=name, indent=False, layout=widgets.Layout(width="auto"))
    made.tooltip = WAYS[name].words
    return made


def half() -> widgets.Layout:
    return widgets.Layout(width="100%", max_width="560px")


def small() -> widgets.Layout:
    return widgets.Layout(width="190px")


def hidden() -> widgets.Layout:
    return widgets.Layout(width="100%", display="none")


def detail(said: str) -> str:
    return f'<div class="lab-detail" role="status">{escape(said)}</div>'
