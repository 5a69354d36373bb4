"""Labels to a given accuracy, from scratch and with what a network has learned before.

  python bench/transfer_labels.py [NAME ...]    # of recipes/time_to_accuracy/, all by default

How many labelled images of each class does it take until the test images are told apart as well as the recipe's target
says? Arms are trained with 1, 2, 5, 10, 20 and 50 of each, with as many steps as the recipe has (in whole epochs), each
at its own rate for that number of labels: sought on validation images with draws 1 to 3 of the labels. Then draws 10 to
17 have a seed each, which both arms share: intervals hold the luck of the labels, but not that of the one source.
Between two numbers of labels the accuracy is taken to be straight on their logarithm; the first crossing counts. An arm
that is there with one label counts with one, an arm that never is with 50. What was measured is kept in
bench/results/transfer-cpu.json.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from statistics import mean, median
from typing import Any

import torch
from transfer_time import BASELINE, RECIPES, keep, to_scratch

from lab import Plan, Recipe, Training
from lab.data.batches import batches
from lab.first import trained_first
from lab.label_curves import labels_to, with_labels
from lab.recipe import flat
from lab.steps import EVALUATION_BATCH
from lab.tuning import RateSearch, widen

COUNTS = (1, 2, 5, 10, 20, 50)  # labelled images of each class
ARMS = (BASELINE, "whole")
TUNING_DRAWS, DRAWS = (1, 2, 3), tuple(range(10, 18))


def with_count(recipe: Recipe, count: int) -> Recipe:
    """With so many labels of each class and the steps that it had, or up to an epoch more."""
    steps, changed = Training(recipe, device="cpu").steps, with_labels(recipe, count)
    return changed.changed(epochs=ceil(steps / Training(changed, device="cpu").steps_per_epoch))


def right(recipe: Recipe, rate: float, draw: int, which: str) -> float:
    """The share of validation or test images that the final weights name; the draw of the labels is the seed too."""
    changes = {"optimizer.lr": rate, "modify.subset.draw": draw, "seed": draw}
    session = Training(recipe.changed(**changes), device="cpu")
    split = getattr(session.data, which)
    session.validation_split = session.validation_split.take(torch.arange(1))  # the looks on the way decide nothing
    list(session)
    with torch.inference_mode():
        parts = batches(split, torch.arange(len(split)), EVALUATION_BATCH, session.device)
        weights = session.other_weights()
        found = [session.answer(weights, images).argmax(1) == labels for images, labels in parts]
    return float(torch.cat(found).double().mean())


def sought(arms: Mapping[str, Recipe], trials: int) -> dict[str, float]:
    """The rate of each arm, by the search that `lab compare` has."""
    searches = {name: RateSearch(flat(recipe)["optimizer.lr"], trials, TUNING_DRAWS) for name, recipe in arms.items()}
    going = True
    while going:
        for name, search in searches.items():
            for question in (search.explore, search.decide):
                while wanted := question():
                    for rate, draw in wanted:
                        search.tell(rate, draw, (right(arms[name], rate, draw, "validation"), 0.0))
        going = widen(list(searches.values()), trials)
    return {name: search.best for name, search in searches.items()}


def measured(plan: Plan) -> dict[str, Any]:
    """What became of one of the recipes, as it is kept; accuracies by arm and labels, in the order of the draws."""
    assert plan.target is not None
    for recipe in plan.first.values():
        trained_first(recipe, lambda *_: None, device="cpu")
    rates: dict[str, dict[int, float]] = {name: {} for name in ARMS}
    accuracies: dict[str, dict[int, list[float]]] = {name: {} for name in ARMS}
    for count in COUNTS:
        arms = {name: with_count(plan.arms[name], count) for name in ARMS}
        for name, rate in sought(arms, plan.trials).items():
            rates[name][count] = rate
            accuracies[name][count] = [right(arms[name], rate, draw, "test") for draw in DRAWS]
    return {"target": plan.target, "rates": rates, "accuracies": accuracies, **compared(accuracies, plan)}


def compared(accuracies: Mapping[str, Mapping[int, Sequence[float]]], plan: Plan) -> dict[str, Any]:
    """Labels of each arm by draw, and their ratio to those from scratch."""
    assert plan.target is not None
    labels = {
        name: [
            labels_to(plan.target, dict(zip(found, curve, strict=True))) for curve in zip(*found.values(), strict=True)
        ]
        for name, found in accuracies.items()
    }
    counted = {name: [count or float(COUNTS[-1]) for count in counts] for name, counts in labels.items()}
    return {"labels": labels, "ratios of labels": to_scratch(counted, plan.level)}


def lines(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    """What is printed."""
    yield f"{name}, to {100 * found['target']:g}% of the test images:"
    for arm, counts in found["labels"].items():
        there = [count for count in counts if count]
        said = f"{median(count or float('inf') for count in counts):.3g} labels of each class (median)"
        yield f"  {arm}: there at {len(there)} of {len(counts)} draws, {said}"
        rates = found["rates"][arm]
        yield "    " + ", ".join(
            f"{n}: {mean(each):.3f} at {rates[n]:g}" for n, each in found["accuracies"][arm].items()
        )
    for arm, (middle, low, high) in found["ratios of labels"].items():
        yield f"  ratio of labels: {arm} {middle:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    for name in sys.argv[1:] or sorted(path.stem for path in RECIPES.glob("*.yaml")):
        found = measured(Plan.load(RECIPES / f"{name}.yaml"))
        print("\n".join(lines(name, found)), flush=True)
        keep(name, found, under="labels to accuracy")


if __name__ == "__main__":
    main()
