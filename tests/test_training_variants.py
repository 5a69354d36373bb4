"""Training with something more: clipping, smoothing, half precision, layers with a memory, streamed data, devices."""

from itertools import pairwise

import pytest
import torch
from PIL import Image
from small_networks import noisy_normed
from small_runs import SMALL, bits, first_batch, same_history, same_weights, trained
from torch import nn

from lab.data import datasets, load
from lab.events import Step
from lab.models import models
from lab.steps import pick_device
from lab.training import Training


@pytest.fixture
def normed(own_options):
    """A person's own model, with a layer that keeps statistics and one that draws at random."""
    models.add(noisy_normed)
    return SMALL.changed(model="noisy_normed")


def flat_weights(session):
    return torch.cat([parameter.detach().flatten().clone() for parameter in session.model.parameters()])


def longest_step(recipe):
    """The largest change of the weights, as a vector, that one update made."""
    session, lengths = Training(recipe, device="cpu"), []
    before = flat_weights(session)
    for event in session:
        if isinstance(event, Step):
            after = flat_weights(session)
            lengths.append((after - before).norm().item())
            before = after
    return max(lengths)


def test_clipping_bounds_every_step():
    lr, norm = 0.5, 0.1
    recipe = SMALL.changed(**{"optimizer.lr": lr, "clip_norm": norm})
    assert longest_step(recipe) == pytest.approx(lr * norm, rel=1e-4)
    assert longest_step(recipe.changed(clip_norm=0)) > 2 * lr * norm


def test_clipping_far_above_the_gradients_changes_nothing():
    assert same_weights(trained(SMALL)[0], trained(SMALL.changed(clip_norm=1e6))[0])


def test_smoothed_labels_give_each_class_its_share():
    smoothing, untrained = 0.2, Training(SMALL, device="cpu")
    batch = first_batch(untrained, 8)
    logs = untrained.model(untrained.prepare(untrained.train_split.images[batch])).log_softmax(1)
    target = torch.full_like(logs, smoothing / 10)
    target[torch.arange(8), untrained.train_split.labels[batch]] += 1 - smoothing
    session, _ = trained(SMALL.changed(label_smoothing=smoothing))
    assert session.history.loss[0] == pytest.approx(-(target * logs).sum(1).mean().item(), rel=1e-5)


def test_validation_is_never_smoothed():
    plain, smoothed = (Training(SMALL.changed(label_smoothing=share), device="cpu") for share in (0, 0.5))
    assert plain.evaluate(plain.validation_split) == smoothed.evaluate(smoothed.validation_split)


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_bfloat16_is_close_to_float32_and_not_the_same(model):
    full, half = (trained(SMALL.changed(model=model, precision=kind))[0] for kind in ("float32", "bfloat16"))
    assert half.history.loss != full.history.loss
    assert half.history.loss[:3] == pytest.approx(full.history.loss[:3], rel=0.05)  # eight bits of mantissa
    assert all(parameter.dtype == torch.float32 for parameter in half.model.parameters())


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("float64", torch.float64)])
def test_precision_is_the_type_of_weights_and_images(precision, dtype):
    session = Training(SMALL.changed(precision=precision), device="cpu")
    assert {parameter.dtype for parameter in session.model.parameters()} == {dtype}
    assert session.prepare(session.train_split.images[:2]).dtype == dtype


def test_evaluation_uses_the_stored_statistics_and_no_dropout(normed):
    session, _ = trained(normed)
    split, result = session.validation_split, session.evaluate(session.validation_split)
    with torch.no_grad():
        images = session.prepare(split.images)
        session.model.eval()
        stored = nn.functional.cross_entropy(session.model(images), split.labels).item()
        session.model.train()
        fresh = nn.functional.cross_entropy(session.model(images), split.labels).item()
    assert result[0] == pytest.approx(stored, rel=1e-5)
    assert result[0] != pytest.approx(fresh, rel=1e-2)


def test_an_evaluation_leaves_no_trace_in_the_training(normed):
    recipe = normed.changed(augment=["flip"])
    plain, _ = trained(recipe)
    watched = Training(recipe, device="cpu")
    for event in watched:
        if isinstance(event, Step):
            watched.evaluate(watched.validation_split)
    assert same_history(watched, plain)
    assert same_weights(watched, plain)


def test_the_surrounding_random_stream_does_not_reach_the_training(normed):
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        results.append(bits(trained(normed)[0]))
    assert results[0] == results[1]


def test_dropout_differs_between_steps(normed):
    masks, session = [], Training(normed, device="cpu")
    session.model[4].register_forward_hook(lambda layer, _, out: masks.append(out == 0) if layer.training else None)
    list(session)
    assert any((one[:2] != other[:2]).any() for one, other in pairwise(masks))


@pytest.fixture(scope="module")
def picture_recipe(tmp_path_factory):
    """Digits as files, three classes of ten."""
    root, split = tmp_path_factory.mktemp("pictures"), load(datasets.parse("digits")).train
    for label in range(3):
        (root / str(label)).mkdir()
        for index, image in enumerate(split.images[split.labels == label][:10]):
            Image.fromarray(image[0].numpy()).save(root / str(label) / f"{index}.png")
    data = {"name": "folder", "path": str(root), "size": 8, "colour": "grey"}
    return SMALL.changed(data=data, modify=[], epochs=2, augment=["crop"])


@pytest.mark.parametrize("workers", [0, 1])
def test_streamed_images_give_the_numbers_of_resident_ones(picture_recipe, workers):
    resident, events = trained(picture_recipe)
    streamed, streamed_events = trained(picture_recipe, data_budget_bytes=0, workers=workers)
    assert isinstance(resident.train_split.images, torch.Tensor)
    assert not isinstance(streamed.train_split.images, torch.Tensor)
    assert same_history(streamed, resident)
    assert same_weights(streamed, resident)
    assert [e for e in streamed_events if isinstance(e, Step)] == [e for e in events if isinstance(e, Step)]


def test_a_streamed_training_that_is_left_early_leaves_no_worker(picture_recipe):
    session = Training(picture_recipe, device="cpu", data_budget_bytes=0, workers=1)
    events = iter(session)
    assert next(event for event in events if isinstance(event, Step)).step == 1
    events.close()
    assert torch.multiprocessing.active_children() == []


@pytest.mark.parametrize("device", ["cpu", "cpu:0", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_resident_images_are_not_streamed(device, monkeypatch):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    monkeypatch.setattr("lab.data.batches.streamed", lambda *_: pytest.fail("resident images were streamed"))
    session, events = trained(SMALL, device=device)
    assert events[-1].status == "finished"
    assert session.train_split.images.device.type == device.split(":")[0]


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"^device is 'abacus', but this machine has: cpu"):
        pick_device("abacus")


def test_trainings_that_overlap_give_the_threads_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, second = iter(Training(SMALL, device="cpu")), iter(Training(SMALL, device="cpu"))
        next(first), next(second)
        first.close()
        second.close()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
