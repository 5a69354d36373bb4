"""A batch on its way through a recipe's augmentations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, get_type_hints

import torch
from torch import Tensor
from torch.nn import functional

from lab.augmentations.changes import Change, Mix, Waiting, Warp
from lab.augmentations.chosen import Retouch
from lab.augmentations.covers import Cover
from lab.augmentations.learning import Lesson, learners
from lab.augmentations.recolour import Recolour
from lab.augmentations.sampling import at_hand
from lab.catalogue import Catalogue, Choice
from lab.data.batches import to_float

augmentations = Catalogue(
    "augmentation",
    gives="images (n, c, h, w), a Warp, a Recolour, a Retouch, a Cover or a Mix",
    aliases={
        "mirror": "flip",
        "hflip": "flip",
        "vflip": "vertical_flip",
        "posterize": "posterise",
        "equalize": "equalise",
    },
)

NO_LESSONS: Mapping[str, Lesson] = MappingProxyType({})

# Bytes of floats that go through all waiting changes before the next: so many stay in the cores' caches on the way.
# A batch of 224x224x3 that was warped all at once took 1.7 to 2.6 times as long, with every sample by itself 1.5 times.
CHUNK_BYTES = 2**21


class Pending:
    """A batch, and the changes that wait to be carried out together.

    Neighbouring warps are made one, and neighbouring changes of colour. A uint8 batch stays uint8 for as long as pixels
    are only moved or covered with black.

    Args:
        images: (n, c, h, w) uint8, or float from 0 to 1.
        labels: (n,) classes, or (n, classes) shares of each.
        classes: how many there are.
        dtype: float type to work in; by default that of the images, at least float32: in fewer bits the steps of a
            sum or a table of tones would be seen, and numpy has no bfloat16.
    """

    def __init__(self, images: Tensor, labels: Tensor, classes: int, dtype: torch.dtype | None = None) -> None:
        self.dtype = torch.promote_types(dtype or images.dtype, torch.float32)
        self._images = images.to(self.dtype) if images.is_floating_point() else images
        self.labels, self.classes = labels, classes
        # Never changed in place: a copy of the batch has it too.
        self._waiting: tuple[Warp | Recolour | Retouch | Cover, ...] = ()

    @property
    def shape(self) -> torch.Size:
        return self._images.shape

    @property
    def images(self) -> Tensor:
        """(n, c, h, w) float from 0 to 1, as they are once nothing waits."""
        return self.of_type(self.dtype)

    def of_type(self, dtype: torch.dtype) -> Tensor:
        """As they are once nothing waits, in a type of one's choice."""
        if self._waiting or self._images.dtype != dtype:
            self._images, self._waiting = carried_out(self._waiting, self._images, self.dtype, dtype), ()
        return self._images

    def add(self, change: Change) -> None:
        """Carry out a change, or let it wait."""
        if isinstance(change, Tensor):
            self._images = change
        elif isinstance(change, Mix):
            self._images = change.of(self.images)
            self.labels = change.of_labels(self.shares)
        else:
            self._waiting = with_last(self._waiting, change)

    @property
    def shares(self) -> Tensor:
        """(n, classes) how much of each class a sample is."""
        whole = self.labels.dim() == 1
        return functional.one_hot(self.labels, self.classes).to(self.dtype) if whole else self.labels


def with_last(waiting: tuple[Waiting, ...], change: Waiting) -> tuple[Waiting, ...]:
    """One more that waits: by itself, or made one with the last."""
    last = waiting[-1] if waiting else None
    if isinstance(last, Warp) and isinstance(change, Warp) and last.joins(change):
        return (*waiting[:-1], last.then(change))
    if isinstance(last, Recolour) and isinstance(change, Recolour):
        return (*waiting[:-1], last.then(change))
    return (*waiting, change)


def carried_out(changes: Sequence[Waiting], images: Tensor, work: torch.dtype, dtype: torch.dtype) -> Tensor:
    """One change after the other, for a few samples at a time on a CPU: they stay in its cache between two changes.

    Args:
        work: float type in which colours and samples from between the pixels are computed.
        dtype: of what is returned.
    """
    first = next((number for number, change in enumerate(changes) if not change.keeps_type), len(changes))
    images = in_turn(changes[:first], images, work)  # moves are fastest all at once, before there are floats
    parts = list(parts_of(images, work)) if changes[first:] else [slice(None)]
    if len(parts) == 1:
        return of_type(in_turn(changes[first:], images, work), dtype)
    out = torch.empty(images.shape, dtype=dtype, device=images.device)
    for part in parts:
        out[part] = of_type(in_turn([change.part(part) for change in changes[first:]], images[part], work), dtype)
    return out


def parts_of(images: Tensor, work: torch.dtype) -> Iterator[slice]:
    """Few samples at a time on a CPU, all on a GPU."""
    count, of_one = len(images), max(1, images[:1].numel() * work.itemsize)
    even = CHUNK_BYTES // of_one // 2 * 2  # a warp shares samples out to threads
    size = max(1, even) if at_hand(images) else count
    for start in range(0, count, size):
        yield slice(start, start + size)


def in_turn(changes: Sequence[Waiting], images: Tensor, work: torch.dtype) -> Tensor:
    given = images
    for change in changes:
        if not (change.keeps_type or images.is_floating_point()):
            images = to_float(images, work)
        carry_out = change.onto if isinstance(change, Cover) and images is not given else change.of
        images = carry_out(images)
    return images


def of_type(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Images of another type perhaps: integers are 0 to 255, floats 0 to 1."""
    if images.is_floating_point() == dtype.is_floating_point:
        return images.to(dtype)
    return to_float(images, dtype) if dtype.is_floating_point else (images * 255).round_().clamp_(0, 255).to(dtype)


@cache
def sees_only_the_shape(function: Callable[..., Any]) -> bool:
    """Whether an augmentation is given the shape of the images, not their pixels: by the type that it returns."""
    return get_type_hints(function).get("return") in (Warp, Recolour, Retouch, Cover, Mix)


@cache
def mixes(function: Callable[..., Any]) -> bool:
    """Whether an augmentation mixes samples, and so their classes."""
    return get_type_hints(function).get("return") is Mix


def augmented(
    choices: Iterable[Choice],
    images: Tensor,
    labels: Tensor,
    classes: int,
    generator: torch.Generator,
    *,
    lessons: Mapping[str, Lesson] = NO_LESSONS,
    dtype: torch.dtype | None = None,
) -> tuple[Tensor, Tensor]:
    """A batch after a recipe's augmentations, in order.

    Args:
        images: (n, c, h, w) uint8, or float from 0 to 1.
        labels: (n,) classes.
        lessons: what those that learn have learned, see `lab.augmentations.lessons`.
        dtype: of the images returned; by default as given.
    Returns:
        Images of the same shape, labels (n,), or (n, classes) shares where samples were mixed.
    """
    dtype = dtype or images.dtype
    batch = Pending(images, labels, classes, dtype if dtype.is_floating_point else None)
    for choice in choices:
        extend(batch, choice, generator, lessons)
    return batch.of_type(dtype), batch.labels


def extend(
    batch: Pending, choice: Choice, generator: torch.Generator, lessons: Mapping[str, Lesson] = NO_LESSONS
) -> None:
    """One more augmentation for a batch, its draws taken from the generator."""
    given = batch.shape if sees_only_the_shape(augmentations.functions[choice.name]) else batch.images
    learned = (batch.shares, lessons[choice.name].content) if choice.name in learners else ()
    batch.add(augmentations.build(choice, given, generator, *learned))
