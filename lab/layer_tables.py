"""What is copied, frozen and trained in a recipe's network, shown before training starts."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from lab.data import Dataset
from lab.loading import data_of
from lab.objectives import trunk_of
from lab.recipe import Recipe, checked
from lab.steps import build_model
from lab.transfer import Row, preprocessing_of, rows
from lab.transfer.matching import report_on
from lab.transfer.preprocessing import in_words as preprocessing_words
from lab.transfer.table import as_html, as_lines, in_words


@dataclass(frozen=True, repr=False)
class LayerTable:
    """A row for every layer, and one sentence on all of them; printed or shown in a notebook, both."""

    rows: tuple[Row, ...]
    sentence: str

    def facts(self) -> dict[str, Any]:
        """For machines."""
        return {"sentence": self.sentence, "layers": [row._asdict() for row in self.rows]}

    def __repr__(self) -> str:
        return "\n".join([self.sentence, *as_lines(self.rows)])

    def _repr_html_(self) -> str:
        """For a notebook, which breaks printed lines within numbers."""
        table = as_html(self.rows, style="text-align: left; white-space: nowrap")
        return f'<p>{escape(self.sentence)}</p><div style="overflow-x: auto">{table}</div>'


def layer_table(recipe: Recipe, data: Dataset | None = None) -> LayerTable:
    """Build the recipe's network, and say of each layer how it starts and when it is trained.

    Args:
        data: the recipe's data set, where it is at hand.
    Raises:
        DataError, SourceError: the data set or the source is missing, or does not fit the network.
    Example:
        >>> table = layer_table(Recipe(transfer="features"))
        >>> table.sentence
        'Transfer: no layer copied; 650 of 8,970 parameters are trained, 8,320 never.'
        >>> [(row.layer, row.training) for row in table.rows]
        [('1', 'frozen'), ('3', 'frozen'), ('5', 'trained')]
    """
    data = data or data_of(recipe)
    model = build_model(checked(recipe), data)
    table = tuple(rows(model, recipe.transfer, recipe.epochs, trunk_of(model)))
    return LayerTable(table, " ".join([in_words(table, report_on(model)), *seen_words(recipe, data)]))


def seen_words(recipe: Recipe, data: Dataset) -> list[str]:
    """How images are seen, where the source has a say in it."""
    found = preprocessing_of(recipe.source, recipe.transfer)
    side = dict(recipe.model).get("pixels")
    return [preprocessing_words(found, data, (side, side) if side else data.shape[1:])] if found else []
