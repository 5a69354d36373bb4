"""Curvature against known matrices, dense Hessians in float64 and differences of gradients."""

from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from small_landscapes import MODELS, mean_loss, session_of
from small_networks import idle, recurrent
from small_runs import small_model
from torch.func import functional_call
from torch.nn import functional

from lab.landscape import Curvature, lanczos, samples_of, trace_of, trained
from lab.landscape import curvature as module
from lab.landscape.curvature import LEAST_PRODUCTS, NOISE, reach_of
from lab.landscape.weights import flat, shaped
from lab.models import models

pytestmark = pytest.mark.usefixtures("one_thread")
SPECTRUM = torch.cat([torch.tensor([9.0, 6.5, 4.9]), torch.linspace(-3, 2, 57)]).double()


def ones(size):
    return torch.ones(size, dtype=torch.float64)


@pytest.fixture(scope="module")
def quadratic(one_thread):
    """A symmetric matrix with a known spectrum, in a random basis."""
    axes = torch.linalg.qr(torch.randn(60, 60, generator=torch.Generator().manual_seed(0)).double()).Q
    return axes * SPECTRUM @ axes.T, axes


# -- matrices that are known --------------------------------------------------------------------------------


def test_the_largest_values_and_vectors_of_a_known_matrix(quadratic):
    matrix, axes = quadratic
    found = lanczos(lambda vector: matrix @ vector, ones(60), count=3, tolerance=1e-8)
    assert found.values == pytest.approx([9.0, 6.5, 4.9])
    assert [abs(float(vector @ axes[:, index])) for index, vector in enumerate(found.vectors)] == pytest.approx([1] * 3)
    assert found.converged
    assert found.products < 60


@pytest.mark.parametrize("most", [4, 8, 12, 20])
def test_the_residual_is_the_true_one_and_bounds_the_error_however_early_it_stops(most, quadratic):
    matrix, _ = quadratic
    found = lanczos(lambda vector: matrix @ vector, ones(60), tolerance=1e-12, most=most)
    true = [float((matrix @ v - value * v).norm()) for v, value in zip(found.vectors, found.values, strict=True)]
    assert found.residuals == pytest.approx(true, abs=1e-9)  # all of them far above rounding
    for value, residual in zip(found.values, found.residuals, strict=True):
        assert float((SPECTRUM - value).abs().min()) <= residual + 1e-9
    assert (found.products, found.converged) == (most, False)


