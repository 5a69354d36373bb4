"""A comparison goes on where it was, in its folder or from another one; it stops when it may; nothing is redone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_comparisons import (
    ADAM,
    FEW,
    QUICK,
    TWO,
    Asked,
    Outcome,
    Pretended,
    by_distance,
    keys,
    lines,
    noise,
    small,
    stopped_after,
    without_clock,
)

import lab
from lab import plans
from lab.compare import Comparison
from lab.events import Event, Started
from lab.plans import Plan
from lab.recipe import Recipe
from lab.reports import report
from lab.store import RunError

pytestmark = pytest.mark.usefixtures("one_thread")


# -- folders ----------------------------------------------------------------------------------------------


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

    def hear(recipe: Recipe, event: Event) -> None:
        if isinstance(event, Started):
            started.append(recipe.id)

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


OTHERS: list[tuple[dict[str, Any], str]] = [
    ({"arms": {"sgd": FEW, "adam": FEW.changed(optimizer="adam")}}, "adam: optimizer.lr 0.01 -> 0.001"),
    ({"arms": {"sgd": FEW, "lion": ADAM}}, "arms sgd, adam there, sgd, lion here"),
    ({"trials": 4}, "trials 3 there, 4 here"),
    ({"tuning_seeds": 1, "tune": False}, "tune True there, False here; tuning_seeds 2 there, 1 here"),
    ({"budget": "steps"}, "budget epochs there, steps here"),
]


@pytest.mark.parametrize(("change", "said"), OTHERS, ids=[said for _, said in OTHERS])
def test_another_plan_in_the_same_folder_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    stopped_after(1, Pretended(TWO, by_distance, folder=tmp_path))
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    with pytest.raises(RunError) as error:
        Comparison(TWO.model_copy(update=change), folder=tmp_path, device="cpu")
    assert str(error.value) == f"{tmp_path} holds another comparison ({said}). Choose another folder."
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_a_folder_whose_plan_cannot_be_read_is_another_comparison(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(RunError, match=r"holds another comparison \(its plan\.json cannot be read\)"):
        Comparison(TWO, folder=tmp_path)


@pytest.mark.parametrize("change", [{"seeds": 4}, {"worth": 0.01}, {"level": 0.9}, {"stop_early": True}])
def test_more_seeds_or_another_question_go_on_in_the_same_folder(change: dict[str, Any], tmp_path: Path) -> None:
    Pretended(TWO, by_distance, folder=tmp_path).run()
    more = Pretended(TWO.model_copy(update=change), by_distance, folder=tmp_path)
    more.run()
    assert {seed for _, _, _, seed in more.asked} == ({2, 3} if "seeds" in change else set())
    Pretended(more.plan, by_distance, folder=tmp_path).run()  # it is this plan's folder from now on
    assert Plan(**json.loads((tmp_path / "plan.json").read_text())) == more.plan


def test_the_folder_of_a_run_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    lab.train(FEW, folder=tmp_path / "run", progress=False, device="cpu")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(RunError) as error:
        Comparison(TWO, folder=tmp_path / "run")
    assert str(error.value) == f"{tmp_path / 'run'} holds a run. Choose another folder."
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


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
    assert {name: arm.epochs for name, arm in again.arms.items()} == {"sgd": 2, "adam": 4}


def test_how_uneven_a_budget_was_is_kept_with_its_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = TWO.model_copy(update={"budget": "seconds"})
    prices = iter([{"sgd": 2.0, "adam": 1.5}, {"sgd": 2.0, "adam": 1.0}])
    monkeypatch.setattr(plans, "seconds_per_epoch", lambda *_, **__: next(prices))  # pyright: ignore[reportUnknownLambdaType]
    first = Pretended(plan, by_distance, folder=tmp_path).run()
    assert first.uneven == pytest.approx(0.125)  # 4 seconds, and 3 epochs of 1.5
    assert json.loads((tmp_path / "epochs.json").read_text()) == {
        "epochs": {"sgd": 2, "adam": 3},
        "uneven": first.uneven,
    }
    again = Pretended(plan, by_distance, folder=tmp_path)
    more = Pretended(plan.model_copy(update={"seeds": 3}), by_distance, before=first)
    assert again.uneven == more.uneven == first.uneven
    assert again.arms == more.arms == first.arms


@pytest.mark.parametrize(
    ("name", "content"), [("epochs.json", b"{"), ("epochs.json", b'{"sgd": 2, "adam": 2}'), ("trials.jsonl", b"\xff\n")]
)
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


def test_a_folder_keeps_when_its_verdict_was_seen(tmp_path: Path) -> None:
    stopped_after(3, Pretended(TWO, by_distance, folder=tmp_path))
    assert not (tmp_path / "judged.json").exists()
    Pretended(TWO, by_distance, folder=tmp_path).run()
    assert json.loads((tmp_path / "judged.json").read_text()) == {"seeds": 2, "sequential": False}
    again = Pretended(TWO, by_distance, folder=tmp_path).run()
    assert not again.sequential
    for seeds in (5, 5, 8):  # also when it is read again: it was seen with 2 seeds once
        more = Pretended(TWO.model_copy(update={"seeds": seeds}), by_distance, folder=tmp_path).run()
        assert more.sequential
        assert json.loads((tmp_path / "judged.json").read_text()) == {"seeds": seeds, "sequential": True}


@pytest.mark.parametrize("content", ["", "{", "3", "[]", '{"seeds": 2}'])
def test_what_was_seen_may_be_unreadable(content: str, tmp_path: Path) -> None:
    Pretended(TWO, by_distance, folder=tmp_path).run()
    (tmp_path / "judged.json").write_text(content)
    assert Pretended(TWO, by_distance, folder=tmp_path).run().asked == []


# -- from another comparison --------------------------------------------------------------------------------


def test_what_is_known_from_before_is_not_made_again() -> None:
    fewer = Pretended(TWO, by_distance).run()
    more = Pretended(TWO.model_copy(update={"seeds": 5}), by_distance, before=fewer).run()
    assert {(phase, seed) for phase, _, _, seed in more.asked} == {
        (phase, seed) for phase in ("given", "tuned") for seed in (2, 3, 4)
    }
    assert len(more.trials) == len(fewer.trials) + 12
    assert without_clock(more.trials) == without_clock(Pretended(more.plan, by_distance).run().trials)


def no_difference(asked: Asked) -> float:
    return 0.9 + noise(asked[3] * len(asked[1]))


def huge_difference(asked: Asked) -> float:
    return (0.9 if asked[1] == "sgd" else 0.2) + noise(asked[3]) * len(asked[1])


LONG = TWO.model_copy(update={"seeds": 16, "tune": False})
EARLY = LONG.model_copy(update={"stop_early": True})


def test_after_an_early_stop_it_goes_on_with_all_seeds_and_intervals_for_every_look() -> None:
    early = Pretended(EARLY, huge_difference).run()
    on = Pretended(LONG, huge_difference, before=early).run()
    assert early.stopped_early
    assert not on.stopped_early
    assert not set(on.asked) & set(early.asked)
    assert len(on.scores("given")["sgd"]) == len(set(on.asked) | set(early.asked)) / 2 == 16
    assert on.sequential
    assert on.verdicts("given")[0].interval.method == "anytime-valid t"


def test_after_an_early_stop_a_folder_goes_on_likewise(tmp_path: Path) -> None:
    early = Pretended(EARLY, huge_difference, folder=tmp_path).run()
    on = Pretended(LONG, huge_difference, folder=tmp_path).run()
    assert len(on.asked) + len(early.asked) == 32
    assert on.verdicts("given")[0].interval.method == "anytime-valid t"


def test_seeds_that_are_known_are_not_left_out_by_an_early_stop(tmp_path: Path) -> None:
    whole = Pretended(LONG, huge_difference, folder=tmp_path).run()
    for early in (
        Pretended(EARLY, huge_difference, before=whole).run(),
        Pretended(EARLY, huge_difference, folder=tmp_path).run(),
    ):
        assert early.asked == []
        assert len(early.scores("given")["sgd"]) == 16
        assert not early.stopped_early


def test_an_early_stop_waits_until_what_is_known_is_told_and_no_longer(tmp_path: Path) -> None:
    stopped_after(10, Pretended(LONG, huge_difference, folder=tmp_path))  # five seeds of both arms
    early = Pretended(EARLY, huge_difference, folder=tmp_path).run()
    assert early.stopped_early
    assert len(early.scores("given")["sgd"]) == 8  # looks after 4 and 8
    assert {seed for *_, seed in early.asked} == {5, 6, 7}


@pytest.mark.parametrize(
    ("before", "trials", "seeds", "sequential"),
    [
        (LONG, 32, 16, False),
        (LONG, 32, 20, True),
        (LONG, 32, 8, True),  # fewer are a choice too
        (LONG, 31, 20, False),  # nothing was judged yet
        (EARLY, 2, 16, False),  # one seed is no verdict
        (EARLY, 4, 16, True),
    ],
)
def test_intervals_hold_at_every_look_once_a_verdict_could_be_seen(
    before: Plan, trials: int, seeds: int, sequential: bool
) -> None:
    seen = Pretended(before, no_difference)
    stopped_after(trials, seen)
    on = Pretended(LONG.model_copy(update={"seeds": seeds}), no_difference, before=seen)
    assert on.sequential == sequential
    assert Pretended(on.plan, no_difference, before=on.run()).sequential == sequential  # and so it stays


def test_what_was_seen_and_known_is_passed_on_by_one_that_hardly_began() -> None:
    first = Pretended(LONG, no_difference).run()
    stopped_after(1, second := Pretended(LONG.model_copy(update={"seeds": 20}), no_difference, before=first))
    third = Pretended(second.plan, no_difference, before=second.snapshot()).run()
    assert third.sequential
    assert {seed for *_, seed in third.asked} == {16, 17, 18, 19}


def test_equal_seconds_are_not_measured_anew_for_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    prices = iter([{"sgd": 2.0, "adam": 1.0}, {"sgd": 2.0, "adam": 0.5}])
    monkeypatch.setattr(plans, "seconds_per_epoch", lambda *_, **__: next(prices))  # pyright: ignore[reportUnknownLambdaType]
    plan = TWO.model_copy(update={"budget": "seconds"})
    before = Pretended(plan, by_distance).run()
    more = Pretended(plan.model_copy(update={"seeds": 3}), by_distance, before=before).run()
    assert {name: arm.epochs for name, arm in more.arms.items()} == {"sgd": 2, "adam": 4}
    assert {seed for *_, seed in more.asked} == {2}
    other = Pretended(plan.model_copy(update={"trials": 4}), by_distance, before=before)  # other work
    assert other.arms["adam"].epochs == 8


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


# -- stopping early ---------------------------------------------------------------------------------------


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
    assert comparison.stopped_early


@pytest.mark.parametrize(
    ("plan", "outcome", "expected"),
    [
        (EARLY, huge_difference, True),
        (EARLY, no_difference, False),
        (LONG, huge_difference, False),
        (EARLY.model_copy(update={"seeds": 2}), huge_difference, False),
    ],
)
def test_whether_it_stopped_early_is_known(plan: Plan, outcome: Outcome, expected: bool) -> None:
    assert Pretended(plan, outcome).run().stopped_early == expected
    assert not Pretended(plan, outcome).stopped_early


def test_it_has_not_stopped_early_while_a_phase_has_no_verdict() -> None:
    comparison = Pretended(EARLY.model_copy(update={"tune": True}), huge_difference)
    stopped_early = [comparison.stopped_early for _ in comparison]
    assert not any(stopped_early[:-7])
    assert stopped_early[-1]
