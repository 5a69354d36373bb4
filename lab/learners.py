"""What a training learns from and with: the batch as its objective sees it, and what learns beside its network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lab.augmentations import augmentations
from lab.data import Split
from lab.data.batches import batches
from lab.features import Keeping
from lab.last_layer import caught
from lab.objectives import Batch, at_least_float32, readout
from lab.steps import objective_stream
from lab.used_weights import answer, spread

STRONG = tuple(augmentations.parse(name) for name in ("rand_augment", "cutout"))  # after the recipe's own


class Learners(Keeping):
    """A training has these.

    helper: what learns beside the network and is thrown away, if its objective uses no labels; last: the network's last
    layer, which then rests.
    """

    helper: nn.Module | None
    last: nn.Linear | None
    unlabelled_split: Split
    steps: int

    @property
    def learner(self) -> nn.Module:
        """All that learns."""
        return self.stepped_network if self.helper is None else nn.ModuleList([self.model, self.helper])

    def batch_of(self, images: Tensor, labels: Tensor) -> Batch:
        """A batch for the recipe's objective."""
        return Batch(
            images,
            labels,
            self.stepped_network,
            self.last,
            self.helper,
            seen=(lambda *batch: batch) if self.features else self.prepare_batch,
            strong=self._strong,
            unlabelled=self._unlabelled,
            draws=objective_stream(self.recipe.seed, self.step),
            progress=self.step / self.steps,
            label_smoothing=self.recipe.label_smoothing,
            plain=not self.recipe.augment,
        )

    def _strong(self, images: Tensor) -> Tensor:
        labels = torch.zeros(len(images), dtype=torch.long, device=images.device)
        return self.prepare_batch(images, labels, STRONG)[0]

    def _unlabelled(self, count: int) -> Tensor:
        """So many images, drawn with repetition from those whose labels are not looked at."""
        draws = objective_stream(self.recipe.seed, self.step)
        index = torch.randint(len(self.unlabelled_split), (count,), generator=draws)
        images, _ = next(batches(self.unlabelled_split, index, count, self.device, self.workers))
        return images

    def fitted_last_layer(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """By name a last layer that answers from what the others compute of training images; labels serve this alone.

        Args:
            weights: used in place of the network's own, by name.
        """
        last = self.last
        assert last is not None
        found: list[Tensor] = []
        labels: list[Tensor] = []
        for index in spread(len(self.train_split)):
            for images, some in batches(self.train_split, index, len(index), self.device):
                with self.autocast, torch.no_grad(), caught(last, found):
                    answer(self.model, weights, self.prepare(images))
                labels.append(some)
        fitted = readout(at_least_float32(torch.cat(found)), torch.cat(labels), len(self.data.classes))
        name = next(name for name, layer in self.model.named_modules() if layer is last)
        return {f"{name}.{key}": value.to(self.dtype) for key, value in zip(("weight", "bias"), fitted, strict=True)}
