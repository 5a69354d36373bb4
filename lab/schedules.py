"""Catalogue `schedules`: progress of the run in [0, 1] -> factor of the learning rate, at least 0.

At 1 a schedule has the value at which it ends: a cool-down falls from there. A schedule whose function takes
`validations` too, (loss, accuracy) after each epoch so far, watches the run; the rate stays a pure function of both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from inspect import signature
from typing import Annotated, Any, Literal

from pydantic import Field

from lab.catalogue import Catalogue, Choice, Knob

schedules = Catalogue("schedule", gives="a number, the factor of the rate", aliases={"sgdr": "cosine_restarts"})

Validations = Sequence[tuple[float, float]]  # (loss, accuracy) after each epoch so far
BORDER = 1e-9  # a step that falls on a border belongs to what begins there, however progress was rounded

Start = Annotated[float, Field(ge=0, le=1, description="factor at the first step"), Knob(0, 1)]
Final = Annotated[float, Field(ge=0, le=1, description="factor that is left at the end"), Knob(0, 1)]
FinalAboveZero = Annotated[
    float, Field(gt=0, le=1, description="factor that is left at the end"), Knob(1e-4, 1, log=True)
]
Drop = Annotated[float, Field(ge=0, le=1, description="what each drop multiplies the rate by"), Knob(0, 1)]
Drops = Annotated[int, Field(ge=1, le=1000, description="how often the rate drops in the run"), Knob(1, 10)]
Power = Annotated[float, Field(gt=0, description="1 falls in a line, more falls early"), Knob(0.5, 5)]
Scale = Annotated[
    float, Field(gt=0, description="fraction of the run until the factor is 0.71"), Knob(0.01, 1, log=True)
]
Cycles = Annotated[int, Field(ge=1, le=100, description="how many cycles fill the run"), Knob(1, 10)]
Multiplier = Annotated[
    float, Field(ge=1, le=10, description="how much longer each cycle is than the one before"), Knob(1, 3)
]
Peak = Annotated[
    float, Field(gt=0, lt=1, description="fraction of the run at which the rate is highest"), Knob(0.05, 0.95)
]
Low = Annotated[float, Field(ge=0, le=1, description="factor between two cycles"), Knob(0, 1)]
Metric = Literal["loss", "accuracy"]
Watched = Annotated[Metric, Field(description="what of the validation must get better")]
Patience = Annotated[
    int, Field(ge=0, le=1_000_000, description="epochs without a better one that are let pass"), Knob(0, 20)
]
Threshold = Annotated[float, Field(ge=0, lt=1, description="share by which it must be better to count"), Knob(0, 0.1)]


@schedules.add
def constant(progress: float) -> float:
    """The same learning rate from the first step to the last.

    factor = 1

    Source: Robbins & Monro 1951 studied when it must shrink; torch.optim.lr_scheduler.ConstantLR with factor 1.
    """
    return 1.0


@schedules.add
def step(progress: float, *, drops: Drops = 2, factor: Drop = 0.1) -> float:
    """Drop the rate by a factor a few times, at equal distances.

    factor ** floor((drops + 1) progress)

    Example:
        >>> [round(step(progress), 3) for progress in (0, 0.5, 0.9)]
        [1.0, 0.1, 0.01]

    Source: He et al. 2016, arXiv 1512.03385, section 3.4, by hand; torch.optim.lr_scheduler.StepLR.
    """
    return factor ** min(drops, math.floor((drops + 1) * progress + BORDER))


@schedules.add
def linear(progress: float, *, start: Start = 1.0, final: Final = 0.0) -> float:
    """A straight line from the first factor to the final one.

    factor = start + (final - start) progress

    Source: Li et al. 2020, arXiv 1905.04753, which finds it best for short runs; torch.optim.lr_scheduler.LinearLR.
    """
    return start + (final - start) * progress


@schedules.add
def polynomial(progress: float, *, power: Power = 2.0, final: Final = 0.0) -> float:
    """Fall as a power of what is left of the run, down to the final factor.

    factor = final + (1 - final) (1 - progress) ** power

    Source: Chen et al. 2018, arXiv 1606.00915, the "poly" policy; torch.optim.lr_scheduler.PolynomialLR.
    """
    return final + (1 - final) * (1 - progress) ** power


@schedules.add
def exponential(progress: float, *, final: FinalAboveZero = 0.01) -> float:
    """Shrink by the same share at every step, to the final factor.

    factor = final ** progress

    Source: torch.optim.lr_scheduler.ExponentialLR with gamma = final ** (1 / steps).
    """
    return final**progress


@schedules.add
def inverse_sqrt(progress: float, *, scale: Scale = 0.1) -> float:
    """Fall as one over the square root of the time: fast at first, and never to the end.

    factor = 1 / sqrt(1 + progress / scale)

    With the recipe's warmup = w and scale = w / (1 - w) this is the Transformer's schedule, min(1 / sqrt(step),
    step / steps_of_warmup ** 1.5), as a share of its peak.

    Source: Vaswani et al. 2017, arXiv 1706.03762, eq. 3.
    """
    return 1 / math.sqrt(1 + progress / scale)


@schedules.add
def cosine(progress: float, *, final: Final = 0.0) -> float:
    """Half a cosine from the whole rate down to the final factor.

    factor = final + (1 - final) (1 + cos(pi progress)) / 2

    Example:
        >>> [round(cosine(progress), 3) for progress in (0, 0.5, 1)]
        [1.0, 0.5, 0.0]

    Source: Loshchilov & Hutter 2017, arXiv 1608.03983, eq. 5; torch.optim.lr_scheduler.CosineAnnealingLR.
    """
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


@schedules.add
def cosine_restarts(progress: float, *, cycles: Cycles = 3, multiplier: Multiplier = 2.0, final: Final = 0.0) -> float:
    """Fall along half a cosine, jump back to the whole rate and fall again, each time more slowly.

    factor = final + (1 - final) (1 + cos(pi t)) / 2     with t in [0, 1] the place in the cycle
    cycle i is multiplier ** i times as long as the first; together they fill the run

    Source: Loshchilov & Hutter 2017, arXiv 1608.03983, section 3; torch.optim.lr_scheduler.CosineAnnealingWarmRestarts.
    """
    lengths = [multiplier**cycle for cycle in range(cycles)]
    place = progress * sum(lengths)
    while len(lengths) > 1 and place + BORDER >= lengths[0]:
        place -= lengths.pop(0)
    fallen = min(1.0, max(0.0, place / lengths[0]))
    return final + (1 - final) * (1 + math.cos(math.pi * fallen)) / 2


@schedules.add
def one_cycle(progress: float, *, peak: Peak = 0.3, start: Start = 0.04, final: Final = 0.0) -> float:
    """Rise along half a cosine to the whole rate, then fall along another far below where it began.

    factor = start + (1 - start) (1 - cos(pi progress / peak)) / 2                 while progress < peak
    factor = final + (1 - final) (1 + cos(pi (progress - peak) / (1 - peak))) / 2  after that

    The momentum stays as it is, where torch by default moves it the other way.

    Source: Smith & Topin 2018, arXiv 1708.07120, section 3; torch.optim.lr_scheduler.OneCycleLR, anneal_strategy "cos".
    """
    if progress < peak:
        return start + (1 - start) * (1 - math.cos(math.pi * progress / peak)) / 2
    return final + (1 - final) * (1 + math.cos(math.pi * (progress - peak) / (1 - peak))) / 2


@schedules.add
def cyclic(progress: float, *, cycles: Cycles = 3, low: Low = 0.1) -> float:
    """Up and down in straight lines, again and again.

    factor = low + (1 - low) (1 - abs(2 t - 1))          with t in [0, 1) the place in the cycle

    Source: Smith 2017, arXiv 1506.01186, section 3.1; torch.optim.lr_scheduler.CyclicLR, mode "triangular".
    """
    place = cycles * progress % 1
    return low + (1 - low) * (1 - abs(2 * place - 1))


@schedules.add
def on_plateau(
    progress: float,
    validations: Validations,
    *,
    metric: Watched = "loss",
    factor: Drop = 0.1,
    patience: Patience = 3,
    threshold: Threshold = 1e-4,
) -> float:
    """Drop the rate whenever the validation has stopped getting better: the one schedule that needs the validation.

    factor ** drops     a drop after each patience + 1 epochs in a row that were no better than the best so far
    better: loss < best (1 - threshold), or accuracy > best (1 + threshold)

    The validation split then has a part in training; what it says of the result is a little too good.

    Source: torch.optim.lr_scheduler.ReduceLROnPlateau, threshold_mode "rel".
    """
    margin = 1 - threshold if metric == "loss" else 1 + threshold
    best, waited, drops = math.inf, 0, 0
    for loss, accuracy in validations:
        value = loss if metric == "loss" else -accuracy
        better = value < best * margin
        best, waited = (value, 0) if better else (best, waited + 1)
        if waited > patience:
            drops, waited = drops + 1, 0
    return factor**drops


def watches(schedule: Choice) -> bool:
    """Whether a schedule depends on what the validation split says."""
    return _takes_validations(schedules.functions[schedule.name])


@lru_cache(maxsize=256)
def _takes_validations(function: Callable[..., Any]) -> bool:
    return "validations" in signature(function).parameters


def rate_factor(
    schedule: Choice, *, warmup: float, cooldown: float, progress: float, validations: Validations = ()
) -> float:
    """What the learning rate is multiplied by at a place of the run.

    Args:
        progress: in [0, 1], steps taken of the steps planned.
        validations: (loss, accuracy) after each epoch so far; only a schedule that watches them is given them.
    """
    context = (validations,) if watches(schedule) else ()
    return ramped(lambda place: schedules.build(schedule, place, *context), progress, warmup=warmup, cooldown=cooldown)


def ramped(factor: Callable[[float], float], progress: float, *, warmup: float, cooldown: float) -> float:
    """A schedule between two straight lines: up from 0 to its first value, and from its last one down to 0.

    The first step of a warm-up has rate 0, so that step k has the share k / (warmup steps).

    Source: Goyal et al. 2017, arXiv 1706.02677, section 2.2 (warm-up); Hagele et al. 2024,
    arXiv 2405.18392 (cool-down).
    """
    if progress < warmup:
        return factor(0.0) * (progress / warmup)
    height = factor(min(1.0, (progress - warmup) / (1 - warmup - cooldown)))
    return height * min(1.0, (1 - progress) / cooldown) if progress > 1 - cooldown else height
