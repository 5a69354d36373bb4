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
import scipy

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
PRIOR_PRECISION = 0.25  # effects of N(0, 2 sd): about the soonest to see effects of 1 to 2 sd
SIGN_SHARE = 0.1  # of alpha where two rules look on: the sign test's, which is seldom asked


@dataclass(frozen=True)
class Interval:
    """Confidence interval of a mean difference (fractions in [-1, 1]) at `level`, and the method that gave it.

    An interval of the sign test that excludes 0 says on which side the difference lies, not how large it is.
    """

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


class Sensitivity(NamedTuple):
    """Range of learning rates that do about as well as the best; `decades` is its width as log10(high / low).

    cut_off: it ends where the rates tried end, so the range is at least so wide.
    """

    low: float
    high: float
    decades: float
    cut_off: bool


def interval(differences: Scores, level: float = LEVEL, *, sequential: bool = False, seed: int = 0) -> Interval:
    """Confidence interval for the mean of paired differences, (n,) fractions.

    mean -+ critical(n) sd / sqrt(n): Student's t below 20 seeds. From 20 on BCa bootstrap with 9,999 resamples, which
    follows skewed differences; t again where the level is so high that hardly a resample lies beyond it. With
    `sequential` the interval holds at all n at once, for normal differences: one may look after every seed, stop when
    one likes and go on later.

    Equal differences at every seed have no sd to judge by, so all give way to the sign test: arms that are alike put
    n seeds on one side with probability 2^(1-n) at most. Once that is below 1 - level (6 seeds at 95%) the interval is
    that side, without a word on the size; before, it is [-1, 1]. Where every difference is 0, a share of seeds at
    which it is not is below 1 - (1 - level)^(1/n), and each could differ by 1. No later n undoes either, so both hold
    for whoever looks after every seed; the sign test and the t rule then share alpha, a tenth and nine tenths.

    Errors:
        ValueError for fewer than 2 differences, and for those that are not finite or outside [-1, 1].

    Source: Student 1908; Efron 1987 (BCa), its level widened as Hesterberg 2015 (arXiv 1411.5279) does for the
        percentile interval; for `sequential` see `critical`; Dixon & Mood 1946 (sign test).
    """
    values = _checked(differences, "Differences", -1)
    _check_level(level)
    if np.ptp(values) <= ROUNDING:
        return _constant(values, level, sequential=sequential)
    if not sequential and len(values) >= BOOTSTRAP_FROM:
        resampled = _bootstrapped(values, level, seed)
        if resampled is not None:
            return resampled
    error = values.std(ddof=1) / math.sqrt(len(values))
    reach = _reach(len(values), level, sequential=sequential) * error
    return _bounded(values.mean() - reach, values.mean() + reach, level, "anytime-valid t" if sequential else "t")


def doubled_interval(differences: Scores, level: float = LEVEL, *, sequential: bool = False) -> Interval:
    """`interval` for differences of differences, (n,) in [-2, 2]: of how much a difference has changed."""
    found = interval(np.asarray(differences, dtype=float) / 2, level, sequential=sequential)
    return replace(found, low=2 * found.low, high=2 * found.high)


def critical(n: int, level: float, *, sequential: bool = False) -> float:
    """Half-width of an interval for the mean of n values, in standard errors; infinite where nothing can be shown.

    The sequential one inverts E < 1 / alpha, with alpha = 1 - level and, for S = sum x and V = sum x^2,

        E = sqrt(c / (n + c)) ((n + c) V / ((n + c) V - S^2))^(n/2)
        critical^2 = (n - 1) (n + c) (k - 1) / (n + c - c k)     with k = ((n + c) / c)^(1/n) alpha^(-2/n)

    E is the likelihood ratio of effects mean / sd ~ N(0, 1/c) to effect 0 under the prior 1 / sd of the scale: a
    martingale that starts at 1 if the mean is 0, so it ever reaches 1 / alpha with probability alpha at most (Ville).

    Example:
        >>> round(critical(8, 0.95), 3), round(critical(8, 0.95, sequential=True), 3)
        (2.365, 4.204)

    Source: Student 1908; Wang & Ramdas 2025 (arXiv 2310.03722), after Lai 1976 (Ann. Stat. 4:265).
    """
    alpha, c = 1 - level, PRIOR_PRECISION
    if not sequential:
        return float(-scipy.special.stdtrit(n - 1, alpha / 2))
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

    Takes the sd seen for the true one, and the answer goes with its square: 8 differences leave it uncertain from 0.4
    to 4 times what they say. With `sequential` it counts one look, at the end; looking all along needs fewer.

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
        threshold = _reach(n, each, sequential=sequential)
        return 1 - float(scipy.special.nctdtr(n - 1, effect * math.sqrt(n), threshold)) if threshold < math.inf else 0.0

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
    best_first = sorted(scores, key=lambda arm: _checked(scores[arm], f"Scores of {arm}").mean(), reverse=True)
    pairs = list(combinations(best_first, 2))
    return [
        verdict(a, b, scores[a], scores[b], level=level, comparisons=len(pairs), worth=worth, sequential=sequential)
        for a, b in pairs
    ]


