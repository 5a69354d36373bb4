"""Intervals cover what they say they cover, verdicts say what the intervals say, words say what the verdicts say."""

import math
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from lab.sentences import footing, ranking_claim, words
from lab.verdicts import (
    PRIOR_PRECISION,
    Interval,
    Outcome,
    Verdict,
    critical,
    doubled_interval,
    interval,
    seeds_needed,
    sensitivity,
    verdict,
    verdicts,
)

Shape = tuple[int, ...]
Draw = Callable[[np.random.Generator, Shape], np.ndarray]
IMAGES = 360  # in the test set of `digits`: accuracies are multiples of 1/360


def four_errors(probability: float, repeats: int) -> float:
    return 4 * math.sqrt(probability * (1 - probability) / repeats)


def normal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return 0.01 * rng.standard_normal(shape)


def few_errors(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """An arm that misses 3 of 20 hard images against one that misses 6: discrete, mean 3/360."""
    return (rng.binomial(20, 0.3, shape) - rng.binomial(20, 0.15, shape)) / IMAGES


def skewed(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Waiting times in whole images, skewness 2, mean 0."""
    return (rng.geometric(0.25, shape) - 4) / IMAGES


def coverage(draw: Draw, mean: float, n: int, repeats: int, level: float = 0.95) -> float:
    samples = draw(np.random.default_rng(7), (repeats, n))
    found = (interval(sample, level) for sample in samples)
    return float(np.mean([each.low <= mean <= each.high for each in found]))


def test_a_t_interval_of_normal_differences_covers_as_often_as_it_says():
    assert coverage(normal, 0, 8, 10_000) == pytest.approx(0.95, abs=four_errors(0.95, 10_000))
    assert coverage(normal, 0, 8, 10_000, level=0.995) == pytest.approx(0.995, abs=four_errors(0.995, 10_000))


@pytest.mark.parametrize(("draw", "mean", "lowest"), [(few_errors, 3 / IMAGES, 0.94), (skewed, 0.0, 0.88)])
def test_a_t_interval_of_discrete_differences_covers_about_as_often(draw: Draw, mean: float, lowest: float):
    # Measured with 20,000 samples of 8: 94.9% and 89.4%. Differences of accuracies are like the first.
    assert lowest <= coverage(draw, mean, 8, 5_000) <= 0.96


@pytest.mark.parametrize(("draw", "lowest"), [(normal, 0.95 - four_errors(0.95, 700)), (skewed, 0.90)])
def test_bootstrap_intervals_of_30_cover_about_as_often_as_they_say(draw: Draw, lowest: float):
    assert lowest <= coverage(draw, 0, 30, 700) <= 0.95 + four_errors(0.95, 700)


@pytest.mark.parametrize("level", [0.95, 0.995])
def test_a_bootstrap_interval_is_as_wide_as_students_where_differences_are_normal(level: float):
    values = 0.01 * stats.norm.ppf((np.arange(20) + 0.5) / 20)
    found, error = interval(values, level), values.std(ddof=1) / math.sqrt(20)
    assert found.method == "BCa bootstrap"
    assert (found.high - found.low) / 2 == pytest.approx(critical(20, level) * error, rel=0.06)


def test_a_bootstrap_interval_follows_skewed_differences():
    values = (np.arange(30) / 100) ** 3
    found = interval(values)
    assert found.high - values.mean() > 1.15 * (values.mean() - found.low)


def test_bootstrap_intervals_repeat_and_other_seeds_change_them_little():
    values = normal(np.random.default_rng(0), (25,))
    first, other = interval(values), interval(values, seed=1)
    assert first == interval(values)
    assert first != other
    assert first.low == pytest.approx(other.low, abs=0.1 * (first.high - first.low))


@pytest.mark.parametrize(
    ("n", "level", "sequential", "method"),
    [
        (19, 0.95, False, "t"),
        (20, 0.95, False, "BCa bootstrap"),
        (20, 0.95, True, "anytime-valid t"),
        (20, 0.9999, False, "t"),  # a tail of 1 in 20,000 is beyond 9,999 resamples
    ],
)
def test_methods(n: int, level: float, sequential: bool, method: str):
    found = interval(normal(np.random.default_rng(0), (n,)), level, sequential=sequential)
    assert (found.method, found.level) == (method, level)


def test_the_t_interval_is_scipys():
    values = normal(np.random.default_rng(0), (8,))
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = interval(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


def evidence(t: float, n: int) -> float:
    """How much likelier effects of N(0, 1/c) make this t of n values than effect 0 does, integrated numerically."""
    spread = 1 / math.sqrt(PRIOR_PRECISION)

    def joint(effect: float) -> float:
        return float(stats.nct.pdf(t, n - 1, effect * math.sqrt(n)) * stats.norm.pdf(effect, 0, spread))

    return integrate.quad(joint, -8, 8, limit=200)[0] / float(stats.t.pdf(t, n - 1))


@pytest.mark.parametrize(("n", "level"), [(5, 0.95), (8, 0.95), (20, 0.99)])
def test_the_sequential_interval_ends_where_the_evidence_is_enough(n: int, level: float):
    assert evidence(critical(n, level, sequential=True), n) == pytest.approx(1 / (1 - level), rel=1e-3)


@pytest.mark.parametrize("draw", [normal, lambda rng, shape: few_errors(rng, shape) - few_errors(rng, shape)])
def test_looking_after_every_seed_seldom_shows_what_is_not_there(draw: Draw):
    repeats, counts = 10_000, np.arange(2, 41)
    paths = draw(np.random.default_rng(3), (repeats, 40))
    means = paths.cumsum(axis=1)[:, 1:] / counts
    squares = (paths**2).cumsum(axis=1)[:, 1:]
    errors = np.sqrt(np.maximum(squares - counts * means**2, 1e-15) / (counts - 1) / counts)
    thresholds = np.array([critical(n, 0.95, sequential=True) for n in counts.tolist()])
    shown = (abs(means) > thresholds * errors).any(axis=1).mean()
    assert 0.01 < shown <= 0.05 + four_errors(0.05, repeats)
    looked_at_by_t = (abs(means) > np.array([critical(n, 0.95) for n in counts.tolist()]) * errors).any(axis=1)
    assert looked_at_by_t.mean() > 0.2  # why there is a sequential interval


def test_a_sequential_verdict_has_the_sequential_interval_and_needs_more_seeds():
    differences = normal(np.random.default_rng(0), (8,))
    at_once, looked = (verdict("A", "B", 0.5 + differences, np.full(8, 0.5), sequential=way) for way in (False, True))
    assert looked.interval.method == "anytime-valid t"
    assert looked.interval.low < at_once.interval.low < at_once.interval.high < looked.interval.high
    assert at_once.needed is not None
    assert looked.needed is not None
    assert at_once.needed < looked.needed < 4 * at_once.needed


def test_sequential_intervals_rule_out_nothing_before_the_fourth_seed():
    values = normal(np.random.default_rng(0), (4,))
    assert interval(values[:3], sequential=True) == Interval(-1, 1, 0.95, "anytime-valid t")
    assert not interval(values, sequential=True).unbounded


def test_five_equal_arms_seldom_differ():
    families = 0.9 + normal(np.random.default_rng(5), (1_000, 5, 8))
    shown = [any(each.winner for each in verdicts(dict(zip("abcde", arms, strict=True)))) for arms in families]
    assert 0.01 < np.mean(shown) <= 0.05 + four_errors(0.05, len(families))


SHOWN = [(2, 1, False, False), (5, 1, False, False), (6, 1, True, False), (8, 1, True, False), (9, 1, True, True)]
SHOWN += [(8, 10, False, False), (9, 10, True, False), (30, 1, True, True)]


@pytest.mark.parametrize("difference", [1 / IMAGES, -0.25])
@pytest.mark.parametrize(("n", "comparisons", "at_once", "looked"), SHOWN)
def test_a_constant_difference_is_shown_once_chance_seldom_does_it(difference, n, comparisons, at_once, looked):
    scores = np.linspace(0.3, 0.7, n)
    for sequential in (False, True):
        found = verdict("A", "B", scores + difference, scores, comparisons=comparisons, sequential=sequential)
        assert found.interval.method == "sign test"
        assert (found.winner is not None) == (looked if sequential else at_once)
        assert found.interval.low <= found.difference <= found.interval.high
        assert max(abs(found.interval.low), abs(found.interval.high)) == 1, "of the size nothing is known"
        assert found.needed is None


def test_scores_equal_at_every_seed_leave_room_for_others_that_were_not_seen():
    for n, sequential, alpha in ((8, False, 0.05), (30, False, 0.05), (8, True, 0.005)):
        found = interval(np.zeros(n), sequential=sequential)
        assert (1 - found.high) ** n == pytest.approx(alpha), "so seldom none of n seeds differs"
        assert found.low == -found.high


def test_the_change_of_a_difference_has_the_interval_of_its_own():
    changes = 0.4 * np.random.default_rng(1).standard_normal(8)
    error = changes.std(ddof=1) / math.sqrt(8)
    found = doubled_interval(changes)
    assert (found.low + found.high) / 2 == pytest.approx(changes.mean())
    assert (found.high - found.low) / 2 == pytest.approx(critical(8, 0.95) * error)
    assert doubled_interval([2, -2, 2]).high == 2


def test_float32_noise_is_no_difference():
    exact = np.arange(300, 308) / IMAGES
    noisy = exact.astype(np.float32)
    assert np.ptp(noisy - exact) > 0
    found = verdict("A", "B", noisy, exact)
    assert found.winner is None
    assert words(found) == "No difference shown between A and B at 8 seeds (equal scores at every seed)."


@pytest.mark.parametrize("nonzero", [1, 2, 19])
def test_a_difference_at_few_seeds_of_many_is_no_trouble(nonzero: int):
    found = interval(np.where(np.arange(20) < nonzero, 1 / IMAGES, 0.0))
    assert found.method == "BCa bootstrap"
    assert 0 <= found.low <= nonzero / 20 / IMAGES <= found.high <= 1 / IMAGES


def spread(sd: float, n: int = 8) -> np.ndarray:
    """n differences with exactly that sd."""
    values = np.arange(n) - (n - 1) / 2
    return values * sd / values.std(ddof=1)


def power(n: int, effect: float, alpha: float = 0.05) -> float:
    return float(stats.nct.sf(stats.t.ppf(1 - alpha / 2, n - 1), n - 1, effect * math.sqrt(n)))


@pytest.mark.parametrize(("sd", "comparisons"), [(0.003, 1), (0.01, 1), (0.01, 10), (0.05, 1)])
def test_seeds_needed_is_the_smallest_number_that_is_enough(sd: float, comparisons: int):
    needed = seeds_needed(spread(sd), 0.005, 0.95, comparisons)
    assert needed is not None
    assert power(needed - 1, 0.005 / sd, 0.05 / comparisons) < 0.8 <= power(needed, 0.005 / sd, 0.05 / comparisons)


@pytest.mark.parametrize("sequential", [False, True])
def test_seeds_needed_are_enough_four_times_in_five(sequential: bool):
    needed, repeats = seeds_needed(spread(0.008), 0.005, sequential=sequential), 5_000
    assert needed is not None
    samples = 0.005 + 0.008 * np.random.default_rng(2).standard_normal((repeats, needed))
    reach = critical(needed, 0.95, sequential=sequential) * samples.std(axis=1, ddof=1) / math.sqrt(needed)
    shown = (samples.mean(axis=1) > reach).mean()
    assert 0.8 - four_errors(0.8, repeats) < shown < 0.83 + four_errors(0.8, repeats)


def test_seeds_needed_of_no_spread_of_little_and_of_much():
    assert seeds_needed([0.01, 0.01, 0.01]) is None
    assert seeds_needed(spread(1e-5)) == 2
    assert seeds_needed(spread(0.1), worth=0.001) is None
    assert seeds_needed(spread(0.01), power=0.9) > seeds_needed(spread(0.01), power=0.8)  # type: ignore[operator]


def told(outcome: Outcome, difference: float, low: float, high: float, method: str = "t", **changes: object) -> Verdict:
    comparisons = changes.get("comparisons", 1)
    assert isinstance(comparisons, int)
    level = 1 - 0.05 / comparisons
    found = Interval(low, high, level, method)  # type: ignore[arg-type]
    plain = Verdict("A", "B", 0.9 + difference, 0.9, difference, found, 8, 1, outcome, 30, 0.005)
    return replace(plain, **changes)  # type: ignore[arg-type]


NONE: Outcome = "no difference shown"
GOLDEN = [
    (told("better", 0.012, 0.006, 0.019), "A is better than B by 1.2 points (95% interval 0.6 to 1.9, 8 seeds)."),
    (told("worse", -0.012, -0.019, -0.006), "A is worse than B by 1.2 points (95% interval 0.6 to 1.9, 8 seeds)."),
    (
        told("better", 0.012, 0.006, 0.019, comparisons=10),
        "A is better than B by 1.2 points (95% interval 0.6 to 1.9, 8 seeds, corrected for 10 comparisons).",
    ),
    (
        told("better", 0.012, 0.006, 0.019, "anytime-valid t"),
        "A is better than B by 1.2 points (95% anytime-valid interval 0.6 to 1.9, 8 seeds).",
    ),
    (
        told("better", 0.012, 0.006, 0.019, "BCa bootstrap", seeds=20),
        "A is better than B by 1.2 points (95% bootstrap interval 0.6 to 1.9, 20 seeds).",
    ),
    (
        told("better", 0.0008, 0.00004, 0.0019),
        "A is better than B by 0.080 points (95% interval 0.004 to 0.190, 8 seeds).",
    ),
    (
        told(NONE, 0.001, -0.004, 0.006),
        "No difference shown between A and B at 8 seeds (A - B: 0.1 points, 95% interval -0.4 to 0.6); "
        "about 30 seeds would be needed to see half a point.",
    ),
    (
        told(NONE, -0.0004, -0.004, 0.0032, comparisons=10, worth=0.01, needed=1234),
        "No difference shown between A and B at 8 seeds (A - B: -0.04 points, 95% interval -0.40 to 0.32, "
        "corrected for 10 comparisons); about 1,234 seeds would be needed to see one point.",
    ),
    (
        told(NONE, 0.0, -0.001, 0.001, worth=0.002, needed=5),
        "No difference shown between A and B at 8 seeds (A - B: 0.00 points, 95% interval -0.10 to 0.10).",
    ),
    (
        told(NONE, 0.001, -1e-8, 0.006),
        "No difference shown between A and B at 8 seeds (A - B: 0.1 points, 95% interval 0.0 to 0.6); "
        "about 30 seeds would be needed to see half a point.",
    ),
    (
        told(NONE, 0.1, -0.2, 0.4, needed=None),
        "No difference shown between A and B at 8 seeds (A - B: 10.0 points, 95% interval -20.0 to 40.0); "
        "more than 10,000 seeds would be needed to see half a point.",
    ),
    (
        told(NONE, 0.01, -1, 1, "anytime-valid t", seeds=3),
        "No difference shown between A and B at 3 seeds (A - B: 1.0 points, too few seeds for any 95% anytime-valid "
        "interval).",  # nor does the spread of so few say how many would be needed
    ),
    (
        told(NONE, 0.07, -1, 1, seeds=2),  # beside another pair of two seeds with an interval of -73 to 100
        "No difference shown between A and B at 2 seeds (A - B: 7.0 points, 95% interval -100.0 to 100.0).",
    ),
    (
        told(NONE, 0.001, -0.004, 0.006, seeds=3),
        "No difference shown between A and B at 3 seeds (A - B: 0.1 points, 95% interval -0.4 to 0.6).",
    ),
    (
        told(NONE, 0.001, -0.004, 0.006, seeds=4),
        "No difference shown between A and B at 4 seeds (A - B: 0.1 points, 95% interval -0.4 to 0.6); "
        "about 30 seeds would be needed to see half a point.",
    ),
    (
        told(NONE, 0.01, -1, 1, "sign test", seeds=3, needed=None),
        "No difference shown between A and B at 3 seeds (A - B: 1.0 points at every seed, too few seeds for any 95% "
        "sign-test interval).",
    ),
    (
        told("better", 0.01, 1e-6, 1, "sign test", needed=None),
        "A is better than B by 1.0 points (at each of 8 seeds; 95% sign test, which does not say how large it is).",
    ),
    (
        told(NONE, 0.0, -0.31, 0.31, "sign test", needed=None),
        "No difference shown between A and B at 8 seeds (equal scores at every seed).",
    ),
]


@pytest.mark.parametrize(("judged", "sentence"), GOLDEN)
def test_words(judged: Verdict, sentence: str):
    assert words(judged) == sentence


def test_what_several_verdicts_have_in_common_is_said_once():
    rng = np.random.default_rng(0)
    scores = {name: mean + 0.002 * rng.standard_normal(8) for name, mean in (("a", 0.9), ("b", 0.8), ("c", 0.8))}
    found = verdicts(scores)
    common = footing(found)
    assert common == "95% intervals, 8 seeds, corrected for 3 comparisons"
    for judged in found:
        short, long = words(judged, brief=True), words(judged)
        assert "95%" not in short
        assert "corrected" not in short
        interval = re.search(r"interval (-?[\d.]+ to -?[\d.]+)", long)
        assert interval
        assert interval[1] in short


def test_verdicts_that_have_nothing_in_common_each_say_their_own():
    few, many = (verdict("a", "b", [0.9, 0.91, 0.92] * times, [0.8, 0.82, 0.81] * times) for times in (1, 2))
    assert footing([few, many]) == footing([few]) == ""


def test_a_verdict_from_scores_to_words():
    scores = np.array([0.90, 0.91, 0.89, 0.92, 0.90])
    judged = verdict("adam", "sgd", scores + np.array([3, 2, 4, 3, 3]) / 100, scores)
    assert (judged.winner, judged.seeds, judged.comparisons, judged.level) == ("adam", 5, 1, pytest.approx(0.95))
    assert (judged.mean_a, judged.mean_b, judged.points) == pytest.approx((0.934, 0.904, 3.0))
    assert words(judged) == "adam is better than sgd by 3.0 points (95% interval 2.1 to 3.9, 5 seeds)."


def test_every_pair_is_judged_best_mean_first():
    scores = {"low": [0.1, 0.2, 0.1], "high": [0.8, 0.9, 0.9], "middle": [0.5, 0.4, 0.6]}
    found = verdicts(scores, level=0.9)
    assert [(each.a, each.b) for each in found] == [("high", "middle"), ("high", "low"), ("middle", "low")]
    assert all(each.comparisons == 3 and each.level == pytest.approx(0.9) for each in found)
    assert found[1] == verdict("high", "low", scores["high"], scores["low"], level=0.9, comparisons=3)
    assert verdicts({"alone": [0.1, 0.2]}) == []


better, worse, same = told("better", 0.02, 0.01, 0.03), told("worse", -0.02, -0.03, -0.01), told(NONE, 0, -0.1, 0.1)
CLAIMS = [
    (better, same, "A won at the rate given, not once both were tuned."),
    (better, better, "A won at the rate given and won once both were tuned."),
    (better, worse, "B, worse at the rate given, won once both were tuned."),
    (worse, same, "B won at the rate given, not once both were tuned."),
    (worse, worse, "B won at the rate given and won once both were tuned."),
    (worse, better, "A, worse at the rate given, won once both were tuned."),
    (same, same, "No difference was shown at the rate given, nor once both were tuned."),
    (same, better, "No difference was shown at the rate given; A won once both were tuned."),
    (same, worse, "No difference was shown at the rate given; B won once both were tuned."),
    (better, replace(worse, a="B", b="A"), "A won at the rate given and won once both were tuned."),
]


@pytest.mark.parametrize(("at_default", "tuned", "claim"), CLAIMS)
def test_ranking_claims(at_default: Verdict, tuned: Verdict, claim: str):
    assert ranking_claim(at_default, tuned) == claim


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.10, 0.90, 0.92, 0.91, 0.30], (0.1, 0.3, math.log10(3), False)),
        ([0.10, 0.11, 0.134, 0.124, 0.1], (0.1, 0.3, math.log10(3), False)),  # 0.134 - 0.01 > 0.124 in floats
        (
            [0.92, 0.10, 0.92, 0.10, 0.92],
            (0.01, 0.01, 0.0, True),
        ),  # equal bests: the lowest; the rest is left out
        ([0.10, 0.92, 0.10, 0.915, 0.915], (0.03, 0.03, 0.0, False)),
        ([0.5, 0.5, 0.5, 0.5, 0.5], (0.01, 1.0, 2.0, True)),
        ([0.1, 0.2, 0.3, 0.4, 0.5], (1.0, 1.0, 0.0, True)),
    ],
)
def test_sensitivity_is_the_stretch_around_the_best_rate(scores: list[float], expected: tuple[float, ...]):
    rates = [0.01, 0.03, 0.1, 0.3, 1.0]
    for found in (sensitivity(rates, scores), sensitivity(rates[::-1], scores[::-1])):
        assert found[:3] == pytest.approx(expected[:3])
        assert found.cut_off is expected[3]


def test_the_chosen_rate_is_the_best_though_another_had_a_lucky_seed() -> None:
    rates, scores = [0.01, 0.03, 0.1, 0.3], [0.835, 0.84, 0.86, 0.7]
    assert sensitivity(rates, scores, chosen=0.03)[:2] == (0.01, 0.1)
    assert sensitivity(rates, scores)[:2] == (0.1, 0.1)
    with pytest.raises(ValueError, match="is not in list"):
        sensitivity(rates, scores, chosen=0.5)


FAULTS: list[tuple[Callable[[], object], str]] = [
    (lambda: interval([0.1]), "Differences: at least 2 seeds are needed, one number each; got shape (1,)."),
    (lambda: interval([0.1, 2.0]), "Differences must be fractions in [-1, 1]; got [0.1 2. ]. Divide"),
    (lambda: interval([0.1, 0.2], 95), "level must be in (0, 1), 0.95 for 95%; got 95."),
    (lambda: verdict("A", "B", [0.1], [0.1]), "Scores of A: at least 2 seeds are needed"),
    (lambda: verdict("A", "B", [[0.1, 0.2]] * 2, [0.1, 0.2]), "got shape (2, 2)."),  # type: ignore[list-item]
    (lambda: verdict("A", "B", [0.1, 0.2, 0.3], [0.1, 0.2]), "paired by seed; got 3 of A and 2 of B."),
    (lambda: verdict("A", "B", [0.1, 0.2], [0.1, math.nan]), "B must be finite; got [0.1 nan]. Give a failed run the"),
    (lambda: verdict("A", "B", [0.1, 0.2], [0.1, math.inf]), "Scores of B must be finite"),
    (lambda: verdict("A", "B", [91.0, 92.0], [0.1, 0.2]), "[0, 1]; got [91. 92.]. Divide percentages by 100."),
    (lambda: verdict("A", "B", [0.1, 0.2], [-0.1, 0.2]), "Scores of B must be fractions in [0, 1]"),
    (lambda: verdict("A", "B", [0.1, 0.2], [0.1, 0.3], comparisons=0), "comparisons must be 1 or more; got 0."),
    (
        lambda: verdict("A", "B", [0.1, 0.2], [0.1, 0.3], worth=0),
        "worth must be above 0 and power in (0, 1); got worth 0",
    ),
    (lambda: seeds_needed([0.1, 0.2], power=1), "power in (0, 1); got worth 0.005 and power 1."),
    (lambda: verdicts({"A": [0.1, 0.2], "B": []}), "Scores of B: at least 2 seeds are needed"),
    (lambda: ranking_claim(better, replace(same, b="C")), "about the same arms; got A and B, then A and C."),
    (lambda: sensitivity([0.1], [0.1, 0.2]), "Give one score per rate; got 1 rates and 2 scores."),
    (lambda: sensitivity([], []), "Give one score per rate; got 0 rates and 0 scores."),
    (lambda: sensitivity([0.0, 0.1], [0.1, 0.2]), "Rates must be above 0 and differ, scores finite; got [0.  0.1]"),
    (lambda: sensitivity([0.1, 0.1], [0.1, 0.2]), "Rates must be above 0 and differ"),
    (lambda: sensitivity([0.1, 0.2], [0.1, math.nan]), "scores finite"),
]


@pytest.mark.parametrize(("asked", "text"), FAULTS)
def test_faults_are_told(asked: Callable[[], object], text: str):
    with pytest.raises(ValueError, match=re.escape(text)):
        asked()


# Multiples of 1/1024: sums and differences of them are exact, so properties hold to the last bit.
fractions = st.integers(0, 512).map(lambda count: count / 1024)
paired = st.integers(2, 24).flatmap(
    lambda n: st.tuples(st.lists(fractions, min_size=n, max_size=n), st.lists(fractions, min_size=n, max_size=n))
)
Pair = tuple[list[float], list[float]]


@settings(deadline=None, max_examples=60)
@given(paired, st.booleans())
def test_the_other_way_round_a_verdict_is_its_mirror_image(pair: Pair, sequential: bool):
    there = verdict("A", "B", *pair, sequential=sequential)
    back = verdict("B", "A", *pair[::-1], sequential=sequential)
    assert (back.mean_a, back.mean_b, back.difference) == (there.mean_b, there.mean_a, -there.difference)
    assert (back.interval.low, back.interval.high) == pytest.approx((-there.interval.high, -there.interval.low))
    assert (back.winner, back.needed, back.seeds) == (there.winner, there.needed, there.seeds)


@settings(deadline=None, max_examples=60)
@given(paired, fractions, st.booleans())
def test_a_constant_added_to_both_arms_changes_nothing(pair: Pair, constant: float, sequential: bool):
    plain = verdict("A", "B", *pair, sequential=sequential)
    lifted = verdict("A", "B", *(np.array(scores) + constant for scores in pair), sequential=sequential)
    assert replace(lifted, mean_a=plain.mean_a, mean_b=plain.mean_b) == plain


@settings(deadline=None, max_examples=60)
@given(paired)
def test_halved_scores_halve_the_interval_unless_it_ended_at_one(pair: Pair):
    plain = verdict("A", "B", *pair)
    half = verdict("A", "B", *(np.array(scores) / 2 for scores in pair), worth=plain.worth / 2)
    assert half.difference == plain.difference / 2
    assert (half.winner, half.needed) == (plain.winner, plain.needed)
    if plain.interval.method != "sign test" and plain.interval.low > -1 and plain.interval.high < 1:
        assert (half.interval.low * 2, half.interval.high * 2) == pytest.approx(
            (plain.interval.low, plain.interval.high)
        )


@settings(deadline=None, max_examples=60)
@given(paired, st.integers(1, 45), st.booleans())
def test_words_outcome_and_interval_never_disagree(pair: Pair, comparisons: int, sequential: bool):
    judged = verdict("A", "B", *pair, comparisons=comparisons, sequential=sequential)
    low, high = judged.interval.low, judged.interval.high
    assert low <= judged.difference <= high
    assert judged.outcome == ("better" if low > 0 else "worse" if high < 0 else "no difference shown")
    printed = re.search(r"interval (-?[\d.]+) to (-?[\d.]+)", words(judged))
    if printed:
        assert (float(printed[1]) > 0) == (judged.winner is not None or low > 0)
    else:
        assert judged.winner is None
