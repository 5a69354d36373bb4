"""A recipe as one short line, and back: `model=cnn optimizer.lr=0.01`, only what differs from the defaults."""

from __future__ import annotations

import shlex

import yaml

from lab.catalogue import RecipeError
from lab.reading import parse_overrides
from lab.recipe import Recipe, overrides

COMMAND = ("lab", "run")


def short_text(recipe: Recipe) -> str:
    """One line that restores all choices, quoted as a shell wants it; empty for the default recipe.

    Example:
        >>> short_text(Recipe(model="cnn", optimizer={"name": "sgd", "lr": 0.01}))
        'model=cnn optimizer.lr=0.01'
    """
    return " ".join(shlex.quote(f"{key}={_in_yaml(value)}") for key, value in overrides(recipe).items())


def _in_yaml(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return text.removesuffix("...\n").strip()


def read_short_text(text: str) -> Recipe:
    """The recipe of a short line; a `lab run` before it, as copied from a shell, does not matter.

    Raises:
        RecipeError: it is no such line, or names what does not exist.
    Example:
        >>> read_short_text("lab run optimizer=adam epochs=3").epochs
        3
    """
    try:
        words = shlex.split(text)
    except ValueError:
        raise RecipeError("A quotation mark is opened and not closed: paste the whole line.") from None
    if tuple(words[:2]) == COMMAND:
        words = words[2:]
    return Recipe().changed(**parse_overrides(words))
