"""Surfaces through earlier snapshots: measured as they say, kept small, and on the page of `lab landscape`."""

import base64
from dataclasses import replace

import numpy as np
import pytest
from small_runs import SMALL, TINY_CNN
from small_scenes import bowl, path_of, scene_of, surface_of
from test_landscape_folder import arrays, shown

from lab.followed import follow
from lab.landscape import Evaluator, surface
from lab.landscape.grids import Spline, SplineError
from lab.landscape.replays import path_on, read_off, spaced
from lab.landscape.scenes import mark_words
from lab.landscape_folder import save
from lab.landscape_replays import BYTES, replay_of, replay_words, said, thinned
from lab.landscape_scenes import scenes_of
from lab.recipe import RecipeError
from lab.views import Lens, View

pytestmark = pytest.mark.usefixtures("one_thread")
LENS = Lens(samples=40)
NORMED = SMALL.changed(model={**TINY_CNN, "norm": "batch"}, optimizer="adam")


@pytest.fixture(scope="module")
def run(one_thread):
    return follow(NORMED, LENS, name="adam", progress=False, device="cpu")


@pytest.fixture(scope="module")
def other(one_thread):
    return follow(NORMED.changed(optimizer="sgd"), LENS, name="sgd", progress=False, device="cpu")


def drawn(runs, **which):
    done = []
    scenes = scenes_of(runs, View(size=9, lens=LENS, **which), lambda *counts: done.append(counts))
    assert done[-1][0] == done[-1][1]
    return scenes


@pytest.mark.parametrize("plane", ["path", "points", "random", "hessian"])
def test_an_earlier_surface_is_that_of_its_snapshot_with_its_own_statistics(run, plane):
    (scene,) = drawn([run], replay=3, plane=plane)
    assert len(scene.past) == 3
    assert min(scene.past) == 0
    assert scene.step == run.trail.steps[-1] not in scene.past
    for step, found in scene.past.items():
        weights = run.trail.weights(run.trail.steps.index(step))
        there = Evaluator(run.network_at(step), scene.plane.carried_to(weights), run.samples)
        exact = surface(there, found.grid)
        assert found.loss[::2, ::2] == pytest.approx(exact.loss[::2, ::2], rel=1e-5)
        assert found.spline.knots == 5
        assert np.median(np.abs(found.loss / exact.loss - 1)) <= found.spline.error.largest
        glimpse = next(each for each in run.glimpses if each.step == step)
        assert there.values(np.array([scene.plane.project(weights).coordinates])).loss == pytest.approx(
            glimpse.loss, rel=1e-4
        )
    first, last = (run.network_at(step).state_dict() for step in (0, scene.step))
    assert any(not np.array_equal(first[name], last[name]) for name in first)


def test_nothing_is_replayed_where_nobody_asks_or_several_runs_share_a_surface(run, other):
    assert drawn([run], replay=0)[0].past == {}
    two = [replace_statistics(each) for each in (run, other)]
    (shared,) = drawn(two)
    assert (shared.past, len(shared.paths)) == ({}, 2)
    assert "the surface is the loss on one plane, the same for these runs at every step" in replay_words(shared)
    apart = drawn([run, other], replay=2)
    assert [min(scene.past) for scene in apart] == [0, 0]
    assert all(seen.spline.there is None for scene in apart for seen in scene.past.values())
    assert "surface on the plane itself: 9x9 points, all exact." in said(apart[0], 10, apart[0].surface)


def test_on_a_plane_of_its_own_a_run_is_replayed_and_its_mark_stays(run, tmp_path):
    (scene,) = drawn([run], replay=3, plane="random")
    save(tmp_path / "page", "page", [scene], [run])
    page = shown(tmp_path / "page")
    (past,) = page["past"]
    surfaces, (path,) = {**scene.past, scene.step: scene.surface}, scene.paths
    assert (past["steps"], past["at"]) == (list(surfaces), [0, 1, 2, 3])
    read = [read_off(found, path.coordinates)[0] for found in scene.past.values()]
    assert [losses[0] for losses in past["on_plane"]] == pytest.approx([*read, path.on_plane[0]], rel=1e-4)
    assert page["pictures"][0]["details"].endswith("held out; the mark stays where the run has ended.")


def replace_statistics(run):
    """The same run of a network that keeps none."""
    recipe = run.recipe.changed(model=TINY_CNN)
    return follow(recipe, LENS, name=run.name, progress=False, device="cpu")


