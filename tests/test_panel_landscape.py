"""The panel's loss landscapes, without a browser."""

from __future__ import annotations

import json
import threading
from html import escape
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_landscapes import mean_loss
from small_panels import until
from small_runs import SMALL, bits, small_model

import lab
from lab.landscape import Gauge, Live, Plane, Question, samples_of, trained
from lab.landscape.budgets import Cost
from lab.landscape.live import MOST_RUNS
from lab.landscape.live_runs import LEAST_MARKS, MARKS, LiveRun
from lab.landscape.scenes import Scale
from lab.landscape.timekeeping import ADVANCE
from lab.landscape.weights import flat
from lab.landscape_folder import EDGE, FILES
from lab.landscape_numbers import numbers_of
from lab.panel.curvature import gauge
from lab.panel.edges import WAITS
from lab.panel.landscape import cut
from lab.panel.landscape_controls import NO_REPLAY, TOO_MANY
from lab.panel.landscape_view import fits
from lab.panel.portraits import COMING, REPLAYS, cost_in_words, scenes_of
from lab.panel.replaying import PLAYED, Replay
from lab.panel.slices import Slices
from lab.panel.surveyor import Surveyor
from lab.panel.worker import Errand, _errands, do_errands
from lab.training import Training
from lab.views import Lens

QUICK = SMALL.changed(model=small_model("mlp"), optimizer="adam")


def unfold(panel, size=9, images=512) -> None:
    panel.landscapes.choices["size"].value = size
    panel.landscapes.choices["samples"].value = images
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


@pytest.mark.parametrize("heavy", [False, True])
def test_folded_it_computes_nothing(panel, monkeypatch, heavy) -> None:
    asked = []
    monkeypatch.setattr(Live, "step", lambda *_, **__: asked.append("a landscape"))
    if heavy:
        monkeypatch.setattr("lab.landscape.live_runs.LIGHT_WEIGHTS", 0)
    train(panel, QUICK)
    assert panel.message.value == ""
    assert len(panel.landscapes.surveyor._live.runs) == (not heavy)
    assert asked == []
    assert panel.landscapes.view.figure is None
    assert panel.landscapes.body.layout.display == "none"


def test_before_the_first_run_it_says_what_to_do(panel) -> None:
    unfold(panel)
    assert "No landscape yet: press <b>Train</b>" in panel.landscapes.said.value
    assert panel.landscapes.numbers.button.disabled
    assert panel.landscapes.saving.button.disabled


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
    assert panel.landscapes.words.value.count("Joint plane of the paths") == 2 * 2  # in brief, and in all words
    cost = panel.landscapes.news.cost
    assert cost_in_words(cost, going=False) in panel.landscapes.said.value
    live = panel.landscapes.surveyor._live
    kept = sum(offset.nbytes for run in live.runs.values() for offset in run.trail.offsets)
    known = sum(4 * 8 * 9 * 9 for each in panel.landscapes.news.portraits for _ in each.past)
    assert panel.landscapes.news.bytes == kept + known
    held = panel.landscapes.news.held
    assert held == live.held > 0
    said = (
        f"keeps {(kept + known) / 1e6:.1f} MB of snapshots and surfaces, and {held / 1e6:.1f} MB to measure more with"
    )
    assert said in panel.landscapes.said.value


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


def test_of_a_small_network_the_path_is_there_when_it_is_unfolded_and_after_it_was_folded(panel) -> None:
    train(panel, QUICK, QUICK.changed(optimizer="sgd"))
    for _ in range(2):
        unfold(panel)
        complete(panel, 2)
        assert {each.surface.origin.kind for each in panel.landscapes.news.portraits} == {"joint"}
        assert all(len(each.path.steps) > LEAST_MARKS for each in panel.landscapes.news.portraits)
        panel.landscapes.fold.value = False
        until(panel, lambda: not panel.landscapes.surveyor._live.seen)
    alone = lab.train(QUICK, device="cpu", progress=False)
    assert bits(panel.runs[0]) == bits(alone)
    panel.clear()
    until(panel, lambda: not panel.landscapes.surveyor._live.runs)


