"""A batch on its way through a recipe's augmentations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, get_type_hints

import torch
from torch import Tensor
from torch.nn import functional

from lab.augmentations.changes import Change, Mix, Recolour, Warp
from lab.augmentations.learning import Lesson, learners
from lab.catalogue import Catalogue, Choice

augmentations = Catalogue("augmentation")

NO_LESSONS: Mapping[str, Lesson] = MappingProxyType({})


class Pending:
    """A batch, and the last warp or change of colour, which waits for a next one that may join it.

    Args:
        images: (n, c, h, w) float from 0 to 1.
        labels: (n,) classes, or (n, classes) shares of each.
        classes: how many there are.
    """

    def __init__(self, images: Tensor, labels: Tensor, classes: int) -> None:
        self._images, self.labels, self.classes = images, labels, classes
        self._waiting: Warp | Recolour | None = None

    @property
    def shape(self) -> torch.Size:
        return self._images.shape

    @property
    def images(self) -> Tensor:
        """As they are once nothing waits."""
        if self._waiting is not None:
            self._images, self._waiting = self._waiting.of(self._images), None
        return self._images

    def add(self, change: Change) -> None:
        """Carry out a change, or let it wait."""
        if isinstance(change, Tensor):
            self._images = change
        elif isinstance(change, Mix):
            self._images = change.of(self.images)
            self.labels = change.of_labels(self.shares)
        elif self._waiting is not None and self._waiting.joins(change):
            self._waiting = self._waiting.then(change)  # pyright: ignore[reportArgumentType]  # joins() has looked
        else:
            self._images, self._waiting = self.images, change

    @property
    def shares(self) -> Tensor:
        """(n, classes) how much of each class a sample is."""
        whole = self.labels.dim() == 1
        return functional.one_hot(self.labels, self.classes).to(self._images.dtype) if whole else self.labels


def sees_only_the_shape(function: Callable[..., Any]) -> bool:
    """Whether an augmentation is given the shape of the images, not their pixels: by the type that it returns."""
    return get_type_hints(function).get("return") in (Warp, Recolour, Mix)


def augmented(
    choices: Iterable[Choice],
    images: Tensor,
    labels: Tensor,
    classes: int,
    generator: torch.Generator,
    *,
    lessons: Mapping[str, Lesson] = NO_LESSONS,
) -> tuple[Tensor, Tensor]:
    """A batch after a recipe's augmentations, in order.

    Args:
        images: (n, c, h, w) float from 0 to 1.
        labels: (n,) classes.
        lessons: what those that learn have learned, see `lab.augmentations.lessons`.
    Returns:
        Images of the same shape and type, labels (n,), or (n, classes) shares where samples were mixed.
    """
    batch = Pending(images, labels, classes)
    for choice in choices:
        extend(batch, choice, generator, lessons)
    return batch.images, batch.labels


def extend(
    batch: Pending, choice: Choice, generator: torch.Generator, lessons: Mapping[str, Lesson] = NO_LESSONS
) -> None:
    """One more augmentation for a batch, its draws taken from the generator."""
    given = batch.shape if sees_only_the_shape(augmentations.functions[choice.name]) else batch.images
    learned = (batch.shares, lessons[choice.name].content) if choice.name in learners else ()
    batch.add(augmentations.build(choice, given, generator, *learned))
