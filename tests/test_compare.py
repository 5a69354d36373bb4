"""A comparison is fair: same seeds, as many trials, the test split for the answer only; and it goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_runs import TINY_CNN

import lab
from lab import plans
from lab.__main__ import main
from lab.compare import TUNING_SEEDS, Comparison, Phase, Trial, compare
from lab.data import load
from lab.events import Finished, Started
from lab.many import Told
from lab.plans import Plan, planned_runs
from lab.recipe import Recipe, RecipeError
from lab.reports import facts, report
from lab.sentences import words
from lab.store import RunError
from lab.training import Training
from lab.tuning import RateSearch

loop = import_module("lab.training")  # the module: `lab.training` is its function of the same name
FEW = Recipe(modify=[{"name": "subset", "per_class": 10}], model={"name": "mlp", "width": 16}, epochs=2, batch_size=25)
ADAM = FEW.changed(optimizer={"name": "adam", "lr": 0.01})
QUICK: dict[str, Any] = {"seeds": 2, "trials": 3, "tuning_seeds": 2}
Asked = tuple[Phase, str, float, int]
Outcome = Callable[[Asked], float | None]  # what comes out of a run: its accuracy, None if it diverges


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """On a busy machine two threads that wait for each other are a hundred times slower than one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Pretended(Comparison):
    """A comparison that trains nothing: `outcome` says what comes out of each run, `asked` keeps the runs in order.

    No two arms may be the same recipe.
    """

    def __init__(self, plan: Plan, outcome: Outcome, **options: Any) -> None:
        super().__init__(plan, **options)
        self.outcome, self.asked = outcome, list[Asked]()

    def _trained(self, phase: Phase, recipes: Sequence[Recipe]) -> Iterator[tuple[int, Trial]]:
        names = {kind_of(arm): name for name, arm in self.arms.items()}
        for index, recipe in enumerate(recipes):
            asked = (phase, names[kind_of(recipe)], rate_of(recipe), recipe.seed)
            self.asked.append(asked)
            yield index, pretended_trial(phase, recipe, self.outcome(asked))


def kind_of(recipe: Recipe) -> str:
    """The same for all runs of an arm."""
    return recipe.changed(**{"optimizer.lr": 1.0, "seed": 0}).id


def rate_of(recipe: Recipe) -> float:
    return recipe.model_dump()["optimizer"]["lr"]


def pretended_trial(phase: Phase, recipe: Recipe, accuracy: float | None) -> Trial:
    at_chance = 0.1 if accuracy is None else accuracy
    return Trial(
        arm="",
        phase=phase,
        seed=recipe.seed,
        rate=rate_of(recipe),
        recipe=recipe.id,
        status="finished" if accuracy is not None else "diverged",
        accuracy=at_chance,
        loss=float("nan") if accuracy is None else 1 - accuracy,
        test_accuracy=None if phase == "search" else at_chance,
        epochs=recipe.epochs,
        steps=10 * recipe.epochs,
        seconds=0.25,
        flops=1e6,
        curve=() if accuracy is None else (accuracy / 2, accuracy),
    )


def noise(seed: int) -> float:
    """Up to half a point either way, not regular, the same for all who ask."""
    return ((seed * 37 + 11) % 101 - 50) / 10_000


def small(arms: Mapping[str, Recipe], **options: Any) -> Comparison:
    """A real comparison of some tenths of a second."""
    return compare(arms, **{**QUICK, "device": "cpu", **options})


def trials_of(comparison: Comparison, phase: Phase) -> dict[str, list[Trial]]:
    return {
        name: [trial for trial in comparison.trials if (trial.arm, trial.phase) == (name, phase)]
        for name in comparison.arms
    }


def search_of(comparison: Comparison, name: str) -> RateSearch:
    search = comparison.searches[name]
    assert isinstance(search, RateSearch)
    return search


def keys(trials: Sequence[Trial]) -> list[tuple[str, str, str]]:
    return [(trial.phase, trial.arm, trial.recipe) for trial in trials]


