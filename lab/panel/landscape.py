"""Loss landscapes of the runs on the screen, side by side on one plane, live while they train.

Folded, which it is at first, nothing is computed; of small networks the paths are kept. The worker thread finds it all:
see `surveyor`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from html import escape
from typing import ClassVar

import ipywidgets as widgets

from lab.landscape import Portrait, Question
from lab.landscape.budgets import SHARE, Cost
from lab.landscape.live import MOST_RUNS
from lab.landscape.scenes import Scene
from lab.landscape_plots import MOST_SURFACES, places
from lab.panel.controls import greyed, wide
from lab.panel.curvature import Measured, Numbers
from lab.panel.edges import EdgeView
from lab.panel.glimpses import Album, Glimpses
from lab.panel.helper import Helper
from lab.panel.landscape_controls import NO_WEBGL, Asked, resting, titles
from lab.panel.landscape_saving import Saved, Saving
from lab.panel.landscape_view import Kind, LandscapeView, abreast
from lab.panel.portraits import all_in_html, cost_in_words, left_out, replayed, scenes_of
from lab.panel.replaying import Replay
from lab.panel.surveyor import News, Surveyor
from lab.panel.toolbar import Look, row, toggle
from lab.panel.worker import Job, Post

TITLE = "Loss landscapes"
HINT = "The loss around each run, and its path: while it trains, within a share of the time"
DETAILS = Look("details", "caret-right", "All that says how far to trust the pictures: planes, marks, points, images")
SOLID = Look("3-D", "cube", "Surfaces (drag turns, Ctrl and wheel zooms), or contours seen from above")
NOTHING = (
    "No landscape yet: press <b>Train</b>. Of a large network that trains while this is folded, only the end is known."
)
WAITS = "Looking around: the first points come soon."
LETTER = 8  # pixels of one in a title
FLAT = "contours while it trains: 3-D would hold this browser up for about {:.1f} s"


class Landscapes:
    """A section of the panel that can be unfolded.

    Args:
        helper: names the controls.
        post: reaches the pump, which hands `("landscape", news)` to `hear`.
    """

    unfolded: ClassVar[bool] = False  # as a person left it, for the next panel too

    def __init__(self, helper: Helper, post: Post) -> None:
        self.helper, self.post, self.dark, self.width, self.webgl = helper, post, False, 0, True
        self.news = News((), Cost(0.0, 0.0, SHARE), rests=True)
        self._names: dict[int, tuple[int, str]] = {}  # by the job's number: the run's number and name
        self._kept: Hashable = ()
        drawn = partial(post, ("drawn", None))
        self.surveyor, self.view = Surveyor(post), LandscapeView(drawn)
        self._late = False  # whether there is news that is not drawn yet
        self._flat = ""  # why there are contours in place of surfaces
        self.numbers = Numbers(self.surveyor, lambda: self._names, post)
        self.glimpses = Glimpses(self.surveyor, lambda: self._names, post)
        self.edges = EdgeView(self._switch_edge, drawn)
        self.saving = Saving(self.surveyor, lambda: (self._names, self.numbers.of_runs), post)
        self._build()
        self._switch()

    def _build(self) -> None:
        self.fold = widgets.ToggleButton(value=self.unfolded, description=TITLE, layout=widgets.Layout(width="auto"))
        self.fold.add_class("lab-fold")
        self.fold.observe(lambda _: self._switch(), "value")
        self.said, self.saved, self.words = (widgets.HTML(layout=wide()) for _ in range(3))
        self.asked = Asked(self._ask)
        self.details = toggle("landscape-details", DETAILS, lambda _: self._unfold_words())
        self.details.add_class("lab-fold")
        self.choices, self.seed, self.share = self.asked.choices, self.asked.seed, self.asked.share
        parts = [self.asked.widget, self._actions(), self.saved, self.said, self.view.frame, self.details, self.words]
        self._unfold_words()
        self.body = widgets.VBox([*parts, self.edges.pane, self.glimpses.pane, self.numbers.table], layout=wide())
        self.numbers.draw()
        self.widget = widgets.VBox([self.fold, self.body], layout=wide())
        self.widget.add_class("lab-landscape")

    def _actions(self) -> widgets.Widget:
        self.replay = Replay(self._replay)
        self.solid = toggle("landscape-solid", SOLID, lambda _: self.draw())
        self.solid.value = True
        buttons = [self.solid, self.edges.toggle, self.glimpses.toggle, self.numbers.button, self.saving.button]
        return row("lab-toolbar", [*buttons, self.replay.widget])

    @property
    def titles(self) -> dict[str, str]:
        """Tooltips by CSS class."""
        return titles(self._resting)

    # -- what is asked for -----------------------------------------------------------------------------------------

    @property
    def question(self) -> Question:
        return self.asked.question(edge=self.edges.on, replay=self.replay.step is not None)

    def _ask(self) -> None:
        self.surveyor.ask(self.question, int(self.asked.share.value) / 100)
        self._rest()

    def _switch_edge(self) -> None:
        self._ask()
        self.draw()

    def _switch(self) -> None:
        on = Landscapes.unfolded = bool(self.fold.value)
        self.fold.icon = "caret-down" if on else "caret-right"
        self.fold.tooltip = "Fold, and compute nothing" if on else HINT
        self.body.layout.display = None if on else "none"
        if on:  # whether there is something to look at, the surveyor will say
            self.news = self.news._replace(rests=False)
        self._ask()
        self.surveyor.switch(on=on)
        if not on:
            self._cease()
        self._kept = ()
        self.post(("show", None))
        self.draw()

    def _unfold_words(self) -> None:
        """All that is known of how far to trust the pictures, or a line for each."""
        on = bool(self.details.value)
        self.details.icon = "caret-down" if on else "caret-right"
        (self.words.remove_class if on else self.words.add_class)("lab-brief")

    def _cease(self) -> None:
        """Leave what was asked for beside the pictures."""
        for part in (self.numbers, self.glimpses, self.saving):
            part.cancel()

    def show(self, jobs: Mapping[int, Job], names: Mapping[int, str], deleted: Sequence[Job] = ()) -> None:
        """Of these runs from now on, by their numbers; the deleted ones may come back."""
        known, self._names = self._names, {job.number: (number, names[number]) for number, job in jobs.items()}
        if self._names != known:
            self._late = True  # what was heard of a run before it had a name is not in the picture
            self.catch_up()
        self._keep(tuple(jobs.values()), tuple(job.number for job in deleted))

    def _keep(self, jobs: Sequence[Job], away: Sequence[int]) -> None:
        """Tell the surveyor where the runs on the screen, or whether they have ended, are not what it knows."""
        kept = (*((job.number, job.done.is_set()) for job in jobs), away)
        if kept != self._kept:
            self._kept = kept
            self.surveyor.keep(jobs, away)
            self.numbers.draw()

    def close(self) -> None:
        """Ask for nothing any more."""
        self._cease()
        self.view.close()
        self.edges.close()
        self.surveyor.close()

    # -- what is shown; only the pump calls these ------------------------------------------------------------------

    def hear(self, news: News | Measured | Album | Saved) -> None:
        if isinstance(news, News):
            self.news, self._late = news, True
            self.catch_up()
        elif isinstance(news, Measured):
            self.numbers.hear(news)
        elif isinstance(news, Album):
            self.glimpses.hear(news)
        else:
            self.saved.value = f'<div class="lab-detail">{escape(news.said)}</div>'

    def catch_up(self) -> None:
        """Draw what is new, if the browser has drawn what was."""
        if self._late and self.view.ready:
            self.draw()

    def set_theme(self, *, dark: bool) -> None:
        self.dark = dark
        self.draw()

    def set_width(self, pixels: int) -> None:
        self.width = pixels
        self.draw()

    def set_webgl(self, *, there: bool) -> None:
        """Whether the browser can draw in 3-D."""
        self.webgl = there
        self.draw()

    def _replay(self) -> None:
        self.glimpses.replay(self.replay.step)
        self._ask()
        self._late = True  # of a slider that is dragged the browser draws what it can
        self.catch_up()

    @property
    def portraits(self) -> list[Portrait]:
        """Of the runs on the screen."""
        return [each for each in self.news.portraits if each.number in self._names]

    def draw(self) -> None:
        self._late = False
        seen = [each for each in self.portraits if each.surface is not None]
        self.replay.extend(max((int(each.path.steps[-1]) for each in seen), default=0))
        if not seen:
            self._hide(hidden=True)
        self.saving.button.disabled = not seen
        self._rest()
        if self.fold.value and self.news.rests:
            self.glimpses.refresh(tuple((each.number, how(each), *each.path.steps.tolist()) for each in seen))
        if self.fold.value:
            self._show_edges()
        if self.fold.value and seen:
            self._show(seen)
        if seen:
            self._hide(hidden=False)  # only now: what was prepared is no picture of anything
        else:
            self._wait_for_one()
        self.said.value = f'<div class="lab-detail">{self._state(seen)}</div>'

    def _hide(self, *, hidden: bool) -> None:
        for part in (self.view.frame, self.words, self.details):
            part.layout.display = "none" if hidden else None

    def _wait_for_one(self) -> None:
        """Nothing is shown; in a browser that draws in 3-D what comes first may be made by now."""
        self.view.forget()
        if self.fold.value and self.solid.value and self.webgl and self.width and self.question.plane != "line":
            self.view.prepare(dark=self.dark, width=self.width)

    def _show_edges(self) -> None:
        known = {job: path for job, path in self.news.edges.items() if job in self._names}
        named = [(path, *self._names[job]) for job, path in known.items()]
        paths = [replace(path, name=name, number=number - 1) for path, number, name in named]
        self.edges.show(paths, dark=self.dark, width=self.width or None)

    def _show(self, seen: Sequence[Portrait]) -> None:
        step = self.replay.step
        scenes = scenes_of(seen, self._names, step)
        now = scenes if step is None else scenes_of(seen, self._names, None)  # decides the scale, which a replay keeps
        planes = tuple((each.number, each.made_at, self.question.pictures) for each in seen)
        kind = self._kind(scenes)
        letters = (self.width or 900) // places(len(scenes), abreast(self.width))[1] // LETTER
        titled = [replace(scene, title=cut(scene.title, letters)) for scene in scenes]
        self.view.show(titled, planes, deciding=now, kind=kind, dark=self.dark, width=self.width or None)
        assert self.view.scale
        texts = all_in_html(scenes, seen, self._names, self.view.scale, step)
        self.words.value = f'<div class="lab-trust">{texts}</div>'

    def _kind(self, scenes: Sequence[Scene]) -> Kind:
        self._flat = ""
        if scenes[0].surface.grid.line:
            return "line"
        if not (self.solid.value and self.webgl and len(scenes) <= MOST_SURFACES):
            return "contour"
        if any(each.moving for each in self.portraits) and self.view.holds_up(len(scenes)):
            self._flat = FLAT.format(self.view.seconds(len(scenes)))
        return "contour" if self._flat else "solid"

    def _rest(self) -> None:
        """Grey out what has no effect, and say why."""
        resting = self._resting
        self.asked.rest(resting)
        self.replay.rest(resting="replay" in resting)
        self.solid.disabled = "solid" in resting
        for name, control in {"replay": self.replay.slider, "solid": self.solid}.items():
            greyed(control, grey=name in resting)
        self.helper.titles = self.helper.titles | titles(resting)

    @property
    def _resting(self) -> dict[str, str]:
        return resting(self.question, self.portraits, webgl=self.webgl)

    def _state(self, seen: Sequence[Portrait]) -> str:
        if self.news.missing and self._names:
            return escape(self.news.missing)
        if not self.portraits:
            return " · ".join(self._left_out) or (WAITS if self._names and self._looks else NOTHING)
        parts = [
            *self._left_out,
            *(escape(each.fault) for each in self.portraits if each.fault),
            "" if seen else WAITS,
            cost_in_words(self.news.cost, going=any(each.moving for each in self.portraits)),
            memory_in_words(self.news) if seen else "",
            self._flat if self.webgl else NO_WEBGL,
            "" if self.question.plane == "line" else replayed(seen, self.replay.step),
            ""
            if len(self._names) <= MOST_RUNS
            else f"of {len(self._names)} runs {MOST_RUNS} are followed: those that train, then the last",
            self.view.rescaled and f"scale made anew: {self.view.rescaled}",
            "" if self.news.rests or not seen else "more points come while nothing trains",
        ]
        return " · ".join(filter(None, parts))

    @property
    def _looks(self) -> bool:
        """Whether a first picture may still come: a path that is too short may go on."""
        return not self.news.rests or any(not why for why in self.news.unplaced.values())

    @property
    def _left_out(self) -> list[str]:
        """Runs that are on no plane, in HTML."""
        names = {number: name for number, (_, name) in self._names.items()}
        lost = [left_out(names[number], how) for number, how in self.news.lost.items() if number in names]
        unplaced = [f"{names[number]}: {why}" for number, why in self.news.unplaced.items() if why and number in names]
        return [f"<b>{escape(each)}</b>" for each in (*lost, *unplaced)]


def how(portrait: Portrait) -> Hashable:
    """On which images and in which mode a run is measured; of one that has a surface."""
    assert portrait.surface
    return replace(portrait.surface.measured, noise=None)


def memory_in_words(news: News) -> str:
    """What stays, and what is let go when the section is folded."""
    return (
        f"keeps {news.bytes / 1e6:.1f} MB of snapshots and surfaces, and {news.held / 1e6:.1f} MB to measure more with"
    )


def cut(text: str, letters: int) -> str:
    """Titles of narrow pictures would run into each other."""
    return text if len(text) <= letters else f"{text[: letters - 1].rstrip()}…"
