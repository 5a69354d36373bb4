"""From what the worker thread has found of runs to the scenes of a picture, and the words beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape

from lab.landscape import Portrait
from lab.landscape.brief import brief_words
from lab.landscape.budgets import Cost
from lab.landscape.functions import Function, one, why_apart
from lab.landscape.replays import path_on
from lab.landscape.scenes import Scale, Scene, marks_until, share, trust_words
from lab.landscape.surfaces import Surface
from lab.landscape_numbers import bends_in_words, bent_down
from lab.views import BatchNormMode

REPLAYS = "replayed: each run's last snapshot until that step, on the scale of now"
COMING = f"{REPLAYS}; surfaces of then come while nothing trains, and those of now stand"
SOME = f"{REPLAYS}; some surfaces of then are still to come, and those of now stand"
Names = Mapping[int, tuple[int, str]]  # by the job's number: the run's own and its name


def left_out(name: str, how: str) -> str:
    """Of a run that is lost."""
    return f"{name} {how}: not in the plane"


def scenes_of(portraits: Sequence[Portrait], names: Names, step: int | None) -> list[Scene]:
    """A scene for each run that has a surface; of a line, or the plane through three ends, one of one function.

    Args:
        step: of training, after which each run is shown; None: as it is.
    """
    scenes = [scene_of(each, *names[each.number], step) for each in portraits]
    if not scenes:
        return []
    line = scenes[0].surface.grid.line
    if line:
        scenes = [along(scene, [names[each.number][0] for each in portraits]) for scene in scenes]
    if not line and not all(map(through_ends, portraits)):
        return scenes
    functions, mode = [each.function for each in portraits], scenes[0].surface.measured.batchnorm
    if one(functions, mode):
        title, by = " to ".join(scene.title for scene in scenes), together(scenes).trained_by
        return [replace(scenes[0], title=title, trained_by=by)] if line else [together(scenes)]
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
    by = tuple(dict.fromkeys(name for scene in scenes for name in scene.trained_by))
    return replace(scenes[0], paths=marks, title=", ".join(scene.title for scene in scenes), trained_by=by)


def through_ends(portrait: Portrait) -> bool:
    """Whether it lies on the plane through the ends of three runs."""
    return portrait.surface is not None and portrait.surface.origin.kind == "points" and bool(portrait.joint)


def scene_of(portrait: Portrait, number: int, name: str, step: int | None) -> Scene:
    """With the end only where the plane holds next to nothing of a path, which would lead far out of it."""
    assert portrait.surface
    path = replace(portrait.path, number=number - 1)
    if through_ends(portrait):
        return Scene(portrait.surface, (path.end,), name, portrait.plane, trained_by=portrait.trained_by)
    seen, surface = path.until(step), surface_at(portrait, step)
    if surface is not portrait.surface:
        seen = path_on(surface, seen, snapshot_at(portrait, step))
    if portrait.surface.origin.kind == "hessian":
        return Scene(surface, (seen.end,), name, portrait.plane, trained_by=portrait.trained_by)
    past = {step: surface for step, surface in portrait.past.items() if step < portrait.step}
    return Scene(surface, (seen,), name, portrait.plane, step=portrait.step, past=past, trained_by=portrait.trained_by)


def snapshot_at(portrait: Portrait, step: int | None) -> int:
    """The step of the last snapshot until a step of training."""
    steps = portrait.path.steps
    return portrait.step if step is None or not len(steps) else int(steps[marks_until(steps, step) - 1])


def surface_at(portrait: Portrait, step: int | None) -> Surface:
    """The one through the snapshot of a replay; the last one where that is not known."""
    assert portrait.surface
    place = snapshot_at(portrait, step)
    return portrait.surface if place == portrait.step else portrait.past.get(place, portrait.surface)


def seen_at(portrait: Portrait, step: int | None) -> int:
    """The step of the snapshot that is shown where a replay is."""
    return portrait.step if surface_at(portrait, step) is portrait.surface else snapshot_at(portrait, step)


def replayed(portraits: Sequence[Portrait], step: int | None) -> str:
    """What a replay shows, in words; empty where none goes on."""
    portraits = [each for each in portraits if not through_ends(each)]
    if step is None or not portraits:
        return ""
    missing = sum(surface_at(each, step) is each.surface and snapshot_at(each, step) != each.step for each in portraits)
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


def all_in_html(
    scenes: Sequence[Scene], portraits: Sequence[Portrait], names: Names, scale: Scale, step: int | None = None
) -> str:
    """How far to trust each picture; one may be of several runs."""
    groups = [portraits] if len(scenes) == 1 else [[each] for each in portraits]
    return "".join(in_html(scene, group, names, scale, step) for scene, group in zip(scenes, groups, strict=True))


def in_html(scene: Scene, portraits: Sequence[Portrait], names: Names, scale: Scale, step: int | None = None) -> str:
    """How far to trust a picture of these runs: in one line, and all of it in a part that can be folded."""
    surface, portrait = scene.surface, portraits[0]
    parts = [
        trust_words(scene),
        scale.cut(surface),
        bends_in_words(bent_down(surface)) if surface.complete else "",
        f"Plane made anew at step {portrait.made_at:,}: {portrait.why}." if portrait.why else "",
    ]
    shown = ", ".join(f"<b>{escape(names[each.number][1])}</b> step {seen_at(each, step):,}" for each in portraits)
    anew = f"plane made anew at step {portrait.made_at:,}" if portrait.why else ""
    brief = f"<p>{' · '.join(filter(None, [shown, escape(brief_words(scene, scale)), anew]))}</p>"
    return f'<div>{brief}<p class="lab-all-words">{escape(" ".join(filter(None, parts)))}</p></div>'
