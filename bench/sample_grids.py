"""The grids of augmented samples: how long the panel's worker takes from a moved slider to the pictures.

Of 64 tiles beside the raw ones, at 8 to 96 pixels: the answer to a question in which one strength has changed, as while
a slider moves (the raw side is kept from the answer before), and to one in which all is new (re-roll). Images are
random, which packs worse than real ones. Median and extremes over the rounds.

    python bench/sample_grids.py [--rounds 30]

With the default rounds the numbers are kept in bench/results/sample_grids.json.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import count
from pathlib import Path
from statistics import median

import torch
from measure import machine

import lab
from lab.data.splits import Dataset, divide
from lab.panel.sides import Painter, Question, Side

RESULTS = Path(__file__).parent / "results"
SIZES = ((1, 8), (1, 28), (3, 32), (3, 64), (3, 96))
TILES, WIDTH = 64, 480


@lab.datasets.add
def noise(*, channels: int = 1, size: int = 28) -> Dataset:
    """Random pixels. Source: this file."""
    images = torch.randint(0, 256, (1000, channels, size, size), dtype=torch.uint8)
    return divide(images, torch.arange(1000) % 10, tuple(f"class {number}" for number in range(10)))


def question(channels: int, size: int, p: float, seed: int = 0) -> Question:
    flip, crop = lab.augmentations.parse({"name": "flip", "p": p}), lab.augmentations.parse("crop")
    data = lab.datasets.parse({"name": "noise", "channels": channels, "size": size}), ()
    return Question(data, (Side("controls", (flip, crop)),), seed, TILES, None, (False, 0), dark=False, width=WIDTH)


def milliseconds(channels: int, size: int, rounds: int) -> dict[str, list[float]]:
    painter, seeds = Painter(), count(1)
    taken: dict[str, list[float]] = {"slider": [], "re-roll": []}
    painter.answer(question(channels, size, 0.5))
    for number in range(rounds):
        seed = next(seeds)
        asked = {
            "re-roll": question(channels, size, 0.5, seed),
            "slider": question(channels, size, number / rounds / 2, seed),
        }
        for name, one in asked.items():
            start = time.perf_counter()
            painter.answer(one)
            taken[name].append(1000 * (time.perf_counter() - start))
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    facts = machine("cpu", ("torch", "pillow", "numpy"))
    report = {"machine": facts, "rounds": given.rounds, "tiles": TILES, "milliseconds": {}}
    for channels, size in SIZES:
        found = {
            name: (median(all_), min(all_), max(all_))
            for name, all_ in milliseconds(channels, size, given.rounds).items()
        }
        report["milliseconds"][f"{size}x{size}x{channels}"] = found
        words = ", ".join(
            f"{name} {middle:.0f} ms ({low:.0f} to {high:.0f})" for name, (middle, low, high) in found.items()
        )
        print(f"{size}x{size}x{channels}  {words}", flush=True)
    if given.rounds == parser.get_default("rounds"):
        (RESULTS / "sample_grids.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
