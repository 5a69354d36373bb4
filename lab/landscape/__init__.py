"""Loss landscapes: planes through the weights, surfaces over them, their curvature and shape in numbers, and errors."""

from __future__ import annotations

from lab.landscape.curvature import Curvature
from lab.landscape.directions import random_plane
from lab.landscape.eigenpairs import Eigenpairs, Trace, lanczos, trace_of
from lab.landscape.evaluators import Evaluator, Values
from lab.landscape.grids import Grid, Spline, SplineError
from lab.landscape.live import Live
from lab.landscape.planes import Origin, Plane, Projection, hessian, line, through
from lab.landscape.portraits import Portrait, Question
from lab.landscape.samples import Samples, samples_of
from lab.landscape.shape import Barrier, Share, Sharpness, barrier, negative_share, sharpness
from lab.landscape.stability import Gauge, Reading
from lab.landscape.surfaces import Measured, Surface, Survey, quick_surface, surface
from lab.landscape.trails import Trail, joint_plane, path_plane
from lab.landscape.weights import trained

__all__ = [
    "Barrier",
    "Curvature",
    "Eigenpairs",
    "Evaluator",
    "Gauge",
    "Grid",
    "Live",
    "Measured",
    "Origin",
    "Plane",
    "Portrait",
    "Projection",
    "Question",
    "Reading",
    "Samples",
    "Share",
    "Sharpness",
    "Spline",
    "SplineError",
    "Surface",
    "Survey",
    "Trace",
    "Trail",
    "Values",
    "barrier",
    "hessian",
    "joint_plane",
    "lanczos",
    "line",
    "negative_share",
    "path_plane",
    "quick_surface",
    "random_plane",
    "samples_of",
    "sharpness",
    "surface",
    "through",
    "trace_of",
    "trained",
]
