"""Recipes to start from: the YAML files of a folder, each with what its first comment says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from lab.catalogue import RecipeError
from lab.reading import command_for, read_text, read_yaml
from lab.recipe import Recipe

FOLDER = Path(__file__).parents[1] / "recipes"  # of a clone; a package that was installed has none


class Preset(NamedTuple):
    """A recipe and the words at the head of its file."""

    recipe: Recipe
    about: str


def presets(folder: str | Path = FOLDER) -> dict[str, Preset]:
    """By file name, in alphabetical order; comparisons, claims and what cannot be read are left out."""
    found = {path.stem: _read(path) for path in sorted(Path(folder).glob("*.yaml"))}
    return {name: preset for name, preset in found.items() if preset is not None}


def _read(path: Path) -> Preset | None:
    try:
        text = read_text(path, "the recipe")
        spec = read_yaml(text, str(path))
        if not isinstance(spec, dict) or command_for(spec) != "run":
            return None
        return Preset(Recipe.load(path), about(text))
    except RecipeError:  # of options that are not known here, say
        return None


def about(text: str) -> str:
    """What the comment at the head of a file says, as one line.

    Example:
        >>> about("# Six layers.\\n# They do not train.\\ndata: digits\\n")
        'Six layers. They do not train.'
    """
    lines = re.match(r"(#.*\n)*", text)
    return " ".join(line.lstrip("# ") for line in (lines[0] if lines else "").splitlines())
