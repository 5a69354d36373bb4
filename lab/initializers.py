"""Catalogue `initializers`: how the weights of a layer are drawn before the first step.

Each option fills one weight in place: (out, in), or (out, in, height, width) for a convolution. Biases start at 0.
fan_in is how many inputs one output sums, in x height x width; fan_out = out x height x width. The context's
`activation_gain` keeps the size of a signal through the recipe's activation: sqrt(2) for relu.
An option that must see the whole network has a second function, which `finish` calls when all weights are filled.
Residual networks can have the last layer of each block start at zero, whatever stands here: a knob of theirs.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lab.catalogue import Catalogue, Choice, Knob

initializers = Catalogue(
    "initializer",
    aliases={
        f"{author}_{shape}": f"{name}_{shape}"
        for author, name in (("kaiming", "he"), ("glorot", "xavier"))
        for shape in ("normal", "uniform")
    },
)

FirstImages = Callable[[int], Tensor]  # how many -> (n, c, h, w) float32, prepared for the network
after_filling: dict[str, Callable[..., None]] = {}  # option -> function of (network, FirstImages) with its settings

MOST_DIVISIONS = 10  # T_max of LSUV's paper

Value = Annotated[float, Field(ge=-1000, le=1000, description="every weight"), Knob(-1, 1)]
Std = Annotated[float, Field(gt=0, description="standard deviation of every weight"), Knob(0.0001, 10, log=True)]
Bound = Annotated[
    float, Field(gt=0, le=1000, description="largest weight, and minus the smallest"), Knob(0.0001, 10, log=True)
]
Gain = Annotated[
    float,
    Field(ge=0, le=1000, description="factor on the standard deviation; 0 takes the activation's own"),
    Knob(0, 5, zero="own"),
]
PapersGain = Annotated[
    float,
    Field(
        ge=0,
        le=1000,
        description="factor on the standard deviation: 1 as in the paper, whatever the activation; 0 takes the "
        "activation's own",
    ),
    Knob(0, 5, zero="own"),
]
Mode = Annotated[
    Literal["fan_in", "fan_out"],
    Field(description="whose variance stays the same: the signal's (fan_in) or the gradient's (fan_out)"),
]
Images = Annotated[int, Field(ge=1, le=10_000, description="training images to measure on"), Knob(8, 512, log=True)]
Tolerance = Annotated[float, Field(ge=0, lt=1, description="a variance this near to 1 is left as it is"), Knob(0, 0.5)]


@initializers.add
def he_normal(
    weight: Tensor,
    activation_gain: float,
    generator: torch.Generator,
    *,
    gain: Gain = 0.0,
    mode: Mode = "fan_in",
) -> None:
    """Normal weights that keep the signal's variance through layers, whatever the activation (Kaiming).

    w ~ N(0, std^2), std = gain / sqrt(fan), with the activation's gain: sqrt(2) for relu.

    Source: He et al. 2015, arXiv 1502.01852, eqs. 10 and 14; torch.nn.init.kaiming_normal_.
    """
    weight.normal_(0, he_std(weight.shape, gain or activation_gain, mode), generator=generator)


@initializers.add
def he_uniform(
    weight: Tensor,
    activation_gain: float,
    generator: torch.Generator,
    *,
    gain: Gain = 0.0,
    mode: Mode = "fan_in",
) -> None:
    """Uniform weights with the variance of He's: none is large.

    w ~ U(-b, b), b = gain sqrt(3 / fan), with the activation's gain: sqrt(2) for relu.

    Source: He et al. 2015, arXiv 1502.01852, eqs. 10 and 14; torch.nn.init.kaiming_uniform_.
    """
    bound = math.sqrt(3) * he_std(weight.shape, gain or activation_gain, mode)
    nn.init.uniform_(weight, -bound, bound, generator)


@initializers.add
def xavier_normal(
    weight: Tensor, activation_gain: float, generator: torch.Generator, *, gain: PapersGain = 1.0
) -> None:
    """Normal weights between what forward and backward signals ask for (Glorot).

    std = gain sqrt(2 / (fan_in + fan_out))
    The gain is 1, as in the paper, whatever the activation; gain = 0 takes the activation's own, sqrt(2) for relu.

    Source: Glorot & Bengio, AISTATS 2010, eq. 12; torch.nn.init.xavier_normal_.
    """
    nn.init.xavier_normal_(weight, gain or activation_gain, generator=generator)


@initializers.add
def xavier_uniform(
    weight: Tensor, activation_gain: float, generator: torch.Generator, *, gain: PapersGain = 1.0
) -> None:
    """Uniform weights between what forward and backward signals ask for (Glorot).

    w ~ U(-b, b), b = gain sqrt(6 / (fan_in + fan_out))
    The gain is 1, as in the paper, whatever the activation; gain = 0 takes the activation's own, sqrt(2) for relu.

    Source: Glorot & Bengio, AISTATS 2010, eq. 16; torch.nn.init.xavier_uniform_.
    """
    nn.init.xavier_uniform_(weight, gain or activation_gain, generator=generator)


@initializers.add
def lecun_normal(weight: Tensor, activation_gain: float, generator: torch.Generator, *, gain: PapersGain = 1.0) -> None:
    """Normal weights that keep the variance through a linear layer; what selu was made for.

    w ~ N(0, std^2), std = gain / sqrt(fan_in)
    The gain is 1, as in the paper, whatever the activation; gain = 0 takes the activation's own, and is he_normal.

    Source: LeCun et al., Efficient BackProp, 1998, section 4.6.
    """
    weight.normal_(0, he_std(weight.shape, gain or activation_gain, "fan_in"), generator=generator)


@initializers.add
def orthogonal(weight: Tensor, activation_gain: float, generator: torch.Generator, *, gain: Gain = 0.0) -> None:
    """A random rotation: keeps every length and angle, not only their average.

    W W^T = gain^2 I for W (out, in x height x width) with no more rows than columns, else W^T W = gain^2 I.

    Source: Saxe et al. 2014, arXiv 1312.6120, section 3; torch.nn.init.orthogonal_.
    """
    with one_thread():
        nn.init.orthogonal_(weight, gain or activation_gain, generator=generator)


@initializers.add
def lsuv(
    weight: Tensor,
    activation_gain: float,
    generator: torch.Generator,
    *,
    images: Images = 64,
    tolerance: Tolerance = 0.1,
) -> None:
    """Layer-sequential unit variance: a random rotation, scaled until each layer's output on images has variance 1.

    W_l orthogonal ;  then from the first layer to the last  W_l <- W_l / std(W_l h_(l-1))  over images and units

    Measured on training images spread evenly over the split, without augmentation. The paper draws new images for every
    division, and divides up to ten times; here the images stay, so that one is enough where the biases are 0.

    Source: Mishkin & Matas 2016, arXiv 1511.06422, algorithm 1.
    """
    with one_thread():
        nn.init.orthogonal_(weight, generator=generator)


@initializers.add
def random_normal(weight: Tensor, activation_gain: float, generator: torch.Generator, *, std: Std = 0.01) -> None:
    """Normal weights of one size in every layer, however wide it is.

    w ~ N(0, std^2)

    Source: Krizhevsky et al., NeurIPS 2012, section 5 (std 0.01).
    """
    weight.normal_(0, std, generator=generator)


@initializers.add
def random_uniform(weight: Tensor, activation_gain: float, generator: torch.Generator, *, bound: Bound = 0.05) -> None:
    """Uniform weights of one size in every layer, however wide it is.

    w ~ U(-bound, bound), with variance bound^2 / 3

    Source: Glorot & Bengio, AISTATS 2010, eq. 1 (where bound = 1 / sqrt(fan_in)); torch.nn.init.uniform_.
    """
    nn.init.uniform_(weight, -bound, bound, generator)


@initializers.add(name="constant")
def constant_weight(weight: Tensor, activation_gain: float, generator: torch.Generator, *, value: Value = 0.1) -> None:
    """The same number everywhere: the units of a layer start alike and, having the same gradients, stay alike.

    w = value

    Source: Goodfellow et al., Deep Learning, 2016, section 8.4 (on breaking the symmetry); torch.nn.init.constant_.
    """
    weight.fill_(value)


@initializers.add
def zeros(weight: Tensor, activation_gain: float, generator: torch.Generator) -> None:
    """Nothing to start from: with hidden layers, little more than the last bias ever learns.

    w = 0

    Source: Goodfellow et al., Deep Learning, 2016, section 8.4 (on breaking the symmetry); torch.nn.init.zeros_.
    """
    weight.zero_()


@initializers.add
def pretrained(weight: Tensor, activation_gain: float, generator: torch.Generator) -> None:
    """The source's weights in every layer that the transfer fills; the others, such as a new last one, as he_normal.

    theta_0 = the source's where the transfer copies ;  elsewhere w ~ N(0, std^2), std = gain / sqrt(fan_in)
    Only with a source and a transfer that copies: they say which layers are filled, and from where.

    Source: Yosinski et al. 2014, arXiv 1411.1792; elsewhere He et al. 2015, arXiv 1502.01852, eq. 10.
    """
    weight.normal_(0, he_std(weight.shape, activation_gain, "fan_in"), generator=generator)


def he_std(shape: Sequence[int], gain: float, mode: str) -> float:
    """gain / sqrt(fan) for a weight (out, in, ...)."""
    return gain / math.sqrt(math.prod(shape[1:] if mode == "fan_in" else (shape[0], *shape[2:])))


def std_of(choice: Choice, shape: Sequence[int], activation_gain: float) -> float | None:
    """Standard deviation of the weights (out, in, ...) by the option's formula; None for a person's own option.

    Of lsuv's weights before they are scaled.
    """
    rows, columns, gain = shape[0], math.prod(shape[1:]), getattr(choice, "gain", 1.0) or activation_gain
    family, _, kind = choice.name.partition("_")
    if family in ("he", "lecun") and kind in ("normal", "uniform"):
        return he_std(shape, gain, getattr(choice, "mode", "fan_in"))
    spread = {
        "xavier_normal": gain * math.sqrt(2 / (columns + rows * math.prod(shape[2:]))),
        "orthogonal": gain / math.sqrt(max(rows, columns)),
        "random_normal": getattr(choice, "std", None),
        "random_uniform": getattr(choice, "bound", 0.0) / math.sqrt(3),
        "constant": 0.0,
        "zeros": 0.0,
        "pretrained": he_std(shape, activation_gain, "fan_in"),
    }
    return (spread | {"xavier_uniform": spread["xavier_normal"], "lsuv": spread["orthogonal"]}).get(choice.name)


def finish(choice: Choice, model: nn.Module, first_images: FirstImages) -> None:
    """What an initialiser does to the whole network once all its weights are filled; most do nothing."""
    if choice.name in after_filling:
        after_filling[choice.name](model, first_images, **choice.model_dump(exclude={"name"}))


@torch.no_grad()
def scale_to_unit_variance(model: nn.Module, first_images: FirstImages, *, images: int, tolerance: float) -> None:
    """Divide weights so that what each linear, convolutional or locally connected layer puts out has variance 1.

    One forward pass in evaluation mode: a layer is scaled when it is reached, and the next one sees what it puts out
    then. Left alone: frozen weights, layers that are not called as modules, and outputs without any variance, such as
    what a recurrent layer makes of its first state, which is 0.

    Source: Mishkin & Matas 2016, arXiv 1511.06422, algorithm 1.
    """
    done: set[nn.Module] = set()

    def scale(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if layer in done:  # called again, it has its scale
            return output
        done.add(layer)
        return divided(layer, inputs, output, tolerance)

    hooks = [layer.register_forward_hook(scale) for layer in model.modules() if is_scaled(layer)]
    try:
        with one_thread(), evaluating(model):
            model(first_images(images))
    finally:
        for hook in hooks:
            hook.remove()


after_filling["lsuv"] = scale_to_unit_variance


def is_scaled(layer: Any) -> bool:
    """Whether LSUV divides it: trained matrices or kernels, also of the layers that fill theirs themselves."""
    known = isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) or hasattr(layer, "fill_weights")
    return known and layer.weight.requires_grad


def divided(layer: Any, inputs: tuple[Tensor, ...], output: Tensor, tolerance: float) -> Tensor:
    """The layer's output once its weight is divided until that output has variance 1, where it has any."""
    for _ in range(MOST_DIVISIONS):
        variance = output.var(correction=0).item()
        if not 0 < variance < math.inf or abs(variance - 1) <= tolerance:
            break
        layer.weight.div_(math.sqrt(variance))
        output = layer.forward(*inputs)
    return output


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Generator[None]:
    """Evaluation mode for a while; afterwards each module has its own mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def one_thread() -> Generator[None]:
    """The last bits of a long sum depend on the number of threads; the start of a run must not."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