def test_a_large_run_that_ended_while_folded_is_seen_at_its_end(panel, monkeypatch) -> None:
    monkeypatch.setattr("lab.landscape.live_runs.LIGHT_WEIGHTS", 0)
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


def test_paths_and_surfaces_are_replayed_on_the_scale_of_the_last_one(panel) -> None:
    unfold(panel)
    train(panel, QUICK)
    complete(panel, 1)
    panel.landscapes.solid.value = False
    view, (portrait,) = panel.landscapes.view, panel.landscapes.news.portraits
    scale, last, whole = view.scale, view.figure.data[0].z.copy(), len(view.figure.data[-1].x)
    steps, replay = portrait.path.steps, panel.landscapes.replay
    assert (replay.slider.max, replay.step) == (portrait.step, None)
    assert f"step {portrait.step} of {portrait.step}" in replay.said.value
    replay.slider.value = int(steps[4]) - 1
    assert f"step {steps[4] - 1} of {portrait.step}" in replay.said.value
    assert len(view.figure.data[-1].x) == 4
    known = steps[3] in panel.landscapes.news.portraits[0].past
    assert (REPLAYS if known else COMING) in panel.landscapes.said.value
    until(panel, lambda: panel.landscapes.news.rests and COMING not in panel.landscapes.said.value)
    assert REPLAYS in panel.landscapes.said.value
    replay.slider.value = 0
    first = panel.landscapes.news.portraits[0].past[0]
    assert np.array_equal(view.figure.data[0].z, scale.heights(first.loss).T)
    assert not np.allclose(view.figure.data[0].z, last)
    assert view.scale == scale
    assert " step 0 · Plane of the path, " in panel.landscapes.words.value
    assert "9x9 points: " in panel.landscapes.words.value
    assert "5x5 exact ones, off by " in panel.landscapes.words.value
    replay.slider.value = replay.slider.max
    assert np.array_equal(view.figure.data[0].z, last)
    assert len(view.figure.data[-1].x) == whole
    assert f" step {portrait.step:,} · " in panel.landscapes.words.value
    assert "replayed" not in panel.landscapes.said.value


