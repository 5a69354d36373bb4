"""Catalogue `checks`: how what a claim says is judged, here on comparisons; `probes.py` has those that measure more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Annotated, Any, Literal

from pydantic import Field

from lab.catalogue import Catalogue
from lab.compare import Comparison, Phase
from lab.sentences import finding
from lab.verdicts import Verdict, oriented

checks = Catalogue("check", gives="a Finding")

Comparisons = Mapping[str, Comparison]
Result = Literal["PASS", "FAIL", "INCONCLUSIVE"]

Name = Annotated[str, Field(description="an arm, or one of the recipes")]
Which = Annotated[str, Field(description="a comparison of the claim")]
Within = Annotated[float, Field(gt=0, lt=1, description="differences in accuracy below this do not count")]
At = Annotated[Literal["given", "tuned"], Field(description="at the rates given, or each at its tuned one")]


@dataclass(frozen=True)
class Finding:
    """What a check found: its result, the margin with its interval, in words, and the numbers behind them.

    measured: what can be written as JSON; empty where the comparisons have the numbers.
    """

    result: Result
    margin: str
    measured: dict[str, Any] = field(default_factory=dict[str, Any])


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
        return Finding("PASS", f"In {first}, {margin(one[pair])}; in {second}, {margin(two[pair])}.")
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
def better(
    comparisons: Comparisons,
    *,
    which: Which = "tuned",
    a: Name = "a",
    b: Name = "b",
    at: At = "tuned",
    within: Within = 0.005,
) -> Finding:
    """Arm a is better than arm b.

    PASS: the difference is shown. FAIL: it is not, and the interval ends below `within`, so that b is better or a by
    no more than does not count. Else INCONCLUSIVE.
    """
    found = oriented(by_pair(comparisons[which], at)[frozenset((a, b))], a)
    held, broken = found.interval.low > 0, found.interval.high < within
    return Finding("PASS" if held else "FAIL" if broken else "INCONCLUSIVE", f"{margin(found)}.")


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
    text = f"In {first}, {margin(one)}; in {second}, {margin(two)}."
    return Finding("PASS" if held else "FAIL" if broken else "INCONCLUSIVE", text)


def by_pair(comparison: Comparison, phase: Phase) -> dict[frozenset[str], Verdict]:
    found = {frozenset((verdict.a, verdict.b)): verdict for verdict in comparison.verdicts(phase)}
    return {frozenset(pair): oriented(found[frozenset(pair)], pair[0]) for pair in combinations(comparison.arms, 2)}


def margin(verdict: Verdict) -> str:
    """`sgd - adam: -0.4 points (95% interval -1.6 to 0.7, 8 seeds, corrected for 10 comparisons)`."""
    return f"{verdict.a} - {verdict.b}: {finding(verdict)}"
