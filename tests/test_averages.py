"""Averages of the weights: against NumPy, and evaluation, runs and checkpoints that use them."""

import math

import numpy as np
import pytest
import torch
from small_runs import SMALL, TINY_CNN, same_history, trained
from torch import nn

import lab
from lab.averages import averages
from lab.events import Epoch, Looking, Step
from lab.models import models
from lab.steps import EVALUATION_BATCH
from lab.store import decode_state, encode_state
from lab.training import Training
from lab.used_weights import spread

EXACT = SMALL.changed(precision="float64")
USED_OTHERWISE = [
    {"average": "ema"},
    {"average": {"name": "swa", "start": 0.4}},
    {"optimizer": "schedule_free_adamw"},
    {"optimizer": "schedule_free_adamw", "average": {"name": "ema", "warmup": False}},
]
otherwise = pytest.mark.parametrize("change", USED_OTHERWISE, ids=str)


@pytest.fixture(autouse=True)
def normed(monkeypatch):
    """A network with batch normalisation and dropout, so wide that its statistics matter."""
    monkeypatch.setattr(models, "functions", dict(models.functions))
    monkeypatch.setattr(models, "_choices", dict(models._choices))

    @models.add
    def normed(shape, classes, activation):
        """Linear layers with batch normalisation and dropout. Source: this test."""
        layers = [nn.Flatten(), nn.Linear(math.prod(shape), 16), nn.BatchNorm1d(16), activation(), nn.Dropout(0.5)]
        return nn.Sequential(*layers, nn.Linear(16, classes))


def weights_after_each_step(recipe):
    """The training, and the weights by name that each step left."""
    session = Training(recipe, device="cpu")
    steps = (event for event in session if isinstance(event, Step))
    named = [{name: p.detach().clone().numpy() for name, p in session.model.named_parameters()} for _ in steps]
    return session, named


@pytest.mark.parametrize("warmup", [False, True])
def test_ema_is_the_mean_of_the_formula(warmup):
    average = {"name": "ema", "decay": 0.8, "warmup": warmup}
    session, weights = weights_after_each_step(EXACT.changed(average=average))
    for name in weights[0]:
        mean = weights[0][name]
        for step, newest in enumerate(weights[1:], start=1):
            decay = min(0.8, (1 + step) / (10 + step)) if warmup else 0.8
            mean = decay * mean + (1 - decay) * newest[name]
        np.testing.assert_allclose(session.average[name], mean, rtol=0, atol=1e-13)
        assert not np.allclose(mean, weights[-1][name])


@pytest.mark.parametrize(("start", "first"), [(0.0, 1), (0.4, 2), (0.5, 3), (0.9, 5)])
def test_swa_is_the_mean_of_the_last_epochs_ends(start, first):
    recipe = EXACT.changed(average={"name": "swa", "start": start}, epochs=5)
    session, weights = weights_after_each_step(recipe)
    ends = weights[session.steps_per_epoch - 1 :: session.steps_per_epoch]
    assert len(ends) == 5
    for name, mean in session.average.items():
        expected = np.mean([end[name] for end in ends[first - 1 :]], axis=0)
        np.testing.assert_allclose(mean, expected, rtol=0, atol=1e-13)


def test_swa_begins_where_a_product_is_a_little_above_a_whole_number():
    choice = averages.parse({"name": "swa", "start": 0.07})
    assert 0.07 * 100 > 7
    assert averages.build(choice, 7 * 3 - 1, 3, 100) == 1.0
    assert averages.build(choice, 7 * 3 - 2, 3, 100) is None


@otherwise
@pytest.mark.parametrize("model", ["mlp", "normed"])
def test_training_goes_on_with_its_own_weights(change, model):
    recipe = SMALL.changed(**change, model=model)
    averaged, plain = trained(recipe)[0], trained(recipe.changed(average="nothing"))[0]
    assert averaged.history.loss == plain.history.loss
    if "average" in change:
        assert [e.validation_loss for e in averaged.history.epochs] != [e.validation_loss for e in plain.history.epochs]


