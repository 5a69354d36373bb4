"""What a sweep will cost: steps and arithmetic counted, seconds measured on its cheapest and its dearest network."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from lab.arithmetic import flops_of_update
from lab.loading import data_of
from lab.many import endless, seconds_per_step
from lab.optimizers import batch_of
from lab.recipe import Recipe
from lab.steps import build_model, build_objective, use_threads
from lab.training import Training

DECIDING = ("data", "modify", "model", "activation", "gradient", "source", "transfer", "objective")  # the arithmetic


@dataclass(frozen=True)
class Cost:
    """Of all points together. seconds: of one process with one thread, without what it takes to start notebooks."""

    steps: int
    flops: float
    seconds: float


def cost_of(recipes: Sequence[Recipe], device: str | None = None) -> Cost:
    """Raises DataError, ValueError: a data set is missing, or a network cannot read its images."""
    if not recipes:
        return Cost(0, 0.0, 0.0)
    known: dict[str, tuple[float, int]] = {}
    work = [steps_and_flops(recipe, known) for recipe in recipes]
    by_flops = sorted(range(len(work)), key=lambda place: work[place][1])
    with one_thread():
        least, most = (measured(recipes[place], device) for place in (by_flops[0], by_flops[-1]))
    low, high = (work[place][1] for place in (by_flops[0], by_flops[-1]))
    slope = (most - least) / (high - low) if high > low else 0.0
    seconds = sum(steps * (least + slope * (flops - low)) for steps, flops in work)
    return Cost(sum(steps for steps, _ in work), sum(steps * flops for steps, flops in work), seconds)


def steps_and_flops(recipe: Recipe, known: dict[str, tuple[float, int]]) -> tuple[int, float]:
    """Steps of a recipe and floating-point operations in each; a network is built once for each size of batches."""
    asked = batch_of(recipe.optimizer, recipe.batch_size)
    key = repr([asked, *(getattr(recipe, field) for field in DECIDING)])
    if key not in known:
        data = data_of(recipe)
        objective, images = build_objective(recipe, data), torch.zeros(4, *data.shape)
        size = min(asked or len(data.train), len(data.train))
        flops = flops_of_update(recipe, objective, build_model(recipe, data, objective), images, size)
        known[key] = flops, -(-len(data.train) // size)
    flops, steps = known[key]
    return steps * recipe.epochs, flops


def measured(recipe: Recipe, device: str | None) -> float:
    """Seconds of a step; the first moment warms up."""
    session = Training(endless(recipe), device=device)
    seconds_per_step(session)
    return seconds_per_step(session)


@contextmanager
def one_thread() -> Generator[None]:
    before = torch.get_num_threads()
    use_threads(1)
    try:
        yield
    finally:
        use_threads(before)
