"""Side by side: every variant in a process of its own, blocks of equal work, rounds that run to and fro.

Only one variant works at a time; the others sleep. A process of its own gives each the threads, the memory and the
environment it would have alone, and no library can change another's settings.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import torch

UNTOUCHED = dict(os.environ)  # this module is imported before those that add to it


class Clock:
    """Stands at the border of two blocks: reports the seconds of the last one, waits for the order of the next."""

    def __init__(self, orders: Connection, device: str) -> None:
        self.orders, self.device, self.started = orders, device, time.perf_counter()

    def __call__(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()
        try:
            self.orders.send(time.perf_counter() - self.started)
            self.orders.recv()
        except (EOFError, OSError):
            raise SystemExit from None  # the measurement is over
        self.started = time.perf_counter()


@dataclass(frozen=True)
class Entry:
    """What a variant does for ever, asking the clock before every block, and the environment it starts in."""

    work: Callable[[Clock], None]
    environment: Mapping[str, str]


class Contestant:
    """A variant's process, ready for its first block once it is made."""

    def __init__(self, name: str, entry: Entry, device: str) -> None:
        self.name, (self.orders, theirs) = name, get_context("spawn").Pipe()
        self.process = get_context("spawn").Process(target=serve, args=(entry.work, theirs, device))
        with environment(entry.environment):
            self.process.start()
        theirs.close()
        self._answer()  # what its set-up took is no one's ratio

    def block(self) -> float:
        """Seconds of one block."""
        self.orders.send("go")
        return self._answer()

    def _answer(self) -> float:
        try:
            return self.orders.recv()
        except EOFError:
            raise SystemExit(f"{self.name} failed: its error is above.") from None

    def close(self) -> None:
        self.orders.close()
        self.process.join()


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """What a process started inside finds in os.environ, before it imports anything."""
    before, wanted = dict(os.environ), dict(variables)
    replace_environment(wanted)
    try:
        yield
    finally:
        replace_environment(before)


def replace_environment(variables: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


def serve(work: Callable[[Clock], None], orders: Connection, device: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C, and closes the pipe
    warnings.simplefilter("ignore")
    work(Clock(orders, device))


def interleaved(entries: dict[str, Entry], rounds: int, device: str) -> dict[str, list[float]]:
    """Seconds of each variant's block in each round, after one block each to warm up."""
    contestants: dict[str, Contestant] = {}
    try:
        for name, entry in entries.items():
            note(f"{name}: setting up")
            contestants[name] = Contestant(name, entry, device)
        for name, contestant in contestants.items():
            note(f"{name}: warm-up, {contestant.block():.2f} s")
        return in_rounds(contestants, rounds)
    finally:
        for contestant in contestants.values():
            contestant.close()


def in_rounds(contestants: dict[str, Contestant], rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        note(f"round {number + 1} of {rounds}")
        for name in list(contestants)[:: -1 if number % 2 else 1]:
            seconds[name].append(contestants[name].block())
    return seconds


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Row:
    """One variant against the yardstick; a ratio is taken within a round, so that slow minutes cancel.

    ratio, lowest, highest: median and extremes of its speed over the yardstick's; 1 is as fast.
    of_best: the same of the fastest block of each: what other work on the machine disturbed least.
    microseconds_over: per step, more than the yardstick's.
    """

    label: str
    images_per_second: float
    microseconds_per_step: float
    microseconds_over: float
    ratio: float
    lowest: float
    highest: float
    of_best: float
    seconds: list[float]


def compared(label: str, seconds: list[float], yardstick: list[float], images: int, steps: int) -> Row:
    ratios = [theirs / ours for theirs, ours in zip(yardstick, seconds, strict=True)]
    over = [ours - theirs for theirs, ours in zip(yardstick, seconds, strict=True)]
    return Row(
        label=label,
        images_per_second=images / median(seconds),
        microseconds_per_step=1e6 * median(seconds) / steps,
        microseconds_over=1e6 * median(over) / steps,
        ratio=median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
        of_best=min(yardstick) / min(seconds),
        seconds=seconds,
    )


def table(title: str, rows: list[Row]) -> str:
    width = max(len(row.label) for row in rows)
    head = f"{'':{width}}  images/s   us/step  over bare   ratio     min     max  of best"
    return "\n".join([title, head, *(line(row, width) for row in rows)])


def line(row: Row, width: int) -> str:
    return (
        f"{row.label:{width}}  {row.images_per_second:8,.0f}  {row.microseconds_per_step:8,.0f}  "
        f"{row.microseconds_over:+9,.0f}  {row.ratio:6.2f}  {row.lowest:6.2f}  {row.highest:6.2f}  {row.of_best:7.2f}"
    )


def machine(device: str, packages: tuple[str, ...]) -> dict[str, object]:
    """What the numbers depend on, without a name or a place."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{package: installed(package) for package in packages},
    }


def cpu_model() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def save(path: Path, facts: dict[str, object], tasks: dict[str, dict[str, Row]]) -> None:
    plain = {task: {name: asdict(row) for name, row in rows.items()} for task, rows in tasks.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**facts, "tasks": plain}, indent=1) + "\n", encoding="utf-8")
