"""The picture of an optimizer's path shows the steps it takes, and says truly where they lead."""

import numpy as np
import pytest
import torch

from lab.optimizer_plots import CURVATURES, FARTHEST, FRAME, START, STEPS, path_in_valley, walk
from lab.optimizers import optimizers


def figure_of(spec, **look):
    return path_in_valley(optimizers.parse(spec), **look)


def drawn(figure, name):
    (trace,) = [trace for trace in figure.data if trace.name == name]
    return np.array([trace.x, trace.y], dtype=float).T


@pytest.mark.parametrize(("name", "lr"), [("sgd", 0.1), ("batch_gd", 0.02), ("stochastic_gd", 0.01)])
def test_gradient_descent_shrinks_each_coordinate_by_its_own_factor(name, lr):
    steps = np.arange(STEPS + 1)[:, None]
    np.testing.assert_allclose(
        drawn(figure_of({"name": name, "lr": lr}), "path"),
        START * (1 - lr * CURVATURES) ** steps,
        rtol=1e-9,
        atol=1e-15,
    )


def test_adam_takes_the_papers_steps():
    point, mean, square, expected = START.copy(), np.zeros(2), np.zeros(2), [START]
    for step in range(1, STEPS + 1):
        gradient = CURVATURES * point
        mean, square = 0.8 * mean + 0.2 * gradient, 0.99 * square + 0.01 * gradient**2
        point = point - 0.002 * (mean / (1 - 0.8**step)) / (np.sqrt(square / (1 - 0.99**step)) + 1e-8)
        expected.append(point)
    found = drawn(figure_of({"name": "adam", "lr": 0.002, "beta1": 0.8, "beta2": 0.99}), "path")
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_of_averaged_weights_the_average_is_drawn():
    found = walk(optimizers.parse({"name": "schedule_free_adamw", "weight_decay": 0.0, "beta1": 0.0}), steps=2).points
    rates = 0.0025 * np.sqrt(1 - 0.999 ** np.array([1, 2]))
    first = START - rates[0] * np.sign(START) / np.sqrt(0.001)
    square = 0.999 * 0.001 * (CURVATURES * START) ** 2 + 0.001 * (CURVATURES * first) ** 2
    second = first - rates[1] * CURVATURES * first / np.sqrt(square)
    share = rates[1] ** 2 / (rates**2).sum()
    np.testing.assert_allclose(found, [START, first, (1 - share) * first + share * second], rtol=1e-4)


def test_muon_takes_steps_of_one_length():
    found = walk(optimizers.parse({"name": "muon", "lr": 0.001, "momentum": 0.0, "weight_decay": 0.0}), steps=5).points
    lengths = np.linalg.norm(np.diff(found, axis=0), axis=1)
    singular = 1.0
    for _ in range(5):
        singular = 3.4445 * singular - 4.7750 * singular**3 + 2.0315 * singular**5
    np.testing.assert_allclose(lengths, 0.2 * 2**0.5 * 0.001 * singular, rtol=1e-4)  # less by 1e-7 / the gradient


@pytest.mark.parametrize("name", optimizers)
def test_every_optimizer_has_its_picture_and_goes_down(name):
    figure, found = figure_of(name), walk(optimizers.parse(name))
    assert np.isfinite(drawn(figure, "path")).all()
    assert found.losses[-1] < found.losses[0]
    title = figure.layout.title.text
    assert title.startswith(f"60 steps at lr {optimizers.parse(name).lr:g}: loss 0.005 to ")
    assert title.endswith(f"{found.losses[-1]:.2g}")
    assert figure.layout.height <= 210


def test_contours_are_places_of_equal_loss():
    points = drawn(figure_of("sgd"), "contours")
    rings = np.split(points, np.flatnonzero(np.isnan(points[:, 0])))
    losses = [(CURVATURES * ring[np.isfinite(ring[:, 0])] ** 2).sum(1) / 2 for ring in rings[:-1]]
    assert all(np.ptp(loss) < 1e-12 * loss.max() for loss in losses)
    heights = np.array([loss[0] for loss in losses])
    np.testing.assert_allclose(heights[1:] / heights[:-1], 4)
    assert np.isclose(heights, (CURVATURES * START**2).sum() / 2).any()  # the start lies on one of them


@pytest.mark.parametrize(
    ("spec", "end"),
    [
        ({"name": "sgd", "lr": 0.124}, ""),  # 2 / 16 is the largest rate that does not diverge
        ({"name": "sgd", "lr": 0.126}, ", diverges"),
        ({"name": "sgd", "lr": 1e6}, ": loss 0.005 to infinity, diverges"),
        ({"name": "momentum", "lr": 0.25, "momentum": 0.9}, ", diverges"),  # 2 (1 + 0.9) / 16 = 0.2375
        ({"name": "lion", "lr": 0.5, "weight_decay": 0.0}, ", ends above its start"),
    ],
    ids=str,
)
def test_the_title_says_where_it_ends(spec, end):
    title = figure_of(spec).layout.title.text
    assert title.endswith(end)
    assert ("diverges" in title or "above" in title) == bool(end)


def test_a_path_that_leaves_is_drawn_as_far_as_one_may_see():
    figure = figure_of({"name": "sgd", "lr": 0.13})
    path = drawn(figure, "path")
    assert (np.abs(path[:-1]) <= FARTHEST * FRAME).all()
    assert np.abs(path[-1, 1]) > FARTHEST * FRAME[1]
    assert figure.layout.yaxis.range[1] >= np.abs(path[:-1, 1]).max()


def test_an_optimizer_of_a_persons_own_has_a_picture_too(own_options):
    @optimizers.add
    def halving(params):
        """Half of each weight. Source: this test."""

        class Halving(torch.optim.Optimizer):
            @torch.no_grad()
            def step(self, closure=None):
                for group in self.param_groups:
                    for weight in group["params"]:
                        weight.mul_(0.5)

        return Halving(params, {"lr": 1.0})

    figure = figure_of("halving")
    np.testing.assert_allclose(drawn(figure, "path")[:4], [START, START / 2, START / 4, START / 8])
    assert figure.layout.title.text.startswith("60 steps: loss 0.005 to ")


def test_it_stands_on_dark_paper_too():
    light, dark = figure_of("sgd").layout, figure_of("sgd", dark=True).layout
    assert light.template.layout.font.color != dark.template.layout.font.color
    assert (light.paper_bgcolor, dark.paper_bgcolor) == ("white", "rgba(0,0,0,0)")
