"""What may be said about the arms of a comparison: intervals, verdicts and claims from scores paired by seed.

A score is a fraction in [0, 1], larger is better, one per seed; a failed run scores at chance. Differences of scores
are fractions too, and only words speak of points: 1 point is 0.01.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
from scipy import special, stats

Scores = Sequence[float] | np.ndarray
Method = Literal["t", "BCa bootstrap", "anytime-valid t", "sign test"]
Outcome = Literal["better", "worse", "no difference shown"]

LEVEL = 0.95
WORTH = 0.005  # half a point
POWER = 0.8
BOOTSTRAP_FROM = 20
RESAMPLES = 9_999
MOST_SEEDS = 10_000
ROUNDING = 1e-6  # float32 accuracies that should be equal differ by less, those of different counts by more
PRIOR_PRECISION = 0.25  # effects of N(0, 2 sd): stops soonest for effects of 1 to 2 sd of the differences

KINDS = {"t": "", "BCa bootstrap": "bootstrap ", "anytime-valid t": "anytime-valid ", "sign test": "sign-test "}


@dataclass(frozen=True)
class Interval:
    """Confidence interval of a mean difference (fractions in [-1, 1]) at `level`, and the method that gave it."""

    low: float
    high: float
    level: float
    method: Method

    @property
    def unbounded(self) -> bool:
        """Whether it rules out nothing: two fractions never differ by more than 1."""
        return (self.low, self.high) == (-1, 1)


@dataclass(frozen=True)
class Verdict:
    """Arm `a` against arm `b` over paired seeds; `difference` is the mean of a - b, a fraction.

    The interval is corrected for `comparisons` (Bonferroni). `needed` is the number of seeds at which a true
    difference of `worth` would probably show, see `seeds_needed`.
    """

    a: str
    b: str
    mean_a: float
    mean_b: float
    difference: float
    interval: Interval
    seeds: int
    comparisons: int
    outcome: Outcome
    needed: int | None
    worth: float

    @property
    def points(self) -> float:
        """Mean of a - b in percentage points."""
        return self.difference * 100

    @property
    def level(self) -> float:
        """Level of all `comparisons` together."""
        return 1 - (1 - self.interval.level) * self.comparisons

    @property
    def winner(self) -> str | None:
        """Name of the better arm, if a difference was shown."""
        return {"better": self.a, "worse": self.b}.get(self.outcome)

    def mirrored(self) -> Verdict:
        """The same verdict, told of b against a."""
        turned: dict[Outcome, Outcome] = {"better": "worse", "worse": "better"}
        return replace(
            self,
            a=self.b,
            b=self.a,
            mean_a=self.mean_b,
            mean_b=self.mean_a,
            difference=-self.difference,
            interval=replace(self.interval, low=-self.interval.high, high=-self.interval.low),
            outcome=turned.get(self.outcome, self.outcome),
        )


class Sensitivity(NamedTuple):
    """Range of learning rates that do about as well as the best; `decades` is its width as log10(high / low)."""

    low: float
    high: float
    decades: float


def interval(differences: Scores, level: float = LEVEL, *, sequential: bool = False, seed: int = 0) -> Interval:
    """Confidence interval for the mean of paired differences, (n,) fractions.

    mean -+ critical(n) sd / sqrt(n): Student's t below 20 seeds. From 20 on BCa bootstrap with 9,999 resamples, which
    follows skewed differences, unless the level is so high that hardly a resample lies beyond it. With `sequential`
    the interval holds at all n at once, so one may look after every seed, stop when one likes and go on later.

    Equal differences at every seed have no sd to judge by, so both give way to the sign test: arms that are alike put
    n seeds on one side with probability 2^(1-n) at most. The interval is a point from there on (6 seeds at 95%), and
    [-1, 1] before. That one n serves also who looks at every seed.

    Errors:
        ValueError for fewer than 2 differences, and for those that are not finite or outside [-1, 1].

    Source: Student 1908; Efron 1987 (BCa), its level widened as Hesterberg 2015 (arXiv 1411.5279) does for the
        percentile interval; for `sequential` see `critical`; Dixon & Mood 1946 (sign test).
    """
    values = _checked(differences, "Differences", -1)
    _check_level(level)
    if np.ptp(values) <= ROUNDING:
        return _sign_test(values, level)
    if not sequential and len(values) >= BOOTSTRAP_FROM:
        resampled = _bootstrapped(values, level, seed)
        if resampled is not None:
            return resampled
    error = values.std(ddof=1) / math.sqrt(len(values))
    reach = critical(len(values), level, sequential=sequential) * error
    return _bounded(values.mean() - reach, values.mean() + reach, level, "anytime-valid t" if sequential else "t")


def critical(n: int, level: float, *, sequential: bool = False) -> float:
    """Half-width of an interval for the mean of n values, in standard errors; infinite where nothing can be shown.

    The sequential one inverts E < 1 / alpha, with alpha = 1 - level and, for S = sum x and V = sum x^2,

        E = sqrt(c / (n + c)) ((n + c) V / ((n + c) V - S^2))^(n/2)
        critical^2 = (n - 1) (n + c) (k - 1) / (n + c - c k)     with k = ((n + c) / c)^(1/n) alpha^(-2/n)

    E is the likelihood ratio of effects mean / sd ~ N(0, 1/c) to effect 0 under the prior 1 / sd of the scale: a
    martingale that starts at 1 if the mean is 0, so it ever reaches 1 / alpha with probability alpha at most (Ville).

    Example:
        >>> round(critical(8, 0.95), 3), round(critical(8, 0.95, sequential=True), 3)
        (2.365, 4.225)

    Source: Lai 1976, Ann. Stat. 4:265; Wang & Ramdas 2025, arXiv 2310.03722.
    """
    alpha, c = 1 - level, PRIOR_PRECISION
    if not sequential:
        return float(-special.stdtrit(n - 1, alpha / 2))
    k = ((n + c) / c) ** (1 / n) * alpha ** (-2 / n)
    left = n + c - c * k
    return math.sqrt((n - 1) * (n + c) * (k - 1) / left) if left > 0 else math.inf


def seeds_needed(
    differences: Scores,
    worth: float = WORTH,
    level: float = LEVEL,
    comparisons: int = 1,
    power: float = POWER,
    *,
    sequential: bool = False,
) -> int | None:
    """Fewest seeds at which a true mean difference of `worth` shows with probability `power`.

    Takes the sd of the n differences seen for the true one, though from 8 seeds it may well be off by a third and the
    answer by a factor of two. With `sequential` it counts one look, at the end; looking all along needs fewer.

    Returns:
        None if the differences do not vary or more than 10,000 seeds would be needed.

    Source: noncentral t, Cohen 1988.
    """
    values = _checked(differences, "Differences", -1)
    each = _corrected(level, comparisons)
    if not worth > 0 or not 0 < power < 1:
        raise ValueError(f"worth must be above 0 and power in (0, 1); got worth {worth:g} and power {power:g}.")
    if np.ptp(values) <= ROUNDING:
        return None
    effect = worth / values.std(ddof=1)

    def chance(n: int) -> float:
        threshold = critical(n, each, sequential=sequential)
        return 1 - float(special.nctdtr(n - 1, effect * math.sqrt(n), threshold)) if threshold < math.inf else 0.0

    counts = range(2, MOST_SEEDS + 1)
    found = bisect_left(counts, power, key=chance)
    return counts[found] if found < len(counts) else None


def verdict(
    a: str,
    b: str,
    scores_a: Scores,
    scores_b: Scores,
    *,
    level: float = LEVEL,
    comparisons: int = 1,
    worth: float = WORTH,
    sequential: bool = False,
) -> Verdict:
    """Judge arm `a` against arm `b` by scores paired by seed, (n,) fractions each.

    The outcome is what the interval at level 1 - (1 - level) / comparisons says of 0, nothing else.

    Errors:
        ValueError for fewer than 2 seeds, unequal numbers of them, and scores that are not finite or outside [0, 1].
    """
    first, second = _checked(scores_a, f"Scores of {a}"), _checked(scores_b, f"Scores of {b}")
    if len(first) != len(second):
        raise ValueError(f"Scores are paired by seed; got {len(first)} of {a} and {len(second)} of {b}.")
    differences = first - second
    found = interval(differences, _corrected(level, comparisons), sequential=sequential)
    return Verdict(
        a=a,
        b=b,
        mean_a=float(first.mean()),
        mean_b=float(second.mean()),
        difference=float(differences.mean()),
        interval=found,
        seeds=len(differences),
        comparisons=comparisons,
        outcome="better" if found.low > 0 else "worse" if found.high < 0 else "no difference shown",
        needed=seeds_needed(differences, worth, level, comparisons, sequential=sequential),
        worth=worth,
    )


def verdicts(
    scores: Mapping[str, Scores], *, level: float = LEVEL, worth: float = WORTH, sequential: bool = False
) -> list[Verdict]:
    """Judge every pair of arms, best mean first, each corrected for the number of pairs."""
    best_first = sorted(scores, key=lambda arm: float(np.mean(scores[arm])), reverse=True)
    pairs = list(combinations(best_first, 2))
    return [
        verdict(
            a, b, scores[a], scores[b], level=level, comparisons=len(pairs), worth=worth, sequential=sequential
        )
        for a, b in pairs
    ]


def words(verdict: Verdict) -> str:
    """The verdict as one sentence, in percentage points."""
    if verdict.outcome == "worse":
        turned = verdict.mirrored()
        return _shown(replace(turned, a=verdict.a, b=verdict.b), "worse")
    if verdict.outcome == "better":
        return _shown(verdict, "better")
    names = f"No difference shown between {verdict.a} and {verdict.b} at {verdict.seeds} seeds"
    return f"{names} ({_finding(verdict)}){_prospect(verdict)}."


def ranking_claim(at_default: Verdict, tuned: Verdict) -> str:
    """What became of the ranking of two arms at the default learning rate once both were tuned.

    Errors:
        ValueError if the two verdicts are not about the same two arms.
    """
    if {at_default.a, at_default.b} != {tuned.a, tuned.b}:
        raise ValueError(
            f"Both verdicts must be about the same arms; got {at_default.a} and {at_default.b}, "
            f"then {tuned.a} and {tuned.b}."
        )
    before, after = at_default.winner, tuned.winner
    if before is None:
        after_all = f"; {after} won once both were tuned." if after else ", nor once both were tuned."
        return f"No difference was shown at the default rate{after_all}"
    if after is None:
        return f"{before} won at the default rate, not once both were tuned."
    if after == before:
        return f"{before} won at the default rate and won once both were tuned."
    return f"{after}, worse at the default rate, won once both were tuned."


def sensitivity(rates: Scores, mean_scores: Scores, within: float = 0.01) -> Sensitivity:
    """Range of tried learning rates around the best that all score within `within` of it.

    It ends at the first rate on each side that does worse; nothing is interpolated, so a coarse grid makes it look
    narrow and a short grid may cut it off. Of equal best scores the lowest rate counts as the best.

    Errors:
        ValueError for unequal numbers of rates and scores, none, rates that repeat or are not above 0.
    """
    tried, scores = np.asarray(rates, dtype=float), np.asarray(mean_scores, dtype=float)
    if tried.ndim != 1 or tried.shape != scores.shape or not len(tried):
        raise ValueError(f"Give one score per rate; got {tried.size} rates and {scores.size} scores.")
    if not (np.isfinite(tried) & (tried > 0) & np.isfinite(scores)).all() or len(np.unique(tried)) < len(tried):
        raise ValueError(f"Rates must be above 0 and differ, scores finite; got {tried} and {scores}.")
    order = np.argsort(tried)
    tried, scores = tried[order], scores[order]
    best = int(scores.argmax())
    worse = np.flatnonzero(scores < scores[best] - within - ROUNDING)
    low = float(tried[max(worse[worse < best], default=-1) + 1])
    high = float(tried[min(worse[worse > best], default=len(tried)) - 1])
    return Sensitivity(low, high, math.log10(high / low))


def _checked(values: Scores, what: str, lowest: float = 0.0) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"{what}: at least 2 seeds are needed, one number each; got shape {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{what} must be finite; got {array}. Give a failed run the accuracy of chance.")
    if array.min() < lowest or array.max() > 1:
        raise ValueError(f"{what} must be fractions in [{lowest:g}, 1]; got {array}. Divide percentages by 100.")
    return array


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), 0.95 for 95%; got {level:g}.")


def _corrected(level: float, comparisons: int) -> float:
    _check_level(level)
    if comparisons < 1:
        raise ValueError(f"comparisons must be 1 or more; got {comparisons}.")
    return 1 - (1 - level) / comparisons


def _bounded(low: float, high: float, level: float, method: Method) -> Interval:
    return Interval(max(-1.0, float(low)), min(1.0, float(high)), level, method)


def _sign_test(values: np.ndarray, level: float) -> Interval:
    same = 0.0 if abs(values).max() <= ROUNDING else values.mean()
    enough = 2.0 ** (1 - len(values)) <= 1 - level
    return _bounded(same if enough else -1, same if enough else 1, level, "sign test")


def _bootstrapped(values: np.ndarray, level: float, seed: int) -> Interval | None:
    # Plain BCa is as narrow as a normal interval with sd / n: 98.8% for 99.5% at 20 normal values, 1 in 80 false.
    tail = float(special.ndtr(-critical(len(values), level) * math.sqrt(len(values) / (len(values) - 1))))
    if tail * RESAMPLES < 5:
        return None
    bounds = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=1 - 2 * tail,
        method="BCa",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return _bounded(bounds.low, bounds.high, level, "BCa bootstrap")


def _shown(verdict: Verdict, outcome: Outcome) -> str:
    difference, span = _numbers(verdict)
    corrected = _correction(verdict)
    return (
        f"{verdict.a} is {outcome} than {verdict.b} by {difference} points "
        f"({_kind(verdict)} {span}, {verdict.seeds} seeds{corrected})."
    )


def _finding(verdict: Verdict) -> str:
    if verdict.interval.method == "sign test" and verdict.difference == 0:
        return "equal scores at every seed"
    difference, span = _numbers(verdict)
    if verdict.interval.unbounded:
        return f"A - B: {difference} points, too few seeds for a {_kind(verdict)}{_correction(verdict)}"
    return f"{verdict.a} - {verdict.b}: {difference} points, {_kind(verdict)} {span}{_correction(verdict)}"
