"""Comparing in the panel without a browser: it goes on where it was, and says no more than may be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from html import escape
from typing import Any

import pytest
from small_comparisons import ADAM, FEW, TWO, Pretended, by_distance, come_to, finals, plain, scored

import lab
from lab.catalogue import RecipeError
from lab.compare import Comparison
from lab.panel.comparing import EMPTY, MOST_ARMS, PICTURES, judge
from lab.panel.words import comparison_in_html, how_far
from lab.recipe import Recipe
from lab.reports import CAVEAT, title

NOWHERE = {"name": "folder", "path": "nowhere"}
ALIKE = {"a": [0.9, 0.91, 0.89, 0.9], "b": [0.91, 0.9, 0.9, 0.88]}


@pytest.fixture
def panel() -> Iterator[lab.Panel]:
    made = lab.Panel(folder=None, device="cpu")
    made.comparing.tune.value = False
    yield made
    made.close()


def compared(panel: lab.Panel, *arms: Recipe) -> str:
    """Add the arms, compare to the end, and give what is on the screen."""
    for recipe in arms:
        panel.recipe = recipe
        panel.comparing.add_recipe()
    panel.comparing.start()
    panel.wait()
    assert panel.comparing.problem.value == ""
    return panel.comparing.result.value


def test_after_an_early_stop_one_may_go_on_with_all_seeds(panel: lab.Panel) -> None:
    panel.comparing.early.value, panel.comparing.seeds.value = True, 12
    longer = FEW.changed(epochs=8)
    said = compared(panel, longer, longer.changed(init={"name": "random_normal", "std": 1e-6}))
    early = panel.comparing.comparison
    assert early.stopped_early
    assert f"Every verdict is clear after {len(early.trials)} runs: untick" in said
    panel.comparing.early.value = False
    assert "Finished: 24 runs." in compared(panel)
    whole = panel.comparing.comparison
    assert whole.sequential
    assert whole.trials[: len(early.trials)] == early.trials  # seconds too: they were not made again


def test_more_seeds_make_the_verdict_anew(panel: lab.Panel) -> None:
    panel.comparing.seeds.value = 3
    assert "3 paired seeds" in compared(panel, FEW, ADAM)
    assert not panel.comparing.comparison.sequential
    panel.comparing.seeds.value = 5
    said = compared(panel)
    assert "5 paired seeds" in said
    assert "Verdicts were seen while seeds came in" in said
    assert {verdict.seeds for verdict in panel.comparing.comparison.verdicts("given")} == {5}


def test_what_goes_wrong_is_said_in_words_and_the_panel_goes_on(panel: lab.Panel) -> None:
    panel.comparing.seeds.value = 2
    for recipe in (FEW.changed(data=NOWHERE), ADAM.changed(data=NOWHERE)):
        panel.recipe = recipe
        panel.comparing.add_recipe()
    panel.comparing.start()
    panel.wait()
    assert "There is no folder nowhere" in panel.comparing.problem.value
    assert not panel.comparing.busy


def test_arms_on_different_data_are_answered_in_words_until_one_is_taken_off(panel: lab.Panel) -> None:
    pane = panel.comparing
    for recipe in (FEW, FEW.changed(data=NOWHERE)):
        panel.recipe = recipe
        pane.add_recipe()
    assert "The arms must have the same data" in pane.cost.value
    pane.seeds.value = 3  # works out the cost anew
    pane.go.click()
    assert "The arms must have the same data" in pane.problem.value
    assert not pane.busy
    pane.arms.remove(pane.arms.recipes[1])
    assert pane.cost.value == EMPTY


def test_arms_that_are_too_many_are_refused_before_any_is_added(panel: lab.Panel) -> None:
    arms = panel.comparing.arms
    recipes = [FEW.changed(epochs=epochs) for epochs in range(1, MOST_ARMS + 2)]
    arms.add(recipes[:2])
    with pytest.raises(RecipeError) as error:
        arms.add(recipes)
    assert str(error.value) == (
        "These would be 9 arms, and a comparison here has at most 8: "
        "add recipes one by one, or clear the table and train those that matter."
    )
    assert arms.recipes == recipes[:2]
    arms.add([*recipes[:MOST_ARMS], recipes[0].changed(seed=5)])  # seeds do not matter
    assert arms.recipes == recipes[:MOST_ARMS]
    assert len(arms.widget.children) == MOST_ARMS


def test_every_picture_can_be_drawn_at_any_moment_and_the_newest_is_of_what_goes_on() -> None:
    headings = {"search": "Accuracy by learning rate", "given": "At the rates given: accuracy by epoch"}
    seen = set[str]()
    for trial in (comparison := Pretended(TWO, by_distance)):
        still = comparison.snapshot()
        pictures = {name: draw(still).layout.title.text for name, draw in PICTURES.items()}
        expected = headings.get(trial.phase, "Each at its tuned rate: ")
        if still.judged("tuned"):
            expected = pictures["differences, tuned"]
        assert all(pictures.values())
        assert pictures["what is newest"].startswith(expected)
        seen.add(expected)
    assert len(seen) == 4


def test_another_picture_can_be_chosen(panel: lab.Panel) -> None:
    pane = panel.comparing
    assert pane.picture.layout.display == "none"
    pane.seeds.value = 2
    compared(panel, FEW, ADAM)
    assert pane.picture.layout.display is None
    drawn = {}
    for name in PICTURES:
        pane.picture.value = name
        drawn[name] = pane.figure.layout.title.text
    assert drawn["what is newest"] == drawn["differences, rates given"]
    assert len(set(drawn.values())) >= 4


def test_a_comparison_that_breaks_says_how_far_it_came(panel: lab.Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    panel.comparing.seeds.value = 2
    monkeypatch.setattr(Comparison, "_keep", breaking := Breaking(Comparison._keep))
    with pytest.raises(AssertionError):
        compared(panel, FEW, ADAM)
    assert breaking.calls == 2
    assert "Broken off by an error after 1 run." in panel.comparing.result.value
    said = panel.comparing.problem.value
    assert "ZeroDivisionError: a mistake" in said
    assert "in __call__" in said  # where it happened


class Breaking:
    """Breaks when it is called for the second time."""

    def __init__(self, keep: Callable[..., Any]) -> None:
        self.keep, self.calls = keep, 0

    def __get__(self, comparison: Comparison, _: object) -> Callable[..., Any]:
        return partial(self, comparison)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.calls += 1
        if self.calls == 2:
            raise ZeroDivisionError("a mistake")
        return self.keep(*arguments, **named)


@pytest.mark.parametrize(
    ("budget", "seconds"),
    [
        ("epochs", 10 * (2 + 6) / 2),
        ("steps", 10 * (2 + 6 * 50 / 25) / 2),  # as many steps take twice the epochs
        ("flops", 10 * 2),
        ("seconds", 10 * 2),
    ],
)
def test_what_a_run_takes_depends_on_what_is_equal(panel: lab.Panel, budget: str, seconds: float) -> None:
    pane, (first, large) = panel.comparing, (FEW.changed(epochs=10), FEW.changed(epochs=4, batch_size=50))
    pane._asked = {first.id, large.id}  # nothing is to be measured
    pane._seconds = {first.id: 2.0, large.id: 6.0}
    pane.arms.add([first, large])
    pane.budget.value = budget
    assert pane._seconds_of_a_run() == pytest.approx(seconds)


def test_what_could_not_be_measured_is_measured_anew(panel: lab.Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[Recipe]] = []
    monkeypatch.setattr(panel.comparing, "_ask_for", asked.append)
    panel.comparing.arms.add([FEW, ADAM])
    panel.comparing._asked = {recipe.id for recipe in (FEW, ADAM)}
    panel.comparing._seconds = {FEW.id: 1.0}
    panel.comparing.hear(RuntimeError("it did not work"))
    panel.comparing.refresh()
    assert asked[-1] == [ADAM]


# -- words --------------------------------------------------------------------------------------------------


def test_nothing_is_said_before_a_verdict_may_be_seen() -> None:
    for trials in ([], finals(ALIKE)[:7]):
        comparison = come_to(trials, plain("a", "b"), tune=False)
        judge(comparison)
        assert comparison_in_html(comparison) == ""
    assert comparison_in_html(scored(ALIKE)) != ""


def test_the_report_is_there_with_its_table_and_its_caution() -> None:
    comparison = scored(ALIKE)
    judge(comparison)
    said = comparison_in_html(comparison)
    for text in (
        title(comparison),
        "<b>At the rates given</b>",
        "No difference shown between",
        escape(CAVEAT),
        "Cost: ",
    ):
        assert text in said
    assert "<td>a</td>" in said


def test_names_of_arms_are_shown_not_run() -> None:
    nasty = "<script>alert(1)</script>"
    said = comparison_in_html(scored({nasty: ALIKE["a"], "b": ALIKE["b"]}))
    assert "<script>" not in said
    assert "&lt;script&gt;" in said


@pytest.mark.parametrize(
    ("ended", "text"),
    [
        ("", "Run 8 of about 8."),
        ("finished", "Finished: 8 runs."),
        ("failed", "Broken off by an error after 8 runs."),
        ("stopped", "Stopped after 8 runs; press Compare to go on."),
    ],
)
def test_how_far_it_is(ended: str, text: str) -> None:
    assert text in how_far(scored(ALIKE), ended)
