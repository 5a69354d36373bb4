"""Objectives: losses against NumPy, what each of them looks at, what rests, what is kept and what is said."""

import json

import numpy as np
import pytest
import torch
from small_runs import SMALL, TINY_CNN, gone_on, same_history, same_weights, trained
from torch import nn

import lab
from lab.data import DataError, Split, datasets, load, modifiers
from lab.events import Finished
from lab.export import script
from lab.objectives import fitting, label_free, losses, objectives, with_views, without_labels
from lab.option_tables import shipped
from lab.plots import trace_data
from lab.recipe import RecipeError
from lab.stacks import Stack
from lab.training import Training

pytestmark = pytest.mark.usefixtures("one_thread")

FEW = SMALL.changed(model=TINY_CNN, epochs=2, augment=["crop"], optimizer={"name": "adam", "lr": 0.01})
LABEL_FREE, FEW_LABELS = ["simclr", "masked_autoencoder"], ["pseudo_labels", "fixmatch"]
OTHERS = [*LABEL_FREE, *FEW_LABELS]


def numbers(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape)


def log_softmax(logits):
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


# -- losses against NumPy in float64 --------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_nt_xent_is_that_of_equation_1(temperature):
    views = numbers(10, 6)
    first, second = views[:5], views[5:]
    total = 0.0
    for i in range(10):
        cosines = [views[i] @ views[k] / np.linalg.norm(views[i]) / np.linalg.norm(views[k]) for k in range(10)]
        others = sum(np.exp(cosines[k] / temperature) for k in range(10) if k != i)
        total -= np.log(np.exp(cosines[(i + 5) % 10] / temperature) / others)
    found = losses.nt_xent(torch.tensor(first), torch.tensor(second), temperature)
    assert found.item() == pytest.approx(total / 10, rel=1e-12)


def test_nt_xent_of_views_that_are_all_alike_is_the_logarithm_of_the_others():
    assert losses.nt_xent(torch.ones(4, 3).double(), torch.ones(4, 3).double(), 0.5).item() == pytest.approx(np.log(7))


def test_masked_error_looks_at_hidden_pixels_only():
    guessed, images, mask = numbers(3, 2, 4, 4), numbers(3, 2, 4, 4, seed=1), np.zeros((3, 1, 4, 4))
    mask[0, 0, 1, 2] = mask[2, 0, 3, 3] = 1
    errors = [(guessed[i, c, y, x] - images[i, c, y, x]) ** 2 for i, y, x in ((0, 1, 2), (2, 3, 3)) for c in (0, 1)]
    found = losses.masked_error(*map(torch.tensor, (guessed, images, mask)))
    assert found.item() == pytest.approx(np.mean(errors), rel=1e-12)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9, 1.0])
def test_confident_error_is_that_of_fixmatch(threshold):
    certain, asked = 3 * numbers(20, 4), numbers(20, 4, seed=1)
    sure = np.exp(log_softmax(certain))
    terms = [-log_softmax(asked)[i, sure[i].argmax()] * (sure[i].max() >= threshold) for i in range(20)]
    found = losses.confident_error(torch.tensor(certain), torch.tensor(asked), threshold)
    assert found.item() == pytest.approx(np.mean(terms), rel=1e-12)


def test_no_gradient_flows_through_what_is_certain():
    certain, asked = (torch.tensor(numbers(5, 3, seed=seed)).requires_grad_() for seed in (0, 1))
    losses.confident_error(certain, asked, 0.1).backward()
    assert certain.grad is None
    assert asked.grad.abs().max() > 0


# -- the last layer that is fitted ----------------------------------------------------------------------------


def test_the_readout_is_where_the_gradient_of_softmax_regression_vanishes():
    features, labels = torch.tensor(numbers(60, 5)), torch.tensor(np.random.RandomState(1).randint(3, size=60))
    features = features * torch.tensor([1.0, 100.0, 0.01, 1.0, 1.0]) + 7
    weight, bias = fitting.readout(features, labels, 3)
    scaled = weight * features.std(0, correction=0)
    shares = np.exp(log_softmax((features @ weight.T + bias).numpy())) - np.eye(3)[labels]
    normal = ((features - features.mean(0)) / features.std(0, correction=0)).numpy()
    slope = shares.T @ normal / 60 + fitting.DECAY * scaled.numpy()
    assert np.abs(slope).max() < 1e-6
    assert np.abs(shares.mean(0)).max() < 1e-6


