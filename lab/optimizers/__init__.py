"""Catalogue `optimizers`: how a gradient becomes a step.

Each option takes torch's parameter groups and returns a torch optimizer. One that wants the network used with other
weights than those it steps has a method `used_weights() -> {parameter: tensor}`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lab.catalogue import Catalogue, Choice

optimizers = Catalogue("optimizer")

from lab.optimizers import descent, each_weight, lion, muon, schedule_free  # noqa: F401  # pyright: ignore[reportUnusedImport]  # they fill the catalogue

Groups = list[dict[str, Any]]
WHOLE = 0
BATCH = {"batch_gd": WHOLE, "stochastic_gd": 1}  # images per update of those whose name says it


def parameter_groups(model: nn.Module) -> Groups:
    """Weights in one group, biases and norms in another that is never decayed.

    Source: Loshchilov & Hutter 2019 leave it open; this is the common practice since He et al. 2019,
    arXiv 1812.01187, section 3.1.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    weights = [parameter for parameter in trained if parameter.ndim > 1]
    others = [parameter for parameter in trained if parameter.ndim <= 1]
    return [{"params": weights}, {"params": others, "weight_decay": 0.0}]


def batch_of(optimizer: Choice, asked: int) -> int:
    """Images per update: what the optimizer's name says, else what was asked for; `WHOLE` for the training split."""
    return BATCH.get(optimizer.name, asked)


def used_weights(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """By name the values that the optimizer wants used in place of those it steps; empty for most optimizers."""
    own = getattr(optimizer, "used_weights", dict[Tensor, Tensor])()
    return {name: own[parameter] for name, parameter in model.named_parameters() if parameter in own}


def uses_other_weights(choice: Choice) -> bool:
    """Whether this optimizer ever has `used_weights`."""
    return hasattr(optimizers.build(choice, parameter_groups(nn.Linear(1, 1))), "used_weights")
