"""Plotly's figures of lines and points as PNG, without a browser: what is seen of a notebook where Plotly is not.

Drawn are scatter traces (lines with their dashes, marks, areas to themselves), linear, logarithmic and named axes,
titles, annotations and the legend. What a still lacks is what a pointer does.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from io import BytesIO
from itertools import pairwise
from math import ceil, floor, isfinite, log10
from typing import Any

import numpy as np
import plotly.graph_objects as go
from PIL import Image, ImageColor, ImageDraw

from lab.sheets import INK, PAPER, cut, font_of

WIDTH, HEIGHT = 900, 400
FINER = 2  # pixels for each of Plotly's: screens have that many
SIZE, HEAD = 12, 16  # of letters
GRID = (128, 128, 128, 70)
DASHES = {"dash": (8, 5), "dot": (2, 4), "dashdot": (8, 4, 2, 4), "longdash": (14, 6), "longdashdot": (14, 5, 2, 5)}
TICKS = 6
COLOURS = 128  # of a PNG's palette: a third of the bytes
KEY, LINE = 34, 18  # of the legend: a line's sample, and a row
BELOW = 46  # pixels that an axis takes for its numbers and its name
Places = list[tuple[float, float]]
Row = list[tuple[float, Mapping[str, Any], str]]  # of the legend: where an entry begins, its trace, its words


def with_still(figure: go.Figure) -> dict[str, Any]:
    """The figure twice, for `display(..., raw=True)`: for Plotly, and as a PNG for every viewer that has none."""
    picture = base64.b64encode(still(figure)).decode()
    return {"application/vnd.plotly.v1+json": json.loads(figure.to_json() or "{}"), "image/png": picture}


def still(figure: go.Figure, *, dark: bool = False) -> bytes:
    """A figure as PNG."""
    picture = drawn(figure, dark=dark).quantize(COLOURS, dither=Image.Dither.NONE)
    file = BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def drawn(figure: go.Figure, *, dark: bool = False) -> Image.Image:
    """(2 * height, 2 * width) pixels of a figure's size, 900 wide where it leaves that open."""
    spec: dict[str, Any] = figure.to_plotly_json()  # pyright: ignore[reportAssignmentType]  # it is no list
    layout: dict[str, Any] = spec["layout"]
    width, height = int(layout.get("width") or WIDTH), int(layout.get("height") or HEIGHT)
    margin = {"l": 80, "r": 80, "t": 100, "b": 80}
    margin |= {side: room for side, room in layout.get("margin", {}).items() if side in margin}
    inner = margin["l"], margin["t"], width - margin["r"], height - margin["b"]
    rows = [] if layout.get("showlegend") is False else legend_of(spec["data"], width)
    height += max(0, BELOW + LINE * len(rows) - margin["b"])  # as Plotly does, which makes the figure's inside smaller
    paper = Image.new("RGB", (width * FINER, height * FINER), PAPER[dark])
    pen = Pen(ImageDraw.Draw(paper, "RGBA"), INK[dark])
    for name, traces in by_axes(spec["data"]).items():
        draw_axes(pen, layout, name, traces, inner)
    draw_words(pen, layout, inner, width)
    draw_legend(pen, rows, height - LINE * len(rows) - 4)
    return paper


