"""The plan of a comparison: its arms, what they get the same of, and how they are tuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError, ValidationInfo, field_validator

from lab.augmentations import learners
from lab.catalogue import RecipeError, Settings, did_you_mean, explain
from lab.data.domains import judges_elsewhere
from lab.first import linked
from lab.many import endless, seconds_per_step
from lab.objectives import learns_no_classes
from lab.reading import read_text, read_yaml
from lab.recipe import CATALOGUES, Recipe, flat, labels, refuse_other_kind
from lab.training import Training
from lab.tuning import FINALS

Budget = Literal["epochs", "steps", "flops", "seconds", "target"]
COUNTED = ("epochs", "target")  # budgets for which no training is needed


class Plan(Settings):
    """What a comparison does: arms by name, and how they are compared.

    budget: what is equal for all arms; that of the first arm decides, the others' epochs are changed to match it.
        With "target" the question is another one: after how many steps each reaches the target, within equal epochs.
    first: runs that arms take weights from, each trained once: all seeds share it, so intervals do not hold its luck.
        An arm's source {name: run, folder: NAME} is the run of that name.
    """

    first: Annotated[
        dict[str, Recipe], Field(default_factory=dict, description="recipes that are trained before the arms, by name")
    ]
    arms: Annotated[dict[str, Recipe], Field(description="recipes by name; their seeds do not matter")]
    seeds: Annotated[int, Field(ge=2, le=1000, description="paired seeds of the final runs")] = 8
    budget: Annotated[Budget, Field(description="what every arm gets the same of")] = "epochs"
    tune: Annotated[bool, Field(description="search each arm's learning rate")] = True
    trials: Annotated[int, Field(ge=3, le=1000, description="rates that are tried for each arm")] = 9
    knobs: Annotated[
        tuple[str, ...], Field(description="what is tuned beside the rate, for example optimizer.momentum")
    ] = ()
    tuning_seeds: Annotated[int, Field(ge=1, le=100, description="seeds of the search's final")] = 3
    finalists: Annotated[float, Field(gt=0, le=1, description="share of the rates that meet all tuning seeds")] = FINALS
    worth: Annotated[float, Field(gt=0, lt=1, description="smallest difference in accuracy that matters")] = 0.005
    level: Annotated[float, Field(gt=0.5, lt=1, description="level of all intervals of a list together")] = 0.95
    target: Annotated[
        float | None, Field(gt=0, le=1, description="also report the steps to this validation accuracy")
    ] = None
    stop_early: Annotated[bool, Field(description="stop as soon as every verdict is clear")] = False

    def __init__(self, /, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise RecipeError(explain(error, type(self))) from None
        if len(self.arms) < 2:
            raise RecipeError("A comparison needs at least two arms.")
        if self.budget == "target" and (self.target is None or self.stop_early):
            raise RecipeError("budget target needs a target, an accuracy, and judges steps to it: no stop_early.")
        if len(set(map(judged_on, self.arms.values()))) > 1:
            raise RecipeError("The arms must have the same data: accuracies on different images are no pairs.")
        if len({tested_classes(recipe) for recipe in self.arms.values()}) > 1:
            raise RecipeError("The arms must keep the same classes: accuracies on different images are no pairs.")
        settings_of_arms = set().union(*map(flat, self.arms.values()))
        for key in self.knobs:
            if key not in settings_of_arms:
                raise RecipeError(f"{key} cannot be tuned: no arm has it.{did_you_mean(key, settings_of_arms)}")
        for name, recipe in self.arms.items():
            if learns_no_classes(recipe.objective):
                said = "its objective's class_weight is 0, so it learns no classes, and arms are judged by them"
                raise RecipeError(f"{name}: {said}. Set objective.class_weight above 0.")
            if "optimizer.lr" not in flat(recipe):
                raise RecipeError(f"{name}: optimizer {recipe.optimizer.name} has no learning rate lr to compare at.")

    @field_validator("arms")
    @classmethod
    def _arms_find_what_was_trained_first(cls, arms: dict[str, Recipe], info: ValidationInfo) -> dict[str, Recipe]:
        return {name: linked(recipe, info.data.get("first", {})) for name, recipe in arms.items()}

    @classmethod
    def load(cls, path: str | Path, changes: Mapping[str, Any] | None = None) -> Plan:
        """Read a comparison's YAML: `arms` by name, each with what it changes of `base`, and the plan's settings.

        So with `first`: its recipes begin from `base` too.

        Args:
            changes: to the settings, and by dotted keys to all arms: `base.epochs`.
        Raises:
            RecipeError: naming the file and what is wrong in it.
        """
        spec = read_yaml(read_text(path, "the comparison"), str(path))
        refuse_other_kind(spec, path, "a comparison", ("base", *cls.model_fields))
        try:
            return cls.from_mapping(with_changes(spec, changes or {}))
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from None

    @classmethod
    def from_mapping(cls, spec: Any) -> Plan:
        if not isinstance(spec, dict) or not isinstance(spec.get("arms"), dict):
            raise RecipeError("A comparison is a mapping with `arms`: a name, then what this arm changes.")
        settings = {str(key): value for key, value in spec.items() if key not in ("base", "first", "arms")}
        if misplaced := [key for key in settings if key not in cls.model_fields and key in Recipe.model_fields]:
            raise RecipeError(f"{misplaced[0]!r} is a key of recipes: write base.{misplaced[0]}, for all arms.")
        base = arm(Recipe(), "base", spec.get("base"))
        arms = {str(name): arm(base, str(name), changes) for name, changes in spec["arms"].items()}
        first = spec.get("first") or {}
        if not isinstance(first, dict):
            raise RecipeError("`first` must be a mapping from a name to what this recipe changes of the base.")
        first = {str(name): arm(base, str(name), changes) for name, changes in first.items()}
        return cls(first=first, arms=arms, **settings)


def tested_classes(recipe: Recipe) -> str:
    """Which of the data set's classes its accuracy is about."""
    return ", ".join(str(choice) for choice in recipe.modify if choice.name == "classes")


