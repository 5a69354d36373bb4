"""The vision transformer: patches of the image that look at each other."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from lab.catalogue import Knob
from lab.models.catalogue import Activation, Dropout, Shape, VectorNorm, ZeroLast, dropped, models
from lab.models.norms import vector_norm
from lab.models.start import start_at_zero

EXPANSION = 4  # the feed-forward part is this much wider
POSITION_STD = 0.02

Patch = Annotated[int, Field(ge=1, le=256, description="height and width of a patch, in pixels"), Knob(1, 16)]
TokenWidth = Annotated[
    int,
    Field(ge=1, le=16384, description="numbers that stand for a patch; heads must divide it"),
    Knob(16, 512, log=True),
]
Heads = Annotated[Literal[1, 2, 3, 4, 6, 8, 12, 16], Field(description="attention heads: ways of looking side by side")]
Layers = Annotated[int, Field(ge=1, le=100, description="layers of attention and feed-forward"), Knob(1, 12)]
Positions = Annotated[
    Literal["learned", "sine", "nothing"],
    Field(description="how a patch says where it stands: learned, by sines, or not at all"),
]
NormPlace = Annotated[
    Literal["before", "after"],
    Field(description="where the norm stands: before attention and feed-forward, or after what they add to the tokens"),
]
SharedLayer = Annotated[bool, Field(description="one layer's weights, applied `depth` times")]


@models.add(rules={"heads must divide width: each head gets width / heads numbers.": lambda c: c.width % c.heads == 0})
def transformer(
    shape: Shape,
    classes: int,
    activation: Activation,
    *,
    patch: Patch = 4,
    width: TokenWidth = 64,
    heads: Heads = 4,
    depth: Layers = 2,
    positions: Positions = "learned",
    shared: SharedLayer = False,
    norm: VectorNorm = "layer",
    norm_place: NormPlace = "before",
    dropout: Dropout = 0.0,
    zero_last: ZeroLast = False,
) -> nn.Module:
    """Vision transformer: the image as a set of patches, each looking at all others.

    t_p = W patch_p + b + position_p ;  depth x (t <- t + attention(norm t) ;  t <- t + W2 f(W1 norm t + b1) + b2) ;
    logits = V mean_p(norm t) + c ;  attention(t) = W softmax(q k^T / sqrt(width / heads)) v, heads side by side

    The mean over the patches is read, there is no class token. Images are padded with 0 at the right and at the bottom
    to whole patches. Learned positions start as N(0, 0.02^2), whatever the initialiser. Dropout stands on the sum of
    patch and position and on what each part adds. zero_last starts what each part adds at 0.
    norm_place = after gives the first transformer's t <- norm(t + attention(t)) ; t <- norm(t + W2 f(W1 t + b1) + b2),
    without the norm at the end: no token passes a layer unchanged, and deep ones want a warm-up.

    Source: Dosovitskiy et al. 2021, arXiv 2010.11929 (appendix D.3: mean or class token); sines, norm after: Vaswani et
    al. 2017, arXiv 1706.03762; before or after: Xiong et al. 2020, arXiv 2002.04745; rms: Zhang & Sennrich 2019,
    arXiv 1910.07467; shared: Lan et al. 2020, arXiv 1909.11942 (ALBERT).
    """
    tokens = -(-shape[1] // patch) * -(-shape[2] // patch)
    first = [Patches(patch), nn.Linear(shape[0] * patch**2, width), *position_layer(positions, tokens, width)]
    after = norm_place == "after" and norm != "nothing"
    kind, end = (NormedAfter, "nothing") if after else (TransformerLayer, norm)
    layers = [
        kind(width, heads, activation(), dropout, norm, zero_last=zero_last) for _ in range(1 if shared else depth)
    ]
    repeated = Repeated(layers[0], depth) if shared else nn.Sequential(*layers)
    head = [*vector_norm(end, width), MeanToken(), nn.Linear(width, classes)]
    return nn.Sequential(*first, *dropped(dropout), repeated, *head)


class Patches(nn.Module):
    """The image cut into squares, row by row; what the last ones miss is 0."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, patches, c size size)."""
        height, width = images.shape[2:]
        whole = functional.pad(images, (0, -width % self.size, 0, -height % self.size))
        return functional.unfold(whole, self.size, stride=self.size).transpose(1, 2)


