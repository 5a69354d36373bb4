"""Plotly figure of generated pictures beside the training pictures that are nearest to them."""

from __future__ import annotations

from html import escape

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from lab.diagnostic_plots import ink, themed
from lab.diagnostics import Copies
from lab.figure_parts import framed, subtitled
from lab.prediction_plots import pixels

GAP = 0.15  # of a picture's width between two columns
WORDS = 0.75  # of a picture's height for what stands below a column


def generated_pictures(found: Copies, *, columns: int = 12, dark: bool = False) -> go.Figure:
    """Generated pictures (above) and for each the nearest training picture of its class (below).

    From the one that lies nearest on the left to the one that lies farthest, at equal steps in that order. Below: the
    class, and the distance as a multiple of what is usual for validation pictures of the class.

    Errors:
        ValueError for less than one column.
    """
    if columns < 1:
        raise ValueError(f"columns is {columns}, but must be at least 1.")
    order = found.distances.argsort()
    chosen = order[torch.linspace(0, len(order) - 1, min(columns, len(order))).long()]
    sheet = side_by_side([one_above_the_other(found, int(index)) for index in chosen])
    height, width = found.generated.shape[-2:]
    figure = framed("Generated pictures, and the training pictures nearest to them")
    figure.add_image(z=sheet, colormodel="rgba", hoverinfo="skip")
    for place, index in enumerate(chosen.tolist()):
        text = f"{escape(found.classes[int(found.labels[index])])}<br>{found.distances[index]:.2g}"
        at = {"x": place * sheet.shape[1] / len(chosen) + (width - 1) / 2, "y": (2 + GAP) * height, "yanchor": "top"}
        figure.add_annotation(text=text, font={"size": 11, "color": ink(dark=dark)}, showarrow=False, **at)
    figure.update_xaxes(visible=False, constrain="domain").update_yaxes(visible=False)
    subtitled(figure, found.sentence)
    figure.update_layout(margin={"l": 12, "r": 12, "b": 12}, height=110 + round(900 * len(sheet) / sheet.shape[1]))
    return themed(figure, dark=dark)


def one_above_the_other(found: Copies, index: int) -> np.ndarray:
    """(rows, width, 4) uint8: the generated picture, the one nearest to it, and room for words."""
    above, below = (pixels(as_bytes(images[index])) for images in (found.generated, found.nearest))
    room = np.zeros((round(WORDS * len(above)) or 1, above.shape[1], 4), dtype=np.uint8)  # see-through
    between = np.zeros((round(GAP * len(above)), above.shape[1], 4), dtype=np.uint8)
    return np.concatenate([above, between, below, room])


def side_by_side(parts: list[np.ndarray]) -> np.ndarray:
    height, width = parts[0].shape[:2]
    between = np.zeros((height, round(GAP * width) or 1, 4), dtype=np.uint8)
    return np.concatenate([piece for part in parts for piece in (part, between)], 1)


def as_bytes(image: Tensor) -> Tensor:
    """From 0 to 1 -> uint8."""
    return (image * 255).round().to(torch.uint8)
