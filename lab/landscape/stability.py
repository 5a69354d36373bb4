"""The edge of stability: a training's sharpest curvature beside the largest that its learning rate can bear."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from math import hypot, nan

import torch
from torch.nn import functional

from lab.landscape.curvature import Curvature, Loss
from lab.landscape.eigenpairs import Eigenpairs
from lab.landscape.samples import Samples, samples_of
from lab.landscape.trails import at_once
from lab.recipe import Recipe
from lab.training import Training

SAMPLES = 512
TOLERANCE = 0.02  # of the sharpness: far less than what it moves by from step to step at the edge
MOST_PRODUCTS = 40
WITHOUT = (
    "for batches of all images (small ones stay below it) and for the loss as it is measured: without augmentation, "
    "dropout and weight decay."
)
ONLY_CLASSES = ("supervised", "adapted_statistics")  # objectives
Bound = tuple[float | None, str]  # and the rule that it comes from, or why there is none


@dataclass(frozen=True)
class Reading:
    """How sharp the loss is where a training stands.

    sharpness: the largest eigenvalue of the Hessian of the mean loss over `samples` of the `total` training images;
    residual: how far off it is, for these samples; error: the standard error of the curvature along its direction, as
    that of all training images (`Curvature.error`), 0 where all were used. bound: above it plain steps grow instead of
    shrink, on a quadratic loss, and `note` is its rule; None where there is no such bound, and `note` says why.
    products: of the Hessian with a vector.
    """

    step: int
    sharpness: float
    residual: float
    error: float
    bound: float | None
    note: str
    samples: int
    total: int
    products: int

    @property
    def off(self) -> float:
        """What it may be off by: the standard error over images together with the residual."""
        return hypot(self.error, self.residual)

    @property
    def share(self) -> float:
        """Of the bound: 1 is the edge; nan where there is none."""
        return self.sharpness / self.bound if self.bound else nan

    @property
    def words(self) -> str:
        """What it is, by how much it may be off, and what the rate bears."""
        of = "all" if self.samples == self.total else f"{self.samples:,} of"
        noise = f" ± {self.error:.2g}" if self.error > 0 else ""
        kind = "standard error, " if noise else ""
        said = f"Sharpness {self.sharpness:.3g}{noise} ({kind}{of} {self.total:,} training images; residual "
        edge = f"{self.share:.0%} of the {self.bound:.3g} that the rate bears." if self.bound else self.note
        return f"{said}{self.residual:.1g}). {edge}"


@dataclass(frozen=True)
class EdgePath:
    """The readings of one run in the order of their steps.

    number: of the run, from 0 on: its colour and dash. fault: why the last snapshot that could not be read has none.
    """

    name: str
    number: int
    readings: tuple[Reading, ...]
    fault: str = ""

    @property
    def words(self) -> str:
        """The last reading, the rule of the bound, and what the two do not say."""
        whose = f"{self.name}, " if self.name else ""
        if not self.readings:
            return f"{whose}{self.fault}"
        last = self.readings[-1]
        rule = f"Dashed: {last.note}, {WITHOUT}" if last.bound else ""
        return " ".join(filter(None, [f"{whose}step {last.step:,}: {last.words}", rule, self.fault]))


class Gauge:
    """Reads the sharpness of a training between two of its events, and changes no bit of it.

    plain descent: bound 2 / lr ;  momentum b: (2 + 2 b) / lr ;  Nesterov: (2 + 2 b) / (lr (1 + 2 b))
    The bound is that of full batches; small ones stay below it. The loss is the recipe's, label smoothing included and
    weight decay left out, over training images without augmentation, with the statistics that batch normalisation
    has learned. Each reading starts from the last one's two sharpest directions, and looks for new ones.

    Args:
        session: the training.
        samples: what the loss is the mean over; up to 512 training images by default.
    Raises:
        ValueError: when it is read, and the loss is no longer finite.
    Example:
        >>> from lab.recipe import Recipe
        >>> session = Training(Recipe(optimizer={"name": "sgd", "lr": 0.1}), device="cpu")
        >>> Gauge(session)().bound
        20.0

    Source: Cohen et al. 2021, arXiv 2103.00065, section 2.
    """

    def __init__(self, session: Training, samples: Samples | None = None) -> None:
        self.session = session
        self.samples = samples or samples_of(session, split="training", count=SAMPLES)
        self.earlier: Eigenpairs | None = None

    def __call__(self) -> Reading:
        """What it is now."""
        session = self.session
        curvature = Curvature(session.model, self.samples, loss=loss_of(session.recipe), dtype=session.dtype)
        found, self.earlier = at_once(reading(curvature, session.step, bound_of(session), self.earlier))
        return found


def reading(
    curvature: Curvature, step: int, bound: Bound, earlier: Eigenpairs | None
) -> Generator[None, None, tuple[Reading, Eigenpairs]]:
    """What a gauge reads at a place, with chances to stop; and what the next reading may start from.

    Args:
        curvature: of the loss that is trained, at that place.
        earlier: what the last reading has left.
    Raises:
        ValueError: the loss is no longer finite.
    """
    samples = curvature.samples
    found = yield from curvature.seeking(tolerance=TOLERANCE, most=MOST_PRODUCTS, seed=step, earlier=earlier)
    error = yield from curvature.erring(found.vectors[0])
    value, residual = float(found.values[0]), float(found.residuals[0])
    return Reading(step, value, residual, error, *bound, len(samples), samples.total, found.products), found


def loss_of(recipe: Recipe) -> Loss:
    """Cross-entropy with the recipe's label smoothing, summed over the images."""
    return partial(functional.cross_entropy, label_smoothing=recipe.label_smoothing, reduction="sum")


