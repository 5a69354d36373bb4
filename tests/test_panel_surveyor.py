"""What the panel is told of landscapes: all of it, however the worker's slices fall, and what went wrong in words."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_panels import until
from small_runs import SMALL, small_model
from small_scenes import bowl, surface_of

from lab.landscape import Live
from lab.landscape.scenes import Scene
from lab.panel import landscape_view
from lab.panel.landscape_view import WITH_PLANES, WORN, LandscapeView
from lab.panel.surveyor import Surveyor, warm_up

QUICK = SMALL.changed(model=small_model("mlp"), optimizer="adam")


@pytest.fixture
def slow(panel, monkeypatch):
    """As on a busy machine: each piece of work takes a slice of its own, after which what is known is told."""
    monkeypatch.setattr("lab.panel.surveyor.NEWS_SECONDS", -1.0)
    monkeypatch.setattr("lab.panel.surveyor.SLICE_SECONDS", 1e-9)
    panel.landscapes.choices["size"].value = 9
    panel.landscapes.fold.value = True
    return panel


def kinds(panel) -> list[str]:
    figure = panel.landscapes.view.figure
    return [trace.type for trace in figure.data if trace.type in ("surface", "scatter")] if figure else []


def test_that_nothing_is_left_to_do_is_told_though_nothing_is_new(slow) -> None:
    slow.recipe = QUICK
    slow.start()
    until(slow, lambda: slow.landscapes.news.portraits and slow.landscapes.news.rests)
    assert "more points come" not in slow.landscapes.said.value


def test_from_a_line_back_to_surfaces_however_slowly_they_come(slow) -> None:
    for optimizer in ("adam", "sgd"):
        slow.recipe = QUICK.changed(optimizer=optimizer)
        slow.start()
    slow.wait()
    for plane, kind in (("path", "surface"), ("line", "scatter"), ("path", "surface")):
        slow.landscapes.choices["plane"].value = plane
        until(slow, lambda kind=kind: kinds(slow).count(kind) >= 2)
        until(slow, lambda: slow.landscapes.news.rests)
        assert slow.message.value == ""


def test_a_picture_that_breaks_off_is_drawn_anew(monkeypatch) -> None:
    view, (scene, other) = LandscapeView(lambda: None), (Scene(surface_of(bowl), (), name) for name in "ab")

    def show(*scenes) -> None:
        view.show(scenes, "planes", kind="solid", dark=False, width=None)

    show(scene)
    with monkeypatch.context() as broken:
        broken.setattr(landscape_view, "small_figure", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            show(scene, other)
    show(scene, other)
    assert [np.shape(trace.z) for trace in view.figure.data if trace.type == "surface"] == [(5, 5), (5, 5)]


def test_a_scale_that_changes_says_why() -> None:
    view, told = LandscapeView(lambda: None), []

    def steep(times):
        return [Scene(surface_of(lambda a, b: times * bowl(a, b)), (), "a")]

    for planes, times in (("one", 1), ("one", 1), ("one", 9), ("one", 9), ("other", 9), ("third", 1), ("third", 1)):
        view.show(steep(times), planes, kind="contour", dark=False, width=None)
        told.append(view.rescaled)
    assert told == ["", "", WORN, WORN, "", WITH_PLANES, WITH_PLANES]
    view.forget()
    view.show(steep(5), "first again", kind="contour", dark=False, width=None)
    assert view.rescaled == ""


def test_a_first_picture_is_told_at_once_and_later_ones_leave_the_browser_time(monkeypatch) -> None:
    now, told, hurried = [100.0], [], []

    def post(_, *, at_once=False) -> None:
        told.append(now[0])
        hurried.append(at_once)

    monkeypatch.setattr("lab.panel.surveyor.time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(Live, "held", 0)
    surveyor = Surveyor(post)
    live = surveyor._live = Live()
    for second in range(10):
        now[0], live.version = 100.0 + second / 2, second
        live._shown |= {second: None} if second in (1, 2) else {}  # of two runs, one after the other
        monkeypatch.setattr(live, "portraits", list)
        surveyor._tell(at_once=False)
    assert told == [100.0, 100.5, 101.0, 103.5]  # two surfaces take a second each
    assert hurried == [False, True, True, False]
    surveyor._tell(at_once=True)
    assert told[-1] == 104.5


def test_what_a_first_picture_needs_once_is_got_before_any_run_and_disturbs_none() -> None:
    warm_up.cache_clear()
    state = torch.random.get_rng_state()
    warm_up()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert warm_up.cache_info().currsize == 1


def test_unfolded_it_is_got_and_a_surface_is_made_in_a_browser_that_draws_in_3d(panel, monkeypatch) -> None:
    monkeypatch.setattr("lab.panel.surveyor.warm_up", lambda: warmed.append(1))
    warmed, landscapes = [], panel.landscapes
    landscapes.set_width(900)
    assert landscapes.view.figure is None
    landscapes.fold.value = True
    until(panel, lambda: warmed)
    assert kinds(panel) == ["surface"]
    assert landscapes.view.frame.layout.display == "none"
    assert "No landscape yet" in landscapes.said.value


@pytest.mark.parametrize("what", ["flat", "no width", "no webgl", "line"])
def test_no_surface_is_made_where_none_can_come(panel, what) -> None:
    landscapes = panel.landscapes
    landscapes.set_width(0 if what == "no width" else 900)
    landscapes.set_webgl(there=what != "no webgl")
    landscapes.solid.value = what != "flat"
    landscapes.choices["plane"].value = "line" if what == "line" else "path"
    landscapes.fold.value = True
    assert landscapes.view.figure is None


def test_what_goes_wrong_while_idle_is_said(slow, monkeypatch) -> None:
    def broken(self, seconds):
        raise RuntimeError("out of ideas")

    monkeypatch.setattr(Live, "idle", broken)
    slow.recipe = QUICK
    slow.start()
    until(slow, lambda: "No landscape was found" in slow.message.value)
    assert "out of ideas" in slow.message.value
