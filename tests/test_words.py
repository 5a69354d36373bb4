"""Images and words in one space: loss against a reference, unseen classes, one side missing; shapes, sequences."""

import re
import unicodedata

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_runs import SMALL, trained

import lab
from lab.data import DataError, load
from lab.data.shapes import COLOURS, SHAPES
from lab.diagnostics.by_words import nearest_images
from lab.objectives.words import bag, symmetric_info_nce, tokens_of
from lab.panel.words import runs_table
from lab.reports import beside_lines
from lab.steps import build_model
from lab.store import RunError

BASE = lab.Recipe(
    data={"name": "shapes", "per_class": 20},
    modify=[{"name": "unseen_classes", "count": 3}],
    model={"name": "cnn", "width": 8, "hidden": 32},
    objective={"name": "image_and_words", "width": 16},
    optimizer={"name": "adam", "lr": 0.005},
    epochs=10,
    batch_size=32,
)


def log_softmax(logits):
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


@given(st.integers(0, 10**6), st.booleans())
def test_the_loss_is_that_of_the_paper_where_no_two_pairs_are_of_one_class(seed, shared):
    draws = np.random.default_rng(seed)
    images, words = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in draws.normal(size=(2, 5, 3)))
    labels = np.array([0, 1, 0, 2, 1]) if shared else np.arange(5)
    logits = 4 * images @ words.T
    right = labels[:, None] == labels[None]
    right = right / right.sum(1, keepdims=True)
    expected = -((right * log_softmax(logits)).sum(1).mean() + (right * log_softmax(logits.T)).sum(1).mean()) / 2
    given_parts = (torch.from_numpy(images), torch.from_numpy(words), torch.tensor(4.0).double())
    found = symmetric_info_nce(*given_parts, torch.from_numpy(labels))
    assert found.item() == pytest.approx(expected, rel=1e-10)
    if not shared:
        paper = -(np.diag(log_softmax(logits)).mean() + np.diag(log_softmax(logits.T)).mean()) / 2
        assert found.item() == pytest.approx(paper, rel=1e-10)


def test_names_are_taken_apart():
    assert tokens_of("Red circle", "words") == ["red", "circle"]
    assert tokens_of("T-shirt/top", "trigrams") == ["<t>", "<sh", "shi", "hir", "irt", "rt>", "<to", "top", "op>"]
    assert bag("blue moon blue", "words", ["blue", "cross"]).tolist() == [1.0, 0.0]
    assert bag("moon", "words", ["blue"]).tolist() == [0.0]


def test_shapes_are_sixteen_and_in_their_colours():
    data = load(BASE.data)
    assert data.shape == (3, 16, 16)
    assert len(data.classes) == len(COLOURS) * len(SHAPES) == 16
    for label in (0, 4, 8):  # circles: red, green, blue
        mean = data.train.images[data.train.labels == label].double().mean((0, 2, 3))
        assert mean.argmax() == label // 4
    again, other = load(BASE.data), load(BASE.changed(**{"data.draw": 1}).data)
    assert torch.equal(again.train.images, data.train.images)
    assert not torch.equal(other.train.images, data.train.images)


def test_unseen_classes_are_missing_from_training_only():
    whole, data = load(BASE.data), load(BASE.data, BASE.modify)
    assert len(data.unseen) == 3
    assert not torch.isin(data.train.labels, torch.tensor(data.unseen)).any()
    assert len(data.train) == len(whole.train) - torch.isin(whole.train.labels, torch.tensor(data.unseen)).sum()
    assert data.validation is whole.validation


def test_more_unseen_classes_than_can_be_are_refused():
    digits = BASE.changed(data="digits", modify={"name": "unseen_classes", "count": 8})
    assert len(load(digits.data, digits.modify).unseen) == 8
    with pytest.raises(DataError, match=r"^unseen_classes takes 9 away, but of 10 classes 2 must stay: .* at most 8 "):
        load(digits.data, digits.changed(**{"modify.unseen_classes.count": 9}).modify)


def test_unseen_classes_are_told_by_their_words_beside_chance(tmp_path):
    run = lab.train(BASE, folder=tmp_path / "a", progress=False, device="cpu")
    last = run.history.epochs[-1]
    assert last.also.keys() == {"unseen", "chance of unseen", "unseen among all", "chance of unseen among all"}
    assert (last.also["chance of unseen"], last.also["chance of unseen among all"]) == (1 / 3, 1 / 16)
    assert last.also["unseen"] > 0.6
    assert last.also["unseen"] >= last.also["unseen among all"]
    data = load(BASE.data, BASE.modify)
    name = data.classes[int(data.train.labels[0])]
    found = nearest_images(lab.open_run(tmp_path / "a"), name, 3)
    assert [data.classes[label] for label in data.validation.labels[found]].count(name) >= 2
    with pytest.raises(
        ValueError, match=r"^'purple moon' has no words that this network knows\. It knows: blue, circle"
    ):
        nearest_images(run, "purple moon")


