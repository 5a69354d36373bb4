"""What the geometric options share: their settings, their draws, the matrices made of them."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lab.augmentations.sampling import Fill
from lab.catalogue import Knob

Probability = Annotated[float, Field(ge=0, le=1, description="share of the samples that are changed"), Knob(0, 1)]
Outside = Annotated[
    Fill, Field(description="what comes in from outside: black, the outermost pixels, or a mirror image")
]


def uniform(shape: torch.Size, generator: torch.Generator, count: int) -> Tensor:
    """(count, n) numbers from 0 up to 1: a fixed number for each sample, whatever becomes of them."""
    return torch.rand(count, shape[0], generator=generator, device=generator.device)


def spread_over(draw: Tensor, low: float, high: float) -> Tensor:
    """Numbers from 0 up to 1 as numbers from low up to high."""
    return draw.mul(high - low).add_(low)


def by_chance(value: Tensor, coin: Tensor, p: float, *, otherwise: float = 0.0) -> Tensor:
    """The values (n,) of a share p of the samples, another number for the rest; what is certain need not be asked."""
    return value if p == 1 else value.masked_fill(coin >= p, otherwise)


def matrices(
    *,
    a: Tensor | float = 1.0,
    b: Tensor | float = 0.0,
    c: Tensor | float = 0.0,
    d: Tensor | float = 0.0,
    e: Tensor | float = 1.0,
    f: Tensor | float = 0.0,
) -> Tensor:
    """(n, 3, 3) of [[a, b, c], [d, e, f], [0, 0, 1]]; each part (n,), or one number for all samples."""
    given: tuple[Tensor | float, ...] = (a, b, c, d, e, f, 0.0, 0.0, 1.0)
    like = next(part for part in given if isinstance(part, Tensor))
    same = {part: torch.full_like(like, part) for part in given if not isinstance(part, Tensor)}
    parts = [part if isinstance(part, Tensor) else same[part] for part in given]
    return torch.stack(parts, 1).view(-1, 3, 3)
