"""Sharpness, bends and barriers against surfaces whose numbers are known; what rescaling a network does to them."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from small_landscapes import session_of
from small_runs import bits, small_model
from small_runs import trained as training_of
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from lab.landscape import (
    Curvature,
    Evaluator,
    Grid,
    Measured,
    Origin,
    Surface,
    barrier,
    line,
    negative_share,
    random_plane,
    samples_of,
    sharpness,
    surface,
    trained,
)
from lab.landscape.grids import Spline, SplineError
from lab.landscape.samples import error_over_parts
from lab.landscape.weights import flat, shaped
from lab.recipe import Recipe
from lab.views import CHOICES

pytestmark = pytest.mark.usefixtures("one_thread")
EXACT = {"dtype": torch.float64}


@pytest.fixture(scope="module")
def session(one_thread):
    return session_of({"name": "mlp", "width": 8})


@pytest.fixture(scope="module")
def samples(session):
    return samples_of(session)


def losses_of(session, samples, weights):
    """(n,) in float64, without the lab's evaluation."""
    model = deepcopy(session.model).double().eval()
    exact = {name: tensor.double() for name, tensor in weights.items()}
    logits = functional_call(model, exact, (samples.batch(slice(0, len(samples)), torch.float64),))
    return functional.cross_entropy(logits, samples.labels, reduction="none").detach()


# -- sharpness ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalisation", CHOICES["normalisation"])
def test_sharpness_is_the_mean_over_directions_of_the_largest_rise(normalisation, session, samples):
    options = {"radius": 0.3, "directions": 4, "seed": 5, "normalisation": normalisation}
    found = sharpness(session.model, samples, **options, **EXACT)
    centre = trained(session.model)
    rises = []
    for seed in range(5, 9):
        plane = random_plane(centre, seed=seed, normalisation=normalisation)
        along = [losses_of(session, samples, plane.point(a)).mean() for a in np.linspace(-0.3, 0.3, 11)]
        rises.append(float(max(along) - along[5]))
    assert found.rises == pytest.approx(rises, rel=1e-5)  # the points are rounded to the weights' float32
    assert found.rise == pytest.approx(np.mean(rises), rel=1e-5)
    assert found.error == pytest.approx(np.std(rises, ddof=1) / 2, rel=1e-5)  # of all images: over directions alone


def test_the_error_of_sharpness_holds_directions_and_images(session, samples):
    options = {"radius": 0.3, "directions": 4}
    long = sharpness(session.model, samples, radius=0.3, directions=200, seed=1000).rise
    draws = [samples_of(session, count=20, seed=seed) for seed in range(50)]
    found = [sharpness(session.model, few, seed=10 * seed, **options) for seed, few in enumerate(draws)]
    off = np.mean([(each.rise - long) ** 2 for each in found]) ** 0.5
    told = np.mean([each.error**2 for each in found]) ** 0.5
    directions = np.mean([each.rises.var(ddof=1) / 4 for each in found]) ** 0.5
    assert told == pytest.approx(off, rel=0.25)
    assert directions < 0.9 * told


def test_near_the_centre_raw_sharpness_is_slope_and_curvature_on_average(session, samples):
    """A rise is about |g d| r + d H d r^2 / 2; for N(0, 1) directions of length |w| its mean is known from g and H."""
    radius, length = 1e-3, float(flat(trained(session.model)).norm())
    found = sharpness(session.model, samples, radius=radius, directions=100, normalisation="none", **EXACT)
    curvature = Curvature(session.model, samples, **EXACT)
    model = curvature.network
    loss = functional.cross_entropy(model(samples.batch(slice(0, len(samples)), torch.float64)), samples.labels)
    slope = torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, list(model.parameters()))]).norm()
    size = curvature.size
    expected = length * radius * float(slope) * (2 / (np.pi * size)) ** 0.5
    expected += (length * radius) ** 2 * curvature.trace(probes=100).value / size / 2
    assert abs(found.rise - expected) < 4 * found.error
    assert found.error < expected / 5


