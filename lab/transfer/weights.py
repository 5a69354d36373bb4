"""Weights by name, and where they are from."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


class SourceError(ValueError):
    """What is wrong with a source of weights, or with it beside this network, and what to do."""


class Weights(dict[str, Tensor]):
    """Tensors by name on the CPU, as a network's `state_dict` has them.

    origin: where they are from, in words. classes: names of what the last layer tells apart, where that is known.
    meanings: what the numbers of other layers stand for, by their names, where an objective has put such there.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        origin: str,
        classes: tuple[str, ...] | None = None,
        meanings: Mapping[str, list[str]] | None = None,
    ) -> None:
        super().__init__(tensors)
        self.origin, self.classes, self.meanings = origin, classes, meanings or {}
