"""Planes through the space of weights: where they lie, how they were made, and what lies how far off them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lab.landscape.weights import Weights, inner, mean, minus, moved, norm, orthonormal
from lab.store import flattened, write_atomically
from lab.views import Normalisation, PlaneName

ENDS = "through the ends of runs of which no path is known"  # a note


@dataclass(frozen=True)
class Origin:
    """How a plane was made: what a picture of it has to say.

    seed: of random directions. normalisation: of random directions. explained: share of the paths' variance that lies
    in the plane, for those made from paths. note: what else decided it.
    """

    kind: PlaneName
    seed: int | None = None
    normalisation: Normalisation | None = None
    explained: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Projection:
    """Where a point lies: coordinates in the plane (or on the line), and how far off it, as a length of weights."""

    coordinates: tuple[float, ...]
    distance: float


@dataclass(frozen=True)
class Plane:
    """centre + a directions[0] + b directions[1]; with one direction a line.

    centre, directions: by name, of the same shapes. A coordinate counts lengths of its direction: random directions are
    about as long as the weights, those from paths and eigenvectors have length 1.
    """

    centre: Weights
    directions: tuple[Weights, ...]
    origin: Origin

    def __post_init__(self) -> None:
        if len(self.directions) not in (1, 2):
            raise ValueError(f"A plane has 1 direction (a line) or 2, not {len(self.directions)}.")
        for weights in self.directions:
            check_alike(self.centre, weights, "a direction")

    def point(self, a: float, b: float = 0.0) -> Weights:
        """The weights at a place of the plane."""
        return moved(self.centre, list(zip((a, b), self.directions, strict=False)))

    def project(self, weights: Mapping[str, Tensor]) -> Projection:
        """The nearest place of the plane, and the distance to it.

        Raises:
            ValueError: the weights belong to another network.
        """
        check_alike(self.centre, weights, "the point")
        offset = minus({name: weights[name].double() for name in self.centre}, self.centre)
        lengths = [[inner(one, other) for other in self.directions] for one in self.directions]
        along = [inner(offset, direction) for direction in self.directions]
        coordinates = [float(value) for value in np.linalg.lstsq(np.array(lengths), np.array(along), rcond=None)[0]]
        back = [(-length, direction) for length, direction in zip(coordinates, self.directions, strict=True)]
        return Projection(tuple(coordinates), norm(moved(offset, back)))

    def carried_to(self, weights: Mapping[str, Tensor]) -> Plane:
        """The parallel plane through these weights, on which all points keep their coordinates.

        Raises:
            ValueError: the weights belong to another network.
        """
        place = self.project(weights).coordinates
        back = [(-length, direction) for length, direction in zip(place, self.directions, strict=True)]
        return replace(self, centre=moved({name: weights[name] for name in self.centre}, back))

    def packed(self) -> bytes:
        """The plane as the content of a safetensors file, its origin beside the numbers."""
        tensors = {f"centre.{name}": tensor for name, tensor in self.centre.items()}
        for number, direction in enumerate(self.directions):
            tensors |= {f"direction.{number}.{name}": tensor for name, tensor in direction.items()}
        metadata = {"origin": json.dumps(asdict(self.origin)), "names": json.dumps(list(self.centre))}
        return save(flattened(tensors), metadata=metadata)

    def save(self, path: str | Path) -> None:
        """Keep the plane as a safetensors file."""
        write_atomically(Path(path), self.packed())

    @classmethod
    def load(cls, path: str | Path) -> Plane:
        """The plane that was saved, to the last bit.

        Raises:
            ValueError: the file is missing, damaged or no plane.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata()
                names, origin = json.loads(metadata["names"]), Origin(**json.loads(metadata["origin"]))
                count = sum(key.startswith("direction.") for key in file.keys()) // len(names)  # noqa: SIM118
                parts = ["centre", *(f"direction.{number}" for number in range(count))]
                centre, *directions = ({name: file.get_tensor(f"{part}.{name}") for name in names} for part in parts)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"There is no readable plane in {path}: {error}.") from None
        return cls(centre, tuple(directions), origin)


def check_alike(centre: Mapping[str, Tensor], weights: Mapping[str, Tensor], what: str) -> None:
    """Raise ValueError unless there is a tensor of the same shape for every name."""
    for name, tensor in centre.items():
        if name not in weights or weights[name].shape != tensor.shape:
            found = tuple(weights[name].shape) if name in weights else "nothing"
            raise ValueError(
                f"{what.capitalize()} has {found} for {name}, but the centre {tuple(tensor.shape)}: "
                "they belong to different networks. Use weights of one architecture."
            )


def line(start: Weights, end: Weights) -> Plane:
    """The straight line from one point to another: coordinate 0 is the start, 1 the end.

    Source: Goodfellow et al. 2015, arXiv 1412.6544; its height over the ends is the linear barrier of
    Frankle et al. 2020, arXiv 1912.05671.
    """
    check_alike(start, end, "the end")
    return Plane(start, (minus(end, start),), Origin("line"))


def through(first: Weights, second: Weights, third: Weights) -> Plane:
    """The plane that holds three points, around the middle of them; directions of length 1, the first along 1 to 2.

    Raises:
        ValueError: the three lie on one line, or belong to different networks.

    Source: Garipov et al. 2018, arXiv 1802.10026, appendix.
    """
    for other in (second, third):
        check_alike(first, other, "a point")
    directions = orthonormal([minus(second, first), minus(third, first)])
    return Plane(mean([first, second, third]), directions, Origin("points"))


def hessian(centre: Weights, eigenvectors: Sequence[Weights], note: str = "") -> Plane:
    """The plane (or line) of given eigenvectors of the Hessian, made of length 1 and at right angles.

    Args:
        eigenvectors: one or two, by name, the sharpest first.
        note: their eigenvalues, say.
    """
    for vector in eigenvectors:
        check_alike(centre, vector, "an eigenvector")
    return Plane(centre, orthonormal(eigenvectors), Origin("hessian", note=note))
