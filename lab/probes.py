"""Checks that train and examine recipes themselves, or bring their own problem: more of the catalogue `checks`.

What a check calls a pass is said in its docstring, and was before it was first run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, log10, sqrt
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from lab.catalogue import Choice
from lab.checks import Finding, Name, Result, Within, checks
from lab.diagnostics import InitReport, examine, range_test
from lab.loading import data_of
from lab.many import train_many
from lab.optimizers import optimizers
from lab.recipe import Recipe, RecipeError
from lab.runs import Run
from lab.training import Training
from lab.trials import chance, trial_of
from lab.verdicts import LEVEL, critical, sensitivity

__all__ = ["checks"]

Recipes = Mapping[str, Recipe]
Device = str | None

Rate = Annotated[float, Field(gt=0, description="first or last learning rate of the grid")]
Rates = Annotated[int, Field(ge=2, le=100, description="learning rates, evenly spaced by their logarithm")]
Seeds = Annotated[int, Field(ge=2, le=100, description="runs that differ by their seed only")]
Accuracy = Annotated[float, Field(gt=0, le=1, description="an accuracy, as a fraction")]
Orders = Annotated[float, Field(gt=0, description="powers of ten")]
Share = Annotated[float, Field(gt=0, lt=1, description="how far off, as a share of what theory says")]

CONDITIONS = (10, 100, 1000)
STEPS = 300  # times sqrt(k): twice as many would leave nothing of the error but zeros in float64


@checks.add
def one_learns(
    recipes: Recipes,
    device: Device,
    *,
    a: Name = "a",
    b: Name = "b",
    low: Rate = 0.001,
    high: Rate = 10.0,
    rates: Rates = 9,
    seeds: Seeds = 5,
    good: Accuracy = 0.8,
    poor: Accuracy = 0.2,
) -> Finding:
    """Recipe a learns and recipe b does not, whatever the learning rate.

    Both are trained at every rate of a grid with every seed; a run counts by the best validation accuracy of its
    epochs. PASS: at one rate at least, every seed of a reaches `good`, and no run of b reaches `poor`. FAIL: at some
    rate every seed of b reaches `good`, or no run of a does. Else INCONCLUSIVE.
    """
    grid = grid_of(low, high, rates)
    scores = {name: scores_of(recipes[name], grid, seeds, device) for name in (a, b)}
    reached = {name: (found >= good).all(axis=1) for name, found in scores.items()}
    held = reached[a].any() and (scores[b] < poor).all()
    broken = reached[b].any() or (scores[a] < good).all()
    tried = f"{seeds} seeds, the best of {rates} rates from {low:g} to {high:g}"
    found = "; ".join(f"{name} {best_row(scores[name], grid)}" for name in (a, b))
    table = {name: dict(zip(grid, rows.tolist(), strict=True)) for name, rows in scores.items()}
    return Finding(result_of(held, broken), f"{found} ({tried}).", {"accuracy by rate": table})


@checks.add
def units_stay_alike(recipes: Recipes, device: Device, *, a: Name = "alike", b: Name = "random") -> Finding:
    """Hidden units that start with the same weights are still the same after training; those of b are not.

    The measure is the largest difference of a weight to that of the layer's first unit, over all hidden layers.
    PASS: exactly 0 for a, more for b. FAIL: more than 0 for a. INCONCLUSIVE: 0 for both, so that it says nothing, or a
    run that diverged.
    """
    runs = dict(zip((a, b), train_many([recipes[a], recipes[b]], device=device), strict=True))
    apart = {name: spread_of_units(run) for name, run in runs.items()}
    finished = all(run.status != "diverged" for run in runs.values())
    held, broken = finished and apart[a] == 0 < apart[b], finished and apart[a] > 0
    said = "; ".join(f"{name} {apart[name]:.3g}, {percent(best_of(run))} right" for name, run in runs.items())
    return Finding(result_of(held, broken), f"Largest difference between units: {said}.", {"apart": apart})


@checks.add
def signal_changes_size(
    recipes: Recipes,
    device: Device,
    *,
    a: Name = "large",
    b: Name = "small",
    seeds: Seeds = 8,
    far: Orders = 10.0,
    within_orders: Orders = 1.0,
) -> Finding:
    """Before the first step the signal of a explodes with depth and that of b dies, as theory says.

    grown = log10(std of the last layer's output / std of the first one's)
    theory = sum over the layers behind the first of log10(weight std sqrt(fan_in / 2))    for relu
    PASS: at every seed a grows by `far` orders of magnitude and b shrinks by them, and for both the 95% interval of
    grown - theory lies within -+ `within_orders`. FAIL: at no seed of a or at none of b, or an interval lies beyond.
    Else INCONCLUSIVE.

    Source: He et al. 2015, arXiv 1502.01852, eq. 10.
    """
    grown, off = {}, {}
    for name in (a, b):
        reports = [examine(recipes[name].changed(seed=seed), device=device) for seed in range(seeds)]
        grown[name] = np.array([growth(report) for report in reports])
        off[name] = grown[name] - [predicted_growth(report) for report in reports]
    away = {a: grown[a] >= far, b: grown[b] <= -far}
    spans = {name: span_of(off[name]) for name in (a, b)}
    held = all(away[name].all() and max(map(abs, spans[name])) < within_orders for name in away)
    beyond = any(low > within_orders or high < -within_orders for low, high in spans.values())
    broken = beyond or any(not away[name].any() for name in away)
    said = "; ".join(growth_words(name, grown[name], off[name]) for name in (a, b))
    table = {name: {"grown": grown[name].tolist(), "grown - theory": off[name].tolist()} for name in grown}
    return Finding(result_of(held, broken), f"Orders of magnitude, {seeds} seeds: {said}.", {"orders": table})


@checks.add
def range_test_brackets(
    recipes: Recipes,
    device: Device,
    *,
    a: Name = "any",
    low: Rate = 0.001,
    high: Rate = 10.0,
    rates: Rates = 17,
    seeds: Seeds = 4,
    within: Within = 0.01,
) -> Finding:
    """Each rule of the learning-rate range test suggests a rate that a sweep finds as good as the best.

    The sweep trains at every rate of a grid with every seed; good are the rates around the best one whose mean
    validation accuracy, of the best epoch, is within `within` of its. PASS: every rule's rate lies from the first to
    the last good one. FAIL: no rule's does. Else INCONCLUSIVE.
    """
    grid = grid_of(low, high, rates)
    means = scores_of(recipes[a], grid, seeds, device).mean(axis=1)
    good = sensitivity(grid, means, within)
    suggested = range_test(recipes[a], device=device).suggestions
    inside = [good.low <= rate <= good.high for rate in suggested.values()]
    said = ", ".join(f"{rule} {rate:.2g}" for rule, rate in suggested.items()) or "no suggestion"
    sweep = f"good from {good.low:.2g} to {good.high:.2g}, {percent(means.max())} at {grid[means.argmax()]:.2g}"
    table = dict(zip(grid, means.tolist(), strict=True))
    result = result_of(bool(inside) and all(inside), not any(inside))
    return Finding(result, f"{said}; {sweep} ({seeds} seeds).", {"suggested": suggested, "accuracy by rate": table})


@checks.add
def learns_by_heart(
    recipes: Recipes,
    device: Device,
    *,
    a: Name = "random",
    seeds: Seeds = 3,
    fits: Accuracy = 0.99,
    near: Within = 0.05,
) -> Finding:
    """The network fits its training labels and is at chance on the validation split.

    Both accuracies are of the last epoch, that of training over its batches as they came. PASS: at every seed training
    reaches `fits` and validation is within `near` of chance. FAIL: training reaches it at no seed, or validation is off
    by more at every seed. Else INCONCLUSIVE.
    """
    runs = train_many([recipes[a].changed(seed=seed) for seed in range(seeds)], device=device)
    train, validation = (
        np.array([getattr(run.history.epochs[-1], part) for run in runs])
        for part in ("train_accuracy", "validation_accuracy")
    )
    guessing = chance(data_of(recipes[a]).validation)
    fitted, off = train >= fits, abs(validation - guessing) > near
    said = f"Training {between(train)}, validation {between(validation)}, chance {percent(guessing)}"
    measured = {"training": train.tolist(), "validation": validation.tolist()}
    held, broken = fitted.all() and not off.any(), not fitted.any() or off.all()
    return Finding(result_of(held, broken), f"{said} ({seeds} seeds).", measured)


@checks.add
def lands_between(
    recipes: Recipes,
    device: Device,
    *,
    a: Name = "a",
    seeds: Seeds = 3,
    low: Accuracy = 0.1,
    high: Accuracy = 1.0,
) -> Finding:
    """The recipe is as often right as others report of networks like it.

    Of test images, with the weights of the last epoch. PASS: from `low` to `high` at every seed. FAIL: at none.
    Else INCONCLUSIVE.
    """
    found = np.array([accuracy_on_test(recipes[a].changed(seed=seed), device) for seed in range(seeds)])
    inside = (low <= found) & (found <= high)
    said = f"Test images {between(found)} ({seeds} seeds); {100 * low:g} to {percent(high)} asked for."
    return Finding(result_of(inside.all(), not inside.any()), said, {"test": found.tolist()})


@checks.add
def rate_of_momentum(*, tolerance: Share = 0.01) -> Finding:
    """Descent on a quadratic bowl converges at the rate its condition number k gives, with momentum at that of sqrt(k).

    f(x, y) = (x^2 + k y^2) / 2 ;  error <- rate error at each step, with the best settings
    plain: lr = 2 / (1 + k), rate (k - 1) / (k + 1) ;  momentum: lr = (2 / (1 + sqrt k))^2, momentum = rate^2,
    rate (sqrt k - 1) / (sqrt k + 1). Measured over the second half of 300 sqrt(k) steps, for k of 10, 100, 1000.
    PASS: 1 - rate is within `tolerance` of theory's in all six cases, as a share of it. Else FAIL: nothing is random.

    Source: Goh 2017, Distill, "Why Momentum Really Works", doi 10.23915/distill.00006; Polyak 1964.
    """
    cases = {f"{name} k={k}": case for k in CONDITIONS for name, case in best_settings(k).items()}
    measured = {name: rate_of_descent(choice, k) for name, (choice, k, _) in cases.items()}
    off = {name: abs(measured[name] - rate) / (1 - rate) for name, (*_, rate) in cases.items()}
    worst = max(off, key=lambda name: off[name])
    said = f"Furthest off: {worst}, 1 - rate {1 - measured[worst]:.5f}, theory {1 - cases[worst][2]:.5f}"
    result = "PASS" if off[worst] < tolerance else "FAIL"
    return Finding(result, f"{said} ({off[worst]:.2%}).", {"rates": measured, "off by": off})


# -- what they measure with ---------------------------------------------------------------------------------


def result_of(held: object, broken: object) -> Result:
    return "PASS" if held else "FAIL" if broken else "INCONCLUSIVE"


def grid_of(low: float, high: float, count: int) -> list[float]:
    return [float(f"{rate:.3g}") for rate in np.geomspace(low, high, count)]


def scores_of(recipe: Recipe, rates: Sequence[float], seeds: int, device: Device) -> np.ndarray:
    """(rates, seeds) best validation accuracies."""
    recipes = [recipe.changed(**{"optimizer.lr": rate}, seed=seed) for rate in rates for seed in range(seeds)]
    found = [best_of(run) for run in train_many(recipes, device=device)]
    return np.array(found).reshape(len(rates), seeds)


def accuracy_on_test(recipe: Recipe, device: Device) -> float:
    """The fraction of test images that is right with the weights of the last epoch; chance where the run diverged."""
    session = Training(recipe, device=device)
    for _ in session:
        pass
    return trial_of("given", session).score


def best_of(run: Run) -> float:
    return run.best.validation_accuracy if run.best else 0.0


def best_row(scores: np.ndarray, rates: Sequence[float]) -> str:
    """The rate whose worst seed is best."""
    place = int(scores.min(axis=1).argmax())
    return f"{between(scores[place])} at {rates[place]:g}, at most {percent(scores.max())} anywhere"


def between(scores: np.ndarray) -> str:
    return f"{100 * scores.min():.1f} to {percent(scores.max())}"


def percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}%"


def spread_of_units(run: Run) -> float:
    """The largest difference between a hidden unit's weights and those of the first unit of its layer."""
    weights = [weight.double() for weight in (run.weights or {}).values() if weight.ndim > 1]
    return max(float((weight - weight[:1]).abs().max()) for weight in weights[:-1])


