"""The small pictures of activations and of initial weights carry the right numbers."""

import math

import numpy as np
import pytest
import torch

from lab.activation_plots import POINTS, activation_curve, initial_weights
from lab.activations import activations, gain_of
from lab.initializers import initializers

NORMAL = torch.randn(300, 100, generator=torch.Generator().manual_seed(0))


def traces(figure):
    return {trace.name: trace for trace in figure.data}


@pytest.mark.parametrize(
    ("spec", "function", "slope"),
    [
        ("tanh", np.tanh, lambda x: 1 - np.tanh(x) ** 2),
        ("relu", lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
        (
            {"name": "leaky_relu", "slope": 0.3},
            lambda x: np.where(x > 0, x, 0.3 * x),
            lambda x: np.where(x > 0, 1, 0.3),
        ),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2),
    ],
)
def test_the_curves_are_the_function_and_its_derivative(spec, function, slope):
    drawn = traces(activation_curve(activations.parse(spec)))
    assert list(drawn) == ["f(x)", "slope f'(x)"]
    points = np.linspace(-4, 4, POINTS)
    for name, expected in (("f(x)", function), ("slope f'(x)", slope)):
        np.testing.assert_allclose(drawn[name].x, points, atol=1e-12)
        np.testing.assert_allclose(drawn[name].y, expected(points), atol=1e-12)


@pytest.mark.parametrize("name", activations)
def test_every_activation_has_its_picture(name):
    figure = activation_curve(activations.parse(name), inputs=NORMAL.bfloat16())
    assert all(np.isfinite(trace.y).all() and len(trace.x) == len(trace.y) for trace in figure.data)
    assert figure.layout.height <= 200


def test_the_histogram_holds_the_shares_of_all_inputs():
    inputs = torch.cat([torch.full((60,), -1.0), torch.full((30,), 2.0), torch.full((10,), 9.0)]).view(10, 10, 1)
    bars = traces(activation_curve(activations.parse("relu"), inputs=inputs))["inputs"]
    near = {center: bars.y[np.abs(bars.x - center).argmin()] for center in (-1, 2)}
    assert near == {-1: pytest.approx(0.6), 2: pytest.approx(0.3)}
    assert sum(bars.y) == pytest.approx(0.9)  # a tenth lies beyond the axis


@pytest.mark.parametrize(
    ("name", "inputs", "said", "axis"),
    [
        ("relu", [-1.0, -2, -3, 1], "75% of inputs lie where f is flat, 75% where f' = 0", "input x"),
        ("tanh", [0.0, 0, 0, 3.5], "25% of inputs lie where f is flat, 0% where f' = 0", "input x"),
        ("identity", [5.0, 0, 0, -6], "0% of inputs lie where f is flat, 0% where f' = 0", "input x (50.0% beyond ±4)"),
        ("leaky_relu", [-1.0, 1], "50% of inputs lie where f is flat, 0% where f' = 0", "input x"),
        (
            "sigmoid",
            [3.5, -3.5, 5, -5],
            "50% of inputs lie where f is flat, 0% where f' = 0",
            "input x (50.0% beyond ±4)",
        ),
        ("relu", [math.nan, math.inf, -1.0], "100% of inputs lie where f is flat, 100% where f' = 0", "input x"),
        ("relu", [math.nan], "no finite inputs", "input x"),
        ("relu", [], "no finite inputs", "input x"),
    ],
)
def test_the_title_says_what_meets_a_flat_slope_and_none(name, inputs, said, axis):
    layout = activation_curve(activations.parse(name), inputs=torch.tensor(inputs)).layout
    assert layout.title.text == said
    assert layout.xaxis.title.text == axis


def test_inputs_may_need_gradients_and_be_many():
    figure = activation_curve(activations.parse("relu"), inputs=torch.linspace(-1, 1, 700_001).requires_grad_())
    assert figure.layout.title.text == "50% of inputs lie where f is flat, 50% where f' = 0"


@pytest.mark.parametrize(("dark", "template"), [(False, "plotly_white"), (True, "plotly_dark")])
def test_the_theme_shows_through(dark, template):
    import plotly.io as pio  # noqa: PLC0415

    for figure in (
        activation_curve(activations.parse("relu"), dark=dark),
        initial_weights(initializers.parse("zeros"), (2, 2), 1.0, dark=dark),
    ):
        assert figure.layout.template.layout.font.color == pio.templates[template].layout.font.color
        paper = "rgba(0,0,0,0)" if dark else "white"
        assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == paper


@pytest.mark.parametrize("shape", [(64, 100), (16, 8, 3, 3)])
@pytest.mark.parametrize("name", ["he_normal", "he_uniform", "xavier_uniform", "lecun_normal", "orthogonal", "lsuv"])
def test_the_formula_fits_the_weights_that_are_drawn(name, shape):
    choice = initializers.parse(name)
    figure = initial_weights(choice, shape, 1.7)
    drawn = traces(figure)
    assert sum(drawn["weights drawn"].y) == pytest.approx(1)
    bars, curve = drawn["weights drawn"], drawn["formula"]
    expected = np.interp(bars.x, curve.x, curve.y)
    count = math.prod(shape)
    # A bar's count is binomial; at the very edge of uniform weights the last bars are as wide as what was drawn.
    assert np.abs(bars.y - expected).max() < 5 * math.sqrt(expected.max() / count) + 0.05 * expected.max()


def test_the_title_compares_the_standard_deviations():
    choice = initializers.parse({"name": "random_normal", "std": 0.25})
    generator = torch.Generator().manual_seed(0)
    found = torch.empty(20, 30).normal_(0, 0.25, generator=generator).double().std(correction=0)
    title = initial_weights(choice, (20, 30), 1.0).layout.title.text
    assert title == f"standard deviation {found:.3g}, formula 0.25"


@pytest.mark.parametrize("value", [0.1, 0.0, -700])
def test_weights_that_are_all_alike_are_one_bar(value):
    figure = initial_weights(initializers.parse({"name": "constant", "value": value}), (7, 33), 1.0)
    (bars,) = figure.data
    assert figure.layout.title.text == "standard deviation 0, formula 0"
    assert sorted(bars.y)[-2:] == [0, 1]
    assert abs(bars.x[np.argmax(bars.y)] - value) <= bars.x[1] - bars.x[0]


@pytest.mark.parametrize("name", initializers)
def test_every_initializer_has_its_picture(name):
    figure = initial_weights(initializers.parse(name), (5, 4), gain_of(activations.parse("gelu")))
    assert all(np.isfinite(trace.y).all() for trace in figure.data)


def test_weights_too_large_for_float32_are_said():
    figure = initial_weights(initializers.parse({"name": "random_normal", "std": 1e300}), (5, 4), 1.0)
    assert figure.layout.title.text == "no finite weights"
