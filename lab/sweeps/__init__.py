"""Sweeps: a grid, a list or random draws of recipes, each trained once, over processes or a Ray cluster."""

from lab.sweeps.outcomes import Outcome
from lab.sweeps.plan import Point, Sweep
from lab.sweeps.points import completed
from lab.sweeps.sweeping import Sweeping

__all__ = ["Outcome", "Point", "Sweep", "Sweeping", "completed"]
