"""Loss landscapes: planes through the weights, surfaces over them, and how far to trust both."""

from __future__ import annotations

from lab.landscape.directions import random_plane
from lab.landscape.evaluators import Evaluator, Values
from lab.landscape.grids import Grid, SplineError
from lab.landscape.live import Live, Portrait, Question
from lab.landscape.planes import Origin, Plane, Projection, hessian, line, through
from lab.landscape.samples import Samples, samples_of
from lab.landscape.surfaces import Measured, Surface, Survey, quick_surface, refreshed_surface, surface
from lab.landscape.trails import Trail, joint_plane, path_plane
from lab.landscape.views import Marks, Seen
from lab.landscape.weights import trained

__all__ = [
    "Evaluator",
    "Grid",
    "Live",
    "Marks",
    "Measured",
    "Origin",
    "Plane",
    "Portrait",
    "Projection",
    "Question",
    "Samples",
    "Seen",
    "SplineError",
    "Surface",
    "Survey",
    "Trail",
    "Values",
    "hessian",
    "joint_plane",
    "line",
    "path_plane",
    "quick_surface",
    "random_plane",
    "refreshed_surface",
    "samples_of",
    "surface",
    "through",
    "trained",
]
