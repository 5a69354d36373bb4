"""What a sweep adds to its runs: seconds a point over the bare function call, and what a second process gains.

bare       `lab.train` of each point in one process, nothing kept
plain      the sweep, plain points, 1 and 2 processes with one thread each
papermill  the sweep, a notebook for each point, 1 and 2 processes
ray        the sweep on a local Ray cluster with two workers

All variants train the same points. Starting the processes (the import of torch) is told apart: a first point that all
workers have done before the clock starts. "over" is seconds a point that a process is busy, more than the bare call
takes in the same round; with two processes the bare calls run in two processes too.

    python bench/sweeps.py [--only plain,papermill,ray] [--seconds 2] [--points 8] [--rounds 2]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported
from measure import machine, note

import lab
from lab.spread import launch
from lab.sweeps import Sweep, Sweeping
from lab.sweeps.cluster import Cluster
from lab.sweeps.processes import Processes, places_for

RESULTS = Path(__file__).parent / "results"
BASE = {"data": "digits", "model": {"name": "mlp", "width": 64}, "batch_size": 64}
BARE = (
    "import sys, time; from multiprocessing.connection import Connection; import lab\n"
    "wire = Connection(int(sys.argv[1]))\n"
    "while True:\n"
    "    recipes = wire.recv()\n"
    "    start = time.perf_counter()\n"
    "    for text in recipes: lab.train(lab.Recipe.from_yaml(text), progress=False, device='cpu')\n"
    "    wire.send(time.perf_counter() - start)\n"
)


def sweep_of(points: int, epochs: int, first: int) -> Sweep:
    return Sweep(base=lab.Recipe(**BASE, epochs=epochs), seeds=list(range(first, first + points)))


def epochs_for(seconds: float) -> int:
    """Epochs that take about so long here, bare."""
    recipe = lab.Recipe(**BASE, epochs=20)
    lab.train(recipe, progress=False, device="cpu")
    start = time.perf_counter()
    lab.train(recipe, progress=False, device="cpu")
    return max(1, round(20 * seconds / (time.perf_counter() - start)))


class Bare:
    """Processes that train recipes one after the other, and nothing else."""

    def __init__(self, count: int) -> None:
        self.workers = [launch(BARE, {"OMP_NUM_THREADS": "1"}) for _ in range(count)]
        self.seconds([lab.Recipe(**BASE, epochs=1)] * count)

    def seconds(self, recipes: list[lab.Recipe]) -> float:
        start = time.perf_counter()
        for place, (_, wire) in enumerate(self.workers):
            wire.send([recipe.to_yaml() for recipe in recipes[place :: len(self.workers)]])
        for _, wire in self.workers:
            wire.recv()
        return time.perf_counter() - start

    def close(self) -> None:
        for process, _ in self.workers:
            process.kill()
            process.wait()


@contextmanager
def warm(engine: Any, count: int, *, plain: bool) -> Iterator[Any]:
    """An engine whose workers have all trained a point; it stays open when a sweep leaves it."""
    with engine as ready, TemporaryDirectory() as folder:
        sweeping = Sweeping(sweep_of(2 * count, 1, 10**6), folder, plain=plain, device="cpu")
        for _ in sweeping.over(Open(ready)):
            pass
        yield Open(ready)


class Open:
    """The same engine, again and again."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def __enter__(self) -> Any:
        return self.engine

    def __exit__(self, *_: object) -> None:
        pass


def swept(engine: Any, sweep: Sweep, *, plain: bool) -> float:
    with TemporaryDirectory() as folder:
        sweeping = Sweeping(sweep, folder, plain=plain, device="cpu")
        start = time.perf_counter()
        ended = [outcome.status for _, outcome in sweeping.over(engine)]
        seconds = time.perf_counter() - start
    assert set(ended) == {"finished"}, ended
    return seconds


def rounds_of(engine: Any, bare: Bare, given: argparse.Namespace, epochs: int, *, plain: bool) -> Any:
    """Seconds of the points bare and swept, taking turns."""
    found = []
    for turn in range(given.rounds):
        sweep = sweep_of(given.points, epochs, 1000 * turn)
        recipes = [point.recipe for point in sweep.points]
        ways = [lambda r=recipes: bare.seconds(r), lambda s=sweep: swept(engine, s, plain=plain)]
        taken = [way() for way in ways] if turn % 2 else [way() for way in ways[::-1]][::-1]
        found.append(taken)
    return found


def row(way: str, count: int, found: list[list[float]], points: int) -> dict[str, Any]:
    over = [(swept - bare) * count / points for bare, swept in found]
    share = [swept / bare - 1 for bare, swept in found]
    facts = {"way": way, "processes": count, "points": points, "bare": [bare for bare, _ in found]}
    facts |= {"swept": [swept for _, swept in found], "seconds over a point": median(over), "share": median(share)}
    return facts | {"seconds a point": median(bare for bare, _ in found) * count / points}


def engines(way: str, count: int) -> Any:
    return Cluster("local") if way == "ray" else Processes(places_for(count, [], 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="plain,papermill,ray")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--points", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    epochs, rows = epochs_for(given.seconds), []
    for way in given.only.split(","):
        for count in (2,) if way == "ray" else (1, 2):
            note(f"{way}, {count}: setting up")
            bare = Bare(count)
            with warm(engines(way, count), count, plain=way != "papermill") as engine:
                found = rounds_of(engine, bare, given, epochs, plain=way != "papermill")
            bare.close()
            rows.append(row(way, count, found, given.points))
            last = rows[-1]
            print(
                f"{way:10} {count} {last['seconds a point']:6.2f} s bare  {last['seconds over a point']:+6.2f} s"
                f"  {100 * last['share']:+6.1f} %",
                flush=True,
            )
    keep(rows)


def keep(rows: list[dict[str, Any]]) -> None:
    """Rows that were not measured this time stay as they were; what the second process gains follows from them."""
    path = RESULTS / "sweeps-cpu.json"
    kept = json.loads(path.read_text())["rows"] if path.exists() else []
    named = {(each["way"], each["processes"]): each for each in [*kept, *rows]}
    here = {**machine("cpu", ("lab", "torch", "papermill", "ray")), "threads": 1}
    for each in rows:
        each["load"] = here["load"]
    gains = {way: gain_of(named, way) for way in ("plain", "papermill") if {(way, 1), (way, 2)} <= set(named)}
    facts = {"machine": here, "efficiency of two processes": gains, "rows": list(named.values())}
    path.write_text(json.dumps(facts, indent=1) + "\n")
    print(gains)


def gain_of(named: dict[tuple[str, int], dict[str, Any]], way: str) -> dict[str, float]:
    """How many times as many points two processes train; bare ones too: what this machine has to give just then."""
    one, two = named[way, 1], named[way, 2]
    return {
        kind: round(median(one[kind]) / one["points"] / (median(two[kind]) / two["points"]), 2)
        for kind in ("swept", "bare")
    }


if __name__ == "__main__":
    main()