def test_a_network_without_words_is_measured_on_unseen_classes_too_and_chances_stand_behind():
    run = lab.train(BASE.changed(objective="supervised"), progress=False, device="cpu")
    assert run.best.also == {"unseen among all": 0, "chance of unseen among all": 1 / 16}
    assert run.best.beside_words == "unseen among all 0.0000 (chance 0.0625)"
    assert f">beside it: {run.best.beside_words}</td>" in runs_table({1: run})


def test_a_report_has_unseen_classes_of_both_arms():
    arms = {"words": BASE, "classes": BASE.changed(objective="supervised")}
    found = lab.compare({name: arm.changed(epochs=2) for name, arm in arms.items()}, seeds=2, tune=False, device="cpu")
    *_, words, classes = beside_lines(found, "given")
    assert classes.endswith("; unseen among all 0.0 ± 0.0 (chance 6.2)")
    assert re.search(r"; unseen among all \S+ ± \S+ \(chance 6\.2\), unseen \S+ ± \S+ \(chance 33\.3\)$", words)


def test_a_run_that_knows_no_words_says_so():
    with pytest.raises(RunError, match=r"^The objective of this run is supervised: train one with image_and_words\.$"):
        nearest_images(lab.train(SMALL, progress=False, device="cpu"), "red")


def test_an_image_without_words_gets_the_class_whose_words_are_nearest():
    session, _ = trained(BASE.changed(epochs=1))
    model, images = session.model.eval(), session.prepare(session.data.validation.images[:7])
    place, words = model.trunk(images), torch.stack([model.words.weight @ each for each in model.bags])
    cosines = torch.nn.functional.cosine_similarity(place.unsqueeze(1), words.unsqueeze(0), dim=2)
    torch.testing.assert_close(model(images), model.sharpness.exp() * cosines, rtol=1e-4, atol=1e-4)
    hidden = model(images, "unseen").softmax(1)[:, session.data.unseen].sum(1)
    torch.testing.assert_close(hidden, torch.ones(7))


def test_the_loss_by_hand():
    session, images, labels = begun()
    batch, model = (images, labels), session.model
    place, words = (model.trunk(images).detach().numpy(), model.words(model.bags[labels]).detach().numpy())
    cosines = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in words] for a in place]
    logits = np.array(cosines) / 0.07  # the scale at the start
    right = labels.numpy()[:, None] == labels.numpy()[None]
    right = right / right.sum(1, keepdims=True)
    expected = -((right * log_softmax(logits)).sum(1).mean() + (right * log_softmax(logits.T)).sum(1).mean()) / 2
    assert session.objective.loss(model, batch)[0].item() == pytest.approx(expected, rel=1e-6)


def test_the_scale_is_at_most_100_and_comes_back_from_there():
    session, images, labels = begun(optimizer={"name": "sgd", "lr": 0.1})
    with torch.no_grad():
        session.model.sharpness.fill_(9.0)
    assert session.model.eval().scale.item() == pytest.approx(100.0)
    loss, logits = session.objective.loss(session.model.train(), (images, labels))
    assert logits.abs().max() <= 100.001
    loss.backward()
    assert session.model.sharpness.grad > 0  # a network that knows nothing yet is too sure
    session.optimizer.step()
    assert session.model.scale.item() < 100


def begun(**changes):
    """A training, and every tenth of its images with its label: of all classes, some twice."""
    session = lab.Training(BASE.changed(precision="float64", **changes), device="cpu")
    return session, session.prepare(session.data.train.images[::10]), session.data.train.labels[::10]


# -- sequences --------------------------------------------------------------------------------------------------------

NAMES = lab.Recipe(data="letter_names", epochs=2, optimizer={"name": "adam", "lr": 0.01})


def test_names_of_letters_are_those_of_unicode():
    data = load(NAMES.data)
    assert data.shape == (1, 16, 27)
    split, alphabet = data.train, "ABCDEFGHIJKLMNOPQRSTUVWXYZ "
    for image, label in list(zip(split.images, split.labels, strict=True))[::40]:
        letters = "".join(alphabet[int(row.argmax())] for row in image[0] if row.any())
        known = (unicodedata.ucd_3_2_0.name(chr(code), "") for code in range(0x10000))
        script = data.classes[int(label)].upper()
        assert any(name.startswith(script) and f"TER {letters}" in name for name in known), letters


@pytest.mark.parametrize("model", ["rnn", "lstm", "gru", "transformer"])
@pytest.mark.parametrize("transfer", ["whole", "features", "head", "linear_probe_then_fine_tune", "gradual_unfreezing"])
def test_what_was_learned_of_one_set_of_names_is_taken_over_to_the_other(model, transfer, tmp_path):
    recipe = NAMES.changed(model={"name": model, "width": 8})
    run = lab.train(recipe, folder=tmp_path / "a", progress=False, device="cpu")
    source = {"name": "run", "folder": str(tmp_path / "a")}
    other = recipe.changed(**{"data.scripts": "second", "transfer": transfer, "source": source})
    model = build_model(other, load(other.data))
    taken = [match.name for match in model.transferred.layers if match.is_copied]
    assert taken
    own = model.state_dict()
    assert all(torch.equal(own[name], run.weights[name]) for name in own if name.rpartition(".")[0] in taken)
    session, _ = trained(other)
    assert np.isfinite(session.history.loss).all()
