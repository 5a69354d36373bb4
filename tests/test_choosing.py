"""Choosing a way: what is recommended, against numbers made by hand; the ways; and the clock."""

from __future__ import annotations

import re
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from small_choices import Timed, stood
from small_comparisons import FEW, noise

from lab.catalogue import RecipeError
from lab.choosing import WAYS, Asked, OutOfTimeError, Wishes, choose
from lab.choosing.concluding import notes
from lab.choosing.pricing import Price, fitted, plan_of, runs_each, seconds_of, sizes, smaller_images
from lab.choosing.recommending import by_image
from lab.choosing.telling import Command
from lab.choosing.ways import arms_of, chosen_ways, shared_recipe
from lab.compare import Comparison
from lab.data import load
from lab.recipe import Recipe

GOOD = [0.91, 0.92, 0.90, 0.93, 0.91, 0.92]
FAIR = [0.81, 0.83, 0.80, 0.82, 0.82, 0.81]
NEAR = [0.92, 0.90, 0.91, 0.92, 0.92, 0.91]


# -- what is recommended ----------------------------------------------------------------------------------------------


def test_a_clear_winner_is_taken_whatever_it_costs() -> None:
    choice = choose([stood("cheap", FAIR, seconds=1), stood("dear", GOOD, seconds=100)], images=500, chance=0.25)
    assert choice.winner.name == "dear"
    assert [each.name for each in choice.tied] == ["dear"]
    first, evidence = choice.sentences()
    assert first == "Take dear: it is better than every other way."
    assert evidence == "dear is better than cheap by 10.0 points (95% interval 9.1 to 10.9, 6 seeds)."


def test_where_no_difference_is_shown_the_cheapest_is_taken() -> None:
    ways = [stood("whole", GOOD, seconds=40), stood("half", NEAR, seconds=20), stood("last", NEAR, seconds=2)]
    choice = choose([*ways, stood("poor", FAIR, seconds=0.1)], images=500, chance=0.25)
    assert choice.winner.name == "last"  # not the poor one, which is cheaper still
    assert {each.name for each in choice.tied} == {"whole", "half", "last"}
    assert choice.sentences()[0] == (
        "No difference is shown between whole, which has the best mean, and half and last. Take the cheapest, last: "
        "a run takes 2 s, whole 40 s. Where that does not matter, whole is the better guess."
    )
    assert choice.runner_up.verdict.winner is None
    assert {choice.runner_up.verdict.a, choice.runner_up.verdict.b} == {"whole", "last"}


def test_of_equal_means_none_is_called_the_best() -> None:
    ways = [stood("whole", GOOD, seconds=40), stood("half", GOOD, seconds=2), stood("third", GOOD, seconds=20)]
    assert choose(ways, images=500, chance=0.25).sentences()[0] == (
        "No difference is shown between whole, half and third. Take the cheapest, half: a run takes 2 s, whole 40 s."
    )


def test_of_those_about_as_cheap_the_best_mean_is_taken() -> None:
    choice = choose([stood("a", GOOD, seconds=10), stood("b", NEAR, seconds=9)], images=500, chance=0.25)
    assert choice.winner.name == "a"
    assert choice.sentences()[0].endswith("Take a: none of these is clearly cheaper.")


def test_too_few_seeds_show_nothing() -> None:
    choice = choose([stood("cheap", [0.8, 0.8]), stood("dear", [0.95, 0.85], seconds=9)], images=500, chance=0.25)
    assert (choice.winner.name, len(choice.tied)) == ("dear", 2)
    equal = choose([stood("cheap", [0.8] * 3), stood("dear", [0.9] * 3, seconds=9)], images=500, chance=0.25)
    assert equal.winner.name == "dear"
    assert "too few seeds for any 95% sign-test interval" in equal.sentences()[1]
    with pytest.raises(ValueError, match="at least 2 seeds are needed"):
        choose([stood("cheap", [0.8]), stood("dear", [0.9])], images=500, chance=0.25)


def missing(*images: int, seeds: int = 6) -> tuple[tuple[int, ...], ...]:
    return (images,) * seeds


