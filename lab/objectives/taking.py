"""What an objective puts on a model, taken over from a source in which its numbers stood for the same."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lab.objectives.trunk import trunk_of
from lab.transfer.matching import (
    Copied,
    Match,
    beneath,
    fit_of,
    joined_name,
    last_layer_name,
    own_shapes,
    report_on,
)

LAST = "last"  # of the recipe's model, whatever that calls it
HOLDER = "trunk"  # under which a network of several parts has the recipe's model


@torch.no_grad()
def take_beside(
    network: nn.Module, trunk: nn.Module, weights: Mapping[str, Tensor], meanings: Mapping[str, list[str]]
) -> None:
    """Copy those of an objective's layers that fit and meant the same there; the network remembers what became of each.

    Args:
        trunk: the recipe's model in the network, filled by a transfer; meanings: `Objective.meanings`.
    """
    copied = beneath(HOLDER, report_on(trunk))
    layers = {match.name: match for match in copied.layers}
    for name, meaning in meanings.items():
        match = match_beside(network, weights, name, meaning)
        layers[match.name] = match
        for key in match.there if match.is_copied else ():
            tensor = weights[joined_name(named_there(match.name), key)]
            network.get_submodule(match.name).get_parameter(key).copy_(tensor)
    own = network.state_dict()
    unused = {name: shape for name, shape in copied.unused.items() if name not in own}
    network.transferred = Copied(copied.origin, [*layers.values()], unused)  # pyright: ignore[reportArgumentType]


def match_beside(network: nn.Module, weights: Mapping[str, Tensor], name: str, meaning: list[str]) -> Match:
    """One of these layers beside the source's of the same name."""
    place = f"{HOLDER}.{last_layer_name(trunk_of(network))}" if name == LAST else name
    here, meant = own_shapes(network.get_submodule(place)), getattr(weights, "meanings", {}).get(name)
    keys = {key: joined_name(named_there(place), key) for key in here}
    there = {key: tuple(weights[full].shape) for key, full in keys.items() if full in weights}
    other = "not learned there" if meant is None else "other names" if meant != meaning else ""
    return Match(place, here, there, (other if there else "") or fit_of(here, there, first=False))


def named_there(place: str) -> str:
    """A source's weights lie as in the recipe's model."""
    return place.removeprefix(f"{HOLDER}.")
