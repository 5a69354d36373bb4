"""Values on a plane against a plain float64 loop: every family, norm, plane and mode; what is rewritten; stopping."""

from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_landscapes import KINDS, MODELS, plane_of, reference, session_of
from small_networks import hooked, idle, reused, tied
from small_runs import bits, small_model
from torch import nn

import lab
from lab.landscape import Evaluator, random_plane, samples_of, trained
from lab.landscape import evaluators as module
from lab.views import CHOICES

pytestmark = pytest.mark.usefixtures("one_thread")
POINTS = [(0.0, 0.0), (0.7, -0.3), (-0.4, 0.9), (0.7, 0.9)]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-11}  # relative; what rounding leaves is 1e-7 and 1e-14


def agree(session, plane, dtype=torch.float32, **options):
    evaluator = Evaluator(session.model, plane, samples_of(session), dtype=dtype, **options)
    found = evaluator.values(POINTS)
    size = evaluator.batch_size if options.get("batchnorm") == "batch" else None
    expected = reference(session, plane, POINTS, options.get("batchnorm", "stored"), size)
    assert found.loss == pytest.approx([loss for loss, _ in expected], rel=TOLERANCE[dtype])
    if dtype == torch.float64:  # in float32 a tie may fall to the other side
        assert found.accuracy.tolist() == [accuracy for _, accuracy in expected]
    return evaluator


@pytest.fixture(scope="module")
def sessions(one_thread):
    """Each model trained once."""
    made = {}

    def session(name):
        if name not in made:
            made[name] = session_of(MODELS[name])
        return made[name]

    return session


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batchnorm", ["stored", "batch"])
def test_every_model_has_the_values_of_a_plain_loop(name, batchnorm, sessions):
    session = sessions(name)
    plane = random_plane(trained(session.model), seed=1, normalisation="layer")
    agree(session, plane, torch.float64, batchnorm=batchnorm, batch_size=64)
    agree(session, plane, batchnorm=batchnorm, batch_size=64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["mlp, batch", "cnn, batch"])
def test_every_kind_of_plane(kind, name, sessions):
    session = sessions(name)
    agree(session, plane_of(kind, session), torch.float64)
    agree(session, plane_of(kind, session), batchnorm="batch", batch_size=50)


@pytest.mark.parametrize("normalisation", CHOICES["normalisation"])
def test_every_normalisation(normalisation, sessions):
    session = sessions("cnn, batch")
    agree(session, random_plane(trained(session.model), seed=0, normalisation=normalisation), torch.float64)


@pytest.mark.parametrize("activation", ["relu", "gelu", "silu", "prelu", "tanh"])
def test_pooling_first_never_changes_a_value(activation):
    session = session_of(small_model("cnn"), activation=activation)
    evaluator = agree(session, random_plane(trained(session.model), seed=1), torch.float64)
    assert evaluator.rewriting.products[0].pool == "1"  # the lab's own networks pool before they bend


class Classic(nn.Sequential):
    """Convolution, activation, pool: in the order in which it is usually written."""

    def __init__(self, activation):
        super().__init__(
            *(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), activation(), nn.MaxPool2d(2)),
            *(nn.Conv2d(3, 5, 3, padding=1), activation(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(5 * 2 * 2, 10)),
        )


@pytest.mark.parametrize(("activation", "swapped"), [(nn.ReLU, True), (nn.LeakyReLU, True), (nn.GELU, False)])
def test_only_a_monotonic_activation_changes_places_with_a_pool(activation, swapped, sessions):
    session = sessions("cnn, nothing")
    other = deepcopy(session)
    other.model = Classic(activation).to(memory_format=torch.channels_last)
    evaluator = agree(other, random_plane(trained(other.model), seed=0), torch.float64)
    product = evaluator.rewriting.products[0]
    assert (product.layer, product.drawn_in, product.pool) == ("0", ("1",), "3" if swapped else None)
    assert evaluator.rewriting.swaps == ((("5", "6"),) if swapped else ())


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("mlp, nothing", ["1"]),
        ("cnn, layer", ["0"]),
        ("resnet, batch", ["0"]),
        ("densenet, batch", ["0"]),
        ("lstm", [f"1.reading.{gate}" for gate in ("input_gate", "forget_gate", "output_gate", "candidate")]),
        ("transformer", ["1"]),
        ("torchvision", ["conv1.0"]),
        ("cnn, own kernels", ["0"]),
    ],
)
def test_first_layers_are_found_by_what_they_read(name, layers, sessions):
    session = sessions(name)
    evaluator = Evaluator(session.model, random_plane(trained(session.model), seed=0), samples_of(session))
    assert [product.layer for product in evaluator.rewriting.products] == layers