def oriented(verdict: Verdict, a: str) -> Verdict:
    """The same verdict with `a` as the arm that the difference is counted from."""
    if verdict.a == a:
        return verdict
    interval = replace(verdict.interval, low=-verdict.interval.high, high=-verdict.interval.low)
    outcomes: dict[Outcome, Outcome] = {"better": "worse", "worse": "better"}
    return replace(
        verdict,
        a=verdict.b,
        b=verdict.a,
        mean_a=verdict.mean_b,
        mean_b=verdict.mean_a,
        difference=-verdict.difference,
        interval=interval,
        outcome=outcomes.get(verdict.outcome, verdict.outcome),
    )


def sensitivity(
    rates: Scores, mean_scores: Scores, within: float = 0.01, *, chosen: float | None = None
) -> Sensitivity:
    """Range of tried learning rates around the best that all score within `within` of it.

    It ends at the first rate on each side that does worse; nothing is interpolated, so a coarse grid makes it look
    narrow and a short grid may cut it off. Of equal best scores the lowest rate counts as the best.

    Args:
        chosen: one of the rates, which counts as the best whatever the others' scores, as they may be of fewer runs.
    Errors:
        ValueError for unequal numbers of rates and scores, none, rates that repeat or are not above 0; for a chosen one
        that is not among them.
    """
    tried, scores = np.asarray(rates, dtype=float), np.asarray(mean_scores, dtype=float)
    if tried.ndim != 1 or tried.shape != scores.shape or not len(tried):
        raise ValueError(f"Give one score per rate; got {tried.size} rates and {scores.size} scores.")
    if not (np.isfinite(tried) & (tried > 0) & np.isfinite(scores)).all() or len(np.unique(tried)) < len(tried):
        raise ValueError(f"Rates must be above 0 and differ, scores finite; got {tried} and {scores}.")
    order = np.argsort(tried)
    tried, scores = tried[order], scores[order]
    best = int(scores.argmax()) if chosen is None else tried.tolist().index(chosen)
    worse = np.flatnonzero(scores < scores[best] - within - ROUNDING)
    low = float(tried[max(worse[worse < best], default=-1) + 1])
    high = float(tried[min(worse[worse > best], default=len(tried)) - 1])
    return Sensitivity(low, high, math.log10(high / low), bool(low == tried[0] or high == tried[-1]))


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


def _reach(n: int, level: float, *, sequential: bool) -> float:
    """`critical` of the t rule; where one looks on, the sign test has its share of alpha."""
    return critical(n, 1 - (1 - SIGN_SHARE) * (1 - level) if sequential else level, sequential=sequential)


def _constant(values: np.ndarray, level: float, *, sequential: bool) -> Interval:
    alpha = (1 - level) * (SIGN_SHARE if sequential else 1)
    if abs(values).max() <= ROUNDING:
        other = 1 - alpha ** (1 / len(values))
        return _bounded(-other, other, level, "sign test")
    if 2.0 ** (1 - len(values)) > alpha:
        return _bounded(-1, 1, level, "sign test")
    return _bounded(ROUNDING, 1, level, "sign test") if values[0] > 0 else _bounded(-1, -ROUNDING, level, "sign test")


def _bootstrapped(values: np.ndarray, level: float, seed: int) -> Interval | None:
    # Plain BCa is too narrow at such n: in simulation a 99.5% interval of 20 to 30 normal values covered 98.8%.
    from scipy import stats  # noqa: PLC0415  # slow to import, and few comparisons come to this

    tail = float(scipy.special.ndtr(-critical(len(values), level) * math.sqrt(len(values) / (len(values) - 1))))
    if tail * RESAMPLES < 5:
        return None
    rng, wider = np.random.default_rng(seed), 1 - 2 * tail
    found = stats.bootstrap((values,), np.mean, n_resamples=RESAMPLES, confidence_level=wider, method="BCa", rng=rng)
    bounds = found.confidence_interval
    return _bounded(bounds.low, bounds.high, level, "BCa bootstrap")