def test_one_image_that_differs_at_every_seed_is_no_winner() -> None:
    cheap = stood("cheap", [0.80] * 6, missed=missing(0, 1, 2, 3))
    dear = stood("dear", [0.85] * 6, missed=missing(0, 1, 2), seconds=9)
    choice = choose([cheap, dear], images=20, chance=0.25)
    assert choice.runner_up.verdict.winner == "dear"  # over seeds, which cannot know
    assert (choice.winner.name, len(choice.tied)) == ("cheap", 2)
    said = " ".join(choice.sentences())
    assert "dear is ahead of cheap over seeds, but on so few of the 20 test images" in said
    assert "the test is too small to tell" in said
    assert "one of them is 5.0 points" in said


def test_many_images_that_differ_are_a_winner() -> None:
    cheap = stood("cheap", [0.5, 0.51, 0.52, 0.5, 0.51, 0.5], missed=missing(*range(100)))
    dear = stood("dear", [0.8, 0.81, 0.8, 0.82, 0.8, 0.8], missed=missing(*range(40)), seconds=9)
    choice = choose([cheap, dear], images=200, chance=0.25)
    assert (choice.winner.name, len(choice.tied)) == ("dear", 1)
    low, high = choice.runner_up.images.low, choice.runner_up.images.high
    rows = np.r_[np.ones(60), np.zeros(140)]  # 60 of 200 images, at every seed
    error = rows.std(ddof=1) / 200**0.5
    assert (low, high) == pytest.approx((0.3 - 1.96 * error, 0.3 + 1.96 * error), abs=0.01)


def test_differences_by_image_are_over_the_seeds_that_both_have() -> None:
    found = by_image([(0, 1), None, (1,)], [(1, 2), (0,), (2,)], images=4)
    assert found.tolist() == [-0.5, -0.5 + 0.0, 1.0, 0.0]
    assert by_image([None], [(1,)], images=4) is None


def test_a_comparison_of_which_nothing_learned_is_told() -> None:
    choice = choose([stood("a", [0.25, 0.24]), stood("b", [0.25, 0.2])], images=500, chance=0.25)
    assert choice.sentences()[-1].startswith("No way is better than always naming the most frequent class (25.0%)")


def test_a_cheap_way_that_is_far_off_is_not_taken_because_few_seeds_show_nothing() -> None:
    far, near = stood("far", [0.25, 0.43], seconds=0.1), stood("near", [0.7, 0.71], seconds=1)
    best = stood("best", [0.8, 0.64], seconds=9)
    choice = choose([far, near, best], images=400, chance=0.25)
    assert {each.name for each in choice.tied} == {"best", "near", "far"}
    assert choice.winner.name == "near"
    assert (
        "Take the cheapest of those whose mean is within 2 points of it, near: a run takes 1 s" in choice.sentences()[0]
    )
    few = choose([far, near, best], images=24, chance=0.25)
    assert "within 4.2 points of it" in few.sentences()[0], "of 24 images one is more than 2 points"
    alone = choose([far, best], images=400, chance=0.25)
    said = "Take best: no other's mean is within 2 points of it."
    assert alone.sentences()[0].endswith(said)


# -- the ways ---------------------------------------------------------------------------------------------------------


def test_ways_are_read_in_any_order_and_wrong_ones_are_named() -> None:
    assert chosen_ways(" fine_tuning,scratch ") == ("scratch", "fine_tuning")
    with pytest.raises(
        RecipeError, match=r"^Unknown way 'featurs'\. Did you mean 'features'\? Expected one of: scratch, "
    ):
        chosen_ways("featurs,scratch")
    with pytest.raises(
        RecipeError, match=r"^'scratch' names 1 ways, but a choice is between two or more of: scratch, "
    ):
        chosen_ways("scratch")


def small_arms(changes):
    shared = shared_recipe("x", {"model": "resnet"}, changes).changed(data="digits")
    return arms_of(shared, tuple(WAYS), changes, load(shared.data))