def growth(report: InitReport) -> float:
    """Orders of magnitude from the first layer's output to the last one's.

    Raises:
        RecipeError: the signal has left the numbers that the recipe's precision has.
    """
    first, last = report.layers[0].std, report.layers[-1].std
    if not (0 < first < inf and 0 < last < inf):
        raise RecipeError(f"The signal goes from {first:g} to {last:g}: use precision float64 or fewer layers.")
    return log10(last) - log10(first)


def predicted_growth(report: InitReport) -> float:
    pairs = zip(report.layers, report.layers[1:], strict=False)
    return sum(log10(layer.weight_std * sqrt(before.units / 2)) for before, layer in pairs)


def span_of(values: np.ndarray) -> tuple[float, float]:
    """The 95% t interval of the mean."""
    reach = critical(len(values), LEVEL) * float(values.std(ddof=1)) / sqrt(len(values))
    return float(values.mean()) - reach, float(values.mean()) + reach


def growth_words(name: str, grown: np.ndarray, off: np.ndarray) -> str:
    low, high = span_of(off)
    return f"{name} {grown.min():+.1f} to {grown.max():+.1f}, off theory by {low:+.2f} to {high:+.2f}"


Case = tuple[Choice, int, float]


def best_settings(k: int) -> dict[str, Case]:
    """Plain descent and momentum with the settings that are best for a condition number, and the rate by theory."""
    plain, heavy = (k - 1) / (k + 1), (sqrt(k) - 1) / (sqrt(k) + 1)
    return {
        "plain": (optimizers.parse({"name": "sgd", "lr": 2 / (1 + k)}), k, plain),
        "momentum": (
            optimizers.parse({"name": "sgd", "lr": (2 / (1 + sqrt(k))) ** 2, "momentum": heavy**2}),
            k,
            heavy,
        ),
    }


def rate_of_descent(choice: Choice, k: int) -> float:
    """By how much the distance to the minimum shrinks at a step, over the second half of the steps."""
    place = torch.ones(2, dtype=torch.float64, requires_grad=True)
    optimizer = optimizers.build(choice, [{"params": [place]}])
    steps, scale, distances = int(STEPS * sqrt(k)), torch.tensor([1.0, k], dtype=torch.float64), []
    for _ in range(steps):
        distances.append(float(place.detach().abs().max()))  # squares of what is so small are 0
        place.grad = scale * place.detach()
        optimizer.step()
    half = steps // 2
    return (distances[-1] / distances[half]) ** (1 / (steps - 1 - half))
