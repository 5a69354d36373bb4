"""How strong an augmentation can be: the places of its slider, on every image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lab.augmentations import augmentations
from lab.catalogue import Choice, Knob, RecipeError, is_number, knob_of

STRENGTH = {"random_erasing": "largest"}  # of those whose strength is not their first setting
FALLING = {"centre_crop", "posterise", "random_resized_crop", "solarise"}  # the less is kept, the stronger they are


def strength_of(operation: str) -> tuple[str, Knob | None]:
    """The setting that says how strong an operation is, and its usual range; empty where there is none."""
    for key, field in augmentations[operation].model_fields.items():
        knob = knob_of(field)
        if knob is not None and key != "p" and is_number(field) and key == STRENGTH.get(operation, key):
            return key, knob
    return "", None


def places(knob: Knob, count: int, *, whole: bool, falling: bool = False) -> list[float]:
    """So many places of a slider, the strongest last, its ends among them (or the strongest alone).

    Of a slider of whole numbers there may be fewer.
    """
    weak, strong = (knob.high, knob.low) if falling else (knob.low, knob.high)
    spaced = np.geomspace(strong, weak, count) if knob.log else np.linspace(strong, weak, count)
    spaced = spaced[::-1]
    return list(dict.fromkeys(round(value) if whole else float(f"{value:.4g}") for value in spaced.tolist()))


def choices_at(operation: str, strengths: int) -> Iterator[tuple[str, float, Choice]]:
    """The operation on every image, at each strength that it allows."""
    fields = augmentations[operation].model_fields
    certain = {"p": 1.0} if "p" in fields else {}
    setting, knob = strength_of(operation)
    if knob is None:
        yield "", 1.0, augmentations.parse({"name": operation, **certain})
        return
    for value in places(knob, strengths, whole=fields[setting].annotation is int, falling=operation in FALLING):
        try:
            yield setting, value, augmentations.parse({"name": operation, **certain, setting: value})
        except RecipeError:  # not beside its other settings
            continue