def test_ways_differ_in_what_they_are_about_only() -> None:
    arms = small_arms({"model.depth": 1, "model.width": 2})
    assert {name: arm.transfer.name for name, arm in arms.items()} == {
        "scratch": "scratch",
        "features": "features",
        "fine_tuning": "whole",
        "probe_then_fine_tuning": "linear_probe_then_fine_tune",
        "discriminative_rates": "whole",
    }
    frozen = [arm.transfer.batchnorm for name, arm in arms.items() if name != "scratch"]
    assert frozen == ["frozen"] * 4
    assert 0 < arms["discriminative_rates"].depth_decay < 1
    assert {name for name, arm in arms.items() if arm.average.name == "ema"} == {"scratch"}  # which has batch norm
    shared = {(arm.model, arm.epochs, arm.batch_size, arm.schedule.name) for arm in arms.values()}
    assert len(shared) == 1


def test_a_network_without_batch_norm_and_a_mean_of_ones_own_are_left_alone() -> None:
    assert small_arms({"model": "mlp"})["scratch"].average.name == "nothing"
    assert small_arms({"average": "swa"})["scratch"].average.name == "swa"


def test_an_optimizer_of_ones_own_begins_every_search_at_its_rate() -> None:
    rates = {arm.optimizer.lr for arm in small_arms({"optimizer": "momentum", "optimizer.lr": 0.2}).values()}
    assert rates == {0.2}


@pytest.mark.parametrize(("key", "place"), [("data", "PATH"), ("source", "--source"), ("seed", "--seeds")])
def test_what_is_said_elsewhere_is_no_change(key: str, place: str) -> None:
    with pytest.raises(RecipeError, match=rf"^{key} is not changed here: {place} says it\."):
        shared_recipe("x", {}, {key: "digits"})


# -- cost -------------------------------------------------------------------------------------------------------------

ARMS = {"features": FEW.changed(transfer="features"), "fine_tuning": FEW.changed(transfer="whole")}
PRICES = {"features": Price(1.0, 0.0), "fine_tuning": Price(0.5, 2.0)}


def test_a_plan_costs_its_runs_and_the_winner_once_more() -> None:
    plan = plan_of(ARMS, epochs=10, seeds=4)
    each = runs_each(plan)
    assert each == 5 + 2 + 4  # rates, a second seed for two of them, seeds
    assert seconds_of(plan, PRICES) == each * (1 + 20.5) + 20.5


def test_the_plan_that_fits_has_fewer_epochs_before_fewer_seeds() -> None:
    arms = {name: arm.changed(epochs=10) for name, arm in ARMS.items()}
    found = {
        seconds: (plan.seeds, plan.arms["features"].epochs)
        for seconds in (1000, 250, 180)
        if (plan := fitted(arms, 5, seconds, PRICES, fixed=False))
    }
    assert found == {1000: (5, 10), 250: (5, 6), 180: (4, 5)}
    with pytest.raises(
        RecipeError, match=r"^2 ways take about \d+ s even with 5 epochs and 3 seeds, but only 60 s were"
    ):
        fitted(arms, 5, 60, PRICES, fixed=False)
    with pytest.raises(RecipeError, match="even with 10 epochs and 3 seeds"):
        fitted(arms, 5, 250, PRICES, fixed=True)


AGAIN = "\n  lab choose PATH"
MORE = f"Or give more time:{AGAIN} --seconds"
LEAST = "scratch and features with two seeds take"
PRICED = {"scratch": Price(1, 1), "features": Price(2, 0), "fine_tuning": Price(2, 2)}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (245, f"These fit:{AGAIN} --ways scratch,features,fine_tuning --seeds 2\n{MORE} 300"),
        (110, f"These fit:{AGAIN} --ways scratch,features --seeds 3\n{MORE} 300"),
        (99, f"These fit:{AGAIN} --ways scratch,features --seeds 2\n{MORE} 300"),
        (90, f"{LEAST} about 98 s:{AGAIN} --ways scratch,features --seeds 2 --seconds 110\n{MORE} 300"),
    ],
)
def test_who_has_too_few_seconds_is_told_what_fits(seconds: float, said: str) -> None:
    arms = {name: Recipe(epochs=5) for name in PRICED}
    with pytest.raises(RecipeError, match=re.escape(f"only {seconds} s were given.\n{said}")):
        fitted(arms, 5, seconds, PRICED, fixed=False)


