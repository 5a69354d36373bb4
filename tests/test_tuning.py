"""The search for a learning rate finds the best there is, spends the same on every arm, and ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise, permutations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab.tuning import FIRST, MORE, ROUND, STEP, RateSearch, Score, rounded, widen

Outcome = Callable[[float, int], Score]  # of a rate and a seed
SEEDS = (10, 11, 12)
ROUNDING = math.log10(1.005)  # three digits move a rate by half a percent at most
FAILED = (0.1, -math.inf)  # the accuracy of chance, and no loss
often = settings(deadline=None, max_examples=200)


def searched(outcomes: Sequence[Outcome], *, trials: int = 9, centres: Sequence[float] = ()) -> list[RateSearch]:
    """One search per outcome, asked and told to their ends together, as a comparison does it."""
    searches = [RateSearch(centre, trials, SEEDS) for centre in centres or [0.1] * len(outcomes)]
    going = True
    while going:
        ask(searches, outcomes, RateSearch.explore)
        ask(searches, outcomes, RateSearch.decide)
        going = widen(searches, trials)
    return searches


def ask(
    searches: Sequence[RateSearch],
    outcomes: Sequence[Outcome],
    question: Callable[[RateSearch], list[tuple[float, int]]],
) -> None:
    while wanted := [(index, *each) for index, search in enumerate(searches) for each in question(search)]:
        for index, rate, seed in wanted:
            assert seed not in searches[index].scores.get(rate, {}), f"{rate:g} is asked for twice"
            searches[index].tell(rate, seed, outcomes[index](rate, seed))


def quadratic(best: float, curvature: float = 0.01) -> Outcome:
    """Accuracy falls with the squared distance in decades from the best rate; without noise."""
    return lambda rate, _: (1 - curvature * math.log10(rate / best) ** 2, 0.0)


def higher_is_better(rate: float, _: int) -> Score:
    return 0.5 + math.log10(rate) / 100, 0.0


def always_fails(_: float, __: int) -> Score:
    return FAILED


def decades(a: float, b: float) -> float:
    return abs(math.log10(a / b))


# -- the best there is --------------------------------------------------------------------------------------


@often
@given(
    centre=st.floats(-5, 2).map(lambda power: 10**power),
    away=st.floats(-3, 3),
    trials=st.integers(3, 25),
    curvature=st.floats(0.001, 0.01),
)
@example(centre=0.1, away=0.0, trials=3, curvature=0.01)
@example(centre=0.1, away=-3.0, trials=9, curvature=0.01)
def test_the_best_rate_within_six_decades_is_found(centre: float, away: float, trials: int, curvature: float):
    true = centre * 10**away
    (search,) = searched([quadratic(true, curvature)], trials=trials, centres=[centre])
    tried, place = search.tried, search.tried.index(search.best)
    assert 0 < place < len(tried) - 1
    below, above = decades(tried[place - 1], tried[place]), decades(tried[place], tried[place + 1])
    assert decades(search.best, true) <= max(below, above) / 2 + ROUNDING  # no rate tried lies nearer
    assert max(below, above) <= math.log10(STEP) + 2 * ROUNDING


@often
@given(away=st.floats(-0.7, 0.7))
def test_nine_trials_come_within_a_sixteenth_of_a_decade(away: float):
    (search,) = searched([quadratic(0.1 * 10**away)])
    assert len(search.tried) == 9
    assert decades(search.best, 0.1 * 10**away) <= 1 / 16 + 2 * ROUNDING


def test_the_first_grid_lies_around_the_rate_given_half_a_decade_apart():
    search = RateSearch(0.02, 9, SEEDS)
    assert search.explore() == [(rate, SEEDS[0]) for rate in (0.002, 0.00632, 0.02, 0.0632, 0.2)]


@pytest.mark.parametrize(("trials", "first"), [(3, [0.0316, 0.1, 0.316]), (4, [0.01, 0.0316, 0.1, 0.316])])
def test_trials_that_do_not_fill_the_first_grid_still_lie_around_the_rate_given(trials: int, first: list[float]):
    search = RateSearch(0.1, trials, SEEDS)
    assert [rate for rate, _ in search.explore()] == first
    (search,) = searched([quadratic(0.1)], trials=trials)
    assert search.tried == first
    assert search.best == 0.1


def test_a_later_round_halves_the_gaps_beside_the_leader():
    search = RateSearch(1.0, 9, SEEDS)
    for rate, seed in search.explore():
        search.tell(rate, seed, quadratic(1.0)(rate, seed))
    assert sorted(rate for rate, _ in search.explore()) == [0.562, 1.78]


@often
@given(st.floats(1e-12, 1e12))
def test_rates_have_three_digits_that_a_person_can_type(rate: float):
    assert float(f"{rounded(rate):.2e}") == rounded(rate)
    assert rounded(rate) == pytest.approx(rate, rel=0.005)


# -- the same for every arm ---------------------------------------------------------------------------------

within_six_decades = st.lists(st.floats(-3, 3), min_size=2, max_size=4)


@often
@given(within_six_decades, st.integers(3, 12))
@example([0.0, 3.0], 9)
def test_every_arm_gets_as_many_trials_also_after_widening(powers: list[float], trials: int):
    searches = searched([quadratic(0.1 * 10**power) for power in powers], trials=trials)
    counts = {len(search.tried) for search in searches}
    assert len(counts) == 1
    assert trials <= counts.pop() <= trials + MORE
    assert all(search.settled for search in searches)


@pytest.mark.parametrize("trials", [9, 25])
def test_an_arm_whose_best_is_found_early_gets_as_many_trials_as_one_that_goes_on(trials: int):
    found, goes_on = searched([quadratic(0.1), higher_is_better], trials=trials)
    assert len(found.tried) == len(goes_on.tried) == trials + MORE


@often
@given(within_six_decades, st.integers(3, 12))
def test_all_finalists_meet_all_seeds_and_all_others_the_first(powers: list[float], trials: int):
    for search in searched([quadratic(0.1 * 10**power) for power in powers], trials=trials):
        assert len(search.finalists) == math.ceil(len(search.tried) / 3)
        for rate, scores in search.scores.items():
            assert tuple(scores) == SEEDS or (rate not in search.finalists and tuple(scores) == SEEDS[:1])


# -- widening -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trials", [*range(3, 12), 24, 25])
def test_a_best_rate_on_the_edge_widens_the_search_until_the_most(trials: int):
    (search,) = searched([higher_is_better], trials=trials)
    assert len(search.tried) == trials + MORE
    assert search.best == search.tried[-1]
    assert search.on_edge
    assert all(decades(low, high) == pytest.approx(0.5, abs=2 * ROUNDING) for low, high in pairwise(search.tried))


def test_widening_goes_down_too():
    (search,) = searched([lambda rate, seed: higher_is_better(1 / rate, seed)])
    assert search.best == search.tried[0] < 1e-9


def test_a_best_rate_inside_is_no_reason_to_widen():
    (search,) = searched([quadratic(0.1)])
    assert not widen([search], 9)
    assert search.trials == len(search.tried) == 9


@often
@given(within_six_decades, st.integers(7, 12))
@example([0.0, 3.0], 9)
def test_every_arm_ends_on_a_grid_as_fine(powers: list[float], trials: int):
    for search in searched([quadratic(0.1 * 10**power) for power in powers], trials=trials):
        place = search.tried.index(search.best)
        for low, high in pairwise(search.tried[place - 1 : place + 2]):
            assert decades(low, high) <= 0.25 + 2 * ROUNDING


def the_first_seed_errs(rate: float, seed: int) -> Score:
    """It likes 0.1 best and 1.0 next; to the others only 1.0, the edge of the first grid, is any good."""
    first = {0.1: 0.99, 1.0: 0.98}
    return (first.get(rate, 0.5) if seed == SEEDS[0] else float(rate == 1.0)), 0.0


def test_a_rate_that_only_all_seeds_put_first_is_looked_beyond_too():
    (search,) = searched([the_first_seed_errs])
    assert search.best == 1.0
    assert search.tried[-1] > 1.0


def test_one_arm_on_its_edge_widens_the_search_of_all():
    inside, edge = (RateSearch(0.1, FIRST, SEEDS) for _ in range(2))
    for search, outcome in ((inside, quadratic(0.1)), (edge, higher_is_better)):
        for rate, seed in search.explore():
            search.tell(rate, seed, outcome(rate, seed))
    assert widen([inside, edge], FIRST)
    assert inside.trials == edge.trials == FIRST + ROUND


# -- who wins -----------------------------------------------------------------------------------------------


def lucky_first_seed(rate: float, seed: int) -> Score:
    """The first seed likes 0.1 best, the others 0.178; and 0.01, which the first dislikes, they like best of all."""
    likes_first = {0.1: 0.99, 0.178: 0.98, 0.0562: 0.97}
    likes_later = {0.1: 0.90, 0.178: 0.95, 0.0562: 0.85, 0.01: 1.0}
    return (likes_first if seed == SEEDS[0] else likes_later).get(rate, 0.5), 0.0


def test_all_seeds_decide_between_the_finalists_and_nobody_else():
    (search,) = searched([lucky_first_seed])
    assert max(search.scores, key=lambda rate: search.scores[rate][SEEDS[0]]) == 0.1
    assert set(search.finalists) == {0.1, 0.178, 0.0562}
    assert search.best == 0.178


def test_a_finalist_that_met_fewer_seeds_does_not_win():
    search = RateSearch(0.1, 6, SEEDS)
    for rate, accuracy in {0.03: 0.9, 0.1: 0.8, 0.3: 0.1, 1.0: 0.1, 3.0: 0.1, 10.0: 0.1}.items():
        search.tell(rate, SEEDS[0], (accuracy, 0.0))
    assert search.best == 0.03
    search.tell(0.1, SEEDS[1], (0.7, 0.0))
    assert search.best == 0.1


def test_the_loss_decides_between_equal_accuracies():
    (search,) = searched([lambda rate, _: (0.9, -decades(rate, 0.4))])
    assert search.best == pytest.approx(0.4, rel=0.2)
    assert not search.on_edge


def test_a_rate_that_fails_loses_to_one_at_chance_that_does_not():
    (search,) = searched([lambda rate, _: (0.1, -2.3) if rate == 0.1 else FAILED])
    assert search.best == 0.1


def test_an_arm_that_always_fails_comes_to_an_end():
    failing, other = searched([always_fails, quadratic(0.1)], trials=3)
    assert len(failing.tried) == len(other.tried) <= 3 + MORE
    assert failing.best in failing.tried
    assert other.best == 0.1


def test_equal_scores_are_settled_alike_in_whatever_order_they_are_told():
    rates = (0.01, 0.0316, 0.1, 0.316, 1.0)
    decisions: set[tuple[float, float, tuple[float, ...]]] = set()
    for order in permutations(rates):
        search = RateSearch(0.1, 7, SEEDS)
        for rate in order:
            search.tell(rate, SEEDS[0], FAILED)
        decisions.add((search.finalists[0], search.best, tuple(rate for rate, _ in search.explore())))
    assert decisions == {(0.01, 0.01, (0.00316, 0.001))}  # a failing arm is tried with lower rates


def test_a_snapshot_does_not_change_any_more():
    search = RateSearch(0.1, 9, SEEDS)
    search.tell(0.1, SEEDS[0], (0.9, 0.0))
    still = search.snapshot()
    search.tell(0.1, SEEDS[1], (0.8, 0.0))
    search.tell(0.3, SEEDS[0], (0.95, 0.0))
    search.trials = 11
    assert (still.scores, still.trials, still.best) == ({0.1: {SEEDS[0]: (0.9, 0.0)}}, 9, 0.1)
