"""The path of a run through the weights, and the planes that show most of it, of one run or of several.

The axes come from the snapshots' inner products: one row is added with each snapshot, and no decomposition of
(snapshots, weights) is ever made. They are the axes of its SVD: if G = X X^T = V L V^T, the axes are X^T V / sqrt(L).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from copy import copy
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from lab.landscape.planes import Origin, Plane, Projection, check_alike
from lab.landscape.weights import Weights, flat, orthonormal, shaped

Found = TypeVar("Found")
BUDGET_BYTES = 512 * 2**20
NO_PATH = "A path needs at least three snapshots that differ: train on, or take snapshots more often."


class Trail:
    """Snapshots of a run, kept as float32 differences from the first one, with their inner products.

    Memory never passes `budget_bytes`: a full trail forgets every second snapshot before it takes one more, and takes
    half as many from then on. The first and the newest are always there.

    Args:
        budget_bytes: for the snapshots of this run.
    Raises:
        ValueError: not even four snapshots fit the budget.
    """

    def __init__(self, start: Mapping[str, Tensor], step: int = 0, *, budget_bytes: int = BUDGET_BYTES) -> None:
        self.start: Weights = {name: tensor.detach().cpu().clone() for name, tensor in start.items()}
        self.origin = flat(self.start)
        fit = budget_bytes // (4 * len(self.origin))
        if fit < 4:
            raise ValueError(f"{budget_bytes:,} bytes hold {fit} snapshots of this network; give it room for 4.")
        self.room = fit - fit % 2  # even: every second one forgotten, the next that is offered follows at an equal gap
        self.steps, self.offsets = [step], [torch.zeros(len(self.origin))]
        self.gram = np.zeros((1, 1))
        self._stride, self._offered = 1, 0

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def bytes(self) -> int:
        """That the snapshots take."""
        return 4 * len(self) * len(self.origin)

    def add(self, weights: Mapping[str, Tensor], step: int, *, always: bool = False) -> None:
        """Take a snapshot: one copy of the weights, and one inner product with each snapshot before.

        Args:
            always: take it however many a full trail leaves out between two.
        Raises:
            ValueError: weights of another network.
        """
        self._offered += 1
        if self._offered % self._stride and not always:
            return
        check_alike(self.start, weights, "the snapshot")
        offset = (flat({name: weights[name].detach().cpu() for name in self.start}) - self.origin).float()
        if len(self) == self.room:
            self._thin()
        row = [float(torch.dot(offset, other)) for other in self.offsets]
        own = float(torch.dot(offset, offset))
        self.gram = np.block([[self.gram, np.array(row)[:, None]], [np.array([*row, own])[None]]])
        self.steps.append(step)
        self.offsets.append(offset)

    def _thin(self) -> None:
        keep = list(range(0, len(self), 2))
        self.steps, self.offsets = [self.steps[i] for i in keep], [self.offsets[i] for i in keep]
        self.gram, self._stride = self.gram[np.ix_(keep, keep)], 2 * self._stride

    def as_it_is(self) -> Trail:
        """One that shares the snapshots so far, and takes no part in what comes."""
        still = copy(self)
        still.steps, still.offsets = list(self.steps), list(self.offsets)
        return still

    def weights(self, index: int) -> Weights:
        """The snapshot's weights, up to the rounding of float32."""
        return shaped(self.origin + self.offsets[index], self.start)

    def projections(self, plane: Plane) -> list[Projection]:
        """Where each snapshot lies on a plane, and how far off it."""
        return [plane.project(self.weights(index)) for index in range(len(self))]

    def places(self, plane: Plane, indices: Sequence[int] | None = None) -> np.ndarray:
        """(k, 2) where each snapshot, or each of these, lies on a plane, in float32: for pictures, and fast."""
        offsets = self.offsets if indices is None else [self.offsets[index] for index in indices]
        directions = torch.stack([flat(each).cpu() for each in plane.directions]).double()
        shift = directions @ (self.origin.double() - flat(plane.centre).cpu().double())
        axes = directions.float()
        along = torch.stack([(axes @ offset).double() for offset in offsets]) + shift
        return torch.linalg.solve(directions @ directions.T, along.T).T.numpy()

    def explained_by(self, plane: Plane) -> float:
        """Share of this path's variance about its mean that lies along the plane's directions."""
        total = float(np.trace(centred(self.gram)))
        if total <= 0:
            return 0.0
        axes = torch.stack([flat(axis).float().cpu() for axis in orthonormal(plane.directions)])
        along = np.array([(axes @ offset).double().tolist() for offset in self.offsets])
        return float(((along - along.mean(0)) ** 2).sum() / total)


def path_plane(trail: Trail, *, centre: Literal["last", "mean"] = "last") -> Plane:
    """The two directions in which a path varies most, through its last point or through its mean.

    Directions of length 1 at right angles. Their signs are such that the path ends on the positive side. Through the
    last point the plane is exact where the run ended and may mislead about its beginning: print the true loss too.

    Raises:
        ValueError: fewer than three snapshots that differ.
    Source: Li et al. 2018, arXiv 1712.09913, section 7.2; Lorch 2016.
    """
    return at_once(laying_path(trail, centre=centre))


