"""What a person can ask of the landscapes: planes, images, points and precision; what rests is greyed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import ipywidgets as widgets

from lab.landscape import Portrait, Question
from lab.landscape.budgets import SHARE
from lab.landscape_plots import MOST_SURFACES
from lab.panel.controls import greyed
from lab.panel.portraits import through_ends
from lab.panel.toolbar import row
from lab.views import ENOUGH, Lens

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
    "split": ("split", 128, ("validation", "training"), "On which images the loss is measured"),
    "samples": (
        "images",
        132,
        {"enough": AS_NEEDED, "128": 128, "512": 512, "2048": 2048, "all": None},
        f"How many images, drawn once; enough: as many as noise below half a level needs, {Lens().samples:,} at most",
    ),
    "batchnorm": ("norm", 112, ("stored", "batch"), "Batch normalisation with learned statistics, or each batch's own"),
    "size": ("size", 112, {f"{n} x {n}": n for n in (9, 17, 33, 65)}, "Points of a surface in the end"),
    "normalisation": (
        "scaled by",
        130,
        ("filter", "layer", "none"),
        "Random directions: each filter, each layer or only the whole as long as in the weights",
    ),
    "precision": (
        "precision",
        154,
        ("float32", "bfloat16", "float64"),
        "Arithmetic of the surfaces; bfloat16 is mixed, and says what it is off by",
    ),
}
NO_WEBGL = "This browser has no WebGL: contours only."
TIME = "What following may take of the time of training, 1 to 25 in a hundred"
SEED = "Of the draws: random directions, and which images"
REPLAY = "Replays the runs: path, surface, filters and answers of each as it was after that step"
NO_DIRECTIONS = "Has no effect: no directions are random here"
NO_DRAWS = "Has no effect: all images are taken, and no directions are random"
NO_BATCHNORM = "Has no effect: no network here has batch normalisation"
TOO_MANY = f"Has no effect: up to {MOST_SURFACES} landscapes are drawn in 3-D, more as contours"
NO_SURFACE = "Has no effect: a line has no surface"
NO_REPLAY = "Has no effect: the plane goes through the ends of runs, which no replay moves"


class Asked:
    """The row of controls.

    Args:
        changed: called when a person has changed one of them.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        asked = Question()
        values = {**vars(asked.lens), **asked._asdict(), "samples": AS_NEEDED}
        self.choices = {
            name: dropdown(name, label, width, options, values[name])
            for name, (label, width, options, _) in CHOICES.items()
        }
        self.seed = whole("seed", "seed", asked.lens.seed, (0, 9999), 84)
        self.share = whole("share", "time %", round(100 * SHARE), (1, 25), 96)
        for control in (*self.choices.values(), self.seed, self.share):
            control.observe(lambda _: changed(), "value")
        self.widget = row("lab-toolbar", [*self.choices.values(), self.seed, self.share])

    def question(self, *, edge: bool, replay: bool) -> Question:
        chosen: dict[str, Any] = {name: choice.value for name, choice in self.choices.items()}
        own = {name: chosen.pop(name) for name in ("plane", "size", "normalisation", "precision")}
        as_needed = chosen["samples"] == AS_NEEDED
        chosen |= {"samples": Lens().samples} if as_needed else {}
        lens = Lens(**chosen, seed=int(self.seed.value))
        return Question(lens=lens, enough=ENOUGH if as_needed else 0.0, edge=edge, replay=replay, **own)

    def rest(self, resting: Collection[str]) -> None:
        for name, control in {**self.choices, "seed": self.seed}.items():
            control.disabled = name in resting
            greyed(control, grey=name in resting)


def titles(resting: dict[str, str]) -> dict[str, str]:
    """Tooltips by CSS class."""
    own = {name: hint for name, (_, _, _, hint) in CHOICES.items()} | {"seed": SEED, "replay": REPLAY, "share": TIME}
    return {f"lab-landscape-{name}": hint for name, hint in {**own, **resting}.items()}


def resting(question: Question, portraits: Sequence[Portrait], *, webgl: bool) -> dict[str, str]:
    """By the name of a control, why it has no effect."""
    surfaces = [each.surface for each in portraits if each.surface]
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
    if any(map(through_ends, portraits)):
        found["replay"] = NO_REPLAY
    return found if webgl else found | {"solid": NO_WEBGL}


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