def test_a_start_from_what_was_found_takes_half_the_products_and_sees_what_is_new(quadratic):
    matrix, axes = quadratic
    found = lanczos(lambda vector: matrix @ vector, ones(60))
    moved = matrix + 0.05 * torch.diag(axes[0])
    again = lanczos(lambda vector: moved @ vector, found.start(seed=1, noise=0.05))
    assert again.products <= found.products / 2
    assert again.values == pytest.approx(torch.linalg.eigvalsh(moved).flip(0)[:2].tolist(), rel=0.01)
    risen = matrix + 20 * torch.outer(axes[:, 30], axes[:, 30])  # an axis that did not matter is now the sharpest
    top = lanczos(lambda vector: risen @ vector, found.start(seed=1, noise=0.05))
    assert top.values[0] == pytest.approx(float(torch.linalg.eigvalsh(risen)[-1]), rel=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_a_direction_that_becomes_the_sharpest_by_little_among_many_is_not_missed(seed):
    spectrum = torch.linspace(0, 2, 10_000)
    spectrum[:2] = torch.tensor([10.0, 9.0])
    place = torch.randperm(10_000, generator=torch.Generator().manual_seed(seed))  # on no axis that a start favours
    found = lanczos(lambda vector: spectrum[place] * vector, ones(10_000).float())
    spectrum[5_000] = 11.0
    start = found.start(seed=seed, noise=NOISE)
    again = lanczos(lambda vector: spectrum[place] * vector, start, tolerance=0.02, least=LEAST_PRODUCTS)
    assert again.values == pytest.approx([11, 10], rel=0.02)


@pytest.mark.parametrize(
    ("matrix", "count", "values"),
    [
        (torch.eye(5), 2, [1, 1]),
        (torch.diag(torch.tensor([3.0, 3, 3, 1, 0])), 1, [3]),
        (torch.zeros(4, 4), 1, [0]),
        (torch.tensor([[2.0]]), 2, [2]),
        (-torch.eye(3), 1, [-1]),
    ],
    ids=["all alike", "three alike", "nothing", "one number", "negative"],
)
def test_spaces_that_end_early_are_no_trouble(matrix, count, values):
    found = lanczos(lambda vector: matrix.double() @ vector, ones(len(matrix)), count=count, tolerance=1e-9)
    assert found.values == pytest.approx(values, abs=1e-12)
    assert found.converged


def test_the_trace_and_its_error(quadratic):
    matrix, _ = quadratic
    estimates = [trace_of(lambda vector: matrix @ vector, ones(60), probes=20, seed=seed) for seed in range(200)]
    off = np.array([estimate.value - float(SPECTRUM.sum()) for estimate in estimates])
    errors = np.array([estimate.error for estimate in estimates])
    exact = (
        2 * float((matrix**2).sum() - (matrix.diag() ** 2).sum()) / 20
    ) ** 0.5  # of signs: variance 2 |off-diagonal|^2
    assert float(off.std()) == pytest.approx(exact, rel=0.15)
    assert float(np.sqrt((errors**2).mean())) == pytest.approx(exact, rel=0.05)
    assert abs(off.mean()) < 3 * exact / 200**0.5


def test_the_trace_of_a_diagonal_is_exact_with_signs():
    found = trace_of(lambda vector: vector * torch.arange(5).double(), ones(5), probes=3)
    assert (found.value, found.error, found.probes) == (10, 0, 3)


# -- networks -----------------------------------------------------------------------------------------------

TINY = {
    "mlp": {"name": "mlp", "width": 4},
    "mlp, batch": {"name": "mlp", "width": 4, "norm": "batch"},
    "mlp, no hidden layer": {"name": "mlp", "depth": 0},
    "cnn": {"name": "cnn", "width": 2, "hidden": 4, "norm": "batch"},
    "cnn, own kernels": {"name": "cnn", "width": 1, "depth": 1, "hidden": 0, "shared": False},
    "resnet": {"name": "resnet", "depth": 1, "width": 1},
    "densenet": {"name": "densenet", "growth": 1, "depth": 1, "blocks": 2},
    "rnn": {"name": "rnn", "width": 4},
    "lstm": {"name": "lstm", "width": 4},
    "gru": {"name": "gru", "width": 4},
    "transformer": {"name": "transformer", "width": 4, "heads": 2, "depth": 1, "patch": 4},
}


def dense(session, samples):
    loss, place = mean_loss(session, samples)
    return torch.autograd.functional.hessian(loss, place)


@pytest.mark.parametrize("name", TINY)
def test_eigenvalues_and_trace_are_those_of_the_dense_hessian(name):
    session = session_of(TINY[name])
    samples = samples_of(session, split="training")
    values = torch.linalg.eigvalsh(dense(session, samples)).flip(0)
    for dtype, tolerance in ((torch.float64, 1e-8), (torch.float32, 1e-3)):
        curvature = Curvature(session.model, samples, dtype=dtype, batch_size=30)
        found = curvature.eigenpairs(count=3, tolerance=tolerance)
        assert found.converged
        assert found.values == pytest.approx(values[:3].tolist(), rel=tolerance)
    trace = curvature.trace(probes=40)
    assert abs(trace.value - float(values.sum())) < 4 * trace.error
    assert trace.error < float(values.abs().sum())


@pytest.mark.parametrize("name", MODELS)
def test_a_product_is_the_difference_of_two_gradients(name):
    session = session_of(MODELS[name], activation="tanh") if name != "torchvision" else session_of(MODELS[name])
    samples = samples_of(session, split="training").first(12)
    loss, place = mean_loss(session, samples)
    along = torch.randn(place.shape, generator=torch.Generator().manual_seed(2)).double()
    along *= 1e-7 * place.norm() / along.norm()  # so little that no relu bends between
    before, after = (torch.func.grad(loss)(place + sign * along) for sign in (-1, 1))
    found = Curvature(session.model, samples, dtype=torch.float64, batch_size=5).product(along)
    assert torch.dist(found, (after - before) / 2) < 1e-4 * found.norm()


def test_batches_and_graphs_that_are_built_anew_change_nothing(monkeypatch):
    session = session_of(small_model("cnn"))
    samples = samples_of(session)
    exact = {"dtype": torch.float64, "batch_size": 64}
    whole = Curvature(session.model, samples, **exact | {"batch_size": len(samples)})
    vector = flat(whole.centre).sin()
    expected = whole.product(vector)
    built, some = [], 2.5 * module.GRAPH_BYTES / Curvature(session.model, samples, **exact).kept
    for room in (0, some, 1e9):
        monkeypatch.setattr(module, "GRAPH_BYTES", room)
        part = Curvature(session.model, samples, **exact)
        part._gradient = counted(part._gradient, room, built)
        for _ in range(2):
            assert torch.dist(part.product(vector), expected) < 1e-12 * expected.norm()
    batches = -(-len(samples) // 64)
    assert batches > 2
    assert built.count(0) == 2 * batches  # each for each product
    assert built.count(1e9) == batches  # each once
    assert built.count(some) == 2 + 2 * (batches - 2)  # two are kept


def counted(build, room, built):
    def wrapped(part):
        built.append(room)
        return build(part)

    return wrapped


def test_another_place_another_loss_and_frozen_weights():
    session = session_of({"name": "mlp", "width": 4})
    samples = samples_of(session)
    loss, place = mean_loss(session, samples, label_smoothing=0.3)
    elsewhere = place + 0.1 * place.cos()
    expected = torch.autograd.functional.hessian(loss, elsewhere)
    smoothed = partial(functional.cross_entropy, label_smoothing=0.3, reduction="sum")
    weights = shaped(elsewhere, trained(deepcopy(session.model).double()))
    options = {"weights": weights, "loss": smoothed, "dtype": torch.float64}
    found = Curvature(session.model, samples, **options).eigenpairs(tolerance=1e-9)
    assert found.values == pytest.approx(torch.linalg.eigvalsh(expected).flip(0)[:2].tolist())
    model = deepcopy(session.model)
    model[1].requires_grad_(False)
    frozen = sum(parameter.numel() for parameter in model[1].parameters())
    part = Curvature(model, samples, **options | {"weights": None})
    assert part.size == len(place) - frozen
    loss, place = mean_loss(session, samples, label_smoothing=0.3)
    inner = torch.autograd.functional.hessian(loss, place)[frozen:, frozen:]
    assert part.eigenpairs(tolerance=1e-9).values == pytest.approx(torch.linalg.eigvalsh(inner).flip(0)[:2].tolist())


def test_squared_error_of_a_linear_network_has_the_curvature_of_its_inputs():
    """Mean of |W x + b - y|^2 / 2: the Hessian is mean (x, 1)(x, 1)^T for each class, wherever the weights are."""
    session = session_of({"name": "mlp", "depth": 0})
    samples = samples_of(session)
    inputs = samples.batch(slice(0, len(samples)), torch.float64).flatten(1)
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], 1)
    values = torch.linalg.eigvalsh(inputs.T @ inputs / len(inputs))
    curvature = Curvature(session.model, samples, loss=squared, dtype=torch.float64)
    assert curvature.eigenpairs(count=1, tolerance=1e-9).values[0] == pytest.approx(float(values[-1]))
    trace = curvature.trace(probes=200)
    assert abs(trace.value - 10 * float(values.sum())) < 4 * trace.error


