"""Catalogue `objectives`: what a training's steps make smaller, with all labels, with few, with none.

An option gets a `Batch` and draws what it needs of it (augmented images, unlabelled ones, a mask); it returns a
function that runs the network on that and gives what was `Measured`. That may be called more than once in a step.
"""

from __future__ import annotations

from lab.catalogue import Catalogue

objectives = Catalogue(
    "objective",
    gives="a function without arguments that gives what was Measured",
    aliases={"mae": "masked_autoencoder", "pseudo_label": "pseudo_labels"},
)

from lab.objectives import few_labels, label_free  # noqa: F401  # pyright: ignore[reportUnusedImport]  # they fill the catalogue
from lab.objectives.batch import Batch, Measured, at_least_float32
from lab.objectives.fitting import readout
from lab.objectives.helping import drawing, helper_for, helpers, passes_for, without_labels

__all__ = [
    "Batch",
    "Measured",
    "at_least_float32",
    "drawing",
    "helper_for",
    "helpers",
    "objectives",
    "passes_for",
    "readout",
    "without_labels",
]
