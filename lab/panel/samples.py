"""Augmented samples: the raw images beside those of one to four lists of augmentations, with the same random draws.

The lists are that of the controls, those of a comparison's arms, and those that a person keeps. The grids follow the
controls; the worker thread computes them, as an errand between two steps of what trains.
"""

from __future__ import annotations

from functools import partial
from html import escape
from pathlib import Path
from typing import ClassVar, NamedTuple

import ipywidgets as widgets

from lab.augmentations import learners
from lab.catalogue import Choice
from lab.panel.comparing import Arms
from lab.panel.controls import wide
from lab.panel.helper import Helper
from lab.panel.sides import Answer, Painter, Question, Side, SideView, per_row
from lab.panel.toolbar import Look, button, row, toggle
from lab.panel.words import message
from lab.panel.worker import Post, errand, forget, in_short
from lab.recipe import Recipe
from lab.sample_grids import MOST_POLICIES, Policy

LOOKS = {
    "samples-roll": Look("Re-roll", "random", "Other images and other random draws; of a pinned image other draws"),
    "samples-keep": Look("Keep", "bookmark", "Keep these augmentations as a side of their own, to compare with"),
    "samples-drop": Look("Drop kept", "times", "Take the sides away that were kept"),
    "samples-export": Look("Export PNG", "download", "Write all sides to a file beside the notebook"),
}
PIN = Look("Pin", "thumb-tack", "Fill the sides with draws of one image; or click on the image")
STAGES = Look("Stages", "film", "One image through each stage of the list")
COUNTS = (4, 9, 16, 25, 36, 64)
NOTHING = "No augmentations: add some on the left, and see here what they do to the images."
TITLE = "Augmented samples"
LESSON_PAUSE = 0.8  # seconds without a change before something learns
GAP = 14  # pixels between two sides, and some to spare


class Kept(NamedTuple):
    """A list of augmentations that stays beside the one of the controls."""

    title: str
    policy: Policy


class Clicked(NamedTuple):
    """On a side, at these fractions of its width and height; the how-manieth click it is."""

    x: float
    y: float
    number: int


class Written(NamedTuple):
    """Where the file is, or why there is none."""

    said: str


