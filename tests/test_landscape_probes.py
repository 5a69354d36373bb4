"""Checks on surfaces, paths and curvature: what each calls a pass, and that what it measures is what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from test_claims import FEW
from test_probes import found

from lab import landscape_probes as probes
from lab.landscape import Curvature, samples_of, trained
from lab.recipe import Recipe, RecipeError

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = Recipe().changed(**FEW)
WHOLE = SMALL.changed(optimizer={"name": "batch_gd", "lr": 0.2}, epochs=12)


def by_seed(values: dict[int, list[float]]) -> Any:
    """Instead of a measure of a session: one number for each seed of a recipe, which its epochs tell."""
    return lambda session, *_: values[session.recipe.epochs][session.recipe.seed]


@pytest.mark.parametrize(
    ("plain", "residual", "result"),
    [
        ([0.5, 0.45, 0.48], [0.1, 0.05, 0.1], "PASS"),
        ([0.15, 0.1, 0.12], [0.1, 0.05, 0.1], "FAIL"),  # smoother, by less than was asked for
        ([0.1, 0.05, 0.1], [0.5, 0.45, 0.48], "FAIL"),
        ([0.5, 0.1, 0.2], [0.1, 0.05, 0.1], "INCONCLUSIVE"),
    ],
)
def test_skips_smooth_wants_a_difference_at_all_seeds_together(
    plain: list[float], residual: list[float], result: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "bends_of", by_seed({1: plain, 2: residual}))
    small = {"plain": SMALL.changed(epochs=1), "residual": SMALL.changed(epochs=2)}
    assert found({"name": "skips_smooth", "seeds": 3}, **small).result == result


def test_a_run_that_diverged_says_nothing_about_skips() -> None:
    wild = SMALL.changed(**{"optimizer.lr": 1e6})
    assert found({"name": "skips_smooth", "seeds": 2}, plain=wild, residual=SMALL).result == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("most", "least", "result"),
    [(0.4, 0.05, "PASS"), (0.9999, 0.05, "FAIL"), (0.4, 1e-9, "FAIL")],
    ids=["both", "more than two components hold", "less than any plane holds"],
)
def test_a_path_is_held_by_its_components_and_by_no_random_plane(most: float, least: float, result: str) -> None:
    check = {"name": "path_in_a_plane", "seeds": 2, "planes": 3, "most": most, "least": least}
    measured = found(check, any=SMALL.changed(epochs=6))
    assert measured.result == result
    assert all(0.4 < share < 0.9999 for share in measured.measured["components"])
    assert all(1e-9 < share < 0.05 for row in measured.measured["random planes"] for share in row)


def test_a_seed_at_which_the_components_hold_little_makes_it_open(monkeypatch: pytest.MonkeyPatch) -> None:
    original, seen = probes.path_plane, []

    def other_plane_at_first(trail: Any) -> Any:
        seen.append(trail)
        away = probes.random_plane(trail.weights(0), seed=99)
        return away if len(seen) == 1 else original(trail)

    monkeypatch.setattr(probes, "path_plane", other_plane_at_first)
    check = {"name": "path_in_a_plane", "seeds": 2, "planes": 2}
    assert found(check, any=SMALL.changed(epochs=6)).result == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("late", "result"),
    [
        ([1.05, 0.9], "PASS"),
        ([1.05, 0.8], "INCONCLUSIVE"),
        ([0.3, 0.8], "FAIL"),
        ([1.2, 1.3], "FAIL"),
    ],
)
def test_the_edge_is_judged_by_the_second_half(late: list[float], result: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = iter(([0.1, 1.0, share, share + 0.01], 0.2) for share in late)
    monkeypatch.setattr(probes, "descent", lambda *_: next(runs))
    assert found({"name": "edge_of_stability", "seeds": 2, "readings": 4}, any=WHOLE).result == result


def test_batches_that_are_no_whole_ones_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"any: this check descends on whole batches\. Set its optimizer to batch_gd"):
        found({"name": "edge_of_stability", "seeds": 2}, any=SMALL)


def test_descent_makes_the_steps_of_a_training_and_reads_its_curvature() -> None:
    """With cross-entropy it is the lab's own training of that recipe."""
    recipe = WHOLE.changed(precision="float64")
    shares, rose = probes.descent(recipe, probes.cross_entropy, 4, "cpu")
    session = probes.Training(recipe, device="cpu")
    samples, expected = samples_of(session, split="training"), []
    for event in session:
        if isinstance(event, probes.Step) and event.step in (4, 7, 11):
            top = Curvature(session.model, samples, dtype=torch.float64).eigenpairs(count=1, tolerance=1e-6)
            expected.append(top.values[0] * 0.1)  # lr / 2
    assert shares[1:] == pytest.approx(expected, rel=0.03)
    losses = np.array(session.history.loss)
    assert rose == pytest.approx((np.diff(losses) > 0).mean())


