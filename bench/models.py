"""How fast the lab trains cnn, resnet and transformer in four modes, each next to a bare loop of the same network.

  plain          images and weights laid out as (n, c, h, w), float32
  channels_last  as (n, h, w, c) in memory; what the lab does by itself with any network that convolves
  bf16           bfloat16 by autocast, laid out as (n, c, h, w)
  both           bfloat16 and channels_last

Fashion-MNIST, flip and crop, batches of 128, SGD with momentum, the models of the lab at their defaults. The bare loop
is the one of training.py in that mode: images in memory, whole batches augmented at once, fused SGD,
no loss read before the end. Every variant is a process of its own; rounds run A B C ... and then C B A. A ratio is the
lab's speed over the bare loop's of the same mode in the same round; "of plain" is the lab's over the bare plain loop's.

    python bench/models.py [--rounds 5] [--only resnet,transformer] [--modes plain,bf16] [--batches 10] [--device cuda]

Without --modes, bfloat16 is left out on a CPU that has no arithmetic for it: there it is emulated, eight times as slow
(cnn). A whole measurement is kept in bench/results/models-<device>.json; a part of it is only printed.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measure import UNTOUCHED, Clock, Entry, compared, interleaved, machine, save
from torch.nn import functional
from training import BATCH, Batches, Job, fused_sgd

import lab
from lab.doctor import computes_bfloat16

RESULTS = Path(__file__).parent / "results"
MODELS = {"cnn": 40, "resnet": 10, "transformer": 10}  # batches in a block
MODES = {"plain": (False, False), "channels_last": (True, False), "bf16": (False, True), "both": (True, True)}


@dataclass(frozen=True)
class Mode:
    """Memory layout and arithmetic; plain values, so that they can be sent to a process."""

    channels_last: bool
    bf16: bool

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format


def bare(job: Job, mode: Mode, clock: Clock) -> None:
    network = job.network(mode.memory_format)
    optimizer, batches = fused_sgd(network), Batches(job, mode.memory_format)
    autocast = torch.autocast(job.device, torch.bfloat16, enabled=mode.bf16)
    while True:
        clock()
        losses = []
        for images, labels in batches:
            with autocast:
                loss = functional.cross_entropy(network(images).float(), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        torch.stack(losses).mean().item()


def in_the_lab(job: Job, mode: Mode, clock: Clock) -> None:
    recipe = job.recipe.changed(precision="bfloat16" if mode.bf16 else "float32")
    session = lab.training(recipe, device=job.device)
    session.memory_format = mode.memory_format  # else it is channels_last wherever something convolves
    session.model.to(memory_format=mode.memory_format)
    for event in session:
        if isinstance(event, lab.Started | lab.Epoch):
            clock()


def measured(job: Job, modes: list[str], rounds: int) -> dict[str, Any]:
    """The lab's row of each mode against the bare loop of that mode, and both against the bare plain loop."""
    entries = {}
    for name in modes:
        channels_last, bf16 = MODES[name]
        mode = Mode(channels_last=channels_last, bf16=bf16)
        entries[f"bare {name}"] = Entry(partial(bare, job, mode), UNTOUCHED)
        entries[f"lab {name}"] = Entry(partial(in_the_lab, job, mode), os.environ)
    seconds = interleaved(entries, rounds, job.device)
    rows = {
        name: compared(name, taken, seconds[f"bare {modes[0]}"], job.images, job.steps)
        for name, taken in seconds.items()
    }
    for name in modes:
        own = compared(name, seconds[f"lab {name}"], seconds[f"bare {name}"], job.images, job.steps)
        numbers = f"{own.images_per_second:9,.0f} {own.ratio:7.2f} {own.lowest:6.2f} {own.highest:6.2f}"
        print(f"{job.task:12} {name:14} {numbers} {rows[f'lab {name}'].ratio:9.2f}", flush=True)
        rows[f"lab {name} against bare {name}"] = own
    return rows


def native_modes(device: str) -> list[str]:
    """Those that the machine has arithmetic for."""
    return [name for name, (_, bf16) in MODES.items() if device == "cuda" or not bf16 or computes_bfloat16()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(MODELS))
    parser.add_argument("--modes", help=f"among {', '.join(MODES)}; the first is what all are compared with")
    parser.add_argument("--batches", type=int, help=f"in a block (default: {MODELS})")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args()
    modes = given.modes.split(",") if given.modes else native_modes(given.device)
    facts = {
        "machine": machine(given.device, ("lab", "torch")),
        "settings": {"rounds": given.rounds, "batch_size": BATCH},
    }
    print(f"{'model':12} {'mode':14} {'images/s':>9} {'ratio':>7} {'min':>6} {'max':>6} {'of plain':>9}")
    tasks = {}
    for name, count in MODELS.items():
        if name in given.only.split(","):
            images = (given.batches or count) * BATCH
            job = Job(name, "fashion_mnist", {"name": name}, ["flip", "crop"], images, given.device)
            tasks[name] = measured(job, modes, given.rounds)
    if given.only == parser.get_default("only") and not (given.batches or given.modes):
        save(RESULTS / f"models-{given.device}.json", facts, tasks)


if __name__ == "__main__":
    main()
