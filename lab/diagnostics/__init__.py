"""What a choice does to the signal before the first step and in training; rates to try; what a network gets wrong."""

from __future__ import annotations

from lab.diagnostics.init_doctor import InitReport, examinations, examine
from lab.diagnostics.predictions import Calibration, ClassAccuracy, Mistake, Predictions, predictions
from lab.diagnostics.range_test import Curve, RangeTest, on, range_test
from lab.diagnostics.verdict import LayerSignal
from lab.diagnostics.watching import Health, HealthHistory, LayerHealth, watched

__all__ = [
    "Calibration",
    "ClassAccuracy",
    "Curve",
    "Health",
    "HealthHistory",
    "InitReport",
    "LayerHealth",
    "LayerSignal",
    "Mistake",
    "Predictions",
    "RangeTest",
    "examinations",
    "examine",
    "on",
    "predictions",
    "range_test",
    "watched",
]