def test_a_feature_that_never_changes_says_nothing():
    features = torch.cat([torch.tensor(numbers(30, 2)), torch.full((30, 1), 3.0)], 1)
    weight, bias = fitting.readout(features, (features[:, 0] > 0).long(), 2)
    assert torch.isfinite(weight).all()
    assert weight[:, 2].abs().max() == 0
    answers = (features @ weight.T + bias).argmax(1)
    assert (answers == (features[:, 0] > 0).long()).double().mean() > 0.9


# -- what each looks at ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", LABEL_FREE)
def test_without_labels_no_label_moves_a_weight(objective):
    recipe = FEW.changed(objective=objective)
    plain = trained(recipe)[0]
    other = Training(recipe, device="cpu")
    other.train_split.labels.copy_(other.train_split.labels.flip(0))
    list(other)
    assert same_weights(plain, other)
    assert plain.history.loss == other.history.loss
    assert plain.history.validations != other.history.validations


@pytest.mark.parametrize("objective", LABEL_FREE)
def test_without_labels_the_last_layer_rests_and_all_others_move(objective):
    session = Training(FEW.changed(objective=objective), device="cpu")
    start = {name: tensor.clone() for name, tensor in session.model.state_dict().items()}
    list(session)
    moved = {name for name, tensor in session.model.state_dict().items() if not torch.equal(tensor, start[name])}
    assert moved == set(start) - {"trunk.9.weight", "trunk.9.bias"}
    assert set(session.weights()) == set(start)
    assert not torch.equal(session.weights()["trunk.9.weight"], start["trunk.9.weight"])


def test_accuracy_without_labels_is_that_of_a_last_layer_fitted_to_the_features(tmp_path):
    recipe = FEW.changed(objective="simclr")
    run = lab.train(recipe, folder=tmp_path / "a", progress=False, device="cpu")
    session, model = Training(recipe, device="cpu"), run.model()
    read = [session.prepare(part.images) for part in (session.train_split, session.validation_split)]
    with torch.no_grad():
        train, validation = (model.trunk[:-1](images) for images in read)
    weight, bias = fitting.readout(train, session.train_split.labels, 10)
    right = ((validation @ weight.T + bias).argmax(1) == session.validation_split.labels).double().mean().item()
    assert run.history.epochs[-1].validation_accuracy == pytest.approx(right)
    assert lab.open_run(tmp_path / "a").test("cpu") == run.test("cpu")
    assert all(np.isnan(run.history.accuracy))


@pytest.mark.parametrize("objective", FEW_LABELS)
def test_with_few_labels_the_others_are_looked_at_and_their_labels_are_not(objective):
    recipe = FEW.changed(objective=objective, **{"objective.ratio": 3})
    if objective == "fixmatch":
        recipe = recipe.changed(**{"objective.threshold": 0.0})
    plain, other, less = (Training(recipe, device="cpu") for _ in range(3))
    assert len(plain.objective.unlabelled) == 1259
    assert len(plain.train_split) == 50
    list(plain)
    unlabelled = other.objective.unlabelled
    other.objective.unlabelled = Split(unlabelled.images, torch.zeros_like(unlabelled.labels))
    list(other)
    assert same_weights(plain, other)
    less.objective.unlabelled = less.data.train
    list(less)
    assert not same_weights(plain, less)


def test_a_threshold_of_one_leaves_fixmatch_the_labels_alone():
    recipe = FEW.changed(model={"name": "mlp", "width": 8}, augment=[], precision="float64")
    one = trained(recipe.changed(objective={"name": "fixmatch", "threshold": 1.0}))[0]
    assert one.history.loss == pytest.approx(trained(recipe)[0].history.loss, rel=1e-9)


def test_without_augmentations_the_views_of_simclr_are_changed_all_the_same():
    first, second, plain = views_of(FEW.changed(objective="simclr", augment=[]))
    assert not torch.equal(first, second)
    assert not any(torch.equal(view, plain) for view in (first, second))


def test_the_views_of_simclr_are_augmented_as_the_recipe_says():
    first, second, plain = views_of(FEW.changed(objective="simclr", augment=["flip"]))
    for view in (first, second):
        turned = (view != plain).flatten(1).any(1)
        assert 0 < turned.sum() < 20
        assert torch.equal(view[turned], plain[turned].flip(3))
    assert not torch.equal(first, second)


