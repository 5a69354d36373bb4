"""Catalogue `optimizers`: how a gradient becomes a step.

Each option takes torch's parameter groups and returns a torch optimizer. One that wants the network used with other
weights than those it steps has a method `used_weights() -> {parameter: tensor}`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer

from lab.catalogue import Catalogue, Choice
from lab.optimizers.settings import Groups

optimizers = Catalogue("optimizer", gives="a torch.optim.Optimizer")

from lab.optimizers import descent, each_weight, lion, muon, schedule_free  # noqa: F401  # pyright: ignore[reportUnusedImport]  # they fill the catalogue

WHOLE = 0
BATCH = {"batch_gd": WHOLE, "stochastic_gd": 1}  # images per update of those whose name says it


def parameter_groups(model: nn.Module, some: Iterable[nn.Parameter] | None = None) -> Groups:
    """Weights in one group, biases and norms in another that is never decayed; of the model or of some of its own.

    Others than its own may be among these: what stands beside the model.

    `hidden` tells of each weight whether it stands between the model's first matrix or kernel and its last.

    Source: Loshchilov & Hutter 2019 leave it open; this is the common practice since He et al. 2019,
    arXiv 1812.01187, section 3.1.
    """
    trained = [parameter for parameter in (model.parameters() if some is None else some) if parameter.requires_grad]
    weights = [parameter for parameter in trained if parameter.ndim > 1]
    others = [parameter for parameter in trained if parameter.ndim <= 1]
    inner = hidden_weights(model)
    hidden = [weight in inner for weight in weights]
    return [{"params": weights, "hidden": hidden}, {"params": others, "weight_decay": 0.0}]


def hidden_weights(model: nn.Module) -> set[nn.Parameter]:
    """Matrices and kernels without those that read the image and give the logits: the first and last to be defined.

    Tables, of positions say, are none: what is called `weight` is. Layers of one ModuleDict, the gates of a recurrent
    layer, stand side by side, so that all of them come first if one does.
    """
    matrices = {
        parameter: side_by_side(model, name)
        for name, parameter in model.named_parameters()
        if parameter.ndim in (2, 4) and "weight" in name.rpartition(".")[2]
    }
    ends = [*matrices.values()][:1] + [*matrices.values()][-1:]
    return {parameter for parameter, place in matrices.items() if place not in ends}


def side_by_side(model: nn.Module, name: str) -> str:
    """Where a parameter stands: the ModuleDict that holds its layer, or its own name."""
    among = name.rpartition(".")[0].rpartition(".")[0]
    return among if isinstance(model.get_submodule(among), nn.ModuleDict) else name


def joined(optimizer: Optimizer) -> Optimizer:
    """An optimizer that has not stepped yet, groups that differ in nothing made one: each costs its own calls."""
    groups: Groups = []
    for group in optimizer.param_groups:
        alike = next((known for known in groups if rules_of(known) == rules_of(group)), None)
        if alike is None:
            groups.append(group)
        else:
            alike["params"] += group["params"]
    optimizer.param_groups[:] = groups
    return optimizer


def rules_of(group: dict[str, Any]) -> dict[str, Any]:
    """How a group steps, whatever is in it; its weights that stand in the middle are marked, and read by then."""
    return {key: value for key, value in group.items() if key not in ("params", "hidden")}


def batch_of(optimizer: Choice, asked: int) -> int:
    """Images per update: what the optimizer's name says, else what was asked for; `WHOLE` for the training split."""
    return BATCH.get(optimizer.name, asked)
