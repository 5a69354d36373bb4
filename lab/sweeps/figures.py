"""Plotly figures of a sweep: curves with bands over seeds, the best combinations, accuracy by what differs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor, log10
from statistics import fmean, median
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lab.figure_parts import completed, empty, framed, pale, shown, subtitled
from lab.plots import COLOURS, colour_and_dash
from lab.recipe import flat
from lab.sweeps.findings import Combination, Findings, in_words

IN_COLOUR, IN_GREY, IN_LIST = 6, 60, 20  # combinations drawn with a band, as a pale line, in the list of the best
KEYS, ACROSS, PANEL = 9, 3, 250  # of what differs: at most so many pictures, in a row, and their height
GREY = "rgba(128,128,128,0.35)"
EPOCHS, FEW_EPOCHS = 100, 12  # points of a curve, at most; up to so many epochs each has its tick
DOTS, WITH_NAMES = 500, 150  # combinations in a picture of what differs; of more only the best. With names, fewer
APART, GROUPS = 12, 8  # numbers whose means are joined as they are; of more, in so many groups of neighbours
FACTOR = 9.99  # numbers above 0 that span as much, 0.03 to 0.3 too, are drawn on a logarithmic axis
ROOM, MOST_DECADES = 0.13, 6  # of such an axis: what a label takes, and those that each have one
NAME = 46  # letters of a combination beside its dots


def bands(found: Findings) -> go.Figure:
    """Validation accuracy (%) by epoch: means over the seeds, and bands from their lowest to their highest."""
    heading = "Validation accuracy on the way"
    drawn = [each for each in found.combinations if each.accuracies]
    if not drawn:
        return empty(heading, "No run has finished yet.")
    figure, best = framed(heading), drawn[:IN_COLOUR]
    rest = drawn[IN_COLOUR : IN_COLOUR + IN_GREY]
    figure.add_traces([grey(each) for each in reversed(rest)])
    for index, each in reversed(list(enumerate(best))):
        figure.add_traces(banded(index, each))
    figure.update_xaxes(title_text="epoch")
    if (longest := max(curve(each)[0][-1] for each in drawn)) <= FEW_EPOCHS:
        figure.update_xaxes(tickvals=list(range(1, longest + 1)))
    figure.update_yaxes(title_text="accuracy, % of validation images")
    figure.update_layout(legend_traceorder="reversed")
    more = f"grey: {len(rest)} more" if rest else ""
    left = len(drawn) - len(best) - len(rest)
    seeds = "lines: means over seeds; bands: lowest to highest" if len(found.sweep.all_seeds) > 1 else "one seed each"
    return completed(figure, seeds, more, f"{left} not drawn" if left else "")


def grey(each: Combination) -> go.Scatter:
    epochs, _, mean, _ = curve(each)
    line = {"color": GREY, "width": 1}
    return go.Scatter(x=epochs, y=mean, name=shown(each.name), mode="lines", line=line, showlegend=False)


def banded(index: int, each: Combination) -> list[go.Scatter]:
    colour, dash = colour_and_dash(index)
    epochs, low, mean, high = curve(each)
    line = {"color": colour, "dash": dash, "width": 2.5}
    hover = "epoch %{x}: %{y:.1f}%"
    drawn = [go.Scatter(x=epochs, y=mean, mode="lines", line=line, name=shown(each.name), hovertemplate=hover)]
    if len(each.accuracies) > 1:
        area = {"x": epochs + epochs[::-1], "y": high + low[::-1], "fill": "toself", "fillcolor": pale(index)}
        drawn.insert(0, go.Scatter(**area, mode="lines", line={"width": 0}, showlegend=False, hoverinfo="skip"))
    return drawn


def curve(each: Combination) -> tuple[list[int], list[float], list[float], list[float]]:
    """Epochs that are drawn, and lowest, mean and highest accuracy (%) after each: as far as all seeds have them."""
    curves = [outcome.accuracies for outcome in each.outcomes if outcome.accuracy is not None]
    length = min(map(len, curves))
    stride = -(-length // EPOCHS)
    epochs = list(range(length, 0, -stride))[::-1]
    columns = [[100 * curve[epoch - 1] for curve in curves] for epoch in epochs]
    return epochs, list(map(min, columns)), list(map(fmean, columns)), list(map(max, columns))


def best(found: Findings) -> go.Figure:
    """The best combinations, the highest mean on top: the mean as a dot, single seeds pale."""
    heading = "The best combinations"
    listed = found.complete[:IN_LIST][::-1]
    if not listed:
        return empty(heading, "No combination has all its seeds yet.")
    figure = framed(heading, height=150 + 26 * len(listed))
    seeds = [(place, accuracy) for place, each in enumerate(listed) for accuracy in each.accuracies]
    if any(len(each.accuracies) > 1 for each in listed):
        add_dots(figure, "one seed", [100 * accuracy for _, accuracy in seeds], [place for place, _ in seeds], size=6)
        figure.update_traces(selector=-1, opacity=0.5)
    add_dots(figure, "mean", [100 * each.mean for each in listed], list(range(len(listed))), size=11)
    names = [clipped(each.name) for each in listed]
    figure.update_yaxes(tickvals=list(range(len(listed))), ticktext=names, range=[-0.7, len(listed) - 0.3])
    figure.update_xaxes(title_text="accuracy after the last epoch, % of validation images")
    figure.update_layout(margin_l=24 + 7 * max(map(len, names)))
    return completed(figure, "chosen as the highest of many, so partly by luck")


def add_dots(figure: go.Figure, name: str, x: Sequence[float], y: Sequence[float], *, size: int) -> None:
    marker = {"color": COLOURS[0], "size": size}
    figure.add_scatter(x=x, y=y, name=name, mode="markers", marker=marker, hovertemplate=f"{name}: %{{x:.1f}}%")


def differs(found: Findings) -> go.Figure:
    """Mean accuracy (%) of each combination by everything that differs; a line joins means of equal or near values."""
    heading = "By what differs"
    drawn = [each for each in found.combinations if each.accuracies][:DOTS]
    keys = [key for key in found.keys if len({text(each, key) for each in drawn if text(each, key)}) > 1][:KEYS]
    if not keys:
        return empty(heading, "Nothing differs between the combinations that have finished.")
    figure = panels(heading, keys)
    for place, key in enumerate(keys):
        add_panel(figure, [each for each in drawn if text(each, key)], key, place // ACROSS + 1, place % ACROSS + 1)
    return subtitled(
        figure,
        "a dot for each combination; the line joins the means of equal values, of many numbers those of neighbours",
        "what else differs lies behind each dot too",
    )


def panels(heading: str, keys: Sequence[str]) -> go.Figure:
    """An empty one for each key, in rows."""
    rows, titles = ceil(len(keys) / ACROSS), [shown(key) for key in keys]
    columns, between = min(ACROSS, len(keys)), 0.32 / rows
    figure = make_subplots(rows, columns, subplot_titles=titles, shared_yaxes=True, vertical_spacing=between)
    figure.update_layout(framed(heading, 130 + PANEL * rows).layout, overwrite=False)
    for row in range(1, rows + 1):
        figure.update_yaxes(title_text="accuracy, %", row=row, col=1)
    return figure.update_layout(showlegend=False)


def text(each: Combination, key: str) -> str:
    """Its value in words; empty where its recipe has no such key."""
    leaves = flat(each.recipe)
    return in_words(leaves[key]) if key in leaves else ""


def add_panel(figure: go.Figure, drawn: Sequence[Combination], key: str, row: int, column: int) -> None:
    values = [flat(each.recipe)[key] for each in drawn]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    places: list[Any] = values if numbers else [clipped(text(each, key), 16) for each in drawn]
    order = sorted(set(places)) if numbers else list(dict.fromkeys(places))
    if not numbers:
        figure.update_xaxes(type="category", categoryorder="array", categoryarray=order, row=row, col=column)
    elif min(places) > 0 and max(places) >= FACTOR * min(places):
        figure.update_xaxes(type="log", **logarithmic_ticks(order), row=row, col=column)
    at = {"row": row, "col": column}
    dotted = list(zip(places, (100 * each.mean for each in drawn), strict=True))
    groups = neighbours(dotted) if numbers and len(order) > APART else equals(dotted, order)
    if len(groups) < len(drawn):  # elsewhere the line would join single dots
        x, y = [place for place, _ in groups], [mean for _, mean in groups]
        line = {"color": COLOURS[1], "width": 2}
        figure.add_scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", **at)
    names = [shown(each.name) for each in drawn] if len(drawn) <= WITH_NAMES else ""
    marker = {"color": COLOURS[0], "size": 7}
    dots = {"x": places, "y": [100 * each.mean for each in drawn], "text": names, "marker": marker, "opacity": 0.6}
    figure.add_scatter(**dots, mode="markers", hovertemplate="%{y:.1f}%<br>%{text}<extra></extra>", **at)


def logarithmic_ticks(values: Sequence[float]) -> dict[str, Any]:
    """At the values where their labels have room, else at round numbers. values: sorted, above 0."""
    decades = [log10(high / low) for low, high in pairwise(values)]
    span = sum(decades)
    if span > MOST_DECADES:
        return {"exponentformat": "power"}
    powers = [10.0**power for power in range(floor(log10(values[0])), ceil(log10(values[-1])) + 1)]
    round_ones = [power * step for power in powers for step in ((1, 2, 5) if span < 2 else (1,))]
    inside = [number for number in round_ones if 0.9 * values[0] < number < 1.1 * values[-1]]
    ticks = values if min(decades) >= ROOM * span else inside
    return {"tickvals": list(ticks), "ticktext": [f"{tick:.4g}" for tick in ticks]}


def equals(dotted: Sequence[tuple[Any, float]], order: Sequence[Any]) -> list[tuple[Any, float]]:
    """Each place with the mean of what lies there."""
    return [(place, fmean(height for at, height in dotted if at == place)) for place in order]


def neighbours(dotted: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The median place and the mean of groups of about equal size, from left to right."""
    line = sorted(dotted)
    ends = [round(part * len(line) / GROUPS) for part in range(GROUPS + 1)]
    groups = [line[start:end] for start, end in pairwise(ends)]
    return [(median(place for place, _ in group), fmean(height for _, height in group)) for group in groups]


def clipped(name: str, length: int = NAME) -> str:
    """One line, without its middle if it is long, as Plotly shows it letter by letter."""
    line = " ".join(name.split())
    short = line if len(line) <= length else f"{line[: length // 2]}…{line[-(length // 2) + 1 :]}"
    return shown(short, length) or "''"


def all_figures(found: Findings) -> dict[str, go.Figure]:
    """By name, in the order in which they are read."""
    return {"curves": bands(found), "best": best(found), "differs": differs(found)}
