"""Optimizers against NumPy, against torch, and down two valleys."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from lab.optimizers import optimizers, parameter_groups

CURVATURE = np.array([[3.0, 0.5, 0.0], [0.5, 1.0, -0.2], [0.0, -0.2, 2.0]])
START = np.array([1.0, -2.0, 0.5])
SGD_CASES = [
    {"lr": 0.1},
    {"lr": 0.05, "momentum": 0.9},
    {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    {"lr": 0.05, "momentum": 0.5, "weight_decay": 0.1},
]
ADAM_CASES = [
    {"lr": 0.1},
    {"lr": 0.01, "beta1": 0.5, "beta2": 0.9, "eps": 1e-3},
    {"lr": 0.1, "beta1": 0.0, "weight_decay": 0.1},
]
RMSPROP_CASES = [
    {"lr": 0.1},
    {"lr": 0.01, "alpha": 0.5, "eps": 1e-3},
    {"lr": 0.1, "alpha": 0.0, "weight_decay": 0.1},
]


def sgd_by_hand(theta, steps, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    velocity = np.zeros_like(theta)
    for _ in range(steps):
        gradient = CURVATURE @ theta + weight_decay * theta
        velocity = momentum * velocity + gradient
        theta = theta - lr * (gradient + momentum * velocity if nesterov else velocity)
    return theta


def adam_by_hand(theta, steps, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    mean, square = np.zeros_like(theta), np.zeros_like(theta)
    for step in range(1, steps + 1):
        gradient = CURVATURE @ theta + weight_decay * theta
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        theta = theta - lr * (mean / (1 - beta1**step)) / (np.sqrt(square / (1 - beta2**step)) + eps)
    return theta


def adamw_by_hand(theta, steps, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    mean, square = np.zeros_like(theta), np.zeros_like(theta)
    for step in range(1, steps + 1):
        gradient = CURVATURE @ theta
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        update = (mean / (1 - beta1**step)) / (np.sqrt(square / (1 - beta2**step)) + eps)
        theta = theta - lr * (update + weight_decay * theta)
    return theta


def rmsprop_by_hand(theta, steps, lr, alpha=0.99, eps=1e-8, weight_decay=0.0):
    square = np.zeros_like(theta)
    for _ in range(steps):
        gradient = CURVATURE @ theta + weight_decay * theta
        square = alpha * square + (1 - alpha) * gradient**2
        theta = theta - lr * gradient / (np.sqrt(square) + eps)
    return theta


CASES = {
    "sgd": (sgd_by_hand, SGD_CASES),
    "adam": (adam_by_hand, ADAM_CASES),
    "adamw": (adamw_by_hand, [*ADAM_CASES, {"lr": 0.1, "weight_decay": 0.0}]),
    "rmsprop": (rmsprop_by_hand, RMSPROP_CASES),
}


def descend(make_optimizer, loss, start, steps):
    theta = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = make_optimizer([{"params": [theta]}])
    for _ in range(steps):
        optimizer.zero_grad()
        loss(theta).backward()
        optimizer.step()
    return theta.detach()


def bowl(theta):
    return theta @ torch.from_numpy(CURVATURE) @ theta / 2


def rosenbrock(theta):
    return (1 - theta[0]) ** 2 + 100 * (theta[1] - theta[0] ** 2) ** 2


def lab_optimizer(name, settings):
    return lambda groups: optimizers.build(optimizers.parse({"name": name, **settings}), groups)


def torch_optimizer(name, settings):
    kind = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "rmsprop": torch.optim.RMSprop,
    }
    settings = dict(settings)
    if name in ("adam", "adamw"):
        settings["betas"] = settings.pop("beta1", 0.9), settings.pop("beta2", 0.999)
    return lambda groups: kind[name](groups, foreach=False, **settings)


@pytest.mark.parametrize("steps", [1, 10])
@pytest.mark.parametrize(
    ("name", "by_hand", "settings"),
    [(name, by_hand, case) for name, (by_hand, cases) in CASES.items() for case in cases],
)
def test_optimizers_step_as_written_down_and_as_torch_does(name, by_hand, settings, steps):
    ours = descend(lab_optimizer(name, settings), bowl, START, steps)
    theirs = descend(torch_optimizer(name, settings), bowl, START, steps)
    np.testing.assert_allclose(ours, by_hand(START, steps, **settings), rtol=0, atol=1e-13)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", optimizers)
@pytest.mark.parametrize(
    ("valley", "start", "steps", "left"), [(bowl, [1.0, -2.0, 0.5], 200, 0.02), (rosenbrock, [-1.2, 1.0], 1000, 0.1)]
)
def test_every_optimizer_descends_with_some_learning_rate(name, valley, start, steps, left):
    rates = [{"lr": rate} for rate in (0.3, 0.1, 0.03, 0.01, 0.001)] if "lr" in optimizers[name].model_fields else [{}]
    ends = [float(valley(descend(lab_optimizer(name, rate), valley, start, steps))) for rate in rates]
    assert min(end for end in ends if math.isfinite(end)) < left * float(
        valley(torch.tensor(start, dtype=torch.float64))
    )


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_weight_decay_pulls_matrices_and_leaves_biases_and_norms_alone(name):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = lab_optimizer(name, {"lr": 0.5, "weight_decay": 0.1})(parameter_groups(model))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for key, parameter in model.named_parameters():
        factor = 1 - 0.5 * 0.1 if key == "0.weight" else 1.0
        torch.testing.assert_close(parameter.detach(), factor * before[key], rtol=1e-6, atol=0)


def test_frozen_parameters_are_not_handed_to_the_optimizer():
    model = nn.Linear(3, 4)
    model.weight.requires_grad_(False)
    assert [group["params"] for group in parameter_groups(model)] == [[], [model.bias]]
