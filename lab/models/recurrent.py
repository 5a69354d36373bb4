"""Recurrent networks: the image read as a sequence, one state carried from step to step.

All have a norm on request, between layers: h <- norm(h) where a next layer or the logits read a state, each state by
itself. What a layer carries to its own next step is never normalised (Ba et al. 2016 do that inside the step).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from lab.catalogue import Knob
from lab.models.catalogue import Activation, Shape, VectorNorm, dropped, models
from lab.models.norms import vector_norm

Reads = Annotated[
    Literal["rows", "pixels"], Field(description="what one step reads: a row of the image, or a single pixel")
]
State = Annotated[int, Field(ge=1, le=65536, description="units of the hidden state"), Knob(4, 512, log=True)]
Layers = Annotated[
    int, Field(ge=1, le=20, description="recurrent layers, each reading the states of the last"), Knob(1, 4)
]
BetweenLayers = Annotated[
    float,
    Field(ge=0, lt=1, description="share of the units left out between two layers; 0 leaves none out"),
    Knob(0, 0.9),
]
ForgetBias = Annotated[
    float, Field(ge=-10, le=10, description="bias of the forget gate at the start; above 0 remembers"), Knob(-2, 4)
]


@models.add
def rnn(
    shape: Shape,
    classes: int,
    activation: Activation,
    *,
    reads: Reads = "rows",
    width: State = 64,
    depth: Layers = 1,
    norm: VectorNorm = "nothing",
    dropout: BetweenLayers = 0.0,
) -> nn.Module:
    """Recurrent network: reads the image step by step and keeps one state.

    h_t = f(W x_t + b + U h_(t-1)), h_0 = 0 ;  logits = V h_last + c
    x_t is a row of the image (all its channels) or a pixel. The classic f is tanh. The norm stands where the next layer
    or the logits read h, not where h is carried on.

    Source: Elman, Cognitive Science 1990; torch.nn.RNN (whose second bias adds nothing); norm: Ba et al. 2016,
    arXiv 1607.06450 (there inside the step).
    """
    layers = [RnnLayer(inputs, width, activation()) for inputs in inputs_of(shape, reads, width, depth)]
    return recurrent(reads, layers, norm, dropout, nn.Linear(width, classes))


@models.add
def lstm(
    shape: Shape,
    classes: int,
    activation: Activation,
    *,
    reads: Reads = "rows",
    width: State = 64,
    depth: Layers = 1,
    norm: VectorNorm = "nothing",
    dropout: BetweenLayers = 0.0,
    forget_bias: ForgetBias = 1.0,
) -> nn.Module:
    """Long short-term memory: a recurrent network whose gates decide what is kept.

    i, k, o = sigmoid(W x_t + b + U h_(t-1)), each its own ;  g = f(W x_t + b + U h_(t-1))
    c_t = k c_(t-1) + i g ;  h_t = o f(c_t) ;  logits = V h_last + c
    The classic f is tanh, and the gates stay sigmoid whatever f is. The bias of k, the forget gate, starts at
    forget_bias: at 0 half of the memory is lost at every step. The norm stands where the next layer or the logits read
    h, not where h is carried on.

    Source: Hochreiter & Schmidhuber, Neural Computation 1997; forget_bias: Jozefowicz et al., ICML 2015; torch.nn.LSTM;
    norm: Ba et al. 2016, arXiv 1607.06450 (there inside the step).
    """
    sizes = inputs_of(shape, reads, width, depth)
    layers = [LstmLayer(inputs, width, activation(), forget_bias) for inputs in sizes]
    return recurrent(reads, layers, norm, dropout, nn.Linear(width, classes))


@models.add
def gru(
    shape: Shape,
    classes: int,
    activation: Activation,
    *,
    reads: Reads = "rows",
    width: State = 64,
    depth: Layers = 1,
    norm: VectorNorm = "nothing",
    dropout: BetweenLayers = 0.0,
) -> nn.Module:
    """Gated recurrent unit: an LSTM with two gates and no separate memory.

    r, z = sigmoid(W x_t + b + U h_(t-1)), each its own ;  g = f(W x_t + b + r (U h_(t-1)))
    h_t = (1 - z) g + z h_(t-1) ;  logits = V h_last + c
    The classic f is tanh, and the gates stay sigmoid whatever f is. The norm stands where the next layer or the logits
    read h, not where h is carried on.

    Source: Cho et al. 2014, arXiv 1406.1078, in the form of torch.nn.GRU, where r stands behind U; norm: Ba et al.
    2016, arXiv 1607.06450 (there inside the step).
    """
    layers = [GruLayer(inputs, width, activation()) for inputs in inputs_of(shape, reads, width, depth)]
    return recurrent(reads, layers, norm, dropout, nn.Linear(width, classes))


def inputs_of(shape: Shape, reads: str, width: int, depth: int) -> list[int]:
    """How many numbers each layer reads at a step."""
    return [shape[0] if reads == "pixels" else shape[0] * shape[2], *[width] * (depth - 1)]


def recurrent(reads: str, layers: Iterable[RecurrentLayer], norm: str, dropout: float, head: nn.Module) -> nn.Module:
    """Image -> sequence -> layers, with norm and dropout between two of them -> last state -> norm -> logits."""
    first, *others = layers
    width = first.width
    between = [part for layer in others for part in (*vector_norm(norm, width), *dropped(dropout), layer)]
    begin = [AsSequence(by_pixel=reads == "pixels"), first, *between]
    return nn.Sequential(*begin, LastState(), *vector_norm(norm, width), head)


class AsSequence(nn.Module):
    """The image as a sequence of its rows, or of its pixels row by row."""

    def __init__(self, *, by_pixel: bool) -> None:
        super().__init__()
        self.by_pixel = by_pixel

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, h, c w) or (n, h w, c)."""
        return images.flatten(2).transpose(1, 2) if self.by_pixel else images.transpose(1, 2).flatten(2)


