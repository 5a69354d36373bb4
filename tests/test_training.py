"""Training: its events and its state keep their promises, and the same recipe gives the same bits."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from small_runs import SMALL, TINY_CNN, as_on_another_device, loop, same_history, same_weights, trained
from strategies import small_recipes

from lab.data import Split, load
from lab.events import Epoch, Finished, History, Looking, Metrics, Started, Step
from lab.steps import evaluation
from lab.store import decode_state, encode_state
from lab.training import Training

# Making a failing recipe smaller would take minutes.
few_trainings = settings(max_examples=10, phases=[Phase.explicit, Phase.reuse, Phase.generate])


def test_epochs_weigh_every_image_alike():
    recipe = SMALL.changed(batch_size=30, epochs=1)  # 50 images: the second batch is smaller
    session, _ = trained(recipe)
    (first, second), (epoch,) = session.history.loss, session.history.epochs
    assert epoch.train_loss == pytest.approx((30 * first + 20 * second) / 50, rel=1e-12)


@few_trainings
@given(small_recipes())
def test_the_same_recipe_gives_the_same_bits(recipe):
    (a, events), (b, _) = trained(recipe), trained(recipe)
    assert isinstance(events[-1], Finished)
    assert same_history(a, b)
    assert same_weights(a, b)


@few_trainings
@given(small_recipes(), st.data())
def test_a_restored_training_goes_on_with_the_same_bits(tmp_path_factory, recipe, data):
    whole, _ = trained(recipe)
    path = tmp_path_factory.mktemp("state") / "state.safetensors"
    session, stop = Training(recipe), data.draw(st.integers(0, whole.step), label="stop")
    for event in session:
        if isinstance(event, Started | Step) and event.step == stop:
            path.write_bytes(encode_state(session.state()))
            break
    again = Training(recipe)
    again.restore(decode_state(path))
    list(again)
    assert same_history(again, whole)
    assert same_weights(again, whole)


def test_a_state_is_a_snapshot_that_training_on_does_not_change():
    session = Training(SMALL)
    steps = (event for event in session if isinstance(event, Step))
    next(steps)
    state = session.state()
    list(steps)
    again = Training(SMALL)
    again.restore(state)
    assert again.step == len(again.history.loss) == 1
    list(again)
    assert same_history(again, session)
    assert same_weights(again, session)


def test_two_trainings_from_one_state_do_not_share_anything():
    recipe = SMALL.changed(optimizer="adam")
    whole, _ = trained(recipe)
    first, second = Training(recipe), Training(recipe)
    next(event for event in first if isinstance(event, Step))
    second.restore(first.state())
    for _ in zip(first, second, strict=False):
        pass  # the two take turns
    list(first), list(second)
    assert same_history(first, whole)
    assert same_history(second, whole)
    assert same_weights(first, whole)
    assert same_weights(second, whole)


@pytest.mark.parametrize("block_seconds", [0, 1e9])
def test_events_come_in_order_and_metrics_cover_every_step_once(block_seconds, monkeypatch):
    monkeypatch.setattr(loop, "BLOCK_SECONDS", block_seconds)
    _, events = trained(SMALL)
    steps = [event for event in events if isinstance(event, Step)]
    assert [type(event) for event in events if not isinstance(event, Metrics | Step | Looking)] == [
        Started,
        *[Epoch] * 3,
        Finished,
    ]
    assert [event.step for event in steps] == list(range(1, 22))
    assert [event.epoch for event in steps] == [0] * 7 + [1] * 7 + [2] * 7
    covered = 0
    for event in events:
        if isinstance(event, Metrics):
            assert event.first_step == covered
            covered += len(event.loss)
        if isinstance(event, Epoch):
            assert event.step == covered == 7 * (event.epoch + 1)


def test_the_first_event_says_what_is_to_come():
    session, (started, *_) = trained(SMALL)
    count = sum(parameter.numel() for parameter in session.model.parameters())
    assert started == Started(SMALL, "cpu", count, steps=21, steps_per_epoch=7, step=0)


def test_stopping_is_to_stop_asking_and_asking_again_goes_on():
    whole, _ = trained(SMALL)
    session = Training(SMALL)
    for event in session:
        if isinstance(event, Step) and event.step == 10:
            break
    assert session.step == 10
    assert not same_weights(session, whole)
    list(session)
    assert same_history(session, whole)
    assert same_weights(session, whole)


def test_seconds_count_training_and_not_the_one_who_watches(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
    session = Training(SMALL)
    for _ in session:
        now[0] += 1000
    assert session.seconds == 0


def test_a_history_is_what_its_events_say():
    session, events = trained(SMALL)
    history = History()
    for event in events:
        history.add(event)
    assert history == session.history


HOST_READS = ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__", "__array__")


def host_reads(recipe, monkeypatch):
    """How often a training brings something from a tensor to the host."""
    reads = []

    def counted(name, original):
        return lambda *args, **kwargs: (reads.append(name), original(*args, **kwargs))[1]

    with monkeypatch.context() as patch:
        for name in HOST_READS:
            patch.setattr(torch.Tensor, name, counted(name, getattr(torch.Tensor, name)))
        trained(recipe)
    return len(reads)


@pytest.mark.parametrize("model", ["mlp", TINY_CNN])
def test_the_host_reads_as_often_for_many_steps_as_for_few(model, monkeypatch):
    monkeypatch.setattr(loop, "BLOCK_SECONDS", 1e9)
    as_on_another_device(monkeypatch)
    recipe = SMALL.changed(model=model, augment=["flip", "crop", "rotation"], clip_norm=1, optimizer="adam")
    few, many = (host_reads(recipe.changed(batch_size=size), monkeypatch) for size in (50, 2))
    assert few == many > 0


def test_the_test_split_is_never_touched(monkeypatch):
    class Untouchable:
        def __getattr__(self, name):
            raise AssertionError(f"the test split was asked for {name}")

        __len__ = __getitem__ = __iter__ = __getattr__

    guarded = replace(load(SMALL.data, SMALL.modify), test=Split(Untouchable(), Untouchable()))
    monkeypatch.setattr(loop, "data_of", lambda _: guarded)
    session, events = trained(SMALL)
    assert events[-1].status == "finished"
    with pytest.raises((AssertionError, TypeError)):
        session.evaluate(session.data.test)


def test_one_may_stop_in_the_middle_of_looking_at_the_validation_split(monkeypatch):
    monkeypatch.setattr(loop, "evaluation", partial(evaluation, batch_size=8))
    whole, events = trained(SMALL)
    looks = [event.batches for event in events if isinstance(event, Looking)]
    assert looks == list(range(1, looks[-1] + 1)) * SMALL.epochs
    assert looks[-1] > 2
    stopped, rest = Training(SMALL, device="cpu"), Training(SMALL, device="cpu")
    next(event for event in stopped if isinstance(event, Looking) and event.batches == 2)
    assert stopped.history.epochs == []
    rest.restore(stopped.state())
    list(rest)
    assert same_history(rest, whole)
    assert same_weights(rest, whole)
