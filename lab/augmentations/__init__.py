"""Catalogue `augmentations`: a batch -> a batch, one random draw per sample, from the run's own generator.

An option takes images (n, c, h, w), float from 0 to 1, and a generator on their device, and returns images. One that
needs no pixels to know what it wants takes their shape instead and returns a Warp, a Recolour or a Mix: neighbours in
a chain are then carried out as one.
"""

from lab.augmentations.chain import Pending, augmentations, augmented, extend, sees_only_the_shape
from lab.augmentations.changes import Mix, Recolour, Warp
from lab.augmentations.frames import crop, flip

__all__ = [
    "Mix",
    "Pending",
    "Recolour",
    "Warp",
    "augmentations",
    "augmented",
    "crop",
    "extend",
    "flip",
    "sees_only_the_shape",
]