def squared(logits, labels):
    return (logits - functional.one_hot(labels, 10)).square().sum() / 2


@pytest.mark.parametrize("own", [idle, recurrent], ids=lambda own: own.__name__)
def test_networks_of_a_persons_own(own, own_options):
    models.add(own)
    session = session_of(own.__name__)
    samples = samples_of(session).first(30)
    loss, place = mean_loss(session, samples)
    found = Curvature(session.model, samples, dtype=torch.float64).eigenpairs(count=1, tolerance=1e-9)
    vector = found.vectors[0]
    before, after = (torch.func.grad(loss)(place + sign * 1e-5 * vector) for sign in (-1, 1))
    assert float((after - before) @ vector / 2e-5) == pytest.approx(found.values[0], rel=1e-5)


def test_the_plane_of_the_first_two_vectors_bends_as_its_axes_say():
    session = session_of({"name": "mlp", "width": 4})
    samples = samples_of(session)
    curvature = Curvature(session.model, samples, dtype=torch.float64)
    found = curvature.eigenpairs(tolerance=1e-9)
    plane = curvature.plane(found)
    assert plane.origin.kind == "hessian"
    assert plane.origin.note.startswith(f"eigenvalues {found.values[0]:.3g} +- ")
    loss, _ = mean_loss(session, samples)
    step = 1e-4
    for axis, value in enumerate(found.values):
        at = [
            float(loss(flat(plane.point(*(length * (index == axis) for index in (0, 1))))))
            for length in (-step, 0, step)
        ]
        assert (at[0] - 2 * at[1] + at[2]) / step**2 == pytest.approx(value, rel=1e-3)


