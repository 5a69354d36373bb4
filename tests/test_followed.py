"""Runs followed by snapshots: the numbers of the run stay, and each snapshot has the loss that is its own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_runs import SMALL, TINY_CNN, same_history, same_weights, small_model, trained
from torch.nn import functional

from lab import runs
from lab.followed import Following, finished, first_filters, follow, network_of
from lab.landscape import Trail, path_plane, samples_of
from lab.landscape.evaluators import Evaluator
from lab.recipe import RecipeError
from lab.store import RunError
from lab.training import Training
from lab.views import Lens

pytestmark = pytest.mark.usefixtures("one_thread")
QUIET = {"progress": False, "device": "cpu"}
LENS = Lens(samples=40)


@pytest.mark.parametrize("model", [TINY_CNN, {**TINY_CNN, "norm": "batch"}, {**TINY_CNN, "dropout": 0.5}], ids=str)
def test_following_a_training_changes_no_bit_of_it(model):
    recipe = SMALL.changed(model=model, augment=["crop"])
    alone, _ = trained(recipe)
    session = Training(recipe, device="cpu")
    for _ in Following(session, LENS):
        pass
    assert same_weights(session, alone)
    assert same_history(session, alone)


def test_snapshots_are_even_from_the_first_weights_to_the_last():
    session = Training(SMALL, device="cpu")
    following = Following(session, LENS, snapshots=5)
    before = {name: weight.clone() for name, weight in session.model.named_parameters()}
    assert [type(event).__name__ for event in following][-1] == "Finished"
    run = following.run
    assert run.trail.steps == [glimpse.step for glimpse in run.glimpses]
    assert run.trail.steps[0] == 0
    assert run.trail.steps[-1] == session.steps
    assert len(set(torch.tensor(run.trail.steps).diff().tolist()[:-1])) == 1
    assert all(torch.equal(run.trail.weights(0)[name], weight) for name, weight in before.items())
    assert all(torch.equal(run.end[name], weight) for name, weight in session.model.named_parameters())
    assert run.ended == "finished"


@pytest.mark.parametrize("batchnorm", ["stored", "batch"])
def test_the_true_loss_is_that_of_a_plain_loop_and_of_the_plane_at_the_end(batchnorm):
    lens = Lens(samples=40, batchnorm=batchnorm, batch_size=20)
    recipe = SMALL.changed(model={**small_model("mlp"), "norm": "batch"}, optimizer="adam")
    run = follow(recipe, lens, **QUIET)
    samples = run.samples
    images, labels = samples.batch(slice(None), torch.float32), samples.labels
    model = network_of(trained(recipe)[0])
    model.train(batchnorm == "batch")
    with torch.no_grad():
        logits = torch.cat([model(part) for part in images.split(20)])
    assert run.glimpses[-1].loss == pytest.approx(float(functional.cross_entropy(logits, labels)), rel=1e-5)
    plane = path_plane(run.trail)
    evaluator = Evaluator(run.model, plane, samples, batchnorm=batchnorm, batch_size=lens.own_batch_size)
    assert evaluator.values([(0, 0)]).loss[0] == pytest.approx(run.glimpses[-1].loss, rel=1e-4)


def test_each_snapshot_has_its_own_statistics_of_batch_normalisation():
    recipe = SMALL.changed(model={**small_model("mlp"), "norm": "batch"}, epochs=1)
    session = Training(recipe, device="cpu")
    fresh = network_of(session)
    run = follow(recipe, LENS, **QUIET)
    images = run.samples.batch(slice(None), torch.float32)
    with torch.no_grad():
        at_start = float(functional.cross_entropy(fresh(images), run.samples.labels))
    assert run.glimpses[0].loss == pytest.approx(at_start, rel=1e-5)


def test_the_network_is_followed_as_it_is_used():
    recipe = SMALL.changed(average="ema")
    session, _ = trained(recipe)
    run = follow(recipe, LENS, **QUIET)
    average = session.weights()
    assert all(torch.equal(weight, average[name]) for name, weight in run.end.items())
    assert not all(torch.equal(weight, session.model.state_dict()[name]) for name, weight in run.end.items())


@pytest.mark.parametrize("lr", [1e9, 1e20, 1e30])
def test_a_run_that_diverges_is_followed_as_far_as_its_weights_can_be_compared(lr):
    run = follow(SMALL.changed(optimizer={"name": "sgd", "lr": lr}), LENS, **QUIET)
    assert run.ended == "diverged"
    assert len(run.trail) == len(run.glimpses)
    assert np.isfinite(run.trail.gram).all()


def test_a_trail_with_little_room_gets_fewer_snapshots(monkeypatch):
    size = sum(weight.numel() for weight in Training(SMALL, device="cpu").model.parameters())
    few = lambda start: Trail(start, budget_bytes=4 * size * 8)  # noqa: E731
    monkeypatch.setattr("lab.followed.Trail", few)
    run = follow(SMALL, LENS, **QUIET)
    assert 3 <= len(run.trail) < 8
    assert run.trail.steps == [glimpse.step for glimpse in run.glimpses]


def test_too_few_snapshots_for_a_path():
    with pytest.raises(ValueError, match="snapshots is 2, but a path needs at least 3"):
        Following(Training(SMALL, device="cpu"), LENS, snapshots=2)


def test_what_cannot_be_followed_is_said():
    with pytest.raises(RecipeError, match="40 samples make no batch of 64: use more samples or a smaller batch_size"):
        follow(SMALL, Lens(samples=40, batchnorm="batch", batch_size=64), **QUIET)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        ({"name": "mlp", "width": 8}, (8, 1, 8, 8)),
        ({**TINY_CNN, "width": 3}, (3, 1, 3, 3)),
        ({"name": "mlp", "width": 64}, (32, 1, 8, 8)),
        (small_model("rnn"), None),
    ],
    ids=lambda value: value.get("name", "") if isinstance(value, dict) else str(value),
)
def test_what_the_first_layer_looks_for(model, shape):
    network = Training(SMALL.changed(model=model), device="cpu").model
    found = first_filters(network, (1, 8, 8))
    assert (None if found is None else tuple(found.shape)) == shape
    if shape is not None:
        first = next(weight for weight in network.parameters() if weight.dim() > 1)
        assert torch.equal(found.flatten(1), first[: shape[0]].flatten(1))


def test_answers_are_those_of_the_network():
    run = follow(SMALL, LENS, **QUIET)
    shown = run.shown.batch(slice(None), torch.float32)
    with torch.no_grad():
        assert torch.allclose(run.glimpses[-1].probabilities, run.model(shown).softmax(1))
    assert run.shown.split == "validation"


def test_a_finished_run_is_its_end(tmp_path):
    kept = runs.train(SMALL, folder=tmp_path / "run", progress=False, device="cpu")
    run, followed = finished(tmp_path / "run", LENS, device="cpu"), follow(SMALL, LENS, **QUIET)
    assert run.trail is None
    assert run.name == "run"
    assert replace(run.glimpses[0], probabilities=None, filters=None) == replace(
        followed.glimpses[-1], probabilities=None, filters=None
    )
    assert all(torch.equal(weight, kept.weights[name]) for name, weight in run.end.items())
    assert all(torch.equal(run.start[name], weight) for name, weight in followed.start.items())
    whole = samples_of(Training(SMALL, device="cpu"))
    assert (run.samples.total, len(run.samples)) == (len(whole), 40)


def test_no_run_to_open(tmp_path):
    with pytest.raises(RunError, match="There is no run in"):
        finished(tmp_path / "none", LENS)
