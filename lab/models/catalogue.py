"""The catalogue `models`, and the settings that several families share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from lab.catalogue import Catalogue, Knob

models = Catalogue("model", gives="a torch.nn.Module", aliases={"convnet": "cnn", "vit": "transformer"})

Shape = tuple[int, int, int]  # channels, height, width
Activation = Callable[[], nn.Module]

Width = Annotated[int, Field(ge=1, le=65536, description="units in each hidden layer"), Knob(4, 1024, log=True)]
Dropout = Annotated[
    float,
    Field(ge=0, lt=1, description="share of the units that are left out at each step; 0 leaves none out"),
    Knob(0, 0.9),
]
Norm = Annotated[
    Literal["nothing", "batch", "layer", "group"],
    Field(description="normalisation after each layer: over the batch, over the image, over groups of channels"),
]
VectorNorm = Annotated[
    Literal["nothing", "layer", "rms"],
    Field(description="normalisation of each vector by itself: its mean and variance, or its mean square alone"),
]
ZeroLast = Annotated[bool, Field(description="each block starts at zero, so that the network begins shallow")]


def dropped(share: float) -> list[nn.Module]:
    """A dropout layer; none at 0, so that nothing draws random numbers."""
    return [nn.Dropout(share)] if share else []
