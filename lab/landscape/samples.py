"""The images that a landscape is measured on: which split, how many of it, drawn how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lab.data import Dataset, Split
from lab.data.batches import normalise, read_all, to_float
from lab.views import SplitName


@dataclass(frozen=True)
class Samples:
    """Some images of a split, on the device as uint8, and what makes of them what the network sees.

    They stand in a random order, so that any part of them is a draw of its own: data sets often lie sorted by class.
    images: uint8 (n, c, h, w). labels: int64 (n,). mean, std: of each channel, (1, c, 1, 1).
    total: images in the whole split; seed: of the draw and of its order.
    """

    images: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor
    split: SplitName
    total: int
    seed: int
    memory_format: torch.memory_format

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, part: slice, dtype: torch.dtype) -> Tensor:
        """(b, c, h, w) as the network sees them in evaluation: normalised, without augmentation."""
        images = normalise(to_float(self.images[part], dtype), self.mean.to(dtype), self.std.to(dtype))
        return laid_out(images, self.memory_format)

    def first(self, count: int) -> Samples:
        """The first of them: a smaller draw."""
        return replace(self, images=self.images[:count], labels=self.labels[:count])

    @property
    def storage(self) -> torch.UntypedStorage:
        """The memory that the images lie in: all of it, also where these are a part of a larger draw."""
        return self.images.untyped_storage()

    @property
    def unseen(self) -> float:
        """Share of the split that is not among them: what is left of the variance of a mean over them."""
        return 1 - len(self) / self.total

    def error_of_mean(self, means: Sequence[float] | np.ndarray, sizes: Sequence[int]) -> float:
        """Standard error of a mean over them as that of the whole split, from the means of parts; 0 for all of it."""
        return error_over_parts(means, sizes) * self.unseen**0.5 if self.unseen else 0.0


def error_over_parts(means: Sequence[float] | np.ndarray, sizes: Sequence[int]) -> float:
    """Standard error of the mean of all, from the means of k parts that differ as draws do; nan of a single part.

    sqrt(k / (k - 1) sum_j (n_j / n)^2 (m_j - m)^2)

    Source: Cochran, Sampling Techniques, 1977 (ratio to size).
    """
    if len(means) < 2:
        return nan
    shares = np.array(sizes) / np.sum(sizes)
    apart = np.array(means) - shares @ np.array(means)
    return float((len(means) / (len(means) - 1) * ((shares * apart) ** 2).sum()) ** 0.5)


def laid_out(images: Tensor, memory_format: torch.memory_format) -> Tensor:
    """In this layout also where torch takes any for it: one channel is read slowly if its strides say otherwise."""
    return torch.empty_like(images, memory_format=memory_format).copy_(images)


class Source(Protocol):
    """What samples come from: a training, or what is kept of one."""

    @property
    def data(self) -> Dataset: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def memory_format(self) -> torch.memory_format: ...


def samples_of(session: Source, *, split: SplitName = "validation", count: int | None = None, seed: int = 0) -> Samples:
    """Images of a training's data, drawn without repetition; all of the split, in a random order, by default.

    Raises:
        ValueError: an unknown split, or a count below 2.
    """
    if split not in ("training", "validation"):
        raise ValueError(f"Unknown split {split!r}. Expected one of: training, validation.")
    whole = session.data.train if split == "training" else session.data.validation
    if count is not None and count < 2:
        raise ValueError(f"count is {count}, but a standard error needs at least 2 images.")
    part = whole.take(drawn(whole, count, seed))
    images = part.images if isinstance(part.images, Tensor) else read_all(part.images)
    constants = [
        torch.tensor(values, dtype=torch.float64, device=session.device).view(1, -1, 1, 1)
        for values in session.data.statistics
    ]
    return Samples(
        images.to(session.device),
        part.labels.to(session.device),
        *constants,
        split=split,
        total=len(whole),
        seed=seed,
        memory_format=session.memory_format,
    )


def drawn(split: Split, count: int | None, seed: int) -> Tensor:
    """(count,) indices, all by default; fewer of the same seed are the first of more."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    return order[:count].to(split.labels.device)