def views_of(recipe):
    """Both views of 20 images, and what the network sees of these without augmentation."""
    session = Training(recipe, device="cpu")
    images, labels = session.train_split.images[:20], session.train_split.labels[:20]
    first, _, second = session.objective.batch(*session.prepare_batch(images, labels), session.moment(images))
    return first, second, session.prepare(images)


@pytest.mark.parametrize("objective", OTHERS)
def test_what_a_step_draws_beside_its_batch_is_the_same_whenever_it_is_drawn(objective):
    session = Training(FEW.changed(objective=objective), device="cpu")
    images, labels = session.train_split.images[:8], session.train_split.labels[:8]
    seen = session.prepare_batch(images, labels)
    one, again = (session.objective.batch(*seen, session.moment(images)) for _ in range(2))
    session.step = 1
    later = session.objective.batch(*seen, session.moment(images))
    assert all(torch.equal(part, other) for part, other in zip(one, again, strict=True))
    assert not torch.equal(one[2], later[2])


def test_the_same_number_of_patches_is_hidden_in_each_image_and_patches_are_whole():
    mask = label_free.hidden_patches(torch.Size([40, 1, 7, 8]), 2, 0.75, torch.Generator().manual_seed(0))
    assert mask.shape == (40, 1, 7, 8)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    corners = mask[:, 0, ::2, ::2]
    assert corners.flatten(1).sum(1).tolist() == [12] * 40
    assert torch.equal(corners.repeat_interleave(2, 1)[:, :7].repeat_interleave(2, 2), mask[:, 0])
    assert len({tuple(one.flatten().tolist()) for one in mask}) > 30


def test_an_accuracy_that_is_not_known_is_null_in_files_and_no_line_in_figures(tmp_path):
    run = lab.train(FEW.changed(objective="simclr"), folder=tmp_path / "a", progress=False, device="cpu")

    def refuse(word):
        raise AssertionError(word)

    kept = json.loads((tmp_path / "a" / "history.json").read_text(), parse_constant=refuse)
    assert kept["accuracy"] == [None] * len(run.history.loss)
    assert [epoch["train_accuracy"] for epoch in kept["epochs"]] == [None] * 2
    assert np.isnan(lab.open_run(tmp_path / "a").history.accuracy).all()
    loss, accuracy, *validation, source = trace_data(run.history, 7)
    assert len(accuracy["y"]) == 0
    assert all(len(data["y"]) for data in (loss, *validation))
    assert len(source["y"]) == 0


# -- beside the rest ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OTHERS)
@pytest.mark.parametrize(
    "changes",
    [
        {"gradient": ["sam"], "clip_norm": 0.1},
        {"average": {"name": "ema"}, "model": {**TINY_CNN, "norm": "batch", "dropout": 0.2}},
        {"depth_decay": 0.5, "precision": "float64", "model": {"name": "transformer", "width": 8, "depth": 1}},
    ],
    ids=["sam", "ema", "transformer"],
)
def test_it_goes_on_from_the_middle_with_the_same_bits(objective, changes, tmp_path):
    recipe = FEW.changed(objective=objective, **changes)
    whole, again = trained(recipe)[0], gone_on(recipe, tmp_path / "state")
    assert same_history(again, whole)
    assert same_weights(again, whole)
    assert all(torch.equal(tensor, again.weights()[name]) for name, tensor in whole.weights().items())


@pytest.mark.parametrize("objective", OTHERS)
def test_streamed_images_give_the_same_numbers(objective):
    recipe = FEW.changed(objective=objective)
    assert same_history(trained(recipe)[0], trained(recipe, data_budget_bytes=0)[0])


@pytest.mark.parametrize("objective", OTHERS)
def test_who_takes_its_weights_over_gets_a_last_layer_only_where_labels_taught_it(objective, tmp_path):
    lab.train(FEW.changed(objective=objective), folder=tmp_path / "a", progress=False, device="cpu")
    source = {"name": "run", "folder": str(tmp_path / "a")}
    table = lab.layer_table(FEW.changed(source=source, transfer="whole"))
    starts = {row.layer: row.start for row in table.rows}
    assert starts.pop("9") == ("own (names no classes)" if objective in LABEL_FREE else "copied")
    assert set(starts.values()) == {"copied"}