def test_what_is_said_to_be_enough_is_enough_with_what_measuring_takes() -> None:
    arms = {name: Recipe(epochs=5) for name in PRICED}
    with pytest.raises(RecipeError) as refused:
        fitted(arms, 5, 9, PRICED, fixed=False, spent=7)
    advised = int(str(refused.value).split()[-1])
    assert len(fitted(arms, 5, advised, PRICED, fixed=False, spent=7).arms) == 3


def test_who_asked_for_the_least_is_told_once_what_it_takes() -> None:
    arms = {name: Recipe(epochs=5) for name in ("features", "scratch")}
    takes = r"^2 ways take about 98 s even with 5 epochs and 2 seeds, but only 97\.1 s were given\.\nOr give more time"
    with pytest.raises(RecipeError, match=takes):
        fitted(arms, 2, 97.1, PRICED, fixed=False)


def test_the_command_to_paste_has_what_was_typed_with_what_is_wanted_instead() -> None:
    typed = ("choose", "my images", "--seconds", "9", "epochs=3", "--out=a b", "--seeds=4")
    assert Command(typed).again(seconds=20, seeds=2) == (
        "\n  lab choose 'my images' epochs=3 '--out=a b' --seconds 20 --seeds 2"
    )


WITH_SCRATCH = f"{LEAST} about 285 s:{AGAIN} --ways scratch,features --seeds 2 --seconds 320"
ALONE = f"Without scratch, by which the others are judged, these fit:{AGAIN} --ways features,fine_tuning --seeds 3"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (312, f"These fit:{AGAIN} --ways scratch,features --seeds 2\nOr"),  # though the two others are cheaper
        (90, f"{WITH_SCRATCH}\n{ALONE}\nOr"),
        (10, f"{WITH_SCRATCH}\nOr"),
    ],
)
def test_the_baseline_is_kept_before_cheaper_ways_or_its_absence_is_said(seconds: float, said: str) -> None:
    prices = {"scratch": Price(1, 4), "features": Price(2, 0), "fine_tuning": Price(2, 0.1)}
    with pytest.raises(RecipeError, match=re.escape(f"only {seconds} s were given.\n{said}")):
        fitted({name: Recipe(epochs=5) for name in prices}, 5, seconds, prices, fixed=False)


def test_what_is_left_out_to_fit_is_said_before() -> None:
    asked = Asked(plan_of(ARMS, epochs=6, seeds=3), PRICES, Path("here"), Wishes(seeds=5), "cpu", epochs=20)
    said = "\nTo fit into them, 6 of 20 epochs and 3 of 5 seeds: --seconds 750 would be enough for all."
    assert asked.cut() == said
    whole = {name: arm.changed(epochs=20) for name, arm in ARMS.items()}
    assert fitted(whole, 5, 750, PRICES, fixed=True).seeds == 5
    whole = Asked(plan_of(ARMS, epochs=6, seeds=5), PRICES, Path("here"), Wishes(seeds=5), "cpu", epochs=6)
    assert whole.cut() == ""


@pytest.mark.parametrize(
    ("size", "advice"),
    [(64, ", or smaller images (data.size=32)"), (24, ", or smaller images (data.size=12)"), (15, "")],
)
def test_smaller_images_are_advised_where_they_can_be_smaller(size: int, advice: str) -> None:
    arms = {name: arm.changed(data={"name": "folder", "size": size}) for name, arm in ARMS.items()}
    assert smaller_images(arms) == advice
    from_run = {name: arm.changed(source="run") for name, arm in arms.items()}
    assert not smaller_images(from_run)


def test_what_a_person_asked_for_is_never_made_larger() -> None:
    assert list(sizes(2, 2, fixed=False)) == [(2, 2)]


# -- the clock --------------------------------------------------------------------------------------------------------


SEARCH = 2 * (5 + 2)  # runs: of both ways five rates, and a second seed for two of them


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Comparison._trained
    monkeypatch.setattr(
        Comparison,
        "_trained",
        lambda self, phase, recipes: (
            self._runs(phase, recipes) if isinstance(self, Timed) else own(self, phase, recipes)
        ),
    )


