"""Catalogue `schedules`: progress of the run in [0, 1) -> factor of the learning rate."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from lab.catalogue import Catalogue, Knob

schedules = Catalogue("schedule")

Warmup = Annotated[float, Field(ge=0, lt=1, description="fraction of the run spent warming up"), Knob(0, 0.5)]
Final = Annotated[float, Field(ge=0, le=1, description="factor that is left at the end"), Knob(0, 1)]


@schedules.add
def constant(progress: float) -> float:
    """The same learning rate from the first step to the last.

    factor = 1

    Source: Robbins & Monro 1951 studied when it must shrink; torch.optim.lr_scheduler.ConstantLR with factor 1.
    """
    return 1.0


@schedules.add
def cosine(progress: float, *, warmup: Warmup = 0.0, final: Final = 0.0) -> float:
    """Linear warm-up from zero, then half a cosine down to the final factor.

    factor = progress / warmup                                 while progress < warmup
    factor = final + (1 - final) (1 + cos(pi t)) / 2           with t = (progress - warmup) / (1 - warmup)

    Example:
        >>> [round(cosine(progress), 3) for progress in (0, 0.5, 1)]
        [1.0, 0.5, 0.0]

    Source: Loshchilov & Hutter 2017, arXiv 1608.03983, eq. 5; warm-up: Goyal et al. 2017, arXiv 1706.02677.
    """
    if progress < warmup:
        return progress / warmup
    fallen = (progress - warmup) / (1 - warmup)
    return final + (1 - final) * (1 + math.cos(math.pi * fallen)) / 2