@pytest.mark.parametrize("factor", [4.0, 20.0])
def test_a_relu_network_rescaled_to_the_same_function_is_sharper_raw_and_the_same_by_filters(factor, session, samples):
    weights = trained(session.model)
    first, second = list(weights)[:2], list(weights)[2]
    rescaled = weights | {name: weights[name] * factor for name in first} | {second: weights[second] / factor}
    same = losses_of(session, samples, rescaled)
    assert torch.allclose(same, losses_of(session, samples, weights), rtol=1e-4)
    measured = {
        kind: [
            sharpness(session.model, samples, weights=place, normalisation=kind, directions=5, **EXACT).rise
            for place in (weights, rescaled)
        ]
        for kind in ("none", "filter")
    }
    before, after = measured["filter"]
    assert after == pytest.approx(before, rel=1e-4)
    before, after = measured["none"]
    assert after > 1.5 * before
    tops = [
        Curvature(session.model, samples, weights=place, **EXACT).eigenpairs(count=1).values[0]
        for place in (weights, rescaled)
    ]
    assert tops[1] > 1.5 * tops[0]


def test_the_network_is_only_read(session, samples):
    before = bits(session)
    sharpness(session.model, samples, directions=2)
    assert bits(session) == before


# -- bends --------------------------------------------------------------------------------------------------


def surface_of(loss, precision="float64", spline=None):
    loss = np.asarray(loss, dtype=float)
    loss = loss[:, None] if loss.ndim == 1 else loss
    grid = Grid(len(loss), line=loss.shape[1] == 1)
    measured = Measured("validation", 10, 10, 0, "stored", 10, precision)
    return Surface(grid, Origin("random"), measured, loss, loss, loss, loss, spline)


A, B = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9), indexing="ij")


@pytest.mark.parametrize(
    ("loss", "share"),
    [
        (A**2 + 3 * B**2 + A * B, 0.0),
        (-(A**2) - B**2, 1.0),
        (A**2 - B**2, 0.5),
        (2 + A + B, 0.0),  # flat: what is left of it is rounding
        ([0, 1, 0, 1, 0], 2 / 3),
        ([0, 1, np.nan, 1, 0, 1, 0], 0.5),  # three in a row twice: 1 0 1 and 0 1 0
        ([0, 1, 0, 1, np.inf], 0.5),
    ],
    ids=["bowl", "hill", "saddle", "slope", "line", "a hole", "an edge"],
)
def test_the_share_of_negative_second_differences(loss, share):
    assert negative_share(surface_of(loss)).value == pytest.approx(share)


def test_rounding_in_the_precision_of_the_loss_is_no_bend():
    rounded = (2 + A / 3).astype(np.float32).astype(float)
    assert negative_share(surface_of(rounded, "float32")).value == 0
    assert negative_share(surface_of(rounded, "float64")).value > 0.1


def test_a_measured_surface_of_a_bowl_is_convex(session, samples):
    """Along the weights of the last layer cross-entropy is convex."""
    centre = trained(session.model)
    last = list(centre)[-2:]
    plane = random_plane(centre, seed=0, normalisation="layer")
    for direction in plane.directions:
        for name in set(centre) - set(last):
            direction[name].zero_()

    assert negative_share(surface(Evaluator(session.model, plane, samples), Grid(9))).value == 0


