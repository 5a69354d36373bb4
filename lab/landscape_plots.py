"""Plotly figures of loss landscapes, on light and dark paper: no training, no widgets.

A figure's traces are made once by `..._traces` and drawn anew in place with what `..._data` gives, in the same order.
Colour is the loss, dark where it is low; a run has its colour and dash of the curves, and a grey mark is one at which
the plane misleads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lab.diagnostic_plots import themed
from lab.figure_parts import pale, shown
from lab.landscape.scenes import RunPath, Scale, Scene, axis_names
from lab.landscape.surfaces import Surface
from lab.plots import colour_and_dash

MOST_SURFACES = 6  # a browser lends a page eight to sixteen 3-D contexts
MOST_CONTOURS = 8
ABREAST = 4
# One hue whose lightness alone says the height: the runs' own hues stand out on it, and no eye confuses it.
COLOURS = ((0.0, "#1b2c48"), (0.25, "#3f5f7f"), (0.5, "#7d9cae"), (0.75, "#bccdd0"), (1.0, "#f3f1e7"))
MISLEADS = "#8c8c8c"
SMALL = 12  # letters of the titles of several pictures, so that they stay within their own
EDGE = "#ffffff"  # around marks and lines, so that they are seen on every height
EYE, MIDDLE = (1.3, 1.45, 1.15), {"x": 0, "y": 0, "z": -0.15}
HOVER = "loss %{customdata[0]:.4~g} ± %{customdata[2]:.2~g}<br>accuracy %{customdata[1]:.1%}<extra></extra>"
HOVER_ALL = HOVER.replace(" ± %{customdata[2]:.2~g}", "")  # of a whole split there is no standard error
MARK = (
    "step %{customdata[0]:,}<br>loss %{customdata[1]:.4~g}, on the plane %{customdata[2]:.4~g}<extra>%{fullData.name}"
)


def surface_figure(
    scenes: Sequence[Scene], scale: Scale | None = None, *, dark: bool = False, abreast: int = ABREAST
) -> go.Figure:
    """Surfaces side by side in 3-D with their paths: one range, one colour scale, one camera to begin with.

    Args:
        abreast: so many in a row at most.
    Errors:
        ValueError for no scene, more than 6, or one over a line.
    """
    check(scenes, MOST_SURFACES, "3-D picture", line=False)
    scale = scale or Scale.of(scenes)
    rows, columns = places(len(scenes), abreast)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        specs=[[{"type": "scene"}] * columns] * rows,
        subplot_titles=titles(scenes, columns),
        horizontal_spacing=0.01,
        vertical_spacing=0.06,
    )
    for index, scene in enumerate(scenes):
        for trace, data in zip(surface_traces(scene), surface_data(scene, scale), strict=True):
            figure.add_trace(trace.update(data), row=index // columns + 1, col=index % columns + 1)
    figure.update_scenes(**space(scenes[0], scale, small=columns > 1))
    if columns > 1:
        figure.update_annotations(font_size=SMALL)
    figure.update_layout(coloraxis=colour_axis(scale), height=430 * rows + 110 if rows > 1 else 560)
    return finished(figure, scenes, dark=dark)


def contour_figure(
    scenes: Sequence[Scene], scale: Scale | None = None, *, dark: bool = False, abreast: int = ABREAST
) -> go.Figure:
    """Bands of equal loss with the paths on them, side by side over one colour scale.

    Args:
        abreast: so many in a row at most.
    Errors:
        ValueError for no scene, more than 8, or one over a line.
    """
    check(scenes, MOST_CONTOURS, "picture of contours", line=False)
    scale = scale or Scale.of(scenes)
    rows, columns = places(len(scenes), abreast)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=titles(scenes, columns),
        horizontal_spacing=0.14 / columns,
        vertical_spacing=0.3 / rows,  # for the names of the axes above and the title below
    )
    for index, scene in enumerate(scenes):
        row, column = index // columns + 1, index % columns + 1
        for trace, data in zip(contour_traces(scene, scale), contour_data(scene, scale), strict=True):
            figure.add_trace(trace.update(data), row=row, col=column)
        framed_by(figure, scene.surface, row, column, small=columns > 1)
    if columns > 1:
        figure.update_annotations(font_size=SMALL).update_xaxes(title_font_size=SMALL).update_yaxes(
            title_font_size=SMALL
        )
    figure.update_layout(coloraxis=colour_axis(scale), height=(400 if columns > 1 else 520) * rows + 80)
    return finished(figure, scenes, dark=dark)


def lines_figure(scenes: Sequence[Scene], *, dark: bool = False) -> go.Figure:
    """Loss, with a band of one standard error to either side, and accuracy along straight lines; one colour each.

    The loss has a logarithmic axis where it spans more than a decade.

    Errors:
        ValueError for no scene, more than 8, or one over a plane.
    """
    check(scenes, MOST_CONTOURS, "picture of lines", line=True)
    scale = Scale.of(scenes)
    names = f"{scale.name} (nats per example)", "accuracy"  # above: beside, one would lie over the other picture
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.12, subplot_titles=names)
    figure.update_annotations(font_size=SMALL)
    for index, scene in enumerate(scenes):
        for column, trace, data in zip((1, 1, 1, 2), line_traces(scene, index), line_data(scene), strict=True):
            figure.add_trace(trace.update(data), row=1, col=column)
    figure.update_xaxes(title_text=shown(axis_names(scenes[0].surface.origin)[0], 60))
    figure.update_yaxes(col=1, type="log" if scale.log else "linear")
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%", col=2)
    if scale.log:
        figure.update_yaxes(range=[scale.range[0] - 0.1, scale.range[1] + 0.1], exponentformat="power", dtick=1, col=1)
    return finished(figure.update_layout(height=420), scenes, dark=dark)


def check(scenes: Sequence[Scene], most: int, what: str, *, line: bool) -> None:
    if not 1 <= len(scenes) <= most:
        raise ValueError(f"A {what} shows 1 to {most} landscapes, not {len(scenes)}. Choose fewer.")
    if any(scene.surface.grid.line != line for scene in scenes):
        right = "lines_figure" if not line else "surface_figure or contour_figure"
        raise ValueError(f"A {what} is for {'lines' if line else 'planes'} only. Use {right} for the others.")


def places(count: int, abreast: int = ABREAST) -> tuple[int, int]:
    """Rows and columns: up to three side by side, four and more in two rows, or in more where there is little room."""
    rows = max(1 + (count > 3), -(-count // abreast))
    return rows, -(-count // rows)


def titles(scenes: Sequence[Scene], columns: int) -> list[str]:
    return [shown(scene.title, 110 // columns) for scene in scenes]


# -- traces, and what they show now ------------------------------------------------------------------------------------


def surface_traces(scene: Scene) -> list[Any]:
    """A surface, and a line with marks for each path; nothing on them yet."""
    surface = go.Surface(coloraxis="coloraxis", opacity=0.94, hovertemplate=hover(scene.surface), showlegend=False)
    surface.update(lighting={"ambient": 0.75, "diffuse": 0.45, "specular": 0.08, "roughness": 0.9})
    return [surface, *map(line_3d, scene.paths)]


def line_3d(path: RunPath) -> go.Scatter3d:
    colour, dash = colour_and_dash(path.number)
    trace = go.Scatter3d(mode="lines+markers", line={"color": colour, "width": 6, "dash": dash}, **legend(path))
    return trace.update(marker={"size": 3.5, "line": {"width": 0}}, hovertemplate=MARK)


def surface_data(scene: Scene, scale: Scale) -> list[dict[str, Any]]:
    """What `surface_traces` show: heights of the losses, paths where the plane has them."""
    a, b = scene.surface.grid.axes
    heights = scale.heights(scene.surface.loss).T
    paths = [{**marks(path), "z": scale.heights(path.on_plane) + lift(scale)} for path in scene.paths]
    return [{"x": a, "y": b, "z": heights, "customdata": beside(scene.surface)}, *paths]


def lift(scale: Scale) -> float:
    """A line that lies in a surface is half hidden in it."""
    bottom, top = scale.range
    return 0.012 * (top - bottom)


def contour_traces(scene: Scene, scale: Scale) -> list[Any]:
    """Bands, and for each path an edge and a line with marks; nothing on them yet."""
    low, high, size = scale.levels[0], scale.levels[-1], scale.levels[1] - scale.levels[0]
    bands = {"start": low, "end": high, "size": size}
    line = {"width": 0.5, "color": "rgba(255,255,255,0.45)"}
    contour = go.Contour(coloraxis="coloraxis", contours=bands, line=line, showlegend=False)
    contour.update(hovertemplate=hover(scene.surface))
    return [contour, *(trace for path in scene.paths for trace in (edge(), line_2d(path)))]


def edge() -> go.Scatter:
    return go.Scatter(mode="lines", line={"color": EDGE, "width": 5}, opacity=0.7, hoverinfo="skip", showlegend=False)


def line_2d(path: RunPath) -> go.Scatter:
    colour, dash = colour_and_dash(path.number)
    trace = go.Scatter(mode="lines+markers", line={"color": colour, "width": 2.5, "dash": dash}, **legend(path))
    return trace.update(marker={"line": {"color": EDGE, "width": 1}, "opacity": 1}, hovertemplate=MARK)


def contour_data(scene: Scene, scale: Scale) -> list[dict[str, Any]]:
    """What `contour_traces` show."""
    a, b = scene.surface.grid.axes
    heights = scale.heights(scene.surface.loss).T
    lines = [data for path in scene.paths for data in (edge_data(path), {**marks(path), "marker.size": sizes(path)})]
    return [{"x": a, "y": b, "z": heights, "customdata": beside(scene.surface)}, *lines]


def edge_data(path: RunPath) -> dict[str, Any]:
    return {"x": path.coordinates[:, 0], "y": path.coordinates[:, 1]}


def line_traces(scene: Scene, index: int) -> list[Any]:
    """Of a line: lower and upper edge of the band, loss, accuracy; nothing on them yet."""
    colour, dash = colour_and_dash(index)
    name = shown(scene.title or "line")
    common = {"name": name, "legendgroup": name, "mode": "lines", "line": {"color": colour, "dash": dash, "width": 2.5}}
    edges = {"legendgroup": name, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    return [
        go.Scatter(edges),
        go.Scatter({**edges, "fill": "tonexty", "fillcolor": pale(index)}),
        go.Scatter({**common, "hovertemplate": "loss %{y:.4~g} at %{x:.3~g}"}),
        go.Scatter({**common, "showlegend": False, "hovertemplate": "accuracy %{y:.1%} at %{x:.3~g}"}),
    ]


def line_data(scene: Scene) -> list[dict[str, Any]]:
    """What `line_traces` show; what a logarithm does not show of the band is left out."""
    surface = scene.surface
    (a, _), loss, error = surface.grid.axes, surface.loss[:, 0], surface.error[:, 0]
    low = np.where(loss > error, loss - error, loss)
    return [{"x": a, "y": y} for y in (low, loss + error, loss, surface.accuracy[:, 0])]


def beside(surface: Surface) -> np.ndarray:
    """(nb, na, 3) loss, accuracy and standard error of each point, for the pointer."""
    return np.stack([surface.loss.T, surface.accuracy.T, surface.error.T], -1).astype(np.float32)


def hover(surface: Surface) -> str:
    return HOVER_ALL if surface.measured.samples == surface.measured.total else HOVER


def marks(path: RunPath) -> dict[str, Any]:
    """A path's places, and its marks: grey where the plane misleads."""
    colour, _ = colour_and_dash(path.number)
    colours = [MISLEADS if off else colour for off in path.off]
    told = np.stack([path.steps, path.true, path.on_plane], -1) if len(path.steps) else np.empty((0, 3))
    return {**edge_data(path), "customdata": told, "marker.color": colours, "marker.symbol": symbols(path)}