def without_clock(trials: Sequence[Trial]) -> list[str]:
    """What came out, in an order of its own, in a form where nan is equal to itself."""
    return sorted(repr(replace(trial, seconds=0)) for trial in trials)


@pytest.fixture(scope="module")
def two(one_thread: None) -> Comparison:
    return small({"sgd": FEW, "adam": ADAM})


# -- fair ---------------------------------------------------------------------------------------------------


def test_all_arms_have_the_same_seeds_and_the_search_has_others(two: Comparison) -> None:
    for phase in two.phases:
        assert [[trial.seed for trial in trials] for trials in trials_of(two, phase).values()] == [[0, 1]] * 2
    searched = [{trial.seed for trial in trials} for trials in trials_of(two, "search").values()]
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
        for name, trials in trials_of(two, phase).items():
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
    monkeypatch.setattr(loop, "load", lambda *_: data)  # pyright: ignore[reportUnknownLambdaType]
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
    searched, final = trials_of(two, "search")["sgd"][0], trials_of(two, "given")["sgd"][0]
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
    steps = {name: {trial.steps for trial in trials} for name, trials in trials_of(comparison, "given").items()}
    assert steps == {"small": {20}, "large": {20}}  # 2 epochs of 10 steps, 5 epochs of 4
    assert comparison.arms["large"].epochs == 5


# -- failures -----------------------------------------------------------------------------------------------

HUGE = FEW.changed(**{"optimizer.lr": 1e200})  # dead at once with relu, infinite with a slope for negative inputs


@pytest.fixture
def no_zeros(monkeypatch: pytest.MonkeyPatch) -> float:
    """Digits without the 0, which a network of nan names: it has no image right. Gives the accuracy of chance."""
    data = load(FEW.data, FEW.modify)
    parts = {name: getattr(data, name) for name in ("validation", "test")}
    data = replace(data, **{name: part.take(part.labels.nonzero().flatten()) for name, part in parts.items()})
    monkeypatch.setattr(loop, "load", lambda *_: data)  # pyright: ignore[reportUnknownLambdaType]
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
    huge = trials_of(comparison, "given").pop("huge")
    assert [(trial.status, trial.accuracy) for trial in huge] == [("diverged", no_zeros)] * 2
    assert comparison.table()["given failed"].to_dict()["huge"] == 2
    alone = small({name: arms[name] for name in ("sgd", "adam")}, tune=False)
    for name, scores in alone.scores("given").items():
        assert comparison.scores("given")[name] == pytest.approx(scores, rel=1e-9)


def test_a_run_that_is_stuck_counts_as_failed_with_the_accuracy_it_has() -> None:
    dead = FEW.changed(init={"name": "random_normal", "std": 1e-6})
    comparison = small({"good": FEW, "dead": dead}, tune=False)
    assert {trial.status for trial in trials_of(comparison, "given")["dead"]} == {"stuck"}
    assert comparison.table()["given failed"].to_dict()["dead"] == 2
    assert max(comparison.scores("given")["dead"]) < 0.2


def test_an_arm_that_diverges_at_the_rate_given_finds_one_that_trains() -> None:
    longer = FEW.changed(epochs=8)
    comparison = small({"sgd": longer, "huge": longer.changed(**{"optimizer.lr": 1e5})})
    assert {trial.status for trial in trials_of(comparison, "tuned")["huge"]} == {"finished"}
    assert comparison.rate("huge", "tuned") < 10


def test_facts_are_json_without_a_nan_in_it() -> None:
    comparison = small({"sgd": FEW, "huge": HUGE.changed(activation="tanh", model=TINY_CNN)})
    found = json.loads(json.dumps(facts(comparison)), parse_constant=pytest.fail)
    assert len(found["trials"]) == len(comparison.trials)
    lost = [trial for trial in found["trials"] if trial["status"] == "diverged"]
    assert lost
    assert {trial["loss"] for trial in lost} == {None}
    assert found["arms"]["huge"]["given failed"] == 2
    assert found["verdicts"]["given"][0]["a"] == "sgd"


