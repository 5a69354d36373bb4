"""Runs with any augmentation: the same numbers again after a stop, and beside everything else that a recipe has."""

from math import isfinite

import pytest
import torch
from small_runs import SMALL, same_history, same_weights, trained

from lab.augmentations import augmentations
from lab.diagnostics import range_test
from lab.events import Finished, Step
from lab.store import decode_state, encode_state
from lab.training import Training

QUICK = SMALL.changed(batch_size=10, epochs=2)  # five steps an epoch
SHORT = {"generated": {"steps": 20, "width": 8}}  # what learns, learns little


def with_augmentation(name, **changes):
    return QUICK.changed(augment=[{"name": name, **SHORT.get(name, {})}], **changes)


every_augmentation = pytest.mark.parametrize("name", augmentations)


@every_augmentation
def test_a_run_goes_on_in_mid_epoch_with_the_same_bits(name, tmp_path):
    whole, _ = trained(with_augmentation(name))
    session = Training(whole.recipe, device="cpu")
    next(event for event in session if isinstance(event, Step) and event.step == 3)
    (tmp_path / "state").write_bytes(encode_state(session.state()))
    again = Training(whole.recipe, device="cpu")
    again.restore(decode_state(tmp_path / "state"))
    list(again)
    assert same_history(again, whole)
    assert same_weights(again, whole)


@every_augmentation
@pytest.mark.parametrize(
    "change",
    [
        {"gradient": ["sam", "gradient_noise"]},
        {"precision": "bfloat16"},
        {"label_smoothing": 0.1, "clip_norm": 0.5},
        {"average": "ema"},
        {"model": {"name": "cnn", "width": 2, "hidden": 8}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_run_goes_with_everything_else(name, change):
    session, events = trained(with_augmentation(name, **change))
    assert isinstance(events[-1], Finished)
    assert events[-1].status in ("finished", "stuck")
    assert all(map(isfinite, session.history.loss))
    again, _ = trained(session.recipe)
    assert same_history(again, session)


@every_augmentation
def test_the_range_test_takes_the_loss_that_the_recipe_has(name):
    recipe = with_augmentation(name)
    found = range_test(recipe, low=1e-4, high=1e-3, steps=20, repeats=1, device="cpu")
    session = Training(recipe, device="cpu")
    assert found.curves[0].losses[0] == next(event for event in first_losses(session))


def first_losses(session):
    for event in session:
        if isinstance(event, Step):
            session.state()  # reads what is still on the device
            yield session.history.loss[0]


@every_augmentation
def test_precision_does_not_change_what_is_drawn(name):
    single, double = (
        Training(with_augmentation(name, precision=each), device="cpu") for each in ("float32", "float64")
    )
    split = single.train_split
    for _ in range(2):
        one, two = (session.prepare_batch(split.images[:9], split.labels[:9]) for session in (single, double))
        torch.testing.assert_close(one[0].double(), two[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(one[1].double(), two[1].double(), rtol=1e-5, atol=1e-5)
