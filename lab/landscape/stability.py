"""The edge of stability: a training's sharpest curvature beside the largest that its learning rate can bear."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import nan

import torch
from torch.nn import functional

from lab.landscape.curvature import Curvature, Loss
from lab.landscape.eigenpairs import Eigenpairs
from lab.landscape.samples import Samples, samples_of
from lab.recipe import Recipe
from lab.training import Training

SAMPLES = 512
TOLERANCE = 0.02  # of the sharpness: far less than what it moves by from step to step at the edge
MOST_PRODUCTS = 40


@dataclass(frozen=True)
class Reading:
    """How sharp the loss is where a training stands.

    sharpness: the largest eigenvalue of the Hessian of the mean loss over `samples` of the `total` training images;
    residual: how far off it is, for these samples; error: the standard error of the curvature along its direction, as
    that of all training images (`Curvature.error`), 0 where all were used. bound: above it plain steps grow instead of
    shrink, on a quadratic loss; None where there is no such bound, and `note` says why. products:
    of the Hessian with a vector.
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
        found = curvature.eigenpairs(tolerance=TOLERANCE, most=MOST_PRODUCTS, seed=session.step, earlier=self.earlier)
        self.earlier, top = found, found.vectors[0]
        bound, note = bound_of(session)
        return Reading(
            session.step,
            float(found.values[0]),
            float(found.residuals[0]),
            curvature.error(top),
            bound,
            note,
            len(self.samples),
            self.samples.total,
            found.products,
        )


def loss_of(recipe: Recipe) -> Loss:
    """Cross-entropy with the recipe's label smoothing, summed over the images."""
    return partial(functional.cross_entropy, label_smoothing=recipe.label_smoothing, reduction="sum")


def bound_of(session: Training) -> tuple[float | None, str]:
    """The largest curvature at which plain steps of the last rate still shrink, or why there is no such bound."""
    recipe, groups = session.recipe, session.optimizer.param_groups
    if type(session.optimizer) is not torch.optim.SGD:
        return None, (
            f"{recipe.optimizer.name} does not step by one rate along the gradient: what it keeps at the edge is the "
            "sharpness after its own scaling, not this one (Cohen et al. 2022, arXiv 2207.14484)."
        )
    if recipe.gradient or recipe.clip_norm:
        return None, "The gradient is changed before the step, so that 2 / lr is not its bound."
    if recipe.depth_decay != 1:
        return None, "The layers have rates of their own, so that there is no one bound."
    lr, momentum, nesterov = (groups[0][key] for key in ("lr", "momentum", "nesterov"))
    if lr == 0:
        return None, "The rate is 0."
    return (2 + 2 * momentum) / (lr * (1 + 2 * momentum * nesterov)), ""