def symbols(path: RunPath) -> list[str]:
    """A square where it begins, a diamond where it is now."""
    inner = ["circle"] * max(0, len(path.steps) - 2)
    return ["square", *inner, "diamond"] if len(path.steps) > 1 else ["diamond"] * len(path.steps)


def sizes(path: RunPath) -> list[int]:
    inner = [7 if len(path.steps) <= 60 else 3] * max(0, len(path.steps) - 2)
    return [9, *inner, 13] if len(path.steps) > 1 else [13] * len(path.steps)


# -- frames ------------------------------------------------------------------------------------------------------------


def legend(path: RunPath) -> dict[str, Any]:
    return {"name": shown(path.name), "legendgroup": str(path.number)}


def colour_axis(scale: Scale) -> dict[str, Any]:
    bottom, top = scale.range
    heights, written = scale.ticks
    bar: dict[str, Any] = {"title": {"text": scale.name, "side": "right"}, "tickvals": heights, "ticktext": written}
    return {"colorscale": COLOURS, "cmin": bottom, "cmax": top, "colorbar": {**bar, "thickness": 14, "len": 0.8}}


def space(scene: Scene, scale: Scale, *, small: bool) -> dict[str, Any]:
    """Axes of a 3-D scene; their names are short, as the axes are."""
    names = [name.split(" (")[0] for name in axis_names(scene.surface.origin)]
    heights, written = scale.ticks
    bottom, top = scale.range
    plain: dict[str, Any] = {"showbackground": False, "nticks": 5, "title": {"font": {"size": 11 if small else 12}}}
    z = {**plain, "range": [bottom - 0.02 * (top - bottom), top], "tickvals": heights, "ticktext": written}
    x, y = ({**plain, "title": {**plain["title"], "text": name}} for name in names)
    z["title"] = {"text": ""}  # the bar of colours says it, and here it would be cut in a narrow place
    shape = {"aspectmode": "manual", "aspectratio": {"x": 1, "y": 1, "z": 0.75}, "camera": camera(scene, scale)}
    return {"xaxis": x, "yaxis": y, "zaxis": z, **shape}


