"""Schedules, models and modifiers against an independent account of each."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import specs
from torch import nn

from lab.data import datasets, load, modifiers
from lab.models import models
from lab.schedules import schedules


@pytest.mark.parametrize(("warmup", "final"), [(0.0, 0.0), (0.25, 0.0), (0.25, 0.1)])
def test_cosine_is_torchs_after_a_linear_warm_up(warmup, final):
    steps, rising = 20, int(20 * warmup)
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - rising, eta_min=final)
    expected = [step / rising for step in range(rising)]
    for _ in range(steps - rising):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    choice = schedules.parse({"name": "cosine", "warmup": warmup, "final": final})
    factors = [schedules.build(choice, step / steps) for step in range(steps)]
    np.testing.assert_allclose(factors, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", schedules)
@given(st.data())
def test_every_schedule_gives_a_rate_that_can_be_used(name, data):
    choice = schedules.parse(data.draw(specs("schedule", name)))
    factor = schedules.build(choice, data.draw(st.floats(0, 1, exclude_max=True)))
    assert math.isfinite(factor)
    assert factor >= 0


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
