"""Images a second of the lab's augmentations against torchvision v2, Kornia and Albumentations.

Everyone starts from the same uint8 images in memory, in the layout it likes best, and delivers a float32 batch
(n, c, h, w) from 0 to 1, ready for the network; every sample has its own draw:

  torchvision            its transforms (v2) on one uint8 image after the other, stacked, then made floats
  Kornia                 on the float batch (its flip, its policies and some others draw less than once a sample)
  Albumentations         on one uint8 array (h, w, c) after the other, stacked, then made floats (OpenCV inside)
  torchvision, one draw  on the whole uint8 batch: not the same thing, as all samples get one draw; it is no peer

A peer that is not installed is left out, and so is what it does not offer. The settings are alike, not identical: an
erased area is drawn in other ways, and each RandAugment has its own list. Ways take turns within one process, to and
fro; a ratio is the lab's speed over the peer's in the same round, and the median of the rounds is kept.

    pip install kornia albumentations
    python bench/augmentations.py [--rounds 15] [--only flip,crop] [--sizes 28,32]

A whole measurement is kept in bench/results/augmentations-cpu.json.
"""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # for everyone; read when torch is loaded

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from measure import machine
from torch import Tensor

import lab
from lab.augmentations import augmented

RESULTS = Path(__file__).parent / "results"
SHAPES = {28: (128, 1), 32: (128, 3), 96: (64, 3), 224: (32, 3)}  # pixels a side: images in a batch, channels
OPERATIONS = ("flip", "crop", "affine", "colour", "erase", "mixup", "cutmix", "rand_augment", "chain")
PEERS = {"torchvision": "torchvision", "Kornia": "kornia", "Albumentations": "albumentations"}
ONE_DRAW = "torchvision, one draw"
CLASSES = 10
SECONDS = 0.1  # of a block, at least
Batch = tuple[np.ndarray, Tensor, Tensor]  # uint8 (n, h, w, c), uint8 (n, c, h, w), labels (n,)
Way = Callable[[Batch], Any]


def batch_of(size: int) -> Batch:
    count, channels = SHAPES[size]
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, channels, size, size), generator=generator, dtype=torch.uint8)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    return np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy()), images, labels


def floats(images: Tensor) -> Tensor:
    return images.to(torch.float32).div_(255)


def recipe_of(operation: str, channels: int) -> list[str | dict[str, Any]]:
    """What a recipe of the lab says."""
    affine = [{"name": "rotation", "degrees": 15}, {"name": "translation", "amount": 0.1}]
    affine += [{"name": "scale", "amount": 0.1}, {"name": "shear", "degrees": 10}]
    colour = [{"name": name, "strength": 0.2} for name in ("brightness", "contrast", "saturation")]
    colour = [*colour, {"name": "hue", "strength": 0.05}] if channels == 3 else colour[:2]
    lists = {"affine": affine, "colour": colour, "erase": ["random_erasing"]}
    return {**lists, "chain": [*affine, *colour, "random_erasing"]}.get(operation, [operation])


def in_the_lab(operation: str, channels: int) -> Way:
    choices = [lab.augmentations.parse(option) for option in recipe_of(operation, channels)]
    generator = torch.Generator().manual_seed(0)

    def way(batch: Batch) -> Any:
        return augmented(choices, batch[1], batch[2], CLASSES, generator, dtype=torch.float32)

    return way


def torchvision_transform(operation: str, size: int, channels: int) -> Any:
    from torchvision.transforms import v2

    bilinear = v2.InterpolationMode.BILINEAR
    affine = v2.RandomAffine(15, (0.1, 0.1), (0.9, 1.1), 10, interpolation=bilinear)
    colour = v2.ColorJitter(0.2, 0.2, *((0.2, 0.05) if channels == 3 else ()))
    return {
        "flip": v2.RandomHorizontalFlip(),
        "crop": v2.RandomCrop(size, padding=4),
        "affine": affine,
        "colour": colour,
        "erase": v2.RandomErasing(),
        "rand_augment": v2.RandAugment(interpolation=bilinear),
        "chain": v2.Compose([affine, colour, v2.RandomErasing()]),
        "mixup": v2.MixUp(num_classes=CLASSES),
        "cutmix": v2.CutMix(num_classes=CLASSES),
    }[operation]


def by_torchvision(operation: str, size: int, channels: int) -> Way | None:
    transform = torchvision_transform(operation, size, channels)
    if operation in {"mixup", "cutmix"}:
        return None  # mixes whole batches with one share
    return lambda batch: floats(torch.stack([transform(image) for image in batch[1]]))


def by_torchvision_at_once(operation: str, size: int, channels: int) -> Way:
    transform = torchvision_transform(operation, size, channels)
    if operation in {"mixup", "cutmix"}:
        return lambda batch: transform(floats(batch[1]), batch[2])
    return lambda batch: floats(transform(batch[1]))


