"""A recipe's images, as its network is to see them."""

from __future__ import annotations

from lab.data import Dataset, load
from lab.recipe import Recipe
from lab.transfer import as_seen


def data_of(recipe: Recipe) -> Dataset:
    """Its data set with the modifiers applied, and with the normalisation that its source of weights asks for.

    Raises:
        DataError: missing, damaged, or not fit for training, and what to do.
    """
    return as_seen(load(recipe.data, recipe.modify), recipe.source, recipe.transfer)