def peaked(name: str, rate: float, seed: int) -> float:
    """Each way has its best rate where its search begins, and fine-tuning is ahead."""
    return round(0.8 + 0.1 * (name == "fine_tuning") - min(0.3, abs(rate - 0.1)) + noise(seed), 4)


def timed(seconds: float, outcome=peaked, **options) -> Timed:
    return Timed(plan_of(ARMS, epochs=2, seeds=6), seconds, outcome, **options)


def seeds_of(contest: Timed) -> list[int]:
    return sorted({seed for phase, _, _, seed in contest.asked if phase == "tuned"})


def test_with_time_enough_all_seeds_run_and_only_at_tuned_rates() -> None:
    contest = timed(1000)
    contest.run()
    assert {phase for phase, *_ in contest.asked} == {"search", "tuned"}
    assert seeds_of(contest) == [0, 1, 2, 3, 4, 5]
    assert contest.cut() == []
    assert contest.judged("tuned")
    assert not contest.sequential


def searched(contest: Timed) -> int:
    return sum(phase == "search" for phase, *_ in contest.asked)


def test_seeds_run_as_long_as_they_fit_and_the_verdict_is_of_those() -> None:
    contest = timed(SEARCH + 9.5)  # four seeds of two ways, and the winner again
    contest.run()
    assert searched(contest) == SEARCH
    assert seeds_of(contest) == [0, 1, 2, 3]
    assert contest.now <= contest.seconds
    assert contest.plan.seeds == len(seeds_of(contest)) == contest.verdicts("tuned")[0].seeds
    assert notes(contest)[0] == "There was time for 4 of 6 seeds, which makes intervals wider."
    assert not contest.sequential  # the clock has stopped it, not a look


def test_what_measuring_took_is_taken_off_the_seconds() -> None:
    contest = timed(SEARCH + 9.5 + 30, spent=30)
    contest.run()
    assert seeds_of(contest) == [0, 1, 2, 3]  # as with so much less
    with pytest.raises(OutOfTimeError, match=r"^The 46 s are over"):
        timed(46, spent=30).run()


def test_the_plan_fits_into_what_measuring_has_left() -> None:
    prices = dict.fromkeys(ARMS, Price(0.0, 1.0))
    least = seconds_of(plan_of(ARMS, 2, 3), prices) / 0.8
    assert fitted(ARMS, 3, least + 100.1, prices, fixed=False, spent=100).arms["features"].epochs == 2
    with pytest.raises(
        RecipeError, match=rf"^2 ways take about {ceil(least + 100)} s even .* only {least + 99:g} s were given"
    ):
        fitted(ARMS, 3, least + 99, prices, fixed=False, spent=100)


def test_a_search_widens_only_where_all_seeds_have_time_left() -> None:
    def higher(name: str, rate: float, seed: int) -> float:
        return round(min(0.9, 0.5 + 0.1 * np.log10(1 + rate)), 6)  # ever better

    ample, tight = timed(1000, higher), timed(30, higher)
    ample.run()
    tight.run()
    assert searched(ample) > searched(tight) == SEARCH
    assert (tight.done, tight.now <= 30) == (6, True)


def test_with_less_than_two_seeds_there_is_nothing_to_judge() -> None:
    with pytest.raises(OutOfTimeError, match=r"^The 16 s are over, and too few runs have ended to choose by\.$"):
        timed(16).run()


def test_what_was_cut_off_goes_on_in_its_folder(tmp_path) -> None:
    with pytest.raises(OutOfTimeError, match=r"What has ended is kept, to go on from:\n  lab choose x --seconds 32$"):
        timed(16, folder=tmp_path / "kept", said=Command(("choose", "x", "--seconds", "16"))).run()
    again = timed(1000, folder=tmp_path / "kept")
    again.run()
    assert again.done == 6
    assert seeds_of(again) == [1, 2, 3, 4, 5]
    assert searched(again) == 0


def test_more_seeds_after_a_verdict_are_judged_as_a_later_look(tmp_path) -> None:
    first = timed(SEARCH + 7, folder=tmp_path / "kept")
    first.run()
    assert first.plan.seeds < 6
    again = timed(1000, folder=tmp_path / "kept")
    again.run()
    assert again.plan.seeds == 6
    assert again.sequential
