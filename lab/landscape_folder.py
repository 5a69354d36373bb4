"""A landscape kept in a folder: a page that opens without a network, all numbers, and a PNG made without a browser.

index.html      figures, and a slider that replays the runs
plotly.min.js   beside it, once
surface.npz     axes, losses, accuracies, errors, and which points are exact; marks of every path; readings of the edge
                of stability
facts.json      what the numbers are of
contours.png    the planes as bands of colour (none for a line)
edge.png        the top eigenvalue along each run beside what its rate bears, where it was read
plane.N.safetensors  each plane itself, centre and directions by name: `Plane.load` reads it
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from plotly.offline import get_plotlyjs

from lab.edge_plots import edge_figure
from lab.followed import Followed
from lab.landscape.brief import brief_words
from lab.landscape.planes import Plane
from lab.landscape.scenes import RunPath, Scale, Scene, classes_words, trust_words
from lab.landscape.shape import Share
from lab.landscape_numbers import Number, bent_down, heights_between
from lab.landscape_page import edges_of, page, read
from lab.landscape_png import contour_picture
from lab.landscape_replays import thinned
from lab.sheets import png
from lab.stills import still
from lab.store import RunError, contents, make_folder, not_empty, write_atomically

PAGE, LIBRARY, NUMBERS, FACTS = "index.html", "plotly.min.js", "surface.npz", "facts.json"
PICTURE, EDGE = "contours.png", "edge.png"
FILES = (PAGE, LIBRARY, NUMBERS, FACTS, PICTURE, EDGE)
PLANE = re.compile(r"plane\.\d+\.safetensors")
COLUMNS = ("loss", "accuracy", "error", "difference_error")
MARKS = ("coordinates", "steps", "true", "on_plane")
READINGS = ("step", "sharpness", "residual", "error", "bound")


def check_folder(folder: Path) -> None:
    """Raise RunError where something else than a landscape lies, before minutes of training."""
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file. Choose another folder.")
    if Path.cwd().is_relative_to(folder.resolve()):
        raise RunError(f"{folder} holds the folder you work in, and would be replaced as a whole. Name a new folder.")
    names = contents(folder) if folder.is_dir() else []
    if names and (FACTS not in names or not all(name in FILES or PLANE.fullmatch(name) for name in names)):
        raise RunError(not_empty(folder, names, "a landscape"))


def save(
    folder: Path,
    title: str,
    scenes: Sequence[Scene],
    runs: Sequence[Followed],
    numbers: Sequence[Sequence[Number]] = (),
    *,
    lost: Mapping[str, Followed] | None = None,
) -> dict[str, Any]:
    """Keep a landscape; one that lies there already is replaced as a whole. Returns its facts.

    Args:
        numbers: of each run, if they were measured.
        lost: runs that were left out, by the sentence that says why.

    Raises:
        RunError: the folder holds something else, or cannot be written.
    """
    check_folder(folder)
    folder, scenes = folder.resolve(), thinned(scenes)
    scale, facts = Scale.of(scenes), facts_of(title, scenes, runs, numbers or [()] * len(runs), lost or {})
    found = {
        LIBRARY: get_plotlyjs().encode(),
        NUMBERS: arrays_of(scenes, runs),
        FACTS: json.dumps(facts, indent=1).encode(),
        PAGE: page(facts, scenes, scale, runs).encode(),
        **{name: plane.packed() for name, plane in planes_of(scenes).items()},
    }
    if not scenes[0].surface.grid.line:
        found[PICTURE] = png(contour_picture(scenes, scale))
    if edges := read(edges_of(runs)):
        found[EDGE] = still(edge_figure(edges))
    put(folder, found)
    return facts


def put(folder: Path, found: dict[str, bytes]) -> None:
    """All files or none: they are written beside the folder, which then takes its name."""
    new, old = (folder.with_name(f".{folder.name}.{age}") for age in ("new", "old"))
    make_folder(folder.parent)
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        for name, content in found.items():
            write_atomically(new / name, content)
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.replace(old)
        new.replace(folder)
    except OSError as error:
        if old.exists() and not folder.exists():
            old.replace(folder)
        shutil.rmtree(new, ignore_errors=True)
        raise RunError(f"Cannot write {folder}: {error.strerror}. Choose another folder.") from None
    shutil.rmtree(old, ignore_errors=True)


# -- numbers -----------------------------------------------------------------------------------------------------------


def arrays_of(scenes: Sequence[Scene], runs: Sequence[Followed]) -> bytes:
    """An npz file without objects: `0.loss` (na, nb) is of the first scene, `0.path.1.true` (k,) of its second path.

    `0.exact` (na, nb) says which points were measured; a spline gave the others. `0.past.120.loss` (na, nb) in float32
    is of the surface through the snapshot of step 120, where it is replayed.
    `0.note` says, where it is there, that the loss is of the classes alone, and what the runs train by.
    `edge.1.sharpness` (k,) is of the second run, where it was read; a bound that there is not is nan.
    """
    arrays: dict[str, Any] = {
        f"edge.{number}.{name}": np.array([getattr(each, name) for each in run.edge], float)
        for number, run in enumerate(runs)
        for name in READINGS
        if run.edge
    }
    for index, scene in enumerate(scenes):
        a, b = scene.surface.grid.axes
        arrays |= {f"{index}.a": a, f"{index}.b": b, f"{index}.exact": scene.surface.exact}
        arrays |= {f"{index}.{name}": getattr(scene.surface, name) for name in COLUMNS}
        arrays |= {f"{index}.note": np.array(note)} if (note := classes_words(scene)) else {}
        for place, path in enumerate(scene.paths):
            arrays |= {f"{index}.path.{place}.{name}": getattr(path, name) for name in MARKS}
        for step, surface in scene.past.items():
            arrays |= {f"{index}.past.{step}.{name}": getattr(surface, name).astype(np.float32) for name in COLUMNS}
    file = BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def planes_of(scenes: Sequence[Scene]) -> dict[str, Plane]:
    """Each plane once, by the name of its file: several scenes may lie on one."""
    different = {id(scene.plane): scene.plane for scene in scenes if scene.plane is not None}
    return {f"plane.{number}.safetensors": plane for number, plane in enumerate(different.values())}


def facts_of(
    title: str,
    scenes: Sequence[Scene],
    runs: Sequence[Followed],
    numbers: Sequence[Sequence[Number]],
    lost: Mapping[str, Followed],
) -> dict[str, Any]:
    files = {id(plane): name for name, plane in planes_of(scenes).items()}
    return {
        "title": title,
        "runs": [run_facts(run, found) for run, found in zip(runs, numbers, strict=True)],
        "between": [number_facts(each) for each in heights_between(runs)],
        "scenes": [{**scene_facts(scene, Scale.of(scenes)), "plane": files.get(id(scene.plane))} for scene in scenes],
        "left_out": [{**run_facts(run, ()), "why": why} for why, run in lost.items()],
    }


def run_facts(run: Followed, numbers: Sequence[Number]) -> dict[str, Any]:
    facts = {
        "name": run.name,
        "id": run.recipe.id,
        "recipe": run.recipe.to_yaml(),
        "ended": run.ended,
        "reason": run.reason,
    }
    edge = "".join(replace(each, name="").words for each in edges_of([run]))
    return {**facts, "edge": edge, "numbers": [number_facts(each) for each in numbers]}


def number_facts(found: Number) -> dict[str, Any]:
    return {**vars(found), "text": found.text, "sentence": found.sentence}


def scene_facts(scene: Scene, scale: Scale) -> dict[str, Any]:
    surface = scene.surface
    return {
        "title": scene.title,
        "brief": brief_words(scene, scale),
        "words": trust_words(scene),
        "origin": vars(surface.origin),
        "grid": vars(surface.grid),
        "measured": vars(surface.measured),
        "spline": surface.spline and asdict(surface.spline),
        "precision_error": surface.precision_error and vars(surface.precision_error),
        "lowest_loss": number(np.fmin.reduce(surface.loss, axis=None)),
        "highest_loss": number(np.fmax.reduce(surface.loss, axis=None)),
        "bent_down": share_facts(bent_down(surface)),
        "paths": [path_facts(path) for path in scene.paths],
        "replayed": {str(step): past.spline and asdict(past.spline) for step, past in scene.past.items()},
    }


def share_facts(found: Share | None) -> dict[str, Any] | None:
    return found and {**vars(found), "error": number(found.error)}


def path_facts(path: RunPath) -> dict[str, Any]:
    last = {"last_step": int(path.steps[-1]), "true": number(path.true[-1]), "on_plane": number(path.on_plane[-1])}
    return {"run": path.name, "marks": len(path.steps), **last, "grey": int(path.off.sum())}


def number(value: float) -> float | None:
    """JSON has no nan."""
    return float(value) if isfinite(value) else None