def test_a_replay_plays_from_the_first_step_to_the_last_and_stays_at_the_end_of_runs_that_go_on() -> None:
    moved: list[int | None] = []
    replay = Replay(lambda: moved.append(replay.step))
    replay.extend(10)
    replay.extend(400)
    assert (moved, replay.step, replay.player.value) == ([], None, PLAYED)
    for place in (0, 1, PLAYED):
        replay.player.value = place
    assert moved == [0, 10, None]
    replay.slider.value = 100
    assert replay.player.value == PLAYED // 4
    replay.extend(800)
    assert (replay.step, replay.player.value) == (100, PLAYED // 8)
    replay.extend(60)  # the longest run has left
    assert (replay.step, moved[3:]) == (None, [100, None])


def test_runs_of_different_lengths_are_replayed_to_the_same_step(panel) -> None:
    unfold(panel)
    train(panel, QUICK, QUICK.changed(epochs=6))
    complete(panel, 2)
    landscapes = panel.landscapes
    short, long = (each.path.steps for each in landscapes.news.portraits)
    assert long[-1] == 2 * short[-1]
    until(panel, lambda: landscapes.replay.slider.max == long[-1])
    for step in (int(short[3]), int(short[-1]) + 1):
        landscapes.replay.slider.value = step
        until(panel, lambda: landscapes.view.ready)
        landscapes.draw()
        shown = [trace.customdata[:, 0] for trace in traces(panel, "scatter3d")]
        for steps, marks in zip((short, long), shown, strict=True):
            assert marks.tolist() == [each for each in steps if each <= step]


def test_of_runs_that_came_together_none_is_forgotten_before_it_is_listed(panel, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(panel.landscapes.surveyor, "keep", lambda jobs, away: asked.append(len(jobs)))
    train(panel, QUICK, QUICK.changed(optimizer="sgd"))
    assert set(asked) == {2}


def test_a_run_that_is_listed_after_its_news_is_drawn_then(panel) -> None:
    landscapes = panel.landscapes
    unfold(panel)
    train(panel, QUICK)
    complete(panel, 1)
    landscapes.show({}, {})
    landscapes.hear(landscapes.news)
    assert landscapes.view.frame.layout.display == "none"
    landscapes.show({1: panel.jobs[0]}, panel.list.names)
    assert landscapes.view.frame.layout.display is None
    assert landscapes.replay.slider.max == panel.runs[0].step


def test_a_run_that_diverged_is_said_to_be_left_out_and_stretches_no_scale(panel, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    landscapes = panel.landscapes
    unfold(panel)
    train(panel, QUICK, QUICK.changed(optimizer={"name": "sgd", "lr": 1e20}, epochs=20))
    until(panel, lambda: landscapes.news.lost)
    complete(panel, 1)
    assert panel.runs[1].status == "diverged"
    assert "<b>2 sgd(lr=1e+20), epochs 20 diverged: not in the plane</b>" in landscapes.said.value
    assert len(traces(panel, "surface")) == len(traces(panel, "scatter3d")) == 1
    assert fits(landscapes.view.scale, Scale.of(scenes_of(landscapes.portraits, landscapes._names, None)))
    landscapes.saving.button.click()
    until(panel, lambda: "Saved as" in landscapes.saved.value)
    (folder,) = (tmp_path / "landscapes").iterdir()
    facts = json.loads((folder / "facts.json").read_text())
    (left,) = facts["left_out"]
    assert left["why"].endswith(" diverged: not in the plane.")
    assert [run["ended"] for run in facts["runs"]] != [left["ended"]] == ["diverged"]


def test_a_run_of_zeros_is_said_to_have_no_random_plane_and_the_other_has_its_surface(
    panel, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    landscapes, zeros = panel.landscapes, QUICK.changed(init="zeros")
    landscapes.choices["plane"].value = "random"
    unfold(panel)
    train(panel, zeros)
    until(panel, lambda: landscapes.news.unplaced and landscapes.news.rests)
    said = ": All weights that directions scaled by filter would move are zero, so no random direction"
    assert said in landscapes.said.value
    train(panel, QUICK)
    complete(panel, 1)
    assert "<b>1 " in landscapes.said.value
    assert said in landscapes.said.value
    assert "Traceback" not in panel.message.value
    landscapes.saving.button.click()
    until(panel, lambda: "Saved as" in landscapes.saved.value)
    (folder,) = (tmp_path / "landscapes").iterdir()
    (left,) = json.loads((folder / "facts.json").read_text())["left_out"]
    assert said in left["why"]
    landscapes.choices["normalisation"].value = "layer"
    complete(panel, 2)
    assert said not in landscapes.said.value


def test_a_run_that_is_deleted_and_brought_back_has_its_path(panel) -> None:
    unfold(panel)
    train(panel, QUICK, QUICK.changed(optimizer="sgd"))
    complete(panel, 2)
    before = panel.landscapes.news.portraits
    panel.list.delete()
    complete(panel, 1)
    panel.list.undo()
    complete(panel, 2)
    for one, other in zip(before, panel.landscapes.news.portraits, strict=True):
        assert other.path.steps.tolist() == one.path.steps.tolist()
        assert other.surface.origin.kind == "joint"
    panel.list.delete()
    panel.clear()  # now there is nothing to bring back
    until(panel, lambda: not (panel.landscapes.surveyor._live.runs or panel.landscapes.surveyor._live.away))


def test_all_that_says_how_far_to_trust_a_picture_is_folded_at_first(panel) -> None:
    landscapes = panel.landscapes
    assert "lab-brief" in landscapes.words._dom_classes
    landscapes.details.value = True
    assert "lab-brief" not in landscapes.words._dom_classes


def test_as_many_images_as_are_enough_are_taken_unless_a_number_is_chosen(panel) -> None:
    images = panel.landscapes.choices["samples"]
    assert images.label == "enough"
    assert (panel.landscapes.question.enough, panel.landscapes.question.lens) == (Question().enough, Question().lens)
    images.value = 128
    assert (panel.landscapes.question.enough, panel.landscapes.question.lens.samples) == (0, 128)


def test_a_turned_camera_turns_the_others(panel) -> None:
    unfold(panel)
    train(panel, QUICK, QUICK.changed(optimizer="sgd"))
    complete(panel, 2)
    layout = panel.landscapes.view.figure.layout
    layout.scene.camera.eye = {"x": 2.0, "y": 0.1, "z": 0.2}
    assert layout.scene2.camera.eye.to_plotly_json() == {"x": 2.0, "y": 0.1, "z": 0.2}
    panel.landscapes.set_theme(dark=True)
    assert layout.scene.camera.eye.to_plotly_json() == {"x": 2.0, "y": 0.1, "z": 0.2}


def test_cleared_runs_are_let_go_and_a_closed_panel_lets_all_go(panel) -> None:
    unfold(panel)
    train(panel, QUICK)
    complete(panel, 1)
    panel.clear()
    until(panel, lambda: panel.landscapes.surveyor._live.runs == {})
    until(panel, lambda: "No landscape yet" in panel.landscapes.said.value)
    panel.landscapes.close()
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
    in_advance = 1 + int(ADVANCE / 0.5)
    assert live.budget.spent <= 0.05 * live.budget.trained + 0.5 * (1 + in_advance)  # and that of the end
    assert len(told) > 2 + in_advance
    assert np.diff(told[in_advance:-1]).min() > 0.9 * 0.5 / 0.05


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
    _errands["idle test"] = Errand(done.set, due=0.0, idle=True)  # the thread, not woken, leaves the work to this one
    do_errands(at_work=True)
    assert not done.is_set()
    do_errands()
    assert done.is_set()


def test_a_scale_is_kept_while_it_fits() -> None:
    old = Scale(0.1, 10.0, log=True)
    assert fits(old, Scale(0.12, 9.0, log=True))
    assert not fits(old, Scale(0.01, 10.0, log=True))
    assert not fits(old, Scale(0.1, 10.0, log=False))


def measured(panel) -> list:
    """Press and wait: the columns of the table."""
    panel.landscapes.numbers.button.click()
    until(panel, lambda: panel.landscapes.numbers.measured.done)
    return list(panel.landscapes.numbers.measured.columns.values())


def test_numbers_are_those_of_the_command(panel) -> None:
    unfold(panel)
    train(panel, QUICK.changed(optimizer="sgd"))
    complete(panel, 1)
    (column,) = measured(panel)
    session = Training(panel.runs[0].recipe, device="cpu")
    session.model.load_state_dict(panel.runs[0].weights)
    images = samples_of(session, count=512)
    here = SimpleNamespace(model=session.model, samples=images, dtype=session.dtype)
    *found, edge = column.numbers
    assert [(each.name, each.text) for each in found] == [(each.name, each.text) for each in numbers_of(here, seed=0)]
    session.set_rate()
    reading = Gauge(session)()
    assert edge.value == pytest.approx(reading.share, rel=0.05)
    assert f"of {reading.bound:.3g} on {reading.samples} training images" in edge.where
    table = panel.landscapes.numbers.table.value
    assert all(each.text.replace(" ", "&nbsp;") in table for each in column.numbers)
    assert f"step {panel.runs[0].step}, all {images.total} validation images" in table


def test_numbers_are_measured_while_a_run_trains_and_change_no_bit(panel) -> None:
    unfold(panel)
    recipe = QUICK.changed(epochs=200)
    panel.recipe = recipe
    panel.start()
    until(panel, lambda: panel.runs and panel.runs[0].step > 3)
    (column,) = measured(panel)
    assert [each.name for each in column.numbers][-1] == "share of the edge"
    assert "adam does not step by one rate" in column.numbers[-1].why
    assert "adam does not step by one rate" in panel.landscapes.numbers.table.value
    panel.wait()
    assert bits(panel.runs[0]) == bits(lab.train(recipe, device="cpu", progress=False))


def test_measuring_can_be_ceased(panel) -> None:
    unfold(panel)
    train(panel, QUICK)
    complete(panel, 1)
    numbers = panel.landscapes.numbers
    numbers.slices.begin = lambda make: None  # nothing is found until it is ceased
    numbers.button.click()
    assert (numbers.button.description, numbers.measured.done) == ("Cease", False)
    assert "Measuring" in numbers.table.value
    numbers.button.click()
    assert (numbers.button.description, numbers.measured.done) == ("Measure", True)
    assert numbers.table.value == ""


def test_two_runs_have_the_height_between_them_too(panel) -> None:
    unfold(panel)
    train(panel, QUICK, QUICK.changed(optimizer="sgd"))
    complete(panel, 2)
    assert len(measured(panel)) == 2
    assert "Barrier: " in panel.landscapes.numbers.table.value


def test_the_gauge_is_full_at_the_edge_and_says_what_lies_beyond() -> None:
    assert "width:50.0%" in gauge(0.5)
    assert "data-beyond" not in gauge(0.5)
    assert "width:100.0%" in gauge(1.2)
    assert "data-beyond" in gauge(1.2)
    assert 'aria-label="120% of the edge of stability"' in gauge(1.2)


def test_the_sharpest_plane_is_that_of_each_runs_eigenvectors(panel) -> None:
    panel.landscapes.choices["plane"].value = "hessian"
    unfold(panel)
    train(panel, QUICK, QUICK.changed(optimizer="sgd"))
    complete(panel, 2)
    for portrait, run in zip(panel.landscapes.news.portraits, panel.runs, strict=True):
        assert portrait.surface.origin.kind == "hessian"
        assert f"at step {run.step}" in portrait.surface.origin.note
        assert portrait.joint == ()
    marks = traces(panel, "scatter3d")
    assert [len(trace.x) for trace in marks] == [1, 1]  # the ends


def test_a_line_leads_from_one_run_to_another(panel) -> None:
    landscapes = panel.landscapes
    landscapes.choices["plane"].value = "line"
    unfold(panel)
    train(panel, QUICK)
    until(panel, lambda: "there is one" in landscapes.said.value)
    train(panel, QUICK.changed(optimizer="sgd"))
    complete(panel, 2)
    session = Training(panel.runs[0].recipe, device="cpu")
    loss, _ = mean_loss(session, samples_of(session, count=512))
    start, end = (flat({name: run.weights[name] for name in trained(session.model)}).double() for run in panel.runs)
    curve = traces(panel, "scatter")[2]
    assert len(traces(panel, "scatter")) == 4  # one curve for both: their loss is one function of the weights
    assert curve.x.tolist() == pytest.approx(np.linspace(-0.25, 1.25, 9).tolist())
    assert curve.y.tolist() == pytest.approx([float(loss((1 - a) * start + a * end)) for a in curve.x], rel=1e-5)
    assert landscapes.view.figure.layout.xaxis.title.text == "from run 1 (0) to run 2 (1)"
    assert landscapes.solid.disabled
    assert landscapes.titles["lab-landscape-replay"] == "Has no effect: a line has no surface"
    landscapes.choices["plane"].value = "path"
    until(panel, lambda: len(traces(panel, "surface")) == 2)
    assert not landscapes.solid.disabled


def test_what_has_no_effect_is_greyed_with_the_reason(panel) -> None:
    landscapes = panel.landscapes
    unfold(panel)
    train(panel, QUICK)
    complete(panel, 1)
    assert landscapes.choices["normalisation"].disabled
    assert "no directions are random" in landscapes.titles["lab-landscape-normalisation"]
    assert landscapes.choices["batchnorm"].disabled
    assert "no directions are random" in panel.helper.titles["lab-landscape-normalisation"]
    assert not landscapes.seed.disabled
    landscapes.choices["samples"].value = None
    assert landscapes.seed.disabled
    landscapes.choices["plane"].value = "random"
    assert not landscapes.seed.disabled
    assert not landscapes.choices["normalisation"].disabled


def test_another_seed_and_scale_give_other_directions(panel) -> None:
    landscapes = panel.landscapes
    landscapes.choices["plane"].value = "random"
    unfold(panel)
    train(panel, QUICK)
    found = []
    for seed, scaled in ((0, "filter"), (0, "layer"), (3, "layer")):
        landscapes.seed.value, landscapes.choices["normalisation"].value = seed, scaled
        complete(panel, 1)
        until(panel, lambda seed=seed, scaled=scaled: drawn_by(panel) == (seed, scaled))
        complete(panel, 1)
        found.append(surfaces(panel)[0].loss[0, 0])
    assert len(set(found)) == 3
    assert "seed 3, normalisation layer" in landscapes.words.value


def drawn_by(panel) -> tuple:
    origin = surfaces(panel)[0].origin if surfaces(panel) else None
    return (origin.seed, origin.normalisation) if origin else ()


def test_filters_and_answers_are_replayed(panel) -> None:
    landscapes = panel.landscapes
    unfold(panel)
    train(panel, QUICK)
    complete(panel, 1)
    assert landscapes.glimpses.pane.value == ""
    landscapes.glimpses.toggle.value = True
    until(panel, lambda: landscapes.glimpses.album.runs)
    (seen,) = landscapes.glimpses.album.runs.values()
    path = landscapes.news.portraits[0].path
    told = [f"step {step:,}: loss {loss:.4g}" for step, loss in zip(path.steps, path.true, strict=True)]
    assert seen.told["marks"] == told
    assert told[-1] in landscapes.glimpses.pane.value
    landscapes.replay.slider.value = int(path.steps[2])
    assert told[2] in landscapes.glimpses.pane.value
    landscapes.replay.slider.value = 0
    assert told[0] in landscapes.glimpses.pane.value
    assert landscapes.glimpses.pane.value.count("<figure>") == 10
    assert "weights of the first layer" in landscapes.glimpses.pane.value
    landscapes.choices["split"].value = "training"
    until(panel, lambda: marks(panel)[-1] not in (told[-1], None))
    complete(panel, 1)
    path = landscapes.news.portraits[0].path
    until(panel, lambda: marks(panel)[-1] == f"step {path.steps[-1]:,}: loss {path.true[-1]:.4g}")
    landscapes.replay.slider.value = 3
    assert landscapes.surveyor.question.replay
    panel.clear()
    until(panel, lambda: (landscapes.replay.step, landscapes.glimpses.step) == (None, None))
    assert not landscapes.portraits
    assert not landscapes.surveyor.question.replay


def marks(panel) -> list:
    """What the pane of filters says of the one run's snapshots."""
    (seen,) = panel.landscapes.glimpses.album.runs.values() or [None]
    return seen.told["marks"] if seen else [None]


def test_what_is_shown_can_be_saved(panel, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    unfold(panel)
    assert panel.landscapes.saving.button.disabled
    train(panel, QUICK, QUICK.changed(optimizer="sgd"))
    complete(panel, 2)
    measured(panel)
    panel.landscapes.saving.button.click()
    until(panel, lambda: "Saved as" in panel.landscapes.saved.value)
    (folder,) = (tmp_path / "landscapes").iterdir()
    assert f"landscapes/{folder.name}/index.html" in panel.landscapes.saved.value
    planes = ["plane.0.safetensors", "plane.1.safetensors"]
    assert {each.name for each in folder.iterdir()} == {*FILES, *planes} - {EDGE}
    assert "plane: plane.0.safetensors, plane.1.safetensors." in panel.landscapes.saved.value
    for name, run, portrait in zip(planes, panel.runs, panel.landscapes.news.portraits, strict=True):
        kept, place = Plane.load(folder / name), portrait.path.coordinates[-1]
        assert all(torch.allclose(weight, run.weights[name], atol=1e-5) for name, weight in kept.point(*place).items())
    facts = json.loads((folder / "facts.json").read_text())
    assert [run["recipe"] for run in facts["runs"]] == [run.recipe.to_yaml() for run in panel.runs]
    assert all(len(run["numbers"]) == 6 for run in facts["runs"])
    for run, column in zip(facts["runs"], panel.landscapes.numbers.measured.columns.values(), strict=True):
        assert {number["at"] for number in run["numbers"]} == {column.where}
        assert column.where.startswith(f"step {column.step:,}, ")
    assert f'"at": "step {panel.runs[0].step:,}, ' in (folder / "index.html").read_text()
    with np.load(folder / "surface.npz", allow_pickle=False) as kept:
        assert np.array_equal(kept["1.loss"], surfaces(panel)[1].loss)
        for number, portrait in enumerate(panel.landscapes.news.portraits):
            steps = portrait.path.steps[:-1].tolist()  # the slider was not touched: they were measured to be kept
            assert [kept[f"{number}.past.{step}.loss"].shape for step in steps] == [(9, 9)] * len(steps)


def test_snapshots_that_a_run_forgets_while_another_is_looked_at_are_gathered_all_the_same() -> None:
    surveyor = Surveyor(lambda *_, **__: None)
    live = surveyor._live = Live(Question(size=9, lens=Lens(samples=40)))
    sessions = [Training(QUICK.changed(seed=seed), device="cpu") for seed in (1, 2)]
    for number, session in enumerate(sessions):
        live.runs[number] = LiveRun(session)
        move(live.runs[number], session, 5)
    closer = surveyor.closer({0: "one", 1: "other"})
    assert closer.followed.keys() == {0, 1}
    work = closer.gather()
    next(work)
    move(live.runs[1], sessions[1], MARKS)
    assert 1 not in live.runs[1].buffers
    list(work)
    assert [[each.step for each in run.glimpses] for run in closer.followed.values()] == [list(range(6))] * 2


def move(run, session, steps) -> None:
    """A snapshot of each of so many steps."""
    for _ in range(steps):
        session.step += 1
        run.look(session)


def test_what_following_takes_is_seconds_until_the_first_picture_is_paid_off() -> None:
    assert cost_in_words(Cost(0.0, 0.0, 0.05), going=True) == ""
    soon, later = Cost(0.08, 0.9, 0.05), Cost(0.08, 1.6, 0.05)
    assert cost_in_words(soon, going=True).startswith("took 0.08 s beside 0.9 s of training: the first picture")
    assert "too short to pay the first picture back" in cost_in_words(soon, going=False)
    assert cost_in_words(later, going=True) == "took 5% of the time of training, at most 5%"


def test_of_more_runs_than_are_followed_it_says_so(panel) -> None:
    unfold(panel)
    train(panel, *(QUICK.changed(seed=seed) for seed in range(MOST_RUNS + 1)))
    complete(panel, MOST_RUNS)
    assert (
        f"of {MOST_RUNS + 1} runs {MOST_RUNS} are followed: those that train, then the last"
        in panel.landscapes.said.value
    )
    assert panel.landscapes.solid.value
    assert len(traces(panel, "contour")) == MOST_RUNS  # so many are not drawn in 3-D
    assert panel.landscapes.solid.disabled
    assert panel.landscapes.titles["lab-landscape-solid"] == TOO_MANY
    assert {each.number for each in panel.landscapes.news.portraits} == {job.number for job in panel.jobs[1:]}


def test_titles_of_narrow_pictures_are_cut() -> None:
    assert cut("1 relu, sgd", 11) == "1 relu, sgd"
    assert cut("1 relu, sgd", 9) == "1 relu,…"


def test_slices_give_way_and_end_where_they_are_cancelled() -> None:
    done, broke = [], []
    slices = Slices("slices test", broke.append)

    def work():
        for count in range(100):
            done.append(count)
            if count == 2:
                slices.cancel()
            yield

    list(iter([slices._start(0, work, False)]))
    assert done == [0, 1, 2]

    def broken():
        yield
        raise ValueError("no more")

    slices._start(slices._number, broken, False)
    assert [str(error) for error in broke] == ["no more"]


def edges_of(panel) -> dict:
    return {number: path.readings for number, path in panel.landscapes.news.edges.items()}


def test_the_edge_of_a_run_that_ended_while_it_was_folded_is_that_of_its_last_rate(panel) -> None:
    train(panel, QUICK.changed(optimizer="sgd", schedule="linear"))
    panel.landscapes.edges.toggle.value = True
    unfold(panel)
    until(panel, lambda: edges_of(panel))
    ((*_, last),) = edges_of(panel).values()
    assert last.bound == pytest.approx(2 / panel.runs[0].history.lr[-1])


def test_the_edge_of_stability_grows_while_a_run_trains_and_changes_no_bit(panel) -> None:
    edges = panel.landscapes.edges
    unfold(panel)
    assert edges.pane.layout.display == "none"
    panel.landscapes.share.value = 25
    edges.toggle.value = True
    assert edges.words.value.count(WAITS) == 1
    recipe = QUICK.changed(optimizer="sgd", epochs=100_000)
    panel.recipe = recipe
    panel.start()
    until(panel, lambda: edges.figure is not None)
    first = len(edges.figure.data[2].x)
    until(panel, lambda: len(edges.figure.data[2].x) > first)
    assert not panel.jobs[0].done.is_set()
    panel.stop()
    panel.wait()
    complete(panel, 1)
    (readings,) = edges_of(panel).values()
    bound, _, curve = edges.figure.data
    assert curve.x.tolist() == [each.step for each in readings]
    assert curve.y.tolist() == pytest.approx([each.sharpness for each in readings])
    assert bound.y.tolist() == pytest.approx([2 / recipe.optimizer.lr] * len(readings))
    assert escape(readings[-1].words) in edges.words.value
    train(panel, QUICK)
    assert bits(panel.runs[1]) == bits(lab.train(QUICK, device="cpu", progress=False))


def test_the_edge_is_saved_and_switched_off_again_without_another_picture(panel, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    landscapes = panel.landscapes
    unfold(panel)
    train(panel, QUICK)
    complete(panel, 1)
    before, drawn = surfaces(panel)[0].loss, landscapes.view.figure
    landscapes.edges.toggle.value = True
    until(panel, lambda: edges_of(panel) and landscapes.news.rests)
    assert surfaces(panel)[0].loss is before
    assert landscapes.view.figure is drawn
    assert "adam does not step by one rate along the gradient" in landscapes.edges.words.value
    landscapes.saving.button.click()
    until(panel, lambda: "Saved as" in landscapes.saved.value)
    (folder,) = (tmp_path / "landscapes").iterdir()
    (readings,) = edges_of(panel).values()
    with np.load(folder / "surface.npz", allow_pickle=False) as kept:
        assert kept["edge.0.sharpness"].tolist() == [each.sharpness for each in readings]
    assert (folder / EDGE).exists()
    landscapes.edges.toggle.value = False
    assert landscapes.edges.pane.layout.display == "none"


def test_three_runs_that_are_one_function_are_one_picture_of_the_plane_through_their_ends(
    panel, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    landscapes = panel.landscapes
    landscapes.choices["plane"].value = "points"
    unfold(panel)
    train(panel, QUICK, QUICK.changed(seed=1))
    until(panel, lambda: "Three points are the ends of three runs" in landscapes.said.value)
    train(panel, QUICK.changed(seed=2))
    complete(panel, 3)
    until(panel, lambda: len(traces(panel, "scatter3d")) == 3)
    assert len(traces(panel, "surface")) == 1
    marks = traces(panel, "scatter3d")
    assert [len(each.x) for each in marks] == [1, 1, 1]
    assert len({each.line.color for each in marks}) == 3
    assert landscapes.replay.slider.disabled
    assert landscapes.replay.player.disabled
    assert landscapes.titles["lab-landscape-replay"] == NO_REPLAY
    landscapes.saving.button.click()
    until(panel, lambda: "Saved as" in landscapes.saved.value)
    (folder,) = (tmp_path / "landscapes").iterdir()
    (scene,) = json.loads((folder / "facts.json").read_text())["scenes"]
    assert [path["run"] for path in scene["paths"]] == [each.name for each in marks]


def test_mixed_precision_is_a_choice_and_says_what_it_is_off_by(panel) -> None:
    landscapes = panel.landscapes
    assert landscapes.choices["precision"].value == "float32"
    landscapes.choices["precision"].value = "bfloat16"
    unfold(panel)
    train(panel, QUICK)
    complete(panel, 1)
    assert "bfloat16, off by " in landscapes.words.value
    assert "points measured in float32" in landscapes.words.value
