"""Comparing in the panel without a browser: it goes on where it was, and says no more than may be seen."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import pytest
from small_comparisons import ADAM, FEW, come_to, finals, plain, scored

import lab
from lab.panel.comparing import EMPTY, judge
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
        ("stopped", "Stopped after 8 runs; press Compare to go on."),
    ],
)
def test_how_far_it_is(ended: str, text: str) -> None:
    assert text in how_far(scored(ALIKE), ended)
