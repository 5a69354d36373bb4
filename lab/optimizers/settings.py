"""Settings that several optimizers have: what is valid, what is usual, and in a few words what it does."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from lab.catalogue import Knob

Groups = list[dict[str, Any]]
Lr = Annotated[float, Field(gt=0, description="learning rate: step size per update"), Knob(1e-5, 10, log=True)]
Momentum = Annotated[float, Field(ge=0, lt=1, description="share of the last step that is kept"), Knob(0, 0.99)]
Nesterov = Annotated[bool, Field(description="look ahead along the momentum before taking the gradient")]
Beta1 = Annotated[float, Field(ge=0, lt=1, description="memory of the mean gradient"), Knob(0, 0.99)]
Beta2 = Annotated[float, Field(ge=0, lt=1, description="memory of the squared gradient"), Knob(0.9, 0.9999)]
Alpha = Annotated[float, Field(ge=0, lt=1, description="memory of the squared gradient"), Knob(0.9, 0.999)]
Eps = Annotated[float, Field(gt=0, description="keeps the division finite"), Knob(1e-10, 1e-2, log=True)]
WeightDecay = Annotated[float, Field(ge=0, description="pull of matrices and kernels to zero"), Knob(0, 0.1)]
