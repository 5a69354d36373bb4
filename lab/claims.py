"""Claims: what a paper says, tried out here, and one stable line that says whether it held.

A claim's YAML names a check, an option of the catalogue `checks`, and what that check judges: one or more comparisons,
or recipes that it runs itself, or nothing where it brings its own problem.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any

from lab.catalogue import Choice, RecipeError, unknown
from lab.checks import Comparisons, Finding
from lab.compare import Comparison
from lab.objective_probes import checks
from lab.plans import Plan
from lab.reading import read_text, read_yaml
from lab.recipe import Recipe, refuse_other_kind
from lab.reports import facts

KEYS = ("claim", "source", "comparisons", "recipes", "check")
SUBJECTS = ("comparisons", "recipes")  # what a check may judge: its function's first argument says which


@dataclass(frozen=True)
class Claim:
    """A sentence from the literature and how it is tried out.

    plans, recipes: by name; one of the two is empty, or both.
    """

    name: str
    claim: str
    source: str
    plans: dict[str, Plan]
    check: Choice
    recipes: dict[str, Recipe] = field(default_factory=dict[str, Recipe])

    @classmethod
    def load(cls, path: str | Path) -> Claim:
        """Read a claim's YAML. Raises RecipeError, naming the file and what is wrong in it."""
        path = Path(path)
        spec = read_yaml(read_text(path, "the claim"), str(path))
        refuse_other_kind(spec, path, "a claim", KEYS)
        try:
            return cls.from_mapping(path.stem, spec)
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from None

    @classmethod
    def from_mapping(cls, name: str, spec: Any) -> Claim:
        if not isinstance(spec, dict):
            raise RecipeError("A claim is a mapping with the keys claim, source, check, and comparisons or recipes.")
        for key in spec:
            if key not in KEYS:
                raise RecipeError(unknown("key of a claim", key, KEYS))
        if missing := [key for key in ("claim", "source", "check") if not spec.get(key)]:
            raise RecipeError(f"A claim needs {', '.join(missing)}.")
        check = checks.parse(spec["check"])
        check_subject(check, spec)
        plans = {which: Plan.from_mapping(plan) for which, plan in named(spec, "comparisons").items()}
        recipes = {which: recipe_of(which, choices) for which, choices in named(spec, "recipes").items()}
        if misfit := misfit_of(check, plans) if plans else misfit_of_recipes(check, recipes):
            raise RecipeError(misfit)
        return cls(name, spec["claim"], spec["source"], plans, check, recipes)

    def tried(
        self, run: Callable[[Comparison], Any] = Comparison.run, *, device: str | None = None
    ) -> tuple[Finding, dict[str, Comparison]]:
        """Run the comparisons or the recipes, and check what they show."""
        comparisons = {which: Comparison(plan, device=device) for which, plan in self.plans.items()}
        for comparison in comparisons.values():
            run(comparison)
        context = {"comparisons": (comparisons,), "recipes": (self.recipes, device), "": ()}
        return checks.build(self.check, *context[subject_of(self.check)]), comparisons

    def line(self, finding: Finding) -> str:
        return f"{finding.result}  {self.name}: {self.claim} {finding.margin}"


def subject_of(check: Choice) -> str:
    """What a check judges: `comparisons`, `recipes`, or nothing (an empty text)."""
    first = next(iter(signature(checks.functions[check.name]).parameters), "")
    return first if first in SUBJECTS else ""


def check_subject(check: Choice, spec: Mapping[str, Any]) -> None:
    """Raises RecipeError: what the check judges is missing, or there is something that it does not look at."""
    wanted = subject_of(check)
    if wanted and not spec.get(wanted):
        raise RecipeError(f"A claim needs {wanted}: check {check.name} judges them.")
    if strange := [key for key in SUBJECTS if key in spec and key != wanted]:
        judges = f"judges {wanted}" if wanted else "brings its own problem"
        raise RecipeError(f"check {check.name} {judges}: take out {', '.join(strange)}.")


def named(spec: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = spec.get(key) or {}
    if not isinstance(found, dict):
        raise RecipeError(f"`{key}` must be a mapping from a name to a {key[:-1]}.")
    return {str(name): value for name, value in found.items()}


def recipe_of(name: str, choices: Any) -> Recipe:
    if not isinstance(choices, dict):
        raise RecipeError(f"{name} must be a recipe such as `{{optimizer: sgd}}`, but is {choices!r}.")
    try:
        return Recipe().changed(**{str(key): value for key, value in choices.items()})
    except RecipeError as error:
        raise RecipeError(f"{name}: {error}") from None


def misfit_of(check: Choice, plans: Mapping[str, Plan]) -> str:
    """Why a check cannot judge these comparisons; empty if it can."""
    settings = dict(check)
    named = [settings[key] for key in ("which", "first", "second") if key in settings]
    for which in named:
        if which not in plans:
            return unknown("comparison", which, plans, owner=f" in check {check.name}")
    if settings.get("at") == "tuned" and not all(plans[which].tune for which in named):
        return f"check {check.name} judges tuned arms, but tune is off."
    if len({frozenset(plans[which].arms) for which in named}) > 1:
        return f"check {check.name} needs the same arms in both comparisons."
    arms = plans[named[0]].arms if named else {}
    strange = next((settings[key] for key in ("a", "b") if key in settings and settings[key] not in arms), None)
    return unknown("arm", strange, arms, owner=f" in check {check.name}") if strange is not None else ""


def misfit_of_recipes(check: Choice, recipes: Mapping[str, Recipe]) -> str:
    """Why a check cannot judge these recipes; empty if it can."""
    strange = next((value for key, value in check if key in ("a", "b") and value not in recipes), None)
    return unknown("recipe", strange, recipes, owner=f" in check {check.name}") if strange is not None else ""


def numbers(claim: Claim, finding: Finding, comparisons: Comparisons) -> str:
    """Everything that was measured for a claim, as JSON."""
    found = {
        which: {
            "plan": json.loads(comparison.plan.model_dump_json()),
            **facts(comparison),
        }
        for which, comparison in comparisons.items()
    }
    recipes = {which: recipe.model_dump(mode="json") for which, recipe in claim.recipes.items()}
    said = {"claim": claim.claim, "source": claim.source, "result": finding.result, "margin": finding.margin}
    return json.dumps(said | ({"comparisons": found} if found else {"recipes": recipes, **finding.measured}), indent=1)
