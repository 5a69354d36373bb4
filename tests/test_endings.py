"""How a training ends: finished, diverged, stuck, out of memory, and what is said about it."""

import contextlib
import json
import math

import pytest
import torch
from small_runs import SMALL, same_history, same_weights, trained
from torch import nn

import lab
from lab.augmentations import augmentations
from lab.endings import above_chance
from lab.events import Epoch, Finished, Metrics, Step
from lab.models import models
from lab.training import Training

WILD = SMALL.changed(**{"optimizer.lr": 1e4, "model.depth": 4, "epochs": 6})
LOST = SMALL.changed(**{"model.depth": 12, "activation": "sigmoid", "optimizer.lr": 0.01})

pytestmark = pytest.mark.usefixtures("one_block_an_epoch", "own_options")


def add_poison(batch):
    """An augmentation that makes one batch not a number."""
    calls = []

    @augmentations.add
    def poison(images, generator):
        """Nothing, but not a number once. Source: this test."""
        calls.append(None)
        return images * math.nan if len(calls) == batch else images

    return SMALL.changed(augment=["poison"])


class Fragile(nn.Module):
    """A layer that fails at one of its forward passes in training."""

    passes, fails_at = 0, 0
    error: type[BaseException] = torch.OutOfMemoryError

    def forward(self, values):
        Fragile.passes += self.training
        if self.training and Fragile.passes == Fragile.fails_at:
            raise self.error("CUDA out of memory. Tried to allocate 1 PiB")
        return values


def add_fragile(step, error=torch.OutOfMemoryError):
    """A model that fails in the middle of a step, after batch statistics and a random crop were taken."""
    Fragile.passes, Fragile.fails_at, Fragile.error = 0, step, error

    @models.add
    def fragile(shape, classes, activation):
        """Linear layers, and one that fails. Source: this test."""
        size = math.prod(shape)
        return nn.Sequential(nn.Flatten(), nn.Linear(size, 8), nn.BatchNorm1d(8), Fragile(), nn.Linear(8, classes))

    return SMALL.changed(model="fragile", augment=["crop"])


def add_too_large():
    @models.add
    def too_large(shape, classes, activation):
        """A network that does not even fit before the first step. Source: this test."""
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 PiB")

    return SMALL.changed(model="too_large")


def test_a_training_that_learns_is_finished():
    session, events = trained(SMALL)
    assert events[-1] == Finished("finished", 21)
    assert session.history.epochs[-1].train_accuracy > 0.3


def test_a_rate_far_too_high_diverges_at_its_first_loss_that_is_not_finite():
    session, events = trained(WILD)
    assert events[-1].status == "diverged"
    *before, last = session.history.loss
    assert all(map(math.isfinite, before))
    assert not math.isfinite(last)
    assert events[-1].step == len(before)
    assert f"not finite at step {len(before)}: try a learning rate below 1e+04." in events[-1].detail


@pytest.mark.parametrize("batch", [1, 5, 14])
def test_an_image_that_is_not_a_number_ends_the_training_at_its_step(batch):
    session, events = trained(add_poison(batch))
    assert (events[-1].status, events[-1].step) == ("diverged", batch - 1)
    assert len(session.history.loss) == batch
    assert math.isfinite(sum(session.history.loss[:-1]))


def test_a_weight_that_is_not_a_number_ends_the_training_at_once():
    session = Training(SMALL, device="cpu")
    next(session.model.parameters()).data[0, 0] = math.nan
    *_, last = session
    assert (last.status, last.step) == ("diverged", 0)


def test_weights_broken_by_the_last_step_are_seen_by_the_validation():
    session = Training(SMALL.changed(epochs=1), device="cpu")
    for event in session:
        if isinstance(event, Step) and event.step == session.steps:
            next(session.model.parameters()).data.fill_(math.nan)
        last = event
    assert (last.status, last.step) == ("diverged", session.steps)


@pytest.mark.parametrize("recipe", [WILD, "poison"])
def test_checkpoints_change_nothing_about_a_divergence(recipe, tmp_path):
    recipe = add_poison(5) if recipe == "poison" else recipe
    alone = lab.train(recipe, progress=False, device="cpu")
    recipe = add_poison(5) if recipe.augment else recipe
    kept = lab.train(recipe, folder=tmp_path / "run", checkpoint_seconds=0, progress=False, device="cpu")
    assert (kept.status, kept.step, kept.detail) == (alone.status, alone.step, alone.detail)
    assert same_history(kept, alone)


def test_a_divergence_that_nobody_saw_yet_survives_a_restart():
    session = Training(add_poison(batch=5), device="cpu")
    state = next(session.state() for event in session if isinstance(event, Step) and event.step == 6)
    again = Training(session.recipe, device="cpu")
    again.restore(state)
    *_, last = again
    assert (last.status, last.step) == ("diverged", 4)
    assert len(again.history.loss) == 5


def test_checkpoints_do_not_swallow_metrics(tmp_path):
    recorder = lab.store.Recorder(Training(SMALL, device="cpu"), tmp_path / "run", checkpoint_seconds=0)
    losses = [loss for event in recorder if isinstance(event, Metrics) for loss in event.loss]
    assert losses == recorder.session.history.loss


def test_a_deep_sigmoid_network_is_stuck_at_chance():
    _, events = trained(LOST)
    assert events[-1].status == "stuck"
    assert events[-1].detail.endswith("are not above chance (0.100): try another learning rate or initialisation.")


