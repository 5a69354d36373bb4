"""How strong an augmentation can be: the places of its slider, on every image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lab.augmentations import augmentations
from lab.catalogue import Choice, Knob, RecipeError, is_number, knob_of

STRENGTHS = {"random_erasing": "largest", "rand_augment": "magnitude"}  # where it is not the first slider


def strength_of(operation: str) -> tuple[str, Knob | None]:
    """The setting that says how strong an operation is, and its usual range; empty where there is none."""
    for key, field in augmentations[operation].model_fields.items():
        knob = knob_of(field)
        if knob is not None and key != "p" and is_number(field) and STRENGTHS.get(operation, key) == key:
            return key, knob
    return "", None


def places(knob: Knob, count: int, *, whole: bool) -> list[float]:
    """So many places of a slider, its ends among them; of a slider of whole numbers there may be fewer."""
    low, high, log = knob
    spaced = np.geomspace(low, high, count) if log else np.linspace(low, high, count)
    if count == 1:
        spaced = np.array([high])
    return list(dict.fromkeys(round(value) if whole else float(f"{value:.4g}") for value in spaced.tolist()))


def choices_at(operation: str, strengths: int) -> Iterator[tuple[str, float, Choice]]:
    """The operation on every image, at each strength that it allows."""
    fields = augmentations[operation].model_fields
    certain = {"p": 1.0} if "p" in fields else {}
    setting, knob = strength_of(operation)
    if knob is None:
        yield "", 1.0, augmentations.parse({"name": operation, **certain})
        return
    for value in places(knob, strengths, whole=fields[setting].annotation is int):
        try:
            yield setting, value, augmentations.parse({"name": operation, **certain, setting: value})
        except RecipeError:  # not beside its other settings
            continue
