"""Training against a loop written by hand: contiguous float64, torch's plain optimizers, its own streams."""

import math

import pytest
import torch
from small_runs import SMALL, TINY_CNN, trained
from torch import nn

from lab.data import load
from lab.recipe import Recipe

REFERENCES = {
    "mlp, nesterov, cosine": {
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True},
        "schedule": "cosine",
        "warmup": 0.2,
    },
    "mlp, adam, decay": {"optimizer": {"name": "adam", "lr": 0.01, "weight_decay": 0.1}, "label_smoothing": 0.1},
    "cnn, momentum": {"model": TINY_CNN, "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9}},
    "cnn, adam, clipped": {"model": TINY_CNN, "optimizer": {"name": "adam", "lr": 0.01}, "clip_norm": 0.5},
}


def network_by_hand(recipe):
    """The network in contiguous float64, its weights drawn in float32 from the stream for `init`."""
    if recipe.model.name == "mlp":
        layers = [nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)]
    else:
        first, second = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 4, 3, padding=1)
        layers = [first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU(), nn.MaxPool2d(2)]
        layers += [nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 10)]
    draws = torch.Generator().manual_seed(4 * recipe.seed)
    for layer in layers:
        if hasattr(layer, "weight"):
            std = math.sqrt(2 / layer.weight[0].numel())
            nn.init.normal_(layer.weight, 0, std, generator=draws)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers).double()


def optimizer_by_hand(recipe, model):
    settings_ = {key: value for key, value in recipe.optimizer if key not in ("name", "beta1", "beta2")}
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[recipe.optimizer.name]
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    biases = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    groups = [{"params": matrices}, {"params": biases, "weight_decay": 0}]
    return kind(groups, foreach=False, fused=False, **settings_)


def rate_by_hand(recipe, progress):
    if recipe.schedule.name == "constant":
        return recipe.optimizer.lr
    warmup = recipe.warmup
    falling = (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup))) / 2
    return recipe.optimizer.lr * (progress / warmup if progress < warmup else falling)


def loss_by_hand(logits, labels, smoothing=0.0):
    logs = logits.log_softmax(1)
    return -((1 - smoothing) * logs[torch.arange(len(labels)), labels] + smoothing * logs.mean(1)).mean()


def clip_by_hand(model, norm):
    gradients = [parameter.grad for parameter in model.parameters()]
    total = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    if norm and total > norm:
        for gradient in gradients:
            gradient.mul_(norm / (total + 1e-6))


def prepared_by_hand(data):
    """Training and validation images as the network sees them, with the training split's mean and deviation."""
    images = data.train.images.double() / 255
    mean, std = round(images.mean().item(), 6), round(images.std(correction=0).item(), 6)
    return (images - mean) / std, (data.validation.images.double() / 255 - mean) / std


def train_by_hand(recipe):
    """The losses of all steps, the validation losses, and the network at the end."""
    data, model = load(recipe.data, recipe.modify), network_by_hand(recipe)
    images, validation = prepared_by_hand(data)
    optimizer, order = optimizer_by_hand(recipe, model), torch.Generator().manual_seed(4 * recipe.seed + 1)
    losses, validation_losses, steps = [], [], recipe.epochs * math.ceil(len(images) / recipe.batch_size)
    for _ in range(recipe.epochs):
        permutation = torch.randperm(len(images), generator=order)
        for start in range(0, len(images), recipe.batch_size):
            batch = permutation[start : start + recipe.batch_size]
            loss = loss_by_hand(model(images[batch]), data.train.labels[batch], recipe.label_smoothing)
            for group in optimizer.param_groups:
                group["lr"] = rate_by_hand(recipe, len(losses) / steps)
            optimizer.zero_grad()
            loss.backward()
            clip_by_hand(model, recipe.clip_norm)
            optimizer.step()
            losses.append(loss.item())
        validation_losses.append(loss_by_hand(model(validation), data.validation.labels).item())
    return losses, validation_losses, model


@pytest.mark.parametrize("changes", REFERENCES.values(), ids=REFERENCES)
def test_training_is_what_a_plain_loop_does(changes):
    recipe = Recipe(**{**dict(SMALL), "precision": "float64", **changes})
    losses, validation_losses, model = train_by_hand(recipe)
    session, _ = trained(recipe)
    assert session.history.loss == pytest.approx(losses, rel=0, abs=1e-10)
    assert [epoch.validation_loss for epoch in session.history.epochs] == pytest.approx(
        validation_losses, rel=0, abs=1e-10
    )
    for ours, theirs in zip(session.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
