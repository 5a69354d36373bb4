"""How the images were made ready from which a source learned: those that its weights see next are made ready alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from lab.catalogue import Choice
from lab.data import Dataset

COLOURS = 3

Normalisation = Annotated[
    Literal["source", "data"],
    Field(description="with whose mean and deviation images are seen: those of the source's training, or their own"),
]


class Preprocessing(NamedTuple):
    """Mean and deviation of each channel, of pixels from 0 to 1; height and width in pixels, where they are known."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    pixels: tuple[int, int] | None = None

    def of_channels(self, count: int) -> tuple[list[float], list[float]] | None:
        """Mean and deviation of so many channels; grey is seen with the mean of the colours. None: of neither kind."""
        if count == len(self.mean):
            return list(self.mean), list(self.std)
        middle = ([round(sum(values) / len(values), 6)] for values in (self.mean, self.std))
        grey = count == 1 and len(self.mean) == COLOURS
        return tuple(middle) if grey else None  # pyright: ignore[reportReturnType]  # two of them


# By source: how the images were made ready from which it learned; None where a file or an old run does not say.
preprocessing: dict[str, Callable[[Choice], Preprocessing | None]] = {}


def preprocessing_of(source: Choice, transfer: Choice) -> Preprocessing | None:
    """That with which a source's weights are used; None where images are seen by their own statistics."""
    if transfer.name == "scratch" or source.name not in preprocessing or getattr(source, "normalisation", "") == "data":
        return None
    return preprocessing[source.name](source)


def as_seen(data: Dataset, source: Choice, transfer: Choice) -> Dataset:
    """The data set with the normalisation that the source asks for."""
    found = preprocessing_of(source, transfer)
    given = found.of_channels(data.shape[0]) if found else None
    return data.normalised_by(*given) if given else data


def in_words(found: Preprocessing, data: Dataset, pixels: tuple[int, int]) -> str:
    """Beside the table of layers: with what images are seen, and how large those were where these are not.

    Args:
        pixels: height and width that the network sees.
    """
    if (given := found.of_channels(data.shape[0])) is None:
        return f"Images have {data.shape[0]} channels, which the source did not: they are seen by their own statistics."
    mean, std = (", ".join(f"{value:.3g}" for value in values) for values in given)
    sizes = ""
    if found.pixels and found.pixels != pixels:
        sizes = "; those had {} x {} pixels, these have {} x {}".format(*found.pixels, *pixels)
    return f"Images are normalised as the source's were (mean {mean}; deviation {std}){sizes}."
