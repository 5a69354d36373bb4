"""The report of a comparison, word for word; golden texts are rewritten with UPDATE_GOLDEN=1."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_comparisons import CHANCE, Asked, Outcome, Pretended, come_to, finals, noise, plain, scored, search_of

from lab import plans
from lab.compare import Comparison, Phase
from lab.plans import Plan
from lab.recipe import Recipe
from lab.reports import (
    LINE,
    NOT_YET,
    aligned,
    arms_table,
    change_line,
    changes,
    cost_line,
    edges,
    facts,
    failure_line,
    findings,
    notes,
    points,
    report,
    row_of,
    search_words,
    title,
    unseen,
)
from lab.targets import target_lines
from lab.verdicts import verdict

GOLDEN = Path(__file__).parent / "golden"
ARMS = {
    "sgd": Recipe(optimizer={"name": "sgd", "lr": 0.01}),
    "momentum": Recipe(optimizer={"name": "sgd", "lr": 0.01, "momentum": 0.9}),
    "adam": Recipe(optimizer={"name": "adam", "lr": 0.01}),
}
BEST = {"sgd": 0.316, "momentum": 0.0316, "adam": 0.00178}  # rates


def made(outcome: Outcome, arms: dict[str, Recipe] = ARMS, **plan: Any) -> Comparison:
    """A comparison that trained nothing, run to its end."""
    return Pretended(Plan(arms=arms, **plan), outcome).run()


def usual(asked: Asked) -> float | None:
    """Each arm falls off on both sides of its best rate, and above 0.7 it diverges; at the best rate all are alike."""
    phase, name, rate, seed = asked
    away = max(rate / BEST[name], BEST[name] / rate)
    mean = max(0.1, 0.9725 - 0.012 * (away - 1))
    return None if rate > 0.7 else round(mean + noise(seed * len(name) * (1 + (phase == "tuned"))), 4)


def alike(asked: Asked) -> float:
    """Nothing but seeds, and in the search a little for the rate given."""
    phase, name, rate, seed = asked
    return (
        0.9
        + noise(seed * len(name) * (1 + (phase == "tuned")))
        - (abs(math.log10(rate / 0.01)) / 1000 if phase == "search" else 0)
    )


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


def test_no_line_is_so_long_that_a_notebook_would_break_it() -> None:
    named = {f"{name}, momentum 0.{place} and a name of its own": arm for place, (name, arm) in enumerate(ARMS.items())}
    for comparison in (made(usual), made(alike, named, seeds=4)):
        said = report(comparison)
        assert max(map(len, said.splitlines())) <= LINE
        whole = " ".join(said.split())
        assert all(" ".join(line.split()) in whole for line in [*notes(comparison), title(comparison)])


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


@pytest.mark.parametrize(
    ("price", "said"),
    [
        (0.8, "equal seconds (3 to 8 epochs, equal up to 7%)"),  # 7.5 would be equal
        (1.9, "equal seconds (3 epochs each, equal up to 5%)"),
        (0.75, "equal seconds (3 to 8 epochs)"),
        (0.7501, "equal seconds (3 to 8 epochs)"),  # to a tenth of a thousandth
    ],
)
def test_the_title_says_how_far_from_equal_a_budget_is(
    price: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices = {"a": 2.0, "b": price}  # of an epoch
    monkeypatch.setattr(plans, "seconds_per_epoch", lambda *_, **__: prices)  # pyright: ignore[reportUnknownLambdaType]
    arms = {name: arm.changed(epochs=3) for name, arm in plain("a", "b").items()}
    assert said in title(Comparison(Plan(arms=arms, budget="seconds")))


def test_one_epoch_is_no_plural() -> None:
    plan = Plan(arms={name: arm.changed(epochs=1) for name, arm in ARMS.items()})
    assert "(1 epoch each)" in title(Comparison(plan))


FLAT = [0.9 + noise(seed) for seed in range(8)]


def test_no_difference_between_many_is_one_sentence_with_the_two_furthest_apart() -> None:
    near = [score + noise(3 * seed) / 9 for seed, score in enumerate(FLAT)]
    comparison = scored({"a": FLAT, "b": near, "c": FLAT[::-1]})
    (line,) = findings(comparison, "given")
    largest = max(comparison.verdicts("given"), key=lambda verdict: abs(verdict.difference))
    apart = f"The two furthest apart: {largest.a} - {largest.b}: "
    assert line.startswith(f"No difference shown between any two of the arms. {apart}")


def test_one_difference_among_many_is_told_with_every_pair() -> None:
    lower = [score - 0.3 for score in FLAT[3:] + FLAT[:3]]
    lines = findings(scored({"a": FLAT, "b": FLAT[::-1], "c": lower}), "given")
    assert len(lines) == 3
    assert sum(" is better than c by 30.0 points" in line for line in lines) == 2


def test_a_single_pair_gets_its_own_sentence() -> None:
    (line,) = findings(scored({"a": FLAT, "b": FLAT[::-1]}), "given")
    assert line.startswith("No difference shown between a and b at 8 seeds")


def test_without_verdicts_one_is_told_to_run_two_seeds() -> None:
    assert findings(scored({"a": [0.9], "b": [0.8]}), "given") == ["One seed shows nothing: run at least two."]


ROUGH = {"a": [0.9 + 5 * noise(seed) for seed in range(8)], "b": [0.9 - 5 * noise(2 * seed) for seed in range(8)]}


def failing(**statuses: Mapping[int, str]) -> Comparison:
    """Two arms, alike but for runs that failed: by arm, then by seed."""
    comparison = scored(ROUGH)
    for place, each in enumerate(comparison.trials):
        if status := statuses.get(each.arm, {}).get(each.seed):
            comparison.trials[place] = replace(each, status=status, test_accuracy=CHANCE)
    return comparison


def test_how_many_seeds_would_be_needed_is_told_unless_runs_failed() -> None:
    (line,) = findings(failing(), "given")
    assert re.search(r"; about \d+ seeds would be needed to see half a point\.$", line)
    for arm in ("a", "b"):
        assert "would be needed" not in findings(failing(**{arm: {2: "stuck"}}), "given")[0]


def test_every_arm_of_which_runs_failed_is_told_with_how_they_did() -> None:
    lines = findings(failing(a={0: "diverged", 3: "stuck", 4: "stuck"}, b={2: "diverged"}), "given")
    assert lines[1:] == [
        "a diverged at 1 of 8 seeds and stuck at 2 of 8 seeds, counted as chance."
        " Its mean mixes runs that failed with runs that did not.",
        "b diverged at 1 of 8 seeds, counted as chance. Its mean mixes runs that failed with runs that did not.",
    ]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"stuck": 2}, "a stuck at 2 of 8 seeds. Its mean mixes runs that failed with runs that did not."),
        ({"stuck": 8}, "a stuck at 8 of 8 seeds."),  # all alike: a mean of one kind of run
        ({"diverged": 8}, "a diverged at 8 of 8 seeds, counted as chance."),
        ({"diverged": 3, "stuck": 5}, "a diverged at 3 of 8 seeds and stuck at 5 of 8 seeds, counted as chance."),
    ],
)
def test_only_runs_that_diverged_count_as_chance_and_only_a_mixture_is_called_one(
    counts: dict[str, int], said: str
) -> None:
    assert failure_line("a", counts, 8) == said


def numbers_of(line: str) -> list[float]:
    return [float(number) for number in re.findall(NUMBER, line)]


def lifted(*shifted: tuple[Phase, str]) -> Outcome:
    """All are alike, but for five points more of these arms in these phases."""
    return lambda asked: alike(asked) + (0.05 if asked[:2] in shifted else 0)


NUMBER = r"-?\d+\.\d+"
UNCHANGED = "No verdict: every pair of arms stands as it stood at the rates given."


@pytest.mark.parametrize(
    ("outcome", "claim", "change"),
    [
        (lifted(("given", "sgd")), "sgd won at the rate given, not once both were tuned.", -5),
        (
            lifted(("given", "sgd"), ("tuned", "adam")),
            "adam, worse at the rate given, won once both were tuned.",
            -10,
        ),
        (lifted(("tuned", "adam")), "No difference was shown at the rate given; adam won once both were tuned.", -5),
        (lifted(("tuned", "sgd")), "No difference was shown at the rate given; sgd won once both were tuned.", 5),
    ],
    ids=["gone", "turned round", "new", "new, the other way"],
)
def test_what_tuning_changed(outcome: Outcome, claim: str, change: float) -> None:
    (line,) = changes(made(outcome, {name: ARMS[name] for name in ("sgd", "adam")}))
    was, now, by, low, high = numbers_of(line)
    assert re.sub(NUMBER, "_", line) == (
        f"sgd - adam went from _ to _ points with tuning, by _ (95% interval _ to _). {claim}"
    )
    assert low < by < high
    assert by == pytest.approx(change, abs=0.5)
    assert now - was == pytest.approx(by, abs=0.16)  # three numbers, each rounded


@pytest.mark.parametrize("outcome", [alike, lifted(("given", "sgd"), ("tuned", "sgd"))], ids=["none", "the same"])
def test_where_tuning_changed_no_verdict_that_is_said(outcome: Outcome) -> None:
    assert changes(made(outcome, {name: ARMS[name] for name in ("sgd", "adam")})) == [UNCHANGED]


def test_a_verdict_that_changed_may_be_no_change_shown() -> None:
    ahead = {"given": [3, 4, 5, 3, 4, 5, 4, 4], "tuned": [-4, 9, 2, -3, 8, 1, 5, -1]}  # thousandths
    phases: list[Phase] = ["given", "tuned"]
    trials = [finals({"a": [0.9 + each / 1000 for each in ahead[phase]], "b": [0.9] * 8}, phase) for phase in phases]
    (line,) = changes(come_to(trials[0] + trials[1], plain("a", "b"), seeds=8))
    assert line.startswith("a - b went from 0.4 to 0.2 points with tuning, by -0.2 (95% ")
    assert line.endswith("): no change shown, though one of the two lists shows a difference and the other does not.")


def test_a_change_that_is_the_same_at_every_seed_has_no_interval() -> None:
    def steady(asked: Asked) -> float:
        return 0.9 + noise(asked[3] * len(asked[1])) + (0.05 if asked[:2] == ("tuned", "adam") else 0)

    (line,) = changes(made(steady, {name: ARMS[name] for name in ("sgd", "adam")}))
    assert re.sub(NUMBER, "_", line).startswith(
        "sgd - adam went from _ to _ points with tuning, by _ (the same at each of 8 seeds). "
    )
    assert " by -5.0 (" in line


def test_of_more_than_one_pair_it_is_said_which_are_listed() -> None:
    *lines, last = changes(made(lifted(("given", "sgd"))))
    assert [line.split(" went from ")[0] for line in lines] == ["sgd - momentum", "sgd - adam"]
    assert not any("corrected" in line for line in lines)
    said = "Listed are the pairs whose verdict is another one now"
    assert last == f"{said} (95% intervals, 8 seeds, corrected for 3 comparisons)."


class Drawn(Comparison):
    """Scores from a normal distribution instead of runs: one for each arm, seed and phase."""

    def draw(self, rng: np.random.Generator, change: float) -> None:
        normal = 0.5 + 0.01 * rng.standard_normal((2, len(self.arms), self.plan.seeds))
        normal[1, 0] += change
        self.drawn = {
            phase: dict(zip(self.arms, scores.tolist(), strict=True))
            for phase, scores in zip(("given", "tuned"), normal, strict=True)
        }

    def scores(self, phase: Phase) -> dict[str, list[float]]:
        return self.drawn[phase]


REPEATS = 3_000
FOUR_ERRORS = 4 * math.sqrt(0.05 * 0.95 / REPEATS)


@pytest.mark.parametrize("change", [0.0, 0.03])
def test_the_change_through_tuning_is_covered_as_often_as_is_said(change: float) -> None:
    comparison, rng = Drawn(Plan(arms=plain("a", "b"))), np.random.default_rng(4)
    equal = [verdict("a", "b", [0.5] * 8, [0.5] * 8)] * 2  # what the two lists say does not matter here
    covered = shown = 0
    for _ in range(REPEATS):
        comparison.draw(rng, change)
        comparison._changed.clear()
        line = change_line(comparison, *equal)
        *_, low, high = numbers_of(line)
        covered += low <= 100 * change <= high
        shown += "no change shown" not in line
    assert covered / REPEATS == pytest.approx(0.95, abs=FOUR_ERRORS)
    assert shown / REPEATS == pytest.approx(0.05, abs=FOUR_ERRORS) if change == 0 else shown / REPEATS > 0.9


def test_changes_of_equal_arms_are_seldom_shown_in_a_whole_list() -> None:
    comparison, rng = Drawn(Plan(arms=plain("a", "b", "c", "d"))), np.random.default_rng(5)
    repeats, false = 600, 0
    for _ in range(repeats):
        comparison.draw(rng, 0.0)
        comparison._judged.clear()
        comparison._changed.clear()
        false += any("no change shown" not in line for line in changes(comparison) if " went from " in line)
    assert false / repeats <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / repeats)
    assert false > 0


def test_arms_still_best_at_the_edge_are_named() -> None:
    def edge(asked: Asked) -> float:
        upwards = math.log10(asked[2]) / 100
        return {"sgd": 0.5 + upwards, "adam": 0.5 - upwards, "momentum": alike(asked)}[asked[1]]

    comparison = made(edge)
    said = "Still best at the edge of what was tried, so perhaps not tuned enough: sgd (rate), adam (rate)."
    assert edges(comparison) == [said]
    assert f"\n\n{said}\n\n" in report(comparison)
    assert edges(made(usual)) == []
    assert edges(made(usual, tune=False)) == []


def test_failures_are_counted_by_kind_in_each_phase() -> None:
    def failing(asked: Asked) -> float | str | None:
        phase, name, rate, seed = asked
        if phase == "search":
            return ("diverged" if name == "adam" else "stuck") if rate > 0.5 else 0.9 - abs(rate - 0.1)
        return "stuck" if (phase, name, seed) == ("tuned", "adam", 2) else 0.9 + noise(seed * len(name))

    above, below = arms_table(made(failing, trials=5, tuning_seeds=1)).split("\n\n")  # for one it is too wide
    assert above.splitlines()[0].endswith("  accuracy ± sd")
    table = below.splitlines()
    assert table[0].endswith("  failed")
    rows = {line.split()[0]: re.split("decades\\)|of those tried", line)[1].strip() for line in table[1:]}
    assert rows == {
        "sgd": "search: 1 stuck of 7 runs",
        "momentum": "search: 1 stuck of 7 runs",
        "adam": "tuned: 1 stuck; search: 1 diverged of 7 runs",
    }


@pytest.mark.parametrize(
    ("good", "said"),
    [
        ((0.01, 0.1, 1.0, False), "0.01 to 0.1 (1.0 decades)"),
        ((0.01, 0.1, 1.0, True), "0.01 to 0.1 (at least 1.0 decades)"),
        ((0.1, 0.1, 0.0, False), "only 0.1 of those tried"),
        ((0.1, 0.1, 0.0, True), "only 0.1 of those tried"),
    ],
)
def test_one_good_rate_is_no_range(good: tuple[float, float, float, bool], said: str) -> None:
    comparison = made(alike, trials=3, tuning_seeds=1)
    row = comparison.table().loc["sgd"].copy()
    row[["good from", "good to", "decades", "cut off"]] = good
    assert row_of("sgd", row, tuned=True)[5] == said


def test_where_no_run_failed_it_is_said_how_many_may_all_the_same() -> None:
    tail = "seeds leave room for failures of up to {}% of an arm's runs."
    assert unseen(scored(ROUGH)) == ["No final run failed; 8 " + tail.format(31)]
    assert pytest.approx(0.05, abs=0.002) == 0.69**8  # what the 31% are
    assert unseen(scored(ROUGH, level=0.9)) == ["No final run failed; 8 " + tail.format(25)]
    assert unseen(made(usual))[0].startswith("No final run failed")  # the search's do not count
    assert unseen(failing(b={7: "stuck"})) == []
    assert unseen(Comparison(Plan(arms=ARMS))) == []


def test_how_the_runs_of_the_search_come_about_is_said() -> None:
    comparison = made(alike, trials=3, tuning_seeds=2, seeds=2)
    assert search_words(comparison) == " Searched: 3 rates for each arm, the best of them at 2 seeds."
    search_of(comparison, "adam").tell(0.5, 10_000, (0.1, 0.0))  # as when it is left in the middle
    assert search_words(comparison) == " Searched: 3 to 4 rates for each arm, the best of them at 2 seeds."
    assert search_words(made(alike, tune=False)) == ""


def test_columns_are_aligned_and_lines_have_no_trailing_blanks() -> None:
    assert aligned([["a", "long head", "x"], ["longer", "b", ""]]) == "a       long head  x\nlonger  b"


def test_points_have_their_spread_where_there_is_one() -> None:
    assert (points(0.97254, 0.0049), points(0.97254, float("nan"))) == ("97.3 ± 0.5", "97.3")


def test_the_cost_is_told_for_each_phase() -> None:
    comparison = made(usual, seeds=2, trials=3, tuning_seeds=1, arms={"sgd": ARMS["sgd"], "adam": ARMS["adam"]})
    cost = comparison.cost()
    assert cost["given"] == {"runs": 4, "steps": 800, "seconds": 1.0}
    runs = cost["search"]["runs"]
    searched = int(runs / 2)
    assert cost_line(comparison) == (
        f"Cost: search {runs} runs, {200 * runs:,} steps, {runs / 4:.1f} s; "
        "given 4 runs, 800 steps, 1.0 s; tuned 4 runs, 800 steps, 1.0 s. "
        f"Searched: {searched} rates for each arm, the best of them at 1 seed. "
        "Looks at the test split: 8, one at the end of each final run that did not diverge."
    )


def test_facts_are_the_whole_comparison_as_valid_json() -> None:
    comparison = made(usual)
    found = json.loads(json.dumps(facts(comparison)), parse_constant=pytest.fail)
    assert list(found) == ["arms", "verdicts", "changes", "targets", "uneven", "cost", "trials"]
    assert list(found["arms"]) == list(comparison.arms)
    assert found["cost"] == comparison.cost()
    phases: list[Phase] = ["given", "tuned"]
    for phase in phases:
        judged = comparison.verdicts(phase)
        assert [(each["a"], each["b"], each["difference"]) for each in found["verdicts"][phase]] == [
            (each.a, each.b, each.difference) for each in judged
        ]
    assert [(each["a"], each["b"]) for each in found["changes"]] == list(combinations(comparison.arms, 2))
    for each in found["changes"]:
        interval, change = comparison.change(each["a"], each["b"])
        assert (each["change"], each["interval"]) == (change, asdict(interval))
        assert interval.low < change < interval.high
    assert (found["targets"], found["uneven"]) == ({}, 0.0)
    kept = [(trial["arm"], trial["phase"], trial["seed"], trial["status"]) for trial in found["trials"]]
    assert kept == [(trial.arm, trial.phase, trial.seed, trial.status) for trial in comparison.trials]
    lost = [trial for trial in found["trials"] if trial["status"] == "diverged"]
    assert lost
    assert all((trial["loss"], trial["curve"]) == (None, []) for trial in lost)


def test_facts_of_a_comparison_that_did_not_run_are_valid_json_too() -> None:
    found = json.loads(json.dumps(facts(Comparison(Plan(arms=ARMS)))), parse_constant=pytest.fail)
    assert found["arms"]["adam"]["tuned rate"] is None
    assert (found["verdicts"], found["cost"], found["trials"]) == ({"given": [], "tuned": []}, {}, [])
    assert (found["changes"], found["targets"]) == ([], {})


def test_facts_tell_the_steps_to_the_target_and_how_uneven_the_budget_is() -> None:
    comparison = made(usual, tune=False, target=0.5)
    comparison.uneven = 0.25
    found = facts(comparison)
    assert found["targets"] == {"given": target_lines(comparison, "given")}
    assert len(found["targets"]["given"]) >= 3
    assert (found["changes"], found["uneven"]) == ([], 0.25)


def test_a_report_may_be_asked_for_after_any_run() -> None:
    """Before a phase has begun nothing is known of it, and that is what its cells say."""
    comparison = Pretended(Plan(arms=ARMS, seeds=2, trials=3, tuning_seeds=1), usual)
    unknown = [arms_table(comparison).splitlines()[1].count(NOT_YET) for _ in comparison]
    assert list(dict.fromkeys(unknown)) == [4, 2, 0]  # in the search; at the rates given; each at its tuned rate
