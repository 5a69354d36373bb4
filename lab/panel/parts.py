"""The parts of the panel by name: what stands in the column of controls, what beside it, and what is not shown."""

from __future__ import annotations

from collections.abc import Iterable

from lab.catalogue import RecipeError, did_you_mean
from lab.recipe import CATALOGUES, LISTS

SECTIONS = {
    "Data": ("data", "modify"),
    "Network": ("model", "activation", "init"),
    "Optimisation": (
        *("optimizer", "schedule", "warmup", "cooldown", "depth_decay"),
        *("epochs", "patience", "batch_size", "clip_norm", "label_smoothing"),
        *("gradient", "average"),
    ),
    "Augmentation": ("augment",),
    "Transfer": ("source", "transfer"),
    "Objective": ("objective",),
    "Numbers": ("precision", "seed"),
}
PANES = (
    *("start", "curves", "health", "runs", "landscapes", "predictions", "rates"),
    *("forecast", "samples", "compare", "choose", "code"),
)
FIELDS = tuple(field for fields in SECTIONS.values() for field in fields)


def checked_parts(names: Iterable[str]) -> frozenset[str]:
    """Fields, dotted settings and panes, a section as its fields. Raises RecipeError for a name that nothing has."""
    known, settings = (*SECTIONS, *FIELDS, *PANES), all_settings()
    parts: set[str] = set()
    for name in [names] if isinstance(names, str) else names:
        if name not in known and name not in settings:
            said = f"The panel has no part {name!r}.{did_you_mean(name, [*known, *settings])}"
            raise RecipeError(f"{said} Its parts: {', '.join(known)}; and every setting, such as optimizer.nesterov.")
        parts |= {*SECTIONS.get(name, (name,))}
    return frozenset(parts)


def all_settings() -> list[str]:
    """`optimizer.lr` and all others, of every option that is no entry of a list."""
    return [
        f"{field}.{key}"
        for field, catalogue in CATALOGUES.items()
        if field not in LISTS
        for key in dict.fromkeys(key for choice in catalogue.values() for key in choice.model_fields)
        if key != "name"
    ]


def everything_but(*names: str) -> list[str]:
    """What to hide so that only these are left; of an option named with some of its settings, only those.

    Raises:
        RecipeError: a name that nothing has.
    Example:
        >>> hidden = everything_but("init", "model.depth", "curves")
        >>> [part for part in ("init", "init.gain", "model", "model.depth", "model.width", "data") if part in hidden]
        ['model.width', 'data']
    """
    shown = checked_parts(names)
    owners = {name.partition(".")[0] for name in shown if "." in name}
    parts = [part for part in (*FIELDS, *PANES) if part not in shown | owners]
    return [*parts, *(key for key in all_settings() if key.partition(".")[0] in owners - shown and key not in shown)]
