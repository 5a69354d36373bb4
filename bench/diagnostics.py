"""What looking costs: the init doctor in forward-backward passes, the range test next to its bare steps.

doctor   `lab.examine` of recipes that are well and of one that is not (then up to two other choices are tried), over
         one forward and backward pass of the same network on the same 256 images, for each network that was looked
         at. Making the networks and finding the data, which every training does too, is measured by itself and taken
         off; "whole" is the sum of all looks and leaves it in.
range    `lab.range_test` over its steps: as many steps of `lab.training` of the same networks, without anything around
         them. "bare" is over a bare loop of such updates at the same rates: the lab's own preparation of a batch, loss,
         backward, optimizer step, nothing kept, no loss read. Making the networks is in all of them.

The two take turns, to and fro; a ratio is of the same round.

    python bench/diagnostics.py [--rounds 5] [--device cuda]

With the default rounds the numbers are kept in bench/results/diagnostics-<device>.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from measure import machine
from torch.nn import functional

import lab
from lab.data.batches import batches
from lab.diagnostics.range_test import REPEATS
from lab.steps import enough_threads

RESULTS = Path(__file__).parent / "results"
IMAGES = 256
RECIPES: dict[str, dict[str, Any]] = {
    "mlp": {},
    "deep sigmoid mlp": {"activation": "sigmoid", "init": "xavier_normal", "model.depth": 6},
    "wide mlp": {"model.width": 1024, "model.depth": 6},
    "cnn": {"model": "cnn", "model.width": 64},
    "resnet": {"model": "resnet", "model.width": 8},
}


def seconds_of(work: Callable[[], Any], device: str) -> float:
    start = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def a_pass(session: lab.Training) -> Callable[[], None]:
    """One forward and backward pass over the images that the doctor looks at."""
    order = session.permutation()[:IMAGES]
    images, answers = next(batches(session.train_split, order, IMAGES, session.device))
    prepared = session.prepare(images)

    def work() -> None:
        with enough_threads(session.device, session.flops_per_step), session.autocast:
            functional.cross_entropy(session.model(prepared), answers).backward()
        session.optimizer.zero_grad()

    return work


def made(recipe: lab.Recipe, networks: int, device: str) -> None:
    """The first network with its data, and those that are tried beside it."""
    first = lab.training(recipe, device=device)
    for _ in range(networks - 1):
        lab.Training(recipe, device=device, like=first)


def doctor(recipe: lab.Recipe, rounds: int, device: str) -> dict[str, Any]:
    session = lab.training(recipe, device=device)
    work, passes = a_pass(session), lab.examine(recipe, device=device).passes
    ways: dict[str, Callable[[], Any]] = {
        "pass": work,
        "examine": lambda: lab.examine(recipe, device=device),
        "making": lambda: made(recipe, passes, device),
    }
    taken = in_turns(ways, rounds, device)
    whole = [examine / one for examine, one in zip(taken["examine"], taken["pass"], strict=True)]
    trio = zip(taken["examine"], taken["making"], taken["pass"], strict=True)
    own = [(examine - making) / one / passes for examine, making, one in trio]
    facts = {"passes a look": median(own), "min": min(own), "max": max(own), "looks": passes, "whole": median(whole)}
    return facts | {"ms per pass": 1e3 * median(taken["pass"])}


Rates = list[list[float]]  # of each repeat
Batch = tuple[torch.Tensor, torch.Tensor]


def walked(recipe: lab.Recipe, rates: Rates, device: str, step: Callable[[lab.Training, Batch, float], None]) -> None:
    """A step for each rate of each repeat, as the range test makes them."""
    first = None
    for number, series in enumerate(rates):
        session = lab.Training(recipe.changed(seed=recipe.seed + number), device=device, like=first)
        first = first or session
        with enough_threads(session.device, session.flops_per_step):
            for batch, rate in zip(endless(session), series, strict=False):
                step(session, batch, rate)


def endless(session: lab.Training) -> Iterator[Batch]:
    while True:
        order = torch.randperm(len(session.train_split))
        yield from batches(session.train_split, order, session.recipe.batch_size, session.device)


def a_bare_step(session: lab.Training, batch: Batch, rate: float) -> None:
    for group in session.optimizer.param_groups:
        group["lr"] = rate
    prepared, answers = session.prepare_batch(*batch)
    with session.autocast:
        loss = functional.cross_entropy(session.model(prepared), answers)
    session.optimizer.zero_grad()
    loss.backward()
    session.optimizer.step()


def a_step_of_the_lab(session: lab.Training, batch: Batch, _rate: float) -> None:
    session._step(*batch)  # what is measured is what is done around it


def over_rates(recipe: lab.Recipe, rounds: int, device: str) -> dict[str, Any]:
    high = 0.5  # below what runs away: then every repeat makes all its steps
    rates = [curve.rates.tolist() for curve in lab.range_test(recipe, high=high, device=device).curves]
    ways: dict[str, Callable[[], Any]] = {
        "range": lambda: lab.range_test(recipe, high=high, device=device),
        "steps": lambda: walked(recipe, rates, device, a_step_of_the_lab),
        "bare": lambda: walked(recipe, rates, device, a_bare_step),
    }
    taken = in_turns(ways, rounds, device)
    steps, bare = ([a / b for a, b in zip(taken["range"], taken[way], strict=True)] for way in ("steps", "bare"))
    counted = {"steps": sum(map(len, rates)), "repeats": REPEATS}
    return {"ratio": median(steps), "min": min(steps), "max": max(steps), "bare": median(bare), **counted}


def in_turns(ways: dict[str, Callable[[], Any]], rounds: int, device: str) -> dict[str, list[float]]:
    """Seconds of each way in each round, after one round to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            taken[name].append(seconds_of(ways[name], device))
    return {name: seconds[1:] for name, seconds in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args()
    report: dict[str, Any] = {"machine": machine(given.device, ("lab", "torch")), "rounds": given.rounds}
    report |= {"doctor": {}, "range": {}}
    for name, changes in RECIPES.items():
        recipe = lab.Recipe().changed(**changes)
        report["doctor"][name] = found = doctor(recipe, given.rounds, given.device)
        print(f"doctor  {name:18}", words(found), flush=True)
        report["range"][name] = found = over_rates(recipe, given.rounds, given.device)
        print(f"range   {name:18}", words(found), flush=True)
    if given.rounds == parser.get_default("rounds"):
        (RESULTS / f"diagnostics-{given.device}.json").write_text(json.dumps(report, indent=1) + "\n")


def words(found: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in found.items())


if __name__ == "__main__":
    main()
