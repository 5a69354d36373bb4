"""Split and Dataset: the three parts of a data set, as tensors or as files that are read on demand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

IMAGES_FOR_STATISTICS = 2_000


class DataError(ValueError):
    """What is wrong with a data set, where, and what to do about it."""


class Images(Protocol):
    """Images that are decoded when asked for: `images[i]` is uint8 (c, h, w)."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Tensor: ...
    def take(self, index: Tensor, /) -> Images: ...


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    images: uint8 (n, c, h, w) tensor, or Images that read files.
    labels: int64 (n,).
    """

    images: Tensor | Images
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> Split:
        images = self.images[index] if isinstance(self.images, Tensor) else self.images.take(index)
        return Split(images, self.labels[index])

    @property
    def image_bytes(self) -> int:
        return int(np.prod(self.images.shape))


@dataclass(frozen=True)
class Shift:
    """Two domains: the training split is of the source; validation and test split of the data set are of the target.

    validation, test: images of the source, held out; target: images to adapt to, whose labels few ways look at.
    """

    validation: Split
    test: Split
    target: Split


@dataclass(frozen=True)
class Dataset:
    """Training, validation and test split, the names of the classes, what had to be left out, and a shift of domain.

    unlabelled: training images whose labels nobody may look at, those of `train` among them; None: just these.
    unseen: classes that have no training images on purpose.
    normalisation: mean and deviation of each channel with which images are to be seen; None: their own.
    """

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    unlabelled: Split | None = None
    shift: Shift | None = None
    unseen: tuple[int, ...] = ()
    normalisation: tuple[list[float], list[float]] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width of every image."""
        channels, height, width = self.train.images.shape[1:]
        return int(channels), int(height), int(width)

    @cached_property
    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel in [0, 1], over at most 2,000 training images; or those given."""
        return self.normalisation or channel_statistics(self.train.images)

    def with_train(self, train: Split) -> Dataset:
        return replace(self, train=train)

    def normalised_by(self, mean: list[float], std: list[float]) -> Dataset:
        """Seen with another mean and deviation of each channel than its own."""
        return replace(self, normalisation=(mean, std))


def channel_statistics(images: Tensor | Images) -> tuple[list[float], list[float]]:
    chosen = torch.linspace(0, len(images) - 1, min(len(images), IMAGES_FOR_STATISTICS)).long()
    sample = torch.stack([images[int(i)] for i in chosen]).double() / 255
    mean, std = sample.mean((0, 2, 3)), sample.std((0, 2, 3), correction=0)
    # Rounded: the last digits of a sum depend on the number of threads.
    return [round(value, 6) for value in mean.tolist()], [round(value, 6) for value in std.clamp(min=1 / 255).tolist()]


def stratified(labels: Tensor, shares: tuple[float, float]) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of training, validation and test part, each class divided alike, always the same way.

    Args:
        labels: (n,) int64.
        shares: fractions of validation and test; a share above 0 gets at least one image of each class.
    """
    parts: tuple[list[Tensor], ...] = ([], [], [])
    for label in labels.unique():
        members = (labels == label).nonzero().flatten()
        shuffled = members[torch.from_numpy(np.random.RandomState(0).permutation(len(members)))]
        validation, test = (max(1, round(share * len(members))) if share else 0 for share in shares)
        sizes = [len(members) - validation - test, validation, test]
        for part, piece in zip(parts, shuffled.split(sizes), strict=True):
            part.append(piece)
    train, validation, test = (torch.cat(part).sort().values for part in parts)
    return train, validation, test


def divide(images: Tensor | Images, labels: Tensor, classes: tuple[str, ...]) -> Dataset:
    """A Dataset of 70 % training, 15 % validation and 15 % test images, each class alike."""
    whole = Split(images, labels)
    train, validation, test = (whole.take(index) for index in stratified(labels, (0.15, 0.15)))
    return Dataset(train, validation, test, classes)
