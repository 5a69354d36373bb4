"""Networks with shortcuts: residual (what a block gives is added) and dense (it is set beside the rest)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from lab.catalogue import Knob
from lab.models.catalogue import Activation, Dropout, Norm, Shape, ZeroLast, dropped, models
from lab.models.norms import normalisation
from lab.models.start import start_at_zero

STAGES = 3  # of a residual network; each but the first halves the image and doubles the channels

PerStage = Annotated[int, Field(ge=1, le=100, description="residual blocks in each of the three stages"), Knob(1, 9)]
StageWidth = Annotated[
    int,
    Field(ge=1, le=4096, description="channels of the first stage; each stage doubles them"),
    Knob(4, 128, log=True),
]
Skip = Annotated[bool, Field(description="add each block's input to its output; false removes only that")]
Growth = Annotated[
    int, Field(ge=1, le=1024, description="channels that each layer adds to what it read"), Knob(4, 48, log=True)
]
PerBlock = Annotated[int, Field(ge=1, le=100, description="layers in each dense block"), Knob(1, 12)]
DenseBlocks = Annotated[int, Field(ge=1, le=10, description="dense blocks, with a pool between two"), Knob(1, 4)]


@models.add(
    rules={
        "zero_last needs skip: without its shortcut a block that starts at 0 passes nothing on.": (
            lambda choice: choice.skip or not choice.zero_last
        )
    }
)
def resnet(
    shape: Shape,
    classes: int,
    activation: Activation,
    *,
    depth: PerStage = 3,
    width: StageWidth = 16,
    norm: Norm = "batch",
    skip: Skip = True,
    zero_last: ZeroLast = False,
    dropout: Dropout = 0.0,
) -> nn.Module:
    """Residual network: every block adds a correction to what it was given.

    h <- f(shortcut(h) + F(h)) ;  F = conv -> norm -> f -> dropout -> conv -> norm, all kernels 3 x 3

    As for CIFAR in the paper: conv -> norm -> f, three stages of `depth` blocks with width, 2 width, 4 width channels,
    the second and third at half the size, mean over places, linear; 6 depth + 2 layers. Where the size halves, the
    shortcut takes every second place and fills the new channels with 0: it has no weights, so that skip = false
    removes the sum and nothing else. zero_last starts F at 0, in its last norm (without norms its last convolution).
    Dropout stands between the two convolutions of a block, never on the shortcut.

    Source: He et al. 2016, arXiv 1512.03385, section 4.2 (option A); zero_last: Goyal et al. 2017, arXiv 1706.02677;
    dropout: Zagoruyko & Komodakis 2016, arXiv 1605.07146.
    """
    stem = nn.Conv2d(shape[0], width, 3, padding=1, bias=norm == "nothing")
    layers: list[nn.Module] = [stem, *normalisation(norm, width), activation()]
    channels = width
    for number in range(STAGES * depth):
        outputs = width * 2 ** (number // depth)
        inner = residual_layers(channels, outputs, activation, norm, dropout, zero_last=zero_last)
        layers.append(ResidualBlock(inner, activation(), outputs // channels, skip=skip))
        channels = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def residual_layers(
    inputs: int, outputs: int, activation: Activation, norm: str, dropout: float, *, zero_last: bool
) -> list[nn.Module]:
    """What a block adds; it halves the image where it doubles the channels."""
    bias = norm == "nothing"
    first = nn.Conv2d(inputs, outputs, 3, stride=outputs // inputs, padding=1, bias=bias)
    second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=bias)
    begin = [first, *normalisation(norm, outputs), activation(), *dropped(dropout)]
    end = [second, *normalisation(norm, outputs)]
    if zero_last:
        start_at_zero(end[-1])
    return [*begin, *end]


class ResidualBlock(nn.Module):
    """f(shortcut(h) + F(h)), or f(F(h)) without the shortcut."""

    def __init__(self, layers: list[nn.Module], activation: nn.Module, stride: int, *, skip: bool) -> None:
        super().__init__()
        self.inner, self.activation = nn.Sequential(*layers), activation
        self.stride, self.skip = stride, skip

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, stride c, h / stride, w / stride), rounded up."""
        change = self.inner(images)
        return self.activation(self.shortcut(images, change.size(1)) + change if self.skip else change)

    def shortcut(self, images: Tensor, channels: int) -> Tensor:
        """Every second place where the block halves the image, and 0 in the channels that are new."""
        kept = images[:, :, :: self.stride, :: self.stride]
        return functional.pad(kept, (0, 0, 0, 0, 0, channels - images.size(1)))


@models.add
def densenet(
    shape: Shape,
    classes: int,
    activation: Activation,
    *,
    growth: Growth = 12,
    depth: PerBlock = 4,
    blocks: DenseBlocks = 3,
    norm: Norm = "batch",
    dropout: Dropout = 0.0,
) -> nn.Module:
    """Dense network: every layer reads what all layers before it gave, and adds a few channels.

    h <- [h, dropout(conv3x3(f(norm(h))))], `depth` times in each block ;  between two blocks
    norm -> f -> conv1x1 -> average pool 2x2, all channels kept ;  at the end norm -> f -> mean over places -> linear.
    The first convolution gives 2 growth channels. Pooling stops at 1 pixel.

    Source: Huang et al. 2017, arXiv 1608.06993, section 3 (without bottlenecks and compression).
    """
    channels, size = 2 * growth, min(shape[1:])
    layers: list[nn.Module] = [nn.Conv2d(shape[0], channels, 3, padding=1, bias=norm == "nothing")]
    for block in range(blocks):
        if block:
            pool = [nn.AvgPool2d(2)] if size > 1 else []
            layers += [*preactivated(channels, channels, 1, activation, norm), *pool]
            size = max(1, size // 2)
        for _ in range(depth):
            added = [*preactivated(channels, growth, 3, activation, norm), *dropped(dropout)]
            layers.append(DenseLayer(added))
            channels += growth
    head = [*normalisation(norm, channels), activation(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *head, nn.Linear(channels, classes))


def preactivated(inputs: int, outputs: int, kernel: int, activation: Activation, norm: str) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=norm == "nothing")
    return [*normalisation(norm, inputs), activation(), convolution]


class DenseLayer(nn.Module):
    """What was read, and beside it what the layers make of it."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.inner = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c + growth, h, w)."""
        return torch.cat([images, self.inner(images)], 1)
