"""The page of a landscape that is kept: figures, what networks saw and answered, and a slider that replays it all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files as package_files
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from lab.edge_plots import edge_figure
from lab.followed import Followed, Glimpse
from lab.landscape.brief import brief_words
from lab.landscape.scenes import Scale, Scene, trust_words
from lab.landscape.stability import EdgePath
from lab.landscape_numbers import bends_in_words, bent_down
from lab.landscape_plots import (
    MOST_SURFACES,
    contour_data,
    contour_figure,
    lines_figure,
    surface_data,
    surface_figure,
)
from lab.landscape_replays import drawing, replay_of, replay_words
from lab.plots import colour_and_dash
from lab.prediction_plots import pixels
from lab.sheets import as_source

ACROSS = 8  # filters in a row


def edges_of(runs: Sequence[Followed]) -> list[EdgePath]:
    """Of the runs whose sharpness was asked for."""
    asked = [(number, run) for number, run in enumerate(runs) if run.edge or run.edge_fault]
    return [EdgePath(run.name, number, tuple(run.edge), run.edge_fault) for number, run in asked]


def read(edges: Sequence[EdgePath]) -> list[EdgePath]:
    """Those with anything to draw."""
    return [each for each in edges if each.readings]


def page(facts: dict[str, Any], scenes: Sequence[Scene], scale: Scale, runs: Sequence[Followed]) -> str:
    """The page with everything that it shows, but plotly.js."""
    edges = edges_of(runs)
    moves = any(len(run.glimpses) > 1 for run in runs)
    beside = [each["sentence"] for each in facts["between"]] + [run["why"] for run in facts["left_out"]]
    shown = {
        "title": facts["title"],
        "pictures": [
            {
                "title": scene.title,
                "brief": brief_words(scene, scale),
                "details": " ".join([words_of(scene, scale), replay_words(scene) if moves else ""]).strip(),
            }
            for scene in scenes
        ],
        "words": beside + [f"Edge of stability: {each.words}" for each in edges],
        "figures": figures_of(scenes, scale) + ([edge_part(read(edges))] if read(edges) else []),
        "scenes": len(scenes),
        "drawing": drawing(scale),
        "past": [replay_of(scene) for scene in scenes],
        "runs": [{**told(run, number), "numbers": facts["runs"][number]["numbers"]} for number, run in enumerate(runs)],
    }
    # No tag in it: one could end the script that it stands in, or hide its end.
    data = json.dumps(finite(shown), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    return package_files("lab").joinpath("landscape_page.html").read_text(encoding="utf-8").replace("__DATA__", data)


def words_of(scene: Scene, scale: Scale) -> str:
    """How far to trust a picture, and what of it is cut off."""
    return " ".join(
        filter(None, [trust_words(scene), scale.cut(scene.surface), bends_in_words(bent_down(scene.surface))])
    )


def figures_of(scenes: Sequence[Scene], scale: Scale) -> list[dict[str, Any]]:
    if scenes[0].surface.grid.line:
        return [figure_of("lines", lines_figure(scenes), lines_figure(scenes, dark=True), [])]
    flat = [
        part for place, scene in enumerate(scenes) for part in shown_parts(place, scene, contour_data(scene, scale))
    ]
    found = [
        figure_of("contours", contour_figure(scenes, scale), contour_figure(scenes, scale, dark=True), flat),
    ]
    if len(scenes) <= MOST_SURFACES:
        high = [
            part for place, scene in enumerate(scenes) for part in shown_parts(place, scene, surface_data(scene, scale))
        ]
        light, dark = surface_figure(scenes, scale), surface_figure(scenes, scale, dark=True)
        if len(scenes) == 1:  # beside the contours, whose bar of colours is the same
            for figure in (light, dark):
                figure.update_coloraxes(showscale=False)
        found.insert(0, figure_of("surfaces", light, dark, high))
    return found


def edge_part(edges: Sequence[EdgePath]) -> dict[str, Any]:
    """Nothing of it is replayed: its axis is the steps."""
    return figure_of("edge", edge_figure(edges), edge_figure(edges, dark=True), [])


class Shown(NamedTuple):
    """What a trace shows. scene: its place. steps: of the marks, where it is a path; None of a surface."""

    scene: int
    steps: list[int] | None
    data: dict[str, Any]


def shown_parts(place: int, scene: Scene, data: Sequence[dict[str, Any]]) -> list[Shown]:
    """A surface, and for each path one trace or two."""
    surface, *lines = data
    each = len(lines) // max(1, len(scene.paths))
    steps = [path.steps.tolist() for path in scene.paths for _ in range(each)]
    return [Shown(place, None, surface), *(Shown(place, *line) for line in zip(steps, lines, strict=True))]


def figure_of(name: str, light: go.Figure, dark: go.Figure, data: Sequence[Shown]) -> dict[str, Any]:
    """A figure with both its layouts; its lines once more as lists, of which a replay shows the beginning.

    Args:
        data: of each trace.
    """
    drawn = json.loads(light.to_json() or "")
    other = json.loads(dark.to_json() or "")["layout"]
    lines = [
        {"trace": trace, "scene": part.scene, "steps": part.steps, "full": as_lists(part.data)}
        for trace, part in enumerate(data)
        if part.steps is not None
    ]
    surfaces = [{"trace": trace, "scene": part.scene} for trace, part in enumerate(data) if part.steps is None]
    replayed = {"lines": lines, "surfaces": surfaces}
    return {"name": name, "data": drawn["data"], "light": drawn["layout"], "dark": other, **replayed}


def as_lists(part: dict[str, Any]) -> dict[str, Any]:
    return {key: np.asarray(values).tolist() for key, values in part.items()}


def finite(value: Any) -> Any:
    """The same with gaps for what is not finite: no number of JSON stands for it, and Plotly draws nothing there."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def told(run: Followed, number: int) -> dict[str, Any]:
    """What a run's part of the page shows at each snapshot."""
    return {
        "name": run.name,
        "colour": colour_and_dash(number)[0],
        "steps": [glimpse.step for glimpse in run.glimpses],
        "marks": [f"step {glimpse.step:,}: loss {glimpse.loss:.4g}" for glimpse in run.glimpses],
        "filters": filter_sheets([glimpse.filters for glimpse in run.glimpses if glimpse.filters is not None]),
        "images": [as_source(pixels(image)) for image in run.shown.images.cpu()],
        "said": [answers(run, glimpse) for glimpse in run.glimpses],
    }