def test_facts_keep_small_rates() -> None:
    comparison = Pretended(Plan(arms={"tiny": FEW.changed(**{"optimizer.lr": 1.23e-11}), "adam": ADAM}), by_distance)
    comparison.run()
    found = json.loads(json.dumps(facts(comparison)))
    assert [trial["rate"] for trial in found["trials"]] == pytest.approx([trial.rate for trial in comparison.trials])


# -- folders ------------------------------------------------------------------------------------------------

TWO = Plan(arms={"sgd": FEW, "adam": ADAM}, **QUICK)


def by_distance(asked: Asked) -> float | None:
    """Every arm likes 0.03 best; a rate of 0.3 or more diverges with adam."""
    phase, name, rate, seed = asked
    if name == "adam" and rate > 0.3:
        return None
    return round(0.9 - abs(rate - 0.03) + noise(seed) + (0.01 if phase == "tuned" else 0), 4)


def stopped_after(count: int, comparison: Comparison) -> list[Trial]:
    """What is told until one stops asking."""
    trials = iter(comparison)
    return [next(trials) for _ in range(count)]


def lines(folder: Path) -> list[str]:
    """The trials that a folder keeps."""
    return [line for line in (folder / "trials.jsonl").read_text().splitlines() if line]


def test_a_comparison_that_was_left_goes_on_wherever_that_was(tmp_path: Path) -> None:
    whole = Pretended(TWO, by_distance)
    whole.run()
    assert len(whole.trials) >= 16
    for count in range(len(whole.trials) + 1):
        left = Pretended(TWO, by_distance, folder=tmp_path / str(count))
        told = stopped_after(count, left)
        again = Pretended(TWO, by_distance, folder=tmp_path / str(count))
        again.run()
        assert len(again.asked) == len(whole.trials) - count
        assert not set(again.asked) & set(left.asked[:count])
        assert without_clock(again.trials) == without_clock(whole.trials)
        assert report(again) == report(whole)
        assert keys(told) == keys(whole.trials)[:count]
        assert len(lines(tmp_path / str(count))) == len(whole.trials)


def test_a_real_comparison_that_was_left_goes_on_and_trains_only_the_rest(two: Comparison, tmp_path: Path) -> None:
    first = stopped_after(5, Comparison(TWO, folder=tmp_path, device="cpu"))
    again = Comparison(TWO, folder=tmp_path, device="cpu")
    started: list[str] = []

    def hear(told: Told) -> None:
        if isinstance(told[1], Started):
            started.append(told[1].recipe.id)

    again.told = hear
    again.run()
    assert len(started) == len(two.trials) - 5
    assert keys(again.trials)[:5] == keys(first)
    assert sorted(keys(again.trials)) == sorted(keys(two.trials))
    for phase in two.phases:
        for name, scores in two.scores(phase).items():
            assert again.scores(phase)[name] == pytest.approx(scores, abs=1e-6)


def test_a_comparison_that_is_asked_again_goes_on_without_a_folder() -> None:
    whole = Pretended(TWO, by_distance)
    whole.run()
    comparison = Pretended(TWO, by_distance)
    stopped_after(7, comparison)
    comparison.run()
    assert sorted(comparison.asked) == sorted(whole.asked)
    assert without_clock(comparison.trials) == without_clock(whole.trials)
    comparison.run()
    assert len(comparison.asked) == len(whole.asked)


def test_a_finished_comparison_trains_nothing_more(tmp_path: Path) -> None:
    Pretended(TWO, by_distance, folder=tmp_path).run()
    before = lines(tmp_path)
    again = Pretended(TWO, by_distance, folder=tmp_path)
    again.run()
    assert again.asked == []
    assert lines(tmp_path) == before


