"""Random draws over dotted keys: from lists of choices, and from ranges, which are those of the sliders by default."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from zlib import crc32

import numpy as np
from pydantic import BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo

from lab.catalogue import Choice, RecipeError, Settings, explain, is_number, knob_of
from lab.knobs import tidy
from lab.recipe import CATALOGUES, Recipe

MOST = 100_000


class Range(Settings):
    """From where to where a number is drawn, and whether evenly in its logarithm; what is left out says the slider."""

    low: float | None = None
    high: float | None = None
    log: bool | None = None


def _mapping(value: Any) -> Any:
    if not isinstance(value, dict):
        raise RecipeError(f"over is {value!r}, but must be a mapping such as {{optimizer.lr: {{}}}}.")
    return value


class Draws(Settings):
    """Each draw has a value of every key: one of a list, or a number of a range. More draws begin with the same ones.

    Errors:
        RecipeError: no key, a value that is neither list nor range, or a range without an end.
    """

    draws: int = Field(default=20, ge=1, le=MOST, description="how many")
    seed: int = Field(default=0, ge=0, description="of the draws; that of the runs is another one")
    over: Annotated[dict[str, Any], BeforeValidator(_mapping)] = Field(
        default_factory=dict, description="a list of choices, or {low, high, log}, for each dotted key"
    )

    def __init__(self, /, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise RecipeError(explain(error, type(self))) from None
        if not self.over:
            raise RecipeError("over has no key, so there is nothing to draw: name one, such as optimizer.lr: {}.")

    def changes(self, base: Recipe) -> list[dict[str, Any]]:
        """The draws, as changes of the base."""
        sources = {key: source_of(key, value) for key, value in self.over.items()}
        keys = sorted(sources, key=lambda key: key.count("."))  # an option is drawn before its settings
        streams = {key: np.random.default_rng([self.seed, crc32(key.encode())]) for key in keys}
        return [self._draw(base, sources, streams) for _ in range(self.draws)]

    @staticmethod
    def _draw(
        base: Recipe, sources: Mapping[str, Sequence[Any] | Range], streams: Mapping[str, np.random.Generator]
    ) -> dict[str, Any]:
        drawn: dict[str, Any] = {}
        for key, stream in streams.items():
            source, share = sources[key], float(stream.random())
            if isinstance(source, Range):
                drawn[key] = placed(source, share, key, base.changed(**drawn))
            else:
                drawn[key] = source[int(share * len(source))]
        return drawn


def source_of(key: str, value: Any) -> Sequence[Any] | Range:
    """Raises RecipeError for what is neither a list of choices nor a range."""
    if isinstance(value, list) and value:
        return value
    if isinstance(value, dict):
        try:
            return Range(**{str(name): end for name, end in value.items()})
        except ValidationError as error:
            raise RecipeError(f"{key}: {explain(error, Range)}") from None
    wanted = "a list of choices such as [sgd, adam], or a range such as {low: 0.001, high: 1, log: true}"
    raise RecipeError(f"{key} is {value!r}, but must be {wanted}.")


def placed(source: Range, share: float, key: str, recipe: Recipe) -> float:
    """The number that lies a share of the way from low to high; whole where the setting is."""
    info = field_of(recipe, key)
    if not is_number(info):
        raise RecipeError(f"{key} is no number, so it has no range: give a list of choices.")
    low, high, log = ends(source, info, key)
    if info.annotation is int:
        low, high = (low, high + 1) if not log else (low, high)
    value = math.exp(math.log(low) + share * math.log(high / low)) if log else low + share * (high - low)
    if info.annotation is int:
        return round(value) if log else min(math.floor(value), int(high) - 1)
    return tidy(value)


def ends(source: Range, info: FieldInfo, key: str) -> tuple[float, float, bool]:
    """Raises RecipeError where an end is missing, or both do not fit."""
    knob = knob_of(info)
    low = source.low if source.low is not None else knob and knob.low
    high = source.high if source.high is not None else knob and knob.high
    if low is None or high is None:
        raise RecipeError(f"{key} has no usual range, so its range needs low and high.")
    log = source.log if source.log is not None else bool(knob and knob.log and low > 0)
    if low >= high:
        raise RecipeError(f"{key} has low {low:g} and high {high:g}, but low must be the smaller one.")
    if log and low <= 0:
        raise RecipeError(f"{key} begins at {low:g}, but a range with log: true must begin above 0.")
    return low, high, log


def field_of(recipe: Recipe, key: str) -> FieldInfo:
    """What a setting is in this recipe. Raises RecipeError where there is none."""
    field, *inner = key.split(".")
    value = getattr(recipe, field, None)
    entries = [choice for choice in value if inner and choice.name == inner[0]] if isinstance(value, tuple) else []
    choice: Any = entries[0] if entries else value
    inside = bool(inner) and isinstance(choice, Choice)
    settings = CATALOGUES[field][choice.name].model_fields if inside else Recipe.model_fields
    info = settings.get(inner[-1] if inner else field)
    if info is None:
        recipe.changed(**{key: 0})  # says what is unknown, and what may be meant
        raise RecipeError(f"{key} has no range: give a list of choices.")
    return info
