"""The plan of a comparison: its arms, what they get the same of, and how they are tuned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from pydantic import Field, ValidationError

from lab.catalogue import RecipeError, Settings, explain
from lab.recipe import Recipe
from lab.training import Training

Budget = Literal["epochs", "steps", "flops", "seconds"]


class Plan(Settings):
    """What a comparison does: arms by name, and how they are compared.

    budget: what is equal for all arms; that of the first arm decides, the others' epochs are changed to match it.
    """

    arms: Annotated[dict[str, Recipe], Field(description="recipes by name; their seeds do not matter")]
    seeds: Annotated[int, Field(ge=2, le=1000, description="paired seeds of the final runs")] = 8
    budget: Annotated[Budget, Field(description="what every arm gets the same of")] = "epochs"
    tune: Annotated[bool, Field(description="search each arm's learning rate")] = True
    trials: Annotated[int, Field(ge=3, le=25, description="rates that are tried for each arm")] = 9
    tuning_seeds: Annotated[int, Field(ge=1, le=100, description="seeds of the search's final")] = 3
    worth: Annotated[float, Field(gt=0, lt=1, description="smallest difference in accuracy that matters")] = 0.005
    level: Annotated[float, Field(gt=0.5, lt=1, description="level of all intervals together")] = 0.95
    stop_early: Annotated[bool, Field(description="stop as soon as every verdict is clear")] = False

    def __init__(self, /, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise RecipeError(explain(error, type(self))) from None
        if len(self.arms) < 2:
            raise RecipeError("A comparison needs at least two arms.")

    @classmethod
    def load(cls, path: str | Path, **changes: Any) -> Plan:
        """Read a comparison's YAML: `arms` by name, each with what it changes of `base`, and the plan's settings.

        Args:
            changes: to the settings, and to all arms: `base.epochs`.
        Raises:
            RecipeError: naming the file and what is wrong in it.
        """
        try:
            spec = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
            return cls.from_mapping(with_changes(spec, changes))
        except OSError as error:
            raise RecipeError(f"Cannot read the comparison {path}: {error.strerror}.") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise RecipeError(f"Cannot read {path} as YAML: {' '.join(str(error).split())}") from None
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from None

    @classmethod
    def from_mapping(cls, spec: Any) -> Plan:
        if not isinstance(spec, dict) or not isinstance(spec.get("arms"), dict):
            raise RecipeError("A comparison is a mapping with `arms`: a name, then what this arm changes.")
        settings = {str(key): value for key, value in spec.items() if key not in ("base", "arms")}
        base = arm(Recipe(), "base", spec.get("base"))
        arms = {str(name): arm(base, str(name), changes) for name, changes in spec["arms"].items()}
        return cls(arms=arms, **settings)


def with_changes(spec: Any, changes: Mapping[str, Any]) -> Any:
    if not isinstance(spec, dict):
        return spec
    own = {key: value for key, value in changes.items() if not key.startswith("base.")}
    base = {key.removeprefix("base."): value for key, value in changes.items() if key.startswith("base.")}
    return {**spec, **own, "base": {**(spec.get("base") or {}), **base}}


def arm(base: Recipe, name: str, changes: Any) -> Recipe:
    if not isinstance(changes or {}, dict):
        raise RecipeError(f"{name} must be a mapping such as `optimizer: sgd`, but is {changes!r}.")
    try:
        return base.changed(**(changes or {}))
    except RecipeError as error:
        raise RecipeError(f"{name}: {error}") from None


def planned_runs(plan: Plan) -> int:
    """How many runs a plan takes, if no search has to widen."""
    finals = plan.seeds * (2 if plan.tune else 1)
    search = plan.trials + -(-plan.trials // 3) * (plan.tuning_seeds - 1) if plan.tune else 0
    return len(plan.arms) * (finals + search)


def equal_budget(plan: Plan, **where: Any) -> dict[str, Recipe]:
    """The arms with as many epochs as give each of them what the first arm gets."""
    if plan.budget == "epochs":
        first = next(iter(plan.arms.values()))
        return {name: recipe.changed(epochs=first.epochs) for name, recipe in plan.arms.items()}
    sessions = {name: Training(recipe, **where) for name, recipe in plan.arms.items()}
    prices = prices_of(plan.budget, sessions)
    wealth = prices[next(iter(prices))] * next(iter(plan.arms.values())).epochs
    return {name: plan.arms[name].changed(epochs=max(1, round(wealth / price))) for name, price in prices.items()}


def prices_of(budget: Budget, sessions: Mapping[str, Training]) -> dict[str, float]:
    """What an epoch of each arm costs, in steps, floating-point operations, or seconds measured here, in turn."""
    if budget == "steps":
        return {name: session.steps_per_epoch for name, session in sessions.items()}
    if budget == "flops":
        return {name: session.flops_per_step * session.steps_per_epoch for name, session in sessions.items()}
    return seconds_per_epoch(sessions)


def seconds_per_epoch(sessions: Mapping[str, Training], rounds: int = 3) -> dict[str, float]:
    """Median over rounds in which the arms take turns, each for a block of steps; the first round warms up."""
    measured: dict[str, list[float]] = {name: [] for name in sessions}
    events = {name: iter(session) for name, session in sessions.items()}
    for _ in range(rounds + 1):
        for name, session in sessions.items():
            measured[name].append(seconds_per_step(session, events[name]) * session.steps_per_epoch)
    return {name: float(np.median(seconds[1:])) for name, seconds in measured.items()}


def seconds_per_step(session: Training, events: Iterator[Any], least: float = 0.2) -> float:
    before, start = session.step, session.seconds
    for _ in events:
        if session.seconds - start >= least:
            break
    return (session.seconds - start) / max(1, session.step - before)
