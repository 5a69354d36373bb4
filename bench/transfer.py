"""Features computed once and kept, against the same frozen network run anew at every step.

  python bench/transfer.py [--rounds 3] [EPOCHS ...]    # 1 5 20 by default

Both train a last layer on EfficientNet-Lite0's random features of the digits (weights do not matter for time),
validation included, in turn. Prints the ratio of the seconds, live over kept, the median of the rounds; at best it is
the number of epochs, and the goal 0.9 of it. The measurement is kept in bench/results/transfer-cpu.json.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from measure import machine

from lab import Recipe, Training, features

RESULTS = Path(__file__).parent / "results" / "transfer-cpu.json"
RECIPE = Recipe(model={"name": "efficientnet_lite0", "pixels": 32}, transfer="features")
GOAL = 0.9  # of the epochs


def seconds(recipe: Recipe, *, kept: bool) -> float:
    """Of a whole run, its network built before."""
    session = Training(recipe, device="cpu")
    with patch.object(features, "keeps_features", (lambda _: kept)):
        start = time.perf_counter()
        list(session)
    assert (session.features is not None) == kept
    return time.perf_counter() - start


def measured(recipe: Recipe, rounds: int) -> dict[str, Any]:
    """Seconds of both in each round, and their ratios."""
    pairs = [(seconds(recipe, kept=False), seconds(recipe, kept=True)) for _ in range(rounds)]
    ratios = [live / kept for live, kept in pairs]
    return {"live": [live for live, _ in pairs], "kept": [kept for _, kept in pairs], "ratio": median(ratios)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("epochs", nargs="*", type=int, default=[1, 5, 20])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    few = RECIPE.changed(modify=[{"name": "subset", "per_class": 20}])
    seconds(few.changed(epochs=1), kept=True)  # warms up
    found = {str(epochs): measured(few.changed(epochs=epochs), given.rounds) for epochs in given.epochs}
    for epochs, times in found.items():
        print(f"{epochs} epochs: {times['ratio']:.1f} times faster with kept features (goal {GOAL * int(epochs):.3g})")
    report = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}  # transfer_time.py has its own
    report |= {"machine": machine("cpu", ("torch",)), "epochs": found}
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