@pytest.mark.parametrize("network", [hooked, idle, reused, tied])
def test_networks_of_a_persons_own(network, own_options):
    lab.models.add(network)
    agree(session_of(network.__name__), plane_of("path", session_of(network.__name__)), torch.float64)


class Twice(nn.Module):
    """The first layer's weight is read a second time, where no layer says so; and its output in two places."""

    def __init__(self):
        super().__init__()
        self.flat, self.first, self.norm, self.last = (
            nn.Flatten(),
            nn.Linear(64, 10),
            nn.BatchNorm1d(10),
            nn.Linear(10, 10),
        )

    def forward(self, images):
        hidden = self.first(self.flat(images))
        return self.last(self.norm(hidden).relu()) + hidden @ self.first.weight[:, :10]


@pytest.mark.parametrize("name", ["mlp, layer", "cnn, batch", "resnet, batch", "lstm", "transformer"])
def test_mixed_precision_is_near_the_reference_and_float32_is_there_beside_it(name, sessions):
    session, places = sessions(name), [(0.0, 0.0), (0.4, -0.3), (-0.6, 0.5)]
    plane = random_plane(trained(session.model), seed=0)
    mixed = Evaluator(session.model, plane, samples_of(session), dtype=torch.bfloat16)
    expected = np.array([loss for loss, _ in reference(session, plane, places)])
    off = np.abs(mixed.values(places).loss / expected - 1)
    assert 1e-6 < off.max() < 0.03
    plain = Evaluator(session.model, plane, samples_of(session)).values(places)
    assert mixed.in_float32().values(places).loss == pytest.approx(plain.loss, rel=1e-6)
    assert (mixed.precision, mixed.in_float32().precision) == ("bfloat16", "float32")


def test_what_cannot_be_rewritten_is_left_alone(sessions):
    session = deepcopy(sessions("mlp, nothing"))
    session.model = Twice()
    evaluator = agree(session, random_plane(trained(session.model), seed=0), torch.float64)
    assert evaluator.rewriting.products == ()


def test_frozen_weights_do_not_move(own_options, sessions):
    session = deepcopy(sessions("cnn, nothing"))
    session.model[0].requires_grad_(requires_grad=False)
    plane = random_plane(trained(session.model), seed=0)
    assert not any(name.startswith("0.") for name in plane.centre)
    assert agree(session, plane, torch.float64).rewriting.products[0].layer == "3"  # now the first that moves


@pytest.mark.parametrize("name", ["mlp, batch", "cnn, batch", "lstm", "transformer"])
def test_the_centre_is_what_evaluate_says(name, sessions):
    session = sessions(name)
    found = Evaluator(session.model, random_plane(trained(session.model), seed=0), samples_of(session)).values([(0, 0)])
    loss, accuracy = session.evaluate(session.validation_split)
    assert found.loss[0] == pytest.approx(loss, rel=1e-6)
    assert found.accuracy[0] == pytest.approx(accuracy, abs=1e-12)


def test_the_network_given_is_only_read(sessions):
    session = sessions("cnn, batch")
    before, modes = bits(session), [layer.training for layer in session.model.modules()]
    Evaluator(
        session.model,
        random_plane(trained(session.model), seed=0),
        samples_of(session),
        batchnorm="batch",
        batch_size=32,
    ).values(POINTS)
    assert bits(session) == before
    assert [layer.training for layer in session.model.modules()] == modes


@pytest.mark.parametrize("name", ["mlp, nothing", "cnn, batch"])
def test_a_value_does_not_depend_on_the_points_beside_it(name, sessions):
    session = sessions(name)
    evaluator = Evaluator(session.model, random_plane(trained(session.model), seed=0), samples_of(session))
    many = [(a, b) for a in np.linspace(-1, 1, 9) for b in np.linspace(-1, 1, 9)]
    together = evaluator.values(many).loss
    assert [float(evaluator.values([place]).loss[0]) for place in many[::7]] == together[::7].tolist()


def test_products_made_anew_for_each_block_give_the_same_bits(sessions, monkeypatch):
    session = sessions("cnn, batch")
    plane = random_plane(trained(session.model), seed=0)
    kept = Evaluator(session.model, plane, samples_of(session)).values(POINTS).loss
    monkeypatch.setattr(module, "PRODUCTS_BYTES", 0)
    anew = Evaluator(session.model, plane, samples_of(session))
    assert anew.values(POINTS).loss.tolist() == kept.tolist()
    assert anew._kept == {}


