"""Catalogue `augmentations`: a batch -> a batch, one random draw per sample, from the run's own generator.

An option takes images (n, c, h, w), float from 0 to 1, and a generator on their device, and returns images. One that
needs no pixels to know what it wants takes their shape instead and returns a Warp, a Recolour or a Mix: neighbours in
a chain are then carried out as one.
"""

from lab.augmentations.chain import Pending, augmentations, augmented, extend, sees_only_the_shape
from lab.augmentations.changes import Mix, Recolour, Warp
from lab.augmentations.frames import centre_crop, crop, flip, random_resized_crop, vertical_flip
from lab.augmentations.shapes import elastic, perspective, rotation, scale, shear, translation

__all__ = [
    "Mix",
    "Pending",
    "Recolour",
    "Warp",
    "augmentations",
    "augmented",
    "centre_crop",
    "crop",
    "elastic",
    "extend",
    "flip",
    "perspective",
    "random_resized_crop",
    "rotation",
    "scale",
    "sees_only_the_shape",
    "shear",
    "translation",
    "vertical_flip",
]
