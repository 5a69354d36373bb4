"""Catalogue `optimizers`: how a gradient becomes a step.

Each option takes torch's parameter groups and returns a torch optimizer.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from lab.catalogue import Catalogue, Knob

optimizers = Catalogue("optimizer")

Groups = list[dict[str, Any]]
Lr = Annotated[float, Field(gt=0, description="learning rate: step size per update"), Knob(1e-5, 10, log=True)]
Momentum = Annotated[float, Field(ge=0, lt=1, description="share of the last step that is kept"), Knob(0, 0.99)]
Nesterov = Annotated[bool, Field(description="look ahead along the momentum before taking the gradient")]
Beta1 = Annotated[float, Field(ge=0, lt=1, description="memory of the mean gradient"), Knob(0, 0.99)]
Beta2 = Annotated[float, Field(ge=0, lt=1, description="memory of the squared gradient"), Knob(0.9, 0.9999)]
Alpha = Annotated[float, Field(ge=0, lt=1, description="memory of the squared gradient"), Knob(0.9, 0.999)]
Eps = Annotated[float, Field(gt=0, description="keeps the division finite"), Knob(1e-10, 1e-2, log=True)]
WeightDecay = Annotated[float, Field(ge=0, description="pull of matrices and kernels to zero"), Knob(0, 0.1)]


@optimizers.add(rules={"nesterov needs momentum: set momentum above 0.": lambda c: c.momentum > 0 or not c.nesterov})
def sgd(
    params: Groups,
    *,
    lr: Lr = 0.1,
    momentum: Momentum = 0.0,
    nesterov: Nesterov = False,
    weight_decay: WeightDecay = 0.0,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent, with momentum and Nesterov's look-ahead on request.

    v <- momentum v + g ;  theta <- theta - lr v           (plain and heavy ball)
    v <- momentum v + g ;  theta <- theta - lr (g + momentum v)    (Nesterov)

    Source: Sutskever et al., ICML 2013; torch.optim.SGD.
    """
    return torch.optim.SGD(params, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=True)


@optimizers.add
def adam(
    params: Groups,
    *,
    lr: Lr = 0.001,
    beta1: Beta1 = 0.9,
    beta2: Beta2 = 0.999,
    eps: Eps = 1e-8,
    weight_decay: WeightDecay = 0.0,
) -> torch.optim.Optimizer:
    """Adaptive moments: each weight's step is scaled by the size of its recent gradients.

    m <- beta1 m + (1 - beta1) g ;  v <- beta2 v + (1 - beta2) g^2
    theta <- theta - lr m^ / (sqrt(v^) + eps)              with m^, v^ corrected for their start at 0

    Source: Kingma & Ba 2015, arXiv 1412.6980, algorithm 1; torch.optim.Adam.
    """
    return torch.optim.Adam(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=True)


@optimizers.add
def adamw(
    params: Groups,
    *,
    lr: Lr = 0.001,
    beta1: Beta1 = 0.9,
    beta2: Beta2 = 0.999,
    eps: Eps = 1e-8,
    weight_decay: WeightDecay = 0.01,
) -> torch.optim.Optimizer:
    """Adam whose weight decay stands beside the gradient, not in it: large gradients no longer hide it.

    theta <- (1 - lr weight_decay) theta - lr m^ / (sqrt(v^) + eps)

    Source: Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2; torch.optim.AdamW.
    """
    return torch.optim.AdamW(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=True)


@optimizers.add
def rmsprop(
    params: Groups, *, lr: Lr = 0.001, alpha: Alpha = 0.99, eps: Eps = 1e-8, weight_decay: WeightDecay = 0.0
) -> torch.optim.Optimizer:
    """Root mean square propagation: the gradient divided by its recent size, weight by weight.

    v <- alpha v + (1 - alpha) g^2 ;  theta <- theta - lr g / (sqrt(v) + eps)

    Source: Hinton, Coursera lecture 6e, 2012; torch.optim.RMSprop.
    """
    return torch.optim.RMSprop(params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, foreach=True)


def parameter_groups(model: nn.Module) -> Groups:
    """Weights in one group, biases and norms in another that is never decayed.

    Source: Loshchilov & Hutter 2019 leave it open; this is the common practice since He et al. 2019,
    arXiv 1812.01187, section 3.1.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    weights = [parameter for parameter in trained if parameter.ndim > 1]
    others = [parameter for parameter in trained if parameter.ndim <= 1]
    return [{"params": weights}, {"params": others, "weight_decay": 0.0}]
