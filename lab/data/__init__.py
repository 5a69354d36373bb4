"""Catalogues `datasets` and `modifiers`, and `load`: a choice -> training, validation and test split."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import lru_cache

from lab.catalogue import Catalogue, Choice

datasets = Catalogue("data set", gives="a lab.data.Dataset")
modifiers = Catalogue("modifier", gives="a lab.data.Dataset")

from lab.data import domains, embedded, folder, labels, published, sequences, shapes  # noqa: F401  # pyright: ignore[reportUnusedImport]  # they fill the catalogues
from lab.data.published import fetch
from lab.data.splits import DataError, Dataset, Shift, Split


def load(data: Choice, changes: Sequence[Choice] = ()) -> Dataset:
    """The data set of a recipe, with its modifiers applied in order.

    Raises:
        DataError: missing, damaged, or not fit for training, and what to do.
    """
    outside = folder.stamp(data) if data.name == "folder" else os.environ.get("LAB_DATA")
    dataset = _load_once(datasets.functions[data.name], data.model_dump_json(), outside)
    for change in changes:
        dataset = modifiers.build(change, dataset)
    return dataset


@lru_cache(maxsize=2)
def _load_once(function: Callable[..., Dataset], data: str, outside: str | None) -> Dataset:
    """By function too: a data set that a person defines anew in a cell is another one; by what lies outside as well."""
    return datasets.build(datasets.parse(json.loads(data)))


__all__ = ["DataError", "Dataset", "Shift", "Split", "datasets", "fetch", "load", "modifiers"]
