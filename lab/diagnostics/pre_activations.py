"""What the activations of a network receive before its first step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lab.activations import activations
from lab.data.batches import batches
from lab.diagnostics.init_doctor import images_of
from lab.recipe import Recipe
from lab.steps import dropout_stream, enough_threads
from lab.training import Training

IMAGES = 64
MOST_OF_EACH = 50_000  # values that are kept of one activation


def pre_activations(recipe: Recipe, *, images: int = IMAGES, device: str | torch.device | None = None) -> Tensor | None:
    """(n,) some inputs, evenly spread, of every activation of the recipe's own kind; None when it has none.

    One forward pass of a copy in training mode over the first images of the recipe's order, not augmented.

    Raises:
        DataError, DeviceError: no data; no such device.
    """
    session = Training(recipe, device=device, data_budget_bytes=0)  # only what is looked at is read
    count = images_of(session, images)
    batch, _ = next(batches(session.train_split, session.permutation()[:count], count, session.device))
    received: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        flat = inputs[0].detach().flatten()
        received.append(flat[:: flat.numel() // MOST_OF_EACH + 1].float().cpu())

    kind = type(activations.build(recipe.activation))
    for module in session.model.modules():
        if isinstance(module, kind):
            module.register_forward_pre_hook(keep)
    with (
        torch.no_grad(),
        session.autocast,
        enough_threads(session.device, session.flops_per_step),
        dropout_stream(recipe.seed, 0, session.device),
    ):
        session.model(session.prepare(batch))
    return torch.cat(received) if received else None
