"""Which way of using pretrained weights suits a person's own images: compared fairly, and taken home."""

from __future__ import annotations

from lab.choosing.asked import Asked, ask
from lab.choosing.concluding import concluded
from lab.choosing.contest import Contest, OutOfTimeError
from lab.choosing.recommending import Choice, Standing, choose
from lab.choosing.taking import Taken, take_home
from lab.choosing.ways import WAYS
from lab.choosing.wishes import Wishes

__all__ = [
    "WAYS",
    "Asked",
    "Choice",
    "Contest",
    "OutOfTimeError",
    "Standing",
    "Taken",
    "Wishes",
    "ask",
    "choose",
    "concluded",
    "take_home",
]