def test_the_error_of_a_share_comes_from_parts_of_the_picture():
    """A bowl in one half, a hill in the other."""
    steps = np.arange(-8.5, 9)
    found = negative_share(surface_of(-np.sign(steps[:, None]) * (steps[:, None] ** 2 + steps**2)))
    assert (found.value, found.parts) == (pytest.approx(0.5, abs=0.03), 16)
    assert found.error == pytest.approx((0.25 / 15) ** 0.5, rel=0.2)  # of 16 coins, not of 576
    assert negative_share(surface_of(A**2)).error == 0
    assert negative_share(surface_of([0, 1, 0, 1, 0])).parts == 3  # of four, one is empty
    assert np.isnan(negative_share(surface_of([0, 1, 0])).error)


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_an_error_over_parts_is_that_of_many_repetitions(spread):
    """Parts of unequal size, whose own means differ."""
    generator, sizes = np.random.default_rng(0), np.array([5, 10, 20, 5, 10, 20, 10])
    draws = [[generator.normal(1, (spread + 1 / size) ** 0.5) for size in sizes] for _ in range(4000)]
    means = [float(np.average(draw, weights=sizes)) for draw in draws]
    told = np.sqrt(np.mean([error_over_parts(draw, sizes) ** 2 for draw in draws]))
    assert told == pytest.approx(np.std(means), rel=0.1)


@pytest.mark.parametrize(
    ("surface", "said"),
    [
        (surface_of(A, spline=Spline(2, SplineError(0, 0, 0, 3), 2)), "These values come from a spline"),
        (surface_of([1, 2]), "A second difference needs 3 points in a row, not 2"),
        (surface_of([1, np.nan, 2]), "No three losses in a row are finite"),
    ],
)
def test_what_says_nothing_about_bends_is_refused(surface, said):
    with pytest.raises(ValueError, match=said):
        negative_share(surface)


# -- barriers -----------------------------------------------------------------------------------------------


def moved_by(session, seed, names=None):
    """At random, in all weights or in some."""
    weights = trained(session.model)
    drawn = torch.randn(flat(weights).shape, generator=torch.Generator().manual_seed(seed))
    away = shaped(drawn, weights)
    return {name: tensor + 0.3 * away[name] * (names is None or name in names) for name, tensor in weights.items()}


@pytest.fixture(scope="module")
def ridge(one_thread):
    """A training, where it ended, and the same network with its units exchanged: between the two stands a barrier."""
    session = training_of(Recipe(model={"name": "mlp", "width": 8}, epochs=8))[0]
    weights = trained(session.model)
    first, bias, second, *_ = weights
    order = torch.arange(len(weights[bias])).roll(1)
    exchanged = {first: weights[first][order], bias: weights[bias][order], second: weights[second][:, order]}
    return session, weights, weights | exchanged


def heights_of(session, samples, start, end, points):
    """(points, n) of each sample above the straight line, in float64."""
    shares = np.linspace(0, 1, points)
    losses = torch.stack([losses_of(session, samples, line(start, end).point(share)) for share in shares]).numpy()
    return losses - (1 - shares)[:, None] * losses[0] - shares[:, None] * losses[-1]


def test_a_barrier_and_its_error_are_those_of_the_samples_own_losses(ridge):
    session, start, end = ridge
    part = samples_of(session, count=60)
    found = barrier(session.model, start, end, part, points=7, **EXACT)
    above = heights_of(session, part, start, end, 7)
    highest = above.mean(1).argmax()
    assert 0 < highest < 6
    assert found.height == pytest.approx(above.mean(1)[highest], rel=1e-5)
    assert found.at == pytest.approx(highest / 6)
    left = 1 - len(part) / part.total
    assert found.error == pytest.approx(above[highest].std(ddof=1) * (left / len(part)) ** 0.5, rel=1e-5)


def test_the_error_says_how_far_samples_are_from_the_whole_split(ridge):
    session, start, end = ridge
    whole = barrier(session.model, start, end, samples_of(session), points=5, **EXACT)
    assert whole.error == 0
    found = [barrier(session.model, start, end, samples_of(session, count=90, seed=s), points=5) for s in range(60)]
    off = [one.height - whole.height for one in found if one.at == whole.at]
    assert len(off) > 30
    assert np.std(off) == pytest.approx(np.mean([one.error for one in found]), rel=0.35)


