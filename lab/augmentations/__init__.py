"""Catalogue `augmentations`: a batch -> a batch, one random draw per sample, from the run's own generator.

An option takes images (n, c, h, w), float from 0 to 1, and a generator on their device, and returns images. One that
needs no pixels to know what it wants takes their shape instead and returns a Warp, a Recolour, a Retouch, a Cover or a
Mix: neighbours in a chain are then carried out together. One that learns from the training split gets the labels
(n, classes) and what it has learned after the generator.
"""

from lab.augmentations.chain import Pending, augmentations, augmented, extend, mixes, sees_only_the_shape
from lab.augmentations.changes import Mix, Warp
from lab.augmentations.chosen import Retouch
from lab.augmentations.colour import brightness, contrast, grayscale, hue, invert, saturation
from lab.augmentations.covers import Cover
from lab.augmentations.detail import blur, noise, sharpness
from lab.augmentations.erasing import cutout, random_erasing
from lab.augmentations.frames import centre_crop, crop, flip, random_resized_crop, vertical_flip
from lab.augmentations.generated import generated
from lab.augmentations.learning import Lesson, learners, lessons
from lab.augmentations.mixing import cutmix, fmix, mixup
from lab.augmentations.policies import auto_augment, rand_augment, trivial_augment
from lab.augmentations.recolour import Recolour
from lab.augmentations.shapes import elastic, perspective, rotation, scale, shear, translation
from lab.augmentations.tones import auto_contrast, equalise, gamma, posterise, solarise

__all__ = [
    "Cover",
    "Lesson",
    "Mix",
    "Pending",
    "Recolour",
    "Retouch",
    "Warp",
    "augmentations",
    "augmented",
    "auto_augment",
    "auto_contrast",
    "blur",
    "brightness",
    "centre_crop",
    "contrast",
    "crop",
    "cutmix",
    "cutout",
    "elastic",
    "equalise",
    "extend",
    "flip",
    "fmix",
    "gamma",
    "generated",
    "grayscale",
    "hue",
    "invert",
    "learners",
    "lessons",
    "mixes",
    "mixup",
    "noise",
    "perspective",
    "posterise",
    "rand_augment",
    "random_erasing",
    "random_resized_crop",
    "rotation",
    "saturation",
    "scale",
    "sees_only_the_shape",
    "sharpness",
    "shear",
    "solarise",
    "translation",
    "trivial_augment",
    "vertical_flip",
]
