"""Several tasks on one trunk: their losses against references, their accuracies, and each task alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_runs import SMALL, trained

import lab
from lab.data import DataError, Dataset, Split, load
from lab.objectives.tasks import TASKS, MultiTask, turned, weighted
from lab.panel.words import runs_table
from lab.recipe import RecipeError
from lab.steps import build_model

BASE = SMALL.changed(model={"name": "mlp", "width": 8})
ALONE = dict.fromkeys(("class_weight", "odd_weight", "turned_weight"), 0.0)
numbers = st.lists(st.floats(0.01, 5), min_size=3, max_size=3)


def with_tasks(**settings):
    return BASE.changed(objective={"name": "multi_task", **settings})


@given(numbers, numbers, st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_losses_are_weighted_as_numpy_has_it(losses, weights, logs):
    given_losses, given_weights, given_logs = (
        torch.tensor(each, dtype=torch.float64) for each in (losses, weights, logs)
    )
    assert weighted(given_losses, given_weights, None).item() == pytest.approx(np.dot(losses, weights), rel=1e-12)
    sigma = np.exp(np.array(logs) / 2)
    expected = np.dot(weights, np.array(losses) / sigma**2 + np.log(sigma))
    assert weighted(given_losses, given_weights, given_logs).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_best_variance_is_twice_the_loss():
    """d/ds (e^-s L + s / 2) = 0 at e^s = 2 L."""
    logs = torch.tensor([np.log(2 * 0.7)], dtype=torch.float64, requires_grad=True)
    weighted(torch.tensor([0.7], dtype=torch.float64), torch.ones(1).double(), logs).backward()
    assert logs.grad.item() == pytest.approx(0, abs=1e-12)


def test_images_are_turned_as_numpy_turns_them():
    images, turns = torch.rand(8, 2, 5, 5), torch.tensor([0, 1, 2, 3, 3, 0, 1, 2])
    expected = [np.rot90(image.numpy(), times, (1, 2)) for image, times in zip(images, turns.tolist(), strict=True)]
    assert np.array_equal(turned(images, turns).numpy(), np.stack(expected))


def test_odd_shares_are_sums_of_shares():
    objective = MultiTask(load(BASE.data), 0.0, (1, 1, 1), "fixed")
    assert objective.odd(torch.tensor([3, 4, 0])).tolist() == [1, 0, 0]
    shares = torch.eye(10)[[3, 4]] * 0.75 + torch.eye(10)[[8, 9]] * 0.25
    assert objective.odd(shares).tolist() == [[0.25, 0.75], [0.75, 0.25]]


def cross_entropy(logits, labels):
    shifted = logits - logits.max(1, keepdims=True)
    return (np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(labels)), labels]).mean()


@pytest.mark.parametrize("weighting", ["fixed", "uncertainty"])
def test_the_loss_by_hand(weighting):
    recipe = with_tasks(class_weight=0.5, odd_weight=2.0, turned_weight=3.0, weighting=weighting)
    session = lab.Training(
        recipe.changed(precision="float64", model={"name": "mlp", "width": 6, "depth": 1}), device="cpu"
    )
    images, labels = session.prepare(session.data.train.images[:9]), session.data.train.labels[:9]
    batch = session.objective.batch(images, labels, session.moment(images))
    network, array = session.model, lambda tensor: tensor.detach().numpy()
    features = [np.maximum(array(batch[at]).reshape(9, -1) @ array(network.trunk[1].weight).T, 0) for at in (0, 2)]
    heads = [(network.trunk[3], features[0], labels), (network.odd, features[0], labels % 2)]
    heads.append((network.turned, features[1], batch[3]))
    expected = [cross_entropy(seen @ array(head.weight).T, array(truth)) for head, seen, truth in heads]
    loss, logits = session.objective.loss(network, batch)
    assert loss.item() == pytest.approx(np.dot([0.5, 2, 3], expected), rel=1e-10)  # variances start at 1
    assert logits.shape == (9, 10)


def test_accuracies_of_all_tasks_are_told_and_right():
    session, _ = trained(with_tasks().changed(epochs=8))
    last, split = session.history.epochs[-1], session.data.validation
    assert last.also.keys() == {"odd", "turned"}
    assert last.also["odd"] > 0.6  # of two
    assert last.also["turned"] > 0.35  # of four
    session.model.eval()
    with torch.inference_mode():
        seen = session.prepare(split.images)
        odd = (session.model(seen, "odd").argmax(1) == split.labels % 2).double().mean()
        turns = torch.arange(len(split)) % 4
        right = (session.model(turned(seen, turns), "turned").argmax(1) == turns).double().mean()
    assert last.also == {"odd": pytest.approx(odd.item()), "turned": pytest.approx(right.item())}


def test_an_accuracy_that_no_task_has_learned_is_called_so():
    recipe = with_tasks().changed(epochs=1)
    runs = [lab.train(each, progress=False) for each in (recipe, recipe.changed(**{"objective.class_weight": 0}))]
    usual, without = (runs_table({1: run}) for run in runs)
    assert "not learned" in without
    assert "not learned" not in usual


@pytest.mark.parametrize("task", TASKS)
def test_a_task_alone_moves_its_own_head_and_no_other(task):
    recipe = with_tasks(**ALONE | {f"{task}_weight": 1.0})
    session, events = trained(recipe)
    start = build_model(recipe, session.data).state_dict()
    moved = {
        name.rpartition(".")[0]
        for name, value in session.model.state_dict().items()
        if not torch.equal(value, start[name])
    }
    own = {"class": "trunk.5", "odd": "odd", "turned": "turned"}[task]
    assert moved == {"trunk.1", "trunk.3", own}
    assert session.history.epochs[-1].also.keys() == {task} - {"class"}
    assert events[-1].status == "finished"  # at chance with the classes it may be


def test_the_class_alone_is_the_run_without_other_tasks():
    alone, _ = trained(with_tasks(**ALONE | {"class_weight": 1.0}))
    plain, _ = trained(BASE)
    assert alone.history.loss == plain.history.loss


def test_variances_are_learned():
    session, _ = trained(with_tasks(weighting="uncertainty"))
    logs = session.model.log_variances.detach()
    assert (logs != 0).all()
    fixed, _ = trained(with_tasks())
    assert fixed.model.log_variances is None


def test_no_task_at_all_is_refused():
    with pytest.raises(RecipeError, match=r"A weight must be above 0: class_weight, odd_weight or turned_weight\."):
        with_tasks(**ALONE)


def test_what_cannot_be_turned_is_refused_in_words():
    split = Split(torch.zeros(4, 1, 8, 6, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))
    data = Dataset(split, split, split, ("a", "b"))
    with pytest.raises(
        DataError, match=r"^Images of 8 x 6 pixels cannot be turned by 90 degrees\. Set turned_weight to 0"
    ):
        MultiTask(data, 0.0, (1, 1, 1), "fixed")
    assert MultiTask(data, 0.0, (1, 1, 0), "fixed").learned == ["class", "odd"]
