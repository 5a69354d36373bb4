"""What a run answers, in the panel without a browser: nothing before it is asked, words for what cannot be answered."""

from __future__ import annotations

import gc
import weakref
from functools import partial

import numpy as np
import pytest
import torch
from plotly.io import templates
from small_panels import until
from small_runs import SMALL

import lab
from lab.diagnostics import Predictions, predictions
from lab.diagnostics.predictions import predicting
from lab.panel import predictions as pane_module
from lab.panel.predictions import ALL_RIGHT, NOTHING, PLACES, Answer, Card, PredictionsPane, answered, width_of
from lab.panel.worker import submit
from lab.recipe import RecipeError
from lab.runs import Run

PICTURES = Answer.pictures


def train(panel, **changes) -> Run:
    panel.recipe = SMALL.changed(**changes)
    panel.start()
    return panel.wait()[-1]


def unfold(panel):
    panel.predictions.fold.value = True
    return answers(panel)


def answers(panel):
    """Wait for what is asked for now; the pane."""
    pane = panel.predictions
    until(panel, lambda: pane._asked is not None and "Asking" not in pane.said.value)
    return pane


def shown(pane) -> list[str]:
    return [place for place, card in pane.cards.items() if card.widget.layout.display is None]


def matrix(pane) -> np.ndarray:
    return np.asarray(pane.cards["confusion"].figure.data[0].text)


def test_folded_nothing_is_asked(panel, monkeypatch) -> None:
    monkeypatch.setattr("lab.panel.predictions.predicting", pytest.fail)
    train(panel)
    assert panel.predictions.body.layout.display == "none"
    assert panel.predictions._asked is None


def test_before_the_first_run_it_says_what_to_do(panel) -> None:
    panel.predictions.fold.value = True
    panel.pump.drain()
    assert NOTHING in panel.predictions.said.value
    assert panel.predictions.tools.layout.display == "none"
    assert shown(panel.predictions) == []


def test_answers_are_those_of_the_validation_images(panel) -> None:
    run = train(panel)
    pane, found = unfold(panel), predictions(run, device="cpu")
    assert shown(pane) == list(PLACES)
    assert (matrix(pane) == found.confusion).all()
    right = f"{found.accuracy:.1%} of {len(found.labels)} validation images right"
    assert f"Run 1: after the last epoch {right}" in pane.said.value
    assert f"calibration error {found.calibration().error:.1%}" in pane.cards["reliability"].words.value
    worst = found.worst_mistakes(12)
    under = [note.text for note in pane.cards["mistakes"].figure.layout.annotations]
    assert under[0].startswith(f"{worst[0].true} → <b>{worst[0].predicted}</b><br>{worst[0].confidence:.0%}")
    assert len(under) == min(12, int((found.predicted != found.labels).sum()))
    assert run.test_looks == 0


def test_it_follows_the_last_that_ended_until_one_is_chosen(panel) -> None:
    first = train(panel)
    second = train(panel, epochs=1)
    pane = unfold(panel)
    assert "Run 2:" in pane.said.value
    pane.which.value = 1
    answers(panel)
    assert (matrix(pane) == predictions(first, device="cpu").confusion).all()
    train(panel, seed=8)
    assert "Run 1:" in answers(panel).said.value
    assert [number for _, number in pane.which.options] == [0, 1, 2, 3]
    pane.which.value = 0
    assert "Run 3:" in answers(panel).said.value
    assert not (matrix(pane) == predictions(second, device="cpu").confusion).all()


def test_a_deleted_run_is_asked_no_more_and_comes_back(panel) -> None:
    train(panel)
    train(panel, epochs=1)
    pane = unfold(panel)
    panel.list.which.value = 2
    panel.list.delete()
    panel.pump.drain()
    assert "Run 1:" in answers(panel).said.value
    panel.list.undo()
    panel.pump.drain()
    assert "Run 2:" in answers(panel).said.value
    assert len(pane.which.options) == 3


def test_the_last_to_end_need_not_be_the_last_that_was_begun(panel) -> None:
    for epochs in (300, 1):
        panel.recipe = SMALL.changed(epochs=epochs)
        panel.start()
    panel.wait()
    assert "Run 1:" in unfold(panel).said.value


NO_ANSWER = {
    "diverged": ({"optimizer.lr": 1e9}, "Run 1 (diverged) answers nothing"),
    "no classes": ({"objective": {"name": "multi_task", "class_weight": 0.0}}, "Run 1 has learned no classes."),
}


@pytest.mark.parametrize(("changes", "words"), NO_ANSWER.values(), ids=NO_ANSWER)
def test_what_answers_nothing_says_why(panel, changes, words) -> None:
    train(panel, **changes)
    pane = unfold(panel)
    assert words in pane.said.value
    assert 'role="alert"' in pane.said.value
    assert shown(pane) == []


def test_a_run_without_weights_says_so(panel) -> None:
    panel.recipe = SMALL.changed(data={"name": "folder", "path": "nowhere"}, modify=[])
    panel.start()
    with pytest.raises(lab.store.RunError, match="no folder nowhere"):
        panel.wait()
    assert "nowhere" in unfold(panel).said.value


def test_without_labels_it_is_a_fitted_layer_that_answers(panel) -> None:
    train(panel, objective="simclr", epochs=1)
    assert "of a last layer that is fitted to the features" in unfold(panel).said.value


def test_another_run_trains_on_meanwhile(panel) -> None:
    train(panel)
    panel.recipe = SMALL.changed(epochs=100_000)
    panel.start()
    until(panel, lambda: [entry.trains for entry in panel.entries] == [False, True])
    assert "Run 1:" in unfold(panel).said.value
    assert not panel.entries[1].job.done.is_set()
    panel.stop()
    panel.wait()


