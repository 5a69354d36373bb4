"""Muon: a step that moves a matrix by the same length in all of its directions."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from lab.catalogue import Knob
from lab.optimizers import optimizers
from lab.optimizers.settings import Beta1, Beta2, Eps, Groups, Lr, Momentum, WeightDecay
from lab.optimizers.stepping import WeightByWeight

QUINTIC = (3.4445, -4.7750, 2.0315)
Iterations = Annotated[int, Field(ge=1, le=20, description="Newton-Schulz iterations per step"), Knob(1, 10)]


def orthogonalised(matrix: Tensor, iterations: int) -> Tensor:
    """(rows, columns) -> nearly U V^T of its singular value decomposition: all singular values about 1 (0.7 to 1.2).

    X <- a X + (b X X^T + c (X X^T)^2) X, `iterations` times, from X = matrix / its norm.
    """
    a, b, c = QUINTIC
    wide = matrix.T if len(matrix) > matrix.shape[1] else matrix
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(iterations):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide.T if len(matrix) > matrix.shape[1] else wide


class Muon(WeightByWeight):
    """Muon for what the groups mark as hidden matrices and kernels, AdamW for all others."""

    def __init__(
        self,
        params: Groups,
        *,
        lr: float,
        momentum: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        iterations: int,
    ) -> None:
        settings = {"lr": lr, "momentum": momentum, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "iterations": iterations, "hidden": ()})
        marked = (zip(group["params"], group["hidden"], strict=False) for group in self.param_groups)
        self.hidden = {parameter for group in marked for parameter, hidden in group if hidden}

    def advance(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        direction = self.turned if parameter in self.hidden else self.adapted
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(direction(parameter, gradient, group), alpha=group["lr"])

    def turned(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        """Muon's direction; a kernel (out, in, h, w) counts as a matrix (out, in h w)."""
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        mean = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(mean, group["momentum"]).flatten(1)
        length = 0.2 * max(ahead.shape) ** 0.5
        return length * orthogonalised(ahead, group["iterations"]).reshape(parameter.shape)

    def adapted(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        """Adam's direction."""
        (beta1, beta2), state = group["betas"], self.state[parameter]
        if not state:
            state |= {"step": 0, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
        state["step"] += 1
        mean = state["exp_avg"].lerp_(gradient, 1 - beta1)
        square = state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        step = state["step"]
        return mean / (1 - beta1**step) / ((square / (1 - beta2**step)).sqrt() + group["eps"])


@optimizers.add
def muon(
    params: Groups,
    *,
    lr: Lr = 0.001,
    momentum: Momentum = 0.95,
    iterations: Iterations = 5,
    beta1: Beta1 = 0.9,
    beta2: Beta2 = 0.999,
    eps: Eps = 1e-8,
    weight_decay: WeightDecay = 0.01,
) -> torch.optim.Optimizer:
    """Momentum made orthogonal: hidden matrices and kernels move as far in rare directions as in frequent ones.

    m <- momentum m + (1 - momentum) g ;  O = orthogonalised((1 - momentum) g + momentum m)
    theta <- (1 - lr weight_decay) theta - 0.2 sqrt(max(rows, columns)) lr O
    A kernel (out, in, h, w) counts as a matrix (out, in h w). The first and the last matrix or kernel of the network,
    frozen or not, in the order in which its layers are defined (of a recurrent network those of all gates that read
    the image), and everything that is neither (biases, norms, positions) take AdamW's steps with beta1, beta2 and eps;
    the factor makes both kinds of step equally long, so that one rate, about AdamW's, serves them all. It differs from
    torch.optim.Muon in taking kernels, and in iterating in the weights' own precision instead of bfloat16.

    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon; the factor: Liu et al. 2025, arXiv 2502.16982,
    section 2.2; torch.optim.Muon with adjust_lr_fn="match_rms_adamw".
    """
    return Muon(
        params,
        lr=lr,
        momentum=momentum,
        betas=(beta1, beta2),
        eps=eps,
        weight_decay=weight_decay,
        iterations=iterations,
    )
