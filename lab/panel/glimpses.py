"""What the networks saw and answered at each snapshot: first-layer filters, and a few validation images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any, NamedTuple

import ipywidgets as widgets
from torch import Tensor

from lab.landscape.scenes import marks_until
from lab.landscape_page import ACROSS, told
from lab.panel.controls import wide
from lab.panel.portraits import Names
from lab.panel.slices import Slices
from lab.panel.surveyor import Surveyor
from lab.panel.toolbar import Look, toggle
from lab.panel.words import message
from lab.panel.worker import Post, in_short

LOOK = Look("Filters", "eye", "What the first layer looks for and what is answered, at the snapshot of the slider")
WAITS = "Looking back at the snapshots ..."
WIDEST = 300  # pixels of the filters


class Seen(NamedTuple):
    """A run at each of its snapshots, as the offline page has it. width: of its filters in pixels; 0: it has none."""

    told: dict[str, Any]
    width: int


class Album(NamedTuple):
    """By the job's number. fault: why there is none."""

    runs: dict[int, Seen]
    fault: str = ""


class Glimpses:
    """A toggle, and a part for each run; off it asks for nothing.

    Args:
        names: gives the runs on the screen.
        post: reaches the pump, which hands `("landscape", Album)` to `hear`.
    """

    def __init__(self, surveyor: Surveyor, names: Callable[[], Names], post: Post) -> None:
        self.surveyor, self.names, self.post = surveyor, names, post
        self.album = Album({})
        self.step: int | None = None  # that is replayed
        self._asked: object = None
        self._newest: object = None
        self.slices = Slices("landscape glimpses", self._broke)
        self.toggle = toggle("landscape-glimpses", LOOK, lambda _: self.refresh(self._newest))
        self.pane = widgets.HTML(layout=wide())

    def refresh(self, newest: object) -> None:
        """Look anew where there are other snapshots; `newest` is equal while there are not."""
        self._newest = newest
        on = bool(self.toggle.value)
        if not on:
            self.cancel()
        elif newest != self._asked:
            self._asked, names = newest, dict(self.names())
            self.slices.begin(lambda: self._look(names), idle=True)
        self.pane.layout.display = None if on else "none"
        self.draw()

    def cancel(self) -> None:
        self._asked = None
        self.slices.cancel()

    # -- in the worker thread --------------------------------------------------------------------------------------

    def _look(self, names: Names) -> Iterator[object]:
        closer = self.surveyor.closer({job: name for job, (_, name) in names.items()})
        yield from closer.gather()
        seen: dict[int, Seen] = {}
        for job, run in closer.followed.items():
            seen[job] = Seen(told(run, names[job][0] - 1), width_of(run.glimpses[-1].filters))
            yield
        self.post(("landscape", Album(seen)))

    def _broke(self, error: Exception) -> None:
        self.post(("landscape", Album({}, in_short(error, None))))

    # -- what is shown; only the pump calls these ------------------------------------------------------------------

    def hear(self, album: Album) -> None:
        self.album = album
        self.draw()

    def replay(self, step: int | None) -> None:
        """Show each run as it was after so many steps; None: as it is."""
        self.step = step
        self.draw()

    def draw(self) -> None:
        names = self.names()
        shown = [seen for job, seen in self.album.runs.items() if job in names]
        if self.album.fault:
            self.pane.value = message(self.album.fault)
        elif self.toggle.value:
            waits = f'<div class="lab-detail">{WAITS}</div>' if names and not shown else ""
            self.pane.value = waits + "".join(in_html(seen, self.step) for seen in shown)


def width_of(filters: Tensor | None) -> int:
    """Pixels of the sheet of filters: a whole number for each weight, so that all are as large."""
    if filters is None:
        return 0
    across = min(len(filters), ACROSS) * (filters.size(3) + 1) - 1
    return across * max(1, WIDEST // across)


def in_html(seen: Seen, step: int | None) -> str:
    """A run at one snapshot: what its first layer looks for, and what it answers."""
    run = seen.told
    mark = marks_until(run["steps"], step) - 1
    filters = sheet(run["filters"][mark], seen.width) if seen.width else ""
    answers = "".join(map(answer, run["images"], run["said"][mark]))
    head = f"<div><b>{escape(run['name'])}</b> {escape(run['marks'][mark])}</div>"
    side = f'<div><p>Validation images: answer, probability</p><div class="lab-answers">{answers}</div></div>'
    row = f'<div class="lab-glimpse-row">{filters}{side}</div>'
    return f'<section class="lab-glimpse" style="border-color:{run["colour"]}">{head}{row}</section>'


def sheet(source: str, width: int) -> str:
    words = "First layer: grey is 0, one scale for the run"
    return f'<div><p>{words}</p><img src="{source}" width="{width}" alt="weights of the first layer as images"></div>'


def answer(source: str, said: Sequence[Any]) -> str:
    name, probability, right = said
    mark, kind = ("✓", "right") if right else ("✗", "wrong")
    image = f'<img src="{source}" alt="validation image">'
    return f'<figure>{image}<figcaption class="lab-{kind}">{mark} {escape(name)}<br>{probability}</figcaption></figure>'
