"""What a sweep trains: points, each a recipe, from a grid, a list or random draws, times seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from lab.catalogue import RecipeError, Settings, explain
from lab.reading import read_text, read_yaml
from lab.recipe import Recipe, refuse_other_kind
from lab.sweeps.draws import Draws

WAYS = ("grid", "list", "random")
MOST_POINTS = 100_000


@dataclass(frozen=True)
class Point:
    """One run of a sweep. combination: its place among the changes, which all seeds share."""

    recipe: Recipe
    combination: int
    changes: Mapping[str, Any]

    @property
    def id(self) -> str:
        return self.recipe.id


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        raise RecipeError(f"grid is {value!r}, but must be a mapping such as {{optimizer.lr: [0.01, 0.1]}}.")
    for key, values in value.items():
        if not isinstance(values, list | tuple) or not values:
            raise RecipeError(f"grid: {key} is {values!r}, but must be a list of values such as [0.01, 0.1].")
    return value


def _mappings(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise RecipeError(f"list is {value!r}, but must be a list of mappings such as [{{epochs: 5}}, {{epochs: 9}}].")
    for place, changes in enumerate(value, start=1):
        if not isinstance(changes, dict):
            raise RecipeError(f"list: entry {place} is {changes!r}, but must be a mapping such as {{epochs: 5}}.")
    return value


def _draws(value: Any) -> Any:
    if value is None or isinstance(value, Draws):
        return value
    if not isinstance(value, dict):
        raise RecipeError(f"random is {value!r}, but must be a mapping such as {{draws: 20, over: {{epochs: [1]}}}}.")
    try:
        return Draws(**{str(key): part for key, part in value.items()})
    except RecipeError as error:
        raise RecipeError(f"random: {error}") from None


def _seeds(value: Any) -> Any:
    listed = isinstance(value, list | tuple) and value and all(_whole(seed, 0) for seed in value)
    if not listed and not _whole(value, 1):
        raise RecipeError(f"seeds is {value!r}, but must be how many, such as 3, or a list of them, such as [0, 1, 2].")
    return tuple(value) if listed else value


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


class Sweep(Settings):
    """Points of a sweep: what is changed of a base recipe, every change at every seed.

    Errors:
        RecipeError: none or several of grid, list and random; or a point that is no recipe, which is named.
    """

    title: str = Field(default="", description="a heading for what comes out")
    note: str = Field(default="", description="whatever a reader should know")
    base: Recipe = Recipe()
    grid: Annotated[dict[str, tuple[Any, ...]], BeforeValidator(_lists)] = Field(
        default_factory=dict, description="values for each dotted key: every one with every other"
    )
    list: Annotated[tuple[dict[str, Any], ...], BeforeValidator(_mappings)] = Field(
        default=(), description="changes, point by point"
    )
    random: Annotated[Draws | None, BeforeValidator(_draws)] = None
    seeds: Annotated[int | tuple[int, ...], BeforeValidator(_seeds)] = 1

    def __init__(self, /, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise RecipeError(explain(error, type(self))) from None
        if len(given := [way for way in WAYS if getattr(self, way)]) > 1:
            raise RecipeError(f"A sweep has {' and '.join(given)}, but one of {', '.join(WAYS)} must say its points.")
        assert self.points is not None  # every point is checked now, before any work

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """A number of seeds begins at the base's own."""
        first = self.base.seed
        return self.seeds if isinstance(self.seeds, tuple) else tuple(range(first, first + self.seeds))

    @cached_property
    def changes(self) -> tuple[dict[str, Any], ...]:
        """What each combination changes; in a grid the last key runs fastest."""
        if self.random:
            try:
                return tuple(self.random.changes(self.base))
            except RecipeError as error:
                raise RecipeError(f"random: {error}") from None
        if self.list:
            return self.list
        return tuple(dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values()))

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Seed by seed, so that all combinations have a first run early; equal recipes are one point."""
        if (count := len(self.changes) * len(self.all_seeds)) > MOST_POINTS:
            raise RecipeError(f"That would be {count:,} points, but a sweep has {MOST_POINTS:,} at most.")
        recipes = [self._recipe(place, changes) for place, changes in enumerate(self.changes)]
        found: dict[str, Point] = {}
        for seed in self.all_seeds:
            for place, (recipe, changes) in enumerate(zip(recipes, self.changes, strict=True)):
                point = Point(recipe.changed(seed=seed), place, changes)
                found.setdefault(point.id, point)
        return tuple(found.values())

    def _recipe(self, place: int, changes: Mapping[str, Any]) -> Recipe:
        way = next((way for way in WAYS if getattr(self, way)), "grid")
        where = f"{way}, point {place + 1} of {len(self.changes)} ({in_words(changes)})"
        if "seed" in changes:
            raise RecipeError(f"{where}: seed cannot be changed here, as all meet the same seeds: give seeds: [0, 1].")
        try:
            return self.base.changed(**{str(key): value for key, value in changes.items()})
        except RecipeError as error:
            raise RecipeError(f"{where}: {error}") from None

    @property
    def repeated(self) -> int:
        """How many points were left out, as another one is the same recipe."""
        return len(self.changes) * len(self.all_seeds) - len(self.points)

    @classmethod
    def load(cls, path: str | Path, changes: Mapping[str, Any] | None = None) -> Sweep:
        """Read a sweep's YAML: `base`, one of `grid`, `list` and `random`, and `seeds`.

        Args:
            changes: to its keys, and by dotted keys to the base: `base.epochs`.
        Raises:
            RecipeError: naming the file and what is wrong in it.
        """
        spec = read_yaml(read_text(path, "the sweep"), str(path))
        refuse_other_kind(spec, path, "a sweep", cls.model_fields)
        try:
            return cls.from_mapping(spec, changes or {}, Path(path).parent)
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from None

    @classmethod
    def from_mapping(cls, spec: Any, changes: Mapping[str, Any], folder: Path) -> Sweep:
        """Args: folder: where a base that is a file's name is looked for first."""
        if not isinstance(spec, dict):
            raise RecipeError(f"A sweep is a mapping with `grid`, `list` or `random`, but this is {spec!r}.")
        settings = {str(key): value for key, value in spec.items()}
        settings |= {key: value for key, value in changes.items() if not key.startswith("base.")}
        if misplaced := [key for key in settings if key not in cls.model_fields and key in Recipe.model_fields]:
            raise RecipeError(f"{misplaced[0]!r} is a key of recipes: write base.{misplaced[0]}, for all points.")
        of_base = {key.removeprefix("base."): value for key, value in changes.items() if key.startswith("base.")}
        settings["base"] = base_of(settings.get("base"), of_base, folder)
        return cls(**settings)


def base_of(given: Any, changes: Mapping[str, Any], folder: Path) -> Recipe:
    """A recipe's file, seen from the sweep's or from here, or what is changed of the default recipe."""
    if isinstance(given, str):
        beside = folder / given
        return Recipe.load(beside if beside.is_file() else given).changed(**changes)
    if not isinstance(given, dict | None):
        raise RecipeError(f"base is {given!r}, but must be a recipe's file or a mapping such as {{epochs: 5}}.")
    try:
        return Recipe().changed(**{str(key): value for key, value in (given or {}).items()}).changed(**changes)
    except RecipeError as error:
        raise RecipeError(f"base: {error}") from None


def in_words(changes: Mapping[str, Any]) -> str:
    """`optimizer adam, optimizer.lr 0.01`; what changes nothing is the base."""
    return ", ".join(f"{key} {value}" for key, value in changes.items()) or "the base"