def bound_of(session: Training) -> Bound:
    """The largest curvature at which plain steps of the last rate still shrink, and its rule; or why there is none."""
    if why := why_unbound(session):
        return None, why
    lr, momentum, nesterov = (session.optimizer.param_groups[0][key] for key in ("lr", "momentum", "nesterov"))
    if lr == 0:
        return None, "The rate is 0."
    b = f"{momentum:g}"
    rule = f"(2 + 2 x {b}) / " + (f"(lr (1 + 2 x {b}))" if nesterov else "lr") if momentum else "2 / lr"
    return (2 + 2 * momentum) / (lr * (1 + 2 * momentum * nesterov)), rule


def bound_seen(session: Training) -> Bound:
    """The same for the weights that a network is used with: there is none where these are a mean of those that step."""
    if session.recipe.average.name != "nothing":
        return None, "The weights are a mean of those that step, and 2 / lr is a bound for those."
    return bound_of(session)


def why_unbound(session: Training) -> str:
    """Why there is no curvature of the loss that the rate can just bear; empty where there is one."""
    recipe = session.recipe
    if type(session.optimizer) is not torch.optim.SGD:
        return (
            f"{recipe.optimizer.name} does not step by one rate along the gradient, so that no sharpness is its "
            f"edge.{scaled_edge(session)}"
        )
    if recipe.gradient or recipe.clip_norm:
        return "The gradient is changed before the step, so that 2 / lr is not its bound."
    if recipe.depth_decay != 1:
        return "The layers have rates of their own, so that there is no one bound."
    if recipe.objective.name not in ONLY_CLASSES:
        return f"The loss of {recipe.objective.name} has more in it than the classes, whose sharpness is measured."
    return ""


def scaled_edge(session: Training) -> str:
    """Where that other sharpness has its edge, which no gauge here reads: 38 / lr at beta1 0.9."""
    if type(session.optimizer) not in (torch.optim.Adam, torch.optim.AdamW):
        return ""
    beta1, _ = session.optimizer.param_groups[0]["betas"]
    edge = f"{(2 + 2 * beta1) / (1 - beta1):.3g} / lr"
    return (
        f" What it keeps at the edge is the sharpness after its own scaling, whose edge is {edge} and which is not "
        "measured here (Cohen et al. 2022, arXiv 2207.14484)."
    )
