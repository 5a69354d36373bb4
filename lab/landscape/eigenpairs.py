"""The largest eigenvalues and the trace of a symmetric matrix that is known by its products with vectors only."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lab.landscape.trails import at_once

Product = Callable[[Tensor], Tensor]
Multiplying = Callable[[Tensor], Generator[None, None, Tensor]]  # the same with chances to stop

COUNT, TOLERANCE, MOST, PROBES = 2, 0.01, 100, 32  # eigenvalues; of their residuals; products at most; for a trace
ROUNDING = 100  # machine epsilons, of the largest value: sums of up to 10,000 terms are off by the root of that
TINY = 1e-6  # of the largest value: a rest below this is rounding, in float32 too


@dataclass(frozen=True)
class Eigenpairs:
    """The largest eigenvalues of a symmetric matrix H, and how far off each is.

    values: (k,) the largest first; negative ones come last, however long. vectors: (k, p) of length 1.
    residuals: (k,) |H v - value v|, and no less than the rounding of the products may leave (`ROUNDING`; in float32
    1e-5 of the largest value). Some eigenvalue lies within the residual of each value; that no larger one was missed is
    likely, and not proven, and one that occurs several times may be found once only.
    products: of H with a vector, that it took. converged: every residual is within the tolerance.

    Source: Parlett, The Symmetric Eigenvalue Problem, 1998, theorem 4.5.1 (the residual bounds the error).
    """

    values: np.ndarray
    vectors: Tensor
    residuals: np.ndarray
    products: int
    converged: bool

    def start(self, seed: int, noise: float) -> Tensor:
        """(p,) where to look for them again after the matrix has changed a little: their sum, and some noise.

        noise: its length as a share of the sum's. Without any, what is new would stay unseen.
        """
        earlier = self.vectors.sum(0)
        return earlier / earlier.norm() + noise * unit(earlier, torch.Generator().manual_seed(seed))


@dataclass(frozen=True)
class Trace:
    """An estimate of a trace, its standard error, and how many vectors it was probed with."""

    value: float
    error: float
    probes: int


class Krylov:
    """A basis of the space of start, H start, H^2 start, ..., and the tridiagonal matrix that H is in it."""

    def __init__(self, start: Tensor, generator: torch.Generator) -> None:
        self.generator = generator
        self.rows = [start / start.norm()]
        self.diagonal: list[float] = []
        self.beside: list[float] = []  # the last one belongs to the row that comes next

    def grow(self, rest: Tensor) -> None:
        """One more row, from the product with the last; where the space ends, a new one begins with a random row."""
        self.diagonal.append(float(rest @ self.rows[-1]))
        scale = max(map(abs, [*self.diagonal, *self.beside]))
        rest = cleared(rest, self.rows)
        length = float(rest.norm())
        if not length > TINY * scale:
            rest, length = cleared(unit(rest, self.generator), self.rows), 0.0
        self.beside.append(length)
        self.rows.append(rest / rest.norm())

    def ritz(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The largest values so far, (k,), their mixtures of the rows, (rows, k), and their residuals, (k,)."""
        within = self.beside[:-1]
        values, mixtures = np.linalg.eigh(np.diag(self.diagonal) + np.diag(within, 1) + np.diag(within, -1))
        order = np.argsort(-values)[:count]
        return values[order], mixtures[:, order], self.beside[-1] * np.abs(mixtures[-1, order])

    def mixed(self, mixtures: np.ndarray) -> Tensor:
        """(k, p) sums of the rows, of length 1."""
        vectors = torch.zeros(mixtures.shape[1], len(self.rows[0])).to(self.rows[0])
        for row, shares in zip(self.rows, mixtures, strict=False):  # the last row has no product yet
            vectors += torch.from_numpy(shares).to(row)[:, None] * row
        return vectors / vectors.norm(dim=1, keepdim=True)


