"""One side of the augmented samples: what is asked for, what is answered, how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from itertools import count as numbers
from pathlib import Path
from typing import Any, NamedTuple

import ipywidgets as widgets
from PIL import Image

from lab.augmentations import augmentations, mixes
from lab.catalogue import Choice
from lab.data import Dataset, load
from lab.sample_grids import NAMED, Policy, Samples, Tiles, grid, samples, strip, taught
from lab.sheets import beside, columns_for, png, sheet, stacked

WIDEST = 480  # pixels of a side
THREE, TWO = 700, 480  # pixels of the results from which so many sides stand beside each other


class Side(NamedTuple):
    """A list of augmentations, and whose it is."""

    title: str
    policy: Policy


class Question(NamedTuple):
    """Which samples, of which sides, how drawn.

    data: a recipe's, and its changes to it. pinned: place of an image in the training split.
    stages: whether, and of which tile. width: pixels of a side. lesson_seed: of the run whose augmentations learn.
    """

    data: tuple[Choice, tuple[Choice, ...]]
    sides: tuple[Side, ...]
    seed: int
    tiles: int
    pinned: int | None
    stages: tuple[bool, int]
    dark: bool
    width: int
    lesson_seed: int = 0


class Picture(NamedTuple):
    """A side as PNG files; stages is empty where none were asked for."""

    title: str
    words: str
    tiles: bytes
    stages: bytes

    @property
    def width(self) -> int:
        return max(width_of(file) for file in (self.tiles, self.stages) if file)

    @property
    def whole(self) -> Image.Image:
        return stacked([Image.open(BytesIO(file)) for file in (self.tiles, self.stages) if file])


@dataclass(frozen=True)
class Answer:
    """The raw side and the others, and the places in the training split of the images shown."""

    pictures: tuple[Picture, ...]
    index: tuple[int, ...]

    @property
    def shown(self) -> int:
        return len(self.index)

    def at(self, x: float, y: float) -> int:
        """The tile at these fractions of a side's width and height; a place that may have none."""
        columns = columns_for(self.shown)
        rows = -(-self.shown // columns)
        return min(int(y * rows), rows - 1) * columns + min(int(x * columns), columns - 1)

    def written(self, folder: Path, *, dark: bool) -> str:
        """Write all sides to a new file; where it is. Raises OSError."""
        path = next(path for path in names(folder) if not path.exists())
        titles = [f"{picture.title}: {picture.words}" if picture.words else picture.title for picture in self.pictures]
        beside([picture.whole for picture in self.pictures], titles, dark=dark).save(path)
        return f"Written to {path.resolve()}"


def width_of(file: bytes) -> int:
    """Pixels, as the header of a PNG file says."""
    return int.from_bytes(file[16:20], "big")


def names(folder: Path) -> Any:
    return (folder / f"samples{number or ''}.png" for number in numbers())


class Painter:
    """Answers questions, in the worker thread; what did not change since the last one is not made again."""

    def __init__(self) -> None:
        self._data: tuple[Any, Dataset] | None = None
        self._chosen: tuple[Any, Samples] | None = None
        self._painted: dict[Any, Picture] = {}

    def answer(self, asked: Question) -> Answer:
        """Raises DataError: there are no images."""
        chosen = self._samples(asked)
        sides = [Side("raw", ()), *asked.sides]
        before, self._painted = self._painted, {}
        for side in sides:
            known, lines = self._chosen and self._chosen[0], caption_lines(sides)
            key = (side, known, lines, asked.stages, asked.dark, asked.width, asked.lesson_seed)
            self._painted[key] = before.get(key) or painted(side, chosen, self._whole(), lines, asked)
        return Answer(tuple(self._painted.values()), tuple(chosen.index[: chosen.shown].tolist()))

    def _whole(self) -> Dataset:
        assert self._data
        return self._data[1]

    def _samples(self, asked: Question) -> Samples:
        if self._data is None or self._data[0] != asked.data:
            self._data = self._chosen = None  # a failure is not kept: data may appear
            self._data = asked.data, load(*asked.data)
        key = (asked.data, asked.seed, asked.tiles, asked.pinned)
        if self._chosen is None or self._chosen[0] != key:
            found = samples(self._data[1], seed=asked.seed, count=asked.tiles, pinned=asked.pinned)
            self._chosen = key, found
        return self._chosen[1]


def caption_lines(sides: Sequence[Side]) -> int:
    """Lines that all sides leave for captions, so that an image stands at one height on all.

    A mixture has two classes, a mixture of mixtures four.
    """
    most = max(sum(mixes(augmentations.functions[choice.name]) for choice in side.policy) for side in sides)
    return min(2**most, NAMED + 1)


def painted(side: Side, chosen: Samples, data: Dataset, lines: int, asked: Question) -> Picture:
    learned = taught(side.policy, data, asked.lesson_seed)
    columns, width = columns_for(chosen.shown), min(WIDEST, asked.width)
    found = grid(chosen, side.policy, seed=asked.seed, learned=learned)
    tiles = drawn(found, columns, width, lines, dark=asked.dark)
    wanted, place = asked.stages
    stages = b""
    if wanted and side.policy:
        walked = strip(chosen, side.policy, min(place, chosen.shown - 1), seed=asked.seed, learned=learned)
        stages = drawn(walked, max(3, min(columns, len(walked.captions))), width, 1 + lines, dark=asked.dark)
    words = " + ".join(map(str, side.policy)) if side.policy or side.title == "raw" else "no augmentations"
    return Picture(side.title, words, tiles, stages)


def drawn(tiles: Tiles, columns: int, width: int, lines: int, *, dark: bool) -> bytes:
    return png(sheet(tiles.images, tiles.captions, columns=columns, width=width, lines=lines, dark=dark))


def per_row(count: int, width: int) -> int:
    """How many of so many sides stand beside each other."""
    if width < TWO:
        return 1
    return 2 if count in (2, 4) or width < THREE else 3


class SideView:
    """Title, grid and stages of a side; hidden until there is something to show."""

    def __init__(self, number: int) -> None:
        self.css, self.said = f"lab-side-{number}", ""
        self.title = widgets.HTML()
        self.tiles, self.stages = picture_widget(), picture_widget()
        self.tiles.add_class("lab-tiles")
        self.widget = widgets.VBox([self.title, self.tiles, self.stages], layout=widgets.Layout(display="none"))
        self.widget.add_class("lab-side")
        self.widget.add_class(self.css)

    def draw(self, picture: Picture | None) -> None:
        """Only the pump calls this. None: there is no such side."""
        self.said = ""
        self.widget.layout.display = "none" if picture is None else None
        if picture is None:
            return
        self.widget.layout.width = f"{picture.width}px"  # the title breaks, and does not push the next side away
        after = f", after {picture.words}" if picture.words else ", as they are"
        self.said = f"Training images{after}"
        words = escape(picture.words) if picture.words not in picture.title else ""
        title = escape(picture.title)
        self.title.value = f'<div class="lab-side-title" title="{words}"><b>{title}</b> {words}</div>'
        for widget, file in ((self.tiles, picture.tiles), (self.stages, picture.stages)):
            widget.layout.display = None if file else "none"
            if file and widget.value != file:
                widget.value = file


def picture_widget() -> Any:
    return widgets.Image(format="png", layout=widgets.Layout(display="none"))