def test_weights_too_large_for_a_block_go_point_by_point(sessions, monkeypatch):
    session = sessions("cnn, batch")
    monkeypatch.setattr(module, "WEIGHTS_BYTES", 1)
    evaluator = agree(session, random_plane(trained(session.model), seed=0), torch.float64)
    assert (evaluator.block, evaluator.rewriting.products) == (1, ())


def test_what_is_held_stays_below_what_is_stated(sessions):
    session = sessions("cnn, batch")
    evaluator = Evaluator(session.model, random_plane(trained(session.model), seed=0), samples_of(session))
    evaluator.values(POINTS)
    held = sum(batch.bytes for batch in evaluator._kept.values()) + evaluator.weights.bytes
    assert held + evaluator.samples.images.numel() <= evaluator.bytes


def test_there_is_a_chance_to_stop_after_every_group_of_points(sessions, monkeypatch):
    session = sessions("cnn, batch")
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(module, "GROUP_FLOPS", 1)
    evaluator = Evaluator(
        session.model, random_plane(trained(session.model), seed=0), samples_of(session), batch_size=64
    )
    sizes = [len(indices) for indices, _ in evaluator(POINTS)]
    batches = -(-len(evaluator.samples) // 64)
    assert sizes == [0] * batches * (1 + len(POINTS)) + [len(POINTS)]  # the centre, each point, then the values


def test_less_than_a_tenth_of_a_second_of_work_lies_between_two_chances_to_stop(sessions, slow_groups):
    session = sessions("cnn, batch")
    evaluator = Evaluator(session.model, random_plane(trained(session.model), seed=0), samples_of(session))
    longest = before = 0.0
    for _ in evaluator([(place / 20, 0.0) for place in range(20)]):
        longest, before = max(longest, slow_groups.seconds - before), slow_groups.seconds
    assert slow_groups.seconds > 0.5
    assert 0 < longest < 0.1


def test_after_stopping_early_the_evaluator_goes_on_with_the_same_numbers(sessions, monkeypatch):
    session = sessions("cnn, batch")
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0)
    evaluator = Evaluator(
        session.model, random_plane(trained(session.model), seed=0), samples_of(session), batch_size=64
    )
    fresh = Evaluator(session.model, evaluator.plane, samples_of(session), batch_size=64)
    for _ in evaluator(POINTS):
        break
    assert evaluator.values(POINTS).loss.tolist() == fresh.values(POINTS).loss.tolist()


def test_losses_and_hits_of_logits_that_are_equal_or_not_finite():
    logits = torch.tensor([[0.0, 0.0, 0.0], [1.0, 3.0, 3.0], [torch.nan, 0.0, 0.0]]).T[None]  # (1, classes, n)
    losses, hits = module.losses_and_hits(logits.contiguous(), torch.tensor([0, 2, 1]))
    expected = nn.functional.cross_entropy(logits[0].T, torch.tensor([0, 2, 1]), reduction="none")
    assert losses[0, :2].tolist() == pytest.approx(expected[:2].tolist())
    assert torch.isnan(losses[0, 2])
    assert hits[0, :2].tolist() == (logits[0].T.argmax(1) == torch.tensor([0, 2, 1]))[:2].tolist() == [True, False]


# -- samples and their error -------------------------------------------------------------------------------------------


def test_a_subset_has_the_error_of_a_draw_without_repetition(sessions):
    session = sessions("mlp, nothing")
    plane = random_plane(trained(session.model), seed=0)
    whole = Evaluator(session.model, plane, samples_of(session)).values(POINTS)
    draws = [
        Evaluator(session.model, plane, samples_of(session, count=100, seed=seed)).values(POINTS) for seed in range(200)
    ]
    off = np.array([draw.loss for draw in draws]) - whole.loss
    shape = off - off[:, :1]  # the difference to the centre
    assert whole.error.tolist() == [0, 0, 0, 0]
    assert off.std(0) == pytest.approx(np.mean([draw.error for draw in draws], 0), rel=0.2)
    assert shape.std(0)[1:] == pytest.approx(np.mean([draw.difference_error for draw in draws], 0)[1:], rel=0.2)
    assert all(draw.difference_error[0] == 0 for draw in draws)


def test_training_or_validation_images(sessions):
    session = sessions("mlp, nothing")
    plane = random_plane(trained(session.model), seed=0)
    for split, part in (("training", session.train_split), ("validation", session.validation_split)):
        samples = samples_of(session, split=split)
        assert len(samples) == samples.total == len(part)
        found = Evaluator(session.model, plane, samples).values([(0, 0)]).loss[0]
        assert found == pytest.approx(session.evaluate(part)[0], rel=1e-6)


