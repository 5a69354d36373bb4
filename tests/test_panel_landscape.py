"""The panel's loss landscapes, without a browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from small_runs import SMALL, bits, small_model

import lab
from lab.landscape import Live, Question
from lab.landscape.scenes import Scale
from lab.panel.landscape import Landscapes
from lab.panel.landscape_view import fits
from lab.panel.surveyor import Surveyor
from lab.panel.worker import _errands, do_errands, errand
from lab.training import Training
from lab.views import Lens

LONG = 60  # seconds after which something hangs
QUICK = SMALL.changed(model=small_model("mlp"), optimizer="adam")


@pytest.fixture
def panel() -> Iterator[lab.Panel]:
    made = lab.Panel(folder=None, device="cpu")
    yield made
    made.close()
    Landscapes.unfolded = False


def until(panel, holds) -> None:
    """Let the pump run until something holds."""
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end
        panel.pump.drain()
        time.sleep(0.02)


def unfold(panel, size=9) -> None:
    panel.landscapes.choices["size"].value = size
    panel.landscapes.fold.value = True
    panel.pump.drain()


def train(panel, *recipes) -> None:
    for recipe in recipes:
        panel.recipe = recipe
        panel.start()
    panel.wait()


def surfaces(panel) -> list:
    return [each.surface for each in panel.landscapes.news.portraits if each.surface is not None]


def complete(panel, count, size=9) -> None:
    """Wait until so many surfaces are there and no work is left."""

    def there() -> bool:
        found = surfaces(panel)
        return len(found) == count and panel.landscapes.news.rests and all(s.grid.size == size for s in found)

    until(panel, there)


def traces(panel, kind) -> list:
    return [trace for trace in panel.landscapes.view.figure.data if trace.type == kind]


def test_folded_it_costs_nothing(panel, monkeypatch) -> None:
    monkeypatch.setattr(Live, "__init__", lambda self, *_: pytest.fail("nobody asked for a landscape"))
    train(panel, QUICK)
    assert panel.message.value == ""
    assert panel.landscapes.view.figure is None
    assert panel.landscapes.body.layout.display == "none"


def test_before_the_first_run_it_says_what_to_do(panel) -> None:
    unfold(panel)
    assert "No landscape yet: press <b>Train</b>" in panel.landscapes.said.value


def test_two_runs_stand_side_by_side_on_one_plane_and_scale(panel) -> None:
    unfold(panel)
    train(panel, QUICK, QUICK.changed(optimizer="sgd"))
    complete(panel, 2)
    one, two = surfaces(panel)
    assert one.grid == two.grid
    assert one.origin.kind == two.origin.kind == "joint"
    shown = traces(panel, "surface")
    assert [trace.scene for trace in shown] == ["scene", "scene2"]
    assert {trace.coloraxis for trace in shown} == {"coloraxis"}
    layout = panel.landscapes.view.figure.layout
    assert layout.scene.zaxis.range == layout.scene2.zaxis.range
    assert panel.landscapes.words.value.count("Joint plane of the paths") == 2
    assert "of the time of training" in panel.landscapes.said.value


def test_two_runs_are_seen_on_one_plane_while_both_train(panel) -> None:
    unfold(panel)
    panel.landscapes.share.value = 25
    for optimizer in ("adam", "sgd"):
        panel.recipe = QUICK.changed(optimizer=optimizer, epochs=50_000)
        panel.start()
    until(panel, lambda: len(surfaces(panel)) == 2 and all(each.joint for each in panel.landscapes.news.portraits))
    assert [run.status for run in panel.runs] == ["running", "running"]
    assert all(each.moving for each in panel.landscapes.news.portraits)
    panel.stop()
    panel.wait()


def test_following_changes_no_bit_of_a_run(panel) -> None:
    unfold(panel)
    train(panel, QUICK)
    alone = lab.train(QUICK, device="cpu", progress=False)
    (run,) = panel.runs
    assert bits(run) == bits(alone)
    assert run.history.loss == alone.history.loss


def test_a_run_that_ended_while_folded_is_seen_at_its_end(panel) -> None:
    train(panel, QUICK)
    unfold(panel)
    complete(panel, 1)
    (portrait,) = panel.landscapes.news.portraits
    assert portrait.surface.origin.kind == "random"
    assert portrait.path.steps.tolist() == [panel.runs[0].step]
    assert portrait.path.true[0] == pytest.approx(panel.runs[0].history.epochs[-1].validation_loss, rel=1e-5)


def test_another_question_is_answered_anew(panel) -> None:
    unfold(panel)
    train(panel, QUICK)
    complete(panel, 1)
    choices = panel.landscapes.choices
    choices["plane"].value, choices["split"].value, choices["samples"].value = "random", "training", 128
    choices["size"].value = 17
    complete(panel, 1, size=17)
    (found,) = surfaces(panel)
    assert (found.origin.kind, found.measured.split) == ("random", "training")
    assert f"{found.measured.total} training images" in panel.landscapes.words.value
    assert panel.landscapes.view._camera is None  # another plane is seen from its own best corner


def test_contours_in_place_of_surfaces_and_where_there_is_no_webgl(panel) -> None:
    unfold(panel)
    train(panel, QUICK)
    complete(panel, 1)
    assert len(traces(panel, "surface")) == 1
    panel.landscapes.solid.value = False
    assert len(traces(panel, "contour")) == 1
    panel.landscapes.solid.value = True
    panel.helper.webgl = False
    until(panel, lambda: traces(panel, "contour"))
    assert panel.landscapes.solid.disabled
    assert "no WebGL" in panel.landscapes.said.value


def test_the_path_is_replayed(panel) -> None:
    unfold(panel)
    train(panel, QUICK)
    complete(panel, 1)
    panel.landscapes.solid.value = False
    line = panel.landscapes.view.figure.data[-1]
    whole = len(line.x)
    panel.landscapes.replay.value = 50
    assert len(panel.landscapes.view.figure.data[-1].x) == -(-whole // 2)
    panel.landscapes.replay.value = 100
    assert len(panel.landscapes.view.figure.data[-1].x) == whole


def test_a_turned_camera_turns_the_others(panel) -> None:
    unfold(panel)
    train(panel, QUICK, QUICK.changed(optimizer="sgd"))
    complete(panel, 2)
    layout = panel.landscapes.view.figure.layout
    layout.scene.camera.eye = {"x": 2.0, "y": 0.1, "z": 0.2}
    assert layout.scene2.camera.eye.to_plotly_json() == {"x": 2.0, "y": 0.1, "z": 0.2}
    panel.landscapes.set_theme(dark=True)
    assert layout.scene.camera.eye.to_plotly_json() == {"x": 2.0, "y": 0.1, "z": 0.2}


def test_cleared_runs_are_let_go_and_a_fold_lets_all_go(panel) -> None:
    unfold(panel)
    train(panel, QUICK)
    complete(panel, 1)
    panel.clear()
    until(panel, lambda: panel.landscapes.surveyor._live.runs == {})
    until(panel, lambda: "No landscape yet" in panel.landscapes.said.value)
    panel.landscapes.fold.value = False
    until(panel, lambda: panel.landscapes.surveyor._live is None)


def test_telling_is_paid_and_put_off_while_in_debt(monkeypatch) -> None:
    monkeypatch.setattr("lab.panel.surveyor.NEWS_SECONDS", -1.0)
    monkeypatch.setattr(Surveyor, "_work_on", lambda self: None)
    told, now = [], [0.0]

    def slow(self) -> list:
        now[0] += 0.5
        told.append(self.budget.trained)
        return []

    monkeypatch.setattr(Live, "portraits", slow)
    surveyor = Surveyor(lambda *_, **__: None)
    surveyor.on.set()
    live = surveyor._live = Live(Question(size=9, lens=Lens(samples=40)), share=0.05, clock=lambda: now[0])
    job = SimpleNamespace(number=1, session=Training(QUICK.changed(epochs=60), device="cpu"))
    for count, event in enumerate(job.session):
        job.session.seconds = 0.2 * count
        live.version += 1
        surveyor.follow(job, event)
    assert live.budget.spent == pytest.approx(0.5 * len(told))
    assert live.budget.spent <= 0.05 * live.budget.trained + 2 * 0.5  # one ahead of its pay, and that of the end
    assert len(told) > 3
    assert np.diff(told[:-1]).min() > 0.9 * 0.5 / 0.05


def test_what_goes_wrong_in_following_ends_no_run(panel, monkeypatch) -> None:
    def broken(self, *_):
        raise RuntimeError("out of ideas")

    monkeypatch.setattr(Live, "hear", broken)
    unfold(panel)
    train(panel, QUICK)
    assert panel.runs[0].status == "finished"
    assert "This run cannot be followed" in panel.message.value
    assert "out of ideas" in panel.message.value


def test_errands_for_idle_times_wait_while_something_is_at_work() -> None:
    done = threading.Event()
    errand("idle test", done.set, after=1e6, idle=True)  # beyond the thread's reach: this one does the work
    _errands["idle test"] = _errands["idle test"]._replace(due=0.0)
    do_errands(at_work=True)
    assert not done.is_set()
    do_errands()
    assert done.is_set()


def test_a_scale_is_kept_while_it_fits() -> None:
    old = Scale(0.1, 10.0, log=True)
    assert fits(old, Scale(0.12, 9.0, log=True))
    assert not fits(old, Scale(0.01, 10.0, log=True))
    assert not fits(old, Scale(0.1, 10.0, log=False))