def test_folding_drops_what_was_asked_and_what_comes_late(panel) -> None:
    train(panel)
    until(panel, lambda: not panel.jobs.unfinished)
    pane = panel.predictions
    pane.fold.value = True
    late = pane._asked
    pane.fold.value = False
    pane.hear((late, "late"))
    assert "late" not in pane.said.value
    assert shown(pane) == []


def test_cleared_runs_leave_no_tensors_behind(panel) -> None:
    others = {id(each) for each in predictions_there_are()}
    weights = [weakref.ref(tensor) for tensor in train(panel).weights.values()]
    unfold(panel)
    panel.clear()
    panel.pump.drain()
    ran = []
    submit(partial(ran.append, True))  # what the worker thread holds until it has something else to do
    until(panel, lambda: bool(ran))
    gc.collect()
    assert [ref() for ref in weights] == [None] * len(weights)
    assert {id(each) for each in predictions_there_are()} <= others
    assert NOTHING in panel.predictions.said.value


def predictions_there_are() -> list[Predictions]:
    return [each for each in gc.get_objects() if type(each) is Predictions]


@pytest.mark.parametrize(("width", "each"), [(1100, 540), (500, 240), (400, 400), (409, 400), (0, 440), (3000, 560)])
def test_pictures_stand_side_by_side_where_two_have_room(width, each) -> None:
    assert width_of(width) == each


def test_pictures_follow_width_and_theme(panel) -> None:
    train(panel)
    pane = unfold(panel)
    panel.helper.width = 520
    panel.pump.drain()
    answers(panel)
    pane.set_theme(dark=True)
    for card in pane.cards.values():
        assert card.figure.layout.width == width_of(520)
        assert card.figure.layout.template == templates["plotly_dark"]


def test_another_width_wants_other_pictures_and_no_other_answers(panel, monkeypatch) -> None:
    asked, made = [], []
    monkeypatch.setattr(
        pane_module, "predicting", lambda *which, **where: asked.append(1) or predicting(*which, **where)
    )
    monkeypatch.setattr(Answer, "pictures", lambda *which: made.append(which[1]) or PICTURES(*which))
    train(panel)
    pane = unfold(panel)
    for width in range(700, 760):  # as a window that is drawn wider tells
        panel.helper.width = width
        panel.pump.drain()
    assert made == [440, 340, 350, 360, 370]
    for width in range(760, 800):  # faster than pictures can be drawn
        panel.helper.width = width
    panel.pump.drain()
    assert made[5:] == [390]
    assert asked == [1]
    assert {card.figure.layout.width for card in pane.cards.values()} == {390}
    train(panel, epochs=1)
    answers(panel)
    assert asked == [1, 1]


def test_without_an_answer_another_width_changes_nothing(panel, monkeypatch) -> None:
    train(panel, **{"optimizer.lr": 1e9})
    pane = unfold(panel)
    monkeypatch.setattr(pane_module, "predicting", pytest.fail)
    panel.helper.width = 520
    panel.pump.drain()
    answers(panel)
    assert "answers nothing" in pane.said.value


def test_a_run_that_was_stopped_says_after_which_step(panel) -> None:
    panel.recipe = SMALL.changed(epochs=100_000)
    panel.start()
    until(panel, lambda: bool(panel.runs) and panel.runs[0].step > 0)
    panel.stop()
    run = panel.wait()[0]
    run.step = run.history.epochs[-1].step + 1 if run.history.epochs else run.step
    assert f"Run 1: after step {run.step:,} " in unfold(panel).said.value


def test_with_two_domains_it_says_in_which(panel) -> None:
    train(panel, modify=[*SMALL.modify, "backgrounds"], epochs=1)
    assert "validation images of the target right" in unfold(panel).said.value


def test_a_last_run_without_weights_is_shown_only_where_there_is_no_other(panel) -> None:
    train(panel)
    panel.recipe = SMALL.changed(data={"name": "folder", "path": "nowhere"}, modify=[])
    panel.start()
    with pytest.raises(lab.store.RunError, match="no folder nowhere"):
        panel.wait()
    pane = unfold(panel)
    assert "Run 1:" in pane.said.value
    pane.which.value = 2
    assert "nowhere" in answers(panel).said.value


def test_where_all_is_right_there_are_no_mistakes_to_show() -> None:
    run = lab.train(SMALL, progress=False, device="cpu")
    found = predictions(run, device="cpu")
    logits = 9.0 * torch.nn.functional.one_hot(found.labels, len(found.classes)).float()
    answer = answered(Predictions(found.split, found.classes, logits, found.session), 1, run)
    assert ALL_RIGHT in answer.said
    assert list(answer.pictures(500)) == ["confusion", "classes", "reliability"]


def test_words_stand_above_the_picture_and_break_into_lines() -> None:
    card = Card()
    run = lab.train(SMALL, progress=False, device="cpu")
    picture = answered(predictions(run, device="cpu"), 1, run).pictures(500)["classes"]
    card.show(picture)
    assert "<b>Accuracy by class</b> bars: 95% intervals" in card.words.value
    assert "<br>" not in card.words.value
    assert not picture.layout.title.text


def test_the_pane_can_be_hidden(monkeypatch) -> None:
    monkeypatch.setattr(pane_module, "predicting", pytest.fail)
    monkeypatch.setattr(PredictionsPane, "unfolded", True)  # as a panel before has left it
    made = lab.Panel(folder=None, device="cpu", hide=["predictions"])
    assert made.predictions.widget not in list(walk(made.ui))
    train(made)
    assert made.predictions._asked is None
    made.close()
    with pytest.raises(RecipeError, match="Did you mean 'predictions'"):
        lab.Panel(folder=None, hide=["prediction"])


def walk(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)
