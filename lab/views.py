"""What is drawn of runs in the space of their weights, and how its losses are measured; checked before any work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from lab.catalogue import RecipeError, unknown

PlaneName = Literal["random", "path", "joint", "line", "points", "hessian"]
SplitName = Literal["training", "validation"]
BatchNormMode = Literal["stored", "batch"]
Normalisation = Literal["filter", "layer", "none"]
Precision = Literal["float32", "bfloat16", "float64"]
CHOICES: dict[str, tuple[str, ...]] = {
    "plane": get_args(PlaneName),
    "split": get_args(SplitName),
    "batchnorm": get_args(BatchNormMode),
    "normalisation": get_args(Normalisation),
    "precision": get_args(Precision),
}
SIZE, SIZES, LEAST_IMAGES = 33, (5, 201), 2
ENOUGH = 0.5  # of a level: a contour is off by less than the distance to the next one


@dataclass(frozen=True)
class Lens:
    """How losses are measured, at snapshots and on planes alike: on which images, with which statistics.

    samples: images, or fewer if the split has no more; None is all of them. seed: of their draw. batchnorm: statistics
    as stored, or those of each batch of batch_size images.
    """

    split: SplitName = "validation"
    samples: int | None = 1024
    seed: int = 0
    batchnorm: BatchNormMode = "stored"
    batch_size: int = 128

    def __post_init__(self) -> None:
        check(self, "split", "batchnorm")
        if self.samples is not None and self.samples < LEAST_IMAGES:
            raise RecipeError(f"samples is {self.samples}, but a standard error needs at least {LEAST_IMAGES} images.")

    @property
    def own_batch_size(self) -> int | None:
        """That the values depend on, if they do."""
        return self.batch_size if self.batchnorm == "batch" else None


@dataclass(frozen=True)
class View:
    """What is drawn of runs: on which plane, with how many points along a side, and how these are measured.

    plane: by default the one that shows their paths, and a random one for runs of which no path is kept.
    normalisation: of random directions; their seed is that of the lens. precision: of the surface's arithmetic; by
    default float64 for runs trained in it and float32 for all others. bfloat16 is mixed, and says what it is off by.
    enough: how large standard errors may be, as a share of a level's height: as many of the lens' samples are taken as
    that needs; 0 takes all. exact: points along a side that are measured, and a spline for the others, with its error;
    None measures all. replay: of how many earlier snapshots at most there is a surface too, by 33 points each.
    """

    plane: PlaneName | None = None
    size: int = SIZE
    normalisation: Normalisation = "filter"
    precision: Precision | None = None
    enough: float = ENOUGH
    exact: int | None = None
    replay: int = 20
    lens: Lens = field(default_factory=Lens)

    def __post_init__(self) -> None:
        check(self, "normalisation", *(name for name in ("plane", "precision") if getattr(self, name)))
        if not SIZES[0] <= self.size <= SIZES[1]:
            raise RecipeError(f"size is {self.size}, but must be from {SIZES[0]} to {SIZES[1]} points along a side.")
        if not 0 <= self.enough <= 1:
            raise RecipeError(f"enough is {self.enough}, but must be from 0 (all samples) to 1 (a level's height).")
        if self.replay < 0:
            raise RecipeError(f"replay is {self.replay}, but must be a number of snapshots: 0 replays no surface.")
        if self.exact is not None and self.exact not in nested(self.size):
            allowed = ", ".join(map(str, nested(self.size))) or "no number: choose another size, 33 for one"
            raise RecipeError(f"exact is {self.exact}, but of {self.size} points along a side can be: {allowed}.")


def nested(size: int) -> list[int]:
    """How many points along a side may be measured, by halves: odd, so that every second one can be held out.

    Example:
        >>> nested(33)
        [17, 9, 5]
    """
    half = (size + 1) // 2
    return [half, *nested(half)] if size % 2 and half % 2 and half >= SIZES[0] else []


def check(given: Any, *names: str) -> None:
    for name in names:
        if (value := getattr(given, name)) not in CHOICES[name]:
            raise RecipeError(unknown(name, value, CHOICES[name]))