def by_kornia(operation: str, size: int, channels: int) -> Way | None:
    import kornia.augmentation as k

    if operation == "rand_augment" and channels == 1:
        return None  # theirs wants colours

    affine = partial(k.RandomAffine, 15, (0.1, 0.1), (0.9, 1.1), 10, p=1.0)
    colour = partial(k.ColorJiggle, 0.2, 0.2, *((0.2, 0.05) if channels == 3 else ()), p=1.0)
    makers = {
        "flip": k.RandomHorizontalFlip,
        "crop": partial(k.RandomCrop, (size, size), padding=4),
        "affine": affine,
        "colour": colour,
        "erase": k.RandomErasing,
        "rand_augment": lambda: k.AugmentationSequential(k.auto.RandAugment(2, 9)),
        "chain": lambda: k.AugmentationSequential(affine(), colour(), k.RandomErasing()),
        "mixup": partial(k.RandomMixUpV2, p=1.0, data_keys=["input", "class"]),
        "cutmix": partial(k.RandomCutMixV2, p=1.0, data_keys=["input", "class"]),
    }
    transform = makers[operation]()
    if operation in {"mixup", "cutmix"}:
        return lambda batch: transform(floats(batch[1]), batch[2])
    return lambda batch: transform(floats(batch[1]))


def by_albumentations(operation: str, size: int, channels: int) -> Way | None:
    import albumentations as a

    affine = a.Affine(scale=(0.9, 1.1), translate_percent=(-0.1, 0.1), rotate=(-15, 15), shear={"x": (-10, 10)}, p=1)
    colour = a.ColorJitter((0.8, 1.2), (0.8, 1.2), (0.8, 1.2), (-0.05, 0.05), p=1)
    if channels == 1:
        colour = a.RandomBrightnessContrast(p=1)
    erase = a.Erasing(p=0.5)
    crop = a.Compose([a.Pad(4), a.RandomCrop(size, size)])
    known = {"flip": a.HorizontalFlip(), "crop": crop, "affine": affine, "colour": colour, "erase": erase}
    transform = {**known, "chain": a.Compose([affine, colour, erase])}.get(operation)
    if transform is None:
        return None

    def way(batch: Batch) -> Tensor:
        images = np.stack([transform(image=image)["image"] for image in batch[0]])
        return floats(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous())

    return way


WAYS = {"torchvision": by_torchvision, "Kornia": by_kornia, "Albumentations": by_albumentations}


def ways_of(operation: str, size: int, peers: list[str]) -> dict[str, Way]:
    channels = SHAPES[size][1]
    made = {peer: WAYS[peer](operation, size, channels) for peer in peers}
    found = {name: way for name, way in made.items() if way is not None}
    return {
        "lab": in_the_lab(operation, channels),
        **found,
        ONE_DRAW: by_torchvision_at_once(operation, size, channels),
    }


def repeats(way: Way, batch: Batch) -> int:
    """How many batches make a block; the first ones warm up."""
    for _ in range(3):
        start = time.perf_counter()
        check(way(batch), batch)
        seconds = time.perf_counter() - start
    return max(1, round(SECONDS / seconds))


def check(result: Any, batch: Batch) -> None:
    """A way that delivers something else is no measurement."""
    images = result[0] if isinstance(result, tuple | list) else result
    assert images.shape == batch[1].shape, (images.shape, batch[1].shape)
    assert images.dtype == torch.float32, images.dtype


def block(way: Way, batch: Batch, count: int) -> float:
    """Images a second."""
    start = time.perf_counter()
    for _ in range(count):
        way(batch)
    return count * len(batch[1]) / (time.perf_counter() - start)


def cell(operation: str, size: int, peers: list[str], rounds: int) -> dict[str, dict[str, float]]:
    """Of each way its images a second, and how many times as fast the lab is."""
    batch, ways = batch_of(size), ways_of(operation, size, peers)
    counts = {name: repeats(way, batch) for name, way in ways.items()}
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in list(ways)[:: -1 if turn % 2 else 1]:
            speeds[name].append(block(ways[name], batch, counts[name]))
    return {name: row(speeds["lab"], theirs) for name, theirs in speeds.items()}


def row(ours: list[float], theirs: list[float]) -> dict[str, float]:
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return {
        "images per second": median(theirs),
        "ratio": median(ratios),
        "min": min(ratios),
        "max": max(ratios),
        "of best": max(ours) / max(theirs),
    }


def lines(title: str, rows: dict[str, dict[str, float]]) -> Iterator[str]:
    for name, facts in rows.items():
        ratios = f"{facts['ratio']:8.2f} {facts['min']:6.2f} {facts['max']:6.2f} {facts['of best']:8.2f}"
        yield f"{title:26} {name:22} {facts['images per second']:10,.0f} {ratios}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default=",".join(OPERATIONS))
    parser.add_argument("--sizes", default=",".join(map(str, SHAPES)))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    peers = [name for name, package in PEERS.items() if find_spec(package)]
    for name in set(PEERS) - set(peers):
        print(f"{name} is not installed and left out: pip install {PEERS[name]}", file=sys.stderr)
    facts, cells = machine("cpu", ("lab", "torch", *PEERS.values())), []
    print(f"{'':26} {'':22} {'images/s':>10} {'lab is':>8} {'min':>6} {'max':>6} {'of best':>8}")
    for size in map(int, given.sizes.split(",")):
        for operation in given.only.split(","):
            rows = cell(operation, size, peers, given.rounds)
            cells.append({"size": size, "channels": SHAPES[size][1], "operation": operation, "ways": rows})
            print("\n".join(lines(f"{operation} {size}x{size}x{SHAPES[size][1]}", rows)), flush=True)
    if all(getattr(given, key) == parser.get_default(key) for key in ("rounds", "only", "sizes")):
        report = {"machine": facts, "rounds": given.rounds, "batches": {size: n for size, (n, _) in SHAPES.items()}}
        (RESULTS / "augmentations-cpu.json").write_text(json.dumps({**report, "cells": cells}, indent=1) + "\n")


if __name__ == "__main__":
    main()
