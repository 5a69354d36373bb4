"""Grids that nest, surfaces that can be left and gone on with, splines that say how far they are off."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.interpolate import RectBivariateSpline
from small_landscapes import plane_of, session_of
from small_runs import SMALL, small_model
from small_runs import trained as ended
from small_scenes import surface_of

from lab.landscape import (
    Evaluator,
    Grid,
    Surface,
    Survey,
    quick_surface,
    random_plane,
    samples_of,
    surface,
    trained,
)
from lab.landscape import evaluators as module
from lab.landscape.evaluators import COLUMNS
from lab.landscape.grids import error_of, spline, spline_at
from lab.landscape.scenes import Scene, share, trust_words
from lab.landscape.surfaces import carried_along, measuring_few, refreshing
from lab.landscape.trails import at_once

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def evaluator(one_thread):
    session = session_of({**small_model("mlp"), "norm": "batch"})
    return Evaluator(session.model, plane_of("random", session), samples_of(session))


@pytest.fixture(scope="module")
def on_line(one_thread):
    session = session_of(small_model("mlp"))
    return Evaluator(session.model, plane_of("line", session), samples_of(session))


def same_columns(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in COLUMNS)


def refreshed_surface(old, evaluator):
    return at_once(refreshing(old, evaluator))


# -- grids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("coarse", "fine"), [(5, 9), (9, 17), (17, 33), (33, 65), (13, 25), (7, 13)])
def test_a_coarse_grid_is_every_second_point_of_the_fine_one_bit_for_bit(coarse, fine):
    for reach, middle in (((1.0, 1.0), (0.0, 0.0)), ((0.3, 17.7), (0.1, -2.3))):
        small, large = (Grid(size, reach, middle) for size in (coarse, fine))
        for few, many in zip(small.axes, large.axes, strict=True):
            assert few.tolist() == many[::2].tolist()


@pytest.mark.parametrize(
    ("size", "sizes"), [(33, [5, 9, 17, 33]), (65, [5, 9, 17, 33, 65]), (25, [4, 7, 13, 25]), (6, [6])]
)
def test_levels_are_coarse_first_and_hold_each_point_once(size, sizes):
    levels = list(Grid(size).levels())
    assert np.cumsum([len(level) for level in levels]).tolist() == [count**2 for count in sizes]
    known = np.zeros((size, size), dtype=bool)
    for level, count in zip(levels, sizes, strict=True):
        known[tuple(level.T)] = True
        each = np.arange(size) % ((size - 1) // (count - 1)) == 0
        assert (known == np.outer(each, each)).all()


def test_a_line_has_one_row():
    grid = Grid(17, middle=(0.5, 3.0), reach=(0.5, 1.0), line=True)
    assert [len(level) for level in grid.levels()] == [5, 4, 8]
    assert grid.points(np.array([[0, 0], [16, 0]])).tolist() == [[0, 3], [1, 3]]


@pytest.mark.parametrize(
    ("given", "words"),
    [({"size": 1}, "size is 1, but"), ({"size": 5, "reach": (1.0, 0.0)}, "must be above 0 along both")],
)
def test_what_a_grid_refuses(given, words):
    with pytest.raises(ValueError, match=words):
        Grid(**given)


def test_held_out_points_are_middles_of_cells_and_none_twice():
    grid = Grid(9)
    points = grid.held_out(count=24, seed=1)
    assert len({tuple(point) for point in points}) == 24
    for axis, column in zip(grid.axes, points.T, strict=True):
        assert set(column) <= set((axis[1:] + axis[:-1]) / 2)
    assert len(Grid(3).held_out(count=24)) == 4


def test_points_anywhere_are_within_the_grid_and_none_of_a_nested_one():
    grid = Grid(9, reach=(2.0, 1.0), middle=(1.0, -1.0))
    points = grid.anywhere(count=24, seed=1)
    assert points.shape == (24, 2)
    assert (np.abs(points - np.array(grid.middle)) <= np.array(grid.reach)).all()
    for axis, found in zip(replace(grid, size=65).axes, points.T, strict=True):
        assert np.abs(found[:, None] - axis).min() > 1e-6
    a, b = Grid(5, line=True).anywhere(4).T
    assert len(set(a)) == 4
    assert b.tolist() == [0] * 4


# -- surfaces ----------------------------------------------------------------------------------------------------------


def test_nested_refinement_is_the_direct_fine_grid_bit_for_bit(evaluator):
    grid = Grid(17, reach=(0.8, 0.6))
    nested = surface(evaluator, grid)
    direct = evaluator.values([(a, b) for a in grid.axes[0] for b in grid.axes[1]])
    for name in COLUMNS:
        assert np.array_equal(getattr(nested, name), getattr(direct, name).reshape(17, 17))
    coarse = surface(evaluator, Grid(5, reach=(0.8, 0.6)))
    assert np.array_equal(coarse.loss, nested.loss[::4, ::4])
    assert nested.complete
    assert nested.spline is None


@pytest.mark.parametrize("size", [9, 17, 13])
def test_after_each_level_the_whole_of_a_coarser_grid_is_known_and_nothing_else(size, evaluator):
    grid, known = Grid(size), np.zeros((size, size), dtype=bool)
    survey = Survey(evaluator, grid)
    wanted = [
        np.argwhere(np.add.outer(np.arange(size) % stride, np.arange(size) % stride) == 0) for stride in (4, 2, 1)
    ]
    wanted = [set(map(tuple, places)) for places in wanted if len(places) >= 16]
    seen = []
    for indices, _ in survey:
        known[tuple(indices.T)] = True
        seen.append(set(map(tuple, np.argwhere(known))))
    assert [places for places in wanted if places in seen] == wanted
    for places in seen:  # within a level, all coarser ones are whole
        assert all(coarser <= places or places < coarser for coarser in wanted)


def test_a_survey_left_early_is_gone_on_with_and_repeats_no_point(evaluator, monkeypatch):
    grid = Grid(9)
    survey, asked = Survey(evaluator, grid), []
    measure = Evaluator.__call__
    monkeypatch.setattr(
        Evaluator, "__call__", lambda self, points: (asked.extend(map(tuple, points)), measure(self, points))[1]
    )
    for indices, _ in survey:
        if len(indices):
            break
    part = survey.surface()
    assert not part.complete
    assert int((~np.isnan(part.loss)).sum()) == 25
    left = len(asked)
    for _ in survey:
        pass
    assert left == 25  # the second level was not begun
    assert len(asked) == len(set(asked)) == 81
    assert same_columns(survey.surface(), surface(evaluator, grid))


def test_leaving_in_the_middle_of_a_block_loses_nothing(evaluator, monkeypatch):
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0)
    survey = Survey(evaluator, Grid(5))
    for _ in survey:
        break
    assert np.isnan(survey.surface().loss).all()
    for _ in survey:
        pass
    assert survey.surface().complete


def test_a_surface_says_what_it_was_measured_on(evaluator):
    found = surface(evaluator, Grid(4))
    count = len(evaluator.samples)
    assert vars(found.measured) == {
        "split": "validation",
        "samples": count,
        "total": count,
        "seed": 0,
        "batchnorm": "stored",
        "batch_size": evaluator.batch_size,
        "precision": "float32",
        "most": None,
        "enough": None,
        "noise": None,
        "marked": None,
        "anew": None,
    }
    assert (found.origin.kind, found.origin.seed) == ("random", 3)


def test_a_surface_says_nothing_of_batch_normalisation_where_there_is_none():
    session = session_of({**small_model("mlp"), "norm": "layer"})
    evaluator = Evaluator(session.model, plane_of("random", session), samples_of(session))
    assert surface(evaluator, Grid(2)).measured.batchnorm is None


def test_a_line(on_line):
    found = surface(on_line, Grid(9, middle=(0.5, 0.0), reach=(0.5, 1.0), line=True))
    assert found.loss.shape == (9, 1)
    assert found.loss[:, 0].tolist() == on_line.values([(step / 8, 0) for step in range(9)]).loss.tolist()
    finer = found.shown(33, (np.array([[0.31, 0]]), on_line.values([(0.31, 0)]).loss))
    assert finer.loss.shape == (33, 1)
    assert finer.spline.error.largest < 0.05
    with pytest.raises(ValueError, match="line=True"):
        Survey(on_line, Grid(5))


def test_a_saved_surface_comes_back_to_the_last_bit(evaluator, tmp_path):
    exact = surface(evaluator, Grid(5))
    for found in (exact, replace(exact, loss=np.full((5, 5), np.nan)), quick_surface(evaluator, Grid(5), 9)):
        found.save(tmp_path / "surface")
        again = Surface.load(tmp_path / "surface")
        assert same_columns(found, again)
        assert (again.grid, again.origin, again.measured, again.spline) == (
            *(found.grid, found.origin, found.measured, found.spline),
        )


def test_a_file_that_is_no_surface_is_refused(evaluator, tmp_path):
    evaluator.plane.save(tmp_path / "plane")
    (tmp_path / "cut").write_bytes(b"\x10")
    for name in ("plane", "cut", "missing"):
        with pytest.raises(ValueError, match=f"There is no readable surface in .*{name}"):
            Surface.load(tmp_path / name)


# -- splines -----------------------------------------------------------------------------------------------------------


def test_a_spline_is_exact_on_cubics_and_where_it_was_measured():
    grid, fine = Grid(7, reach=(2.0, 1.0)), Grid(25, reach=(2.0, 1.0))
    cubic = lambda a, b: 1 + a**3 - 2 * a * b**2 + b  # noqa: E731
    values = cubic(*np.meshgrid(*grid.axes, indexing="ij"))
    assert spline(grid, values, *fine.axes) == pytest.approx(cubic(*np.meshgrid(*fine.axes, indexing="ij")))
    assert spline(grid, values, *grid.axes) == pytest.approx(values)
    assert spline_at(grid, values, grid.held_out()) == pytest.approx(cubic(*grid.held_out().T))


def test_the_error_of_a_spline_is_what_it_is_off_by_at_points_it_has_not_seen(evaluator):
    grid = Grid(9, reach=(0.5, 0.5))
    quick = quick_surface(evaluator, grid, 33)
    exact = surface(evaluator, replace(grid, size=33))
    points = grid.held_out()
    columns, rows = (((point + 0.5) * 32).round().astype(int) for point in points.T)
    off = np.abs(quick.loss / exact.loss - 1)[columns, rows]
    found = quick.spline.error
    assert found.points == len(points) == 24
    expected = (np.median(off), np.quantile(off, 0.95), off.max())
    assert (found.median, found.most, found.largest) == pytest.approx(expected, rel=1e-6)
    assert 0 < found.median <= found.most <= found.largest < 0.1
    assert quick.loss[::4, ::4] == pytest.approx(exact.loss[::4, ::4])
    assert quick.accuracy.min() >= 0
    assert quick.accuracy.max() <= 1


def formula_surface(formula, size=9):
    grid = Grid(size, reach=(2.0, 1.0), middle=(0.5, 0.0))
    loss = formula(*np.meshgrid(*grid.axes, indexing="ij"))
    return surface_of(formula, size=size, reach=grid.reach, middle=grid.middle), grid, loss


def test_a_picture_of_few_exact_points_keeps_them_and_holds_every_second_one_out():
    wave = lambda a, b: np.exp(np.sin(2 * a) + np.cos(3 * b))  # noqa: E731
    few, grid, loss = formula_surface(wave)
    fine = few.shown(33)
    assert fine.grid == replace(grid, size=33)
    assert np.array_equal(fine.loss[fine.exact], loss.ravel())
    assert np.array_equal(fine.loss[::4, ::4], loss)
    a, b = (axis[::2] for axis in grid.axes)
    of_25 = RectBivariateSpline(a, b, np.log(loss[::2, ::2]))
    off = np.abs(np.exp(of_25(*grid.axes)) / loss - 1)
    others = np.ones((9, 9), dtype=bool)
    others[::2, ::2] = False
    found = fine.spline
    assert (found.knots, found.checked, found.error.points, found.ratio) == (9, 5, 81 - 25, False)
    expected = (np.median(off[others]), np.quantile(off[others], 0.95), off[others].max())
    assert (found.error.median, found.error.most, found.error.largest) == pytest.approx(expected)
    true = np.abs(fine.loss / formula_surface(wave, 33)[2] - 1)
    assert 0 < np.quantile(true, 0.95) < found.error.most
    assert few.shown(9).loss.tolist() == loss.tolist()


def test_the_coarsest_grid_is_held_against_parabolas():
    found = formula_surface(lambda a, b: np.exp(a**2 - a * b), 5)[0].shown(17)
    assert (found.spline.knots, found.spline.checked, found.spline.error.points) == (5, 3, 16)
    assert found.spline.error.largest < 1e-12


def test_a_spline_of_a_steep_loss_never_swings_below_zero():
    few, grid, loss = formula_surface(lambda a, b: np.exp(-8 * a) + 0.01 + 0 * b, 5)
    assert spline(grid, loss, *replace(grid, size=33).axes).min() < 0
    assert few.shown(33).loss.min() > 0


@pytest.mark.parametrize("wrong", [np.inf, np.nan])
def test_over_a_cliff_the_coarse_grid_stands_alone(wrong):
    few = formula_surface(lambda a, b: 1 + a**2 + b**2)[0]
    few.loss[0, 0] = wrong
    assert few.filled(33) is few
    assert few.exact.all()
    with pytest.raises(ValueError, match="1 of 81 values are not finite"):
        few.shown(33)
    words = trust_words(Scene(few))
    assert "; 9x9 points, all exact, of 1 the loss is not finite; " in words


def test_what_has_no_every_second_point_is_not_filled_up():
    few = formula_surface(lambda a, b: 1 + a**2 + b**2, 4)[0]
    assert few.filled(13) is few
    with pytest.raises(ValueError, match="Every second of 4 points"):
        few.shown(13)


def test_a_spline_refuses_what_it_cannot_run_through():
    with pytest.raises(ValueError, match=r"2 of 25 values are not finite.*smaller reach"):
        spline(Grid(5), np.diag([np.inf, np.nan, 1, 1, 1]), *Grid(9).axes)
    with pytest.raises(ValueError, match="needs 3 points along an axis, not 2"):
        spline(Grid(2), np.ones((2, 2)), *Grid(9).axes)


def test_an_error_beside_a_loss_of_0_is_a_number():
    off = error_of(np.array([1e-9, 1.1, 2.0]), np.array([0.0, 1.0, 2.0]))
    assert off.largest == pytest.approx(0.1)
    assert error_of(np.array([1e-14, 0.0]), np.zeros(2)).largest < 1


def test_errors_are_relative():
    found = error_of(np.array([1.1, 2.0, -3.3]), np.array([1.0, 2.0, -3.0]))
    assert (found.median, found.largest, found.points) == (pytest.approx(0.1), pytest.approx(0.1), 3)


# -- a surface over time -----------------------------------------------------------------------------------------------


def test_a_refreshed_surface_is_nearer_the_new_one_than_the_old_one_is():
    session = session_of(small_model("mlp"))
    plane = plane_of("random", session)
    grid = Grid(17, reach=(0.5, 0.5))
    old = surface(Evaluator(session.model, plane, samples_of(session)), grid)
    step = {name: tensor * 1.03 for name, tensor in plane.centre.items()}
    later = Evaluator(session.model, replace(plane, centre=step), samples_of(session))
    now, refreshed = surface(later, grid), refreshed_surface(old, later)
    stale, off = (float(np.median(np.abs(found.loss / now.loss - 1))) for found in (old, refreshed))
    assert off < stale / 3
    assert refreshed.spline.error.points == 8
    assert refreshed.spline.error.most < 3 * stale


@pytest.mark.parametrize("name", ["accuracy", "error", "difference_error"])
def test_a_refreshed_surface_has_the_accuracy_and_the_errors_of_now(name):
    model = {"name": "mlp", "width": 16}
    session, (later, _) = session_of(model), ended(SMALL.changed(model=model, epochs=10, optimizer="adam"))
    plane, grid = plane_of("random", session), Grid(17, reach=(0.5, 0.5))
    samples = samples_of(session, count=100)  # of all images there is no standard error
    old = surface(Evaluator(session.model, plane, samples), grid)
    evaluator = Evaluator(later.model, replace(plane, centre=trained(later.model)), samples)
    now, refreshed = surface(evaluator, grid), refreshed_surface(old, evaluator)
    stale, off = (float(np.abs(getattr(found, name) - getattr(now, name)).mean()) for found in (old, refreshed))
    assert off < stale / 3
    assert getattr(refreshed, name).min() >= 0
    assert refreshed.accuracy.max() <= 1


def test_a_refresh_costs_a_coarse_grid_and_its_check(evaluator, monkeypatch):
    old, asked = surface(evaluator, Grid(17)), []
    measure = Evaluator.__call__
    monkeypatch.setattr(Evaluator, "__call__", lambda self, points: (asked.extend(points), measure(self, points))[1])
    refreshed = refreshed_surface(old, evaluator)
    assert len(asked) == 25 + 8
    assert refreshed.spline.ratio
    assert refreshed.loss == pytest.approx(old.loss, rel=1e-6)  # nothing has moved: the ratio is 1


def test_what_a_spline_between_the_points_of_the_old_surface_is_off_by_is_seen(evaluator, monkeypatch):
    """A loss that is one and the same on all points of 9x9, and waves between them."""

    def wavy(self, points):
        one = np.ones(len(points))
        loss = 1 + 4 * (np.sin(4 * np.pi * points) ** 2).sum(1)
        yield np.arange(len(points)), SimpleNamespace(loss=loss, accuracy=one, error=one, difference_error=one)

    monkeypatch.setattr(Evaluator, "__call__", wavy)
    base = surface(evaluator, Grid(9)).filled(33)
    found = at_once(refreshing(base, evaluator, step=3))
    off = error_of(found.loss, surface(evaluator, Grid(33)).loss)
    assert found.spline.error.largest > off.median > 0.1
    refreshed = base.refreshed(*at_once(measuring_few(Grid(5), evaluator)), step=3)
    assert (refreshed.spline.there, refreshed.spline.base) == (3, 9)


def test_where_there_is_no_ratio_the_few_points_do(evaluator):
    now = surface(evaluator, Grid(5))
    points = now.grid.anywhere(4)
    old = replace(surface(evaluator, Grid(9)), loss=np.zeros((9, 9)))
    assert not carried_along(old, now, (points, evaluator.values(points).loss)).spline.ratio


def test_far_from_where_it_was_measured_a_surface_is_not_carried_along(evaluator, monkeypatch):
    """A deep bowl tells nothing of a plain: a ratio would have to undo it."""
    now = surface(evaluator, Grid(17, reach=(0.1, 0.1)))
    a, b = np.meshgrid(*now.grid.axes, indexing="ij")
    old = replace(now, loss=0.001 + np.abs(np.sin(70 * a) * np.sin(70 * b)))
    refreshed = refreshed_surface(old, evaluator)
    assert not refreshed.spline.ratio
    assert refreshed.loss == pytest.approx(now.loss, rel=0.05)


def test_a_cliff_between_the_few_points_lets_no_surface_be_carried_along(evaluator):
    old, now = surface(evaluator, Grid(9)), surface(evaluator, Grid(5))
    points = now.grid.held_out(4)
    assert carried_along(old, now, (points, evaluator.values(points).loss)).spline
    with pytest.raises(ValueError, match="not finite: no spline leads over a cliff"):
        carried_along(old, now, (points, np.array([1, 1, np.inf, 1])))


def test_what_a_refresh_refuses(evaluator):
    old = surface(evaluator, Grid(9))
    points = (old.grid.held_out(4), np.ones(4))
    with pytest.raises(ValueError, match="one reach and one middle"):
        old.refreshed(surface(evaluator, Grid(5, reach=(0.5, 0.5))), points)
    coarse = surface(evaluator, Grid(5))
    with pytest.raises(ValueError, match="finite and above 0"):
        old.refreshed(replace(coarse, loss=np.zeros((5, 5))), points)


def test_float64_is_labelled():
    session = session_of(small_model("mlp"))
    found = Evaluator(session.model, plane_of("random", session), samples_of(session), dtype=torch.float64)
    assert surface(found, Grid(4)).measured.precision == "float64"


# -- mixed precision ------------------------------------------------------------------------------------------


def test_a_surface_in_mixed_precision_says_what_it_is_off_by(tmp_path):
    session = session_of(small_model("mlp"))
    plane, grid = random_plane(trained(session.model), seed=0), Grid(5)
    mixed, plain = (
        surface(Evaluator(session.model, plane, samples_of(session), dtype=dtype), grid)
        for dtype in (torch.bfloat16, torch.float32)
    )
    off, every = mixed.precision_error, np.abs(mixed.loss / plain.loss - 1)
    assert (mixed.measured.precision, off.points, plain.precision_error) == ("bfloat16", 16, None)
    assert 0 < off.median < 0.02
    assert any(off.largest == pytest.approx(each, rel=1e-3) for each in every.flat)
    said = (
        f"bfloat16, off by {share(off.median)} in the middle and up to {share(off.largest)} at 16 points measured in "
    )
    assert trust_words(Scene(mixed)).endswith(f"; {said}float32.")
    mixed.save(tmp_path / "mixed")
    assert Surface.load(tmp_path / "mixed").precision_error == off


def test_a_surface_in_mixed_precision_that_is_finite_nowhere_is_whole_all_the_same():
    session = session_of(small_model("mlp"))
    weights = {name: 1e30 * tensor for name, tensor in trained(session.model).items()}
    evaluator = Evaluator(session.model, random_plane(weights, seed=0), samples_of(session), dtype=torch.bfloat16)
    found = surface(evaluator, Grid(3))
    assert found.precision_error is None
    assert not np.isfinite(found.loss).any()


def test_a_refreshed_surface_in_mixed_precision_says_what_its_new_points_are_off_by():
    session = session_of(small_model("mlp"))
    plane = random_plane(trained(session.model), seed=0)
    evaluator = Evaluator(session.model, plane, samples_of(session), dtype=torch.bfloat16)
    old = surface(evaluator, Grid(9))
    found = refreshed_surface(old, evaluator)
    assert found.precision_error == surface(evaluator, Grid(5)).precision_error
    assert found.precision_error.points == 16
