"""The figure of the edge of stability: curves with error bars, and dashed what the rates bear."""

from dataclasses import replace
from math import hypot

import numpy as np
import pytest

from lab.edge_plots import edge_data, edge_figure
from lab.landscape.stability import EdgePath, Reading
from lab.plots import colour_and_dash
from lab.stills import still


def reading(step, sharpness, bound=20.0, note="2 / lr"):
    return Reading(step, sharpness, 0.03, 0.4, bound, note, 512, 1259, 9)


PATH = EdgePath("sgd", 2, (reading(0, 3.0), reading(10, 12.0), reading(20, 19.0, 25.0)))


def test_the_curve_has_its_errors_and_the_line_is_what_the_rate_bears():
    bound, bars, curve = edge_figure([PATH]).data
    assert (curve.x.tolist(), curve.y.tolist()) == ([0, 10, 20], [3.0, 12.0, 19.0])
    assert (bound.x.tolist(), bound.y.tolist()) == ([0, 10, 20], [20.0, 20.0, 25.0])
    assert (bound.line.dash, bound.name, curve.name) == ("dash", "sgd: 2 / lr", "sgd")
    assert {curve.line.color, bound.line.color, bars.line.color} == {colour_and_dash(2)[0]}
    off = hypot(0.4, 0.03)
    assert curve.customdata.tolist() == pytest.approx(3 * [off])
    low, high, gap = np.array(bars.y).reshape(3, 3).T
    assert low.tolist() == pytest.approx([3 - off, 12 - off, 19 - off])
    assert high.tolist() == pytest.approx([3 + off, 12 + off, 19 + off])
    assert np.isnan(gap).all()


def test_where_there_is_no_bound_no_line_is_drawn_or_named():
    why = "adam does not step by one rate"
    path = replace(PATH, readings=tuple(replace(each, bound=None, note=why) for each in PATH.readings))
    bound, *_ = edge_figure([path]).data
    assert np.isnan(bound.y).all()
    assert not bound.showlegend
    assert path.words.endswith(why)
    assert "Dashed" not in path.words


def test_a_bound_far_above_is_left_out_and_said():
    falling = replace(PATH, readings=(*PATH.readings, reading(30, 18.0, 191.0)))
    bound, *_ = edge_figure([falling]).data
    assert bound.y[:3].tolist() == [20.0, 20.0, 25.0]
    assert np.isnan(bound.y[3])
    assert bound.name == "sgd: 2 / lr"
    tiny = replace(PATH, readings=tuple(replace(each, bound=2000.0) for each in PATH.readings))
    bound, *_ = edge_figure([tiny]).data
    assert np.isnan(bound.y).all()
    assert bound.name == "sgd: 2 / lr, far above"


def test_the_words_say_the_rule_and_that_it_is_for_all_images():
    assert PATH.words == (
        "sgd, step 20: Sharpness 19 ± 0.4 (standard error, 512 of 1,259 training images; residual 0.03). 76% of the 25 "
        "that the rate bears. Dashed: 2 / lr, for batches of all images (small ones stay below it) and for the loss as "
        "it is measured: without augmentation, dropout and weight decay."
    )


def test_what_a_logarithm_does_not_show_is_left_out():
    path = replace(PATH, readings=(reading(0, -1.0), reading(1, 0.2)))
    _, bars, curve = edge_data(path)
    assert np.isnan(curve["y"]).tolist() == [True, False]
    assert bars["y"][3] == 0.2


def test_a_figure_grows_in_place():
    figure = edge_figure([replace(PATH, readings=PATH.readings[:1])], dark=True)
    for trace, data in zip(figure.data, edge_data(PATH), strict=True):
        trace.update(data)
    assert [trace.y.tolist() for trace in figure.data[::2]] == [
        trace.y.tolist() for trace in edge_figure([PATH]).data[::2]
    ]


def test_it_is_drawn_without_a_browser():
    assert still(edge_figure([PATH])) != still(edge_figure([replace(PATH, readings=PATH.readings[:2])]))


def test_no_run_is_no_picture():
    with pytest.raises(ValueError, match="needs at least one run that was read"):
        edge_figure([])