def by_axes(data: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Traces by the number of their pair of axes; the first has none. A trace that is no scatter is left out."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for trace in data:
        if trace.get("type", "scatter") == "scatter":
            found.setdefault(str(trace.get("xaxis") or "x")[1:], []).append(trace)
    return found


@dataclass(frozen=True)
class Pen:
    """Draws in Plotly's pixels."""

    draw: Any
    ink: tuple[int, int, int]

    def line(self, places: Places, colour: Any, width: float, dash: str = "solid") -> None:
        for part in dashed(places, DASHES.get(dash, ())):
            points = [(x * FINER, y * FINER) for x, y in part]
            self.draw.line(points, fill=colour, width=max(1, round(width * FINER)), joint="curve")

    def area(self, places: Places, colour: Any) -> None:
        self.draw.polygon([(x * FINER, y * FINER) for x, y in places], fill=colour)

    def mark(self, place: tuple[float, float], colour: Any, size: float, symbol: str) -> None:
        box = [(part + sign * size / 2) * FINER for sign in (-1, 1) for part in place]
        look = {"outline": colour, "width": FINER * 2} if symbol.endswith("open") else {"fill": colour}
        (self.draw.rectangle if symbol.startswith("square") else self.draw.ellipse)(box, **look)

    def text(self, place: tuple[float, float], words: str, anchor: str = "la", size: int = SIZE) -> None:
        at = place[0] * FINER, place[1] * FINER
        self.draw.text(at, words, fill=self.ink, font=font_of(words, size * FINER), anchor=anchor)

    def tall_text(self, place: tuple[float, float], words: str) -> None:
        """Upwards, its middle at a place."""
        size = font_of(words, SIZE * FINER).getbbox(words)
        letters = Image.new("L", (int(size[2]) + 2, SIZE * FINER + 8))
        ImageDraw.Draw(letters).text((0, 0), words, fill=255, font=font_of(words, SIZE * FINER))
        turned = letters.rotate(90, expand=True)
        corner = int(place[0] * FINER - turned.width / 2), int(place[1] * FINER - turned.height / 2)
        self.draw.bitmap(corner, turned, fill=self.ink)


def dashed(places: Places, pattern: Sequence[float]) -> Iterator[Places]:
    """The parts of a line that a pattern of dashes and gaps leaves of it."""
    if not pattern:
        yield places
        return
    index, left, part = 0, pattern[0], places[:1]
    for (x0, y0), (x1, y1) in pairwise(places):
        length, gone = float(np.hypot(x1 - x0, y1 - y0)), 0.0
        while length - gone > left:
            gone += left
            place = x0 + (x1 - x0) * gone / length, y0 + (y1 - y0) * gone / length
            if index % 2 == 0:
                yield [*part, place]
            index, part = index + 1, [place]
            left = pattern[index % len(pattern)]
        left -= length - gone
        part = [*part, (x1, y1)]
    if index % 2 == 0 and len(part) > 1:
        yield part


# -- axes --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Axis:
    """Where the values of an axis lie. names: of its places, where it has any; low, high: in decades if logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool
    names: tuple[str, ...]
    ticks: tuple[tuple[float, str], ...]

    def place(self, value: Any) -> float:
        """In pixels; not a number where the axis has no such place."""
        return self.start + (self.height(value) - self.low) / (self.high - self.low) * (self.end - self.start)

    def height(self, value: Any) -> float:
        return height_of(value, self.names, log=self.log)


def height_of(value: Any, names: Sequence[str], *, log: bool) -> float:
    if isinstance(value, str):
        return float(names.index(value)) if value in names else float("nan")
    number = float("nan") if value is None else float(value)
    if not log:
        return number
    return log10(number) if number > 0 else float("nan")


def axis_of(spec: Mapping[str, Any], values: Sequence[Any], start: float, end: float) -> Axis:
    """The axis of all values that are drawn along it, between two pixels."""
    words = spec.get("categoryarray")
    said = words if words is not None else [value for value in values if isinstance(value, str)]
    names, log = tuple(dict.fromkeys(map(str, said))), spec.get("type") == "log"
    heights = [height for value in values if isfinite(height := height_of(value, names, log=log))] or [0.0, 1.0]
    low, high = ends(spec, heights, named=bool(names))
    return Axis(low, high, start, end, log, names, tuple(ticks_of(spec, low, high, names, log=log)))


def ends(spec: Mapping[str, Any], heights: Sequence[float], *, named: bool) -> tuple[float, float]:
    if spec.get("range") is not None and not spec.get("autorange"):
        low, high = spec["range"]
        return float(low), float(high)
    low, high = min(heights), max(heights)
    room = 0.5 if named else 0.05 * (high - low) or 0.5
    return (0.0 if spec.get("rangemode") == "tozero" and low >= 0 else low - room), high + room


def ticks_of(
    spec: Mapping[str, Any], low: float, high: float, names: Sequence[str], *, log: bool
) -> Iterator[tuple[float, str]]:
    if spec.get("tickvals") is not None:
        values = listed(spec["tickvals"])
        texts = spec.get("ticktext") or [f"{value:g}" for value in values]
        yield from ((height_of(value, names, log=log), plain(text)) for value, text in zip(values, texts, strict=True))
    elif names:
        yield from ((float(place), plain(name)) for place, name in enumerate(names))
    elif log and high - low > 1:
        stride = ceil((high - low) / TICKS)
        yield from ((float(power), f"{10.0**power:g}") for power in range(ceil(low), floor(high) + 1, stride))
    elif log:
        yield from ((log10(value), f"{value:g}") for value in round_numbers(10**low, 10**high) if value > 0)
    else:
        yield from ((value, f"{value:g}") for value in round_numbers(low, high))


def round_numbers(low: float, high: float) -> list[float]:
    """A few multiples of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** floor(log10((high - low) / TICKS))
    step = next(digit * power for digit in (1, 2, 5, 10) if (high - low) / (digit * power) <= TICKS)
    return [round(place * step, 12) for place in range(ceil(low / step), floor(high / step) + 1)]


def draw_axes(
    pen: Pen,
    layout: Mapping[str, Any],
    name: str,
    traces: Sequence[Mapping[str, Any]],
    inner: tuple[float, float, float, float],
) -> None:
    across, up = layout.get(f"xaxis{name}", {}), layout.get(f"yaxis{name}", {})
    left, right = (inner[0] + share * (inner[2] - inner[0]) for share in across.get("domain") or (0, 1))
    bottom, top = (inner[3] - share * (inner[3] - inner[1]) for share in up.get("domain") or (0, 1))
    points = [points_of(trace) for trace in traces]
    x = axis_of(across, [value for xs, _ in points for value in xs], left, right)
    y = axis_of(up, [value for _, ys in points for value in ys], bottom, top)
    if across.get("visible") is not False:
        draw_frame(pen, x, y, words_of(across), words_of(up))
    box = left, top, right, bottom
    for trace, (xs, ys) in zip(traces, points, strict=True):
        draw_trace(pen, trace, [(x.place(a), y.place(b)) for a, b in zip(xs, ys, strict=True)], box)


def words_of(spec: Mapping[str, Any]) -> str:
    return plain((spec.get("title") or {}).get("text") or "")


def points_of(trace: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    ys = listed(trace.get("y"))
    if trace.get("x") is not None:
        return listed(trace["x"]), ys
    start, step = trace.get("x0") or 0.0, trace.get("dx") or 1.0
    return [start + step * place for place in range(len(ys))], ys


def listed(values: Any) -> list[Any]:
    """Plotly packs arrays as text."""
    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).tolist()
    return [] if values is None else list(values)


def draw_frame(pen: Pen, x: Axis, y: Axis, across: str, up: str) -> None:
    for height, words in x.ticks:
        if x.low <= height <= x.high:
            place = x.start + (height - x.low) / (x.high - x.low) * (x.end - x.start)
            pen.line([(place, y.start), (place, y.end)], GRID, 0.5)
            pen.text((place, y.start + 5), words, "ma")
    for height, words in y.ticks:
        if y.low <= height <= y.high:
            place = y.start + (height - y.low) / (y.high - y.low) * (y.end - y.start)
            pen.line([(x.start, place), (x.end, place)], GRID, 0.5)
            pen.text((x.start - 6, place), words, "rm")
    pen.text(((x.start + x.end) / 2, y.start + 22), across, "ma")
    if up:
        pen.tall_text((x.start - 44, (y.start + y.end) / 2), up)


# -- traces, words -----------------------------------------------------------------------------------------------------


def draw_trace(pen: Pen, trace: Mapping[str, Any], places: Places, box: tuple[float, float, float, float]) -> None:
    """Inside the box of its axes; gaps where there is nothing."""
    mode, marker = trace.get("mode") or "lines", trace.get("marker") or {}
    left, top, right, bottom = box
    held = [(min(max(a, left), right), min(max(b, top), bottom)) if isfinite(a + b) else None for a, b in places]
    if trace.get("fill") == "toself" and len(whole := [place for place in held if place]) > 2:
        pen.area(whole, colour_of(trace.get("fillcolor") or "rgba(128,128,128,0.2)", 1.0))
    colour = colour_of(line_of(trace).get("color"), trace.get("opacity"))
    if "lines" in mode and line_of(trace).get("width") != 0:
        for part in unbroken(held):
            pen.line(part, colour, line_of(trace).get("width") or 2, line_of(trace).get("dash") or "solid")
    if "markers" in mode and marker.get("size") != 0:
        paint = colour_of(marker.get("color") or line_of(trace).get("color"), trace.get("opacity"))
        for place in filter(None, held):
            pen.mark(place, paint, float(marker.get("size") or 6), str(marker.get("symbol") or "circle"))


def line_of(trace: Mapping[str, Any]) -> Mapping[str, Any]:
    return trace.get("line") or {}


def unbroken(places: Sequence[tuple[float, float] | None]) -> Iterator[Places]:
    part: Places = []
    for place in [*places, None]:
        if place:
            part.append(place)
        elif part:
            yield part
            part = []


def colour_of(text: Any, opacity: float | None) -> tuple[int, ...]:
    """Red, green, blue and how much of it, from 0 to 255, of `#rrggbb` or `rgba(r,g,b,share)`."""
    given = text if isinstance(text, str) else "#808080"
    if match := re.fullmatch(r"rgba\((\d+),\s*(\d+),\s*(\d+),\s*([\d.]+)\)", given):
        red, green, blue, share = match.groups()
        return int(red), int(green), int(blue), round(255 * float(share) * (opacity or 1.0))
    return (*ImageColor.getrgb(given)[:3], round(255 * (opacity or 1.0)))


def plain(text: str) -> str:
    """Plotly's words without its marks."""
    return unescape(re.sub(r"<[^>]*>", "", str(text).replace("<br>", "\n")))


def draw_words(pen: Pen, layout: Mapping[str, Any], inner: tuple[float, ...], width: int) -> None:
    """Title, subtitle, and what is written on the paper."""
    title = layout.get("title") or {}
    room = (width - 24) * FINER
    heading, under = (plain(part.get("text") or "") for part in (title, title.get("subtitle") or {}))
    top = 12
    for words, letters in ((heading, HEAD), (under, SIZE)):
        for line in filter(None, words.split("\n")):
            pen.text((12, top), cut(line, room), size=letters)
            top += letters + 5
    for note in layout.get("annotations") or ():
        x = inner[0] + float(note.get("x", 0.5)) * (inner[2] - inner[0])
        y = inner[3] - float(note.get("y", 0.5)) * (inner[3] - inner[1])
        across = {"left": "l", "right": "r"}.get(note.get("xanchor") or "", "m")
        along = {"top": "a", "bottom": "s"}.get(note.get("yanchor") or "", "m")
        pen.text((x, y - 4), plain(note.get("text") or ""), across + along, SIZE + 2)


def legend_of(data: Sequence[Mapping[str, Any]], width: int) -> list[Row]:
    """What the legend says, in rows that fit the width; nothing of a single trace."""
    named = [trace for trace in data if trace.get("name") and trace.get("showlegend") is not False]
    rows, left = list[Row](), float(width)
    for trace in named if len(named) > 1 else ():
        words = plain(trace["name"]).replace("\n", " ")
        wide = KEY + font_of(words, SIZE * FINER).getlength(words) / FINER + 16
        if left + wide > width:
            rows.append([])
            left = 12.0
        rows[-1].append((left, trace, words))
        left += wide
    return rows


def draw_legend(pen: Pen, rows: Sequence[Row], top: float) -> None:
    """A sample of each line, and its name."""
    for number, row in enumerate(rows):
        y = top + LINE * number + SIZE / 2
        for start, trace, words in row:
            ends = [(start, y), (start + KEY - 8, y)]
            draw_trace(pen, {**trace, "fill": None}, ends, (start, y - LINE, start + KEY, y + LINE))
            pen.text((start + KEY, y), words, "lm")
