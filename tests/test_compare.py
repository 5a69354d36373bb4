"""A comparison is fair: same seeds, as many trials, the test split for the answer only; and it says what came out."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import log10
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_comparisons import (
    ADAM,
    FEW,
    QUICK,
    TWO,
    Asked,
    Pretended,
    by_distance,
    keys,
    lines,
    noise,
    plain,
    search_of,
    small,
    without_clock,
)
from small_runs import TINY_CNN, loop

import lab
from lab.compare import FAILURES, TUNING_SEEDS, Comparison, Phase, Trial, compare
from lab.data import load
from lab.events import Event, Finished, Started
from lab.plans import Plan, planned_runs
from lab.recipe import Recipe, RecipeError
from lab.reports import facts
from lab.sentences import words
from lab.stacks.rows import Rows
from lab.store import RunError
from lab.training import Training
from lab.verdicts import Interval, doubled_interval, verdicts

SEEDS = {"seeds": 2, "tuning_seeds": 1}

pytestmark = pytest.mark.usefixtures("one_thread")


def of_arms(comparison: Comparison, phase: Phase) -> dict[str, list[Trial]]:
    return {name: comparison.of(name, phase) for name in comparison.arms}


# -- fair -------------------------------------------------------------------------------------------------


def test_all_arms_have_the_same_seeds_and_the_search_has_others(two: Comparison) -> None:
    for phase in two.phases:
        assert [[trial.seed for trial in trials] for trials in of_arms(two, phase).values()] == [[0, 1]] * 2
    searched = [{trial.seed for trial in trials} for trials in of_arms(two, "search").values()]
    assert searched == [{TUNING_SEEDS, TUNING_SEEDS + 1}] * 2
    assert two.phases == ["given", "tuned"]


def test_no_plan_reaches_the_seeds_of_the_search() -> None:
    with pytest.raises(RecipeError, match="at most 1000"):
        Plan(arms={"a": FEW, "b": ADAM}, seeds=1001)
    assert TUNING_SEEDS > 1000


def test_the_seeds_of_the_recipes_do_not_matter(two: Comparison) -> None:
    other = small({"sgd": FEW.changed(seed=5), "adam": ADAM.changed(seed=6)})
    assert without_clock(other.trials) == without_clock(two.trials)


def test_every_arm_starts_from_its_own_rate_and_keeps_it_in_the_phase_given(two: Comparison) -> None:
    assert {name: two.rate(name, "given") for name in two.arms} == {"sgd": 0.1, "adam": 0.01}
    for phase in two.phases:
        for name, trials in of_arms(two, phase).items():
            assert {trial.rate for trial in trials} == {two.rate(name, phase)}
            assert {trial.recipe for trial in trials} == {
                two.arms[name].changed(**{"optimizer.lr": two.rate(name, phase), "seed": seed}).id for seed in (0, 1)
            }


@pytest.mark.parametrize("model", [FEW.model, TINY_CNN], ids=["stacked", "in turn"])
def test_equal_recipes_under_two_names_differ_by_nothing(model: Any) -> None:
    recipe = FEW.changed(model=model)
    comparison = small({"one": recipe, "two": recipe}, trials=4)
    assert comparison.searches["one"].scores == comparison.searches["two"].scores
    for phase in comparison.phases:
        (verdict,) = comparison.verdicts(phase)
        assert verdict.difference == 0.0
        assert verdict.winner is None
        assert words(verdict) == "No difference shown between one and two at 2 seeds (equal scores at every seed)."


class Untouchable:
    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the test split was asked for {name}")

    __len__ = __getitem__ = __iter__ = __getattr__  # pyright: ignore[reportAssignmentType]


@pytest.mark.parametrize("guarded", ["images", "labels"])
def test_the_search_does_not_look_at_the_test_split(guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load(FEW.data, FEW.modify)
    untouchable: Any = Untouchable()
    data = replace(data, test=replace(data.test, **{guarded: untouchable}))
    monkeypatch.setattr(loop, "data_of", lambda _: data)  # pyright: ignore[reportUnknownLambdaType]
    comparison = Comparison(Plan(arms={"sgd": FEW, "adam": ADAM}, **QUICK), device="cpu")
    with pytest.raises((AssertionError, TypeError)):  # the final runs do
        comparison.run()
    assert {trial.phase for trial in comparison.trials} == {"search"}
    for name in comparison.arms:
        search = search_of(comparison, name)
        assert len(search.tried) == search.trials
        assert len(search.scores[search.best]) == 2


def test_scores_of_the_search_are_of_the_validation_split(two: Comparison) -> None:
    assert all((trial.test_accuracy is None) == (trial.phase == "search") for trial in two.trials)
    searched, final = of_arms(two, "search")["sgd"][0], of_arms(two, "given")["sgd"][0]
    assert (searched.score, final.score) == (searched.accuracy, final.test_accuracy)


@pytest.mark.parametrize("model", [FEW.model, TINY_CNN], ids=["stacked", "in turn"])
def test_trials_have_the_numbers_that_their_recipes_have_alone(model: Any) -> None:
    arms = {
        name: arm.changed(model=model, precision="float64", schedule="cosine")
        for name, arm in {"sgd": FEW, "adam": ADAM}.items()
    }
    comparison = small(arms, tuning_seeds=1)
    for trial in comparison.trials:
        alone = Training(arms[trial.arm].changed(**{"optimizer.lr": trial.rate, "seed": trial.seed}), device="cpu")
        events = list(alone)
        last = alone.history.epochs[-1]
        assert trial.recipe == alone.recipe.id
        assert (trial.accuracy, trial.loss) == pytest.approx((last.validation_accuracy, last.validation_loss), rel=1e-9)
        assert trial.curve == tuple(epoch.validation_accuracy for epoch in alone.history.epochs)
        assert isinstance(events[-1], Finished)
        assert (trial.status, trial.steps, trial.epochs) == (events[-1].status, alone.step, 2)
        if trial.phase != "search":
            assert trial.test_accuracy == pytest.approx(alone.evaluate(alone.data.test)[1], rel=1e-9)


def test_an_accuracy_is_a_share_of_the_images_to_the_last_bit(two: Comparison) -> None:
    for trial in two.trials:
        assert trial.accuracy == round(trial.accuracy * 269) / 269


def test_a_final_score_is_what_a_kept_run_gives_on_the_test_split(two: Comparison, tmp_path: Path) -> None:
    run = lab.train(FEW.changed(seed=1), folder=tmp_path / "run", device="cpu", progress=False)
    assert two.scores("given")["sgd"][1] == pytest.approx(run.test("cpu")[1], abs=1e-6)


def thousandfold(params: Any, *, lr: float = 1e-4) -> torch.optim.Optimizer:
    """Plain descent that means a thousand times the rate it is given. Source: this test."""
    return torch.optim.SGD(params, lr=1000 * lr, fused=True)


def without_rate(params: Any, *, size: float = 0.1) -> torch.optim.Optimizer:
    """Plain descent that calls its rate otherwise. Source: this test."""
    return torch.optim.SGD(params, lr=size, fused=True)


@pytest.fixture
def own_optimizer(request: pytest.FixtureRequest) -> Iterator[str]:
    lab.optimizers.add(request.param)
    yield request.param.__name__
    lab.optimizers.functions.pop(request.param.__name__)
    lab.optimizers._choices.pop(request.param.__name__)


@pytest.mark.parametrize("own_optimizer", [thousandfold], indirect=True)
def test_arms_that_only_call_their_rate_differently_end_up_equal(own_optimizer: str) -> None:
    plain = FEW.changed(precision="float64", **{"optimizer.lr": 0.01})
    other = plain.changed(optimizer={"name": own_optimizer, "lr": 0.01})  # at the rate given: 10, far too high
    comparison = small({"plain": plain, "thousandfold": other}, trials=9)
    given, tuned = (comparison.verdicts(phase)[0] for phase in comparison.phases)
    assert abs(given.difference) > 0.01
    assert comparison.rate("plain", "tuned") == pytest.approx(1000 * comparison.rate("thousandfold", "tuned"), rel=0.01)
    assert abs(tuned.difference) < 0.01


@pytest.mark.parametrize("own_optimizer", [thousandfold], indirect=True)
def test_the_rates_of_trials_are_those_of_their_recipes(own_optimizer: str) -> None:
    comparison = small({"plain": FEW, "thousandfold": FEW.changed(optimizer=own_optimizer)})
    for name in comparison.arms:
        assert list(comparison.by_rate(name)) == search_of(comparison, name).tried


@pytest.mark.parametrize("own_optimizer", [without_rate], indirect=True)
def test_an_optimizer_without_a_rate_is_refused_in_words(own_optimizer: str) -> None:
    with pytest.raises(RecipeError, match="lr"):
        Comparison(Plan(arms={"sgd": FEW, "other": FEW.changed(optimizer=own_optimizer)}))


def test_equal_steps_are_equal_where_they_are_counted() -> None:
    comparison = small({"small": FEW.changed(batch_size=10), "large": FEW}, budget="steps", tune=False)
    steps = {name: {trial.steps for trial in trials} for name, trials in of_arms(comparison, "given").items()}
    assert steps == {"small": {20}, "large": {20}}  # 2 epochs of 10 steps, 5 epochs of 4
    assert comparison.arms["large"].epochs == 5


# -- failures ---------------------------------------------------------------------------------------------

HUGE = FEW.changed(**{"optimizer.lr": 1e200})  # dead at once with relu, infinite with a slope for negative inputs


@pytest.fixture
def no_zeros(monkeypatch: pytest.MonkeyPatch) -> float:
    """Digits without the 0, which a network of nan names: it has no image right. Gives the accuracy of chance."""
    data = load(FEW.data, FEW.modify)
    parts = {name: getattr(data, name) for name in ("validation", "test")}
    data = replace(data, **{name: part.take(part.labels.nonzero().flatten()) for name, part in parts.items()})
    monkeypatch.setattr(loop, "data_of", lambda _: data)  # pyright: ignore[reportUnknownLambdaType]
    assert len(data.test) == len(data.validation)
    return data.test.labels.bincount().max().item() / len(data.test)


@pytest.mark.parametrize("model", [FEW.model, TINY_CNN], ids=["stacked", "in turn"])
def test_an_arm_that_diverges_scores_at_chance_and_disturbs_nobody(model: Any, no_zeros: float) -> None:
    arms = {
        name: arm.changed(model=model, activation={"name": "leaky_relu", "slope": 0.5}, precision="float64")
        for name, arm in {"sgd": FEW, "huge": HUGE, "adam": ADAM}.items()
    }
    comparison = small(arms, tune=False)
    assert comparison.scores("given")["huge"] == [no_zeros, no_zeros]
    huge = of_arms(comparison, "given").pop("huge")
    assert [(trial.status, trial.accuracy) for trial in huge] == [("diverged", no_zeros)] * 2
    assert comparison.table()["given diverged"].to_dict()["huge"] == 2
    alone = small({name: arms[name] for name in ("sgd", "adam")}, tune=False)
    for name, scores in alone.scores("given").items():
        assert comparison.scores("given")[name] == pytest.approx(scores, rel=1e-9)


def test_a_run_that_is_stuck_counts_as_failed_with_the_accuracy_it_has() -> None:
    good = FEW.changed(epochs=6)  # 24 steps: enough to tell
    comparison = small({"good": good, "dead": good.changed(init={"name": "random_normal", "std": 1e-6})}, tune=False)
    assert {trial.status for trial in of_arms(comparison, "given")["dead"]} == {"stuck"}
    assert comparison.table()["given stuck"].to_dict()["dead"] == 2
    assert max(comparison.scores("given")["dead"]) < 0.2


def test_an_arm_that_diverges_at_the_rate_given_finds_one_that_trains() -> None:
    longer = FEW.changed(epochs=8)
    comparison = small({"sgd": longer, "huge": longer.changed(**{"optimizer.lr": 1e5})})
    assert {trial.status for trial in of_arms(comparison, "tuned")["huge"]} == {"finished"}
    assert comparison.rate("huge", "tuned") < 10


TOO_LITTLE = "Not enough memory on cpu: try a smaller batch_size or model."


@pytest.mark.parametrize("tune", [True, False])
@pytest.mark.parametrize(
    ("model", "place", "step"), [(FEW.model, Rows, "step"), (TINY_CNN, loop, "update")], ids=["stacked", "in turn"]
)
def test_a_run_that_does_not_fit_is_an_error_in_words_and_no_score(
    model: Any, place: Any, step: str, tune: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crowded(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(place, step, crowded)
    arms = {name: arm.changed(model=model) for name, arm in {"sgd": FEW, "adam": ADAM}.items()}
    comparison = Comparison(Plan(arms=arms, tune=tune, **QUICK), device="cpu")
    with pytest.raises(RunError, match=f"^{re.escape(TOO_LITTLE)}$"):
        comparison.run()
    assert comparison.trials == []


@pytest.mark.parametrize("budget", ["epochs", "flops"])
def test_a_network_that_does_not_fit_at_all_is_an_error_in_words(budget: str, own_options: None) -> None:
    def too_large(shape: Any, classes: Any, activation: Any) -> None:
        """A network that does not even fit before the first step. Source: this test."""
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 PiB")

    lab.models.add(too_large)
    with pytest.raises(RunError, match=f"^{re.escape(TOO_LITTLE)}$"):
        small({"sgd": FEW, "large": FEW.changed(model="too_large")}, tune=False, budget=budget)


def test_facts_are_json_without_a_nan_in_it() -> None:
    huge = HUGE.changed(activation={"name": "leaky_relu", "slope": 0.5})
    comparison = small({"sgd": FEW, "huge": huge}, tune=False)
    found = json.loads(json.dumps(facts(comparison)), parse_constant=pytest.fail)
    assert len(found["trials"]) == len(comparison.trials)
    lost = [trial for trial in found["trials"] if trial["status"] == "diverged"]
    assert lost
    assert {trial["loss"] for trial in lost} == {None}
    assert found["arms"]["huge"]["given diverged"] == 2
    assert found["verdicts"]["given"][0]["a"] == "sgd"


def test_facts_keep_small_rates() -> None:
    comparison = Pretended(Plan(arms={"tiny": FEW.changed(**{"optimizer.lr": 1.23e-11}), "adam": ADAM}), by_distance)
    comparison.run()
    found = json.loads(json.dumps(facts(comparison)))
    assert [trial["rate"] for trial in found["trials"]] == pytest.approx([trial.rate for trial in comparison.trials])


# -- what came out ----------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(
    seeds=st.integers(2, 6),
    trials=st.integers(3, 12),
    tuning_seeds=st.integers(1, 4),
    tune=st.booleans(),
    arms=st.integers(2, 4),
)
def test_a_plan_takes_as_many_runs_as_it_says_when_nothing_widens(
    seeds: int, trials: int, tuning_seeds: int, tune: bool, arms: int
) -> None:
    recipes = {f"arm {index}": FEW.changed(label_smoothing=index / 10) for index in range(arms)}
    plan = Plan(arms=recipes, seeds=seeds, trials=trials, tuning_seeds=tuning_seeds, tune=tune)
    comparison = Pretended(plan, lambda asked: 0.9 - abs(asked[2] - 0.1))  # best at the rate given
    comparison.run()
    assert len(comparison.trials) == len(set(keys(comparison.trials))) == planned_runs(plan)
    assert sum(cost["runs"] for cost in comparison.cost().values()) == planned_runs(plan)


def test_a_plan_takes_as_many_real_runs_as_it_says_and_more_when_it_widens(two: Comparison) -> None:
    rates = [search_of(two, name).scores for name in two.arms]
    assert len(rates[0]) == len(rates[1]) > two.plan.trials
    searched = sum(len(scores) for tried in rates for scores in tried.values())
    assert len(two.trials) == searched + 2 * 2 * two.plan.seeds > planned_runs(two.plan)


def test_cost_adds_up(two: Comparison) -> None:
    cost = two.cost()
    assert list(cost) == ["search", "given", "tuned"]
    for phase, sums in cost.items():
        trials = [trial for trial in two.trials if trial.phase == phase]
        assert sums["runs"] == len(trials)
        assert sums["steps"] == 8 * len(trials)  # 2 epochs of 100 images in batches of 25
        assert sums["seconds"] == pytest.approx(sum(trial.seconds for trial in trials))
    assert all(trial.seconds > 0 for trial in two.trials)
    assert len({trial.flops for trial in two.trials}) == 1


def test_the_table_says_rates_means_failures_and_the_range_of_good_rates() -> None:
    comparison = Pretended(TWO.model_copy(update={"trials": 5, "seeds": 4}), by_distance)
    comparison.run()
    row: Any = comparison.table().loc["adam"]
    assert (row["given rate"], row["tuned rate"]) == (0.01, comparison.rate("adam", "tuned"))
    scores = comparison.scores("tuned")["adam"]
    assert row["tuned accuracy"] == pytest.approx(sum(scores) / 4)
    assert row["tuned sd"] == pytest.approx(torch.tensor(scores, dtype=torch.float64).std().item())
    assert [row[f"{phase} {status}"] for phase in ("given", "tuned") for status in FAILURES] == [0] * 4
    assert (row["search runs"], row["search diverged"], row["search stuck"]) == (
        len(comparison.of("adam", "search")),
        0,
        0,
    )
    assert list(comparison.by_rate("adam")) == search_of(comparison, "adam").tried
    assert row["good from"] <= row["tuned rate"] <= row["good to"]


def test_a_range_of_good_rates_says_whether_it_was_cut_off() -> None:
    inside, beyond = (
        Pretended(Plan(arms=plain("a", "b"), trials=5, **SEEDS), lambda asked, most=most: 0.9 - min(most, falls(asked)))
        for most in (0.5, 0.0)
    )
    rows = [comparison.run().table().loc["a"] for comparison in (inside, beyond)]
    assert [(row["good from"], row["good to"], row["cut off"]) for row in rows] == [
        (0.1, 0.1, False),
        (0.01, 1.0, True),
    ]


def falls(asked: Asked) -> float:
    """By 5 points for each half decade from 0.1, and more for other seeds, so that no two rates are alike."""
    return abs(log10(asked[2] / 0.1)) / 10 + (asked[3] % 100) / 1e6


def test_runs_that_diverged_are_counted_apart_from_those_that_got_stuck() -> None:
    def failing(asked: Asked) -> float | str:
        phase, name, rate, seed = asked
        if name == "a" and phase == "given":
            return {0: "diverged", 1: "stuck", 2: "stuck"}.get(seed, 0.9)
        return "diverged" if name == "b" and rate > 0.5 else 0.9 - falls(asked)

    comparison = Pretended(Plan(arms=plain("a", "b"), seeds=4, trials=5, tuning_seeds=1), failing).run()
    assert comparison.failures("given") == {"a": {"diverged": 1, "stuck": 2}, "b": {}}
    table = comparison.table()
    assert (table["given diverged"]["a"], table["given stuck"]["a"], table["tuned stuck"]["a"]) == (1, 2, 0)
    assert list(table["search diverged"]) == [0, sum(trial.rate > 0.5 for trial in comparison.of("b", "search"))]
    assert table["search diverged"]["b"] > 0


def test_verdicts_are_those_of_the_scores_at_any_moment_and_when_it_is_asked_again() -> None:
    plan = TWO.model_copy(update={"seeds": 16, "tune": False, "stop_early": True})
    comparison = Backwards(plan, lambda asked: 0.9 + noise(asked[3] * len(asked[1])))

    def as_the_scores_say() -> bool:
        scores = comparison.scores("given")
        said = verdicts(scores, sequential=True) if len(scores["sgd"]) > 1 else []
        return comparison.verdicts("given") == said

    for count in (6, 32):  # left with seeds 1 to 3, of which the later ones came first
        assert all(as_the_scores_say() for _ in zip(range(count), comparison, strict=False))
    assert len(comparison.scores("given")["sgd"]) == 16


def both(asked: Asked) -> float:
    return 0.9 + noise(asked[3] * len(asked[0] + asked[1])) + (0.05 if asked[:2] == ("tuned", "adam") else 0)


def test_a_change_is_that_of_the_paired_differences_corrected_for_all_pairs() -> None:
    arms = {"sgd": FEW, "adam": ADAM, "smooth": FEW.changed(label_smoothing=0.1)}
    found = Pretended(Plan(arms=arms, seeds=8, trials=3, tuning_seeds=1), both).run()
    given, tuned = (found.scores(phase) for phase in found.phases)
    seeds = range(8)
    moved = [(tuned["sgd"][at] - tuned["adam"][at]) - (given["sgd"][at] - given["adam"][at]) for at in seeds]
    interval, change = found.change("sgd", "adam")
    assert change == pytest.approx(sum(moved) / 8)
    assert interval.level == pytest.approx(1 - 0.05 / 3)
    assert interval.low < change < interval.high
    back, changed_back = found.change("adam", "sgd")
    assert (back.low, back.high, changed_back) == pytest.approx((-interval.high, -interval.low, -change))


def test_a_change_is_worked_out_once_and_anew_when_seeds_have_come_in(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Pretended(TWO.model_copy(update={"seeds": 8}), both).run()
    counting = Counting(doubled_interval)
    monkeypatch.setattr(sys.modules["lab.compare"], "doubled_interval", counting)
    first = found.change("sgd", "adam")
    assert found.change("sgd", "adam") == first
    assert counting.calls == 1
    all_of_them = found.trials
    found.trials = [trial for trial in all_of_them if (trial.phase, trial.seed) not in (("tuned", 6), ("tuned", 7))]
    fewer = Pretended(TWO.model_copy(update={"seeds": 6}), both).run()
    assert found.change("sgd", "adam") == fewer.change("sgd", "adam")  # of the seeds that met both phases
    assert counting.calls == 3


class Counting:
    """Works an interval out, and counts how often."""

    def __init__(self, work: Callable[..., Interval]) -> None:
        self.work, self.calls = work, 0

    def __call__(self, *scores: Any, **how: Any) -> Interval:
        self.calls += 1
        return self.work(*scores, **how)


class Backwards(Pretended):
    """What was asked for last is told first."""

    def _trained(self, phase: Phase, recipes: Sequence[Recipe]) -> Iterator[tuple[int, Trial]]:
        yield from reversed(list(super()._trained(phase, recipes)))


def test_the_frame_has_a_row_per_trial_and_a_comparison_that_did_not_run_none(two: Comparison) -> None:
    assert list(two.frame()["recipe"]) == [trial.recipe for trial in two.trials]
    fresh = Comparison(TWO)
    assert list(fresh.frame().columns) == list(two.frame().columns)
    assert (len(fresh.frame()), fresh.verdicts("given"), fresh.cost()) == (0, [], {})


def test_whoever_listens_hears_every_run_from_its_start_to_its_end() -> None:
    heard: list[tuple[Recipe, Event]] = []
    comparison = Comparison(Plan(arms={"sgd": FEW, "cnn": FEW.changed(model=TINY_CNN)}, **QUICK), device="cpu")
    comparison.told = lambda *told: heard.append(told)
    comparison.run()
    started = [event.recipe.id for _, event in heard if isinstance(event, Started)]
    finished = [event.status for _, event in heard if isinstance(event, Finished)]
    assert sorted(started) == sorted(trial.recipe for trial in comparison.trials)
    assert sorted(finished) == sorted(trial.status for trial in comparison.trials)


# -- compare ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipes", "names"),
    [
        ([FEW, ADAM], ["sgd", "adam"]),  # rates are tuned: they are no names
        ([FEW, ADAM, FEW.changed(**{"optimizer.lr": 0.5})], ["sgd", "adam(lr=0.01)", "sgd(lr=0.5)"]),
        ([FEW, FEW.changed(**{"model.width": 8})], ["width 16", "width 8"]),
    ],
)
def test_recipes_in_a_list_are_named_by_what_differs(recipes: list[Recipe], names: list[str]) -> None:
    comparison = compare(recipes, seeds=2, tune=False, device="cpu")
    assert list(comparison.arms) == names
    assert [arm.changed(seed=0) for arm in comparison.arms.values()] == recipes


def test_compare_takes_the_plans_settings_a_folder_and_where_to_train(tmp_path: Path) -> None:
    comparison = compare({"b": FEW, "a": ADAM}, seeds=3, tune=False, folder=tmp_path, device="cpu", workers=0)
    assert list(comparison.scores("given")) == ["b", "a"]
    assert comparison.plan == Plan(arms={"b": FEW, "a": ADAM}, seeds=3, tune=False)
    assert len(lines(tmp_path)) == 6


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ([FEW, FEW], "Two arms are the same recipe: there is nothing to compare."),
        ([FEW, ADAM, FEW], "Two arms are the same recipe: there is nothing to compare."),
        ([FEW], "A comparison needs at least two arms."),
        ([], "A comparison needs at least two arms."),
        ({"sgd": FEW}, "A comparison needs at least two arms."),
    ],
)
def test_what_is_no_comparison_is_refused_in_words(arms: Any, said: str) -> None:
    with pytest.raises(RecipeError) as error:
        compare(arms, device="cpu")
    assert str(error.value) == said


@pytest.mark.parametrize("other", [FEW.changed(epochs=6), FEW.changed(seed=6)], ids=["epochs", "seed"])
def test_recipes_that_become_the_same_are_refused_in_words(other: Recipe) -> None:
    with pytest.raises(RecipeError, match="Two arms are the same recipe"):
        compare([FEW, other], seeds=2, tune=False, device="cpu")
