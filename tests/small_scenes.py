"""Surfaces that are formulas, with paths on them: what a picture has to show is known."""

from dataclasses import replace

import numpy as np

from lab.landscape.grids import Grid
from lab.landscape.planes import Origin
from lab.landscape.scenes import RunPath, Scene
from lab.landscape.surfaces import Measured, Surface

ORIGIN = Origin("path", explained=0.87, note="through the last point")
MEASURED = Measured("validation", 100, 269, 3, "stored", 64, "float32")


def surface_of(formula, *, size=5, reach=(2.0, 1.0), middle=(1.0, 0.0), line=False, origin=ORIGIN):
    """loss = formula(a, b), a standard error of a tenth of it, and an accuracy that falls with it."""
    grid = Grid(size, reach, middle, line=line)
    loss = formula(*np.meshgrid(*grid.axes, indexing="ij"))
    return Surface(grid, origin, MEASURED, loss, np.exp(-np.abs(loss)), loss / 10, loss / 20)


def bowl(a, b):
    return 1.5 + a**2 + 2 * b**2


def cliff(a, b):
    return 0.01 * np.exp(3 * a) + 0 * b


def path_of(formula=bowl, *, number=0, name="sgd", count=5, off=()):
    """Along the diagonal to the middle; at the marks `off` the true loss is half of that on the plane."""
    along = np.linspace(-1, 0, count)
    coordinates = np.stack([1 + along, along / 2], 1)
    on_plane = formula(*coordinates.T)
    true = np.where(np.isin(np.arange(count), off), on_plane / 2, on_plane)
    return RunPath(name, number, coordinates, 10 * np.arange(count), true, on_plane)


def scene_of(formula=bowl, paths=None, title="", **which):
    return Scene(surface_of(formula, **which), (path_of(formula),) if paths is None else tuple(paths), title)


def with_holes(scene):
    """Every second row is not measured yet."""
    parts = {}
    for name in ("loss", "accuracy", "error", "difference_error"):
        parts[name] = getattr(scene.surface, name).copy()
        parts[name][1::2] = np.nan
    return replace(scene, surface=replace(scene.surface, **parts))
