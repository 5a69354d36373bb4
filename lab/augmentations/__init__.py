"""Catalogue `augmentations`: a batch -> a batch, one random draw per sample, from the run's own generator.

An option takes images (n, c, h, w), float from 0 to 1, and a generator on their device, and returns images. One that
needs no pixels to know what it wants takes their shape instead and returns a Warp, a Recolour or a Mix: neighbours in
a chain are then carried out as one. One that learns from the training split gets the labels (n, classes) and what it
has learned after the generator.
"""

from lab.augmentations.chain import Pending, augmentations, augmented, extend, sees_only_the_shape
from lab.augmentations.changes import Mix, Recolour, Warp
from lab.augmentations.frames import crop, flip
from lab.augmentations.generated import generated
from lab.augmentations.learning import Lesson, learners, lessons
from lab.augmentations.mixing import cutmix, fmix, mixup

__all__ = [
    "Lesson",
    "Mix",
    "Pending",
    "Recolour",
    "Warp",
    "augmentations",
    "augmented",
    "crop",
    "cutmix",
    "extend",
    "flip",
    "fmix",
    "generated",
    "learners",
    "lessons",
    "mixup",
    "sees_only_the_shape",
]