SHORT = lab.Recipe(modify="subset", epochs=1)  # 2 steps, and the training accuracy is mostly that of the first weights


def test_a_short_run_that_has_learned_is_not_stuck():
    session, events = trained(SHORT)
    last = session.history.epochs[-1]
    assert last.train_accuracy < 0.12
    assert last.validation_accuracy > 0.2
    assert events[-1] == Finished("finished", 2)


def test_at_chance_after_a_few_steps_is_too_early_to_tell():
    session, events = trained(SHORT.changed(**{"optimizer.lr": 1e-9, "seed": 3}))
    last = session.history.epochs[-1]
    assert events[-1] == Finished(
        "finished",
        2,
        f"Training accuracy {last.train_accuracy:.3f} and validation accuracy {last.validation_accuracy:.3f} are not "
        "above chance (0.100) after 2 steps, too few to tell: try more epochs or a smaller batch_size.",
    )


def test_the_noise_of_either_split_is_its_own():
    few, many = torch.arange(10).repeat(10), torch.arange(10).repeat(1000)
    assert not above_chance(0.15, few)
    assert above_chance(0.15, many)
    assert not above_chance(0.1, torch.zeros(10, dtype=torch.int64))


def test_random_labels_that_are_learned_are_no_sign_of_being_stuck():
    modify = [*SMALL.model_dump()["modify"], "random_labels"]
    session, events = trained(SMALL.changed(modify=modify, epochs=60, **{"optimizer.lr": 0.2}))
    last = session.history.epochs[-1]
    assert events[-1].status == "finished"
    assert last.train_accuracy > 0.9
    assert last.validation_accuracy < 0.5


LABEL_FREE = pytest.mark.parametrize("objective", ["simclr", "masked_autoencoder"])


@LABEL_FREE
def test_a_dead_network_that_needs_no_labels_is_stuck_too(objective):
    _, events = trained(SMALL.changed(objective=objective, init="zeros"))
    assert events[-1].status == "stuck"
    assert events[-1].detail == (
        "What the last layer reads is the same for all images, as if every unit of a layer were dead: try another "
        "learning rate or initialisation."
    )


@LABEL_FREE
def test_a_network_that_tells_images_apart_is_not_stuck_though_no_label_can_be_read_off(objective):
    modify = [*SMALL.model_dump()["modify"], "random_labels"]
    session, events = trained(SMALL.changed(objective=objective, modify=modify))
    assert not above_chance(session.history.epochs[-1].validation_accuracy, session.validation_split.labels)
    assert events[-1] == Finished("finished", session.step)


def test_what_a_fitted_layer_can_tell_apart_is_not_dead_however_small_the_differences():
    session, events = trained(LOST.changed(objective="simclr"))
    assert not session.tells_images_apart()
    assert above_chance(session.history.epochs[-1].validation_accuracy, session.validation_split.labels)
    assert events[-1].status == "finished"


def test_a_dead_network_after_a_few_steps_is_too_early_to_tell():
    _, events = trained(SHORT.changed(objective="simclr", init="zeros"))
    assert events[-1] == Finished("finished", 2)


def test_too_little_memory_is_a_result():
    _, events = trained(add_fragile(step=10))
    assert (events[-1].status, events[-1].step) == ("out_of_memory", 9)
    assert events[-1].detail == "Not enough memory on cpu: try a smaller batch_size or model."
    assert sum(isinstance(event, Step) for event in events) == 9


def test_too_little_memory_for_the_network_itself_is_a_result():
    assert lab.train(add_too_large(), progress=False, device="cpu").status == "out_of_memory"


def test_nothing_that_was_measured_is_lost_when_memory_runs_out():
    session, _ = trained(add_fragile(step=10))
    assert len(session.history.loss) == 9


@pytest.mark.parametrize("checkpoint_seconds", [0, 10])
@pytest.mark.parametrize("error", [torch.OutOfMemoryError, ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("step", [1, 10])
def test_a_step_that_broke_in_the_middle_is_made_again_on_resume(step, error, checkpoint_seconds, tmp_path):
    whole, events = trained(add_fragile(step=0))
    recipe, where = add_fragile(step, error), {"progress": False, "device": "cpu"}
    with contextlib.suppress(ValueError, KeyboardInterrupt):
        run = lab.train(recipe, folder=tmp_path / "run", checkpoint_seconds=checkpoint_seconds, **where)
        assert (run.status, run.step) == ("out_of_memory", step - 1)
    assert Fragile.passes == step
    again = lab.resume(tmp_path / "run", **where)
    assert again.status == events[-1].status
    assert same_history(again, whole)
    assert same_weights(again, whole)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    @models.add
    def broken(shape, classes, activation):
        """A network of layers that do not fit. Source: this test."""
        return nn.Sequential(nn.Flatten(), nn.Linear(3, classes))

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        trained(SMALL.changed(model="broken"))


def test_no_epoch_is_reported_after_a_divergence():
    _, events = trained(add_poison(batch=9))
    assert [event.epoch for event in events if isinstance(event, Epoch)] == [0]


def test_the_folder_of_a_diverged_run_says_at_which_step(tmp_path):
    _, events = trained(WILD)
    lab.train(WILD, folder=tmp_path / "run", progress=False, device="cpu")
    kept = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (kept["status"], kept["step"], kept["detail"]) == ("diverged", events[-1].step, events[-1].detail)
    assert 0 < lab.open_run(tmp_path / "run").step == events[-1].step < len(lab.open_run(tmp_path / "run").history.lr)
