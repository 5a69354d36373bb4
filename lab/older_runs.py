"""Runs that are older than a setting: what they did is filled in, where today's default is to do something else."""

from __future__ import annotations

from pathlib import Path

from lab.recipe import Recipe


def recipe_of_run(path: Path) -> Recipe:
    """The recipe that a run's folder keeps, where each setting of its day is written down.

    Before there was `source.normalisation` all images were seen by their own mean and deviation.

    Raises:
        RecipeError: naming the file.
    """
    recipe = Recipe.load(path)
    if "normalisation" in type(recipe.source).model_fields.keys() - recipe.source.model_fields_set:
        return recipe.changed(**{"source.normalisation": "data"})
    return recipe
