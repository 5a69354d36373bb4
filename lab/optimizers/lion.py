"""Lion: every weight moves by the same length, only the sign is learned from the gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lab.optimizers import optimizers
from lab.optimizers.settings import Beta1, Beta2, Groups, Lr, WeightDecay
from lab.optimizers.stepping import WeightByWeight


class Lion(WeightByWeight):
    """Steps by the sign of the gradient's mean."""

    def __init__(self, params: Groups, lr: float, betas: tuple[float, float], weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    def advance(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        (beta1, beta2), lr, state = group["betas"], group["lr"], self.state[parameter]
        if not state:
            state["exp_avg"] = torch.zeros_like(parameter)
        mean = state["exp_avg"]
        direction = mean.lerp(gradient, 1 - beta1).sign_()
        parameter.mul_(1 - lr * group["weight_decay"]).add_(direction, alpha=-lr)
        mean.lerp_(gradient, 1 - beta2)


@optimizers.add
def lion(
    params: Groups, *, lr: Lr = 0.0001, beta1: Beta1 = 0.9, beta2: Beta2 = 0.99, weight_decay: WeightDecay = 0.1
) -> torch.optim.Optimizer:
    """Evolved sign momentum: every weight moves by lr, up or down; a rate 3 to 10 times below Adam's suits it.

    theta <- (1 - lr weight_decay) theta - lr sign(beta1 m + (1 - beta1) g)
    m <- beta2 m + (1 - beta2) g
    The defaults pull weights to zero as adamw's do: a tenth of the rate, ten times the decay.

    Source: Chen et al. 2023, arXiv 2302.06675, algorithm 2.
    """
    return Lion(params, lr, (beta1, beta2), weight_decay)
