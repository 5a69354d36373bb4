"""How fast the lab draws loss landscapes, next to the classic way and to loss-landscapes from PyPI.

Fashion-MNIST, 2,048 validation images, float32, one filter-normalised random plane from -1 to 1, three networks after
an epoch on 2,000 images:

  mlp      784-128-64-10
  cnn      convolution 1-16, relu, pool, convolution 16-32, relu, pool, linear: 20,490 weights
  cnn_bn   the same with batch normalisation behind each convolution, stored statistics

  classic            sets the weights of a point, then loops over a DataLoader in batches of 128: the pattern of
                     Li et al.'s own code, of which most tools are descendants
  loss_landscapes    its `planar_interpolation`, with its `Loss` over all images at once, as its documentation shows
  lab                every point of the grid, exactly
  lab 13, lab 9      13 x 13 or 9 x 9 exact points and a spline through them, shown on the grid; the 24 held-out points
                     by which its error is known are paid for

The peers' time is the same at each point, so that they are timed on a part of the grid and scaled to all of it; the lab
draws the whole, with what it does before the first point. Every variant is a process of its own, which has an
evaluation as warm-up; rounds run A B C ... and then C B A. A ratio is of times in one round. "off" is the largest
relative difference from the classic loop in float64 at its points. Splines are held against every point of the grid,
but for 51 x 51 of the convolutional networks, which would take minutes once more: there they say themselves what they
are off by.

    pip install loss-landscapes
    python bench/landscape.py [--rounds 5] [--only mlp,cnn] [--sizes 25,51]

bench/results/landscape-cpu.json is kept: rounds of a further call are added to those that it has of the same networks
and sizes, with --rounds 0 none. Remove it to begin anew.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from copy import deepcopy
from functools import cache, partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from measure import UNTOUCHED, Clock, Entry, interleaved, machine
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import lab
from lab.landscape import Evaluator, Grid, Plane, Samples, quick_surface, random_plane, samples_of, surface, trained

RESULTS = Path(__file__).parent / "results"
IMAGES, BATCH = 2048, 128
PART = {"mlp": 6, "cnn": 3, "cnn_bn": 3}  # a side of the part of the grid that peers are timed on
CHECKED = {"mlp": (25, 51), "cnn": (25,), "cnn_bn": (25,)}  # sizes at which a spline is held against every point
NETWORKS: dict[str, dict[str, Any]] = {
    "mlp": {"name": "medium_mlp"},
    "cnn": {"name": "plain_cnn"},
    "cnn_bn": {"name": "plain_cnn", "normed": True},
}


@lab.models.add
def medium_mlp(shape: tuple[int, int, int], classes: int, activation: Callable[[], nn.Module]) -> nn.Module:
    """Two hidden layers of 128 and 64 units."""
    layers = [nn.Linear(shape[0] * shape[1] * shape[2], 128), activation(), nn.Linear(128, 64), activation()]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(64, classes))


@lab.models.add
def plain_cnn(
    shape: tuple[int, int, int], classes: int, activation: Callable[[], nn.Module], *, normed: bool = False
) -> nn.Module:
    """Two convolutions in the order in which they are usually written: the pool comes last."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((shape[0], 16), (16, 32)):
        norm = [nn.BatchNorm2d(outputs)] if normed else []
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), *norm, activation(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * (shape[1] // 4) * (shape[2] // 4), classes))


@cache
def prepared(task: str) -> tuple[nn.Module, Plane, Samples]:
    """The network after an epoch, its plane, and the images."""
    few = {"name": "subset", "per_class": 200}
    recipe = lab.Recipe(data="fashion_mnist", modify=few, model=NETWORKS[task], optimizer="adam", epochs=1)
    session = lab.training(recipe, device="cpu")
    for _ in session:
        pass
    plane = random_plane(trained(session.model), seed=0)
    return session.model.eval(), plane, samples_of(session, count=IMAGES)


def part_of(task: str) -> list[tuple[float, float]]:
    """Points at which peers are timed: a small grid over the whole plane."""
    steps = np.linspace(-1, 1, PART[task]).tolist()
    return list(product(steps, steps))


def set_weights(network: nn.Module, plane: Plane, place: tuple[float, float]) -> None:
    (a, b), (first, second) = place, plane.directions
    for name, parameter in network.named_parameters():
        parameter.data = plane.centre[name] + a * first[name] + b * second[name]


def loader_of(samples: Samples, dtype: torch.dtype) -> DataLoader[Any]:
    images = samples.batch(slice(None), dtype).contiguous()
    return DataLoader(TensorDataset(images, samples.labels), batch_size=BATCH)


@torch.no_grad()
def loss_and_hits(network: nn.Module, loader: DataLoader[Any]) -> float:
    loss, right, count = 0.0, 0, 0
    for images, labels in loader:
        logits = network(images)
        loss += functional.cross_entropy(logits, labels).item() * len(labels)
        right += logits.argmax(1).eq(labels).sum().item()
        count += len(labels)
    return loss / count


def classic_losses(task: str, dtype: torch.dtype = torch.float32) -> list[float]:
    model, plane, samples = prepared(task)
    network, loader = deepcopy(model).to(dtype), loader_of(samples, dtype)
    losses = []
    for place in part_of(task):
        set_weights(network, plane, place)
        losses.append(loss_and_hits(network.to(dtype, memory_format=torch.contiguous_format), loader))
    return losses


def classic(task: str, clock: Clock) -> None:
    classic_losses(task)
    while True:
        clock()
        classic_losses(task)


def corner(task: str, a: float, b: float) -> nn.Module:
    model, plane, _ = prepared(task)
    network = deepcopy(model).to(memory_format=torch.contiguous_format)
    set_weights(network, plane, (a, b))
    return network


def interpolated(task: str) -> np.ndarray:
    import loss_landscapes
    from loss_landscapes.metrics import Loss

    samples = prepared(task)[2]
    metric = Loss(functional.cross_entropy, samples.batch(slice(None), torch.float32).contiguous(), samples.labels)
    start, first, second = corner(task, -1, -1), corner(task, 1, -1), corner(task, -1, 1)
    return loss_landscapes.planar_interpolation(start, first, second, metric, steps=PART[task])


def loss_landscapes(task: str, clock: Clock) -> None:
    interpolated(task)
    while True:
        clock()
        interpolated(task)


def evaluator_of(task: str) -> Evaluator:
    return Evaluator(*prepared(task))


def exact(task: str, size: int, clock: Clock) -> None:
    clock()  # the first block only warms up, and the whole takes minutes
    evaluator_of(task).values(part_of(task))
    while True:
        clock()
        surface(evaluator_of(task), Grid(size))


def interpolating(task: str, points: int, size: int, clock: Clock) -> None:
    clock()
    evaluator_of(task).values(part_of(task))
    while True:
        clock()
        quick_surface(evaluator_of(task), Grid(points), size)


def largest_difference(task: str) -> dict[str, float]:
    """From the classic loop in float64, of each variant; loss_landscapes steps half a row aside in every other one."""
    reference = np.array(classic_losses(task, torch.float64))
    found = {"classic": classic_losses(task), "lab": evaluator_of(task).values(part_of(task)).loss}
    off = {name: float(np.abs(np.array(losses) / reference - 1).max()) for name, losses in found.items()}
    if find_spec("loss_landscapes"):
        places = [
            (2 * i / PART[task] - 1, 2 * (j + (i + 1) % 2) / PART[task] - 1)
            for i, j in product(range(PART[task]), repeat=2)
        ]
        losses = Evaluator(*prepared(task), dtype=torch.float64).values(places).loss
        off["loss_landscapes"] = float(np.abs(interpolated(task).ravel() / losses - 1).max())
    return off


def measured(task: str, size: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round, for the whole grid."""
    ways: dict[str, Callable[[Clock], None]] = {"classic": partial(classic, task)}
    if find_spec("loss_landscapes"):
        ways["loss_landscapes"] = partial(loss_landscapes, task)
    ways["lab"] = partial(exact, task, size)
    ways |= {f"lab {points}": partial(interpolating, task, points, size) for points in (13, 9)}
    environments = {name: os.environ if name.startswith("lab") else {**UNTOUCHED, **THREADS} for name in ways}
    taken = interleaved({name: Entry(way, environments[name]) for name, way in ways.items()}, rounds, "cpu")
    for peer in {"classic", "loss_landscapes"} & set(taken):
        taken[peer] = [seconds * size**2 / PART[task] ** 2 for seconds in taken[peer]]
    return taken


THREADS = {"GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "1000")}  # as the lab sets it for itself


def against(taken: dict[str, list[float]], name: str) -> dict[str, Any]:
    """Seconds for the whole grid, and how many times as long the peers take: median and extremes of the rounds."""
    row: dict[str, Any] = {"seconds": taken[name]}
    for peer in {"classic", "loss_landscapes"} & set(taken):
        ratios = [theirs / ours for theirs, ours in zip(taken[peer], taken[name], strict=True)]
        row[peer] = {"ratio": median(ratios), "min": min(ratios), "max": max(ratios)}
        row[peer]["of best"] = min(taken[peer]) / min(taken[name])
    return row


def spline_errors(task: str, size: int) -> dict[str, Any]:
    """What each spline says it is off by, and what it is off by at all points of the grid where those are known."""
    evaluator = evaluator_of(task)
    true, errors = surface(evaluator, Grid(size)).loss if size in CHECKED[task] else None, {}
    for points in (13, 9):
        quick = quick_surface(evaluator, Grid(points), size)
        assert quick.spline
        errors[f"lab {points}"] = {"said": vars(quick.spline.error)}
        if true is not None:
            errors[f"lab {points}"]["true"] = np.quantile(np.abs(quick.loss / true - 1), [0.5, 0.95, 1]).tolist()
    return errors


def add_rounds(report: dict[str, Any], task: str, size: int, rounds: int) -> None:
    """To those that are known of this network and size."""
    if task not in report:
        report[task] = {"off": largest_difference(task)}
    known = report[task].setdefault(str(size), {"ways": {}})
    taken = measured(task, size, rounds) if rounds else {}
    for name, row in known["ways"].items():
        taken[name] = row["seconds"] + taken.get(name, [])
    known["ways"] = {name: against(taken, name) for name in taken}


def show(task: str, size: int, rows: dict[str, Any]) -> None:
    for name, row in rows.items():
        ratios = [row[peer] for peer in ("classic", "loss_landscapes") if peer in row]
        peers = " ".join(
            f"{r['ratio']:7.2f} ({r['min']:.1f} to {r['max']:.1f}, best {r['of best']:.1f})" for r in ratios
        )
        print(f"{task:7} {size:3} {name:16} {median(row['seconds']):8.2f} s  {peers}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(NETWORKS))
    parser.add_argument("--sizes", default="25,51")
    given = parser.parse_args()
    file = RESULTS / "landscape-cpu.json"
    report: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    report["machine"] = machine("cpu", ("lab", "torch", "loss-landscapes"))
    for task, size in product(given.only.split(","), map(int, given.sizes.split(","))):
        add_rounds(report, task, size, given.rounds)
        show(task, size, report[task][str(size)]["ways"])
        keep(file, report)  # what follows takes long too
        report[task][str(size)].setdefault("errors", {}).update(spline_errors(task, size))
        print(report[task]["off"], report[task][str(size)]["errors"], flush=True)
        keep(file, report)


def keep(file: Path, report: dict[str, Any]) -> None:
    file.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
