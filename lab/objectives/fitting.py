"""A last layer for a network that has learned without labels: softmax regression on what it computes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

DECAY = 1e-3  # of the weights, on features that are brought to mean 0 and deviation 1
ITERATIONS = 100


def readout(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Fit W and b to features and labels, in float64 and always the same way.

    min over W, b of  mean_i -ln softmax(W (h_i - m) / s + b)[label_i]  +  DECAY / 2 |W|^2 ;  then m and s are taken in

    Args:
        features: (n, d), labels: (n,).
    Returns:
        (classes, d) weights and (classes,) biases in the features' type, so that logits are W h + b.

    Source: the protocol of linear evaluation, e.g. Chen et al. 2020, arXiv 2002.05709, section 2.2.
    """
    given = features.detach().cpu().double()
    mean, deviation = given.mean(0), given.std(0, correction=0)
    deviation = torch.where(deviation > 1e-8 * given.abs().max().clamp(min=1), deviation, 1.0)  # else it says nothing
    with torch.inference_mode(mode=False), torch.enable_grad():
        weight, bias = minimised(((given - mean) / deviation).clone(), labels.cpu().clone(), classes)
    weight = weight / deviation
    return weight.to(features), (bias - weight @ mean).to(features)


def minimised(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    weight = features.new_zeros(classes, features.shape[1]).requires_grad_()
    bias = features.new_zeros(classes).requires_grad_()
    search = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def error() -> Tensor:
        search.zero_grad()
        loss = functional.cross_entropy(features @ weight.T + bias, labels) + DECAY / 2 * weight.square().sum()
        loss.backward()
        return loss

    search.step(error)
    return weight.detach(), bias.detach()
