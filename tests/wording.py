"""The house's words, so that a table of bad inputs shows only what differs from row to row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.recipe import CATALOGUES, Recipe

Act = Callable[[Path], Any]


def options(field: str) -> str:
    return ", ".join(CATALOGUES[field])


def settings(field: str, name: str) -> str:
    return ", ".join(key for key in CATALOGUES[field][name].model_fields if key != "name")


def bad(name: str, act: Act, *lines: str) -> Any:
    """A row: what is done with a folder at hand, and the lines that come back (PLACE stands for the folder)."""
    return pytest.param(act, "\n".join(lines), id=name)


def complaint(act: Act, place: Path, kind: type[Exception] | tuple[type[Exception], ...]) -> str:
    """The text of the error that a person sees."""
    with pytest.raises(kind) as error:
        act(place)
    return str(error.value).replace(str(place), "PLACE")


KEYS = ", ".join(Recipe.model_fields)
NOT_EPOCHS = "but must be a whole number at least 1 and at most 1000000 (usual: 1 to 200)."
NOT_LR = "but must be a number greater than 0 (usual: 1e-05 to 10)."
NOT_AN_OPTIMIZER = f"but must be a name or a mapping with a name. Expected one of: {options('optimizer')}."