# -- what a person asks for ---------------------------------------------------------------------------------


def bad(act, said):
    with pytest.raises(ValueError, match=said):
        act()


def test_where_all_weights_are_zero_their_length_limits_no_picture():
    assert reach_of(8.0, 0.0) == reach_of(8.0, 1e9)
    assert reach_of(0.0, 0.0) == reach_of(-1.0, 0.0) == 1.0


def test_what_cannot_be_measured_is_refused_in_words():
    session = session_of({"name": "mlp", "width": 4})
    samples = samples_of(session)
    curvature = Curvature(session.model, samples)
    bad(lambda: curvature.eigenpairs(count=0), "count is 0 and most 100, but there must be 1 value or more")
    bad(lambda: curvature.eigenpairs(most=1), "count is 2 and most 1, but there must be")
    bad(lambda: curvature.trace(probes=1), "probes is 1, but a standard error needs at least 2")
    far = {name: tensor * 1e30 for name, tensor in trained(session.model).items()}
    bad(lambda: Curvature(session.model, samples, weights=far).eigenpairs(), "The curvature is not finite here")
    other = trained(session_of({"name": "mlp", "width": 5}).model)
    bad(lambda: Curvature(session.model, samples, weights=other), "The place has .* they belong to different networks")


# -- what other images would give -----------------------------------------------------------------------------


def along_each_image(session, samples, vector):
    """(n,) v^T H_i v of each image alone, in float64."""
    model = deepcopy(session.model).double().eval()
    centre, names = trained(model), list(trained(model))
    parts = shaped(vector, centre)

    def loss(image, label, *weights):
        logits = functional_call(model, dict(zip(names, weights, strict=True)), (image,))
        return functional.cross_entropy(logits, label)

    found = []
    for number in range(len(samples)):
        place = slice(number, number + 1)
        one = partial(loss, samples.batch(place, torch.float64), samples.labels[place])
        products = torch.autograd.functional.vhp(one, tuple(centre.values()), tuple(parts.values()))[1]
        found.append(float(sum((p * v).sum() for p, v in zip(products, parts.values(), strict=True))))
    return np.array(found)


