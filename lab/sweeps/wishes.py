"""How a sweep is to be done: what its flags say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.sweeps.sweeping import RETRIES

ENGINES = ("processes", "ray")


@dataclass(frozen=True)
class Wishes:
    """How a sweep is to be done; none of it decides a number. processes: 0 for one on each core or share of a GPU."""

    folder: Path | None = None
    engine: str = "processes"
    address: str = "auto"
    processes: int = 0
    gpus_per_run: float | None = None
    retries: int = RETRIES
    plain: bool = False
    device: str | None = None
    options: tuple[Path, ...] = ()
    quiet: bool = False
