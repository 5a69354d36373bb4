"""A learning rate per depth: what is near the input is general and should move less than what is near the output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from lab.optimizers import parameter_groups

Groups = list[dict[str, Any]]
Layer = list[nn.Parameter]


def rate_groups(model: nn.Module, depth_decay: float, beside: Sequence[nn.Parameter] = ()) -> Groups:
    """torch's parameter groups, the output's first; each has the `scale` of its learning rate.

    scale = depth_decay ** (layers above) ;  1 for what stands beside the model

    Depth is the order in which the modules were defined, as in `model.modules()`; frozen layers count.

    Source: Howard & Ruder 2018, arXiv 1801.06146, section 3.2 (discriminative fine-tuning, depth_decay = 1 / 2.6).
    """
    groups: Groups = []
    for above, layer in enumerate(reversed(by_depth(model))):
        parts = parameter_groups(model, layer)  # what is decayed is decided there
        groups += [{**part, "scale": depth_decay**above} for part in parts]
    return groups + [{**part, "scale": 1.0} for part in parameter_groups(model, beside) if beside]


def by_depth(model: nn.Module) -> list[Layer]:
    """Parameters by layer, the input's first: a module with a matrix or kernel of its own, and the norms after it.

    What a module that `is_one_layer` holds (a recurrent layer's gates, an attention's four matrices) is one layer.
    """
    found: list[Layer] = []
    seen: set[nn.Parameter] = set()
    for module in model.modules():
        held = module.parameters(recurse=getattr(module, "is_one_layer", False))
        own = [parameter for parameter in held if parameter not in seen]
        seen.update(own)
        if not found or (has_matrix(own) and has_matrix(found[-1])):
            found.append(own)
        else:
            found[-1] += own
    return found


def has_matrix(parameters: Sequence[nn.Parameter]) -> bool:
    return any(parameter.ndim > 1 for parameter in parameters)
