"""Catalogue `objectives`: what is learned from the images.

An option gets the data set and the share of label smoothing, and gives an `Objective`: what it adds to the network,
what a step sees, what the loss of it is, and what else is measured after an epoch.
"""

from __future__ import annotations

from lab.catalogue import Catalogue

objectives = Catalogue(
    "objective",
    gives="a lab.objectives.Objective",
    aliases={
        "adabn": "adapted_statistics",
        "clip": "image_and_words",
        "mae": "masked_autoencoder",
        "pseudo_label": "pseudo_labels",
    },
)

from lab.objectives import all_labels, domains, few_labels, label_free, tasks, words  # noqa: F401  # pyright: ignore[reportUnusedImport]  # they fill the catalogue
from lab.objectives.fitting import readout
from lab.objectives.label_free import with_views, without_labels
from lab.objectives.objective import Batch, Look, Moment, Objective
from lab.objectives.taking import take_beside
from lab.objectives.tasks import learns_no_classes
from lab.objectives.trunk import beside_trunk, trunk_of

LOSS_OF_CLASSES = ("supervised", "adapted_statistics", "fine_tuned_on_target")  # options that train by nothing else

__all__ = [
    "LOSS_OF_CLASSES",
    "Batch",
    "Look",
    "Moment",
    "Objective",
    "beside_trunk",
    "learns_no_classes",
    "objectives",
    "readout",
    "take_beside",
    "trunk_of",
    "with_views",
    "without_labels",
]
