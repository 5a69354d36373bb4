"""What a recipe's ways of saving memory and arithmetic are worth: each beside the same recipe without it."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from lab.costs import Costs, costs, with_prefix
from lab.data import Dataset
from lab.features import features_of, keeps_features
from lab.last_layer import end_of
from lab.loading import data_of
from lab.recipe import Recipe
from lab.steps import build_model

SAVERS = {"recompute": "layers computed again", "in_parts": "batches in parts"}  # of the changes of the gradient
BFLOAT16 = "bfloat16"


def savings(recipe: Recipe, data: Dataset | None = None) -> list[str]:
    """A line for each of them, counted as `costs` counts; none where the recipe saves nothing.

    Args:
        data: the recipe's data set, where it is at hand.
    Example:
        >>> savings(Recipe(gradient=[{"name": "in_parts", "images": 16}]))
        ['batches in parts: 13.1 kB per batch, not 52.2 kB']
    """
    data = data or data_of(recipe)
    plain = dict(plainly(recipe))
    if plain:
        here = costs(recipe, data)
        lines = [beside(name, here, costs(other, data)) for name, other in plain.items()]
    else:
        lines = []
    return [*lines, *kept_features(recipe, data)]


def plainly(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """The recipe without each way of saving that it has, by what that is called."""
    for change in recipe.gradient:
        if change.name in SAVERS:
            yield SAVERS[change.name], recipe.changed(gradient=[each for each in recipe.gradient if each != change])
    if recipe.precision == BFLOAT16:
        yield BFLOAT16, recipe.changed(precision="float32")


def beside(name: str, here: Costs, plain: Costs) -> str:
    """`layers computed again: 1.1 MB per batch, not 3 MB; 1.06 MFLOP per image trained, not 798 kFLOP`.

    What mixed precision is worth in time depends on the processor, and is measured by `bench/savings.py`.
    """
    kept, before = with_prefix(here.activation_bytes), with_prefix(plain.activation_bytes)
    memory = f"{kept}B per batch, not {before}B"
    if kept == before or here.activation_bytes > plain.activation_bytes:
        memory += ": it saves nothing here"
    if name == BFLOAT16:
        return f"{name}: {memory}; slower, not faster, where the processor has no instructions for it"
    if here.flops_per_image == plain.flops_per_image:
        return f"{name}: {memory}"
    work = f"{with_prefix(here.flops_per_image)}FLOP per image trained, not {with_prefix(plain.flops_per_image)}FLOP"
    return f"{name}: {memory}; {work}"


def kept_features(recipe: Recipe, data: Dataset) -> Iterator[str]:
    """What it is worth that frozen layers compute each image once."""
    if not keeps_features(recipe):
        return
    dtype = torch.float64 if recipe.precision == "float64" else torch.float32
    model, image = build_model(recipe, data).to(dtype), torch.zeros(1, *data.shape, dtype=dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == BFLOAT16):
        last = end_of(model, image)
        read = last and next(features_of(model, last, [image]))
    if last is not None and read is not None:
        found = costs(recipe, data)
        layer = 2 * 2 * last.in_features * last.out_features  # forward, and towards its weights
        kept = read.nbytes * (len(data.train) + len(data.validation))
        once, anew = with_prefix(found.flops_forward), with_prefix(found.flops_per_image)
        each = f"{with_prefix(layer)}FLOP in each epoch, not {anew}FLOP in each"
        yield f"features kept: {once}FLOP per image once and {each}; {with_prefix(kept)}B of features"
