"""Catalogue `averages`: with which mean of its weights a network is used, while training goes on with its own.

Each option gets the update that was just made (0, 1, ...), the updates per epoch and the epochs; it returns the share
of the newest weights in the mean: mean <- (1 - share) mean + share weights; None while there is no mean.
"""

from __future__ import annotations

from math import ceil
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from lab.catalogue import Catalogue, Knob
from lab.used_weights import used_weights

averages = Catalogue("average")

Decay = Annotated[
    float, Field(ge=0, lt=1, description="memory of the mean: it covers 1 / (1 - decay) steps"), Knob(0.9, 0.9999)
]
Warmup = Annotated[bool, Field(description="a short memory at first, so that the first weights are soon forgotten")]
Start = Annotated[
    float, Field(ge=0, lt=1, description="fraction of the run after which averaging begins"), Knob(0, 0.95)
]


@averages.add
def nothing(step: int, steps_per_epoch: int, epochs: int) -> float | None:
    """The network is used with the weights that it was trained to, and no mean of them.

    mean = weights

    Source: the common practice.
    """
    return None


@averages.add
def ema(step: int, steps_per_epoch: int, epochs: int, *, decay: Decay = 0.99, warmup: Warmup = True) -> float | None:
    """Exponential moving average: a mean of recent weights, in which older ones fade.

    mean <- decay mean + (1 - decay) weights, after every step t = 0, 1, ...; it begins with the weights after the first
    with warm-up: min(decay, (1 + t) / (10 + t)) in place of decay
    BatchNorm's statistics are those of up to 2048 training images under the mean, taken anew at every evaluation.

    Source: Polyak & Juditsky 1992; Tarvainen & Valpola 2017, arXiv 1703.01780, eq. 1; the warm-up:
    tf.train.ExponentialMovingAverage; torch.optim.swa_utils.get_ema_multi_avg_fn.
    """
    if step == 0:
        return 1.0
    return 1 - min(decay, (1 + step) / (10 + step)) if warmup else 1 - decay


@averages.add
def swa(step: int, steps_per_epoch: int, epochs: int, *, start: Start = 0.75) -> float | None:
    """Stochastic weight averaging: the plain mean of the weights at the ends of the last epochs.

    mean <- (n mean + weights) / (n + 1), after the n-th epoch (0, 1, ...) of those that end after start x epochs
    It is meant for a rate that stays high: choose the schedule constant.
    BatchNorm's statistics are those of up to 2048 training images under the mean, taken anew at every evaluation.

    Source: Izmailov et al. 2018, arXiv 1803.05407, algorithm 1 with a cycle of an epoch; torch.optim.swa_utils.
    """
    ended, rest = divmod(step + 1, steps_per_epoch)
    known = ended - max(1, ceil(start * epochs - 1e-9))  # 0.07 * 100 is a little above 7
    if known < 0:
        return None
    return 0.0 if rest else 1 / (1 + known)


@torch.no_grad()
def blend(
    mean: dict[str, Tensor], share: float | None, model: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """The mean of the trained weights, by name, after one more step; empty while there is none.

    Of an optimizer that wants other weights used than it steps, it is the mean of those.
    """
    if share is None or share == 0:
        return mean
    stepped = {
        parameter for group in optimizer.param_groups for parameter in group["params"]
    }  # those frozen for now too
    named = {name: parameter for name, parameter in model.named_parameters() if parameter in stepped}
    weights = {**named, **used_weights(model, optimizer)}
    if not mean:
        return {name: weight.detach().clone() for name, weight in weights.items()}
    torch._foreach_lerp_([mean[name] for name in weights], list(weights.values()), share)  # pyright: ignore[reportPrivateImportUsage]
    return mean
