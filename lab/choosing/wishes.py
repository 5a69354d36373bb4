"""How a person wants a choice to be made: what the flags of `lab choose` say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.choosing.given import LITE
from lab.choosing.telling import COMMAND, Command
from lab.choosing.ways import WAYS


@dataclass(frozen=True)
class Wishes:
    """How to choose: paired seeds, ways by their names, seconds for all of it, where weights are from, where it goes.

    out: the same folder goes on where it was left; by default one under `choices/`, named as the images' is.
    said: how what is wrong with them, and what would help, is told.
    """

    seeds: int = 5
    ways: tuple[str, ...] = tuple(WAYS)
    seconds: float = 900.0
    source: str = LITE
    out: Path | None = None
    said: Command = COMMAND
