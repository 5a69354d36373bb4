"""From what the worker thread has found of runs to the scenes of a picture, and the words beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape

import numpy as np

from lab.landscape import Portrait
from lab.landscape.budgets import Cost
from lab.landscape.scenes import Scene, share, trust_words
from lab.landscape_numbers import bends_in_words, bent_down
from lab.landscape_scenes import SAME_FUNCTION
from lab.recipe import Recipe

Names = Mapping[int, tuple[int, str]]  # by the job's number: the run's own and its name


def scenes_of(portraits: Sequence[Portrait], names: Names, recipes: Mapping[int, Recipe], part: float) -> list[Scene]:
    """A scene for each run that has a surface; of a line one for each function, and no paths.

    Args:
        part: of each path, from its beginning.
    """
    scenes = [scene_of(each, *names[each.number], part) for each in portraits]
    if not scenes or not scenes[0].surface.grid.line:
        return scenes
    runs = [each.number for each in portraits]
    note = "from " + " to ".join(f"run {names[run][0]} ({place})" for place, run in enumerate(runs))
    origin = replace(scenes[0].surface.origin, note=note)
    lines = [replace(scene, surface=replace(scene.surface, origin=origin), paths=()) for scene in scenes]
    same = len({repr([getattr(recipes[run], name) for name in SAME_FUNCTION]) for run in runs}) == 1
    return lines[:1] if same and lines[0].surface.measured.batchnorm != "stored" else lines


def scene_of(portrait: Portrait, number: int, name: str, part: float) -> Scene:
    """Of eigenvectors with the end only: the plane holds next to nothing of a path, which would lead far out of it."""
    assert portrait.surface
    path = replace(portrait.path, number=number - 1)
    of_end = portrait.surface.origin.kind == "hessian"
    seen = path.end if of_end else path.first(marks_in(len(path.steps), part))
    return Scene(portrait.surface, (seen,), name, portrait.plane)


def cost_in_words(cost: Cost, *, going: bool) -> str:
    """What following takes; a share of a moment would frighten, so before a first picture is paid off it is seconds."""
    if cost.taken is None:
        return ""
    if cost.taken <= cost.share:
        return f"took {share(cost.taken)} of the time of training, at most {share(cost.share)}"
    so_far = f"took {cost.spent:.2f} s beside {cost.trained:.1f} s of training"
    if going:
        return f"{so_far}: the first picture comes in advance, and is paid back until it is {share(cost.share)}"
    return f"{so_far}, more than {share(cost.share)}: too short to pay the first picture back"


def marks_in(count: int, part: float) -> int:
    return int(np.ceil(count * part))


def in_html(scene: Scene, portrait: Portrait) -> str:
    """How far to trust a picture."""
    surface = scene.surface
    size = f"{surface.grid.size}" if surface.grid.line else f"{surface.grid.size} x {surface.grid.size}"
    kind = "interpolated" if surface.spline_error else "measured"
    parts = [
        f"{size} points, {kind}, through step {portrait.step:,}.",
        trust_words(scene),
        bends_in_words(bent_down(surface)) if surface.complete else "",
        f"Plane made anew at step {portrait.made_at:,}: {portrait.why}." if portrait.why else "",
    ]
    return f"<p><b>{escape(scene.title)}</b> {escape(' '.join(filter(None, parts)))}</p>"
