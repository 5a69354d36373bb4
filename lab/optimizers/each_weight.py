"""Each weight has a rate of its own, by the size of its gradients: AdaGrad, what followed it, and Adam's family."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from lab.catalogue import Knob
from lab.optimizers import optimizers
from lab.optimizers.settings import Alpha, Beta1, Beta2, Eps, Groups, Lr, WeightDecay

LrDecay = Annotated[float, Field(ge=0, description="how fast the rate falls with the steps"), Knob(0, 0.1)]
Rho = Annotated[float, Field(ge=0, lt=1, description="memory of squared gradients and squared steps"), Knob(0.8, 0.99)]
MomentumDecay = Annotated[float, Field(ge=0, description="how fast the look-ahead grows with the steps"), Knob(0, 0.02)]


@optimizers.add
def adagrad(
    params: Groups, *, lr: Lr = 0.01, lr_decay: LrDecay = 0.0, eps: Eps = 1e-10, weight_decay: WeightDecay = 0.0
) -> torch.optim.Optimizer:
    """Adaptive gradient: the gradient divided by all that came before, so that rare features keep large steps.

    s <- s + g^2 ;  theta <- theta - lr / (1 + t lr_decay) g / (sqrt(s) + eps)      with t = 0, 1, ... the step

    Source: Duchi et al., JMLR 2011, section 1.1; torch.optim.Adagrad.
    """
    return torch.optim.Adagrad(params, lr=lr, lr_decay=lr_decay, eps=eps, weight_decay=weight_decay, fused=True)


@optimizers.add
def adadelta(
    params: Groups, *, lr: Lr = 1.0, rho: Rho = 0.9, eps: Eps = 1e-6, weight_decay: WeightDecay = 0.0
) -> torch.optim.Optimizer:
    """Steps in the weights' own units: the size of recent steps over the size of recent gradients.

    s <- rho s + (1 - rho) g^2 ;  d = sqrt(u + eps) / sqrt(s + eps) g ;  u <- rho u + (1 - rho) d^2
    theta <- theta - lr d                                   (the paper has no lr: 1)

    Source: Zeiler 2012, arXiv 1212.5701, algorithm 1; torch.optim.Adadelta.
    """
    return torch.optim.Adadelta(params, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, foreach=True)


@optimizers.add
def rmsprop(
    params: Groups, *, lr: Lr = 0.001, alpha: Alpha = 0.99, eps: Eps = 1e-8, weight_decay: WeightDecay = 0.0
) -> torch.optim.Optimizer:
    """Root mean square propagation: the gradient divided by its recent size, weight by weight.

    v <- alpha v + (1 - alpha) g^2 ;  theta <- theta - lr g / (sqrt(v) + eps)

    Source: Hinton, Coursera lecture 6e, 2012; torch.optim.RMSprop.
    """
    return torch.optim.RMSprop(params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, foreach=True)


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
def adamax(
    params: Groups,
    *,
    lr: Lr = 0.002,
    beta1: Beta1 = 0.9,
    beta2: Beta2 = 0.999,
    eps: Eps = 1e-8,
    weight_decay: WeightDecay = 0.0,
) -> torch.optim.Optimizer:
    """Adam that divides by the largest recent gradient in place of their mean square.

    m <- beta1 m + (1 - beta1) g ;  u <- max(beta2 u, |g| + eps) ;  theta <- theta - lr / (1 - beta1^t) m / u

    Source: Kingma & Ba 2015, arXiv 1412.6980, algorithm 2; torch.optim.Adamax, which adds eps.
    """
    return torch.optim.Adamax(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, foreach=True)


@optimizers.add
def nadam(
    params: Groups,
    *,
    lr: Lr = 0.002,
    beta1: Beta1 = 0.9,
    beta2: Beta2 = 0.999,
    eps: Eps = 1e-8,
    momentum_decay: MomentumDecay = 0.004,
    weight_decay: WeightDecay = 0.0,
) -> torch.optim.Optimizer:
    """Adam with Nesterov's look-ahead: the mean gradient as it will be after the next step.

    mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2) ;  m, v as in Adam ;  v^ = v / (1 - beta2^t)
    m^ = mu_(t+1) m / (1 - prod_(i<=t+1) mu_i) + (1 - mu_t) g / (1 - prod_(i<=t) mu_i)
    theta <- theta - lr m^ / (sqrt(v^) + eps)
    Weight decay stands in the gradient, as torch has it by default.

    Source: Dozat, ICLR workshop 2016, algorithm 2; torch.optim.NAdam.
    """
    return torch.optim.NAdam(
        params,
        lr=lr,
        betas=(beta1, beta2),
        eps=eps,
        momentum_decay=momentum_decay,
        weight_decay=weight_decay,
        foreach=True,
    )


@optimizers.add
def radam(
    params: Groups,
    *,
    lr: Lr = 0.001,
    beta1: Beta1 = 0.9,
    beta2: Beta2 = 0.999,
    eps: Eps = 1e-8,
    weight_decay: WeightDecay = 0.0,
) -> torch.optim.Optimizer:
    """Adam that takes momentum's steps until it has seen enough gradients to know their size.

    r_inf = 2 / (1 - beta2) - 1 ;  r_t = r_inf - 2 t beta2^t / (1 - beta2^t) ;  m^, v as in Adam
    theta <- theta - lr m^                                  while r_t <= 5
    theta <- theta - lr m^ l_t c_t                          from then on, with l_t = sqrt(1 - beta2^t) / (sqrt(v) + eps)
    c_t = sqrt((r_t - 4) (r_t - 2) r_inf / ((r_inf - 4) (r_inf - 2) r_t))
    Weight decay stands in the gradient, as torch has it by default.

    Source: Liu et al. 2020, arXiv 1908.03265, algorithm 2; torch.optim.RAdam.
    """
    return torch.optim.RAdam(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, foreach=True)
