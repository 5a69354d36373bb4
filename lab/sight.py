"""What a training's network sees of the images: normalised, and augmented for a step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from lab.augmentations import Lesson, augmentations, augmented, lessons
from lab.augmentations.learning import learning, learning_flops
from lab.catalogue import Choice
from lab.data import Dataset, Split
from lab.data.batches import normalise, to_float
from lab.events import Learned, Learning
from lab.recipe import Recipe
from lab.steps import learning_stream

HARD = tuple(augmentations.parse(name) for name in ("rand_augment", "cutout"))  # after the recipe's own


class Sight:
    """A training has these; its streams and its network are made before anything is looked at.

    statistics: mean and standard deviation of the training split's channels, (1, c, 1, 1) each.
    """

    recipe: Recipe
    data: Dataset
    train_split: Split
    device: torch.device
    dtype: torch.dtype
    memory_format: torch.memory_format
    statistics: tuple[Tensor, Tensor]
    _augment: torch.Generator

    def prepare(self, images: Tensor) -> Tensor:
        """uint8 (b, c, h, w) -> what the model sees: float, normalised."""
        return self.normalised(to_float(images, self.dtype))

    @cached_property
    def lessons(self) -> dict[str, Lesson]:
        """What the recipe's augmentations have learned from the training split, which they do when first asked for it.

        No part of a state: a training that goes on learns the same again.
        """
        return lessons(*self._taught)

    def learned(self) -> Iterator[Learning | Learned]:
        """The lessons as events, with some on the way to them."""
        if "lessons" not in vars(self):
            yield from (Learning(option) for option, lesson in learning(*self._taught) if lesson is None)
        yield from (Learned(option, lesson.seconds) for option, lesson in self.lessons.items())

    @property
    def learning_flops(self) -> float:
        """Floating-point operations of what they learn."""
        split = self.train_split
        return learning_flops(self.recipe.augment, self.data.shape, len(self.data.classes), len(split))

    @property
    def _taught(self) -> tuple[tuple[Choice, ...], Split, int, torch.Generator]:
        generator = learning_stream(self.recipe.seed, self.device)
        return self.recipe.augment, self.train_split, len(self.data.classes), generator

    def prepare_batch(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """A batch as a step sees it: augmented; labels (b,), or (b, classes) shares where samples were mixed."""
        return self._augmented(self.recipe.augment, images, labels, self._augment)

    def view(self, images: Tensor, draws: torch.Generator, *, hard: bool) -> Tensor:
        """uint8 images anywhere as a step sees them, augmented otherwise than by the stream of the batches.

        Args:
            draws: on the host, whatever the device; hard: rand_augment and cutout follow the recipe's augmentations.
        """
        shown = images.to(self.device)
        chosen = (*self.recipe.augment, *(HARD if hard else ()))
        own = torch.Generator(self.device).manual_seed(int(torch.randint(2**31, (), generator=draws)))
        labels = torch.zeros(len(shown), dtype=torch.long, device=self.device)
        return self._augmented(chosen, shown, labels, own)[0]

    def _augmented(
        self, choices: tuple[Choice, ...], images: Tensor, labels: Tensor, draws: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        classes = len(self.data.classes)
        images, labels = augmented(choices, images, labels, classes, draws, lessons=self.lessons, dtype=self.dtype)
        return self.normalised(images), labels

    def normalised(self, images: Tensor) -> Tensor:
        """Float (b, c, h, w) from 0 to 1 -> what the model sees."""
        return normalise(images, *self.statistics).contiguous(memory_format=self.memory_format)


def statistics_on(data: Dataset, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Of a data set's channels, as tensors that broadcast over images."""
    mean, std = (torch.tensor(values, dtype=dtype, device=device).view(1, -1, 1, 1) for values in data.statistics)
    return mean, std