def test_between_a_network_and_itself_with_units_exchanged_stands_a_barrier_and_none_where_it_is_convex(ridge):
    session, weights, exchanged = ridge
    samples = samples_of(session)
    found = barrier(session.model, weights, exchanged, samples)
    assert found.height > 0.05
    assert 0.3 <= found.at <= 0.7
    raised = moved_by(session, 1, names=list(weights)[-2:])
    flat_way = barrier(session.model, weights, raised, samples, **EXACT)  # convex along the last layer
    assert flat_way.height == 0
    assert flat_way.at in (0, 1)


def test_between_the_two_signs_of_a_product_of_matrices_stands_all_that_was_learned():
    """W2 W1 x is one function for (W1, W2) and (-W1, -W2); half way all weights are 0, and the loss is log(classes)."""
    session = training_of(Recipe(model={"name": "mlp", "width": 8, "depth": 1}, activation="identity", epochs=4))[0]
    weights = {name: tensor * (tensor.ndim > 1) for name, tensor in trained(session.model).items()}  # no biases
    samples = samples_of(session)
    found = barrier(session.model, weights, {name: -tensor for name, tensor in weights.items()}, samples, **EXACT)
    learned = float(losses_of(session, samples, weights).mean())
    assert learned < 1
    assert (found.height, found.at) == (pytest.approx(np.log(10) - learned, rel=1e-6), 0.5)


def test_a_barrier_of_nothing_has_the_error_of_the_highest_place_between_the_ends(session):
    part, start = samples_of(session, count=60), trained(session.model)
    end = moved_by(session, 1, names=list(start)[-2:])
    found = barrier(session.model, start, end, part, points=7, **EXACT)
    above = heights_of(session, part, start, end, 7)
    highest = 1 + above[1:-1].mean(1).argmax()
    assert found.height == 0
    assert above[highest].mean() < 0
    assert found.error == pytest.approx(above[highest].std(ddof=1) * ((1 - 60 / part.total) / 60) ** 0.5, rel=1e-5)


def test_with_batch_normalisation_the_statistics_are_those_of_the_batches():
    session = session_of({**small_model("cnn"), "norm": "batch"})
    samples = samples_of(session)
    start = trained(session.model)
    other = moved_by(session, 2)
    found = barrier(session.model, start, other, samples)
    assert found.batchnorm == "batch"
    evaluator = Evaluator(session.model, line(start, other), samples, batchnorm="batch")
    loss = evaluator.values([(share, 0) for share in np.linspace(0, 1, 21)]).loss
    above = loss - np.linspace(loss[0], loss[-1], 21)
    assert found.height == pytest.approx(above.max(), rel=1e-4, abs=1e-6)


def test_losses_of_each_sample_are_those_behind_the_means(session, samples):
    evaluator = Evaluator(session.model, random_plane(trained(session.model), seed=0), samples, **EXACT)
    evaluator.block = 3
    points = [(0.1 * index, -0.05 * index) for index in range(8)]
    losses = evaluator.losses(points)
    assert losses.shape == (8, len(samples))
    assert losses.mean(1).tolist() == pytest.approx(evaluator.values(points).loss.tolist(), rel=1e-12)


# -- what a person asks for ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"radius": 0}, "radius is 0, but must be above 0"),
        ({"radius": float("nan")}, "radius is nan, but must be above 0"),
        ({"directions": 1}, "directions is 1, but a standard error needs at least 2"),
        ({"normalisation": "filters"}, "Unknown normalisation 'filters'. Expected one of: filter, layer, none"),
    ],
)
def test_sharpness_of_nothing_is_refused(options, said, session, samples):
    with pytest.raises(ValueError, match=said):
        sharpness(session.model, samples, **options)


def test_a_way_without_a_middle_or_to_another_network_is_refused(session, samples):
    weights = trained(session.model)
    with pytest.raises(ValueError, match="points is 2, but a way between two ends needs at least 3"):
        barrier(session.model, weights, weights, samples, points=2)
    other = trained(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    with pytest.raises(ValueError, match="they belong to different networks"):
        barrier(session.model, weights, other, samples)
