"""Gradient descent: plain, over batches of three sizes, and with two kinds of momentum."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from lab.catalogue import Knob
from lab.optimizers import optimizers
from lab.optimizers.settings import Groups, Lr, Momentum, Nesterov, WeightDecay

Ahead = Annotated[float, Field(gt=0, lt=1, description="share of the last step that is kept"), Knob(0.5, 0.99)]


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
def batch_gd(params: Groups, *, lr: Lr = 0.1, weight_decay: WeightDecay = 0.0) -> torch.optim.Optimizer:
    """Gradient descent on the whole training split at once: one exact step per epoch.

    theta <- theta - lr g, with g the mean gradient over all training images; the recipe's batch_size is not used.
    The whole split passes through the network in one piece: memory grows with it.

    Source: Cauchy, Comptes Rendus 1847; torch.optim.SGD.
    """
    return torch.optim.SGD(params, lr=lr, weight_decay=weight_decay, fused=True)


@optimizers.add
def stochastic_gd(params: Groups, *, lr: Lr = 0.01, weight_decay: WeightDecay = 0.0) -> torch.optim.Optimizer:
    """Gradient descent on one image at a time: cheap, noisy steps, as many per epoch as there are images.

    theta <- theta - lr g, with g the gradient of a single image; the recipe's batch_size is not used. A single
    number has no variance: batch normalisation behind a fully connected layer, or where an image is down to one pixel,
    keeps its first statistics (mean 0, variance 1) and normalises nothing.

    Source: Robbins & Monro 1951; torch.optim.SGD.
    """
    return torch.optim.SGD(params, lr=lr, weight_decay=weight_decay, fused=True)


@optimizers.add
def mini_batch_gd(params: Groups, *, lr: Lr = 0.1, weight_decay: WeightDecay = 0.0) -> torch.optim.Optimizer:
    """Gradient descent on the recipe's batch_size: between the whole split and a single image.

    theta <- theta - lr g, with g the mean gradient over batch_size images; the same as sgd without momentum.

    Source: Bottou, Curtis & Nocedal 2018, arXiv 1606.04838; torch.optim.SGD.
    """
    return torch.optim.SGD(params, lr=lr, weight_decay=weight_decay, fused=True)


@optimizers.add
def momentum(
    params: Groups, *, lr: Lr = 0.05, momentum: Momentum = 0.9, weight_decay: WeightDecay = 0.0
) -> torch.optim.Optimizer:
    """Heavy ball: steps add up along directions that persist and cancel where the gradient swings.

    v <- momentum v + g ;  theta <- theta - lr v

    Source: Polyak 1964; Sutskever et al., ICML 2013, eqs. 1-2 (there lr stands inside v); torch.optim.SGD.
    """
    return torch.optim.SGD(params, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)


@optimizers.add
def nesterov(
    params: Groups, *, lr: Lr = 0.05, momentum: Ahead = 0.9, weight_decay: WeightDecay = 0.0
) -> torch.optim.Optimizer:
    """Nesterov's accelerated gradient: momentum that takes the gradient where it is about to land.

    v <- momentum v + g ;  theta <- theta - lr (g + momentum v)

    Source: Nesterov 1983; Sutskever et al., ICML 2013, eqs. 3-4, rearranged as in torch.optim.SGD.
    """
    return torch.optim.SGD(params, lr=lr, momentum=momentum, nesterov=True, weight_decay=weight_decay, fused=True)
