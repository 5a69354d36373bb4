"""What is asked of landscapes while runs train, and what is answered of each run."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lab.landscape.frames import PlaneKind
from lab.landscape.functions import Function
from lab.landscape.planes import Plane
from lab.landscape.scenes import RunPath
from lab.landscape.surfaces import Surface
from lab.views import ENOUGH, SIZE, Lens, Normalisation, Precision, View


class Question(NamedTuple):
    """What is to be seen: which kind of plane, how many points along a side in the end, and how these are measured.

    enough: how large standard errors may be, as a share of a level's height: as many of the lens' samples are taken as
    that needs, as many for all runs; 0 takes all. normalisation: of random directions; their
    seed is that of the lens. precision: of the surfaces' arithmetic. edge: whether the sharpness along the paths is
    read beside them. replay: whether a surface through each earlier snapshot is wanted too.
    """

    plane: PlaneKind = "path"
    size: int = SIZE
    lens: Lens = Lens()
    enough: float = ENOUGH
    normalisation: Normalisation = View.normalisation
    precision: Precision = "float32"
    edge: bool = False
    replay: bool = False

    @property
    def pictures(self) -> Question:
        """Equal for questions that ask for the same pictures."""
        return self._replace(edge=False, replay=False)

    @property
    def decides_plane(self) -> Hashable:
        """Equal for questions that are answered on the same plane."""
        images = (self.lens, self.enough) if self.plane == "hessian" else self.lens.seed
        return self.plane, images, self.normalisation


@dataclass(frozen=True)
class Portrait:
    """The landscape around a run as far as it is known.

    surface: None before the first points. plane: on which it lies. step: through whose snapshot that passes. past: the
    surfaces on parallel planes through earlier snapshots, by step, as far as they are known. joint: with which other
    runs it shares directions and scale. why: the plane replaced another one, at step `made_at`. function: what decides
    its loss beside the weights that are trained. fault: why there is nothing. trained_by: as a scene says it.
    """

    number: int
    surface: Surface | None
    plane: Plane | None
    path: RunPath
    step: int
    past: Mapping[int, Surface]
    moving: bool
    joint: tuple[int, ...]
    made_at: int
    why: str
    function: Function
    fault: str
    trained_by: tuple[str, ...] = ()
