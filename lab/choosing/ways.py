"""The ways of using a source on a person's own images: what each changes of the recipe that all of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lab.catalogue import RecipeError, unknown
from lab.choosing.telling import COMMAND, Command
from lab.data import Dataset
from lab.depth import by_depth
from lab.recipe import Recipe
from lab.steps import build_model

FIRST_SHARE = 0.1  # of the last layer's rate, what the first layer has with discriminative rates
OWN_KEYS = {"data": "path", "source": "source", "transfer": "ways", "seed": "seeds"}  # wishes that say these
USUAL: dict[str, Any] = {
    "optimizer": "adam",
    "schedule": "cosine",
    "epochs": 20,
    "batch_size": 16,  # a folder of a hundred images is to give more than a few steps
}


class Way(NamedTuple):
    """What a way changes, the rate at which its search begins (with Adam), and what it does, in words."""

    changes: Mapping[str, Any]
    rate: float
    words: str


# Of copied batch normalisation the statistics stay the source's: a few steps with small batches would spoil them.
WAYS = {
    "scratch": Way({"source": "nothing", "transfer": "scratch"}, 0.001, "every layer from a fresh start"),
    "features": Way({"transfer": "features"}, 0.01, "a last layer on what the source computes of each image"),
    "fine_tuning": Way({"transfer": {"name": "whole", "batchnorm": "frozen"}}, 3e-4, "every layer from the source's"),
    "probe_then_fine_tuning": Way(
        {"transfer": {"name": "linear_probe_then_fine_tune", "batchnorm": "frozen"}},
        0.001,
        "the last layer alone for half of the epochs, then every layer",
    ),
    "discriminative_rates": Way(
        {"transfer": {"name": "whole", "batchnorm": "frozen"}},
        0.001,
        f"every layer from the source's, the first at {FIRST_SHARE:g} of the last one's rate",
    ),
}


def chosen_ways(text: str) -> tuple[str, ...]:
    """`scratch,features` -> their names, in the order of `WAYS`.

    Raises:
        RecipeError: an unknown way, or fewer than two.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in WAYS:
            raise RecipeError(unknown("way", name, WAYS))
    found = tuple(name for name in WAYS if name in names)
    if len(found) < 2:
        raise RecipeError(
            f"{text!r} names {len(found)} ways, but a choice is between two or more of: {', '.join(WAYS)}."
        )
    return found


def shared_recipe(
    path: str | Path, source: Mapping[str, Any], changes: Mapping[str, Any], said: Command = COMMAND
) -> Recipe:
    """What all ways have in common: the images, the source with its network, and what the person wants otherwise.

    Args:
        source: changes that a source makes, of `source_changes`; changes: by dotted keys.
    Raises:
        RecipeError: a change that is said elsewhere, or that fits no recipe.
    """
    for key in changes:
        if key in OWN_KEYS:
            raise RecipeError(
                f"{key} is not changed here: {said.name(OWN_KEYS[key])} says it. Other keys may be changed."
            )
    if changes.get("init") == "pretrained":
        raise RecipeError(f"init pretrained is not for here: {said.name('ways')} says which weights are taken over.")
    place = str(Path(path).expanduser().resolve())  # scripts and weights go elsewhere
    data = {"data": "folder", "data.path": place}
    return Recipe().changed(**{**data, **USUAL, **source, **changes})


def arms_of(shared: Recipe, ways: Sequence[str], changes: Mapping[str, Any], data: Dataset) -> dict[str, Recipe]:
    """A recipe for each way; where an optimizer was asked for, every search begins at that one's rate."""
    model = build_model(shared.changed(source="nothing", transfer="scratch"), data)
    rated = not any(key.partition(".")[0] == "optimizer" for key in changes)
    return {name: arm_of(shared, name, model, changes, rated=rated) for name in ways}


def arm_of(shared: Recipe, name: str, model: nn.Module, changes: Mapping[str, Any], *, rated: bool) -> Recipe:
    way = WAYS[name]
    found = dict(way.changes)
    if rated:
        found["optimizer.lr"] = way.rate
    if name == "discriminative_rates":
        found["depth_decay"] = decay_over(len(by_depth(model)))
    if name == "scratch" and "average" not in changes and has_batch_norm(model):
        # Statistics that were never a source's lag behind in a short run; with a mean they are taken anew.
        found |= {"average": {"name": "ema", "decay": 0.9}}
    return shared.changed(**found)


def decay_over(layers: int) -> float:
    """The depth_decay at which the first of so many layers has `FIRST_SHARE` of the last one's rate.

    Example:
        >>> decay_over(50), round(decay_over(50) ** 49, 2)
        (0.954, 0.1)
    """
    return round(FIRST_SHARE ** (1 / max(1, layers - 1)), 3)


def has_batch_norm(model: nn.Module) -> bool:
    return any(isinstance(layer, _BatchNorm) for layer in model.modules())
