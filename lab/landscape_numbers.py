"""Numbers beside the pictures: how sharp the loss is where runs ended, how high between two; with errors."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from math import hypot, isfinite
from typing import Literal, Protocol

import torch
from torch import nn

from lab.followed import Followed
from lab.landscape.brief import statistics_words
from lab.landscape.curvature import Curvature
from lab.landscape.evaluators import has_batchnorm
from lab.landscape.samples import Samples
from lab.landscape.scenes import share
from lab.landscape.shape import Share, barrier, negative_share, rising
from lab.landscape.stability import MOST_PRODUCTS, TOLERANCE, loss_of
from lab.landscape.surfaces import Surface
from lab.landscape.weights import trained
from lab.views import BatchNormMode, Normalisation

ErrorKind = Literal[
    "standard error over images",
    "standard error over images, and residual",
    "standard error over probe vectors and images",
    "standard error over directions and images",
]
SHARPNESS: dict[Normalisation, str] = {"none": "sharpness, raw", "filter": "sharpness by filter"}
HEIGHT, EDGE = "barrier", "share of the edge"
ROOT: ErrorKind = "standard error over images, and residual"  # as the sides of a right angle
Pairs = list[tuple[float, float]]  # values and their errors
Work = Generator[None, None, Pairs]  # with chances to stop


class Place(Protocol):
    """Where numbers are measured: a network as it is used, and the images that its loss is the mean over."""

    @property
    def model(self) -> nn.Module: ...
    @property
    def samples(self) -> Samples: ...
    @property
    def dtype(self) -> torch.dtype: ...


@dataclass(frozen=True)
class Number:
    """What was measured, and what it may be off by; both None where it has no finite value, and why says why.

    where: what else belongs to it, in words. at: of which step it is, in words, where it stands beside a picture.
    """

    name: str
    value: float | None
    error: float | None
    kind: ErrorKind
    where: str = ""
    why: str = ""
    at: str = ""

    @property
    def text(self) -> str:
        """12.3 ± 0.04; nothing behind it where it is of all images, which leaves no error."""
        if self.value is None:
            return "none"
        return f"{self.value:.3g} ± {self.error:.2g}" if self.error else f"{self.value:.3g}"

    @property
    def sentence(self) -> str:
        """For a place without a table."""
        if self.value is None:
            return f"No {self.name}: {self.why.rstrip('.')}."
        return f"{self.name.capitalize()}: {self.text} {self.where}".strip() + (
            f" ({self.kind})." if self.error else "."
        )


def numbers_of(run: Place, *, seed: int) -> list[Number]:
    """Eigenvalues, trace and sharpness where a run ended, on the images of its picture and with stored statistics."""
    return [number for number in measuring_numbers(run, seed=seed) if number]


def measuring_numbers(run: Place, *, seed: int) -> Iterator[Number | None]:
    """The same one by one, and None wherever there is a chance to stop."""
    curvature = Curvature(run.model, run.samples, dtype=run.dtype)
    yield from trying(("largest eigenvalue", "second eigenvalue"), ROOT, lambda: eigenvalues(curvature, seed))
    yield from trying(
        ("trace of the Hessian",), "standard error over probe vectors and images", lambda: trace(curvature, seed)
    )
    for normalisation, name in SHARPNESS.items():
        yield from trying(
            (name,), "standard error over directions and images", lambda which=normalisation: rise(run, which, seed)
        )


def measuring_edge(run: Followed, edge: tuple[float | None, str], samples: Samples) -> Iterator[Number | None]:
    """The largest eigenvalue of what is trained on, as a share of what the rate can bear: 1 is the edge of stability.

    Args:
        edge: the largest that it can bear, or why there is no such bound, as `bound_of` says.
        samples: training images.
    """
    bound, note = edge
    if bound is None:
        yield Number(EDGE, None, None, ROOT, why=note)
        return
    found: list[float] = []

    def measure() -> Work:
        curvature = Curvature(run.model, samples, loss=loss_of(run.recipe), dtype=run.dtype)
        pairs = yield from curvature.seeking(tolerance=TOLERANCE, most=MOST_PRODUCTS)
        found.append(float(pairs.values[0]))
        error = yield from curvature.erring(pairs.vectors[0])
        return [(found[0] / bound, hypot(error, float(pairs.residuals[0])) / bound)]

    for number in trying((EDGE,), ROOT, measure):
        where = f"{found[0]:.3g} of {bound:.3g} on {len(samples):,} training images" if found else ""
        yield number and replace(number, where=where)


def heights_between(runs: Sequence[Followed]) -> list[Number]:
    """The barrier between the ends of two runs whose loss is one function of the weights; empty for others."""
    if len(runs) != 2 or runs[0].function != runs[1].function:
        return []
    first, last = runs
    at: list[str] = []

    def measure() -> Work:
        yield
        found = barrier(last.model, first.end, last.end, last.samples, dtype=last.dtype)
        where = f"{found.at:.0%} of the way" if found.height else "nowhere above the straight line"
        on = images_words(found.samples, found.batchnorm if has_batchnorm(last.model) else None)
        at.append(f"nats, {where} from {first.name} to {last.name}, on {on}")
        return [(found.height, found.error)]

    numbers = [number for number in trying((HEIGHT,), "standard error over images", measure) if number]
    return [replace(number, where="".join(at)) for number in numbers]


def place_words(run: Followed, step: int) -> str:
    """Of which step numbers are, and what they were measured on: always with stored statistics, unlike a picture."""
    return f"step {step:,}, {images_words(run.samples, 'stored' if has_batchnorm(run.model) else None)}"


def images_words(on: Samples, batchnorm: BatchNormMode | None) -> str:
    """batchnorm: whose statistics were used; None where a network has none."""
    images = f"{'all' if len(on) == on.total else f'{len(on):,} of'} {on.total:,} {on.split} images"
    return ", ".join(filter(None, [images, statistics_words(batchnorm)]))


def bent_down(surface: Surface) -> Share | None:
    """Share of negative second differences of a picture; None where there are none to count."""
    try:
        return negative_share(surface)
    except ValueError:
        return None


def bends_in_words(found: Share | None) -> str:
    """Nothing where nothing was counted."""
    if found is None:
        return ""
    off = f" ± {share(float(f'{found.error:.1g}'))}" if isfinite(found.error) else ""
    whose = f" (standard error over {found.parts} parts of the picture, on these images)" if off else ""
    return f"{share(found.value)}{off} of the second differences are negative{whose}."


def eigenvalues(curvature: Curvature, seed: int) -> Work:
    pairs = yield from curvature.seeking(seed=seed)
    found: Pairs = []
    for value, vector, residual in zip(pairs.values.tolist(), pairs.vectors, pairs.residuals.tolist(), strict=True):
        error = yield from curvature.erring(vector)
        found.append((value, hypot(error, residual)))
    return found


def trace(curvature: Curvature, seed: int) -> Work:
    found = yield from curvature.tracing(seed=seed)
    return [(found.value, found.error)]


def rise(run: Place, normalisation: Normalisation, seed: int) -> Work:
    found = yield from rising(run.model, run.samples, trained(run.model), normalisation, seed=seed, dtype=run.dtype)
    return [(found.rise, found.error)]


def trying(names: Sequence[str], kind: ErrorKind, measure: Callable[[], Work]) -> Iterator[Number | None]:
    """A number for each name; where a loss is not finite there is none, and that is no reason to lose the others."""
    found: Pairs = []
    try:
        found, why = (yield from measure()), "its loss is not finite"
    except ValueError as error:
        why = str(error)
    pairs = dict(zip(names, found, strict=False))
    for name in names:
        known = name in pairs and all(map(isfinite, pairs[name]))
        yield Number(name, *pairs[name], kind) if known else Number(name, None, None, kind, why=why)
