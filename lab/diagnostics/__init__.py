"""What a choice does to the signal before the first step and in training; rates to try; what a network gets wrong.

And which augmentations it takes for another class, and whether what augments the data is but a copy of it.
"""

from __future__ import annotations

from lab.diagnostics.copies import Copies, copies
from lab.diagnostics.init_doctor import InitReport, examinations, examine
from lab.diagnostics.label_probe import LabelProbe, Probed, label_probe
from lab.diagnostics.predictions import Calibration, ClassAccuracy, Mistake, Predictions, predictions
from lab.diagnostics.range_test import Curve, RangeTest, on, range_test
from lab.diagnostics.verdict import LayerSignal
from lab.diagnostics.watching import Health, HealthHistory, LayerHealth, watched

__all__ = [
    "Calibration",
    "ClassAccuracy",
    "Copies",
    "Curve",
    "Health",
    "HealthHistory",
    "InitReport",
    "LabelProbe",
    "LayerHealth",
    "LayerSignal",
    "Mistake",
    "Predictions",
    "Probed",
    "RangeTest",
    "copies",
    "examinations",
    "examine",
    "label_probe",
    "on",
    "predictions",
    "range_test",
    "watched",
]
