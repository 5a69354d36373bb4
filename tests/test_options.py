"""Initial weights, activations, models and modifiers against an independent account of each."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import specs
from torch import nn

from lab.activations import activations, gain_of
from lab.data import datasets, load, modifiers
from lab.initializers import initializers
from lab.models import initialise, models


@pytest.mark.parametrize("shape", [(512, 1024), (256, 64, 3, 3)])
@pytest.mark.parametrize(
    ("spec", "std"),
    [
        ("he_normal", lambda fan_in, fan_out: 1.7 / math.sqrt(fan_in)),
        ("xavier_normal", lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out))),
        ({"name": "xavier_normal", "gain": 3}, lambda fan_in, fan_out: 3 * math.sqrt(2 / (fan_in + fan_out))),
        ({"name": "random_normal", "std": 0.2}, lambda fan_in, fan_out: 0.2),
    ],
)
def test_initial_weights_have_the_variance_of_the_formula(spec, std, shape):
    weight = torch.zeros(shape)
    initializers.build(initializers.parse(spec), weight, 1.7, torch.Generator().manual_seed(0))
    pixels = math.prod(shape[2:])
    expected = std(shape[1] * pixels, shape[0] * pixels)
    deviations = 6 / math.sqrt(2 * weight.numel())  # six standard errors of an estimated standard deviation
    assert weight.std().item() == pytest.approx(expected, rel=deviations)
    assert abs(weight.mean().item()) < 6 * expected / math.sqrt(weight.numel())


@pytest.mark.parametrize("name", initializers)
def test_every_initializer_draws_from_the_generator_alone(name):
    def drawn(seed):
        weight = torch.full((8, 4, 3, 3), math.nan)
        initializers.build(initializers.parse(name), weight, 1.0, torch.Generator().manual_seed(seed))
        return weight

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    assert drawn(1).isfinite().all()


def test_initialising_fills_weights_and_empties_biases():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(4, 3), nn.Linear(3, 2, bias=False), nn.BatchNorm1d(2))
    initialise(model, lambda weight: weight.fill_(7))
    for name, parameter in model.named_parameters():
        expected = {"3.weight": 1, "3.bias": 0}.get(name, 7 if name.endswith("weight") else 0)
        assert parameter.eq(expected).all(), name


@pytest.mark.parametrize(
    ("spec", "gain"),
    [
        ("relu", math.sqrt(2)),
        ("tanh", 5 / 3),
        ("sigmoid", 1.0),
        ({"name": "leaky_relu", "slope": 0.5}, math.sqrt(2 / 1.25)),
    ],
)
def test_gains(spec, gain):
    assert gain_of(activations.parse(spec)) == pytest.approx(gain, rel=1e-12)


@pytest.mark.parametrize(
    ("spec", "formula"),
    [
        ("relu", lambda x: max(0.0, x)),
        ({"name": "leaky_relu", "slope": 0.2}, lambda x: x if x > 0 else 0.2 * x),
        ("sigmoid", lambda x: 1 / (1 + math.exp(-x))),
        ("tanh", lambda x: (math.exp(x) - math.exp(-x)) / (math.exp(x) + math.exp(-x))),
    ],
)
def test_activations_follow_their_formula(spec, formula):
    points = torch.linspace(-4, 4, 81, dtype=torch.float64)
    expected = torch.tensor([formula(x) for x in points.tolist()], dtype=torch.float64)
    torch.testing.assert_close(activations.build(activations.parse(spec))(points), expected, rtol=1e-12, atol=1e-14)


def network(spec, shape, classes=10):
    return models.build(models.parse(spec), shape, classes, nn.ReLU)


@pytest.mark.parametrize("depth", [1, 2, 6])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 7, 5), (1, 9, 2), (2, 1, 1)])
def test_a_cnn_fits_every_image(shape, depth):
    model = network({"name": "cnn", "depth": depth, "width": 2, "hidden": 4}, shape)
    assert model(torch.rand(3, *shape)).shape == (3, 10)


@pytest.mark.parametrize("name", models)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32)])
def test_every_model_gives_one_logit_per_class(name, shape):
    assert network(name, shape, classes=7).eval()(torch.rand(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize(
    ("spec", "shape", "count"),
    [
        ({"name": "mlp", "depth": 0}, (1, 8, 8), 64 * 10 + 10),
        ({"name": "mlp", "depth": 2, "width": 64}, (1, 8, 8), 2 * (64 * 64 + 64) + 64 * 10 + 10),
        ({"name": "mlp", "depth": 1, "width": 5}, (3, 4, 2), 24 * 5 + 5 + 5 * 10 + 10),
        (
            {"name": "cnn", "depth": 2, "width": 16, "hidden": 128},
            (1, 8, 8),
            (9 * 16 + 16) + (16 * 9 * 32 + 32) + (32 * 2 * 2 * 128 + 128) + (128 * 10 + 10),
        ),
    ],
)
def test_parameters_counted_by_hand(spec, shape, count):
    assert sum(parameter.numel() for parameter in network(spec, shape).parameters()) == count


def test_an_mlp_without_hidden_layers_is_one_matrix():
    model = network({"name": "mlp", "depth": 0}, (1, 2, 2), classes=3)
    images, (weight, bias) = torch.rand(5, 1, 2, 2), model.parameters()
    torch.testing.assert_close(model(images), images.flatten(1) @ weight.T + bias, rtol=1e-6, atol=1e-6)


@given(st.data())
@pytest.mark.parametrize("name", modifiers)
def test_a_modifier_takes_every_valid_setting_and_spares_validation_and_test(name, data):
    whole, choice = load(datasets.parse("digits")), modifiers.parse(data.draw(specs("modify", name)))
    changed = modifiers.build(choice, whole)
    assert changed.validation is whole.validation
    assert changed.test is whole.test
    assert len(changed.train.images) == len(changed.train.labels) > 0
