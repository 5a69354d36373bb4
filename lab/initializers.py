"""Catalogue `initializers`: how the weights of a layer are drawn before the first step.

Each option fills one weight in place: (out, in) or (out, in, kernel, kernel). Biases start at 0.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from lab.catalogue import Catalogue, Knob

initializers = Catalogue("initializer")

Gain = Annotated[float, Field(gt=0, description="factor on the standard deviation"), Knob(0.1, 10, log=True)]
Std = Annotated[float, Field(gt=0, description="standard deviation of every weight"), Knob(0.0001, 10, log=True)]


@initializers.add
def he_normal(weight: Tensor, gain: float, generator: torch.Generator) -> None:
    """Normal weights that keep the signal's variance forward, whatever the activation (Kaiming).

    std = gain / sqrt(fan_in), with the activation's gain: sqrt(2) for relu.

    Source: He et al. 2015, arXiv 1502.01852, eq. 10.
    """
    weight.normal_(0, gain / math.sqrt(weight[0].numel()), generator=generator)


@initializers.add
def xavier_normal(weight: Tensor, activation_gain: float, generator: torch.Generator, *, gain: Gain = 1.0) -> None:
    """Normal weights between what forward and backward signals ask for (Glorot).

    std = gain sqrt(2 / (fan_in + fan_out)); the activation's own gain is not used, as in the paper.

    Source: Glorot & Bengio, AISTATS 2010, eq. 12.
    """
    nn.init.xavier_normal_(weight, gain, generator=generator)


@initializers.add
def random_normal(weight: Tensor, gain: float, generator: torch.Generator, *, std: Std = 0.01) -> None:
    """Normal weights of one size in every layer, however wide it is.

    w ~ N(0, std^2)

    Source: Krizhevsky et al., NeurIPS 2012, section 5 (std 0.01).
    """
    weight.normal_(0, std, generator=generator)
