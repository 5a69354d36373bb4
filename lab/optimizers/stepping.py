"""The loop of the lab's own optimizers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class WeightByWeight(torch.optim.Optimizer):
    """Goes through all weights that have a gradient; what is done to each is `advance`, the optimizer's own."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update of all weights that have a gradient."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.advance(parameter, parameter.grad, group)
        return loss

    def advance(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """One update of one weight, in place, with the settings of its group."""
        raise NotImplementedError  # there is no step that all optimizers share
