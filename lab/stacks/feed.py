"""The batches of a stack: arms with one seed and one augmentation share theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from lab.data import Split
from lab.training import Training

READY_BYTES = 2**28  # prepared images up to this size are kept


def in_order(split: Split, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The images, uint8 (b, c, h, w), and labels (b,) of a split that lies on the device."""
    assert isinstance(split.images, Tensor)
    yield from zip(split.images.split(batch_size), split.labels.split(batch_size), strict=True)


class Feed:
    """Draws the batches for all arms from the streams of one arm of each group.

    Args:
        arms: of one data set that lies on the device, in the order of the stack's rows.
    """

    def __init__(self, arms: Sequence[Training]) -> None:
        keys = [(arm.recipe.seed, arm.recipe.augment) for arm in arms]
        groups = list(dict.fromkeys(keys))
        self.leaders = [arms[keys.index(key)].twin() for key in groups]
        self.group = [groups.index(key) for key in keys]
        lead = arms[0]
        self.batch_size = lead.batch_size
        images, self.labels = lead.train_split.images, lead.train_split.labels
        assert isinstance(images, Tensor)
        self.pixels = images
        self._rows = torch.tensor(self.group, device=lead.device)
        size = images.numel() * lead.dtype.itemsize
        plain = not any(leader.recipe.augment for leader in self.leaders)
        self.ready = lead.prepare(images) if plain and size <= READY_BYTES else None

    def batches(self, skipped: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The rest of an epoch: images (K or 1, b, c, h, w) as the network sees them, labels (K, b).

        Where an arm mixes its samples all labels are shares: (K, b, classes).
        """
        orders = torch.stack([leader.permutation() for leader in self.leaders]).to(self.pixels.device)
        rest = orders[:, skipped * self.batch_size :]
        for index in rest.split(self.batch_size, dim=1) if rest.numel() else ():
            images, labels = self._prepared(index)
            if len(images) > 1:
                images = images.index_select(0, self._rows)
            yield images, labels.index_select(0, self._rows)

    def _prepared(self, index: Tensor) -> tuple[Tensor, Tensor]:
        labels = self.labels[index]
        if self.ready is not None:
            return self.ready.index_select(0, index.flatten()).unflatten(0, index.shape), labels
        pixels = self.pixels.index_select(0, index.flatten()).unflatten(0, index.shape)
        parts = zip(self.leaders, pixels, labels, strict=True)
        images, labels = zip(*(leader.prepare_batch(*part) for leader, *part in parts), strict=True)
        return torch.stack(images), torch.stack(self._alike(labels))

    @staticmethod
    def _alike(labels: Sequence[Tensor]) -> list[Tensor]:
        """All as classes, or all as shares when one of them is."""
        shares = next((part for part in labels if part.is_floating_point()), None)
        if shares is None:
            return list(labels)
        classes = shares.shape[-1]
        return [part if part.dim() == 2 else functional.one_hot(part, classes).to(shares.dtype) for part in labels]

    def end_of_epoch(self) -> None:
        for leader in self.leaders:
            leader.end_permutation()

    def tell(self, arm: Training, row: int) -> None:
        """Put an arm's streams where its group's stand."""
        self.leaders[self.group[row]].share_streams(arm)
