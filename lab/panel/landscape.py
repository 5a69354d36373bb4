"""Loss landscapes of the runs on the screen, side by side on one plane, live while they train.

Folded, which it is at first, nothing is computed. The worker thread finds them: see `surveyor`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import Any, ClassVar

import ipywidgets as widgets
import numpy as np

from lab.landscape import Portrait, Question
from lab.landscape.budgets import SHARE
from lab.landscape.scenes import Scene, share, trust_words
from lab.panel.controls import wide
from lab.panel.landscape_view import LandscapeView
from lab.panel.surveyor import News, Surveyor
from lab.panel.toolbar import Look, row, toggle
from lab.panel.worker import Job, Post
from lab.views import Lens

TITLE = "Loss landscapes"
HINT = "The loss around each run, and its path: while it trains, within a share of the time"
SOLID = Look("3-D", "cube", "Surfaces to turn, or contours seen from above", 66)
NOTHING = "No landscape yet: press <b>Train</b>. Of a run that ended while this was folded, only the end is known."
WAITS = "Looking around: the first points come soon."
NO_WEBGL = "This browser has no WebGL: contours only."
CHOICES = {  # name -> label, width in pixels, options, tooltip
    "plane": ("plane", 160, {"of the paths": "path", "random": "random"}, "Of what the paths vary in most, or random"),
    "split": ("split", 130, ("validation", "training"), "On which images the loss is measured"),
    "samples": ("images", 120, {"128": 128, "512": 512, "2048": 2048, "all": None}, "How many images, drawn once"),
    "batchnorm": ("norm", 118, ("stored", "batch"), "Batch normalisation with learned statistics, or each batch's own"),
    "size": ("size", 116, {f"{n} x {n}": n for n in (9, 17, 33, 65)}, "Points of a surface in the end"),
}


class Landscapes:
    """A section of the panel that can be unfolded.

    Args:
        post: reaches the pump, which hands `("landscape", news)` to `hear`.
    """

    unfolded: ClassVar[bool] = False  # as a person left it, for the next panel too

    def __init__(self, post: Post) -> None:
        self.post, self.dark, self.width, self.webgl = post, False, 0, True
        self.news = News((), None, rests=True)
        self._names: dict[int, tuple[int, str]] = {}  # by the job's number: the run's number and name
        self._kept: tuple[tuple[int, bool], ...] = ()
        self.surveyor, self.view = Surveyor(post), LandscapeView()
        self._build()
        self._switch()

    def _build(self) -> None:
        self.fold = widgets.ToggleButton(value=self.unfolded, description=TITLE, layout=widgets.Layout(width="auto"))
        self.fold.add_class("lab-fold")
        self.fold.observe(lambda _: self._switch(), "value")
        self.said, self.words = widgets.HTML(layout=wide()), widgets.HTML(layout=wide())
        self.body = widgets.VBox([self._controls(), self.said, self.view.frame, self.words], layout=wide())
        self.widget = widgets.VBox([self.fold, self.body], layout=wide())
        self.widget.add_class("lab-landscape")

    def _controls(self) -> widgets.Widget:
        asked = Question()
        values = {**vars(asked.lens), "plane": asked.plane, "size": asked.size}
        self.choices = {
            name: dropdown(name, label, width, options, values[name])
            for name, (label, width, options, _) in CHOICES.items()
        }
        self.share = widgets.BoundedIntText(
            round(100 * SHARE), min=1, max=25, description="time %", layout={"width": "104px"}
        )
        self.share.style.description_width = "46px"
        self.share.add_class("lab-landscape-share")
        self.solid = toggle("landscape-solid", SOLID, lambda _: self.draw())
        self.solid.value = True
        self.replay = widgets.IntSlider(100, 0, 100, description="path until", readout=False, layout={"width": "200px"})
        self.replay.add_class("lab-landscape-replay")
        for control in (*self.choices.values(), self.share):
            control.observe(lambda _: self._ask(), "value")
        self.replay.observe(lambda _: self.draw(), "value")
        return row("lab-toolbar", [*self.choices.values(), self.share, self.solid, self.replay])

    @property
    def titles(self) -> dict[str, str]:
        """Tooltips by CSS class."""
        own = {f"lab-landscape-{name}": hint for name, (_, _, _, hint) in CHOICES.items()}
        own["lab-landscape-share"] = "What following may take of the time of training, 1 to 25 in a hundred"
        return own | {"lab-landscape-replay": "How much of the path is drawn"}

    # -- what is asked for -----------------------------------------------------------------------------------------

    @property
    def question(self) -> Question:
        chosen: dict[str, Any] = {name: choice.value for name, choice in self.choices.items()}
        plane, size = chosen.pop("plane"), chosen.pop("size")
        return Question(plane, size, Lens(**chosen))

    def _ask(self) -> None:
        self.surveyor.ask(self.question, int(self.share.value) / 100)

    def _switch(self) -> None:
        on = Landscapes.unfolded = bool(self.fold.value)
        self.fold.icon = "caret-down" if on else "caret-right"
        self.fold.tooltip = "Fold, and compute nothing" if on else HINT
        self.body.layout.display = None if on else "none"
        self._ask()
        self.surveyor.switch(on=on)
        self._kept = ()
        self.post(("show", None))
        self.draw()

    def show(self, jobs: Mapping[int, Job], names: Mapping[int, str]) -> None:
        """Of these runs from now on, by their numbers."""
        self._names = {job.number: (number, names[number]) for number, job in jobs.items()}
        self._keep(tuple(jobs.values()))

    def _keep(self, jobs: Sequence[Job]) -> None:
        """Tell the surveyor where the runs on the screen, or whether they have ended, are not what it knows."""
        kept = tuple((job.number, job.done.is_set()) for job in jobs)
        if kept != self._kept:
            self._kept = kept
            self.surveyor.keep(jobs)

    def close(self) -> None:
        """Ask for nothing any more."""
        self.surveyor.switch(on=False)

    # -- what is shown; only the pump calls these ------------------------------------------------------------------

    def hear(self, news: News) -> None:
        self.news = news
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
        self.solid.disabled = not there
        self.draw()

    def draw(self) -> None:
        portraits = [each for each in self.news.portraits if each.number in self._names]
        seen = [each for each in portraits if each.surface is not None]
        self.view.frame.layout.display = self.words.layout.display = None if seen else "none"
        self.said.value = f'<div class="lab-detail">{self._state(portraits, seen)}</div>'
        if not seen or not self.fold.value:
            return
        scenes = [self._scene(each) for each in seen]
        planes = tuple((each.number, each.made_at, self.question) for each in seen)
        solid = bool(self.solid.value) and self.webgl
        self.view.show(scenes, planes, solid=solid, dark=self.dark, width=self.width or None)
        texts = [in_html(scene, each) for scene, each in zip(scenes, seen, strict=True)]
        self.words.value = f'<div class="lab-trust">{"".join(texts)}</div>'

    def _scene(self, portrait: Portrait) -> Scene:
        assert portrait.surface
        number, name = self._names[portrait.number]
        path = replace(portrait.path, number=number - 1)
        until = int(np.ceil(len(path.steps) * int(self.replay.value) / 100))
        return Scene(portrait.surface, (path.first(until),), name)

    def _state(self, portraits: Sequence[Portrait], seen: Sequence[Portrait]) -> str:
        if not portraits:
            return NOTHING
        took = self.news.taken
        parts = [
            *(escape(each.fault) for each in portraits if each.fault),
            "" if seen else WAITS,
            "" if took is None else f"took {share(took)} of the time of training",
            "" if self.webgl else NO_WEBGL,
            "scale made anew: the old one did not fit any more" if self.view.rescaled else "",
            "" if self.news.rests or not seen else "more points come while nothing trains",
        ]
        return " · ".join(filter(None, parts))


def dropdown(name: str, label: str, width: int, options: object, value: object) -> widgets.Dropdown:
    made = widgets.Dropdown(
        options=options,
        value=value,
        description=label,
        style={"description_width": "initial"},
        layout=widgets.Layout(width=f"{width}px"),
    )
    made.add_class(f"lab-landscape-{name}")
    return made


def in_html(scene: Scene, portrait: Portrait) -> str:
    """How far to trust a picture."""
    assert portrait.surface
    size = portrait.surface.grid.size
    kind = "interpolated" if portrait.surface.spline_error else "measured"
    parts = [
        f"{size} x {size} points, {kind}, through step {portrait.step:,}.",
        trust_words(scene),
        f"Plane made anew at step {portrait.made_at:,}: {portrait.why}." if portrait.why else "",
    ]
    return f"<p><b>{escape(scene.title)}</b> {escape(' '.join(filter(None, parts)))}</p>"
