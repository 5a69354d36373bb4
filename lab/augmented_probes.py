"""A check on changed images: more of the catalogue `checks`.

What it calls a pass is said in its docstring, and was before it was first run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from lab.augmentations import augmentations, augmented, learners, mixes
from lab.catalogue import Choice
from lab.checks import Finding, Name, margin
from lab.data.batches import batches
from lab.diagnostics.predictions import filled
from lab.landscape_probes import checks
from lab.loading import data_of
from lab.many import train_many
from lab.probes import Device, Rate, Rates, Recipes, Seeds, grid_of, percent, result_of
from lab.recipe import Recipe, RecipeError
from lab.runs import Run
from lab.sample_grids import generator_of
from lab.steps import EVALUATION_BATCH
from lab.trials import chance
from lab.verdicts import Verdict, verdict

__all__ = ["checks"]

Least = Annotated[float, Field(ge=0, lt=1, description="a difference in accuracy that a has to exceed")]


@checks.add
def better_on_changed_images(
    recipes: Recipes,
    device: Device,
    *,
    a: Name = "a",
    b: Name = "b",
    low: Rate = 0.01,
    high: Rate = 10.0,
    rates: Rates = 7,
    searches: Seeds = 3,
    seeds: Seeds = 8,
    least: Least = 0.1,
) -> Finding:
    """Validation images changed as a's training images are: recipe a names more of them right than b, by `least`.

    Each recipe's rate is that of a grid with the highest mean accuracy on the changed images, over `searches` seeds;
    both are then trained with `seeds` other ones. A run counts by its last weights, one that diverged as chance. Runs
    of one seed see the same changed images. PASS: the 95% interval of a - b, paired by seed, lies above `least`. FAIL:
    it ends below. Else INCONCLUSIVE.
    """
    changes, grid = changes_of(recipes[a], a), grid_of(low, high, rates)
    scores: dict[str, np.ndarray] = {}
    chosen: dict[str, float] = {}
    for name in (a, b):
        tried = [scores_of(recipes[name], rate, range(seeds, seeds + searches), changes, device) for rate in grid]
        chosen[name] = grid[int(np.mean(tried, axis=1).argmax())]
        scores[name] = scores_of(recipes[name], chosen[name], range(seeds), changes, device)
    found = verdict(a, b, scores[a], scores[b])
    result = result_of(found.interval.low > least, found.interval.high < least)
    measured = {"rates": chosen, "accuracy": {name: each.tolist() for name, each in scores.items()}}
    return Finding(result, said(found, chosen, least), measured)


def said(found: Verdict, chosen: dict[str, float], least: float) -> str:
    means = {found.a: found.mean_a, found.b: found.mean_b}
    arms = ", ".join(f"{name} {percent(mean)} at rate {chosen[name]:g}" for name, mean in means.items())
    return f"On changed images {arms}; {margin(found)}, where more than {100 * least:g} was asked for."


def changes_of(recipe: Recipe, name: str) -> tuple[Choice, ...]:
    """Raises RecipeError: there is nothing that changes its images, or it changes their class as well."""
    if not recipe.augment:
        raise RecipeError(f"{name} has no augment, but its augmentations are what validation images are changed by.")
    for choice in recipe.augment:
        if choice.name in learners or mixes(augmentations.functions[choice.name]):
            raise RecipeError(
                f"{name} has {choice.name}, which mixes or makes images: they have no class of their own."
            )
    return recipe.augment


def scores_of(
    recipe: Recipe, rate: float, seeds: Sequence[int], changes: tuple[Choice, ...], device: Device
) -> np.ndarray:
    """(seeds,) accuracies on changed validation images."""
    runs = train_many([recipe.changed(**{"optimizer.lr": rate}, seed=seed) for seed in seeds], device=device)
    return np.array([accuracy_on_changed(run, changes, device) for run in runs])


@torch.inference_mode()
def accuracy_on_changed(run: Run, changes: tuple[Choice, ...], device: Device) -> float:
    """Of a run's last weights, on its validation images, changed with draws of the run's seed."""
    if run.status == "diverged":
        return chance(data_of(run.recipe).validation)
    session = filled(run, device, count_look=False)
    split, weights, right = session.validation_split, session.other_weights(), 0
    draws = torch.Generator(session.device)
    draws.manual_seed(generator_of(run.recipe.seed, "changed validation images").initial_seed())
    for images, labels in batches(split, torch.arange(len(split)), EVALUATION_BATCH, session.device):
        seen, _ = augmented(changes, images, labels, len(session.data.classes), draws)
        right += int((session.answer(weights, seen).argmax(1) == labels).sum())
    return right / len(split)
