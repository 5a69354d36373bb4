"""Catalogue `models`: (image shape, number of classes, activation) -> a network of logits.

Every model maps images (n, c, h, w) to logits (n, classes).
"""

from __future__ import annotations

from lab.models import chains, efficientnet_lite, recurrent, shortcuts, transformer, vision  # noqa: F401  # pyright: ignore[reportUnusedImport]  # they fill the catalogue
from lab.models.catalogue import Activation, models
from lab.models.start import initialise
from lab.models.vision import OWN_ACTIVATION

__all__ = ["OWN_ACTIVATION", "Activation", "initialise", "models"]