def camera(scene: Scene, scale: Scale) -> dict[str, Any]:
    """Over the lowest corner: from there no slope hides the valley in which paths end."""
    heights = np.nan_to_num(scale.heights(scene.surface.loss), nan=scale.range[1])
    half = scene.surface.grid.size // 2
    corners = {(x, y): heights[x * half :, y * half :][: half + 1, : half + 1].mean() for x in (0, 1) for y in (1, 0)}
    x, y = min(corners, key=lambda corner: corners[corner])
    return {"eye": {"x": EYE[0] * (2 * x - 1), "y": EYE[1] * (2 * y - 1), "z": EYE[2]}, "center": MIDDLE}


def framed_by(figure: go.Figure, surface: Surface, row: int, column: int, *, small: bool) -> None:
    """Axes that end where the grid does; in small pictures one's name would lie over the next one's."""
    (a, b), (across, up) = surface.grid.axes, (brief(name) if small else name for name in axis_names(surface.origin))
    where: dict[str, Any] = {"row": row, "col": column}
    figure.update_xaxes(title_text=across, range=[a[0], a[-1]], zeroline=False, constrain="domain", **where)
    figure.update_yaxes(title_text=up if column == 1 else "", range=[b[0], b[-1]], zeroline=False, **where)


def brief(name: str) -> str:
    """Of an axis: its unit in one word."""
    return name.replace("(distance in weights)", "(distance)").replace("(in weight norms)", "(norms)")


def finished(figure: go.Figure, scenes: Sequence[Scene], *, dark: bool) -> go.Figure:
    """With a legend that names each run once, on the paper of the page."""
    seen: set[str] = set()
    traces: Any = figure.data
    for trace in traces:
        if trace.showlegend is not False and trace.name:
            trace.showlegend = trace.name not in seen
            seen.add(trace.name)
    key = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "itemwidth": 45}
    margin = {
        "l": 60,
        "r": 20,
        "t": 50 if any(scene.title for scene in scenes) or scenes[0].surface.grid.line else 30,
        "b": 80 if len(seen) > 1 else 50,
    }
    figure.update_layout(legend=key, margin=margin, uirevision="keep")
    return themed(figure.update_layout(showlegend=len(seen) > 1), dark=dark)
