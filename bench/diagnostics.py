"""What looking costs: the init doctor in forward-backward passes, the range test next to its bare steps.

doctor   `lab.examine` of recipes that are well and of one that is not (then up to two other choices are tried), over
         one forward and backward pass of the same network on the same 256 images. Making the network and finding the
         data, which every training does too, is measured by itself and taken off; "whole" leaves it in.
range    `lab.range_test` over a bare loop of as many updates of the same networks on batches of the same size: the
         lab's own preparation of a batch, loss, backward, optimizer step, no loss read. Making the networks is in both.

The two take turns, to and fro; a ratio is of the same round.

    python bench/diagnostics.py [--rounds 5] [--device cuda]

With the default rounds the numbers are kept in bench/results/diagnostics-<device>.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
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


def doctor(recipe: lab.Recipe, rounds: int, device: str) -> dict[str, Any]:
    session = lab.training(recipe, device=device)
    work, passes = a_pass(session), lab.examine(recipe, device=device).passes
    ways: dict[str, Callable[[], Any]] = {
        "pass": work,
        "examine": lambda: lab.examine(recipe, device=device),
        "making": lambda: lab.training(recipe, device=device),
    }
    taken = in_turns(ways, rounds, device)
    whole = [examine / one for examine, one in zip(taken["examine"], taken["pass"], strict=True)]
    trio = zip(taken["examine"], taken["making"], taken["pass"], strict=True)
    own = [(examine - making) / one for examine, making, one in trio]  # of the first network; others are tried too
    facts = {"in passes": median(own), "min": min(own), "max": max(own), "whole": median(whole), "looks": passes}
    return facts | {"ms per pass": 1e3 * median(taken["pass"])}


def bare_steps(recipe: lab.Recipe, counts: list[int], device: str) -> None:
    """As many updates as the range test made in each repeat, without anything that it looks at."""
    first = None
    for number, count in enumerate(counts):
        session = lab.Training(recipe.changed(seed=recipe.seed + number), device=device, like=first)
        first = first or session
        for group in session.optimizer.param_groups:
            group["lr"] = 1e-12  # so small that nothing runs away
        with enough_threads(session.device, session.flops_per_step):
            updates(session, count)


def updates(session: lab.Training, count: int) -> None:
    made = 0
    while made < count:
        order = torch.randperm(len(session.train_split))
        for images, labels in batches(session.train_split, order, session.recipe.batch_size, session.device):
            prepared, answers = session.prepare_batch(images, labels)
            with session.autocast:
                loss = functional.cross_entropy(session.model(prepared), answers)
            session.optimizer.zero_grad()
            loss.backward()
            session.optimizer.step()
            made += 1
            if made == count:
                return


def over_rates(recipe: lab.Recipe, rounds: int, device: str) -> dict[str, Any]:
    high = 0.5  # below what runs away: then every repeat makes all its steps, and the bare loop as many
    counts = [len(curve.rates) for curve in lab.range_test(recipe, high=high, device=device).curves]
    ways: dict[str, Callable[[], Any]] = {
        "range": lambda: lab.range_test(recipe, high=high, device=device),
        "bare": lambda: bare_steps(recipe, counts, device),
    }
    taken = in_turns(ways, rounds, device)
    ratios = [ours / theirs for ours, theirs in zip(taken["range"], taken["bare"], strict=True)]
    return {"ratio": median(ratios), "min": min(ratios), "max": max(ratios), "steps": sum(counts), "repeats": REPEATS}


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
