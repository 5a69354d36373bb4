"""Schedule-free AdamW: an average of the weights takes the place of a falling rate."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lab.optimizers import optimizers
from lab.optimizers.settings import Beta1, Beta2, Eps, Groups, Lr, WeightDecay
from lab.optimizers.stepping import WeightByWeight


class ScheduleFreeAdamW(WeightByWeight):
    """The parameters are y, where gradients are taken; x, their average, is what the network is used with.

    It keeps x beside y and z, a buffer more than the authors' code, so that a look at x never changes y.
    """

    def __init__(self, params: Groups, lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def used_weights(self) -> dict[Tensor, Tensor]:
        """x by parameter, as far as it was stepped."""
        return {parameter: state["x"] for parameter, state in self.state.items()}

    def start(self, parameter: Tensor) -> dict[str, Any]:
        x, z = parameter.clone(), parameter.clone()
        state = {"x": x, "z": z, "exp_avg_sq": torch.zeros_like(parameter), "step": 0, "weight_sum": 0.0}
        self.state[parameter].update(state)
        return self.state[parameter]

    def advance(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        y, state = parameter, self.state[parameter] or self.start(parameter)
        (beta1, beta2), x, z, square = group["betas"], state["x"], state["z"], state["exp_avg_sq"]
        state["step"] += 1
        rate = group["lr"] * (1 - beta2 ** state["step"]) ** 0.5
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        z.addcdiv_(gradient, square.sqrt().add_(group["eps"]), value=-rate)
        z.sub_(y, alpha=rate * group["weight_decay"])
        state["weight_sum"] += rate**2
        x.lerp_(z, rate**2 / state["weight_sum"] if rate else 0.0)  # no rate yet at the start of a warm-up
        y.copy_(z.lerp(x, beta1))


@optimizers.add
def schedule_free_adamw(
    params: Groups,
    *,
    lr: Lr = 0.0025,
    beta1: Beta1 = 0.9,
    beta2: Beta2 = 0.999,
    eps: Eps = 1e-8,
    weight_decay: WeightDecay = 0.01,
) -> torch.optim.Optimizer:
    """AdamW that needs no falling rate: the network is used with an average of its weights at any time.

    y = (1 - beta1) z + beta1 x, where the gradient g is taken ;  v <- beta2 v + (1 - beta2) g^2
    r_t = lr sqrt(1 - beta2^t) ;  z <- z - r_t g / (sqrt(v) + eps) - r_t weight_decay y
    x <- (1 - c) x + c z, with c = r_t^2 / sum_(i<=t) r_i^2
    Training losses are those at y; validation, test and the finished run use x, with batch normalisation's statistics
    taken anew. Choose the schedule constant, with a warm-up if need be.

    Source: Defazio et al. 2024, arXiv 2405.15682, algorithm 1.
    """
    return ScheduleFreeAdamW(params, lr, (beta1, beta2), eps, weight_decay)
