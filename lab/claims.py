"""Claims: what a paper says, tried out here, and one stable line that says whether it held.

A claim's YAML names one or more comparisons and a check: an option of the catalogue `checks`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from lab.catalogue import Catalogue, Choice, RecipeError, unknown
from lab.compare import Comparison, Phase
from lab.plans import Plan
from lab.recipe import read_text, read_yaml
from lab.reports import facts
from lab.sentences import finding
from lab.verdicts import Verdict, oriented

checks = Catalogue("check")

Comparisons = Mapping[str, Comparison]
Result = Literal["PASS", "FAIL", "INCONCLUSIVE"]
KEYS = ("claim", "source", "comparisons", "check")

Name = Annotated[str, Field(description="an arm")]
Which = Annotated[str, Field(description="a comparison of the claim")]
Within = Annotated[float, Field(gt=0, lt=1, description="differences in accuracy below this do not count")]
At = Annotated[Literal["given", "tuned"], Field(description="at the rates given, or each at its tuned one")]


@dataclass(frozen=True)
class Finding:
    """What a check found: its result, and the margin with its interval, in words."""

    result: Result
    margin: str


@dataclass(frozen=True)
class Claim:
    """A sentence from the literature and how it is tried out."""

    name: str
    claim: str
    source: str
    plans: dict[str, Plan]
    check: Choice

    @classmethod
    def load(cls, path: str | Path) -> Claim:
        """Read a claim's YAML. Raises RecipeError, naming the file and what is wrong in it."""
        path = Path(path)
        spec = read_yaml(read_text(path, "the claim"), str(path))
        try:
            return cls.from_mapping(path.stem, spec)
        except RecipeError as error:
            raise RecipeError(f"{path}: {error}") from None

    @classmethod
    def from_mapping(cls, name: str, spec: Any) -> Claim:
        if not isinstance(spec, dict):
            raise RecipeError("A claim is a mapping with the keys claim, source, comparisons, check.")
        for key in spec:
            if key not in KEYS:
                raise RecipeError(unknown("key of a claim", key, KEYS))
        if missing := [key for key in KEYS if not spec.get(key)]:
            raise RecipeError(f"A claim needs {', '.join(missing)}.")
        if not isinstance(spec["comparisons"], dict):
            raise RecipeError("`comparisons` must be a mapping from a name to a comparison.")
        plans = {str(which): Plan.from_mapping(plan) for which, plan in spec["comparisons"].items()}
        check = checks.parse(spec["check"])
        if misfit := misfit_of(check, plans):
            raise RecipeError(misfit)
        return cls(name, spec["claim"], spec["source"], plans, check)

    def tried(
        self, run: Callable[[Comparison], Any] = Comparison.run, **where: Any
    ) -> tuple[Finding, dict[str, Comparison]]:
        """Run the comparisons and check what they show."""
        comparisons = {which: Comparison(plan, **where) for which, plan in self.plans.items()}
        for comparison in comparisons.values():
            run(comparison)
        return checks.build(self.check, comparisons), comparisons

    def line(self, finding: Finding) -> str:
        return f"{finding.result}  {self.name}: {self.claim} {finding.margin}"


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


def numbers(claim: Claim, finding: Finding, comparisons: Comparisons) -> str:
    """Everything that was measured for a claim, as JSON."""
    found = {
        which: {
            "plan": json.loads(comparison.plan.model_dump_json()),
            **facts(comparison),
        }
        for which, comparison in comparisons.items()
    }
    return json.dumps({"claim": claim.claim, "source": claim.source, **asdict(finding), "comparisons": found}, indent=1)


@checks.add
def ranking_flips(comparisons: Comparisons, *, first: Which = "low", second: Which = "high") -> Finding:
    """Two arms change places between two comparisons, each at the rates given.

    PASS: a pair for which a difference is shown in both, of opposite signs. FAIL: a difference is shown for every
    pair in both, and none changes its sign. The margin is of the pair whose smaller difference is largest.
    """
    one, two = (by_pair(comparisons[which], "given") for which in (first, second))
    flips = [pair for pair in one if one[pair].winner and two[pair].winner not in (None, one[pair].winner)]
    if flips:
        pair = max(flips, key=lambda pair: min(abs(one[pair].difference), abs(two[pair].difference)))
        return Finding("PASS", f"{margin(one[pair])} ({first}); {margin(two[pair])} ({second}).")
    shown = all(found[pair].winner for found in (one, two) for pair in found)
    return Finding("FAIL" if shown else "INCONCLUSIVE", "No pair of arms changes places.")


@checks.add
def no_difference(
    comparisons: Comparisons, *, which: Which = "tuned", at: At = "tuned", within: Within = 0.02
) -> Finding:
    """All arms are as good as each other, up to `within`.

    PASS: every interval lies between -within and within (equivalence). FAIL: a difference is shown whose interval
    lies beyond it. Anything else is INCONCLUSIVE: that nothing was shown is not that nothing is there.
    """
    found = comparisons[which].verdicts(at)
    largest = max(found, key=lambda verdict: max(-verdict.interval.low, verdict.interval.high))
    equal = all(-within < verdict.interval.low and verdict.interval.high < within for verdict in found)
    unequal = any(verdict.interval.low > within or verdict.interval.high < -within for verdict in found)
    text = f"Allowed: {100 * within:g} points; widest: {margin(largest)}."
    return Finding("PASS" if equal else "FAIL" if unequal else "INCONCLUSIVE", text)


@checks.add
def better_only_first(
    comparisons: Comparisons,
    *,
    a: Name = "a",
    b: Name = "b",
    first: Which = "first",
    second: Which = "second",
    at: At = "tuned",
    within: Within = 0.005,
) -> Finding:
    """Arm a is better than b in one comparison, and not by more than `within` in another.

    PASS: the difference is shown in the first, and the second's interval ends below `within`. FAIL: b is better
    in the first, or a by more than `within` in the second. Else INCONCLUSIVE.
    """
    one, two = (oriented(by_pair(comparisons[which], at)[frozenset((a, b))], a) for which in (first, second))
    held = one.interval.low > 0 and two.interval.high < within
    broken = one.interval.high < 0 or two.interval.low > within
    text = f"{margin(one)} ({first}); {margin(two)} ({second})."
    return Finding("PASS" if held else "FAIL" if broken else "INCONCLUSIVE", text)


def by_pair(comparison: Comparison, phase: Phase) -> dict[frozenset[str], Verdict]:
    found = {frozenset((verdict.a, verdict.b)): verdict for verdict in comparison.verdicts(phase)}
    return {frozenset(pair): oriented(found[frozenset(pair)], pair[0]) for pair in combinations(comparison.arms, 2)}


def margin(verdict: Verdict) -> str:
    """`sgd - adam: -0.4 points (95% interval -1.6 to 0.7, 8 seeds, corrected for 10 comparisons)`."""
    return f"{verdict.a} - {verdict.b}: {finding(verdict)}"
