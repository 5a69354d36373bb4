"""Steps to a target: counted by seed, compared by paired ratios, and said with what they are worth."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
from small_comparisons import ADAM, FEW, QUICK, Asked, Pretended, come_to, plain, small, trial

from lab.compare import Comparison, Phase, Trial
from lab.plans import Plan
from lab.recipe import Recipe, RecipeError
from lab.reports import report
from lab.targets import arm_line, ratios, steps_of, steps_to, target_lines
from lab.verdicts import critical

EPOCHS, TARGET = 9, 0.8
pytestmark = pytest.mark.usefixtures("one_thread")


def reaching(epoch: int | None) -> tuple[float, ...]:
    """A curve that is at the target from this epoch on."""
    return tuple(0.85 if epoch and number >= epoch else 0.5 for number in range(1, EPOCHS + 1))


def comparison(
    reached: Mapping[str, Sequence[int | None]], steps: Mapping[str, int] | None = None, **settings: Any
) -> Comparison:
    """Arms that reached the target after so many epochs, by seed; of 10 steps each."""
    of = steps or {}
    trials = [
        trial(name, "given", seed, 0.9, curve=reaching(epoch), steps_per_epoch=of.get(name, 10))
        for name, epochs in reached.items()
        for seed, epoch in enumerate(epochs)
    ]
    seeds = len(next(iter(reached.values())))
    return come_to(trials, plain(*reached), **{"tune": False, "seeds": max(2, seeds), "target": TARGET, **settings})


# -- counting -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curve", "steps"),
    [
        ((0.1, 0.79, 0.8, 0.9), 21),
        ((0.8, 0.1), 7),  # once is enough
        ((0.1, 0.7), None),
        ((), None),
    ],
)
def test_steps_are_those_until_the_first_epoch_at_the_target(curve: tuple[float, ...], steps: int | None) -> None:
    assert steps_to(trial("a", "given", 0, 0.9, curve=curve, steps_per_epoch=7), TARGET) == steps


def test_steps_of_a_real_run_are_those_of_its_epochs() -> None:
    found = small({"sgd": FEW, "large": FEW.changed(batch_size=50)}, tune=False)
    assert {name: found.of(name, "given")[0].steps_per_epoch for name in found.arms} == {"sgd": 4, "large": 2}
    first = found.of("large", "given")[0]
    assert steps_to(first, first.curve[0]) == 2
    assert steps_to(first, 2.0) is None


def test_arms_are_paired_by_seed_in_whatever_order_their_runs_ended() -> None:
    found = comparison({"a": [1, 2, 4], "b": [2, 2, 2]})
    found.trials.reverse()
    steps = {name: steps_of(found, "given", name, TARGET) for name in found.arms}
    assert steps == {"a": {0: 10, 1: 20, 2: 40}, "b": {0: 20, 1: 20, 2: 20}}
    assert list(ratios(steps["a"], steps["b"])) == [0.5, 1, 2]
    assert list(ratios({0: 10, 1: None, 2: 30}, {0: None, 1: 10, 2: 10})) == [3]


# -- sentences ----------------------------------------------------------------------------------------------


def test_an_arm_says_how_often_and_when_it_got_there() -> None:
    assert arm_line("a", [30, None, 10, 20], None) == "a got there at 3 of 4 seeds, after 20 steps (median)."
    assert (
        arm_line("a", [3000, 1000], 0.0123) == "a got there at 2 of 2 seeds, after 2,000 steps (median), 24.6 s alone."
    )
    assert arm_line("a", [None, None], 0.1) == "a never got there (2 seeds)."


def test_without_a_target_nothing_is_said() -> None:
    assert target_lines(comparison({"a": [1, 2], "b": [2, 3]}, target=None), "given") == []


def interval_of(line: str) -> tuple[float, float, float]:
    return tuple(map(float, re.findall(r"\d+\.\d+", line.replace("95%", ""))))  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("others", [0, 1])
def test_a_pair_is_the_geometric_mean_of_its_ratios_with_an_interval_for_all_pairs(
    others: int, sequential: bool
) -> None:
    a, b = [6, 8, 9, 6, 8, 7, 9, 8], [2, 3, 3, 2, 2, 3, 2, 3]
    never: dict[str, Sequence[int | None]] = {f"never {index}": [None] * 8 for index in range(others)}
    found = comparison({"a": a, "b": b, **never}, stop_early=sequential)
    (line,) = (line for line in target_lines(found, "given") if " takes " in line)
    logs = np.log(np.array(a) / np.array(b))
    pairs = math.comb(2 + others, 2)  # whoever never got there was looked at too
    reach = critical(8, 1 - 0.05 / pairs, sequential=sequential) * logs.std(ddof=1) / math.sqrt(8)
    assert interval_of(line) == pytest.approx(
        (math.exp(logs.mean()), math.exp(logs.mean() - reach), math.exp(logs.mean() + reach)), abs=0.005
    )
    kind = "anytime-valid interval" if sequential else "interval"
    corrected = ", corrected for 3 comparisons" if others else ""
    assert re.sub(r"\d+\.\d+", "_", line) == f"a takes _ times the steps of b (95% {kind} _ to _, 8 seeds{corrected})."


def test_ratios_that_could_be_one_are_no_difference_shown() -> None:
    (line,) = (each for each in target_lines(comparison({"a": [3, 4, 5], "b": [4, 4, 4]}), "given") if "takes" in each)
    low, high = interval_of(line)[1:]
    assert low < 1 < high
    assert line.endswith("3 seeds; no difference shown).")


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ([4], [2], "a takes 2.00 times the steps of b (one seed, which shows nothing)."),
        (
            [4, 2, 6],
            [2, 1, 3],
            "a takes 2.00 times the steps of b at each of 3 seeds (in whole epochs: too coarse for an interval).",
        ),
    ],
)
def test_one_seed_or_equal_ratios_have_no_interval(a: list[int], b: list[int], said: str) -> None:
    assert target_lines(comparison({"a": a, "b": b}), "given")[2] == said


def test_only_arms_that_always_got_there_are_compared() -> None:
    lines = target_lines(comparison({"a": [1, 2], "b": [2, None], "c": [3, 5]}), "given")
    assert [line for line in lines if " takes " in line] == [line for line in lines if line.startswith("a takes")]
    assert len(lines) == 3 + 1 + 1


def test_how_coarse_the_counts_are_is_said() -> None:
    found = comparison({"a": [1, 2], "b": [1, 3]}, {"a": 10, "b": 25})
    assert target_lines(found, "given")[-1] == "Looked at once an epoch: every count may be up to 25 steps too high."


# -- the budget ---------------------------------------------------------------------------------------------


def test_with_target_as_the_budget_seconds_are_those_of_an_arm_alone() -> None:
    by_steps, by_target = (comparison({"a": [1, 2], "b": [2, 4]}, budget=budget) for budget in ("epochs", "target"))
    assert not any(" s alone" in line for line in target_lines(by_steps, "given"))
    assert target_lines(by_target, "given")[0].endswith("after 15 steps (median), 3 s alone.")  # 0.2 s a step


ARMS = {"sgd": FEW.changed(epochs=6), "adam": ADAM.changed(epochs=3)}


def test_a_comparison_by_steps_to_a_target_begins_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    found = small(ARMS, budget="target", target=0.2)
    assert {arm.epochs for arm in found.arms.values()} == {6}
    said = report(found).split("\n\n")
    assert said[0].startswith("2 arms on digits, equal epochs at most (6 epochs each), 2 paired seeds;")
    headings = [section.splitlines()[0] for section in said[3:7]]
    assert headings == [
        "Steps to 20% of the validation images, at the rates given",
        "Steps to 20% of the validation images, each at its tuned rate",
        "At the rates given",
        "Each at its tuned rate",
    ]
    for section in said[3:5]:
        assert re.search(
            r"\n  sgd got there at 2 of 2 seeds, after \d+ steps \(median\), [\d.e-]+ s alone\.\n", section
        )


def test_a_target_beside_another_budget_comes_after_the_verdicts() -> None:
    found = comparison({"a": [1, 2], "b": [2, 4]})
    headings = [section.splitlines()[0] for section in report(found).split("\n\n")]
    assert headings.index("At the rates given") < headings.index(
        "Steps to 80% of the validation images, at the rates given"
    )


def late_but_better(asked: Asked) -> float:
    """Smaller rates end better, but `Gradual` has them climb for longer."""
    return {0.1: 0.9, 0.0316: 0.94, 0.316: 0.85}.get(asked[2], 0.2)


class Gradual(Pretended):
    """Runs reach the target after so many epochs, by rate."""

    REACHED: ClassVar = {0.1: 3, 0.0316: 5, 0.316: 4}

    def _trained(self, phase: Phase, recipes: Sequence[Recipe]) -> Iterator[tuple[int, Trial]]:
        for index, found in super()._trained(phase, recipes):
            curve = reaching(self.REACHED.get(found.rate))
            yield index, replace(found, curve=curve, accuracy=late_but_better((phase, "", found.rate, found.seed)))


@pytest.mark.parametrize(
    ("settings", "best"), [({"budget": "target", "target": TARGET}, 0.1), ({"target": TARGET}, 0.0316)]
)
def test_a_search_for_a_target_is_for_being_there_early_any_other_for_accuracy(
    settings: dict[str, Any], best: float
) -> None:
    arms = {"a": FEW.changed(epochs=EPOCHS), "b": FEW.changed(epochs=EPOCHS, label_smoothing=0.1)}
    found = Gradual(Plan(arms=arms, **{**QUICK, **settings}), late_but_better).run()
    assert {found.rate(name, "tuned") for name in arms} == {best}


def test_a_rate_that_never_gets_there_or_diverges_loses_to_one_that_does() -> None:
    found = come_to([], plain("a", "b"), budget="target", target=TARGET)
    runs = [
        trial("a", "search", 0, 0.99, curve=(), loss=math.nan),
        trial("a", "search", 0, 0.7, curve=reaching(None)),
        trial("a", "search", 0, 0.75, curve=reaching(None)),
        trial("a", "search", 0, 0.81, curve=reaching(9)),
        trial("a", "search", 0, 0.81, curve=reaching(2)),
        trial("a", "search", 0, 0.9, curve=reaching(2)),
    ]
    merits = [found._merit(run) for run in runs]
    assert merits == sorted(merits)
    assert len(set(merits)) == len(runs)


@pytest.mark.parametrize("settings", [{}, {"target": 0.9, "stop_early": True}, {"stop_early": True}])
def test_a_budget_of_a_target_needs_one_and_all_seeds(settings: dict[str, Any]) -> None:
    said = "budget target needs a target, an accuracy, and judges steps to it: no stop_early."
    with pytest.raises(RecipeError, match=f"^{re.escape(said)}$"):
        Plan(arms=ARMS, budget="target", **settings)
    assert Plan(arms=ARMS, budget="target", target=0.9).target == 0.9
