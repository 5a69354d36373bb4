"""Layers one after the other: the multi-layer perceptron and the convolutional network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from lab.catalogue import Knob
from lab.models.catalogue import Activation, Dropout, Norm, Shape, Width, dropped, models
from lab.models.local import LocallyConnected2d
from lab.models.norms import normalisation

Depth = Annotated[int, Field(ge=0, le=100, description="number of hidden layers"), Knob(0, 10)]
Blocks = Annotated[int, Field(ge=1, le=20, description="number of convolution-and-pool blocks"), Knob(1, 6)]
Convs = Annotated[int, Field(ge=1, le=20, description="convolutions in each block"), Knob(1, 4)]
Kernel = Annotated[Literal[3, 5, 7, 9, 11], Field(description="height and width of the kernels, in pixels")]
Channels = Annotated[
    int,
    Field(ge=1, le=4096, description="channels of the first block; each block doubles them"),
    Knob(4, 128, log=True),
]
Hidden = Annotated[
    int,
    Field(ge=0, le=65536, description="units of the fully connected layer; 0 averages over places instead"),
    Knob(8, 1024, log=True),
]
Pool = Annotated[
    Literal["max", "average", "stride"],
    Field(description="what halves the image after a block: the largest of 2 x 2, their mean, or every second place"),
]
Shared = Annotated[bool, Field(description="one kernel for all places; false gives each place its own")]


@models.add
def mlp(
    shape: Shape,
    classes: int,
    activation: Activation,
    *,
    depth: Depth = 2,
    width: Width = 64,
    norm: Norm = "nothing",
    dropout: Dropout = 0.0,
) -> nn.Module:
    """Multi-layer perceptron: the image as one long vector, through fully connected layers.

    h_0 = x ;  h_l = dropout(f(norm(W_l h_(l-1) + b_l))) ;  logits = W h_depth + b
    With a norm, whose own shift follows, the hidden layers have no b.

    Source: Rumelhart et al., Nature 1986; dropout: Srivastava et al., JMLR 2014.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    inputs = shape[0] * shape[1] * shape[2]
    for _ in range(depth):
        linear = nn.Linear(inputs, width, bias=norm == "nothing")
        layers += [linear, *normalisation(norm, width), activation(), *dropped(dropout)]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, classes))


@models.add
def cnn(
    shape: Shape,
    classes: int,
    activation: Activation,
    *,
    depth: Blocks = 2,
    convs: Convs = 1,
    kernel: Kernel = 3,
    width: Channels = 16,
    hidden: Hidden = 128,
    pool: Pool = "max",
    norm: Norm = "nothing",
    dropout: Dropout = 0.0,
    shared: Shared = True,
) -> nn.Module:
    """Convolutional network: blocks of convolutions and pooling, then a fully connected layer.

    depth x (convs x (conv -> norm -> f), the last one conv -> norm -> pool -> f), channels width, 2 width, ... ;
    then dropout -> linear -> f -> dropout -> linear, or with hidden = 0 mean over places -> dropout -> linear.
    Pooling stands before the activation: the same value for a monotonic one, and less work. It stops at 1 pixel.
    Like LeNet: kernel 5, width 6. Like VGG-13: depth 5, convs 2, width 64, hidden 4096, dropout 0.5.
    In the manner of AlexNet: depth 3, kernel 5, width 64, hidden 4096, dropout 0.5.
    shared = false makes every place learn a kernel of its own: what weight sharing saves, and what it knows.

    Source: LeCun et al., Proceedings of the IEEE 1998 (LeNet-5); Krizhevsky et al., NeurIPS 2012;
    Simonyan & Zisserman 2015, arXiv 1409.1556; average over places: Lin et al. 2014, arXiv 1312.4400.
    """
    layers: list[nn.Module] = []
    channels, size = shape[0], shape[1:]
    for number in range(depth * convs):
        outputs = width * 2 ** (number // convs)
        halved = min(size) > 1 and (number + 1) % convs == 0
        stride = 2 if halved and pool == "stride" else 1
        bias = norm == "nothing"
        layers.append(convolution(channels, outputs, kernel, size, stride=stride, bias=bias, shared=shared))
        layers += [*normalisation(norm, outputs), *pooling(pool if halved else "nothing"), activation()]
        channels, size = outputs, halves(size, pool) if halved else size
    places = size[0] * size[1]
    head = hidden_layer(channels * places, hidden, activation, dropout) if hidden else average(dropout)
    return nn.Sequential(*layers, *head, nn.Linear(hidden or channels, classes))


def convolution(
    inputs: int, outputs: int, kernel: int, size: tuple[int, int], *, stride: int, bias: bool, shared: bool
) -> nn.Module:
    """A layer with one kernel for all places of an image of this size, or with one for each."""
    if not shared:
        return LocallyConnected2d(inputs, outputs, kernel, size, stride=stride, bias=bias)
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=bias)


def pooling(kind: str) -> list[nn.Module]:
    if kind == "max":
        return [nn.MaxPool2d(2)]
    return [nn.AvgPool2d(2)] if kind == "average" else []


def halves(size: tuple[int, int], pool: str) -> tuple[int, int]:
    """Height and width after a block: a pool leaves out an odd last row, a stride does not."""
    odd = 1 if pool == "stride" else 0
    return (size[0] + odd) // 2, (size[1] + odd) // 2


def hidden_layer(inputs: int, units: int, activation: Activation, dropout: float) -> list[nn.Module]:
    """The fully connected layer before the last, with dropout before and behind it."""
    return [nn.Flatten(), *dropped(dropout), nn.Linear(inputs, units), activation(), *dropped(dropout)]


def average(dropout: float) -> list[nn.Module]:
    """The mean of each channel over all places, in place of a fully connected layer."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *dropped(dropout)]
