"""Predictions are counted by hand, and share one pass."""

from __future__ import annotations

import math
from importlib import import_module

import numpy as np
import pytest
import torch
from small_runs import SMALL, TINY_CNN, same_weights, trained
from torch import nn

import lab
from lab.data import Split
from lab.diagnostics import Predictions, predictions
from lab.diagnostics.predictions import calibration, predicting, saliency, wilson
from lab.training import Training


@pytest.fixture(scope="module")
def run():
    return lab.train(SMALL, progress=False, device="cpu")


def by_hand(logits, labels, classes=("cat", "dog", "owl")):
    """Predictions with these logits on black images."""
    split = Split(torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8), torch.tensor(labels))
    return Predictions(split, classes, torch.tensor(logits), Training(SMALL, device="cpu"))


FOUND = by_hand([[9.0, 0, 0], [0, 9.0, 0], [0, 1.0, 0], [0, 0, 5.0], [0, 0, 0.1]], [0, 0, 1, 1, 2])


def test_the_confusion_matrix_has_true_classes_in_rows():
    assert FOUND.confusion.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert FOUND.accuracy == 0.6


def test_accuracy_by_class_has_wilson_intervals():
    cat, _, owl = FOUND.per_class()
    assert (cat.name, cat.right, cat.count, cat.accuracy) == ("cat", 1, 2, 0.5)
    assert (owl.accuracy, owl.high) == (1.0, 1.0)
    assert owl.low == pytest.approx(0.2065, abs=1e-4)
    nobody = by_hand([[1.0, 0, 0]], [0]).per_class()[2]
    assert math.isnan(nobody.accuracy)
    assert (nobody.low, nobody.high) == (0, 1)


@pytest.mark.parametrize(
    ("right", "count", "low", "high"), [(0, 10, 0, 0.2775), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)]
)
def test_wilson_intervals_are_the_published_ones(right, count, low, high):
    """The last one: Newcombe 1998, Statistics in Medicine 17, table I."""
    assert wilson(right, count) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_the_hardest_images_come_first():
    first, second = FOUND.highest_losses(2)
    assert (first.index, first.true, first.predicted) == (1, "cat", "dog")
    assert first.loss == pytest.approx(math.log(2 + math.exp(9)), abs=1e-4)
    assert (second.index, second.true, second.predicted) == (3, "dog", "owl")
    assert first.image.shape == (1, 2, 2)
    assert first.confidence == pytest.approx(math.exp(9) / (2 + math.exp(9)))
    assert len(FOUND.highest_losses(99)) == 5


def test_the_worst_mistakes_are_the_hardest_images_without_those_that_are_right(run):
    found = predictions(run, device="cpu")
    hardest, wrong = found.highest_losses(len(found.labels)), found.worst_mistakes(3)
    assert [each.index for each in wrong] == [each.index for each in hardest if each.true != each.predicted][:3]