class LastState(nn.Module):
    """The state after the whole image was read."""

    def forward(self, states: Tensor) -> Tensor:
        """(n, steps, width) -> (n, width)."""
        return states[:, -1]


class RecurrentLayer(nn.Module):
    """A sequence (n, steps, inputs) -> the states (n, steps, width); a matrix of its own for each gate.

    Each kind of layer has its `names` of gates, and `step`: what the gates read and the memory -> state and memory.
    """

    names: tuple[str, ...] = ()
    is_one_layer = True  # for a learning rate per depth

    def __init__(self, inputs: int, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.width, self.activation = width, activation
        self.reading = nn.ModuleDict({name: nn.Linear(inputs, width) for name in self.names})
        self.carrying = nn.ModuleDict({name: nn.Linear(width, width, bias=False) for name in self.names})

    def forward(self, sequence: Tensor) -> Tensor:
        """(n, steps, inputs) -> (n, steps, width)."""
        read = [linear(sequence).unbind(1) for linear in self.reading.values()]
        state = memory = sequence.new_zeros(len(sequence), self.width)
        states: list[Tensor] = []
        for given in zip(*read, strict=True):
            carried = [linear(state) for linear in self.carrying.values()]
            state, memory = self.step(given, carried, memory)
            states.append(state)
        return torch.stack(states, 1)

    def step(self, given: tuple[Tensor, ...], carried: list[Tensor], memory: Tensor) -> tuple[Tensor, Tensor]:
        """What each gate reads (n, width) from sequence and state, and the memory -> the next state and memory."""
        raise NotImplementedError


class RnnLayer(RecurrentLayer):
    """h <- f(W x + b + U h)."""

    names = ("state",)

    def step(self, given: tuple[Tensor, ...], carried: list[Tensor], memory: Tensor) -> tuple[Tensor, Tensor]:
        """No gates."""
        return self.activation(given[0] + carried[0]), memory


class LstmLayer(RecurrentLayer):
    """c <- k c + i g ;  h <- o f(c)."""

    names = ("input_gate", "forget_gate", "output_gate", "candidate")

    def __init__(self, inputs: int, width: int, activation: nn.Module, forget_bias: float) -> None:
        super().__init__(inputs, width, activation)
        self.reading["forget_gate"].bias_starts_at = forget_bias  # pyright: ignore[reportArgumentType]  # read by `initialise`

    def step(self, given: tuple[Tensor, ...], carried: list[Tensor], memory: Tensor) -> tuple[Tensor, Tensor]:
        """Three gates, and what may be written."""
        takes, keeps, shows, candidate = (x + h for x, h in zip(given, carried, strict=True))
        memory = keeps.sigmoid() * memory + takes.sigmoid() * self.activation(candidate)
        return shows.sigmoid() * self.activation(memory), memory


class GruLayer(RecurrentLayer):
    """h <- (1 - z) g + z h."""

    names = ("reset_gate", "update_gate", "candidate")

    def step(self, given: tuple[Tensor, ...], carried: list[Tensor], memory: Tensor) -> tuple[Tensor, Tensor]:
        """Two gates, and what may be written; the memory is the state."""
        reset, update = ((x + h).sigmoid() for x, h in zip(given[:2], carried[:2], strict=True))
        candidate = self.activation(given[2] + reset * carried[2])
        state = (1 - update) * candidate + update * memory
        return state, state
