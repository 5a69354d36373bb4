"""Locally connected layers: what a convolution is without its shared weights."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class LocallyConnected2d(nn.Module):
    """A convolution whose every place has a kernel of its own: the same receptive field, nothing shared.

    out[n, o, p] = sum_i weight[p, o, i] patch[n, i, p] + bias[p, o] ;  i runs over the channels and the kernel

    The weight is (places out, in, kernel, kernel): the kernels of the first place, then of the second, row by row.

    Args:
        size: height and width of the images; kernel: odd, so that the padding keeps the size where stride is 1.
    Source: LeCun 1989, Generalization and network design strategies (its Net-3 and Net-4 against Net-5).
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, size: tuple[int, int], *, stride: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.outputs = kernel, stride, outputs
        self.size = (-(-size[0] // stride), -(-size[1] // stride))
        self.places = math.prod(self.size)
        self.weight = nn.Parameter(torch.empty(self.places * outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(self.places * outputs)) if bias else None
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # as torch's convolutions start

    def fill_weights(self, fill: Callable[[Tensor], None]) -> None:
        """Each place like a convolution of its own, which is what decides fan-in and fan-out; the biases 0."""
        for kernels in self.weight.chunk(self.places):
            fill(kernels)
        if self.bias is not None:
            self.bias.zero_()

    def forward(self, images: Tensor) -> Tensor:
        """(n, in, h, w) -> (n, out, h, w), or half of each side at stride 2."""
        patches = functional.unfold(images, self.kernel, padding=self.kernel // 2, stride=self.stride)
        weight = self.weight.reshape(self.places, self.outputs, -1)
        hidden = torch.einsum("nip,poi->nop", patches, weight)
        if self.bias is not None:
            hidden = hidden + self.bias.view(self.places, self.outputs).T
        return hidden.unflatten(2, self.size)
