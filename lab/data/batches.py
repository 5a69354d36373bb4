"""From a split to batches on the device: resident when it fits, streamed when it does not, the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lab.data.splits import Dataset, Split

Batch = tuple[Tensor, Tensor]


def place(split: Split, device: torch.device, budget_bytes: int) -> Split:
    """The split with its images on `device` when they fit in the budget, else as it was, to be streamed."""
    if split.image_bytes > budget_bytes:
        return split
    images = split.images if isinstance(split.images, Tensor) else read_all(split.images)
    return Split(images.to(device), split.labels.to(device))


def read_all(images: Any) -> Tensor:
    return torch.stack([images[index] for index in range(len(images))])


def batches(split: Split, order: Tensor, batch_size: int, device: torch.device, workers: int = 0) -> Iterator[Batch]:
    """Images uint8 (b, c, h, w) and labels (b,) on `device`, in the given order; the last batch may be smaller.

    Args:
        order: (n,) int64 indices into the split.
        workers: processes that read ahead, when the split is streamed.
    """
    if len(order) == 0:
        return  # split() of nothing would be one empty batch
    if isinstance(split.images, Tensor) and split.images.device == device:
        for index in order.to(device).split(batch_size):
            yield split.images.index_select(0, index), split.labels.index_select(0, index)  # faster than [index]
    else:
        yield from streamed(split, order, batch_size, device, workers)


def streamed(split: Split, order: Tensor, batch_size: int, device: torch.device, workers: int) -> Iterator[Batch]:
    loader = DataLoader(
        _Samples(split),
        batch_size=batch_size,
        sampler=order.tolist(),
        num_workers=workers,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # its own: a loader without one draws a seed from the global stream
    )
    for images, labels in loader:
        yield images.to(device, non_blocking=True), labels.to(device, non_blocking=True)


class _Samples(torch.utils.data.Dataset[Batch]):
    def __init__(self, split: Split) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> Batch:
        return self.split.images[index], self.split.labels[index]


def to_float(images: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 0..255 -> float 0..1."""
    return images.to(dtype).div_(255)


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Each channel of (b, c, h, w) shifted and scaled by (1, c, 1, 1) statistics of the training split."""
    return (images - mean) / std


def sample(data: Dataset, count: int) -> Tensor:
    """(count or fewer, c, h, w) float32 on the CPU: training images as a network sees them, without augmentation.

    Spread evenly over the split, as files lie sorted by class.
    """
    chosen = torch.linspace(0, len(data.train) - 1, min(count, len(data.train))).long()
    images = torch.stack([data.train.images[int(index)] for index in chosen])
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in data.statistics)
    return normalise(to_float(images, torch.float32), mean, std)