def test_a_descent_that_diverges_says_nothing() -> None:
    wild = WHOLE.changed(**{"optimizer.lr": 1e3})
    measured = found({"name": "edge_of_stability", "seeds": 2, "readings": 4}, any=wild)
    assert (measured.result, measured.margin) == (
        "INCONCLUSIVE",
        "A descent diverged: its rate is above the edge at once.",
    )


def test_squared_error_is_half_the_squares() -> None:
    logits = torch.tensor([[1.0, 3.0], [0.0, 0.0]])
    assert float(probes.squared_error(logits, torch.tensor([0, 1]))) == (0 + 9 + 0 + 1) / 2


@pytest.mark.parametrize(
    ("small", "large", "result"),
    [
        ([1, 2, 1.5], [10, 12, 11], "PASS"),
        ([1, 2, 1.5], [0.5, 0.9, 0.8], "FAIL"),
        ([1, 2, 1.5], [1.01, 2.0, 1.49], "FAIL"),  # if sharper at all, by less than counts
        ([1, 2, 1.5], [1.05, 2.1, 1.6], "FAIL"),  # sharper at every seed, by less than counts
        ([1, 2, 1.5], [10, 0.5, 2], "INCONCLUSIVE"),
    ],
)
def test_sharper_is_judged_by_the_ratio_seed_by_seed(
    small: list[float], large: list[float], result: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "sharpest", by_seed({1: small, 2: large}))
    arms = {"small": SMALL.changed(epochs=1), "large": SMALL.changed(epochs=2)}
    assert found({"name": "ends_sharper", "seeds": 3}, **arms).result == result


def test_scaling_moves_raw_measures_only() -> None:
    measured = found({"name": "scale_decides_sharpness", "grown": 1.5}, any=SMALL)
    assert measured.result == "PASS"
    assert measured.measured["logits off"] < 1e-12
    too_much = found({"name": "scale_decides_sharpness", "grown": 1e6}, any=SMALL)
    assert too_much.result == "FAIL"


def test_another_function_or_a_filter_measure_that_moves_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    original = probes.rescaled
    monkeypatch.setattr(probes, "rescaled", lambda weights, factor: original(weights, factor) | last_moved(weights))
    assert found({"name": "scale_decides_sharpness", "grown": 1.5}, any=SMALL).result == "FAIL"
    monkeypatch.setattr(probes, "rescaled", original)
    monkeypatch.setitem(probes.MEASURES, "filter", probes.raw_at)
    assert found({"name": "scale_decides_sharpness", "grown": 1.5}, any=SMALL).result == "FAIL"


def last_moved(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    name = list(weights)[-1]
    return {name: weights[name] + 0.01}


@pytest.mark.parametrize(
    "change",
    [{"activation": "tanh"}, {"model.norm": "batch"}, {"model.depth": 0}, {"model": "cnn"}],
    ids=str,
)
def test_networks_that_scaling_changes_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="any: this check scales the layers of an mlp with relu"):
        found({"name": "scale_decides_sharpness"}, any=SMALL.changed(**change))


def test_a_rescaled_network_has_other_weights() -> None:
    session = probes.trainings(SMALL, 1, "cpu")[0]
    weights = trained(session.model)
    scaled = probes.rescaled(weights, 20)
    ratios = [float((scaled[name] / weights[name]).nanmedian()) for name in weights]
    assert ratios == pytest.approx([20, 20, 0.05, 1, 1, 1])