def test_a_page_replays_surfaces_and_says_what_they_are(run, tmp_path):
    (scene,) = drawn([run], replay=3)
    save(tmp_path / "page", "page", [scene], [run])
    page, kept = shown(tmp_path / "page"), arrays(tmp_path / "page")
    (past,) = page["past"]
    seen = {**scene.past, scene.step: scene.surface}
    for packed, (step, found) in zip(past["surfaces"], seen.items(), strict=True):
        values = np.frombuffer(base64.b64decode(packed["values"]), "<f4").reshape(3, 9, 9)
        assert np.array_equal(values[0], found.loss.T.astype(np.float32))
        assert np.array_equal(values[1], found.accuracy.T.astype(np.float32))
        assert packed["said"].startswith(f"surface through step {step:,}: 9x9 points")
    for step, found in scene.past.items():
        assert np.array_equal(kept[f"0.past.{step}.loss"], found.loss.astype(np.float32))
    assert (
        "the surface at step" in past["surfaces"][0]["said"]
        or "spline of 5x5 exact ones" in past["surfaces"][0]["said"]
    )
    assert [len(losses) for losses in past["on_plane"]] == list(range(1, len(run.glimpses) + 1))
    assert past["at"] == sorted(past["at"])
    assert past["at"][-1] == 3
    assert past["on_plane"][0][0] == pytest.approx(run.glimpses[0].loss, rel=1e-4)  # its own snapshot
    assert past["on_plane"][-1] == pytest.approx(scene.paths[0].on_plane.tolist(), rel=1e-4)
    assert (
        "Replayed on the parallel plane through each of 3 earlier snapshots: splines off by "
        in page["pictures"][0]["details"]
    )
    for figure in page["figures"]:
        assert [each["scene"] for each in figure["surfaces"]] == [0]
        assert figure["data"][figure["surfaces"][0]["trace"]]["type"] in ("surface", "contour")


def test_a_page_without_earlier_surfaces_says_that_the_last_one_stays(run, tmp_path):
    scenes = drawn([run], replay=0)
    save(tmp_path / "page", "page", scenes, [run])
    page = shown(tmp_path / "page")
    assert page["past"] == [None]
    assert page["pictures"][0]["details"].endswith("A replay leaves this surface as it is, that of the last snapshot.")


def test_a_page_stays_small(monkeypatch):
    scene = scene_of(size=9)
    past = dict.fromkeys(range(0, 40, 2), scene.surface)
    scenes = [replace(scene, past=past)] * 2
    monkeypatch.setattr("lab.landscape_replays.MOST_BYTES", 2 * 4 * BYTES * 81)
    few = thinned(scenes)
    assert [list(each.past) for each in few] == [[0, 12, 26, 38]] * 2
    whole = sum(len(surface["values"]) for each in few for surface in replay_of(each)["surfaces"][:-1])
    assert whole <= 2 * 4 * BYTES * 81 * 1.01
    assert thinned([scene_of()])[0].past == {}


def test_at_a_mark_without_a_surface_that_of_the_last_before_it_is_shown():
    scene, path = scene_of(), path_of()  # marks at 0, 10 ... 40
    past = {20: surface_of(lambda a, b: 7 + a + b)}
    found = replay_of(replace(scene, past=past))
    assert found["at"] == [0, 0, 0, 0, 1]
    assert found["on_plane"][2][2] == pytest.approx(path.true[2], rel=1e-4)  # its own; the others are read off
    assert found["on_plane"][3][:2] == pytest.approx(read_off(past[20], path.coordinates)[:2].tolist(), rel=1e-4)
    assert found["on_plane"][4] == pytest.approx(path.on_plane.tolist(), rel=1e-4)


def test_words_tell_splines_and_points_that_stand_alone():
    known = Spline(5, SplineError(0.01, 0.02, 0.03, 8), 5)
    worse = Spline(5, SplineError(0.03, 0.04, 0.5, 8), 5)
    surfaces = [replace(surface_of(bowl), spline=each) for each in (known, worse, None)]
    words = replay_words(replace(scene_of(), past=dict(enumerate(surfaces))))
    assert "each of 3 earlier snapshots: splines off by 2% in the middle and up to 50% at points held out" in words
    assert words.endswith("; of 1 exact points alone.")


def test_a_path_read_off_has_the_true_loss_at_its_own_snapshot_alone():
    path = path_of(off=(1, 2))
    found = path_on(surface_of(bowl), path, 10)
    assert found.read_off
    assert found.on_plane[1] == path.true[1]
    assert found.on_plane[2] == read_off(surface_of(bowl), path.coordinates)[2] != path.true[2]
    assert len(found.gaps) == 4  # of its own nothing was found
    assert "step 10: loss" in (words := mark_words(found.first(2)))
    assert words.endswith(", where the plane passes through it")
    assert "step 20: loss" in (words := mark_words(found.first(3)))
    assert ", read off the surface " in words
    nowhere = path_on(surface_of(bowl), replace(path, true=np.full(5, np.nan)), 10)
    assert nowhere.own is None
    assert np.isfinite(nowhere.on_plane).all()


def test_places_are_even_and_the_first_is_among_them():
    assert spaced(3, 20) == [0, 1, 2]
    assert spaced(5, 1) == [0]
    assert spaced(0, 5) == spaced(5, 0) == []


def test_a_number_below_0_replays_nothing():
    with pytest.raises(RecipeError, match="replay is -1, but must be a number of snapshots: 0 replays no surface"):
        View(replay=-1)