def position_layer(kind: str, tokens: int, width: int) -> list[nn.Module]:
    if kind == "learned":
        return [LearnedPositions(tokens, width)]
    return [SinePositions(tokens, width)] if kind == "sine" else []


class LearnedPositions(nn.Module):
    """Adds a vector of its own to each place."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(POSITION_STD * torch.randn(tokens, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, tokens, width) -> the same shape."""
        return tokens + self.table


class SinePositions(nn.Module):
    """Adds sin and cos of the place, at wavelengths from 2 pi to 10,000 2 pi."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.register_buffer("table", sines(tokens, width), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, tokens, width) -> the same shape."""
        return tokens + self.get_buffer("table")


def sines(tokens: int, width: int) -> Tensor:
    """(tokens, width): sin(p / 10000^(2i / width)) at 2i, cos of the same at 2i + 1."""
    rates = 10_000 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.arange(tokens, dtype=torch.float64)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)[:, :width].float()


class Repeated(nn.Module):
    """One layer, applied several times."""

    def __init__(self, layer: nn.Module, times: int) -> None:
        super().__init__()
        self.layer, self.times = layer, times

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, tokens, width) -> the same shape."""
        for _ in range(self.times):
            tokens = self.layer(tokens)
        return tokens


class TransformerLayer(nn.Module):
    """t <- t + attention(norm t) ;  t <- t + feed_forward(norm t)."""

    def __init__(
        self, width: int, heads: int, activation: nn.Module, dropout: float, norm: str, *, zero_last: bool
    ) -> None:
        super().__init__()
        last = nn.Linear(EXPANSION * width, width)
        attention = Attention(width, heads)
        if zero_last:
            start_at_zero(last)
            start_at_zero(attention.out)
        self.attention = nn.Sequential(*vector_norm(norm, width), attention, *dropped(dropout))
        wider = [*vector_norm(norm, width), nn.Linear(width, EXPANSION * width), activation]
        self.feed_forward = nn.Sequential(*wider, last, *dropped(dropout))

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, tokens, width) -> the same shape."""
        tokens = tokens + self.attention(tokens)
        return tokens + self.feed_forward(tokens)


class NormedAfter(nn.Module):
    """t <- norm(t + attention(t)) ;  t <- norm(t + feed_forward(t))."""

    def __init__(
        self, width: int, heads: int, activation: nn.Module, dropout: float, norm: str, *, zero_last: bool
    ) -> None:
        super().__init__()
        plain = TransformerLayer(width, heads, activation, dropout, "nothing", zero_last=zero_last)
        self.attention, (self.attention_norm,) = plain.attention, vector_norm(norm, width)
        self.feed_forward, (self.feed_forward_norm,) = plain.feed_forward, vector_norm(norm, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, tokens, width) -> the same shape."""
        tokens = self.attention_norm(tokens + self.attention(tokens))
        return self.feed_forward_norm(tokens + self.feed_forward(tokens))


class Attention(nn.Module):
    """Every token takes a mean over all tokens, weighted by how well its query suits their keys.

    Written out, where torch has one function for it: torch.func.vmap cannot map that one.
    """

    is_one_layer = True  # for a learning rate per depth

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, tokens, width) -> the same shape."""
        query, key, value = (self.split(linear(tokens)) for linear in (self.query, self.key, self.value))
        scores = query @ key.transpose(2, 3) / math.sqrt(query.size(3))
        return self.out((scores.softmax(3) @ value).transpose(1, 2).flatten(2))

    def split(self, tokens: Tensor) -> Tensor:
        """(n, tokens, width) -> (n, heads, tokens, width / heads)."""
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)


class MeanToken(nn.Module):
    """The mean over all tokens."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, tokens, width) -> (n, width)."""
        return tokens.mean(1)
