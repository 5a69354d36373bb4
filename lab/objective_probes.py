"""A check on what an objective measures beside the accuracy: more of the catalogue `checks`.

What it calls a pass is said in its docstring, and was before it was first run.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field

from lab.augmented_probes import checks
from lab.checks import Finding, Name, margin
from lab.events import CHANCE
from lab.many import Many
from lab.probes import Device, Recipes, Seeds, result_of
from lab.recipe import Recipe, RecipeError
from lab.training import Training
from lab.verdicts import verdict

__all__ = ["checks"]

What = Annotated[str, Field(description="which accuracy: source, odd, turned, unseen, unseen among all")]
Other = Annotated[str, Field(description="recipe that is to be beaten; empty: chance")]
Least = Annotated[float, Field(ge=0, lt=1, description="a difference in accuracy that a has to exceed")]


@checks.add
def better_beside(
    recipes: Recipes,
    device: Device,
    *,
    a: Name = "a",
    against: Other = "",
    what: What = "unseen",
    seeds: Seeds = 8,
    least: Least = 0.005,
) -> Finding:
    """On test images, the accuracy `what` of recipe a is higher than another's, or than chance, by `least`.

    Every recipe is trained at its own rate with `seeds` seeds, from 0. PASS: the 95% interval of the difference, paired
    by seed, lies above `least`. FAIL: it ends below. Else INCONCLUSIVE.
    """
    names = [a, *filter(None, [against])]
    if missing := [name for name in names if name not in recipes]:
        raise RecipeError(f"There is no recipe {missing[0]!r} in this claim. There are: {', '.join(recipes)}.")
    measured = {name: beside(recipes[name], what, seeds, device) for name in names}
    scores = {name: [found[what] for found in each] for name, each in measured.items()}
    other = against or "chance"
    if not against:
        scores[other] = [found[CHANCE + what] for found in measured[a]]
    found = verdict(a, other, np.array(scores[a]), np.array(scores[other]))
    result = result_of(found.interval.low > least, found.interval.high < least)
    means = ", ".join(f"{name} {100 * np.mean(each):.1f}%" for name, each in scores.items())
    return Finding(result, f"{what}: {means}; {margin(found)}.", {"accuracy": scores})


def beside(recipe: Recipe, what: str, seeds: int, device: Device) -> list[dict[str, float]]:
    """What each seed's run measures on test images. Raises RecipeError: it does not measure that."""
    recipes = [recipe.changed(seed=seed) for seed in range(seeds)]
    many = Many(recipes, at_end=partial(on_test), device=device, spread=False)
    for _ in many:
        pass
    found = [many.results[index] for index in range(seeds)]
    if what not in found[0]:
        known = ", ".join(found[0]) or "nothing"
        raise RecipeError(f"The objective {recipe.objective.name} does not measure {what!r}. It measures: {known}.")
    return found


def on_test(session: Training) -> dict[str, float]:
    return session.also("test")