def cut_off(folder: Path) -> None:
    """As a kill in the middle of the last line leaves it."""
    path = folder / "trials.jsonl"
    path.write_bytes(path.read_bytes()[:-40])


def test_a_last_line_that_was_cut_off_costs_one_trial(tmp_path: Path) -> None:
    stopped_after(7, left := Pretended(TWO, by_distance, folder=tmp_path))
    cut_off(tmp_path)
    again = Pretended(TWO, by_distance, folder=tmp_path)
    again.run()
    assert set(again.asked) & set(left.asked[:7]) == {left.asked[6]}
    whole = Pretended(TWO, by_distance)
    whole.run()
    assert without_clock(again.trials) == without_clock(whole.trials)


def test_a_last_line_that_was_cut_off_does_not_spoil_the_next(tmp_path: Path) -> None:
    stopped_after(7, Pretended(TWO, by_distance, folder=tmp_path))
    cut_off(tmp_path)
    Pretended(TWO, by_distance, folder=tmp_path).run()
    again = Pretended(TWO, by_distance, folder=tmp_path)
    again.run()
    assert again.asked == []


OTHERS: list[dict[str, Any]] = [
    {"arms": {"sgd": FEW, "adam": FEW.changed(optimizer="adam")}},
    {"trials": 4},
    {"tuning_seeds": 1},
    {"budget": "steps"},
    {"tune": False},
]


@pytest.mark.parametrize("change", OTHERS, ids=lambda change: next(iter(change)))
def test_another_plan_in_the_same_folder_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    stopped_after(1, Pretended(TWO, by_distance, folder=tmp_path))
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    with pytest.raises(RunError) as error:
        Comparison(TWO.model_copy(update=change), folder=tmp_path, device="cpu")
    assert str(error.value) == f"{tmp_path} holds another comparison. Choose another folder."
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_a_folder_whose_plan_cannot_be_read_is_another_comparison(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(RunError, match="holds another comparison"):
        Comparison(TWO, folder=tmp_path)


@pytest.mark.parametrize("change", [{"seeds": 4}, {"worth": 0.01}, {"level": 0.9}, {"stop_early": True}])
def test_more_seeds_or_another_question_go_on_in_the_same_folder(change: dict[str, Any], tmp_path: Path) -> None:
    Pretended(TWO, by_distance, folder=tmp_path).run()
    more = Pretended(TWO.model_copy(update=change), by_distance, folder=tmp_path)
    more.run()
    assert {seed for _, _, _, seed in more.asked} == ({2, 3} if "seeds" in change else set())
    Pretended(more.plan, by_distance, folder=tmp_path).run()  # it is this plan's folder from now on
    assert Plan(**json.loads((tmp_path / "plan.json").read_text())) == more.plan


def test_a_file_in_the_place_of_the_folder_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError) as error:
        Comparison(TWO, folder=tmp_path / "file")
    assert str(error.value) == f"Cannot make the folder {tmp_path / 'file'}: File exists. Choose another folder."


def test_a_comparison_of_equal_seconds_goes_on_with_the_epochs_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(arms={"sgd": FEW, "adam": ADAM}, budget="seconds", **QUICK)
    prices = iter([{"sgd": 2.0, "adam": 1.0}, {"sgd": 2.0, "adam": 0.5}])
    monkeypatch.setattr(plans, "seconds_per_epoch", lambda *_, **__: next(prices))  # pyright: ignore[reportUnknownLambdaType]
    Pretended(plan, by_distance, folder=tmp_path).run()
    again = Pretended(plan, by_distance, folder=tmp_path)
    again.run()
    assert again.asked == []


@pytest.mark.parametrize(("name", "content"), [("epochs.json", b"{"), ("trials.jsonl", b"\xff\n")])
def test_a_damaged_folder_goes_on_or_is_refused_in_words(name: str, content: bytes, tmp_path: Path) -> None:
    Pretended(TWO, by_distance, folder=tmp_path).run()
    (tmp_path / name).write_bytes(content)
    try:
        again = Pretended(TWO, by_distance, folder=tmp_path)
    except RunError as error:
        assert str(tmp_path) in str(error)  # noqa: PT017  # either answer will do
    else:
        again.run()
        assert len(again.scores("tuned")["sgd"]) == 2


