"""What following runs by their landscapes takes: the time of training with and without, and until the first picture.

Digits, the default recipe for so many epochs that it takes seconds; mlp and cnn. Both variants train in turn in one
process, in rounds that run A B and then B A; a ratio is of wall times in one round, of all that the loop does between
its first event and its last. "taken" is what the engine itself says that it took; "first picture" is the time from the
first event to the first surface, by 25 exact points on as many images as are enough, which are counted first. No number
of a run changes: a test holds that.

    python bench/landscape_live.py [--rounds 5] [--share 0.05] [--epochs 200]

It is kept in bench/results/landscape_live-cpu.json.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from measure import machine

import lab
from lab.landscape import Live
from lab.training import Training

RESULT = Path(__file__).parent / "results" / "landscape_live-cpu.json"
NETWORKS = {"mlp": 1.0, "cnn": 0.5}  # and which part of the epochs it trains


def plain(recipe: lab.Recipe) -> float:
    session = Training(recipe, device="cpu")
    began = time.perf_counter()
    for _ in session:
        pass
    return time.perf_counter() - began


def followed(recipe: lab.Recipe, share: float) -> tuple[float, float, float | None]:
    """Seconds in all; the share that the engine says it took; seconds until the first picture, if there was one."""
    session, live, first, seen, aside = Training(recipe, device="cpu"), Live(share=share), None, -1, 0.0
    began = time.perf_counter()
    for event in session:
        live.hear(1, session, event)
        if first is None and live.version != seen:
            asked, seen = time.perf_counter(), live.version
            first = asked - began - aside if any(each.surface for each in live.portraits()) else None
            aside += time.perf_counter() - asked  # the bench's own looking, which is none of the engine's
    return time.perf_counter() - began - aside, live.budget.cost.taken or 0.0, first


def measure(recipe: lab.Recipe, rounds: int, share: float) -> dict[str, Any]:
    """Of each round: the ratio, the share that was taken, seconds until the first picture, seconds alone."""
    followed(recipe.changed(epochs=5), share)
    rows = []
    for number in range(rounds):
        if number % 2:
            (on, taken, first), off = followed(recipe, share), plain(recipe)
        else:
            off, (on, taken, first) = plain(recipe), followed(recipe, share)
        rows.append((on / off, taken, first, off))
    ratios, shares, firsts, alone = zip(*rows, strict=True)
    print(f"{recipe.model}: {median(alone):.2f} s alone")
    print(f"  with / without  {median(ratios):.3f}  ({min(ratios):.3f} to {max(ratios):.3f}), allowed {1 + share:.3f}")
    print(f"  taken           {median(shares):.2%}  ({min(shares):.2%} to {max(shares):.2%})")
    known = [each for each in firsts if each is not None]
    span = f"{median(known):.2f} s  ({min(known):.2f} to {max(known):.2f}), " if known else ""
    print(f"  first picture   {span}in {len(known)} of {rounds}")
    return {"with / without": ratios, "taken": shares, "first picture": firsts, "seconds alone": alone}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--epochs", type=int, default=200)
    given = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, share {given.share:.0%}")
    report: dict[str, Any] = {"machine": machine("cpu", ("lab", "torch")), "share": given.share}
    for name, part in NETWORKS.items():
        recipe = lab.Recipe(model=name, epochs=round(given.epochs * part))
        report[name] = {"epochs": recipe.epochs, **measure(recipe, given.rounds, given.share)}
    RESULT.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
