"""From what the worker thread has found of runs to the scenes of a picture, and the words beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape

import numpy as np

from lab.landscape import Portrait
from lab.landscape.budgets import Cost
from lab.landscape.functions import Function, one, why_apart
from lab.landscape.replays import path_on
from lab.landscape.scenes import Scale, Scene, share, trust_words
from lab.landscape.surfaces import Surface
from lab.landscape_numbers import bends_in_words, bent_down
from lab.views import BatchNormMode

REPLAYS = (
    "replayed are paths, filters, answers and surfaces, each through the snapshot that is named, by as many exact "
    "points as is said, on the scale of the last one"
)
COMING = "replayed are paths, filters and answers; surfaces through earlier snapshots come while nothing trains"
SOME = f"{REPLAYS}; of some runs it is still to come, and the last one stands"
Names = Mapping[int, tuple[int, str]]  # by the job's number: the run's own and its name


def scenes_of(portraits: Sequence[Portrait], names: Names, part: float) -> list[Scene]:
    """A scene for each run that has a surface; of a line, or the plane through three ends, one of one function.

    Args:
        part: of each path, from its beginning.
    """
    scenes = [scene_of(each, *names[each.number], part) for each in portraits]
    if not scenes:
        return []
    line = scenes[0].surface.grid.line
    if line:
        scenes = [along(scene, [names[each.number][0] for each in portraits]) for scene in scenes]
    if not line and not all(map(through_ends, portraits)):
        return scenes
    functions, mode = [each.function for each in portraits], scenes[0].surface.measured.batchnorm
    if one(functions, mode):
        return scenes[:1] if line else [together(scenes)]
    return [set_apart(scene, place, functions, mode) for place, scene in enumerate(scenes)]


def set_apart(scene: Scene, place: int, functions: Sequence[Function], mode: BatchNormMode | None) -> Scene:
    """With the words that say why not all are one picture."""
    return replace(scene, apart=why_apart(functions[place], [*functions[:place], *functions[place + 1 :]], mode))


def along(scene: Scene, numbers: Sequence[int]) -> Scene:
    """A line that says from where to where it leads, and no path."""
    note = "from " + " to ".join(f"run {number} ({place})" for place, number in enumerate(numbers))
    origin = replace(scene.surface.origin, note=note)
    return replace(scene, surface=replace(scene.surface, origin=origin), paths=())


def together(scenes: Sequence[Scene]) -> Scene:
    """One picture of one function, with the marks of all."""
    marks = tuple(replace(path, name=scene.title) for scene in scenes for path in scene.paths)
    return replace(scenes[0], paths=marks, title=", ".join(scene.title for scene in scenes))


def through_ends(portrait: Portrait) -> bool:
    """Whether it lies on the plane through the ends of three runs."""
    return portrait.surface is not None and portrait.surface.origin.kind == "points" and bool(portrait.joint)


def scene_of(portrait: Portrait, number: int, name: str, part: float) -> Scene:
    """With the end only where the plane holds next to nothing of a path, which would lead far out of it."""
    assert portrait.surface
    path = replace(portrait.path, number=number - 1)
    if through_ends(portrait):
        return Scene(portrait.surface, (path.end,), name, portrait.plane)
    seen, surface = path.first(marks_in(len(path.steps), part)), surface_at(portrait, part)
    if surface is not portrait.surface:
        seen = path_on(surface, seen, step_at(portrait, part))
    if portrait.surface.origin.kind == "hessian":
        return Scene(surface, (seen.end,), name, portrait.plane)
    past = {step: surface for step, surface in portrait.past.items() if step < portrait.step}
    return Scene(surface, (seen,), name, portrait.plane, step=portrait.step, past=past)


def step_at(portrait: Portrait, part: float) -> int:
    """Of the snapshot at which so much of a path is drawn."""
    steps = portrait.path.steps
    return portrait.step if part == 1 or not len(steps) else int(steps[marks_in(len(steps), part) - 1])


def surface_at(portrait: Portrait, part: float) -> Surface:
    """The one through the snapshot of a replay; the last one where that is not known."""
    assert portrait.surface
    step = step_at(portrait, part)
    return portrait.surface if step == portrait.step else portrait.past.get(step, portrait.surface)


def replayed(portraits: Sequence[Portrait], part: float) -> str:
    """What a replay shows, in words; empty where none goes on."""
    portraits = [each for each in portraits if not through_ends(each)]
    if part == 1 or not portraits:
        return ""
    missing = sum(surface_at(each, part) is each.surface and step_at(each, part) != each.step for each in portraits)
    return REPLAYS if not missing else COMING if missing == len(portraits) else SOME


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
    """One at least: before the first step there is a snapshot."""
    return max(1, int(np.ceil(count * part)))


def in_html(scene: Scene, portrait: Portrait, scale: Scale, part: float = 1.0) -> str:
    """How far to trust a picture."""
    surface = scene.surface
    parts = [
        f"Through step {portrait.step if surface is portrait.surface else step_at(portrait, part):,}.",
        trust_words(scene),
        scale.cut(surface),
        bends_in_words(bent_down(surface)) if surface.complete else "",
        f"Plane made anew at step {portrait.made_at:,}: {portrait.why}." if portrait.why else "",
    ]
    return f"<p><b>{escape(scene.title)}</b> {escape(' '.join(filter(None, parts)))}</p>"
