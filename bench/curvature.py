"""How fast the lab finds the sharpest curvature, next to power iteration.

Fashion-MNIST, float32, two networks after an epoch on 2,000 images, the two largest eigenvalues of the Hessian of the
mean loss over validation images:

  mlp   784-128-64-10, 2,048 images
  cnn   convolution 1-16, relu, pool, convolution 16-32, relu, pool, linear: 20,490 weights, 512 images

  power      power iteration with deflation as PyHessian 0.1 does it, until a value moves by less than 1e-3 of itself,
             or 100 products for each: its defaults; the graph of one batch of all images is kept
  lab        `Curvature(...).eigenpairs()` until both residuals are within 1% of the values, graphs and all
  lab, warm  the same from the vectors found one training step earlier

The residual |H v - value v| of each is told, as a share of the value: the peer's rule does not bound it, and its second
one cannot fall below what the first vector is off by. Variants are processes of their own, rounds run A B C and then
C B A; a ratio is of times in one round.

    python bench/curvature.py [--rounds 3]

The measurement is kept in bench/results/curvature-cpu.json.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from functools import cache, partial
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

import torch
from landscape import NETWORKS
from measure import Clock, Entry, interleaved, machine
from torch import Tensor, nn
from torch.nn import functional

import lab
from lab.events import Step
from lab.landscape import Curvature, Eigenpairs, Samples, samples_of

RESULTS = Path(__file__).parent / "results"
IMAGES = {"mlp": 2048, "cnn": 512}
TOLERANCE, COUNT = 0.01, 2
MOVES, LIMIT = 1e-3, 100  # the peer's defaults


@cache
def prepared(task: str) -> tuple[nn.Module, Samples, Eigenpairs]:
    """The network after an epoch, the images, and what the curvature was one step before."""
    few = {"name": "subset", "per_class": 200}
    recipe = lab.Recipe(data="fashion_mnist", modify=few, model=NETWORKS[task], optimizer="adam", epochs=1)
    session = lab.training(recipe, device="cpu")
    samples, earlier = samples_of(session, count=IMAGES[task]), None
    for event in session:
        if isinstance(event, Step) and event.step == session.steps - 1:
            earlier = Curvature(session.model, samples).eigenpairs(tolerance=TOLERANCE)
    assert earlier is not None
    return session.model.eval(), samples, earlier


def without(vector: Tensor, others: list[Tensor]) -> Tensor:
    for other in others:
        vector = vector - (vector @ other) * other
    return vector / vector.norm()


def power(task: str) -> list[tuple[float, float, int]]:
    """(value, residual as a share of it, products) of the two largest values, one after the other."""
    model, samples, _ = prepared(task)
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    loss = functional.cross_entropy(model(samples.batch(slice(None), torch.float32)), samples.labels)
    slopes = torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, weights, create_graph=True)])
    found: list[tuple[float, float, int]] = []
    vectors: list[Tensor] = []
    for seed in range(COUNT):
        vector, value, known = torch.randn(slopes.shape, generator=torch.Generator().manual_seed(seed)), inf, inf
        for products in range(1, LIMIT + 1):
            vector = without(vector, vectors)
            parts = torch.autograd.grad(slopes, weights, vector, retain_graph=True)
            turned = torch.cat([part.reshape(-1) for part in parts])
            known, value = value, float(turned @ vector)
            if products == LIMIT or abs(value - known) < MOVES * (abs(known) + 1e-6):
                break
            vector = turned
        found.append((value, float((turned - value * vector).norm()) / abs(value), products))
        vectors.append(vector)
    return found


def eigenpairs(task: str, *, warm: bool) -> Eigenpairs:
    model, samples, earlier = prepared(task)
    return Curvature(model, samples).eigenpairs(tolerance=TOLERANCE, earlier=earlier if warm else None)


WAYS: dict[str, Callable[[str], Any]] = {
    "power": power,
    "lab": partial(eigenpairs, warm=False),
    "lab, warm": partial(eigenpairs, warm=True),
}


def blocks(way: Callable[[str], Any], task: str, clock: Clock) -> None:
    way(task)
    while True:
        clock()
        way(task)


def found_by(task: str) -> dict[str, Any]:
    """Values, residuals as shares of them, and products of each variant."""
    rows: dict[str, Any] = {"power": power(task)}
    for name in ("lab", "lab, warm"):
        pairs = WAYS[name](task)
        rows[name] = [pairs.values.tolist(), (pairs.residuals / pairs.values).tolist(), pairs.products]
    return rows


def measured(task: str, rounds: int) -> dict[str, Any]:
    entries = {name: Entry(partial(blocks, way, task), os.environ) for name, way in WAYS.items()}
    taken = interleaved(entries, rounds, "cpu")
    rows: dict[str, Any] = {"found": found_by(task)}
    for name, seconds in taken.items():
        ratios = [theirs / ours for theirs, ours in zip(taken["power"], seconds, strict=True)]
        rows[name] = {"seconds": seconds, "ratio": median(ratios), "min": min(ratios), "max": max(ratios)}
    return rows


def show(task: str, rows: dict[str, Any]) -> None:
    for name in WAYS:
        row = rows[name]
        ratio = f"{row['ratio']:6.2f} ({row['min']:.2f} to {row['max']:.2f})"
        print(f"{task:4} {name:10} {median(row['seconds']):7.3f} s  {ratio}  {rows['found'][name]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    report: dict[str, Any] = {"machine": machine("cpu", ("lab", "torch")), "rounds": rounds}
    for task in IMAGES:
        report[task] = measured(task, rounds)
        show(task, report[task])
    (RESULTS / "curvature-cpu.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
