"""What a notebook sets for whoever uses its panel: choices that stay as they are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from lab.catalogue import Choice, RecipeError
from lab.presets import Preset
from lab.recipe import CATALOGUES, LISTS, Recipe


class Locks:
    """Choices that a notebook has set; a setting such as `optimizer.lr` is set in every optimizer that has it.

    Args:
        choices: dotted, as `Recipe.changed` takes them; start: the recipe that they are put into.
    Raises:
        RecipeError: unknown names, values that are not valid, or one entry of a list.
    Example:
        >>> Locks({"optimizer.lr": 0.3}, Recipe()).held(Recipe(optimizer="adam")).optimizer.lr
        0.3
    """

    def __init__(self, choices: Mapping[str, Any], start: Recipe) -> None:
        if inside := [key for key in choices if key.partition(".")[0] in LISTS and "." in key]:
            raise RecipeError(f"A list is locked as a whole: lock {inside[0].partition('.')[0]}, not {inside[0]}.")
        self.recipe = start.changed(**choices)
        self.values: dict[str, Any] = {leaf: value for key in choices for leaf, value in self._leaves(key, choices)}

    def _leaves(self, key: str, choices: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """What one key sets: an option's name and the settings that were given with it."""
        field, _, inner = key.partition(".")
        chosen = getattr(self.recipe, field)
        if inner:
            yield key, getattr(chosen, inner)
        elif not isinstance(chosen, Choice):
            yield key, chosen
        else:
            yield key, chosen.name
            given = [setting for setting in CATALOGUES[field].as_mapping(choices[key]) if setting != "name"]
            yield from ((f"{field}.{setting}", getattr(chosen, setting)) for setting in given)

    def held(self, recipe: Recipe) -> Recipe:
        """The recipe with what is set put into it. Raises RecipeError when the two do not fit together."""
        options = {key: value for key, value in self.values.items() if "." not in key and not _is(recipe, key, value)}
        recipe = recipe.changed(**options)
        settings = {key: value for key, value in self.values.items() if "." in key and _has(recipe, key)}
        return recipe.changed(**settings)

    def fitting(self, presets: Mapping[str, Preset]) -> dict[str, Preset]:
        """Those that go together with what is set, as they come out then."""
        found: dict[str, Preset] = {}
        for name, preset in presets.items():
            with contextlib.suppress(RecipeError):
                found[name] = preset._replace(recipe=self.held(preset.recipe))
        return found


def _is(recipe: Recipe, field: str, value: Any) -> bool:
    chosen = getattr(recipe, field)
    return (chosen.name if isinstance(chosen, Choice) else chosen) == value


def _has(recipe: Recipe, key: str) -> bool:
    field, _, inner = key.partition(".")
    return inner in type(getattr(recipe, field)).model_fields


def checked_seconds(seconds: float | None) -> float | None:
    """Raises RecipeError unless they are greater than 0, or none are given."""
    if seconds is not None and not seconds > 0:
        raise RecipeError(f"seconds is {seconds!r}, but must be a number greater than 0, or None for no limit.")
    return seconds