def test_a_batch_at_a_time_gives_the_same(run, monkeypatch):
    monkeypatch.setattr(import_module("lab.diagnostics.predictions"), "EVALUATION_BATCH", 7)
    *before, found = predicting(run, device="cpu")
    assert before == [None] * (1 + -(-len(found.labels) // 7))
    assert torch.allclose(found.logits, predictions(run, device="cpu").logits)


def test_losses_that_are_no_number_are_the_worst():
    found = by_hand([[0.0, 0, 0], [math.nan, 0, 0]], [0, 0])
    assert found.highest_losses(1)[0].index == 1


def test_the_calibration_error_by_hand():
    """Bins (0, .5] and (.5, 1]: |0 - .4| with 1 of 4 images, |2/3 - .8| with 3."""
    confidence, right = np.array([0.4, 0.7, 0.8, 0.9]), np.array([False, True, True, False])
    found = calibration(confidence, right, bins=2)
    assert found.counts.tolist() == [1, 3]
    assert found.confidence == pytest.approx([0.4, 0.8])
    assert found.accuracy == pytest.approx([0, 2 / 3])
    assert found.error == pytest.approx(0.25 * 0.4 + 0.75 * (0.8 - 2 / 3))


def test_a_bin_holds_its_upper_edge_and_empty_bins_are_nan():
    found = calibration(np.array([0.25, 0.5, 1.0]), np.array([True] * 3), bins=4)
    assert found.counts.tolist() == [1, 1, 0, 1]
    assert math.isnan(found.accuracy[2])
    with pytest.raises(ValueError, match="bins is 0"):
        calibration(np.array([0.5]), np.array([True]), bins=0)


def test_a_calibrated_predictor_has_an_error_near_zero_and_a_boastful_one_has_not():
    draws = np.random.RandomState(0)
    confidence = draws.uniform(0.1, 1, 200_000)
    right = draws.rand(200_000) < confidence
    assert calibration(confidence, right).error < 0.01
    assert calibration(np.minimum(1, confidence + 0.2), right).error > 0.1


# -- of runs and trainings --------------------------------------------------------------------------------------


def test_a_pass_gives_what_the_run_was_said_to_have(run):
    found, last = predictions(run, device="cpu"), run.history.epochs[-1]
    assert found.accuracy == pytest.approx(last.validation_accuracy)
    assert found.loss == pytest.approx(last.validation_loss, rel=1e-5)
    assert found.confusion.sum() == len(found.labels) == len(found.losses)
    assert found.calibration().counts.sum() == len(found.labels)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_split_can_be_asked_for(run, split):
    session = Training(SMALL, device="cpu")
    assert len(predictions(session, split).labels) == len(getattr(session.data, split))


def test_a_look_at_the_test_split_of_a_run_is_counted(run):
    looks = run.test_looks
    assert predictions(run, "test", device="cpu").loss == pytest.approx(run.test("cpu")[0], rel=1e-5)
    assert run.test_looks == looks + 2


def test_an_unknown_split_is_refused(run):
    with pytest.raises(ValueError, match=r"split is 'valid'\. Expected one of: train, validation, test"):
        predictions(run, "valid")


def test_looking_changes_no_bit_of_a_training():
    recipe = SMALL.changed(model=TINY_CNN)
    undisturbed, session = trained(recipe)[0], Training(recipe, device="cpu")
    for event in session:
        if isinstance(event, lab.Step) and event.step == 4:
            found = predictions(session)
            found.saliency(0, samples=3)
            assert session.model.training
    assert same_weights(session, undisturbed)


# -- saliency ---------------------------------------------------------------------------------------------------


def test_the_saliency_of_a_linear_network_is_its_weights():
    session = Training(SMALL.changed(**{"model.depth": 0}), device="cpu")
    found = predictions(session)
    weights = session.model[1].weight.detach()[int(found.predicted[3])].view(8, 8)
    for samples in (1, 4):
        assert torch.allclose(found.saliency(3, samples=samples), weights.abs(), atol=1e-6)
    with pytest.raises(ValueError, match="samples is 0"):
        found.saliency(3, samples=0)


@pytest.mark.parametrize("change", [{"average": "ema"}, {"optimizer": "schedule_free_adamw"}], ids=str)
def test_a_look_is_at_the_weights_that_the_network_is_used_with(change):
    session, _ = trained(SMALL.changed(**change, **{"model.norm": "batch"}))
    used = Training(SMALL.changed(**{"model.norm": "batch"}), device="cpu")
    used.model.load_state_dict(session.weights())
    found, expected = predictions(session), predictions(used)
    assert torch.equal(found.logits, expected.logits)
    assert found.loss == pytest.approx(session.history.epochs[-1].validation_loss, rel=1e-5)
    assert torch.equal(found.saliency(0, samples=2), expected.saliency(0, samples=2))
    used.model.load_state_dict(session.model.state_dict())
    assert not torch.equal(found.saliency(0), predictions(used).saliency(0))


def test_saliency_takes_the_strongest_channel():
    session = Training(SMALL, device="cpu")
    session.model = nn.Sequential(nn.Flatten(), nn.Linear(8, 2, bias=False))
    session.model[1].weight.data = torch.tensor([[1.0, 2, 3, 4, -9, 1, 1, 1], [0.0] * 8])
    image = torch.zeros(2, 2, 2, dtype=torch.uint8)
    assert saliency(session, image, 0).tolist() == [[9, 2], [3, 4]]
    assert session.model[1].weight.grad is None