class Samples:
    """A section of the panel that can be folded; folded, or without augmentations, it asks for nothing.

    Args:
        arms: of the comparison; it tells when they change.
        helper: tells of clicks on the pictures, and names them.
        post: reaches the pump, which hands `("samples", news)` to `hear`.
    """

    unfolded: ClassVar[bool] = True  # as a person left it, for the next panel too

    def __init__(self, arms: Arms, helper: Helper, post: Post) -> None:
        self.arms, self.helper, self.post, self.dark, self.width = arms, helper, post, False, 0
        self.recipe: Recipe | None = None
        self.kept: list[Kept] = []
        self.seed = 0
        self.pinned: int | None = None
        self.answer: Answer | None = None
        self._number = self._heard = 0  # of the last request, and of the last that was answered
        self._asked: Question | None = None
        self._painter = Painter()
        self._build()
        arms.listeners.append(self.refresh)
        helper.observe(lambda change: post(("samples", Clicked(*change["new"]))), "clicked")

    def _build(self) -> None:
        self.fold = widgets.ToggleButton(value=self.unfolded, description=TITLE, layout=widgets.Layout(width="auto"))
        self.fold.add_class("lab-fold")
        self.fold.observe(lambda _: self._fold(), "value")
        self.note, self.problem = widgets.HTML(layout=wide()), widgets.HTML(layout=wide())
        self.views = [SideView(number) for number in range(MOST_POLICIES + 1)]
        sides = widgets.HBox([view.widget for view in self.views], layout=wide())
        sides.add_class("lab-sides")
        self.pictures = widgets.VBox([self._controls(), self.note, self.problem, sides], layout=wide())
        self.empty = widgets.HTML(f'<div class="lab-detail">{NOTHING}</div>')
        self.body = widgets.VBox([self.empty, self.pictures], layout=wide())
        self.widget = widgets.VBox([self.fold, self.body], layout=wide())
        self.widget.add_class("lab-samples")
        self._show_fold()

    def _controls(self) -> widgets.Widget:
        actions = (self.roll, self.keep, self.drop, self.export)
        self.buttons = {
            name: button(name, look, action) for (name, look), action in zip(LOOKS.items(), actions, strict=True)
        }
        self.pin, self.stages = toggle("pin", PIN, self._pin), toggle("stages", STAGES, lambda _: self.refresh())
        narrow = {"layout": widgets.Layout(width="92px"), "style": {"description_width": "34px"}}
        self.count = widgets.Dropdown(options=COUNTS, value=16, description="tiles", **narrow)
        self.tile = widgets.BoundedIntText(1, min=1, max=COUNTS[-1], description="tile", **narrow)
        for control, css in ((self.count, "samples-count"), (self.tile, "samples-tile")):
            control.add_class(f"lab-{css}")
            control.observe(lambda _: self.refresh(), "value")
        roll, *others = self.buttons.values()
        return row("lab-toolbar", [roll, self.count, self.tile, self.pin, self.stages, *others])

    @property
    def titles(self) -> dict[str, str]:
        """Tooltips by CSS class; of the pictures, what they show."""
        own = {"lab-samples-count": "Images on each side", "lab-samples-tile": "The tile to pin, or to show in stages"}
        return own | {view.css: view.said for view in self.views if view.said}

    # -- what is asked for ----------------------------------------------------------------------------------

    def show(self, recipe: Recipe | None) -> None:
        """Of another recipe from now on; None: the controls show none that is valid."""
        if recipe is not None and self.recipe is not None and data_of(recipe) != data_of(self.recipe):
            self._unpin()
        self.recipe = recipe
        self.refresh()

    def refresh(self) -> None:
        """Ask for the sides as they should be now; what was asked for before is not answered any more."""
        sides = self.sides
        self.empty.layout.display = "none" if sides else None
        self.pictures.layout.display = None if sides else "none"
        question = self._question(sides) if self.recipe is not None and sides and self.fold.value else None
        if question != self._asked:
            self._asked = question
            self._number += 1
            forget("samples")
            if question is not None:
                pause = LESSON_PAUSE if learns(question) else 0.0
                errand("samples", partial(self._look, self._number, question), after=pause)

    def _question(self, sides: list[Side]) -> Question:
        assert self.recipe
        count, room = int(self.count.value or 1), self._room(len(sides) + 1)
        stages = bool(self.stages.value), self._place(count) if self.stages.value else 0
        asked = Question(data_of(self.recipe), tuple(sides), self.seed, count, self.pinned, stages, self.dark, room)
        return asked._replace(lesson_seed=self.recipe.seed) if learns(asked) else asked

    @property
    def sides(self) -> list[Side]:
        """The list of the controls, those of the arms that train on the same data, those kept; equal ones are one."""
        if self.recipe is None:
            return []
        recipes = {name: recipe for name, recipe in self.arms.named.items() if data_of(recipe) == data_of(self.recipe)}
        found: dict[Policy, list[str]] = {self.recipe.augment: ["controls"]}
        for title, policy in [*((name, recipe.augment) for name, recipe in recipes.items()), *self.kept]:
            found.setdefault(policy, []).append(title)
        self.buttons["samples-keep"].disabled = len(found) >= MOST_POLICIES
        self.buttons["samples-drop"].disabled = not self.kept
        if list(found) == [()]:
            return []
        self.note.value = too_many(len(found) - MOST_POLICIES)
        return [Side(", ".join(titles), policy) for policy, titles in found.items()][:MOST_POLICIES]

    def _room(self, sides: int) -> int:
        """Pixels for each of so many sides."""
        width = self.width or 1000
        return max(160, width // per_row(sides, width) - GAP)

    def _look(self, number: int, question: Question) -> None:
        """In the worker thread."""
        if number == self._number:
            try:
                answer = self._painter.answer(question)
            except Exception as error:  # noqa: BLE001  # shown in words, whatever it is
                answer = in_short(error, None)
            self.post(("samples", (number, answer)))

    # -- what a person does ---------------------------------------------------------------------------------

    def roll(self) -> None:
        self.seed += 1
        self.refresh()

    def keep(self) -> None:
        """The list that the controls show stays as a side."""
        if self.recipe is not None:
            self.kept.append(Kept(f"kept {len(self.kept) + 1}", self.recipe.augment))
            self.refresh()

    def drop(self) -> None:
        self.kept.clear()
        self.refresh()

    def click(self, place: Clicked) -> None:
        """Pin the image there, or let the pinned one go."""
        if self.answer is not None and not self.pin.value:
            self.tile.value = 1 + min(self.answer.at(place.x, place.y), self.answer.shown - 1)
        self.pin.value = not self.pin.value

    def _pin(self, pin: bool) -> None:
        self.pinned = self.answer.index[self._place(self.answer.shown)] if pin and self.answer else None
        self.refresh()

    def _place(self, shown: int) -> int:
        """Of the chosen tile among so many, from 0."""
        return min(int(self.tile.value or 1), shown) - 1

    def _unpin(self) -> None:
        self.pinned, self.answer = None, None
        self.pin.value = False

    def export(self) -> None:
        if self.answer is not None:
            errand("samples to a file", partial(self._write, self.answer, self.dark))

    def _write(self, answer: Answer, dark: bool) -> None:
        """In the worker thread."""
        try:
            said = answer.written(Path(), dark=dark)
        except OSError as error:
            said = f"Cannot write the picture: {error.strerror}."
        self.post(("samples", Written(said)))

    # -- what is shown; only the pump calls these ------------------------------------------------------------

    def hear(self, news: Clicked | Written | tuple[int, Answer | str]) -> None:
        """Take in what was found, or done; what belongs to an older request is dropped."""
        if isinstance(news, Clicked):
            self.click(news)
        elif isinstance(news, Written):
            self.note.value = f'<div class="lab-detail">{escape(news.said)}</div>'
        else:
            self._take(*news)

    def _take(self, number: int, found: Answer | str) -> None:
        if number == self._number:
            self._heard = number
            self.problem.value = message(found) if isinstance(found, str) else ""
            if isinstance(found, str):
                self._asked = self.answer = None  # to be asked again: data may appear
                self._hide()
            else:
                self.answer = found
                self._draw(found)

    def _hide(self) -> None:
        """The pictures are of other images than those that the message speaks of."""
        for view in self.views:
            view.draw(None)

    def _draw(self, answer: Answer) -> None:
        self.tile.max = answer.shown
        # Where three do not fit in a row, the two that are to be compared stand in the first.
        raw_last = len(answer.pictures) == 3 and per_row(3, self.width or 1000) < 3
        self.views[0].widget.layout.order = "1" if raw_last else "0"
        for view, picture in zip(self.views, [*answer.pictures, *[None] * len(self.views)], strict=False):
            view.draw(picture)
        self.helper.titles = self.helper.titles | self.titles

    def set_theme(self, *, dark: bool) -> None:
        self.dark = dark
        self.refresh()

    def set_width(self, pixels: int) -> None:
        self.width = pixels
        self.refresh()

    def _fold(self) -> None:
        Samples.unfolded = bool(self.fold.value)
        self._show_fold()
        self.refresh()

    def _show_fold(self) -> None:
        self.fold.icon = "caret-down" if self.fold.value else "caret-right"
        self.fold.tooltip = "Fold" if self.fold.value else "What the augmentations do to the images"
        self.body.layout.display = None if self.fold.value else "none"

    def close(self) -> None:
        """Ask for nothing any more."""
        self._number += 1
        forget("samples")


def data_of(recipe: Recipe) -> tuple[Choice, tuple[Choice, ...]]:
    return recipe.data, recipe.modify


def learns(question: Question) -> bool:
    """Whether an augmentation has to learn before there is anything to see, which may take seconds."""
    return any(choice.name in learners for side in question.sides for choice in side.policy)


def too_many(count: int) -> str:
    if count <= 0:
        return ""
    lists = "1 more list is" if count == 1 else f"{count} more lists are"
    return f'<div class="lab-detail">{lists} not shown: four stand side by side.</div>'
