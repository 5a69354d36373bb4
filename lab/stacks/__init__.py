"""Many recipes of one architecture trained in one vectorised loop, each to the numbers it has alone."""

from __future__ import annotations

from lab.stacks.stack import ALIKE, Stack, alone_because

__all__ = ["ALIKE", "Stack", "alone_because"]