def lanczos(
    product: Product,
    start: Tensor,
    *,
    count: int = COUNT,
    tolerance: float = TOLERANCE,
    least: int = 0,
    most: int = MOST,
    seed: int = 0,
) -> Eigenpairs:
    """The largest eigenvalues and their vectors, by Lanczos' iteration with full re-orthogonalisation.

    b_j q_(j+1) = H q_j without its parts along q_1 ... q_j, which are taken out twice ;  T = Q^T H Q
    residual = b_k |last number of T's eigenvector|
    It stops when every residual is within `tolerance` of its value, or after `most` products. Keeps one vector of
    p numbers for each product.

    Args:
        product: (p,) -> H times it.
        start: (p,) random, or what `Eigenpairs.start` gives; decides type and device.
        count: how many values; all there are if the matrix has fewer.
        tolerance: of the residual, as a share of the value.
        least: products, even where the residuals are small before: so many find what the start did not point to.
        most: products, at least `count`.
        seed: of the row with which a new space begins, should one end early.
    Raises:
        ValueError: count below 1, most below count, or a product that is not finite.
    Source: Lanczos 1950; Parlett 1998, chapter 13.
    """
    return at_once(
        seeking(in_one_go(product), start, count=count, tolerance=tolerance, least=least, most=most, seed=seed)
    )


def seeking(
    multiplying: Multiplying, start: Tensor, *, count: int, tolerance: float, least: int, most: int, seed: int
) -> Generator[None, None, Eigenpairs]:
    """The same, with chances to stop, as the product gives them."""
    if not 1 <= count <= most:
        raise ValueError(
            f"count is {count} and most {most}, but there must be 1 value or more, and a product for each."
        )
    space = Krylov(start, torch.Generator().manual_seed(seed))
    size = len(start)
    while True:
        space.grow(finite((yield from multiplying(space.rows[-1]))))
        values, mixtures, residuals = space.ritz(count)
        done = len(space.diagonal)
        enough = done > min(count, size - 1) and done >= least  # the first few may agree by chance
        converged = enough and bool((residuals <= tolerance * np.abs(values)).all())
        if converged or done >= min(most, size):
            known = np.maximum(residuals, ROUNDING * torch.finfo(start.dtype).eps * np.abs(values).max())
            return Eigenpairs(values, space.mixed(mixtures), known, done, converged or done == size)


def trace_of(product: Product, like: Tensor, *, probes: int = PROBES, seed: int = 0) -> Trace:
    """The trace of a symmetric matrix by Hutchinson's estimate, with its standard error.

    mean of v^T H v over vectors v of random signs ;  error = standard deviation / sqrt(probes)

    Args:
        product: (p,) -> H times it.
        like: (p,) of the type and on the device of the vectors.
    Raises:
        ValueError: fewer than 2 probes, or a product that is not finite.
    Source: Hutchinson 1990, doi 10.1080/03610919008812866; for networks: Yao et al. 2020, arXiv 1912.07145 (PyHessian).
    """
    found = [float(signs @ finite(product(signs))) for signs in probing(like, probes, seed)]
    return Trace(float(np.mean(found)), error_of(found), probes)


def probing(like: Tensor, probes: int, seed: int) -> Iterator[Tensor]:
    """(p,) vectors of random signs, the same on every device. Raises ValueError for fewer than 2."""
    if probes < 2:
        raise ValueError(f"probes is {probes}, but a standard error needs at least 2.")
    generator = torch.Generator().manual_seed(seed)
    for _ in range(probes):
        yield (2 * torch.randint(2, like.shape, generator=generator) - 1).to(like)


def error_of(draws: Sequence[float] | np.ndarray) -> float:
    """Standard error of the mean of independent draws."""
    return float(np.std(draws, ddof=1)) / len(draws) ** 0.5


def in_one_go(product: Product) -> Multiplying:
    """A product with a chance to stop after the whole."""

    def multiplying(vector: Tensor) -> Generator[None, None, Tensor]:
        found = product(vector)
        yield
        return found

    return multiplying


def unit(like: Tensor, generator: torch.Generator) -> Tensor:
    """(p,) of length 1, in a random direction that is the same on every device."""
    drawn = torch.randn(like.shape, generator=generator).to(like)
    return drawn / drawn.norm()


def cleared(vector: Tensor, rows: list[Tensor]) -> Tensor:
    """What is left of a vector at right angles to all rows; taken twice, as once leaves rounding behind."""
    rest = vector.clone()
    for _ in range(2):
        for row in rows:
            rest -= (rest @ row) * row
    return rest


def finite(vector: Tensor) -> Tensor:
    """Raises ValueError unless all numbers are finite."""
    if not bool(vector.isfinite().all()):
        raise ValueError(
            "The curvature is not finite here: the loss, or its gradient, has left the range of its numbers. "
            "Take weights with a finite loss, or dtype float64."
        )
    return vector
