"""Checks on loss surfaces, paths and curvature: more of the catalogue `checks`.

What a check calls a pass is said in its docstring, and was before it was first run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from lab.checks import Finding, Name, checks
from lab.events import Step
from lab.landscape import (
    Curvature,
    Eigenpairs,
    Evaluator,
    Grid,
    Samples,
    Trail,
    negative_share,
    path_plane,
    random_plane,
    samples_of,
    sharpness,
    surface,
    trained,
)
from lab.landscape.curvature import Loss, cross_entropy
from lab.landscape.weights import Weights
from lab.probes import Device, Orders, Recipes, Seeds, between, result_of, span_of
from lab.recipe import Recipe, RecipeError
from lab.steps import enough_threads
from lab.training import Training

__all__ = ["checks"]

Part = Annotated[float, Field(gt=0, lt=1, description="a share, from 0 to 1")]
Points = Annotated[int, Field(ge=3, le=257, description="points along each axis of a grid")]
Reach = Annotated[float, Field(gt=0, description="how far a grid goes, in lengths of the weights")]
Planes = Annotated[int, Field(ge=2, le=1000, description="random planes")]
Readings = Annotated[int, Field(ge=4, le=10_000, description="times that the curvature is measured in a run")]
Factor = Annotated[float, Field(gt=1, description="by how much a layer is scaled up, and the next one down")]
Grown = Annotated[float, Field(gt=1, description="by how much a measure has to rise")]
Error = Annotated[Literal["squared", "cross_entropy"], Field(description="what the descent makes small")]

SNAPSHOTS = 60  # of a path
READING = 0.02  # how exact a curvature is, as a share of it
SAME_FUNCTION = 1e-9  # how far two functions may be off that are one, in float64, as a share of the largest logit
SAME_SHARPNESS = 1e-6  # likewise two measures that are one: points of a plane are rounded
EXACT = torch.float64
TINY = 1e-12
DIVERGED = 1e4  # times the first loss; a descent that comes back from less is no rarity


@checks.add
def skips_smooth(
    recipes: Recipes,
    device: Device,
    *,
    a: Name = "plain",
    b: Name = "residual",
    seeds: Seeds = 5,
    size: Points = 9,
    reach: Reach = 1.0,
    apart: Part = 0.1,
) -> Finding:
    """Around what was learned, the loss of recipe b bends down less often than that of recipe a.

    Both are trained with every seed, and their loss on the validation split is measured in float64 on a
    filter-normalised random plane around the end, on a grid of `size` x `size` points. The measure is the share of
    negative second differences along the grid's lines. PASS: the 95% interval of share(a) - share(b) lies above
    `apart`. FAIL: it lies below. Else INCONCLUSIVE, and so is it where a run diverged.

    Source: Li et al. 2018, arXiv 1712.09913, section 6.
    """
    sessions = {name: trainings(recipes[name], seeds, device) for name in (a, b)}
    if any(session.history.diverged for own in sessions.values() for session in own):
        return Finding("INCONCLUSIVE", "A run diverged.", {"bends": {}})
    grid = Grid(size, reach=(reach, reach))
    bends = {name: np.array([bends_of(session, grid) for session in own]) for name, own in sessions.items()}
    right = {name: np.array([accuracy_of(session) for session in own]) for name, own in sessions.items()}
    low, high = span_of(bends[a] - bends[b])
    words = "; ".join(f"{name} {between(bends[name])} ({between(right[name])} right)" for name in (a, b))
    said = f"Negative second differences: {words}; {a} - {b}: {100 * low:.1f} to {100 * high:.1f} points"
    measured = {name: {"bends": bends[name].tolist(), "accuracy": right[name].tolist()} for name in (a, b)}
    return Finding(result_of(low > apart, high < apart), f"{said} ({seeds} seeds).", {"by recipe": measured})


@checks.add
def path_in_a_plane(
    recipes: Recipes,
    device: Device,
    *,
    a: Name = "any",
    seeds: Seeds = 5,
    planes: Planes = 20,
    most: Part = 0.4,
    least: Part = 0.05,
) -> Finding:
    """A run's path lies mostly in the plane of its two principal components, and hardly in a random one.

    The measure is the share of the path's variance along the plane's directions; random planes are filter-normalised
    and lie around the end. PASS: at every seed the components hold more than `most` (the paper's lowest value), and no
    random plane more than `least`. FAIL: the components hold less at every seed, or random planes hold more on average
    at every seed. Else INCONCLUSIVE. A random walk of many steps is held by 76%: the first half says little alone.

    Source: Li et al. 2018, arXiv 1712.09913, section 7; of a random walk: Antognini & Sohl-Dickstein 2018,
    arXiv 1806.08805 (6 / (pi k)^2 in the k-th component).
    """
    held, missed = np.empty(seeds), np.empty((seeds, planes))
    for seed in range(seeds):
        trail, end = path_of(recipes[a].changed(seed=seed), device)
        held[seed] = trail.explained_by(path_plane(trail))
        drawn = (random_plane(end, seed=number) for number in range(planes))
        missed[seed] = [trail.explained_by(plane) for plane in drawn]
    worst = missed.max(axis=1)
    passed = (held > most).all() and (worst <= least).all()
    failed = (held < most).all() or (missed.mean(axis=1) > least).all()
    said = f"Two components hold {between(held)}, random planes at most {100 * worst.max():.2g}%"
    measured = {"components": held.tolist(), "random planes": missed.tolist()}
    return Finding(result_of(passed, failed), f"{said} ({seeds} seeds, {planes} planes each).", measured)


@checks.add
def edge_of_stability(
    recipes: Recipes,
    device: Device,
    *,
    a: Name = "any",
    error: Error = "squared",
    seeds: Seeds = 3,
    readings: Readings = 40,
    within: Part = 0.15,
) -> Finding:
    """Descent on whole batches sharpens until the largest curvature stands at 2 / lr, and stays there.

    The check takes the recipe's network, data and rate, and makes plain steps, one for each epoch:
    squared: mean over the images of |logits - one_hot(label)|^2 / 2 ;  cross_entropy: as everywhere in the lab.
    It measures the largest eigenvalue `readings` times, evenly spread. The measure is the median over the second half
    of them, as a share of 2 / lr. PASS: at every seed it is within `within` of 1. FAIL: at every seed it is not.
    Else INCONCLUSIVE, and so is it where a descent diverged.

    Source: Cohen et al. 2021, arXiv 2103.00065, sections 3.1 and 3.2 (their squared error has this factor too).
    """
    if recipes[a].optimizer.name != "batch_gd":
        raise RecipeError(f"{a}: this check descends on whole batches. Set its optimizer to batch_gd.")
    runs = [descent(recipes[a].changed(seed=seed), ERRORS[error], readings, device) for seed in range(seeds)]
    if not all(found for found, _ in runs):
        return Finding(
            "INCONCLUSIVE", "A descent diverged: its rate is above the edge at once.", {"share of 2 / lr": []}
        )
    shares = np.array([found for found, _ in runs])
    rose = np.array([share for _, share in runs])
    late = np.median(shares[:, shares.shape[1] // 2 :], axis=1)
    near = abs(late - 1) <= within
    said = (
        f"Of 2 / lr: {shares[:, 0].min():.2f} to {shares[:, 0].max():.2f} at first, at most {shares.max():.2f}, "
        f"{late.min():.2f} to {late.max():.2f} in the second half; the loss rose in {between(rose)} of the steps"
    )
    measured = {"share of 2 / lr": shares.tolist(), "rising steps": rose.tolist()}
    return Finding(result_of(near.all(), not near.any()), f"{said} ({seeds} seeds).", measured)


@checks.add
def ends_sharper(
    recipes: Recipes,
    device: Device,
    *,
    a: Name = "small",
    b: Name = "large",
    seeds: Seeds = 8,
    slight: Orders = 0.1,
) -> Finding:
    """Recipe b ends at a sharper place than recipe a.

    The measure is log10 of the ratio of their largest eigenvalues, of the Hessian of the mean loss over the training
    split where they end, seed by seed. PASS: its 95% interval lies above `slight`. FAIL: below it, so that a is
    sharper, or b by no more than does not count. Else INCONCLUSIVE.

    Source: Keskar et al. 2017, arXiv 1609.04836, section 2.2 (with a measure of their own).
    """
    sessions = {name: trainings(recipes[name], seeds, device) for name in (a, b)}
    sharp = {name: np.array([max(TINY, sharpest(session)) for session in own]) for name, own in sessions.items()}
    right = {name: np.array([accuracy_of(session) for session in own]) for name, own in sessions.items()}
    low, high = span_of(np.log10(sharp[b] / sharp[a]))
    words = "; ".join(f"{name} {np.median(sharp[name]):.3g} ({between(right[name])} right)" for name in (a, b))
    said = f"Largest eigenvalue, median: {words}; {b} / {a}: {10**low:.2g} to {10**high:.2g}"
    measured = {name: {"sharpness": sharp[name].tolist(), "accuracy": right[name].tolist()} for name in (a, b)}
    return Finding(result_of(low > slight, high < slight), f"{said} ({seeds} seeds).", {"by recipe": measured})


@checks.add
def scale_decides_sharpness(
    recipes: Recipes, device: Device, *, a: Name = "any", factor: Factor = 20.0, grown: Grown = 2.0
) -> Finding:
    """The same function, written with other weights, is sharper by raw measures and not by a filter-normalised one.

    In a ReLU network a layer scaled up by `factor` and the next one down leave every logit as it was. PASS: the logits
    are the same up to rounding, the largest eigenvalue and the raw sharpness rise by more than `grown`, and the
    filter-normalised one is the same up to rounding. Else FAIL: nothing is random.

    Source: Dinh et al. 2017, arXiv 1703.04933, section 4; Li et al. 2018, arXiv 1712.09913, section 3.
    """
    refuse_other_networks(a, recipes[a])
    session = trainings(recipes[a].changed(precision="float64"), 1, device)[0]
    samples = samples_of(session)
    places = [trained(session.model), rescaled(trained(session.model), factor)]
    logits = [logits_at(session, samples, place) for place in places]
    off = float((logits[1] - logits[0]).abs().max() / logits[0].abs().max())
    measures = {name: [measure(session, samples, place) for place in places] for name, measure in MEASURES.items()}
    ratio = {name: after / before for name, (before, after) in measures.items()}
    moved = ratio["eigenvalue"] > grown and ratio["raw"] > grown
    held = off < SAME_FUNCTION and moved and abs(ratio["filter"] - 1) < SAME_SHARPNESS
    pairs = ", ".join(f"{name} {before:.4g} to {after:.4g}" for name, (before, after) in measures.items())
    said = f"Scaled by {factor:g}: logits off by {off:.1g} of the largest; {pairs}."
    return Finding("PASS" if held else "FAIL", said, {"logits off": off, "measures": measures})


# -- what they measure with ---------------------------------------------------------------------------------


def trainings(recipe: Recipe, seeds: int, device: Device) -> list[Training]:
    """Of the seeds from 0 on, each at its end."""
    sessions = [Training(recipe.changed(seed=seed), device=device) for seed in range(seeds)]
    for session in sessions:
        for _ in session:
            pass
    return sessions


def accuracy_of(session: Training) -> float:
    """On the validation split after the last epoch."""
    return session.history.epochs[-1].validation_accuracy if session.history.epochs else 0.0


def bends_of(session: Training, grid: Grid) -> float:
    plane = random_plane(trained(session.model), seed=session.recipe.seed)
    return negative_share(surface(Evaluator(session.model, plane, samples_of(session), dtype=EXACT), grid)).value


def path_of(recipe: Recipe, device: Device) -> tuple[Trail, Weights]:
    """Evenly spread snapshots of a run, and where it ended."""
    session = Training(recipe, device=device)
    trail, every = Trail(trained(session.model)), max(1, session.steps // SNAPSHOTS)
    for event in session:
        if isinstance(event, Step) and event.step % every == 0:
            trail.add(trained(session.model), event.step)
    return trail, trained(session.model)


def sharpest(session: Training) -> float:
    samples = samples_of(session, split="training")
    return float(Curvature(session.model, samples, dtype=EXACT).eigenpairs(count=1, tolerance=READING).values[0])


def squared_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Half the squares, summed over classes and images."""
    return (logits - functional.one_hot(labels, logits.size(1))).square().sum() / 2


ERRORS: Mapping[str, Loss] = {"squared": squared_error, "cross_entropy": cross_entropy}


def descent(recipe: Recipe, loss: Loss, readings: int, device: Device) -> tuple[list[float], float]:
    """Largest eigenvalues as shares of 2 / lr, none if it diverged; the share of the steps at which the loss rose."""
    session = Training(recipe, device=device)
    samples, rate = samples_of(session, split="training"), session.base_rate
    reads = set(np.linspace(0, session.steps - 1, readings).round().astype(int).tolist())
    found: list[float] = []
    losses: list[Tensor] = []
    earlier: Eigenpairs | None = None
    for step in range(session.steps):
        mean, gradient = loss_and_gradient(session, samples, loss)
        losses.append(mean)
        if not mean <= DIVERGED * losses[0]:
            return [], 0.0
        if step in reads:
            curvature = Curvature(session.model, samples, loss=loss)
            earlier = curvature.eigenpairs(count=1, tolerance=READING, earlier=earlier, seed=step)
            found.append(float(earlier.values[0]) * rate / 2)
        with torch.no_grad():
            for weight, slope in gradient:
                weight.sub_(rate * slope)
    return found, float((torch.stack(losses).diff() > 0).double().mean())


def loss_and_gradient(session: Training, samples: Samples, loss: Loss) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """The mean loss over all samples, and each weight with its gradient."""
    weights = [parameter for parameter in session.model.parameters() if parameter.requires_grad]
    with enough_threads(session.device, session.flops_per_step):
        mean = loss(session.model(samples.batch(slice(None), session.dtype)), samples.labels) / len(samples)
        slopes = torch.autograd.grad(mean, weights)
    return mean.detach(), list(zip(weights, slopes, strict=True))


def refuse_other_networks(name: str, recipe: Recipe) -> None:
    """Raises RecipeError unless the network keeps its function when its layers are scaled."""
    model = dict(recipe.model)
    if (
        recipe.model.name != "mlp"
        or str(recipe.activation) != "relu"
        or model["norm"] != "nothing"
        or not model["depth"]
    ):
        said = "this check scales the layers of an mlp with relu, without norm, with a hidden layer"
        raise RecipeError(f"{name}: {said}. Set model to mlp and activation to relu.")


def rescaled(weights: Weights, factor: float) -> Weights:
    """The first layer scaled up, and the matrix of the second one down."""
    first, bias, second = list(weights)[:3]
    scales = {first: factor, bias: factor, second: 1 / factor}
    return {name: tensor * scales.get(name, 1.0) for name, tensor in weights.items()}


def logits_at(session: Training, samples: Samples, place: Weights) -> Tensor:
    with torch.no_grad():
        return torch.func.functional_call(session.model, place, (samples.batch(slice(None), session.dtype),))


def eigenvalue_at(session: Training, samples: Samples, place: Weights) -> float:
    found = Curvature(session.model, samples, weights=place, dtype=EXACT).eigenpairs(count=1, tolerance=READING)
    return float(found.values[0])


def raw_at(session: Training, samples: Samples, place: Weights) -> float:
    return sharpness(session.model, samples, weights=place, normalisation="none", dtype=EXACT).rise


def filtered_at(session: Training, samples: Samples, place: Weights) -> float:
    return sharpness(session.model, samples, weights=place, normalisation="filter", dtype=EXACT).rise


MEASURES = {"eigenvalue": eigenvalue_at, "raw": raw_at, "filter": filtered_at}
