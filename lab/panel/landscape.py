"""Loss landscapes of the runs on the screen, side by side on one plane, live while they train.

Folded, which it is at first, nothing is computed. The worker thread finds them: see `surveyor`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from html import escape
from typing import Any, ClassVar

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
from lab.panel.landscape_saving import Saved, Saving
from lab.panel.landscape_view import Kind, LandscapeView
from lab.panel.portraits import cost_in_words, in_html, replayed, scenes_of, through_ends
from lab.panel.surveyor import News, Surveyor
from lab.panel.toolbar import Look, row, toggle
from lab.panel.worker import Job, Post
from lab.views import ENOUGH, Lens

TITLE = "Loss landscapes"
HINT = "The loss around each run, and its path: while it trains, within a share of the time"
SOLID = Look("3-D", "cube", "Surfaces to turn, or contours seen from above")
NOTHING = "No landscape yet: press <b>Train</b>. Of a run that ended while this was folded, only the end is known."
WAITS = "Looking around: the first points come soon."
LETTER = 10  # pixels of one in a title
FLAT = "contours while it trains: 3-D would hold this browser up for about {:.1f} s"
NO_WEBGL = "This browser has no WebGL: contours only."
PLANES = {
    "of the paths": "path",
    "random": "random",
    "sharpest (Hessian)": "hessian",
    "line of two runs": "line",
    "three points": "points",
}
AS_NEEDED = 0  # as a number of images
CHOICES = {  # name -> label, width in pixels, options, tooltip
    "plane": (
        "plane",
        200,
        PLANES,
        "What the paths vary in most, random, where the loss bends most, a line, or the plane through three points: "
        "the ends of three runs, or the first, middle and last snapshot of one",
    ),
    "split": ("split", 130, ("validation", "training"), "On which images the loss is measured"),
    "samples": (
        "images",
        130,
        {"enough": AS_NEEDED, "128": 128, "512": 512, "2048": 2048, "all": None},
        f"How many images, drawn once; enough: as many as noise below half a level needs, {Lens().samples:,} at most",
    ),
    "batchnorm": ("norm", 118, ("stored", "batch"), "Batch normalisation with learned statistics, or each batch's own"),
    "size": ("size", 116, {f"{n} x {n}": n for n in (9, 17, 33, 65)}, "Points of a surface in the end"),
    "normalisation": (
        "scaled by",
        136,
        ("filter", "layer", "none"),
        "Random directions: each filter, each layer or only the whole as long as in the weights",
    ),
    "precision": (
        "precision",
        162,
        ("float32", "bfloat16", "float64"),
        "Arithmetic of the surfaces; bfloat16 is mixed, and says what it is off by",
    ),
}
SEED = "Of the draws: random directions, and which images"
REPLAY = "Replays the runs: how much of each path is drawn, and which snapshot Filters shows"
NO_DIRECTIONS = "Has no effect: no directions are random here"
NO_DRAWS = "Has no effect: all images are taken, and no directions are random"
NO_BATCHNORM = "Has no effect: no network here has batch normalisation"
TOO_MANY = f"Has no effect: up to {MOST_SURFACES} landscapes are drawn in 3-D, more as contours"
NO_SURFACE = "Has no effect: a line has no surface"
NO_REPLAY = "Has no effect: the plane goes through the ends of runs, which no replay moves"


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
        self._kept: tuple[tuple[int, bool], ...] = ()
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
        parts = [self._controls(), self._actions(), self.saved, self.said, self.view.frame, self.words]
        self.body = widgets.VBox([*parts, self.edges.pane, self.glimpses.pane, self.numbers.table], layout=wide())
        self.numbers.draw()
        self.widget = widgets.VBox([self.fold, self.body], layout=wide())
        self.widget.add_class("lab-landscape")

    def _controls(self) -> widgets.Widget:
        asked = Question()
        values = {**vars(asked.lens), **asked._asdict(), "samples": AS_NEEDED}
        self.choices = {
            name: dropdown(name, label, width, options, values[name])
            for name, (label, width, options, _) in CHOICES.items()
        }
        self.seed = whole("seed", "seed", asked.lens.seed, (0, 9999), 96)
        self.share = whole("share", "time %", round(100 * SHARE), (1, 25), 104)
        for control in (*self.choices.values(), self.seed, self.share):
            control.observe(lambda _: self._ask(), "value")
        return row("lab-toolbar", [*self.choices.values(), self.seed, self.share])

    def _actions(self) -> widgets.Widget:
        self.replay = widgets.IntSlider(100, 0, 100, description="replay", readout=False, layout={"width": "220px"})
        self.replay.style.description_width = "initial"
        self.replay.add_class("lab-landscape-replay")
        self.replay.observe(lambda _: self._replay(), "value")
        self.solid = toggle("landscape-solid", SOLID, lambda _: self.draw())
        self.solid.value = True
        buttons = [self.solid, self.edges.toggle, self.glimpses.toggle, self.numbers.button, self.saving.button]
        return row("lab-toolbar", [*buttons, self.replay])

    @property
    def titles(self) -> dict[str, str]:
        """Tooltips by CSS class."""
        own = {name: hint for name, (_, _, _, hint) in CHOICES.items()} | {"seed": SEED, "replay": REPLAY}
        own["share"] = "What following may take of the time of training, 1 to 25 in a hundred"
        return {f"lab-landscape-{name}": hint for name, hint in {**own, **self._resting}.items()}

    # -- what is asked for -----------------------------------------------------------------------------------------

    @property
    def question(self) -> Question:
        chosen: dict[str, Any] = {name: choice.value for name, choice in self.choices.items()}
        own = {name: chosen.pop(name) for name in ("plane", "size", "normalisation", "precision")}
        as_needed = chosen["samples"] == AS_NEEDED
        chosen |= {"samples": Lens().samples} if as_needed else {}
        lens = Lens(**chosen, seed=int(self.seed.value))
        enough = ENOUGH if as_needed else 0.0
        return Question(lens=lens, enough=enough, edge=self.edges.on, replay=self.part < 1, **own)

    def _ask(self) -> None:
        self.surveyor.ask(self.question, int(self.share.value) / 100)
        self._rest()

    def _switch_edge(self) -> None:
        self._ask()
        self.draw()

    def _switch(self) -> None:
        on = Landscapes.unfolded = bool(self.fold.value)
        self.fold.icon = "caret-down" if on else "caret-right"
        self.fold.tooltip = "Fold, and compute nothing" if on else HINT
        self.body.layout.display = None if on else "none"
        self._ask()
        self.surveyor.switch(on=on)
        if not on:
            self._cease()
        self._kept = ()
        self.post(("show", None))
        self.draw()

    def _cease(self) -> None:
        """Leave what was asked for beside the pictures."""
        for part in (self.numbers, self.glimpses):
            part.cancel()

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
            self.numbers.draw()

    def close(self) -> None:
        """Ask for nothing any more."""
        self._cease()
        self.view.close()
        self.edges.close()
        self.surveyor.switch(on=False)

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
        self.glimpses.replay(self.part)
        self._ask()
        self._late = True  # of a slider that is dragged the browser draws what it can
        self.catch_up()

    @property
    def part(self) -> float:
        """Of each path that is drawn."""
        return int(self.replay.value) / 100

    @property
    def portraits(self) -> list[Portrait]:
        """Of the runs on the screen."""
        return [each for each in self.news.portraits if each.number in self._names]

    def draw(self) -> None:
        self._late = False
        seen = [each for each in self.portraits if each.surface is not None]
        self.view.frame.layout.display = self.words.layout.display = None if seen else "none"
        self.saving.button.disabled = not seen
        self._rest()
        if self.fold.value and self.news.rests:
            self.glimpses.refresh(tuple((each.number, *each.path.steps.tolist()) for each in seen))
        if self.fold.value:
            self._show_edges()
        if self.fold.value and seen:
            self._show(seen)
        self.said.value = f'<div class="lab-detail">{self._state(seen)}</div>'

    def _show_edges(self) -> None:
        known = {job: path for job, path in self.news.edges.items() if job in self._names}
        named = [(path, *self._names[job]) for job, path in known.items()]
        paths = [replace(path, name=name, number=number - 1) for path, number, name in named]
        self.edges.show(paths, dark=self.dark, width=self.width or None)

    def _show(self, seen: Sequence[Portrait]) -> None:
        scenes = scenes_of(seen, self._names, self.part)
        now = scenes_of(seen, self._names, 1.0) if self.part < 1 else scenes  # decides the scale, which a replay keeps
        planes = tuple((each.number, each.made_at, self.question.pictures) for each in seen)
        kind = self._kind(scenes)
        letters = (self.width or 900) // places(len(scenes))[1] // LETTER
        titled = [replace(scene, title=cut(scene.title, letters)) for scene in scenes]
        self.view.show(titled, planes, deciding=now, kind=kind, dark=self.dark, width=self.width or None)
        assert self.view.scale
        texts = [
            in_html(scene, each, self.view.scale, self.part) for scene, each in zip(scenes, seen, strict=False)
        ]  # of a line there may be one
        self.words.value = f'<div class="lab-trust">{"".join(texts)}</div>'

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
        for name, control in {**self.choices, "seed": self.seed, "replay": self.replay, "solid": self.solid}.items():
            control.disabled = name in resting
            greyed(control, grey=name in resting)
        self.helper.titles = self.helper.titles | self.titles

    @property
    def _resting(self) -> dict[str, str]:
        """By the name of a control, why it has no effect."""
        question, surfaces = self.question, [each.surface for each in self.portraits if each.surface]
        found: dict[str, str] = {}
        at_random = question.plane == "random" or any(surface.origin.kind == "random" for surface in surfaces)
        if not at_random:
            found["normalisation"] = NO_DIRECTIONS
        if question.lens.samples is None and not at_random and question.plane != "hessian":
            found["seed"] = NO_DRAWS
        if surfaces and all(surface.measured.batchnorm is None for surface in surfaces):
            found["batchnorm"] = NO_BATCHNORM
        if question.plane == "line":
            found |= {"solid": NO_SURFACE, "replay": NO_SURFACE}
        elif len(surfaces) > MOST_SURFACES:
            found["solid"] = TOO_MANY
        if any(map(through_ends, self.portraits)):
            found["replay"] = NO_REPLAY
        return found if self.webgl else found | {"solid": NO_WEBGL}

    def _state(self, seen: Sequence[Portrait]) -> str:
        if self.news.missing and self._names:
            return escape(self.news.missing)
        if not self.portraits:
            return NOTHING if self.news.rests or not self._names else WAITS
        parts = [
            *(escape(each.fault) for each in self.portraits if each.fault),
            "" if seen else WAITS,
            cost_in_words(self.news.cost, going=any(each.moving for each in self.portraits)),
            f"keeps {self.news.bytes / 1e6:.1f} MB of snapshots and surfaces" if seen else "",
            self._flat if self.webgl else NO_WEBGL,
            "" if self.question.plane == "line" else replayed(seen, self.part),
            "" if len(self._names) <= MOST_RUNS else f"of {len(self._names)} runs the last {MOST_RUNS} are followed",
            "scale made anew: the old one did not fit any more" if self.view.rescaled else "",
            "" if self.news.rests or not seen else "more points come while nothing trains",
        ]
        return " · ".join(filter(None, parts))


def cut(text: str, letters: int) -> str:
    """Titles of narrow pictures would run into each other."""
    return text if len(text) <= letters else f"{text[: letters - 1].rstrip()}…"


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


def whole(name: str, label: str, value: int, limits: tuple[int, int], width: int) -> widgets.BoundedIntText:
    made = widgets.BoundedIntText(
        value,
        min=limits[0],
        max=limits[1],
        description=label,
        style={"description_width": "initial"},
        layout=widgets.Layout(width=f"{width}px"),
    )
    made.add_class(f"lab-landscape-{name}")
    return made
