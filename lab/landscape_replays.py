"""What a page replays of surfaces: those through earlier snapshots, as text that stays small, and in words."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lab.landscape.replays import path_on, spaced
from lab.landscape.scenes import OFF, RunPath, Scale, Scene, points_words, share
from lab.landscape.surfaces import Surface
from lab.landscape_plots import MISLEADS, lift

MOST_BYTES = 2 * 10**6  # of a page, for surfaces of which it is a replay
COLUMNS = ("loss", "accuracy", "error")
BYTES = len(COLUMNS) * 4 * 4 / 3  # of a point: float32, as text


def thinned(scenes: Sequence[Scene]) -> list[Scene]:
    """With as many earlier surfaces, evenly, as a page has room for."""
    each = MOST_BYTES / max(1, sum(bool(scene.past) for scene in scenes))
    return [replace(scene, past=fewer(scene.past, int(each / (BYTES * scene.surface.loss.size)))) for scene in scenes]


def fewer(past: Mapping[int, Surface], most: int) -> dict[int, Surface]:
    steps = sorted(past)
    return {steps[place]: past[steps[place]] for place in spaced(len(steps), most)}


def drawing(scale: Scale) -> dict[str, Any]:
    """How losses become heights and marks colours, for the page to do it again."""
    bottom, top = scale.range
    heights = {"log": scale.log, "low": scale.low, "cap": 2 * top - bottom, "lift": lift(scale)}
    return {**heights, "off": OFF, "grey": MISLEADS}


def replay_of(scene: Scene) -> dict[str, Any] | None:
    """Surfaces through the snapshots of the one path of a scene, and which is shown at each mark; None if all stays.

    `at[k]` is the place of the surface that is shown at mark k: its own, or the last before that is known.
    `on_plane[k]` are the losses of the marks 0 to k on that. Where a path is its end alone, k counts the surfaces, and
    the mark stays.
    """
    if not scene.past:
        return None
    (path,) = scene.paths
    last = int(path.steps[-1]) if scene.step is None else scene.step
    surfaces = {**dict(sorted(scene.past.items())), last: scene.surface}
    steps = list(surfaces)
    shown, marks = (steps, [path] * len(steps)) if ends(path) else (path.steps.tolist(), growing(path))
    at = [max(0, int(np.searchsorted(steps, step, side="right")) - 1) for step in shown]
    marked = [path_on(surfaces[steps[place]], each, steps[place]) for each, place in zip(marks, at, strict=True)]
    marked[-1] = path
    return {
        "axes": [[float(axis[0]), float(axis[-1])] for axis in scene.surface.grid.axes],
        "surfaces": [packed(surface) | {"said": said(scene, step, surface)} for step, surface in surfaces.items()],
        "steps": shown,
        "at": at,
        "on_plane": [[float(f"{loss:.5g}") for loss in each.on_plane] for each in marked],
    }


def ends(path: RunPath) -> bool:
    """Whether its end is all that is shown of it."""
    return len(path.steps) == 1


def growing(path: RunPath) -> list[RunPath]:
    """As it was at each of its marks."""
    return [path.first(count + 1) for count in range(len(path.steps))]


def packed(surface: Surface) -> dict[str, Any]:
    """(3, nb, na) float32 loss, accuracy and standard error, row by row from the lowest b on."""
    values = np.stack([getattr(surface, name).T for name in COLUMNS]).astype("<f4")
    return {"size": surface.grid.size, "values": base64.b64encode(values.tobytes()).decode()}


def said(scene: Scene, step: int, surface: Surface) -> str:
    title = f"{scene.title}: " if scene.title else ""
    through = "on the plane itself" if surface is scene.surface and scene.step is None else f"through step {step:,}"
    return f"{title}surface {through}: {points_words(surface)}."


def replay_words(scene: Scene) -> str:
    """What a replay does to a surface, and how far to trust that."""
    if scene.past:
        through = f"Replayed on the parallel plane through each of {len(scene.past)} earlier snapshots"
        stays = "; the mark stays where the run has ended" if all(map(ends, scene.paths)) else ""
        return f"{through}: {off_words(scene)}{stays}."
    if len(scene.paths) > 1:
        return "A replay moves the paths: the surface is the loss on one plane, the same for these runs at every step."
    return "A replay leaves this surface as it is, that of the last snapshot."


def off_words(scene: Scene) -> str:
    """Of all earlier surfaces together."""
    errors = [surface.spline.error for surface in scene.past.values() if surface.spline]
    if not errors:
        return "exact points alone"
    typical, largest = np.median([error.median for error in errors]), max(error.largest for error in errors)
    words = f"splines off by {share(typical)} in the middle and up to {share(largest)} at points held out"
    alone = len(scene.past) - len(errors)
    return f"{words}; of {alone} exact points alone" if alone else words