@pytest.fixture(scope="module")
def bent(one_thread):
    """A small network, its sharpest direction, and the curvature of each validation image along it."""
    session = session_of({"name": "mlp", "width": 4})
    every = samples_of(session)
    vector = Curvature(session.model, every, dtype=torch.float64).eigenpairs(count=1).vectors[0]
    return session, vector, along_each_image(session, every, vector)


def test_with_one_image_a_batch_the_error_is_the_textbooks(bent):
    session, vector, each = bent
    kept = samples_of(session, count=60, seed=1)
    own = along_each_image(session, kept, vector)
    found = Curvature(session.model, kept, dtype=torch.float64, batch_size=1).error(vector)
    assert found == pytest.approx(own.std(ddof=1) * ((1 - 60 / len(each)) / 60) ** 0.5, rel=1e-6)
    whole, parts = (Curvature(session.model, kept, dtype=torch.float64, batch_size=size) for size in (60, 8))
    assert len(whole.batches) == 1
    assert whole.error(vector) == pytest.approx(parts.error(vector), rel=1e-6)  # eight parts all the same


def test_the_error_is_how_far_draws_of_other_images_are_apart(bent):
    session, vector, each = bent
    draws = [samples_of(session, count=64, seed=seed) for seed in range(40)]
    told = [Curvature(session.model, draw, dtype=torch.float64, batch_size=4).error(vector) for draw in draws]
    generator = np.random.default_rng(0)
    apart = np.std([generator.choice(each, 64, replace=False).mean() for _ in range(4000)])
    assert np.mean(np.square(told)) ** 0.5 == pytest.approx(apart, rel=0.2)


def with_ones(samples):
    inputs = samples.batch(slice(None), torch.float64).flatten(1)
    return torch.cat([inputs, torch.ones(len(inputs), 1)], 1)


def test_the_error_of_a_trace_holds_probes_and_images():
    """Of squared errors of a linear network: H is the mean of (x, 1)(x, 1)^T for each of 10 classes.

    Its trace varies as 10 |(x, 1)|^2 does over the images; an estimate of it by signs as 2 |off-diagonal|^2.
    """
    session, count, probes = session_of({"name": "mlp", "depth": 0}), 8, 32
    every = with_ones(samples_of(session))
    of_images = float((10 * every.square().sum(1)).var()) * (1 / count - 1 / len(every))
    squares, of_probes = [], []
    for seed in range(60):
        few = samples_of(session, count=count, seed=seed)
        curvature = Curvature(session.model, few, loss=squared, dtype=torch.float64, batch_size=1)
        squares.append(curvature.trace(probes=probes, seed=seed).error ** 2)
        inner = with_ones(few).T @ with_ones(few) / count
        of_probes.append(float(20 * (inner.square().sum() - inner.diag().square().sum()) / probes))
    assert of_images > 0.4 * np.mean(of_probes)
    assert np.mean(squares) == pytest.approx(of_images + np.mean(of_probes), rel=0.15)


def test_of_all_images_the_error_of_a_trace_is_that_of_the_probes(bent):
    session, _, _ = bent
    curvature = Curvature(session.model, samples_of(session), dtype=torch.float64)
    found, alone = curvature.trace(probes=5), trace_of(curvature.product, flat(curvature.centre), probes=5)
    assert (found.value, found.error) == (pytest.approx(alone.value), pytest.approx(alone.error))


def test_a_residual_in_float32_is_no_smaller_than_what_rounding_leaves(bent):
    session, _, _ = bent
    samples, options = samples_of(session), {"tolerance": 1e-6, "most": 60}
    exact = Curvature(session.model, samples, dtype=torch.float64).eigenpairs(**options)
    found = Curvature(session.model, samples).eigenpairs(**options)
    off = np.abs(found.values - exact.values)
    assert found.converged
    assert (off > 0).all()
    assert (off <= found.residuals).all()
    assert found.residuals == pytest.approx(1e-5 * found.values[0], rel=0.5)


def test_all_images_leave_no_error(bent):
    session, vector, _ = bent
    assert Curvature(session.model, samples_of(session)).error(vector.float()) == 0
