"""A landscape as a PNG without a browser: bands of colour are the contours. No training, no widgets."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import map_coordinates

from lab.landscape.scenes import BANDS, RunPath, Scale, Scene, axis_names, round_steps, trust_words
from lab.landscape_plots import COLOURS, EDGE, MISLEADS
from lab.plots import colour_and_dash
from lab.sheets import INK, LINE, PAPER, SIZE, TITLE, beside, cut, font, font_of

SIDE = 440  # pixels of a picture's sides
LEFT, BELOW, BAR = 62, 50, 96  # pixels for the axes' numbers and names, and for the bar of colours
FINER = 2  # lines are drawn so many times larger, and then smoothed


def contour_picture(scenes: Sequence[Scene], scale: Scale | None = None, *, dark: bool = False) -> Image.Image:
    """Planes side by side with their paths, the bar of colours they share, and under them how far to trust them."""
    scale = scale or Scale.of(scenes)
    pictures = [plane_picture(scene, scale, dark=dark) for scene in scenes]
    whole = beside(
        [*pictures, bar_picture(scale, dark=dark)], [*(scene.title for scene in scenes), scale.name], dark=dark
    )
    whole = keyed(whole, {path.name: path.number for scene in scenes for path in scene.paths}, dark=dark)
    return below(
        whole, [trust_words(scene) for scene in scenes] + [scale.cut(scene.surface) for scene in scenes], dark=dark
    )


def plane_picture(scene: Scene, scale: Scale, *, dark: bool) -> Image.Image:
    pixels = SIDE * FINER
    inner = Image.fromarray(banded(scene, scale, pixels, PAPER[dark]))
    pen = ImageDraw.Draw(inner)
    for path in scene.paths:
        draw_path(pen, path, placed(scene, path.coordinates, pixels))
    paper = Image.new("RGB", (LEFT + SIDE, SIDE + BELOW), PAPER[dark])
    paper.paste(inner.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (LEFT, 0))
    draw_axes(paper, scene, INK[dark])
    return paper


def banded(scene: Scene, scale: Scale, pixels: int, paper: tuple[int, int, int]) -> np.ndarray:
    """(pixels, pixels, 3) uint8: each point in the colour of its band, a thin line where two bands meet."""
    heights = enlarged(scale.heights(scene.surface.loss), pixels)
    bottom, top = scale.range
    known = np.isfinite(heights)
    band = np.clip((np.where(known, heights, bottom) - bottom) / (top - bottom) * BANDS, 0, BANDS - 1).astype(int)
    picture = coloured((band + 0.5) / BANDS)
    edges = np.zeros_like(known)
    edges[1:] |= band[1:] != band[:-1]
    edges[:, 1:] |= band[:, 1:] != band[:, :-1]
    picture[edges] = 0.6 * picture[edges] + 0.4 * 255
    picture[~known] = paper
    return picture.round().astype(np.uint8)


def enlarged(values: np.ndarray, pixels: int) -> np.ndarray:
    """(na, nb) -> (pixels, pixels), a to the right and b up; straight between points, nothing beside one not known."""
    a, b = (np.linspace(0, count - 1, pixels) for count in values.shape)
    return map_coordinates(values.T, np.meshgrid(b[::-1], a, indexing="ij"), order=1)


def coloured(shares: np.ndarray) -> np.ndarray:
    """Shares of the colour scale -> (..., 3) from 0 to 255."""
    places = [place for place, _ in COLOURS]
    channels = np.array([rgb(colour) for _, colour in COLOURS]).T
    return np.stack([np.interp(shares, places, channel) for channel in channels], -1)


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5))


def placed(scene: Scene, coordinates: np.ndarray, pixels: int) -> list[tuple[float, float]]:
    """Coordinates (k, 2) -> pixels from the left and from above."""
    (a, b) = scene.surface.grid.axes
    right = (coordinates[:, 0] - a[0]) / (a[-1] - a[0]) * pixels
    down = (b[-1] - coordinates[:, 1]) / (b[-1] - b[0]) * pixels
    return list(zip(right.tolist(), down.tolist(), strict=True))


def draw_path(pen: Any, path: RunPath, places: Sequence[tuple[float, float]]) -> None:
    """A line with an edge, a square where it begins, a diamond where it ends, grey marks where the plane misleads."""
    colour, _ = colour_and_dash(path.number)
    for width, ink in ((5, EDGE), (3, colour)):
        pen.line(places, fill=ink, width=width * FINER // 2 + 1, joint="curve")
    for index, ((x, y), off) in enumerate(zip(places, path.off.tolist(), strict=True)):
        last, first = index == len(places) - 1, index == 0
        size = FINER * (6 if last else 4 if first else 2.5)
        look = {"fill": MISLEADS if off else colour, "outline": EDGE}
        if last:
            pen.polygon([(x - size, y), (x, y - size), (x + size, y), (x, y + size)], **look, width=FINER)
        else:
            (pen.rectangle if first else pen.ellipse)((x - size, y - size, x + size, y + size), **look, width=1)


def draw_axes(paper: Image.Image, scene: Scene, ink: tuple[int, int, int]) -> None:
    """Numbers at round places, and what the axes are."""
    pen = ImageDraw.Draw(paper)
    a, b = scene.surface.grid.axes
    for value in round_steps(a[0], a[-1]):
        x = LEFT + (value - a[0]) / (a[-1] - a[0]) * (SIDE - 1)
        pen.line([(x, SIDE), (x, SIDE + 4)], fill=ink)
        pen.text((x, SIDE + 6), f"{value:g}", fill=ink, font=font(SIZE, latin=True), anchor="ma")
    for value in round_steps(b[0], b[-1]):
        y = (b[-1] - value) / (b[-1] - b[0]) * (SIDE - 1)
        pen.line([(LEFT - 5, y), (LEFT - 1, y)], fill=ink)
        pen.text((LEFT - 8, y), f"{value:g}", fill=ink, font=font(SIZE, latin=True), anchor="rm")
    across, up = axis_names(scene.surface.origin)
    pen.text((LEFT + SIDE / 2, SIDE + 26), across, fill=ink, font=font(SIZE, latin=True), anchor="ma")
    side = Image.new("L", (SIDE, LINE + 2))
    ImageDraw.Draw(side).text((SIDE / 2, 0), up, fill=255, font=font(SIZE, latin=True), anchor="ma")
    turned = side.rotate(90, expand=True)
    paper.paste(Image.new("RGB", turned.size, ink), (0, 0), turned)


def bar_picture(scale: Scale, *, dark: bool) -> Image.Image:
    """The bands from low to high, with round losses beside them."""
    paper = Image.new("RGB", (BAR, SIDE + BELOW), PAPER[dark])
    shares = (np.arange(SIDE)[::-1] * BANDS // SIDE + 0.5) / BANDS
    column = coloured(shares).round().astype(np.uint8)[:, None].repeat(16, 1)
    paper.paste(Image.fromarray(column), (0, 0))
    pen, (bottom, top) = ImageDraw.Draw(paper), scale.range
    for height, text in zip(*scale.ticks, strict=True):
        y = (top - height) / (top - bottom) * (SIDE - 1)
        pen.line([(16, y), (20, y)], fill=INK[dark])
        pen.text((24, min(max(y, 6), SIDE - 6)), text, fill=INK[dark], font=font(SIZE, latin=True), anchor="lm")
    return paper


def keyed(picture: Image.Image, runs: dict[str, int], *, dark: bool) -> Image.Image:
    """A picture with the names of its runs under it, each behind its colour; of one run nothing has to be said."""
    if len(runs) < 2:
        return picture
    whole = Image.new("RGB", (picture.width, picture.height + LINE * (len(runs) + 1)), PAPER[dark])
    whole.paste(picture, (0, 0))
    pen = ImageDraw.Draw(whole)
    for row, (name, number) in enumerate(runs.items()):
        y = picture.height + LINE * row
        pen.rectangle((TITLE // 2, y + 5, TITLE // 2 + 18, y + 9), fill=colour_and_dash(number)[0])
        shown = cut(name, picture.width - TITLE - 26)
        pen.text((TITLE // 2 + 26, y), shown, fill=INK[dark], font=font_of(shown))
    return whole


def below(picture: Image.Image, paragraphs: Sequence[str], *, dark: bool) -> Image.Image:
    """A picture with words under it, as wide as it is."""
    letters = max(20, int((picture.width - TITLE) / (0.52 * SIZE)))
    lines = [line for words in paragraphs for line in wrap(words, letters)]
    whole = Image.new("RGB", (picture.width, picture.height + LINE * len(lines) + TITLE // 2), PAPER[dark])
    whole.paste(picture, (0, 0))
    pen = ImageDraw.Draw(whole)
    for number, line in enumerate(lines):
        shown = cut(line, picture.width - TITLE)
        pen.text((TITLE // 2, picture.height + LINE * number), shown, fill=INK[dark], font=font_of(shown))
    return whole
