"""What a step of each optimizer of the lab takes, next to the plain torch call on the same parameters.

The parameters are those of the default cnn and of the default mlp, with gradients that do not change. The plain call is
`torch.optim.NAME(parameters, settings)` with the settings of the lab and torch's own choice of implementation; ours
has two groups (no decay on biases and norms), and fused or foreach where torch has them. For what torch does not
have the yardstick is torch's AdamW, marked so: it says what the step costs, not how well it is written. An optimizer
that needs a closure is left out.

Blocks of steps take turns within one process, to and fro; a ratio is time over the plain call's in the same round.

    python bench/optimizers.py [--rounds 15] [--steps 200] [--device cuda]

With the default rounds and steps the numbers are kept in bench/results/optimizers-<device>.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from statistics import median
from typing import Any

import torch
from measure import machine
from torch import nn

import lab
from lab.optimizers import joined, parameter_groups
from lab.steps import build_model

RESULTS = Path(__file__).parent / "results"
IMPLEMENTATION = ("fused", "foreach", "capturable", "differentiable")
NETWORKS: dict[str, dict[str, Any]] = {
    "cnn": {"name": "cnn"},
    "mlp": {"name": "mlp", "depth": 2, "width": 64},
}
Make = Callable[[nn.Module], torch.optim.Optimizer]


def network(model: dict[str, Any], device: str) -> nn.Module:
    """With gradients that do not change."""
    recipe = lab.Recipe(model=model)
    made = build_model(recipe, lab.load(recipe.data)).to(device)
    for parameter in made.parameters():
        parameter.grad = 0.01 * torch.randn_like(parameter)
    return made


def in_the_lab(name: str) -> Make:
    choice = lab.optimizers.parse(name)
    return lambda model: joined(lab.optimizers.build(choice, parameter_groups(model)))


def plain(name: str) -> tuple[str, Make]:
    """What torch's own class is called, and how it is made as a person would; AdamW for what torch does not have."""
    built = in_the_lab(name)(nn.Linear(2, 2))
    own = type(built) if type(built).__module__.startswith("torch.optim") else torch.optim.AdamW
    known = set(signature(own).parameters) - set(IMPLEMENTATION)
    settings = {key: value for key, value in built.defaults.items() if key in known} if own is type(built) else {}
    return own.__name__, lambda model: own(model.parameters(), **settings)


def needs_closure(name: str) -> bool:
    try:
        model = network(NETWORKS["mlp"], "cpu")
        in_the_lab(name)(model).step()
    except (TypeError, RuntimeError, AssertionError):
        return True
    return False


def block(optimizer: torch.optim.Optimizer, steps: int, device: str) -> float:
    """Seconds of so many steps."""
    start = time.perf_counter()
    for _ in range(steps):
        optimizer.step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def cell(name: str, model: dict[str, Any], given: argparse.Namespace) -> dict[str, Any]:
    twin, make = plain(name)
    contestants = [in_the_lab(name)(network(model, given.device)), make(network(model, given.device))]
    ratios, microseconds = [], []
    for turn in range(given.rounds + 1):
        order = (0, 1) if turn % 2 else (1, 0)
        seconds = {side: block(contestants[side], given.steps, given.device) for side in order}
        ratios.append(seconds[0] / seconds[1])
        microseconds.append(1e6 * seconds[0] / given.steps)
    ratios, microseconds = ratios[1:], microseconds[1:]  # the first round warms up
    facts = {"ratio": median(ratios), "min": min(ratios), "max": max(ratios), "us per step": median(microseconds)}
    own = "" if type(contestants[0]) is type(contestants[1]) else " (not the same)"
    return {"optimizer": name, "network": model["name"], "torch": twin + own, **facts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=200, help="in a block")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args()
    facts, rows = machine(given.device, ("lab", "torch")), []
    print(f"{'optimizer':22} {'network':8} {'torch':24} {'us/step':>8} {'ratio':>6} {'min':>6} {'max':>6}")
    for name in lab.optimizers:
        if needs_closure(name):
            print(f"{name:22} needs a closure and is left out")
            continue
        for model in NETWORKS.values():
            rows.append(row := cell(name, model, given))
            numbers = f"{row['us per step']:8.0f} {row['ratio']:6.2f} {row['min']:6.2f} {row['max']:6.2f}"
            print(f"{name:22} {row['network']:8} {row['torch']:24} {numbers}", flush=True)
    if all(getattr(given, key) == parser.get_default(key) for key in ("rounds", "steps")):
        report = {"machine": facts, "rounds": given.rounds, "steps": given.steps, "cells": rows}
        (RESULTS / f"optimizers-{given.device}.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
