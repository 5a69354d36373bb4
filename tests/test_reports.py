"""The report of a comparison, word for word; golden texts are rewritten with UPDATE_GOLDEN=1."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_comparisons import Asked, Outcome, Pretended, noise

from lab.compare import Comparison, Phase
from lab.plans import Plan
from lab.recipe import Recipe
from lab.reports import aligned, arms_table, changes, cost_line, edges, facts, findings, points, report, title
from lab.verdicts import verdicts

GOLDEN = Path(__file__).parent / "golden"
ARMS = {
    "sgd": Recipe(optimizer={"name": "sgd", "lr": 0.01}),
    "momentum": Recipe(optimizer={"name": "sgd", "lr": 0.01, "momentum": 0.9}),
    "adam": Recipe(optimizer={"name": "adam", "lr": 0.01}),
}
BEST = {"sgd": 0.316, "momentum": 0.0316, "adam": 0.00178}  # rates


def made(outcome: Outcome, arms: dict[str, Recipe] = ARMS, **plan: Any) -> Comparison:
    """A comparison that trained nothing, run to its end."""
    comparison = Pretended(Plan(arms=arms, **plan), outcome)
    comparison.run()
    return comparison


def usual(asked: Asked) -> float | None:
    """Each arm falls off on both sides of its best rate, and above 0.7 it diverges; at the best rate all are alike."""
    _, name, rate, seed = asked
    away = max(rate / BEST[name], BEST[name] / rate)
    return None if rate > 0.7 else round(max(0.1, 0.9725 - 0.012 * (away - 1)) + noise(seed * len(name)), 4)


def alike(asked: Asked) -> float:
    """Nothing but seeds, and in the search a little for the rate given."""
    phase, name, rate, seed = asked
    return 0.9 + noise(seed * len(name)) - (abs(math.log10(rate / 0.01)) / 1000 if phase == "search" else 0)


def only_given(name: str) -> Outcome:
    """At the rates given one arm is better; tuned, all are alike."""
    return lambda asked: alike(asked) + (0.05 if asked[:2] == ("given", name) else 0)


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare with a golden text, or rewrite it."""

    def check(name: str, text: str) -> None:
        if os.environ.get("UPDATE_GOLDEN"):
            (GOLDEN / name).write_text(text + "\n", encoding="utf-8")
        assert text + "\n" == (GOLDEN / name).read_text(encoding="utf-8")

    return check


# -- the whole ----------------------------------------------------------------------------------------------


def test_the_report_of_a_tuned_comparison(golden: Callable[[str, str], None]) -> None:
    golden("comparison.txt", report(made(usual)))


def test_the_report_of_a_comparison_at_the_rates_given(golden: Callable[[str, str], None]) -> None:
    arms = {name: ARMS[name] for name in ("sgd", "adam")}
    golden("comparison_untuned.txt", report(made(usual, arms, tune=False, seeds=12, budget="steps")))


def test_the_report_where_nothing_differs(golden: Callable[[str, str], None]) -> None:
    golden("comparison_alike.txt", report(made(alike, seeds=4, trials=3, tuning_seeds=1)))


def test_a_report_says_the_same_however_often_it_is_asked() -> None:
    comparison = made(usual)
    assert report(comparison) == report(comparison) == report(made(usual))


# -- its parts ----------------------------------------------------------------------------------------------


def test_the_title_says_arms_data_budget_seeds_and_images() -> None:
    short, long = Recipe(epochs=5), Recipe(epochs=30, optimizer="adam")
    plan = Plan(arms={"short": short, "long": long}, tune=False, seeds=3)
    comparison = Pretended(plan, alike)
    assert title(comparison) == (
        "2 arms on digits, equal epochs (5 epochs each), 0 paired seeds; accuracy in % of 269 test images"
    )
    comparison.run()
    comparison.arms = plan.arms
    assert title(comparison).startswith("2 arms on digits, equal epochs (5 to 30 epochs), 3 paired seeds;")


def test_one_epoch_is_no_plural() -> None:
    plan = Plan(arms={name: arm.changed(epochs=1) for name, arm in ARMS.items()})
    assert "(1 epoch each)" in title(Comparison(plan))


def test_no_difference_between_many_is_one_sentence_with_the_two_furthest_apart() -> None:
    flat = [0.9 + noise(seed) for seed in range(8)]
    scores = {"a": flat, "b": [score + noise(3 * i) / 9 for i, score in enumerate(flat)], "c": flat[::-1]}
    (line,) = findings(verdicts(scores))
    assert line.startswith("No difference shown between any two of the arms. The two furthest apart: No difference ")
    assert line.count("No difference shown between") == 2
    largest = max(verdicts(scores), key=lambda verdict: abs(verdict.difference))
    assert f"between {largest.a} and {largest.b} at 8 seeds" in line


def test_one_difference_among_many_is_told_with_every_pair() -> None:
    flat = [0.9 + noise(seed) for seed in range(8)]
    lines = findings(verdicts({"a": flat, "b": flat[::-1], "c": [score - 0.3 for score in flat[3:] + flat[:3]]}))
    assert len(lines) == 3
    assert sum(" is better than c by 30.0 points" in line for line in lines) == 2


def test_a_single_pair_gets_its_own_sentence() -> None:
    flat = [0.9 + noise(seed) for seed in range(8)]
    (line,) = findings(verdicts({"a": flat, "b": flat[::-1]}))
    assert line.startswith("No difference shown between a and b at 8 seeds")