def laying_path(trail: Trail, *, centre: Literal["last", "mean"] = "last") -> Generator[None, None, Plane]:
    """The same, with chances to stop; snapshots that come meanwhile are left out."""
    trail = trail.as_it_is()
    axes, explained = yield from finding_axes([trail])
    middle = trail.origin + torch.stack(trail.offsets).mean(0) if centre == "mean" else None
    point = trail.weights(-1) if middle is None else shaped(middle, trail.start)
    return Plane(
        point,
        tuple(shaped(axis, trail.start) for axis in axes),
        Origin("path", explained=explained, note=f"through the {centre} point"),
    )


def joint_plane(trails: Sequence[Trail]) -> Plane:
    """One plane for two to eight runs: the axes of all their snapshots together, through the mean of their ends.

    Every snapshot counts alike; give runs as many snapshots each, or the longer one decides.

    Raises:
        ValueError: one run or more than eight, different networks, or paths that span no plane.
    """
    return at_once(laying_joint(trails))


def laying_joint(trails: Sequence[Trail]) -> Generator[None, None, Plane]:
    """The same, with chances to stop; snapshots that come meanwhile are left out."""
    if not 2 <= len(trails) <= 8:
        raise ValueError(f"A joint plane is for 2 to 8 runs, not {len(trails)}.")
    trails = [trail.as_it_is() for trail in trails]
    for trail in trails[1:]:
        check_alike(trails[0].start, trail.start, "a run")
    axes, explained = yield from finding_axes(trails)
    like = trails[0].start
    ends = torch.stack([trail.origin + trail.offsets[-1] for trail in trails]).double().mean(0)
    return Plane(
        shaped(ends, like),
        tuple(shaped(axis, like) for axis in axes),
        Origin("joint", explained=explained, note=f"{len(trails)} runs"),
    )


def only_stops(work: Generator[object, None, Found]) -> Generator[None, None, Found]:
    """The same work, that hands out nothing at its chances to stop."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
        yield


def at_once(work: Generator[None, None, Found]) -> Found:
    """What work with chances to stop comes to, without any."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def scatter(trails: Sequence[Trail]) -> float:
    """Sum of the squared distances of all snapshots from their mean: within the runs, and of the runs' means."""
    within = sum(float(np.trace(centred(trail.gram))) for trail in trails)
    if len(trails) == 1:
        return within
    origin, counts = trails[0].origin, torch.tensor([float(len(trail)) for trail in trails])
    means = torch.stack([trail.origin - origin + sum(trail.offsets) / len(trail) for trail in trails])
    away = (means - counts @ means / counts.sum()).double().square().sum(1)
    return within + float(counts.double() @ away)


def finding_axes(trails: Sequence[Trail]) -> Generator[None, None, tuple[Tensor, float]]:
    """(2, p) the axes of length 1 along which all snapshots vary most, and the share of the variance they explain."""
    shifts = [trail.origin - trails[0].origin for trail in trails]
    gram = centred((yield from gathering(trails, shifts)))
    values, vectors = np.linalg.eigh(gram)
    total = float(np.clip(values, 0, None).sum())
    if len(values) < 3 or not values[-2] > 1e-9 * max(total, 1e-300):
        raise ValueError(NO_PATH)
    top = vectors[:, [-1, -2]]
    top = top * np.where(top[-1] < 0, -1.0, 1.0)  # the last snapshot lies on the positive side
    axes = yield from combining(trails, shifts, top - top.mean(0))
    return axes / axes.norm(dim=1, keepdim=True), float(values[-2:].sum() / total)


def centred(gram: np.ndarray) -> np.ndarray:
    """(n, n) inner products about the mean of the points."""
    rows = gram.mean(0)
    return gram - rows - rows[:, None] + gram.mean()


def gathering(trails: Sequence[Trail], shifts: Sequence[Tensor]) -> Generator[None, None, np.ndarray]:
    """(n, n) inner products of all snapshots, from the first run's start: only those between runs are made."""
    rows: list[list[np.ndarray]] = []
    for index, (trail, shift) in enumerate(zip(trails, shifts, strict=True)):
        row: list[np.ndarray] = []
        for other, away in zip(trails[:index], shifts, strict=False):
            row.append((yield from products(trail, shift, other, away)))
        rows.append([*row, moved_gram(trail, shift) if index else trail.gram])
        yield
    count = range(len(trails))
    return np.block([[rows[i][j] if j <= i else rows[j][i].T for j in count] for i in count])


def products(trail: Trail, shift: Tensor, other: Trail, away: Tensor) -> Generator[None, None, np.ndarray]:
    """(k, m) of the snapshots of two runs."""
    rows: list[list[float]] = []
    for offset in trail.offsets:
        point = offset + shift
        rest = float(torch.dot(point, away))
        rows.append([float(torch.dot(point, each)) + rest for each in other.offsets])
        yield
    return np.array(rows)


def moved_gram(trail: Trail, shift: Tensor) -> np.ndarray:
    """(k, k) a run's own inner products, were its start moved."""
    along = np.array([float(torch.dot(offset, shift)) for offset in trail.offsets])
    return trail.gram + along + along[:, None] + float(torch.dot(shift, shift))


def combining(trails: Sequence[Trail], shifts: Sequence[Tensor], factors: np.ndarray) -> Generator[None, None, Tensor]:
    """(2, p) sums of all snapshots, one with each column of the factors (n, 2), one snapshot at a time."""
    axes, row = torch.zeros(2, len(shifts[0]), dtype=torch.float64), 0
    for trail, shift in zip(trails, shifts, strict=True):
        for offset in trail.offsets:
            axes += torch.from_numpy(factors[row])[:, None] * (offset + shift).double()
            row += 1
            yield
    return axes
