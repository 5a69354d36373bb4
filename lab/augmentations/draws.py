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
    given = (a, b, c, d, e, f)
    like = next(part for part in given if isinstance(part, Tensor))
    out = torch.eye(3, device=like.device, dtype=like.dtype).repeat(len(like), 1, 1)
    for place, part in enumerate(given):
        out[:, place // 3, place % 3] = part
    return out
