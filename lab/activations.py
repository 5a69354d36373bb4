"""Catalogue `activations`: what stands between two layers, and what it does to the size of a signal."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lab.catalogue import Catalogue, Choice, Knob

activations = Catalogue(
    "activation", gives="a torch.nn.Module", aliases={"swish": "silu", "logistic": "sigmoid", "linear": "identity"}
)

Slope = Annotated[float, Field(ge=0, lt=1, description="slope for negative inputs"), Knob(0.001, 0.5, log=True)]
FirstSlope = Annotated[
    float, Field(ge=-10, le=10, description="slope for negative inputs before the first step"), Knob(0, 1)
]
Alpha = Annotated[
    float, Field(gt=0, le=1000, description="minus the limit for very negative inputs"), Knob(0.1, 10, log=True)
]
Beta = Annotated[
    float, Field(gt=0, le=1000, description="sharpness: very large is a rectified linear unit"), Knob(0.1, 10, log=True)
]
Approximate = Annotated[
    Literal["none", "tanh"], Field(description="none: the normal distribution itself; tanh: a formula near it")
]


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
def prelu(*, slope: FirstSlope = 0.25) -> nn.Module:
    """Leaky rectified linear unit whose slope is trained, one for each layer.

    f(x) = x if x > 0 else a x, a starting at `slope`; weight decay spares a, as the paper asks.

    Source: He et al. 2015, arXiv 1502.01852, eq. 1; torch.nn.PReLU.
    """
    return nn.PReLU(init=slope)


@activations.add
def elu(*, alpha: Alpha = 1.0) -> nn.Module:
    """Exponential linear unit: bends smoothly towards a negative limit, so that the mean stays near zero.

    f(x) = x if x > 0 else alpha (exp(x) - 1)

    Source: Clevert et al. 2016, arXiv 1511.07289, eq. 15; torch.nn.ELU.
    """
    return nn.ELU(alpha)


@activations.add
def selu() -> nn.Module:
    """Scaled exponential linear unit: draws a signal's mean to 0 and its variance to 1 by itself.

    f(x) = 1.0507 x if x > 0 else 1.0507 * 1.6733 (exp(x) - 1). The paper's weights are `lecun_normal`.

    Source: Klambauer et al. 2017, arXiv 1706.02515, eq. 2; torch.nn.SELU.
    """
    return nn.SELU()


@activations.add
def gelu(*, approximate: Approximate = "none") -> nn.Module:
    """Gaussian error linear unit: weighs an input by how many of a normal distribution lie below it.

    f(x) = x P(z < x), z ~ N(0, 1) ;  tanh: f(x) = x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))

    Source: Hendrycks & Gimpel 2016, arXiv 1606.08415, section 2; torch.nn.GELU.
    """
    return nn.GELU(approximate)


@activations.add
def silu() -> nn.Module:
    """Sigmoid linear unit, also called Swish: weighs an input by its own logistic function.

    f(x) = x / (1 + exp(-x))

    Source: Ramachandran et al. 2017, arXiv 1710.05941 (beta = 1); torch.nn.SiLU.
    """
    return nn.SiLU()


@activations.add
def mish() -> nn.Module:
    """A smooth curve much like Swish, a little deeper below zero.

    f(x) = x tanh(log(1 + exp(x)))

    Source: Misra 2019, arXiv 1908.08681, section 2; torch.nn.Mish.
    """
    return nn.Mish()


@activations.add
def softplus(*, beta: Beta = 1.0) -> nn.Module:
    """A smooth rectified linear unit that is positive everywhere.

    f(x) = log(1 + exp(beta x)) / beta ;  beta x above 20 is passed as it is.

    Source: Glorot et al., AISTATS 2011, section 3; torch.nn.Softplus.
    """
    return nn.Softplus(beta)


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


@activations.add
def hardswish() -> nn.Module:
    """Swish made of straight lines and one parabola: cheap where exponentials are dear.

    f(x) = x min(max(x + 3, 0), 6) / 6

    Source: Howard et al. 2019, arXiv 1905.02244, section 5.2; torch.nn.Hardswish.
    """
    return nn.Hardswish()


@activations.add
def identity() -> nn.Module:
    """No activation: however deep, the network is one linear map.

    f(x) = x

    Source: Saxe et al. 2014, arXiv 1312.6120 (what such networks still learn); torch.nn.Identity.
    """
    return nn.Identity()


@dataclass(frozen=True)
class Moments:
    """What an activation makes of z ~ N(0, 1): the averages that theories of signal propagation need.

    nan where an average is not finite or the activation is no function of single numbers.
    """

    mean: float  # E[f(z)]
    square: float  # E[f(z)^2]
    slope_square: float  # E[f'(z)^2]
    gain: float  # what `gain_of` says

    @property
    def chi(self) -> float:
        """Factor on the squared gradient per layer of weights with std gain / sqrt(fan_in): grows above 1, fades below.

        chi = gain^2 E[f'(z)^2]

        Source: Poole et al. 2016, arXiv 1606.05340, section 2; Schoenholz et al. 2017, arXiv 1611.01232.
        """
        return self.gain**2 * self.slope_square


TORCH_NAMES = {name: name for name in ("relu", "leaky_relu", "selu", "sigmoid", "tanh")} | {
    "prelu": "leaky_relu",
    "identity": "linear",
}


def gain_of(activation: Choice) -> float:
    """Factor on the weights' standard deviation that keeps a signal's size through the activation.

    As torch has it for relu, leaky_relu, prelu (its first slope), selu, sigmoid, tanh and identity. For all others,
    also a person's own, gain = 1 / sqrt(E[f(z)^2]) with z ~ N(0, 1), or 1 where that average is 0 or not finite.
    torch's sigmoid (1), tanh (5/3) and selu (3/4) are customs, not that average. The average is right for variance 1: a
    variance above it grows from layer to layer with gelu, silu and mish, and stays with relu, leaky_relu and prelu.

    Source: torch.nn.init.calculate_gain; He et al. 2015, arXiv 1502.01852, section 2.2, for any f.
    """
    return moments_of(activation).gain if activation.name not in TORCH_NAMES else torchs_gain(activation)


def torchs_gain(activation: Choice) -> float:
    slope = getattr(activation, "slope", None)
    return float(nn.init.calculate_gain(TORCH_NAMES[activation.name], slope))  # pyright: ignore[reportArgumentType]


def moments_of(activation: Choice) -> Moments:
    """The averages over z ~ N(0, 1) of an activation, before the first step.

    Source: Poole et al. 2016, arXiv 1606.05340, section 2.
    """
    try:
        values, slopes = curve_of(activation, GRID)
    except Exception:  # noqa: BLE001  # a person's own layer may want any shape: then it is no function of numbers
        values = slopes = torch.full_like(GRID, math.nan)
    mean, square, slope_square = average(values), average(values**2), average(slopes**2)
    own = 1 / math.sqrt(square) if square > 0 else 1.0
    gain = torchs_gain(activation) if activation.name in TORCH_NAMES else own
    return Moments(mean, square, slope_square, gain)


def curve_of(activation: Choice, points: Tensor) -> tuple[Tensor, Tensor]:
    """f and f' at points (n,), float64, each (n,), the slopes by autograd.

    Raises:
        ValueError: the activation does not map each number to one.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():  # one that draws leaves no trace
        torch.manual_seed(0)
        function: Callable[[Tensor], Tensor] = activations.build(activation).double().eval()
        inputs = points.detach().double().view(-1, 1).requires_grad_()
        values = function(inputs)
        if values.shape != inputs.shape:
            raise ValueError(f"{activation} makes {tuple(values.shape)} of {tuple(inputs.shape)}.")
        depends = values.requires_grad  # a step function has no graph at all
        slopes = (
            torch.autograd.grad(values.sum(), inputs, materialize_grads=True)[0] if depends else 0 * inputs.detach()
        )
    return values.detach().double().flatten(), slopes.flatten()


STEP = 1 / 1024  # a power of two: kinks at whole numbers lie between two points
GRID = (torch.arange(-12 / STEP, 12 / STEP, dtype=torch.float64) + 0.5) * STEP
DENSITY = torch.exp(-(GRID**2) / 2) / math.sqrt(2 * math.pi)


def average(values: Tensor) -> float:
    """E[values] over the grid by the midpoint rule; nan when it is not finite.

    Exact to rounding for smooth functions and to 1e-7 at kinks, where 200 nodes of Gauss and Hermite are off by 1e-3.
    What still weighs at the ends of the grid has no finite average.
    """
    weighed = values * DENSITY
    total = float(weighed.sum()) * STEP
    ends = float(weighed[[0, -1]].abs().max())
    return total if math.isfinite(total) and ends <= 1e-9 * float(weighed.abs().max()) else math.nan
