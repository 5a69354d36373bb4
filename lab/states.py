"""A network and its optimizer as tensors by name, and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lab.events import State
from lab.steps import like

Optimizer = torch.optim.Optimizer


def taken(model: nn.Module, optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors, not copied, and plain numbers, which decide how both go on."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    scalars: dict[str, Any] = {}
    for index, slots in optimizer.state_dict()["state"].items():
        for slot, value in slots.items():
            (tensors if isinstance(value, Tensor) else scalars)[f"optimizer.{index}.{slot}"] = value
    return tensors, scalars


def put_back(state: State, model: nn.Module, optimizer: Optimizer) -> None:
    """Raises ValueError when the state belongs to another network."""
    try:
        model.load_state_dict(state.part("model."))
    except RuntimeError as error:
        raise ValueError(f"This checkpoint belongs to another network. {error}") from None
    _put_back_optimizer({**state.tensors, **state.scalars}, optimizer)


def _put_back_optimizer(values: dict[str, Any], optimizer: Optimizer) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    slots: dict[int, dict[str, Any]] = {}
    for name, value in values.items():
        if name.startswith("optimizer."):
            _, index, slot = name.split(".", 2)
            slots.setdefault(int(index), {})[slot] = like(value, parameters[int(index)])
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    for index, own in slots.items():  # torch gives all of it the weights' type
        kept = optimizer.state[parameters[index]]
        kept |= {slot: kept[slot].to(value.dtype) for slot, value in own.items() if isinstance(value, Tensor)}
