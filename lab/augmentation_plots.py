"""Plotly figures of augmentations: no training, no widgets."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go

from lab.diagnostic_plots import BACKWARD, FORWARD, themed
from lab.diagnostics import LabelProbe, Probed
from lab.figure_parts import counted, empty, framed, subtitled

BESIDE = 0.72  # of a row's height, over which the strengths of an operation are spread


def label_keeping(probe: LabelProbe, *, dark: bool = False) -> go.Figure:
    """Accuracy lost or won by each operation (points), a row each, the worst at the top.

    In a row the strengths grow downwards and with the size of the marks; bars are intervals. Orange squares: the
    class is not kept, by the rule of `lab.diagnostics.label_probe`.
    """
    if not probe.probed:
        return themed(empty("Which augmentations keep the class", "There is no operation to try."), dark=dark)
    names = sorted({each.operation for each in probe.probed}, key=lambda name: worst(probe.of(name)), reverse=True)
    figure = framed("Which augmentations keep the class", height=190 + 46 * len(names))
    for kept in (True, False):
        figure.add_trace(marks(probe, names, kept=kept))
    figure.update_xaxes(title_text="accuracy, points more than on the same images unchanged", zeroline=True)
    rows = list(range(len(names)))
    labels = [escape(name.replace("_", " ")) for name in names]
    figure.update_yaxes(tickvals=rows, ticktext=labels, automargin=True, zeroline=False)
    figure.update_yaxes(range=[-0.6, len(names) - 0.4])
    figure.update_layout(margin_b=85)
    left_out = f"left out: {', '.join(probe.left_out)}" if probe.left_out else ""
    return themed(subtitled(figure, caveat(probe), left_out), dark=dark)


def caveat(probe: LabelProbe) -> str:
    """What the picture rests on: one line, whatever else is said below it."""
    seen = f"{counted(probe.images, 'validation image')}, {100 * probe.accuracy:.1f}% right as they are"
    return f"As one run sees {seen}; bars: {100 * probe.level:g}% together"


def worst(probed: Sequence[Probed]) -> float:
    return min(each.difference for each in probed)


def marks(probe: LabelProbe, names: Sequence[str], *, kept: bool) -> go.Scatter:
    """All points of one kind: where the class is kept, or where it is not."""
    x, y, sizes, texts, above, below = ([] for _ in range(6))
    for row, name in enumerate(names):
        for place, each in enumerate(probed := probe.of(name)):
            if each.changes_the_class == kept:
                continue
            x.append(100 * each.difference)
            y.append(row + BESIDE * (0.5 - (place + 0.5) / len(probed)))
            sizes.append(6 + 6 * (place + 1) / len(probed))
            texts.append(hover(each))
            above.append(100 * (each.high - each.difference))
            below.append(100 * (each.difference - each.low))
    colour, symbol, said = (FORWARD, "circle", "kept") if kept else (BACKWARD, "square", "not kept")
    bars = {"type": "data", "array": above, "arrayminus": below, "color": colour, "thickness": 1, "width": 0}
    points = go.Scatter(x=x, y=y, mode="markers", name=f"class {said}", error_x=bars, text=texts, showlegend=True)
    points.update(marker={"color": colour, "symbol": symbol, "size": sizes, "opacity": 1})
    return points.update(hovertemplate="%{text}<extra></extra>")


def hover(each: Probed) -> str:
    hit = f"<br>classes that keep less than half: {escape(', '.join(each.hit))}" if each.hit else ""
    return f"{escape(each.name)}: {100 * each.accuracy:.1f}% right<br>typical class keeps {100 * each.kept:.0f}%{hit}"
