"""Catalogue `activations`: what stands between two layers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from lab.catalogue import Catalogue, Choice, Knob

activations = Catalogue("activation")

Slope = Annotated[float, Field(ge=0, lt=1, description="slope for negative inputs"), Knob(0.001, 0.5, log=True)]


@activations.add
def relu() -> nn.Module:
    """Rectified linear unit: passes what is positive.

    f(x) = max(0, x)

    Source: Nair & Hinton, ICML 2010; torch.nn.ReLU.
    """
    return nn.ReLU()


@activations.add
def leaky_relu(*, slope: Slope = 0.01) -> nn.Module:
    """Rectified linear unit that lets a little of the negative side through.

    f(x) = x if x > 0 else slope x

    Source: Maas et al., ICML workshop 2013; torch.nn.LeakyReLU.
    """
    return nn.LeakyReLU(slope)


@activations.add
def sigmoid() -> nn.Module:
    """Logistic function: squashes to between 0 and 1, and saturates on both sides.

    f(x) = 1 / (1 + exp(-x))

    Source: Rumelhart et al., Nature 1986; torch.nn.Sigmoid.
    """
    return nn.Sigmoid()


@activations.add
def tanh() -> nn.Module:
    """Hyperbolic tangent: squashes to between -1 and 1, centred on zero.

    f(x) = (exp(x) - exp(-x)) / (exp(x) + exp(-x))

    Source: LeCun et al., Efficient BackProp, 1998; torch.nn.Tanh.
    """
    return nn.Tanh()


def gain_of(activation: Choice) -> float:
    """Factor on the weights' standard deviation that keeps a signal's size through the activation.

    An activation that torch does not know (a person's own) gets 1.

    Source: torch.nn.init.calculate_gain.
    """
    slope = getattr(activation, "slope", None)
    try:
        return nn.init.calculate_gain(activation.name, slope)  # pyright: ignore[reportArgumentType]  # any str is taken
    except ValueError:
        return 1.0
