"""The picture of the rate says what a training then does, in few points."""

import numpy as np
import pytest
from small_runs import SMALL, trained

from lab.schedule_plots import BY_VALIDATION, POINTS, rate_over_run
from lab.schedules import schedules

RAMPED = SMALL.changed(warmup=0.2, cooldown=0.1, epochs=50)


@pytest.mark.parametrize("name", schedules)
def test_the_picture_is_what_a_training_does(name):
    recipe = SMALL.changed(schedule=name, warmup=0.1, cooldown=0.1)  # three epochs: no plateau is seen yet
    session, _ = trained(recipe)
    curve = rate_over_run(recipe, steps=session.steps).data[0]
    assert curve.line.shape == "hv"
    assert list(curve.y[:-1]) == pytest.approx(session.history.lr, rel=1e-12, abs=1e-15)
    assert curve.y[-1] == curve.y[-2]
    assert list(curve.x) == pytest.approx([3 * step / 21 for step in range(22)])


@pytest.mark.parametrize("steps", [None, POINTS + 1, 10**6])
def test_many_steps_are_few_points(steps):
    curve = rate_over_run(RAMPED.changed(schedule="cosine"), steps=steps).data[0]
    assert len(curve.x) == len(curve.y) == POINTS + 1
    assert (curve.x[0], curve.x[-1], curve.line.shape) == (0, 50, "linear")
    assert np.max(curve.y) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize(
    ("schedule", "kind"),
    [
        ("constant", None),
        ("cosine", None),
        ({"name": "cosine", "final": 0.01}, "log"),
        ({"name": "exponential", "final": 0.5}, None),
        ("exponential", "log"),
        ("step", "log"),
        ({"name": "linear", "start": 0, "final": 0}, None),
    ],
)
@pytest.mark.parametrize("steps", [None, 20])
def test_the_axis_is_logarithmic_where_the_rates_between_the_ramps_span_decades(schedule, kind, steps):
    for recipe in (SMALL, RAMPED):
        axis = rate_over_run(recipe.changed(schedule=schedule), steps=steps).layout.yaxis
        assert axis.type == kind
        assert axis.range[0] < axis.range[1]
        assert kind or axis.range[0] == 0


def test_ramps_are_shaded():
    shapes = rate_over_run(RAMPED).layout.shapes
    assert [(shape.x0, shape.x1) for shape in shapes] == [(0, 10), (45, 50)]
    assert rate_over_run(SMALL).layout.shapes == ()


def test_what_depends_on_the_validation_and_on_the_depth_is_said():
    plain, watching = rate_over_run(SMALL), rate_over_run(SMALL.changed(schedule="on_plateau", depth_decay=0.5))
    assert plain.layout.annotations == ()
    assert [note.text for note in watching.layout.annotations] == [BY_VALIDATION]
    assert plain.layout.title.text == "learning rate"
    assert watching.layout.title.text == "learning rate of the output layer"


def test_it_stands_on_dark_paper_too():
    light, dark = rate_over_run(SMALL).layout, rate_over_run(SMALL, dark=True).layout
    assert light.template.layout.font.color != dark.template.layout.font.color
    assert (light.paper_bgcolor, dark.paper_bgcolor) == ("white", "rgba(0,0,0,0)")
