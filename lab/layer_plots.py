"""Small Plotly figure of a network's layers before training: how many parameters each has, and what it puts out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain, groupby

import plotly.graph_objects as go
import torch

from lab.activation_plots import axis_title, small_figure
from lab.activations import activations
from lab.costs import Layer, layers_of
from lab.data import Dataset
from lab.loading import data_of
from lab.models import models
from lab.plots import COLOURS
from lab.recipe import Recipe

FEWEST_BARS, MOST_BARS = 6, 20  # where a network has as many layers, or more
BAR = 15  # pixels


def parameters_by_layer(recipe: Recipe, *, dark: bool = False) -> go.Figure:
    """A bar for each layer with parameters, from the image down to the logits, beside the shape of what it puts out.

    Layers of one block share a bar where they are many, and so do neighbouring blocks.

    Raises:
        DataError: the data set is missing; ValueError: the network cannot read its images.
    """
    rows = grouped(layers(recipe, data_of(recipe)))
    figure = small_figure(dark=dark)
    figure.add_trace(bars(rows))
    total = sum(row.parameters for row in rows)
    figure.update_layout(title_text=f"{total:,} parameters, by layer and output shape")
    figure.update_layout(height=60 + BAR * len(rows), bargap=0.25, showlegend=False, margin={"t": 26, "b": 30})
    labels = [f"{row.kind} {dimensions(row.shape)}" for row in rows]
    figure.update_yaxes(autorange="reversed", showgrid=False, automargin=True, tickfont_size=10)
    figure.update_yaxes(tickvals=[*range(len(rows))], ticktext=labels)
    most = max((row.parameters for row in rows), default=1)
    figure.update_xaxes(
        range=[0, (2.2 if any(row.applied > 1 for row in rows) else 1.6) * most],
        nticks=4,
        tickformat="~s",
        **axis_title("parameters"),
    )
    return figure


def layers(recipe: Recipe, data: Dataset) -> list[Layer]:
    """Those that hold parameters, in the order of the network; where it can be, no weight is drawn for it."""
    try:
        return layers_on("meta", recipe, data)
    except NotImplementedError:  # some of torchvision's draw their weights by what meta tensors cannot do
        return layers_on("cpu", recipe, data)


def layers_on(device: str, recipe: Recipe, data: Dataset) -> list[Layer]:
    with torch.device(device):
        model = models.build(recipe.model, data.shape, len(data.classes), partial(activations.build, recipe.activation))
        found = layers_of(model, torch.zeros(1, *data.shape))
        return [layer for layer in found if layer.parameters]


def grouped(rows: Sequence[Layer]) -> list[Layer]:
    """At most MOST_BARS: the blocks of the finest level that has so few, or neighbours of a finer one together."""
    blocks: list[list[list[Layer]]] = []  # coarsest first
    for depth in range(1, max((row.name.count(".") for row in rows), default=0) + 2):
        place = partial(beginning, depth)
        blocks.append([[*part] for _, part in groupby(rows, place)])
    few = [level for level in blocks if len(level) <= MOST_BARS]
    if few and (len(few) == len(blocks) or len(few[-1]) >= FEWEST_BARS):
        return [joined(block) for block in few[-1]]
    many = blocks[len(few)]
    size = -(-len(many) // MOST_BARS)
    return [joined([*chain(*many[start : start + size])]) for start in range(0, len(many), size)]


def beginning(depth: int, row: Layer) -> list[str]:
    """`3.inner.0` -> its first so many parts."""
    return row.name.split(".")[:depth]


def joined(rows: Sequence[Layer]) -> Layer:
    """One for neighbours, with what the last puts out; a single one as it is."""
    first, last = rows[0], rows[-1]
    if len(rows) == 1:
        return first
    name, kind = f"{first.name} to {last.name}", f"{len(rows)} layers"
    return Layer(name, kind, last.shape, sum(row.parameters for row in rows), last.applied)


def dimensions(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def bars(rows: Sequence[Layer]) -> go.Bar:
    used = [f" (used {row.applied:,} times)" if row.applied > 1 else "" for row in rows]
    return go.Bar(
        x=[row.parameters for row in rows],
        y=[*range(len(rows))],
        orientation="h",
        marker={"color": COLOURS[0], "line": {"width": 0}},
        text=[f"{row.parameters:,}{times}" for row, times in zip(rows, used, strict=True)],
        textposition="outside",
        textfont={"size": 10},
        cliponaxis=False,
        customdata=[f"{row.name}, {row.kind}{times}" for row, times in zip(rows, used, strict=True)],
        hovertemplate="%{customdata}: %{x:,} parameters<extra></extra>",
    )