@pytest.mark.parametrize(
    "objective",
    [{"name": "image_and_words", "width": 10}, {"name": "multi_task", "class_weight": 0.0}],
    ids=lambda objective: objective["name"],
)
def test_a_last_layer_that_no_class_has_taught_is_not_taken_over_whatever_its_width(objective, tmp_path):
    lab.train(FEW.changed(objective=objective), folder=tmp_path / "a", progress=False, device="cpu")
    source = {"name": "run", "folder": str(tmp_path / "a")}
    table = lab.layer_table(FEW.changed(source=source, transfer="whole"))
    assert {row.layer: row.start for row in table.rows}["9"] == "own (names no classes)"


def test_stacks_and_scripts_refuse_in_words():
    recipe = FEW.changed(objective="fixmatch")
    with pytest.raises(ValueError, match=r"^A recipe whose objective \(fixmatch\) is not supervised trains alone"):
        Stack([recipe, recipe.changed(seed=1)], device="cpu")
    with pytest.raises(ValueError, match=r"^objective fixmatch cannot be written as a script\. Train it with"):
        script(recipe)
    runs = lab.train_many([recipe, recipe.changed(seed=1)], device="cpu")
    assert [run.status for run in runs] == ["finished"] * 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"objective": "simclr", "transfer": "features"},
            "^objective simclr trains all but the last layer, and",
        ),
        ({"objective": {"name": "pseudo_labels", "start": 0.5, "end": 0.5}}, "start must be less than end"),
        (
            {"objective": "fixmatch", "augment": ["crop", "generated"]},
            r"^generated learns from labels, .* objective fixmatch .*: leave generated out, or choose supervised\.$",
        ),
        (
            {"objective": "masked_autoencoder", "augment": "generated"},
            "^generated learns from labels, and makes images",
        ),
        (
            {"objective": "simclr", "augment": "mixup"},
            r"^mixup mixes each image with another one, but objective simclr .* by itself.*: leave mixup out\.$",
        ),
        ({"objective": "pseudo_labels", "augment": ["fmix"]}, "^fmix mixes each image with another one"),
        (
            {"init": "pretrained"},
            "^init pretrained starts from a source's weights, but source is nothing and transfer scratch: set a so",
        ),
    ],
)
def test_what_cannot_be_is_refused_when_the_recipe_is_made(changes, said):
    with pytest.raises(RecipeError, match=said):
        FEW.changed(**changes)


def test_what_has_labels_and_one_view_may_mix_and_make_images():
    for objective in ("supervised", "multi_task", "coral"):
        assert len(FEW.changed(objective=objective, augment=["generated", "mixup"]).augment) == 2
    assert FEW.changed(objective="masked_autoencoder", augment="mixup").augment


def test_what_is_named_without_labels_or_with_views_is_what_says_so_itself():
    data = load(datasets.parse("digits"), [])
    built = {name: objectives.build(objectives.parse(name), data, 0.0) for name in shipped("objective")}
    assert {name for name, objective in built.items() if not objective.uses_labels} == {*without_labels}
    assert {name for name, objective in built.items() if objective.takes_views} == {*with_views}


def test_a_network_that_does_not_end_with_a_fully_connected_layer_is_refused():
    objective = objectives.build(objectives.parse("masked_autoencoder"), load(datasets.parse("digits"), []), 0.0)
    ends_otherwise = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU())
    with pytest.raises(RecipeError, match=r"^An objective without labels learns what a last .* does not end with one"):
        objective.network(ends_otherwise)


def test_a_patch_that_hides_all_is_refused():
    recipe = FEW.changed(objective={"name": "masked_autoencoder", "patch": 7})
    assert Training(recipe, device="cpu").objective.patch == 7
    with pytest.raises(DataError, match=r"^A patch of 8 pixels hides all of an image of 8 x 8, .* to at most 7\.$"):
        Training(recipe.changed(**{"objective.patch": 8}), device="cpu")


def test_labels_of_other_images_stay_with_the_classes_that_are_kept():
    data = load(datasets.parse("digits"), [modifiers.parse({"name": "subset", "per_class": 2})])
    some = modifiers.build(modifiers.parse({"name": "classes", "first": 2, "last": 4}), data)
    assert some.unlabelled.labels.unique().tolist() == [0, 1, 2]
    assert len(some.train) == 6


def test_a_run_without_labels_that_is_at_chance_may_have_learned_all_the_same():
    recipe = FEW.changed(objective="masked_autoencoder", epochs=30, modify=["random_labels", "subset"])
    finished = next(event for event in trained(recipe)[1] if isinstance(event, Finished))
    assert (finished.status, finished.detail) == ("finished", "")
