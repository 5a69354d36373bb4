"""Numbers beside the pictures: how sharp the loss is where runs ended, how high between two; with errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal

from lab.followed import Followed
from lab.landscape.curvature import Curvature
from lab.landscape.shape import barrier, negative_share, sharpness
from lab.landscape.surfaces import Surface
from lab.landscape_scenes import fixed
from lab.views import Normalisation

ErrorKind = Literal["residual", "standard error"]
SHARPNESS: dict[Normalisation, str] = {"none": "sharpness, raw", "filter": "sharpness by filter"}
HEIGHT = "barrier"


@dataclass(frozen=True)
class Number:
    """What was measured, and what it may be off by; both None where it has no finite value, and why says why.

    where: what else belongs to it, in words.
    """

    name: str
    value: float | None
    error: float | None
    kind: ErrorKind
    where: str = ""
    why: str = ""

    @property
    def text(self) -> str:
        """12.3 ± 0.04; nothing behind it where it is of all images, which leaves no error."""
        if self.value is None:
            return "none"
        return f"{self.value:.3g} ± {self.error:.2g}" if self.error else f"{self.value:.3g}"

    @property
    def sentence(self) -> str:
        """For a place without a table."""
        return f"{self.name.capitalize()}: {self.text} {self.where}".strip() + (
            f" ({self.kind})." if self.error else "."
        )


def numbers_of(run: Followed, *, seed: int) -> list[Number]:
    """Eigenvalues, trace and sharpness where a run ended, on the images of its picture and with stored statistics."""
    curvature = Curvature(run.model, run.samples, dtype=run.dtype)
    found = [
        *tried(("largest eigenvalue", "second eigenvalue"), "residual", lambda: eigenvalues(curvature, seed)),
        *tried(("trace of the Hessian",), "standard error", lambda: trace(curvature, seed)),
    ]
    for normalisation, name in SHARPNESS.items():
        found += tried((name,), "standard error", lambda which=normalisation: rise(run, which, seed))
    return found


def heights_between(runs: Sequence[Followed]) -> list[Number]:
    """The barrier between the ends of two runs whose loss is one function of the weights; empty for others."""
    if len(runs) != 2 or fixed(runs[0]) != fixed(runs[1]):
        return []
    first, last = runs
    at: list[str] = []

    def measure() -> Iterator[tuple[float, float]]:
        found = barrier(last.model, first.end, last.end, last.samples, dtype=last.dtype)
        at.append(f"nats, {found.at:.0%} of the way from {first.name} to {last.name}")
        yield found.height, found.error

    (number,) = tried((HEIGHT,), "standard error", measure)
    return [replace(number, where="".join(at))]


def bent_down(surface: Surface) -> float | None:
    """Share of negative second differences of a picture; None where there are none to count."""
    try:
        return negative_share(surface)
    except ValueError:
        return None


def eigenvalues(curvature: Curvature, seed: int) -> Iterator[tuple[float, float]]:
    pairs = curvature.eigenpairs(seed=seed)
    return zip(pairs.values.tolist(), pairs.residuals.tolist(), strict=True)


def trace(curvature: Curvature, seed: int) -> Iterator[tuple[float, float]]:
    found = curvature.trace(seed=seed)
    yield found.value, found.error


def rise(run: Followed, normalisation: Normalisation, seed: int) -> Iterator[tuple[float, float]]:
    found = sharpness(run.model, run.samples, normalisation=normalisation, seed=seed, dtype=run.dtype)
    yield found.rise, found.error


def tried(names: Sequence[str], kind: ErrorKind, measure: Callable[[], Iterator[tuple[float, float]]]) -> list[Number]:
    """A number for each name; where a loss is not finite there is none, and that is no reason to lose the others."""
    try:
        found, why = list(measure()), "its loss is not finite"
    except ValueError as error:
        found, why = [], str(error)
    pairs = dict(zip(names, found, strict=False))
    return [
        Number(name, *pairs[name], kind)
        if name in pairs and all(map(isfinite, pairs[name]))
        else Number(name, None, None, kind, why=why)
        for name in names
    ]
