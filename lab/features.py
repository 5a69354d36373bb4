"""What frozen layers compute of each image, kept: training a last layer on it costs next to nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lab.data import Split
from lab.initializers import evaluating
from lab.recipe import Recipe
from lab.transfer import cached
from lab.used_weights import uses_other_weights


class Kept(NamedTuple):
    """The network's last layer, and what it reads of the images of both splits: (n, features) in place of images."""

    layer: nn.Linear
    train: Split
    validation: Split


def keeps_features(recipe: Recipe) -> bool:
    """Whether what the last layer reads is the same at every step, and all else is used as it was copied."""
    changes = bool(recipe.augment) or recipe.average.name != "nothing" or uses_other_weights(recipe.optimizer)
    return recipe.transfer.name in cached and not changes


def end_of(model: nn.Module, images: Tensor) -> nn.Linear | None:
    """The last fully connected layer, if what it gives is all that the network gives; tried out on these images."""
    last = next((layer for layer in reversed(list(model.modules())) if isinstance(layer, nn.Linear)), None)
    if last is None:
        return None
    found: list[Tensor] = []
    with torch.no_grad(), evaluating(model), caught(last, found):
        logits = model(images)
    return last if len(found) == 1 and torch.equal(last(found[0]), logits) else None


def caught(layer: nn.Module, found: list[Tensor]) -> AbstractContextManager[Any]:
    """While it is entered, what the layer reads is put into the list."""
    return layer.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))


@torch.no_grad()
def features_of(model: nn.Module, last: nn.Linear, batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """(b, features) of each batch of images: what the last layer reads when the network is at rest.

    Args:
        batches: images (b, c, h, w) as the network sees them.
    """
    found: list[Tensor] = []
    for images in batches:
        with evaluating(model), caught(last, found):
            model(images)
        yield found.pop()
