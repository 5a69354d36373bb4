"""Plotly figures of any table of trials: two settings as a heat map, many as parallel coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lab.figure_parts import counted, empty, framed, is_wide, shown, span, subtitled

WORST_TO_BEST = [[0.0, "#d55e00"], [0.5, "#b3a78f"], [1.0, "#2f7fc1"]]  # lines: neither end fades on any paper
FEW = 12  # different values of a setting that each get a tick
WRITTEN_CELLS = 200  # of a heat map: in smaller cells numbers do not fit


def heat(frame: pd.DataFrame, x: str, y: str, value: str = "accuracy") -> go.Figure:
    """Mean of a column over all rows with equal x and y, as colours with numbers; settings that nobody tried are blank.

    Settings are equally far apart, numbers in order and words as they come. Accuracies are in %.

    Example:
        >>> frame = pd.DataFrame({"lr": [0.1, 1.0], "momentum": [0.9, 0.9], "accuracy": [0.5, 0.7]})
        >>> heat(frame, "lr", "momentum").data[0].z.tolist()
        [[50.0, 70.0]]

    Errors:
        ValueError for a column that is not there.
    """
    heading, known = f"Mean {value} by {x} and {y}", rows_with(frame, [x, y, value])
    if known.empty:
        return empty(heading, "No trial has all three.")
    columns, rows = settings(frame[x]), settings(frame[y])
    means = known.pivot_table(value, y, x, "mean").reindex(index=rows, columns=columns) * in_percent(value)
    counts = known.pivot_table(value, y, x, "count").reindex(index=rows, columns=columns).to_numpy()
    figure = framed(heading, height=190 + 34 * max(len(rows), 4))
    number = "{z:.1f}" if in_percent(value) > 1 else "{z:.3~g}"
    figure.add_heatmap(x=[shown(written(setting)) for setting in columns])
    figure.update_traces(
        y=[shown(written(setting)) for setting in rows],
        z=means.to_numpy(),
        customdata=counts,
        colorscale="Cividis",
        colorbar={"title": {"text": unit(value), "side": "right"}},
        texttemplate=f"%{number}" if counts.size <= WRITTEN_CELLS else "",
        hovertemplate=f"{escape(x)} %{{x}}<br>{escape(y)} %{{y}}<br>%{number}, runs: %{{customdata}}<extra></extra>",
        xgap=1,
        ygap=1,
    )
    figure.update_xaxes(title_text=shown(x), type="category", showgrid=False)
    downwards = None if pd.api.types.is_numeric_dtype(frame[y]) else "reversed"
    figure.update_yaxes(title_text=shown(y), type="category", showgrid=False, automargin=True, autorange=downwards)
    return subtitled(figure, f"mean of {span(np.nanmin(counts), np.nanmax(counts), 'run')} in each cell")


def parallel(frame: pd.DataFrame, columns: Sequence[str], value: str = "accuracy") -> go.Figure:
    """A line per row across one axis per setting to its value, coloured by rank from orange to blue, the highest.

    Up to 12 different settings are equally far apart; more numbers lie on a linear axis, or a logarithmic one if they
    are above 0 and span more than one and a half decades. Accuracies are in %. Dragging along an axis picks lines.

    Errors:
        ValueError for a column that is not there.
    """
    heading = f"{value.capitalize()} by {', '.join(columns)}"
    known = rows_with(frame, [*columns, value]).sort_values(value)
    if known.empty:
        return empty(heading, "No trial has all of these.")
    figure = framed(heading, height=440)
    axes = [{"label": clipped(column), **axis_of(known[column])} for column in columns]
    last = {"label": unit(value), "values": known[value].to_numpy(dtype=float) * in_percent(value)}
    line = {"color": np.arange(len(known)), "colorscale": WORST_TO_BEST}
    figure.add_parcoords(dimensions=[*axes, last], line=line, labelfont_size=12, tickfont_size=12)
    left = max(map(len, [*axes[0].get("ticktext", []), axes[0]["label"]])) if axes else 0
    subtitled(figure, f"{counted(len(known), 'run')}; blue: highest", "drag along an axis to pick some")
    return figure.update_layout(margin={"l": 30 + 7 * left, "r": 60, "t": 125, "b": 30})


def axis_of(column: Any) -> dict[str, Any]:
    """Words, and a few different numbers, at equal distances; many numbers on a linear or a logarithmic axis."""
    if not pd.api.types.is_numeric_dtype(column) or column.nunique() <= FEW:
        found = settings(column)
        places = [found.index(setting) for setting in column]
        return {
            "values": places,
            "tickvals": list(range(len(found))),
            "ticktext": [clipped(written(name)) for name in found],
        }
    values = column.to_numpy(dtype=float)
    if not is_wide(values):
        return {"values": values}
    ticks = np.arange(np.ceil(np.log10(values.min())), np.floor(np.log10(values.max())) + 1)
    return {"values": np.log10(values), "tickvals": ticks, "ticktext": [f"{10**tick:g}" for tick in ticks]}


def rows_with(frame: pd.DataFrame, columns: Sequence[str]) -> Any:
    """The rows in which none of the columns is empty."""
    if strangers := [column for column in columns if column not in frame]:
        raise ValueError(f"There is no column {strangers[0]!r}. Expected one of: {', '.join(map(str, frame))}.")
    return frame.dropna(subset=list(columns))


def settings(column: Any) -> list[Any]:
    """The different values of a column: numbers in order, anything else as it comes."""
    found = list(column.dropna().unique())
    return sorted(found) if pd.api.types.is_numeric_dtype(column) else found


def written(setting: Any) -> str:
    return f"{setting:g}" if isinstance(setting, float) else str(setting)


def clipped(text: str, length: int = 28) -> str:
    """Without its middle, where lines cannot be broken."""
    return text if len(text) <= length else f"{text[: length // 2]}…{text[-(length // 2) + 1 :]}"


def in_percent(value: str) -> float:
    return 100.0 if value.endswith("accuracy") else 1.0


def unit(value: str) -> str:
    return f"{value}, %" if value.endswith("accuracy") else value
