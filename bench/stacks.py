"""How much faster many recipes train together: stacked, or over processes, against one after the other.

Three networks, batches of 128, SGD with momentum at K rates, or four optimizers mixed:

  digits   64-64-32-10 on scikit-learn's digits: what is left is the overhead of a step
  mlp      784-128-64-10 on Fashion-MNIST
  cnn      the default convolutional network on Fashion-MNIST

A ratio is the time of K trainings one after the other (the lab's own loop: fused optimizers, channels_last, one
thread where that is faster) over the time of the same steps in the stack, in the same round; the variants take turns.
"chosen" is what `lab.many` does by itself, timed as well. Setting up is left out, but for processes, where it is the
question, and for all but the first trainings that `lab.many` holds to take turns.

    python bench/stacks.py [--rounds 5] [--only digits,mlp] [--device cuda]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measure import machine
from torch import nn
from training import first_images, tiny  # noqa: F401  # options: the first images, the smallest network

import lab
from lab.many import Many
from lab.stacks import Stack

RESULTS = Path(__file__).parent / "results"
SIZES = (4, 8, 16, 32)
BATCH = 128
KINDS: list[dict[str, Any]] = [
    {"name": "sgd"},
    {"name": "sgd", "momentum": 0.9},
    {"name": "rmsprop"},
    {"name": "adam"},
]


@lab.models.add
def medium(shape: tuple[int, int, int], classes: int, activation: Callable[[], nn.Module]) -> nn.Module:
    """Two hidden layers of 128 and 64 units."""
    layers = [nn.Linear(shape[0] * shape[1] * shape[2], 128), activation(), nn.Linear(128, 64), activation()]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(64, classes))


def base(task: str, steps: int) -> lab.Recipe:
    data, model = {"digits": ("digits", "tiny"), "mlp": ("fashion_mnist", "medium"), "cnn": ("fashion_mnist", "cnn")}[
        task
    ]
    images = {"name": "first_images", "count": steps * BATCH}
    return lab.Recipe(data=data, modify=images, model=model, batch_size=BATCH, epochs=1)


def arms(task: str, count: int, steps: int, *, mixed: bool) -> list[lab.Recipe]:
    recipe, rates = base(task, steps), np.geomspace(1e-4, 1e-2, count)
    kinds = KINDS if mixed else [KINDS[1]]
    return [
        recipe.changed(optimizer={**kinds[index % len(kinds)], "lr": float(rate)}) for index, rate in enumerate(rates)
    ]


def timed(events: Iterator[Any]) -> float:
    """Seconds from the first event, when all is set up, to the last."""
    next(events)
    start = time.perf_counter()
    for _ in events:
        pass
    return time.perf_counter() - start


def one_after_the_other(recipes: Sequence[lab.Recipe], device: str) -> float:
    return sum(timed(iter(lab.training(recipe, device=device))) for recipe in recipes)


def stacked(recipes: Sequence[lab.Recipe], device: str) -> float:
    return timed(iter(Stack(recipes, device=device)))


def chosen(recipes: Sequence[lab.Recipe], device: str) -> float:
    return timed(iter(Many(recipes, device=device, keep=False, spread=False)))


def over_processes(recipes: Sequence[lab.Recipe], device: str) -> float:
    """Starting the processes included."""
    many = Many([recipe.changed(modify=[], epochs=1) for recipe in recipes], device=device, keep=False)
    start = time.perf_counter()
    for _ in many:
        pass
    return time.perf_counter() - start


def cell(task: str, count: int, device: str, rounds: int, *, mixed: bool) -> dict[str, Any]:
    steps = {"digits": 100, "mlp": 50, "cnn": 10}[task]
    recipes = arms(task, count, steps, mixed=mixed)
    seconds: list[tuple[float, ...]] = []
    for turn in range(rounds + 1):
        ways = [one_after_the_other, stacked, chosen][:: 1 if turn % 2 else -1]
        taken = {way: way(recipes, device) for way in ways}
        seconds.append((taken[one_after_the_other], taken[stacked], taken[chosen]))
    stack = [slow / fast for slow, fast, _ in seconds[1:]]  # the first round warms up
    chose = [slow / many for slow, _, many in seconds[1:]]
    facts = {"ratio": statistics.median(stack), "min": min(stack), "max": max(stack)}
    facts |= {"chosen": statistics.median(chose), "chosen min": min(chose), "chosen max": max(chose)}
    return {"task": task, "arms": count, "optimizers": "four" if mixed else "one", **facts}


def processes(device: str, count: int = 8) -> dict[str, Any]:
    """Convolutional networks over one pass of all of Fashion-MNIST each, in turn and over processes."""
    recipe = lab.Recipe(data="fashion_mnist", model="cnn", batch_size=BATCH, epochs=1)
    recipes = [recipe.changed(seed=seed) for seed in range(count)]
    slow = sum(timed(iter(lab.training(each, device=device))) for each in recipes)
    fast = over_processes(recipes, device)
    return {"task": "cnn over processes", "arms": count, "ratio": slow / fast, "seconds in turn": slow, "seconds": fast}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="digits,mlp,cnn,processes")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args()
    only, rows = given.only.split(","), []
    print(f"{'task':20} {'optimizers':10} {'arms':>4} {'ratio':>7} {'min':>6} {'max':>6} {'chosen':>7}")
    for task in [task for task in ("digits", "mlp", "cnn") if task in only]:
        for mixed in (False, True):
            for count in SIZES:
                row = cell(task, count, given.device, given.rounds, mixed=mixed)
                rows.append(row)
                numbers = f"{row['ratio']:7.2f} {row['min']:6.2f} {row['max']:6.2f} {row['chosen']:7.2f}"
                print(f"{task:20} {row['optimizers']:10} {count:4} {numbers}", flush=True)
    if "processes" in only and given.device == "cpu":
        rows.append(processes(given.device))
        print(rows[-1])
    keep(given, rows)


def keep(given: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Every cell with its rounds; cells that were not measured this time stay as they were, if on such a machine."""
    path, here = RESULTS / f"stacks-{given.device}.json", machine(given.device, ("lab", "torch"))
    kept = json.loads(path.read_text()) if path.exists() else {"cells": []}
    alike = {**kept.get("machine", {}), "load": here["load"]} == here
    named = {named_by(row): row for row in (kept["cells"] if alike else [])}
    named |= {named_by(row): {**row, "rounds": given.rounds} for row in rows}
    path.write_text(json.dumps({"machine": here, "cells": list(named.values())}, indent=1) + "\n")


def named_by(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["task"], row.get("optimizers"), row["arms"]


if __name__ == "__main__":
    main()
