"""A surface that nobody sees, made before there is one to show: a browser takes longest for its first scene in 3-D."""

from __future__ import annotations

import numpy as np

from lab.landscape.grids import Grid
from lab.landscape.planes import Origin
from lab.landscape.scenes import RunPath, Scene
from lab.landscape.surfaces import Measured, Surface

GRID = Grid(17)


def nothing_yet() -> Scene:
    """A slope, with a path of two marks: all kinds of traces that one run has."""
    slope, marks = np.linspace(0, 1, GRID.size**2).reshape(GRID.shape), np.zeros(2)
    measured = Measured("validation", 0, 0, 0, None, 0, "float32")
    surface = Surface(GRID, Origin("path"), measured, slope, slope, slope, slope)
    return Scene(surface, (RunPath("", 0, np.array([[0.0, 0.0], [1.0, 1.0]]), marks, marks, marks),))