def test_trials_that_are_known_are_not_made_again() -> None:
    fewer = Pretended(TWO, by_distance)
    fewer.run()
    more = Pretended(TWO.model_copy(update={"seeds": 5}), by_distance, known=fewer.trials)
    more.run()
    assert {(phase, seed) for phase, _, _, seed in more.asked} == {
        (phase, seed) for phase in ("given", "tuned") for seed in (2, 3, 4)
    }
    assert len(more.trials) == len(fewer.trials) + 12


def test_a_snapshot_stays_as_it_was() -> None:
    comparison = Pretended(TWO, by_distance)
    trials = iter(comparison)
    for _ in range(10):
        next(trials)
    still = comparison.snapshot()
    before = still.table().to_json(), still.by_rate("sgd"), still.cost()
    for _ in trials:
        pass
    assert (still.table().to_json(), still.by_rate("sgd"), still.cost()) == before
    assert (len(still.trials), comparison.table().to_json() == before[0]) == (10, False)


# -- stopping early -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tune", "outcome", "seeds"),
    [
        (False, lambda asked: (0.9 if asked[1] == "sgd" else 0.2) + noise(asked[3]) * len(asked[1]), 4),
        (False, lambda asked: 0.9 + noise(asked[3] * len(asked[1])), 16),
        (True, lambda asked: (0.2 if asked[:2] == ("given", "adam") else 0.9) + noise(asked[3] * len(asked[1])), 16),
    ],
    ids=["a huge difference", "none", "one that tuning removes"],
)
def test_stopping_early_waits_until_every_verdict_is_clear(tune: bool, outcome: Outcome, seeds: int) -> None:
    plan = TWO.model_copy(update={"seeds": 16, "stop_early": True, "tune": tune})
    comparison = Pretended(plan, outcome)
    comparison.run()
    assert [len(scores) for scores in comparison.scores("given").values()] == [seeds, seeds]
    assert comparison.verdicts("given")[0].interval.method == "anytime-valid t"


def test_without_stopping_early_all_seeds_are_run_at_once() -> None:
    comparison = Pretended(TWO.model_copy(update={"seeds": 16, "tune": False}), lambda asked: noise(asked[3]) + 0.5)
    comparison.run()
    assert len(comparison.scores("given")["sgd"]) == 16
    assert comparison.verdicts("given")[0].interval.method != "anytime-valid t"


def test_a_broken_initialisation_is_seen_before_all_seeds_are_spent() -> None:
    longer = FEW.changed(epochs=8)
    dead = longer.changed(init={"name": "random_normal", "std": 1e-6})
    comparison = small({"good": longer, "dead": dead}, seeds=16, tune=False, stop_early=True)
    (verdict,) = comparison.verdicts("given")
    assert verdict.winner == "good"
    assert verdict.seeds < 16