@otherwise
@pytest.mark.parametrize("model", ["mlp", TINY_CNN, "normed"])
def test_a_run_holds_the_weights_that_its_last_validation_saw(change, model):
    run = lab.train(SMALL.changed(**change, model=model), progress=False, device="cpu")
    session = Training(run.recipe.changed(average="nothing", optimizer="sgd"), device="cpu")
    session.model.load_state_dict(run.weights)
    last = run.history.epochs[-1]
    assert session.evaluate(session.validation_split) == (last.validation_loss, last.validation_accuracy)
    assert run.test("cpu") == session.evaluate(session.data.test)


@otherwise
def test_looks_leave_no_trace_in_the_training(change):
    recipe = SMALL.changed(**change, model="normed", augment=["flip"])
    plain, _ = trained(recipe)
    watched = Training(recipe, device="cpu")
    for event in watched:
        if isinstance(event, Step):
            watched.evaluate(watched.validation_split)
            watched.state()
    assert same_history(watched, plain)
    for name, tensor in plain.weights().items():
        assert torch.equal(watched.weights()[name], tensor), name


@otherwise
@pytest.mark.parametrize("stop", [0, 3, 10, 16, 21])
def test_averages_go_on_with_the_same_bits(change, stop, tmp_path):
    recipe = SMALL.changed(**change, model="normed")
    whole, _ = trained(recipe)
    session = Training(recipe, device="cpu")
    if stop:
        next(event for event in session if isinstance(event, Step) and event.step == stop)
    (tmp_path / "state").write_bytes(encode_state(session.state()))
    again = Training(recipe, device="cpu")
    again.restore(decode_state(tmp_path / "state"))
    assert again.weights().keys() == session.weights().keys()
    list(again)
    assert same_history(again, whole)
    for name, tensor in whole.weights().items():
        assert torch.equal(again.weights()[name], tensor), name


def test_a_look_that_was_left_in_the_middle_leaves_the_training_its_weights():
    recipe = SMALL.changed(average="ema", model="normed")
    session = Training(recipe, device="cpu")
    for event in session:
        if isinstance(event, Looking):
            break
    again = Training(recipe, device="cpu")
    again.restore(session.state())
    assert all(layer.training for layer in session.model.modules())
    list(session), list(again)
    assert same_history(session, trained(recipe)[0])
    assert same_history(again, session)


@otherwise
def test_a_stopped_run_opens_with_the_weights_it_is_used_with(change, tmp_path):
    session = Training(SMALL.changed(**change, model="normed"), device="cpu")
    recorder = lab.store.Recorder(session, tmp_path / "run")
    next(event for event in recorder if isinstance(event, Epoch) and event.epoch == 1)
    used = session.weights()
    recorder.close()
    opened = lab.open_run(tmp_path / "run")
    assert opened.status == "stopped"
    assert opened.weights.keys() == used.keys()
    for name, tensor in used.items():
        assert torch.equal(opened.weights[name], tensor), name
    assert any(not torch.equal(tensor, used[name]) for name, tensor in session.model.state_dict().items())


def test_statistics_are_those_of_the_mean_without_dropout_and_without_a_trace():
    session, _ = trained(EXACT.changed(average="ema", model="normed"))
    used, count = session.weights(), len(session.train_split)
    images = session.prepare(session.train_split.images).flatten(1)
    outputs = images @ used["1.weight"].T + used["1.bias"]
    assert count <= EVALUATION_BATCH  # one batch
    torch.testing.assert_close(used["2.running_mean"], outputs.mean(0), rtol=0, atol=1e-12)
    torch.testing.assert_close(used["2.running_var"], outputs.var(0), rtol=0, atol=1e-12)
    assert session.model[2].momentum == 0.1
    assert not torch.equal(session.model[2].running_mean, used["2.running_mean"])


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (50, [50]), (257, [256]), (700, [256] * 2), (60000, [256] * 8)])
def test_statistics_come_from_whole_batches_that_cover_the_split(count, sizes):
    parts = spread(count)
    assert [len(part) for part in parts] == sizes
    index = torch.cat(list(parts))
    assert len(index.unique()) == len(index)
    assert (int(index[0]), int(index[-1])) in {(0, count - 1), (0, 0)}


def test_a_run_without_an_average_is_as_it_was():
    session, _ = trained(SMALL)
    assert session.average == {}
    assert session.other_weights() == {}
    assert all(torch.equal(tensor, session.weights()[name]) for name, tensor in session.model.state_dict().items())