def test_without_verdicts_one_is_told_to_run_two_seeds() -> None:
    assert findings([]) == ["One seed shows nothing: run at least two."]


@pytest.mark.parametrize(
    ("outcome", "lines"),
    [
        (only_given("sgd"), ["sgd and adam: sgd won at the rate given, not once both were tuned."]),
        (alike, ["No verdict: every pair of arms stands as it stood at the rates given."]),
        (
            lambda asked: alike(asked) + (0.05 if asked[:2] in (("given", "sgd"), ("tuned", "adam")) else 0),
            ["sgd and adam: adam, worse at the rate given, won once both were tuned."],
        ),
        (
            lambda asked: alike(asked) + (0.05 if asked[:2] == ("tuned", "adam") else 0),
            ["sgd and adam: No difference was shown at the rate given; adam won once both were tuned."],
        ),
        (
            lambda asked: alike(asked) + (0.05 if asked[1] == "sgd" else 0),
            ["No verdict: every pair of arms stands as it stood at the rates given."],
        ),
    ],
    ids=["gone", "none", "turned round", "new", "the same"],
)
def test_what_tuning_changed(outcome: Outcome, lines: list[str]) -> None:
    caution = "That a difference is shown in one and not in the other does not show that tuning changed it."
    cautioned = lines if lines[0].startswith("No verdict") else [*lines, caution]
    assert changes(made(outcome, {name: ARMS[name] for name in ("sgd", "adam")})) == cautioned


def test_arms_still_best_at_the_edge_are_named() -> None:
    def edge(asked: Asked) -> float:
        upwards = math.log10(asked[2]) / 100
        return {"sgd": 0.5 + upwards, "adam": 0.5 - upwards, "momentum": alike(asked)}[asked[1]]

    comparison = made(edge)
    said = "Still best at the edge of the rates tried, so perhaps not tuned enough: sgd, adam."
    assert edges(comparison) == [said]
    assert f"\n\n{said}\n\n" in report(comparison)
    assert edges(made(usual)) == []
    assert edges(made(usual, tune=False)) == []


def test_failures_are_counted_in_the_final_runs_and_as_a_share_of_the_search() -> None:
    def failing(asked: Asked) -> float | None:
        phase, name, rate, seed = asked
        lost = rate > 0.5 if phase == "search" else (phase, name, seed) == ("given", "adam", 2)
        return None if lost else 0.9 - abs(rate - 0.1) + noise(seed)

    table = arms_table(made(failing, trials=5, tuning_seeds=1)).splitlines()
    assert table[0].endswith("  failed")
    rows = {line.split()[0]: line for line in table[1:]}
    assert rows["adam"].endswith("  1, 14% of the search")
    assert rows["sgd"].endswith("  0, 14% of the search")


def test_columns_are_aligned_and_lines_have_no_trailing_blanks() -> None:
    assert aligned([["a", "long head", "x"], ["longer", "b", ""]]) == "a       long head  x\nlonger  b"


def test_points_have_their_spread_where_there_is_one() -> None:
    assert (points(0.97254, 0.0049), points(0.97254, float("nan"))) == ("97.3 ± 0.5", "97.3")


def test_the_cost_is_told_for_each_phase() -> None:
    comparison = made(usual, seeds=2, trials=3, tuning_seeds=1, arms={"sgd": ARMS["sgd"], "adam": ARMS["adam"]})
    cost = comparison.cost()
    assert cost["given"] == {"runs": 4, "steps": 800, "seconds": 1.0}
    runs = cost["search"]["runs"]
    assert cost_line(comparison) == (
        f"Cost: search {runs} runs, {200 * runs:,} steps, {runs / 4:.1f} s; "
        "given 4 runs, 800 steps, 1.0 s; tuned 4 runs, 800 steps, 1.0 s. "
        "Looks at the test split: 8, one at the end of each final run."
    )


def test_facts_are_the_whole_comparison_as_valid_json() -> None:
    comparison = made(usual)
    found = json.loads(json.dumps(facts(comparison)), parse_constant=pytest.fail)
    assert list(found) == ["arms", "verdicts", "cost", "trials"]
    assert list(found["arms"]) == list(comparison.arms)
    assert found["cost"] == comparison.cost()
    phases: list[Phase] = ["given", "tuned"]
    for phase in phases:
        judged = comparison.verdicts(phase)
        assert [(each["a"], each["b"], each["difference"]) for each in found["verdicts"][phase]] == [
            (each.a, each.b, each.difference) for each in judged
        ]
    kept = [(trial["arm"], trial["phase"], trial["seed"], trial["status"]) for trial in found["trials"]]
    assert kept == [(trial.arm, trial.phase, trial.seed, trial.status) for trial in comparison.trials]
    lost = [trial for trial in found["trials"] if trial["status"] == "diverged"]
    assert lost
    assert all((trial["loss"], trial["curve"]) == (None, []) for trial in lost)


def test_facts_of_a_comparison_that_did_not_run_are_valid_json_too() -> None:
    found = json.loads(json.dumps(facts(Comparison(Plan(arms=ARMS)))), parse_constant=pytest.fail)
    assert found["arms"]["adam"]["tuned rate"] is None
    assert (found["verdicts"], found["cost"], found["trials"]) == ({"given": [], "tuned": []}, {}, [])