# -- what came out ------------------------------------------------------------------------------------------


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
    widened = two.searches["sgd"].trials - two.plan.trials
    finalists = -(-two.searches["sgd"].trials // 3) - 1
    assert len(two.trials) == planned_runs(two.plan) + 2 * (widened + finalists)


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
    assert row["given failed"] == 0
    assert list(comparison.by_rate("adam")) == search_of(comparison, "adam").tried
    assert row["good from"] <= row["tuned rate"] <= row["good to"]


def test_the_frame_has_a_row_per_trial_and_a_comparison_that_did_not_run_none(two: Comparison) -> None:
    assert list(two.frame()["recipe"]) == [trial.recipe for trial in two.trials]
    fresh = Comparison(TWO)
    assert list(fresh.frame().columns) == list(two.frame().columns)
    assert (len(fresh.frame()), fresh.verdicts("given"), fresh.cost()) == (0, [], {})


def test_whoever_listens_hears_every_run_from_its_start_to_its_end() -> None:
    heard: list[Told] = []
    comparison = Comparison(Plan(arms={"sgd": FEW, "cnn": FEW.changed(model=TINY_CNN)}, **QUICK), device="cpu")
    comparison.told = heard.append
    comparison.run()
    started = [event.recipe.id for _, event in heard if isinstance(event, Started)]
    finished = [event.status for _, event in heard if isinstance(event, Finished)]
    assert sorted(started) == sorted(trial.recipe for trial in comparison.trials)
    assert sorted(finished) == sorted(trial.status for trial in comparison.trials)


# -- compare ------------------------------------------------------------------------------------------------


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


# -- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def plan_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("plan.yaml")
    path.write_text(
        "base: {modify: {name: subset, per_class: 10}, model: {name: mlp, width: 16}, epochs: 2, batch_size: 25}\n"
        "arms: {sgd: , adam: {optimizer: {name: adam, lr: 0.01}}}\n"
        "seeds: 2\ntrials: 3\ntuning_seeds: 2\n"
    )
    return path


def without_cost(text: str) -> list[str]:
    return [line for line in text.strip().splitlines() if not line.startswith("Cost: ")]


def test_the_command_prints_the_report(plan_file: Path, two: Comparison, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(plan_file), "--device", "cpu"]) == 0
    printed = capsys.readouterr()
    assert without_cost(printed.out) == without_cost(report(two))
    assert printed.err == ""


def test_the_command_takes_changes_and_prints_json(plan_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = ["seeds=3", "tune=false", "base.epochs=1", "base.optimizer.momentum=0.5"]
    assert main(["compare", str(plan_file), *changes, "--device", "cpu", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert list(found["arms"]) == ["sgd", "adam"]
    assert [trial["epochs"] for trial in found["trials"]] == [1] * 6
    assert list(found["verdicts"]) == list(found["cost"]) == ["given"]


def test_the_command_goes_on_in_its_folder(plan_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--device", "cpu", "--json", "--folder", "kept"]
    first, again, more = (
        trials_printed(["compare", str(plan_file), *changes, *options], capsys) for changes in ([], [], ["seeds=3"])
    )
    assert again == first  # seconds too: nothing was trained again
    assert len(set(more) - set(first)) == 4
    assert set(first) < set(more)
    assert main(["compare", str(plan_file), "trials=4", *options]) == 2
    assert capsys.readouterr().err == "lab: kept holds another comparison. Choose another folder.\n"


def trials_printed(command: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(command) == 0
    return sorted(map(json.dumps, json.loads(capsys.readouterr().out)["trials"]))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("compare none.yaml", "lab: Cannot read the comparison none.yaml: No such file or directory."),
        ("compare seeds=3", "lab: Cannot read the comparison seeds=3: No such file or directory."),
        ("compare plan.yaml seeds", "lab: Override 'seeds' must look like optimizer.lr=0.3."),
        (
            "compare plan.yaml seeds=1",
            "lab: plan.yaml: seeds is 1, but must be a whole number at least 2 and at most 1000.",
        ),
        (
            "compare plan.yaml base.epochs=0",
            "lab: plan.yaml: base: epochs is 0, but must be a whole number at least 1 and at most 1000000 "
            "(usual: 1 to 200).",
        ),
    ],
)
def test_a_bad_command_exits_2_with_words_on_stderr(
    command: str, said: str, plan_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), "--device", "cpu"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"{said}\n")


@pytest.mark.parametrize("change", ["path=3", "cls=3"])
def test_a_change_that_python_uses_is_refused_in_words(
    change: str, plan_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(plan_file), change, "--device", "cpu"]) == 2
    assert capsys.readouterr().err.startswith(f"lab: plan.yaml: Unknown plan key '{change[:-2]}'. Expected one of: ")
