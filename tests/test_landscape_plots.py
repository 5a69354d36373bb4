"""Figures of landscapes draw the numbers of the surface at its coordinates, on one scale, for any paper."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from small_scenes import MEASURED, bowl, cliff, path_of, scene_of, with_holes
from test_diagnostic_plots import fits_both_papers

from lab import landscape_plots as plots
from lab.landscape.scenes import Scale
from lab.plots import colour_and_dash

TWO = [scene_of(title="sgd"), scene_of(lambda a, b: 3 * bowl(a, b), [path_of(number=1, name="adam")], title="adam")]
LINE = scene_of(line=True, paths=[], size=9)
FIGURES = {
    "surface": partial(plots.surface_figure, [scene_of()]),
    "surfaces": partial(plots.surface_figure, TWO),
    "contour": partial(plots.contour_figure, [scene_of()]),
    "contours": partial(plots.contour_figure, TWO * 4),
    "line": partial(plots.lines_figure, [LINE]),
}


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_figures_fit_both_papers(draw):
    fits_both_papers(draw)


@pytest.mark.parametrize("draw", [plots.surface_figure, plots.contour_figure])
def test_rows_are_b_and_columns_are_a(draw):
    scene = scene_of(paths=[])
    (drawn,) = draw([scene]).data
    a, b = scene.surface.grid.axes
    assert (drawn.x.tolist(), drawn.y.tolist()) == (a.tolist(), b.tolist())
    assert np.array(drawn.z)[0, 4] == pytest.approx(bowl(a[4], b[0]))
    assert np.array(drawn.customdata)[0, 4].tolist() == pytest.approx(
        [scene.surface.loss[4, 0], scene.surface.accuracy[4, 0], scene.surface.error[4, 0]]
    )


@pytest.mark.parametrize("draw", [plots.surface_figure, plots.contour_figure])
def test_what_is_not_measured_leaves_holes(draw):
    drawn = np.array(draw([with_holes(scene_of(paths=[]))]).data[0].z)
    assert np.isnan(drawn[:, 1::2]).all()
    assert np.isfinite(drawn[:, ::2]).all()


def test_a_logarithmic_scale_is_drawn_and_named():
    scene = scene_of(cliff)
    figure = plots.surface_figure([scene])
    assert np.allclose(np.array(figure.data[0].z), np.log10(scene.surface.loss.T))
    assert figure.layout.coloraxis.colorbar.title.text == "loss, log scale"
    texts, heights = figure.layout.scene.zaxis.ticktext, figure.layout.scene.zaxis.tickvals
    assert np.allclose([float(text) for text in texts], 10 ** np.array(heights))


def test_several_surfaces_share_range_colours_and_camera():
    figure, scale = plots.surface_figure(TWO), Scale.of(TWO)
    one, other = figure.layout.scene, figure.layout.scene2
    assert one.zaxis.range == other.zaxis.range
    assert one.zaxis.range[1] == scale.range[1]
    assert one.camera == other.camera
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == scale.range
    assert [trace.coloraxis for trace in figure.data if trace.type == "surface"] == ["coloraxis"] * 2
    bands = [trace.contours for trace in plots.contour_figure(TWO).data if trace.type == "contour"]
    assert bands[0] == bands[1]


@pytest.mark.parametrize(("x", "y"), [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_one_looks_from_over_the_lowest_corner(x, y):
    eye = plots.surface_figure([scene_of(lambda a, b: 9 - x * a - y * b, paths=[])]).layout.scene.camera.eye
    assert (np.sign(eye.x), np.sign(eye.y)) == (x, y)


def test_no_standard_error_is_shown_of_a_whole_split():
    scene = scene_of()
    assert "±" in plots.contour_figure([scene]).data[0].hovertemplate
    whole = replace(scene, surface=replace(scene.surface, measured=replace(MEASURED, samples=269)))
    assert "±" not in plots.contour_figure([whole]).data[0].hovertemplate


def test_paths_have_the_colour_of_their_run_and_grey_marks_where_the_plane_misleads():
    scene = scene_of(paths=[path_of(number=2, off=(0, 3))])
    colour, dash = colour_and_dash(2)
    line = plots.contour_figure([scene]).data[2]
    assert (line.line.color, line.line.dash, line.name) == (colour, dash, "sgd")
    assert [mark == plots.MISLEADS for mark in line.marker.color] == [True, False, False, True, False]
    assert line.marker.symbol == ("square", "circle", "circle", "circle", "diamond")
    path = scene.paths[0]
    assert np.allclose(np.stack([line.x, line.y], 1), path.coordinates)
    assert np.allclose(line.customdata, np.stack([path.steps, path.true, path.on_plane], 1))


def test_a_path_lies_on_its_surface():
    path, scale = path_of(), Scale.of([scene_of()])
    line = plots.surface_figure([scene_of()]).data[1]
    above = np.array(line.z) - path.on_plane
    assert (above > 0).all()
    assert (above < 0.02 * (scale.high - scale.low)).all()


def test_a_run_is_named_once_and_a_single_one_by_nothing():
    figure = plots.contour_figure([*TWO, TWO[0]])
    assert [trace.name for trace in figure.data if trace.showlegend] == ["sgd", "adam"]
    assert figure.layout.showlegend
    assert not plots.contour_figure(TWO[:1]).layout.showlegend


@pytest.mark.parametrize("part", ["surface", "contour"])
def test_a_figure_is_drawn_anew_in_place(part):
    scene = scene_of()
    scale = Scale.of([scene])
    traces = {"surface": plots.surface_traces(scene), "contour": plots.contour_traces(scene, scale)}[part]
    data = {"surface": plots.surface_data, "contour": plots.contour_data}[part]
    for now in (with_holes(scene_of(paths=[path_of().first(2)])), scene_of(paths=[path_of().first(0)]), scene):
        for trace, new in zip(traces, data(now, scale), strict=True):
            trace.update(new)
        assert len(traces[-1].x) == len(now.paths[0].steps)
    whole = {"surface": plots.surface_figure, "contour": plots.contour_figure}[part]([scene], scale)
    assert [np.array(trace.x).tolist() for trace in traces] == [np.array(trace.x).tolist() for trace in whole.data]
    assert np.array_equal(traces[0].z, whole.data[0].z)


def test_a_line_has_its_loss_with_a_band_of_one_standard_error_and_its_accuracy():
    low, high, loss, accuracy = plots.lines_figure([LINE]).data
    assert np.allclose(np.array(high.y) - np.array(loss.y), LINE.surface.error[:, 0])
    assert np.allclose(np.array(loss.y) - np.array(low.y), LINE.surface.error[:, 0])
    assert high.fill == "tonexty"
    assert np.allclose(accuracy.y, LINE.surface.accuracy[:, 0])
    assert np.allclose(loss.y, LINE.surface.loss[:, 0])


def test_a_steep_line_has_a_logarithmic_axis():
    figure = plots.lines_figure([scene_of(cliff, line=True, paths=[], size=9)])
    assert (figure.layout.yaxis.type, figure.layout.yaxis2.type) == ("log", None)


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (
            partial(plots.surface_figure, [scene_of()] * 7),
            "A 3-D picture shows 1 to 6 landscapes, not 7. Choose fewer.",
        ),
        (partial(plots.contour_figure, []), "A picture of contours shows 1 to 8 landscapes, not 0. Choose fewer."),
        (partial(plots.surface_figure, [LINE]), "A 3-D picture is for planes only. Use lines_figure for the others."),
        (
            partial(plots.lines_figure, [scene_of()]),
            "A picture of lines is for lines only. Use surface_figure or contour_figure for the others.",
        ),
    ],
)
def test_what_cannot_be_drawn_is_said(draw, words):
    with pytest.raises(ValueError, match=words):
        draw()
