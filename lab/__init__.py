"""An interactive lab bench for exploring deep-learning optimisation choices.

import lab
run = lab.train(lab.Recipe(optimizer="adam", epochs=5))
run.best.validation_accuracy
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# OpenMP's threads wait for each other by spinning. On a machine that others use too (a browser is enough)
# a long spin starves the very thread it waits for; it must be set before torch is first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from lab import runs
from lab.activations import activations
from lab.augmentations import augmentations
from lab.averages import averages
from lab.catalogue import Catalogue, Choice, Knob, RecipeError
from lab.compare import Comparison, compare
from lab.data import DataError, datasets, fetch, load, modifiers
from lab.diagnostics import copies, examine, label_probe, predictions, range_test, watched
from lab.events import Epoch, Finished, Metrics, Started, Step
from lab.forgetting import forgotten
from lab.gradients import gradients
from lab.initializers import initializers
from lab.label_curves import label_curve, label_table, transfer_arms
from lab.layer_tables import layer_table
from lab.many import train_many
from lab.models import models
from lab.objectives import objectives
from lab.optimizers import optimizers
from lab.plans import Plan
from lab.recipe import Recipe, difference
from lab.reports import report
from lab.runs import Run, open_run, resume, train
from lab.schedules import schedules
from lab.store import RunError
from lab.training import Training, training
from lab.transfer import SourceError, sources, transfers

if TYPE_CHECKING:
    from lab.panel import Panel as Panel

__version__ = "0.1.0"
__all__ = [
    "Catalogue",
    "Choice",
    "Comparison",
    "DataError",
    "Epoch",
    "Finished",
    "Knob",
    "Metrics",
    "Panel",
    "Plan",
    "Recipe",
    "RecipeError",
    "Run",
    "RunError",
    "SourceError",
    "Started",
    "Step",
    "Training",
    "activations",
    "augmentations",
    "averages",
    "compare",
    "copies",
    "datasets",
    "difference",
    "examine",
    "fetch",
    "forgotten",
    "gradients",
    "initializers",
    "label_curve",
    "label_probe",
    "label_table",
    "layer_table",
    "load",
    "models",
    "modifiers",
    "objectives",
    "open_run",
    "optimizers",
    "predictions",
    "range_test",
    "report",
    "resume",
    "runs",
    "schedules",
    "sources",
    "train",
    "train_many",
    "training",
    "transfer_arms",
    "transfers",
    "watched",
]


def __getattr__(name: str) -> Any:
    """`lab.Panel` on demand: headless use (papermill, sweeps, the command) never imports widgets."""
    if name == "Panel":
        from lab.panel import Panel  # noqa: PLC0415  # on demand is the point

        return Panel
    raise AttributeError(f"module 'lab' has no attribute {name!r}")
