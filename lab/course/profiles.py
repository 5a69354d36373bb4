"""How much a notebook computes: `smoke` for a lesson on two cores, `full` for a GPU and an hour."""

from __future__ import annotations

import os
from typing import Literal, TypeVar, overload

from lab.catalogue import RecipeError, unknown

Profile = Literal["smoke", "full"]
PROFILES = ("smoke", "full")
VARIABLE = "LAB_PROFILE"
Value = TypeVar("Value")


@overload
def profile(chosen: str = "") -> Profile: ...
@overload
def profile(chosen: str = "", *, smoke: Value, full: Value) -> Value: ...
def profile(chosen: str = "", *, smoke: object = "smoke", full: object = "full") -> object:
    """The profile: a notebook's parameter, or else the environment's LAB_PROFILE, or else smoke.

    Args:
        chosen: what papermill set, empty if nothing.
        smoke, full: what to give in each of them, such as a number of seeds; its name by default.
    Raises:
        RecipeError: there is no such profile.
    Example:
        >>> profile("full", smoke=3, full=10)
        10
    """
    name = chosen or os.environ.get(VARIABLE, "") or "smoke"
    if name not in PROFILES:
        raise RecipeError(unknown("profile", name, PROFILES))
    return {"smoke": smoke, "full": full}[name]
