"""Figures that wait for the browser: what is late is drawn in the end, and what is replaced is closed in time."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import plotly.graph_objects as go
import pytest
from small_scenes import bowl, cliff, scene_of, surface_of

from lab.events import History
from lab.landscape.scenes import Scene
from lab.landscape.stability import EdgePath, Reading
from lab.panel import live_figure
from lab.panel.about import redraw
from lab.panel.curves import Curves
from lab.panel.edges import EdgeView
from lab.panel.landscape_view import LandscapeView
from lab.panel.live_figure import PATIENCE, LiveFigure, changes
from lab.recipe import Recipe


@pytest.fixture
def now(monkeypatch) -> list[float]:
    seconds = [100.0]
    monkeypatch.setattr(live_figure, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    return seconds


def browser_draws(figure, took=0.1) -> None:
    figure.set_state({"_took": took, "_drawn": figure._sent})


def entry(losses) -> SimpleNamespace:
    return SimpleNamespace(
        number=1,
        run=SimpleNamespace(history=History(loss=losses), recipe=Recipe(), status="running"),
        steps_per_epoch=1,
    )


def test_without_a_browser_there_is_none_to_wait_for(now) -> None:
    figure = LiveFigure()
    with figure.change():
        figure.update_layout(title="changed")
    assert figure.ready


def test_a_change_is_waited_for_until_it_is_drawn_or_the_browser_has_gone(now) -> None:
    figure, told = LiveFigure(), []
    figure.when_drawn(lambda: told.append(figure.ready))
    browser_draws(figure)
    assert told == [True]
    for end in (lambda: browser_draws(figure), lambda: now.append(now.pop() + PATIENCE + 1)):
        with figure.change():
            figure.update_layout(title=f"changed at {now}")
        assert not figure.ready
        end()
        assert figure.ready


def test_a_figure_that_a_browser_is_going_to_draw_is_waited_for_from_the_beginning(now) -> None:
    figure = LiveFigure()
    figure.expect()
    assert not figure.ready
    browser_draws(figure)
    assert figure.ready


def test_what_breaks_off_leaves_no_change_on_its_way() -> None:
    figure = LiveFigure()
    with pytest.raises(ZeroDivisionError), figure.change():
        raise ZeroDivisionError
    assert figure._sent % 2 == 0


def test_curves_that_come_too_soon_are_drawn_later(now) -> None:
    curves, run = Curves(lambda: None), entry([2.0])
    curves.keep({1: "1 mlp"})
    browser_draws(curves.figure)
    curves.draw({1}, [run])
    run.run.history.loss += [1.0, 0.5]
    curves.draw({1}, [run])
    assert len(curves.figure.data[2].y) == 1
    browser_draws(curves.figure)
    curves.draw(set(), [run])
    assert curves.figure.data[2].y.tolist() == [2.0, 1.0, 0.5]


def test_a_run_that_is_taken_off_while_it_is_late_is_forgotten(now) -> None:
    curves, run = Curves(lambda: None), entry([2.0])
    curves.keep({1: "1 mlp"})
    browser_draws(curves.figure)
    for _ in range(2):
        curves.draw({1}, [run])
    curves.keep({})
    browser_draws(curves.figure)
    curves.draw(set(), [])
    assert len(curves.figure.data) == 2


def test_a_picture_that_is_replaced_is_closed_when_the_new_one_is_drawn(now) -> None:
    view, scenes = LandscapeView(lambda: None), [Scene(surface_of(bowl), (), name) for name in "ab"]

    def show(count) -> LiveFigure:
        view.show(scenes[:count], count, kind="contour", dark=False, width=900)
        return view.figure

    first = show(1)
    assert not view.ready
    browser_draws(first)
    second = show(2)
    assert first.comm is not None
    browser_draws(second)
    assert show(2) is second
    assert first.comm is None
    assert np.shape(second.data[1].z) == (5, 5)


@pytest.mark.parametrize("kind", ["solid", "contour"])
def test_a_picture_that_is_renewed_in_place_is_the_one_that_would_be_made_anew(now, kind) -> None:
    ways = {"bowl": scene_of(bowl, title="a bowl"), "cliff": scene_of(cliff, title="a cliff", reach=(1.0, 1.0))}
    renewed, fresh = LandscapeView(lambda: None), LandscapeView(lambda: None)
    for view, names in ((renewed, ("bowl", "cliff")), (fresh, ("cliff",))):
        for name in names:
            view.show([ways[name]], name, kind=kind, dark=False, width=900)
    assert renewed.scale == fresh.scale
    for one, other in ((renewed, fresh), (fresh, renewed)):
        assert changes(one.figure.layout, other.figure.layout) == {}
    for one, other in zip(renewed.figure.data, fresh.figure.data, strict=True):
        assert changes(one, other).keys() <= {"uid"}


def test_a_picture_that_comes_back_after_the_theme_was_another_is_made_anew(now) -> None:
    """Seen, cleared, the theme there and back, undone: the figure by now is the one that was prepared."""
    view, fresh, scene = LandscapeView(lambda: None), LandscapeView(lambda: None), scene_of(bowl, title="a bowl")
    view.show([scene], "plane", kind="solid", dark=False, width=900)
    view.forget()
    for dark in (True, False):
        view.prepare(dark=dark, width=900)
    for each in (view, fresh):
        each.show([scene], "plane", kind="solid", dark=False, width=900)
    for one, other in ((view, fresh), (fresh, view)):
        assert changes(one.figure.layout, other.figure.layout) == {}


def test_of_a_layout_only_what_differs_is_changed() -> None:
    old = go.Layout(title="a", xaxis={"range": [0, 1], "nticks": 5}, annotations=[{"text": "b"}])
    new = go.Layout(title="a", xaxis={"range": np.array([0, 2]), "nticks": 5}, annotations=[{"text": "b"}], width=300)
    assert {path: np.array(value).tolist() for path, value in changes(old, new).items()} == {
        "xaxis.range": [0, 2],
        "width": 300,
    }
    assert changes(new, new) == {}


def test_the_first_surface_is_drawn_into_what_was_made_before_it(now) -> None:
    view, scene = LandscapeView(lambda: None), scene_of()
    view.prepare(dark=False, width=900)
    ahead = view.figure
    view.prepare(dark=False, width=900)
    assert view.figure is ahead
    browser_draws(ahead, took=1.6)
    assert view.seconds(1) == pytest.approx(0.4)  # to draw again what is made
    view.show([scene], "planes", kind="solid", dark=False, width=900)
    assert view.figure is ahead
    assert view.rescaled == ""
    assert np.array_equal(ahead.data[0].z, view.scale.heights(scene.surface.loss).T)
    assert ahead.data[1].name == "sgd"
    view.prepare(dark=True, width=900)  # in the colours of another page
    assert view.figure is not ahead


def test_an_edge_that_is_replaced_is_closed_when_the_new_one_is_drawn(now) -> None:
    view = EdgeView(lambda: None, lambda: None)
    view.toggle.value = True
    reading = Reading(3, 1.0, 0.1, 0.1, 2.0, "2 / lr", 40, 100, 4)

    def show(*, dark) -> LiveFigure:
        view.show([EdgePath("sgd", 0, (reading,))], dark=dark, width=900)
        return view.figure

    first = show(dark=False)
    browser_draws(first)
    second = show(dark=True)
    assert first.comm is not None
    browser_draws(second)
    assert show(dark=True) is second
    assert first.comm is None


def test_the_bar_of_colours_leaves_narrow_landscapes_all_of_the_width(now) -> None:
    view, scenes = LandscapeView(lambda: None), [Scene(surface_of(bowl), (), name) for name in "ab"]

    def shown(width) -> tuple[str, int, int]:
        view.show(scenes, 0, kind="solid", dark=False, width=width)
        layout = view.figure.layout
        return layout.coloraxis.colorbar.orientation, layout.height, layout.margin.b

    assert [shown(width) for width in (486, 900, 486)] == [("h", 356, 56), ("v", 450, 0), ("h", 356, 56)]


def test_another_picture_takes_the_place_of_one_without_a_change_of_width_or_paper_between(monkeypatch) -> None:
    figure, asked = LiveFigure(), []
    monkeypatch.setattr(figure, "plotly_relayout", asked.append)
    for layout in ({"height": 300, "title": {"text": "first"}}, {"height": 400}):
        redraw(figure, go.Figure(layout=layout), dark=False, width=480)
    assert asked[-1] == {"title.text": None}
    assert (figure.layout.width, figure.layout.height, figure.layout.title.text) == (480, 400, None)
    redraw(figure, go.Figure(), dark=True)
    assert asked[-1] == {"width": None, "height": None}
    assert figure.layout.modebar.bgcolor == "rgba(0,0,0,0)"


def test_surfaces_that_hold_a_browser_up_are_told_from_those_that_do_not(now) -> None:
    view, scenes = LandscapeView(lambda: None), [Scene(surface_of(bowl), (), name) for name in "abcde"]

    def show(count, took) -> None:
        view.show(scenes[:count], count, kind="solid", dark=False, width=900)
        browser_draws(view.figure, took)

    assert not view.holds_up(5)  # nothing is known yet
    show(1, took=1.6)  # to make it: four times as long as to draw it again
    assert view.seconds(1) == pytest.approx(0.4)
    assert [view.holds_up(count) for count in (1, 2, 5)] == [False, False, True]
    show(1, took=1.2)
    assert view.holds_up(1)