def test_a_draw_repeats_no_image_and_depends_on_its_seed(sessions):
    session = sessions("mlp, nothing")
    first, again, other = (samples_of(session, count=30, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    assert len(first.images.flatten(1).unique(dim=0)) == 30


def sorted_by_class(session, classes=2):
    """The images of the first few classes, one class behind the other as folders lie."""
    split = session.data.validation
    order = torch.cat([(split.labels == label).nonzero().squeeze(1) for label in range(classes)])
    data = replace(session.data, validation=split.take(order))
    return SimpleNamespace(data=data, device=session.device, memory_format=session.memory_format)


def loss_over_batches(session, split, size):
    """The network where it is, in float64, with the statistics of each batch in the order given."""
    mean, std = (torch.tensor(each).double().view(1, -1, 1, 1) for each in session.data.statistics)
    images = (split.images.double() / 255 - mean) / std
    model = deepcopy(session.model).double().eval()
    for layer in model.modules():
        layer.training = isinstance(layer, nn.modules.batchnorm._BatchNorm)
    with torch.no_grad():
        logits = torch.cat([model(part) for part in images.split(size)])
    return float(nn.functional.cross_entropy(logits, split.labels))


@pytest.mark.parametrize("seed", [0, 1])
def test_batches_whose_statistics_count_are_mixed_where_a_data_set_lies_sorted_by_class(seed, sessions):
    session = sessions("cnn, batch")
    source, size = sorted_by_class(session), 16
    split = source.data.validation
    count = len(split) // size * size
    assert 0 < count < len(split)  # the end is cut off, and that is not one class
    samples = samples_of(source, seed=seed)
    plane = random_plane(trained(session.model), seed=0)
    evaluator = Evaluator(session.model, plane, samples, batchnorm="batch", batch_size=size, dtype=torch.float64)
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    expected = loss_over_batches(session, split.take(order[:count]), size)
    in_order = loss_over_batches(session, split.take(torch.arange(count)), size)
    assert evaluator.values([(0, 0)]).loss[0] == pytest.approx(expected, rel=1e-7)  # statistics are rounded
    assert abs(in_order / expected - 1) > 1e-3


def test_fewer_samples_of_a_seed_are_the_first_of_more(sessions):
    session = sessions("mlp, nothing")
    every, few = samples_of(session), samples_of(session, count=30)
    assert torch.equal(few.images, every.first(30).images)
    assert torch.equal(few.labels, every.labels[:30])
    assert sorted(every.labels.tolist()) == sorted(session.data.validation.labels.tolist())
    assert every.labels.tolist() != session.data.validation.labels.tolist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batchnorm": "off"}, "Unknown batchnorm 'off'. Expected one of: stored, batch."),
        ({"batchnorm": "batch", "batch_size": 4096}, "samples make no batch of 4096: use more samples"),
    ],
)
def test_what_an_evaluator_refuses(options, words, sessions):
    session = sessions("mlp, nothing")
    with pytest.raises(ValueError, match=words):
        Evaluator(session.model, random_plane(trained(session.model), seed=0), samples_of(session), **options)


def test_a_plane_of_another_network_is_refused(sessions):
    plane = random_plane(trained(sessions("mlp, nothing").model), seed=0)
    with pytest.raises(ValueError, match="belong to different networks"):
        Evaluator(sessions("cnn, nothing").model, plane, samples_of(sessions("cnn, nothing")))


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ({"split": "test"}, "Unknown split 'test'. Expected one of: training, validation."),
        ({"count": 1}, "at least 2 images"),
    ],
)
def test_what_samples_refuse(which, words, sessions):
    with pytest.raises(ValueError, match=words):
        samples_of(sessions("mlp, nothing"), **which)


def test_batches_are_as_large_as_the_cache_allows(sessions, monkeypatch):
    session = sessions("cnn, nothing")  # its largest layer gives 4 channels of 8 x 8 numbers
    plane = random_plane(trained(session.model), seed=0)
    for room, size in ((40_000, 32), (1_023_999, 512), (10**9, module.LARGEST_BATCH), (1, module.SMALLEST_BATCH)):
        monkeypatch.setattr(module, "CACHE_BYTES", room)
        assert Evaluator(session.model, plane, samples_of(session)).batch_size == size


def test_weights_whose_logits_are_no_numbers_give_losses_that_are_none():
    session = session_of("mlp")
    lost = {name: torch.full_like(weights, torch.nan) for name, weights in trained(session.model).items()}
    evaluator = Evaluator(session.model, random_plane(trained(session.model), seed=0), samples_of(session))
    plane = replace(evaluator.plane, centre=lost)
    assert np.isnan(Evaluator(session.model, plane, samples_of(session)).values([(0.0, 0.0), (0.5, 0.1)]).loss).all()
