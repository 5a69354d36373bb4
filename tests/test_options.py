"""Models and modifiers against an independent account of each."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import specs
from torch import nn

from lab.data import datasets, load, modifiers
from lab.data.domains import judges_elsewhere
from lab.models import models


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
@pytest.mark.parametrize(
    "name", [name for name in modifiers if name not in (*judges_elsewhere, "classes", "unseen_classes")]
)
def test_a_modifier_takes_every_valid_setting_and_spares_validation_and_test(name, data):
    whole, choice = load(datasets.parse("digits")), modifiers.parse(data.draw(specs("modify", name)))
    changed = modifiers.build(choice, whole)
    assert changed.validation is whole.validation
    assert changed.test is whole.test
    assert len(changed.train.images) == len(changed.train.labels) > 0
