"""Catalogue `models`: (image shape, number of classes, activation) -> a network of logits.

Every model maps images (n, c, h, w) to logits (n, classes).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from lab.catalogue import Catalogue, Knob

models = Catalogue("model")

Activation = Callable[[], nn.Module]
Depth = Annotated[int, Field(ge=0, le=100, description="number of hidden layers"), Knob(0, 10)]
Width = Annotated[int, Field(ge=1, le=65536, description="units in each hidden layer"), Knob(4, 1024, log=True)]
Blocks = Annotated[int, Field(ge=1, le=20, description="number of convolution-and-pool blocks"), Knob(1, 6)]
Channels = Annotated[
    int,
    Field(ge=1, le=4096, description="channels of the first block; each block doubles them"),
    Knob(4, 128, log=True),
]
Hidden = Annotated[
    int, Field(ge=1, le=65536, description="units of the fully connected layer"), Knob(8, 1024, log=True)
]


@models.add
def mlp(
    shape: tuple[int, int, int], classes: int, activation: Activation, *, depth: Depth = 2, width: Width = 64
) -> nn.Module:
    """Multi-layer perceptron: the image as one long vector, through fully connected layers.

    h_0 = x ;  h_l = f(W_l h_(l-1) + b_l) ;  logits = W h_depth + b

    Source: Rumelhart et al., Nature 1986.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    inputs = shape[0] * shape[1] * shape[2]
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), activation()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, classes))


@models.add
def cnn(
    shape: tuple[int, int, int],
    classes: int,
    activation: Activation,
    *,
    depth: Blocks = 2,
    width: Channels = 16,
    hidden: Hidden = 128,
) -> nn.Module:
    """Convolutional network: 3 x 3 convolutions and pooling, then a fully connected layer.

    depth x (conv 3x3 -> max pool 2x2 -> f), channels width, 2 width, 4 width, ... ;  then linear -> f -> linear.
    Pooling stands before the activation: the same value for a monotonic one, and less work. It stops at 1 pixel.

    Source: LeCun et al., Proceedings of the IEEE 1998 (LeNet-5).
    """
    channels, height, wide = shape
    layers: list[nn.Module] = []
    for block in range(depth):
        layers.append(nn.Conv2d(channels, width * 2**block, 3, padding=1))
        channels = width * 2**block
        if min(height, wide) > 1:
            layers.append(nn.MaxPool2d(2))
            height, wide = height // 2, wide // 2
        layers.append(activation())
    fully_connected = [nn.Flatten(), nn.Linear(channels * height * wide, hidden), activation()]
    return nn.Sequential(*layers, *fully_connected, nn.Linear(hidden, classes))


@torch.no_grad()
def initialise(model: nn.Module, fill: Callable[[torch.Tensor], None]) -> None:
    """Fill every weight of a linear or convolutional layer with `fill`, every bias of one with 0."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            fill(layer.weight)
            if layer.bias is not None:
                layer.bias.zero_()