def judged_on(recipe: Recipe) -> tuple[str, ...]:
    """What decides which images accuracy is measured on; the same with backgrounds in training or without."""
    judging = (choice for choice in recipe.modify if choice.name in judges_elsewhere)
    return str(recipe.data), *(str({key: value for key, value in choice if key != "where"}) for choice in judging)


def with_changes(spec: Any, changes: Mapping[str, Any]) -> Any:
    if not isinstance(spec, dict):
        return spec
    own = {key: value for key, value in changes.items() if not key.startswith("base.")}
    base = {key.removeprefix("base."): value for key, value in changes.items() if key.startswith("base.")}
    if not base:
        return {**spec, **own}
    given = own.get("base", spec.get("base") or {})
    return {**spec, **own, "base": {**given, **base} if isinstance(given, dict) else given}


def arm(base: Recipe, name: str, changes: Any) -> Recipe:
    if changes is not None and not isinstance(changes, dict):
        raise RecipeError(f"{name} must be a mapping such as `optimizer: sgd`, but is {changes!r}.")
    try:
        return base.changed(**{str(key): value for key, value in (changes or {}).items()})
    except RecipeError as error:
        raise RecipeError(f"{name}: {error}") from None


def planned_runs(plan: Plan) -> int:
    """How many runs a plan takes at least; a search that has to widen takes more."""
    finals = plan.seeds * (2 if plan.tune else 1)
    finalists = ceil(plan.trials * plan.finalists)
    search = plan.trials + finalists * (plan.tuning_seeds - 1) if plan.tune else 0
    return len(plan.arms) * (finals + search)


def equal_budget(plan: Plan, **where: Any) -> tuple[dict[str, Recipe], float]:
    """The arms with as many epochs as give each of them what the first arm gets.

    Returns:
        The arms, and by what fraction one of them gets more than another: epochs are whole.
    """
    first = next(iter(plan.arms.values()))
    if plan.budget in COUNTED:
        return {name: recipe.changed(epochs=first.epochs) for name, recipe in plan.arms.items()}, 0.0
    prices = prices_of(plan.budget, plan.arms, **where)
    ahead = {name: paid_ahead(plan.budget, recipe, **where) for name, recipe in plan.arms.items()}
    wealth = next(iter(ahead.values())) + next(iter(prices.values())) * first.epochs
    epochs = {name: max(1, round((wealth - ahead[name]) / price)) for name, price in prices.items()}
    arms = {name: plan.arms[name].changed(epochs=count) for name, count in epochs.items()}
    spent = [ahead[name] + epochs[name] * price for name, price in prices.items()]
    return arms, max(spent) / min(spent) - 1


def prices_of(budget: Budget, arms: Mapping[str, Recipe], **where: Any) -> dict[str, float]:
    """What an epoch of each arm costs, in steps, floating-point operations, or seconds measured here, in turn."""
    if budget == "seconds":
        return seconds_per_epoch(arms, **where)
    sessions = {name: Training(recipe, **where) for name, recipe in arms.items()}
    if budget == "steps":
        return {name: session.steps_per_epoch for name, session in sessions.items()}
    return {name: session.flops_per_image * len(session.train_split) for name, session in sessions.items()}


def paid_ahead(budget: Budget, recipe: Recipe, **where: Any) -> float:
    """What an arm spends before its first step, on what its augmentations learn: no steps, but all else."""
    if budget == "steps" or not any(choice.name in learners for choice in recipe.augment):
        return 0.0
    session = Training(recipe, **where)
    return session.learning_flops if budget == "flops" else sum(lesson.seconds for lesson in session.lessons.values())


def seconds_per_epoch(arms: Mapping[str, Recipe], rounds: int = 3, **where: Any) -> dict[str, float]:
    """Median over rounds in which the arms take turns, each for a moment; the first round warms up."""
    sessions = {name: Training(endless(recipe), **where) for name, recipe in arms.items()}
    measured: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(rounds + 1):
        for name, session in sessions.items():
            measured[name].append(seconds_per_step(session) * session.steps_per_epoch)
    return {name: float(np.median(seconds[1:])) for name, seconds in measured.items()}


def default_rate(recipe: Recipe) -> float:
    return CATALOGUES["optimizer"][recipe.optimizer.name].model_fields["lr"].default


def arm_names(recipes: Sequence[Recipe]) -> list[str]:
    """What differs between recipes, without the learning rate where that is not needed: it will be tuned.

    Example:
        >>> arm_names([Recipe(), Recipe(optimizer={"name": "adam", "lr": 0.1})])
        ['sgd', 'adam']
    """
    if len(recipes) < 2:
        return [str(recipe.optimizer) for recipe in recipes]
    plain = [recipe.changed(**{"optimizer.lr": default_rate(recipe)}) for recipe in recipes]
    names = labels(plain)
    return names if len(set(names)) == len(recipes) else labels(recipes)
