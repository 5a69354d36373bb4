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
    given = {(0, 0): a, (0, 1): b, (0, 2): c, (1, 0): d, (1, 1): e, (1, 2): f}
    like = next(part for part in given.values() if isinstance(part, Tensor))
    out = like.new_zeros(len(like), 3, 3)
    out.diagonal(dim1=1, dim2=2).fill_(1)
    for (row, column), part in given.items():
        if isinstance(part, Tensor) or part != (row == column):
            out[:, row, column] = part
    return out