def filter_sheets(filters: Sequence[Tensor]) -> list[str]:
    """The filters of each snapshot as one picture; grey is 0, and black and white are the largest weight of the run."""
    largest = max((float(each.abs().max()) for each in filters), default=1.0) or 1.0
    return [as_source(tiled(each / (2 * largest) + 0.5)) for each in filters]


def tiled(images: Tensor) -> np.ndarray:
    """(n, c, h, w) from 0 to 1 -> uint8 (rows, columns, 4): as they are, in rows, see-through between."""
    count, _, height, width = images.shape
    columns = min(count, ACROSS)
    paper = np.zeros((-(-count // columns) * (height + 1) - 1, columns * (width + 1) - 1, 4), np.uint8)
    for place, image in enumerate((images * 255).round().to(torch.uint8)):
        top, left = place // columns * (height + 1), place % columns * (width + 1)
        paper[top : top + height, left : left + width] = pixels(image)
    return paper


def answers(run: Followed, glimpse: Glimpse) -> list[tuple[str, str, bool]]:
    """Of each image that is shown: the class answered, its probability, and whether it is right."""
    best = glimpse.probabilities.max(1)
    pairs = zip(best.indices.tolist(), best.values.tolist(), run.shown.labels.tolist(), strict=True)
    return [(run.classes[answer], f"{sure:.0%}", answer == label) for answer, sure, label in pairs]
