"""The recipe's model under what an objective puts on it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lab.transfer.matching import last_layer_name


def trunk_of(network: nn.Module) -> nn.Module:
    """The recipe's model itself."""
    return network.trunk if isinstance(network, OnTrunk) else network


def beside_trunk(network: nn.Module) -> list[nn.Parameter]:
    """What an objective has put on the recipe's model: no layer of it, and none of those by which depth is counted."""
    own = set(trunk_of(network).parameters())
    return [parameter for parameter in network.parameters() if parameter not in own]


class OnTrunk(nn.Module):
    """A model, and what reads the features that its last layer reads."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk, self.last = trunk, last_layer_name(trunk)

    def forward(self, images: Tensor) -> Tensor:
        """(b, c, h, w) -> logits (b, classes)."""
        return self.trunk(images)

    def read(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(b, c, h, w) -> features (b, f), the mean over places where the last layer reads maps, and logits."""
        found: list[Tensor] = []
        hook = self.trunk.get_submodule(self.last).register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
        try:
            logits = self.trunk(images)
        finally:
            hook.remove()
        features = found[-1]
        return features.flatten(2).mean(2) if features.ndim > 2 else features, logits


def features_of_last(trunk: nn.Module) -> int:
    """How many numbers the last layer reads: of each place, where it is a convolution."""
    last = trunk.get_submodule(last_layer_name(trunk))
    assert isinstance(last, nn.Linear | nn.Conv2d)
    return last.in_features if isinstance(last, nn.Linear) else last.in_channels


def in_full(tensor: Tensor) -> Tensor:
    """In at least float32."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
