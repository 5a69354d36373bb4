"""The check on changed images: what it calls a pass, what it counts, what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import SMALL
from test_probes import found

from lab import augmented_probes
from lab.augmentations import augmentations, augmented
from lab.augmented_probes import accuracy_on_changed
from lab.catalogue import RecipeError
from lab.diagnostics import predictions
from lab.recipe import Recipe
from lab.runs import train
from lab.sample_grids import generator_of

CHECK = {"name": "better_on_changed_images", "rates": 3, "searches": 2, "seeds": 4, "least": 0.1}
SHIFTED = SMALL.changed(augment=[{"name": "crop", "padding": 1}])
NEAR = np.array([-0.01, 0.0, 0.01, 0.0])


def judged(difference: float, spread: float, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[Any]]:
    """What the check says if a is right so much more often; best at rate 0.01, and there only in the search."""
    asked: list[Any] = []

    def scores_of(recipe: Recipe, rate: float, seeds: Sequence[int], *_: object) -> np.ndarray:
        asked.append((bool(recipe.augment), rate, list(seeds)))
        mean = (0.5 + difference * bool(recipe.augment)) - 0.2 * (rate != 0.01)
        return mean + spread * bool(recipe.augment) * np.resize(NEAR, len(seeds))

    monkeypatch.setattr(augmented_probes, "scores_of", scores_of)
    return found(CHECK, a=SHIFTED, b=SMALL), asked


@pytest.mark.parametrize(
    ("difference", "spread", "result"),
    [(0.3, 1, "PASS"), (0.05, 1, "FAIL"), (-0.3, 1, "FAIL"), (0.1, 1, "INCONCLUSIVE"), (0.15, 10, "INCONCLUSIVE")],
)
def test_the_whole_interval_must_lie_above_what_was_asked_for(
    difference: float, spread: float, result: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert judged(difference, spread, monkeypatch)[0].result == result


def test_each_recipe_has_the_rate_of_its_search_and_other_seeds_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    finding, asked = judged(0.3, 1, monkeypatch)
    assert finding.measured["rates"] == {"a": 0.01, "b": 0.01}
    assert [one for one in asked if one[2] == [4, 5]] == [
        (arm, r, [4, 5]) for arm in (True, False) for r in (0.01, 0.316, 10)
    ]
    assert [one for one in asked if one[2] == [0, 1, 2, 3]] == [(True, 0.01, [0, 1, 2, 3]), (False, 0.01, [0, 1, 2, 3])]
    assert finding.margin.startswith("On changed images a 80.0% at rate 0.01, b 50.0% at rate 0.01; a - b: 30.0 points")


def test_changed_by_nothing_the_accuracy_is_that_of_the_run() -> None:
    run = train(SMALL, progress=False, device="cpu")
    told = predictions(run, device="cpu")
    assert accuracy_on_changed(run, (), "cpu") == pytest.approx(told.accuracy)


def test_images_are_changed_with_the_draws_of_the_runs_seed() -> None:
    run = train(SMALL, progress=False, device="cpu")
    session = augmented_probes.filled(run, "cpu", count_look=False)
    draws = torch.Generator().manual_seed(generator_of(SMALL.seed, "changed validation images").initial_seed())
    split = session.validation_split
    seen, _ = augmented(SHIFTED.augment, split.images, split.labels, 10, draws)
    right = (session.answer(session.other_weights(), seen).argmax(1) == split.labels).double().mean()
    assert accuracy_on_changed(run, SHIFTED.augment, "cpu") == pytest.approx(float(right))
    assert not seen.equal(split.images)


def test_a_run_that_diverged_counts_as_chance() -> None:
    run = train(SMALL.changed(**{"optimizer.lr": 1e30}), progress=False, device="cpu")
    assert run.status == "diverged"
    assert 0.05 < accuracy_on_changed(run, SHIFTED.augment, "cpu") < 0.2


@pytest.mark.parametrize(
    ("augment", "said"),
    [([], "a has no augment, but its augmentations"), (["flip", "mixup"], "a has mixup, which mixes or makes images")],
)
def test_what_changes_no_image_or_its_class_too_is_refused(augment: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        found(CHECK, a=SMALL.changed(augment=[augmentations.parse(name) for name in augment]), b=SMALL)
