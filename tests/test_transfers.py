"""Transfers: what is copied, what rests to the last bit, what trains when; kept features equal live ones."""

import re

import pytest
import torch
from small_runs import EXACT, SMALL, TINY_CNN, same_weights, trained
from test_export import run_alone
from test_export import trained as losses_and_weights
from torch import nn

import lab
from lab import features
from lab.data import load
from lab.depth import by_depth
from lab.events import Epoch, Step
from lab.initializers import evaluating
from lab.models.norms import BatchNorm
from lab.steps import build_model
from lab.training import Training
from lab.transfer import SourceError, Weights, settle, sources, transfers

CNN = SMALL.changed(model={**TINY_CNN, "norm": "batch"}, optimizer={"name": "sgd", "lr": 0.05, "momentum": 0.9})
THAWING = ("linear_probe_then_fine_tune", "gradual_unfreezing")
TAKING = [name for name in transfers if name != "scratch"]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Folder of a run whose weights others take."""
    folder = tmp_path_factory.mktemp("runs") / "pretrained"
    lab.train(CNN.changed(seed=3), folder=folder, progress=False, device="cpu")
    return str(folder)


def taking(folder, transfer, recipe=CNN, **changes):
    return recipe.changed(source={"name": "run", "folder": folder}, transfer=transfer, **changes)


def built(recipe):
    return build_model(recipe, load(recipe.data, recipe.modify))


def said(model):
    return {match.name: match.said for match in model.transferred.layers}


def start_and_end(recipe):
    """The network's tensors before the first step and after the last."""
    session = Training(recipe, device="cpu")
    start = {name: tensor.clone() for name, tensor in session.model.state_dict().items()}
    list(session)
    return start, session.model.state_dict()


def moved(recipe):
    """Layers of which a bit has changed in training."""
    start, end = start_and_end(recipe)
    return {name.rpartition(".")[0] for name in start if not torch.equal(start[name], end[name])}


# -- what is copied ---------------------------------------------------------------------------------------------------


def test_whole_copies_every_layer(pretrained):
    model, source = (
        built(taking(pretrained, "whole")),
        sources.build(sources.parse({"name": "run", "folder": pretrained})),
    )
    assert all(torch.equal(tensor, source[name]) for name, tensor in model.state_dict().items())


def test_scratch_reads_nothing_of_its_source():
    recipe = SMALL.changed(source={"name": "run", "folder": "/nowhere"})
    a, b = built(recipe).state_dict(), built(SMALL).state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("transfer", TAKING)
def test_without_a_source_the_initialisation_stays(transfer):
    a, b = built(CNN.changed(transfer=transfer)).state_dict(), built(CNN).state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)


def fill(model, weights, data, **spec):
    return transfers.build(transfers.parse(spec), model, weights, data)


def test_a_last_layer_for_other_classes_keeps_its_own_start():
    data, other = load(CNN.data), built(CNN.changed(seed=1)).state_dict()
    for classes, expected in (("0123456789", "copied"), ("abcdefghij", "other classes")):
        model = fill(built(CNN), Weights(other, "a test", tuple(classes)), data, name="whole")
        assert said(model)["11"] == expected
        assert torch.equal(model[11].weight, other["11.weight"]) == (expected == "copied")
    fewer = {**other, "11.weight": other["11.weight"][:5], "11.bias": other["11.bias"][:5]}
    model = fill(built(CNN), Weights(fewer, "a test"), data, name="whole")
    assert said(model)["11"] == "another shape"
    assert torch.equal(model[11].weight, built(CNN)[11].weight)


def test_a_layer_is_copied_as_a_whole_or_not_at_all():
    other = built(CNN.changed(seed=1)).state_dict()
    del other["9.bias"]
    model = fill(built(CNN), Weights(other, "a test"), load(CNN.data), name="whole")
    assert said(model)["9"] == "another shape"
    assert torch.equal(model[9].weight, built(CNN)[9].weight)


FIVE = {"name": "classes", "last": 4}  # other classes than the source's: the last layer is a new one


@pytest.mark.parametrize("transfer", TAKING)
def test_pretrained_as_an_initialisation_is_the_source_and_he_normal_elsewhere(transfer, pretrained):
    recipe = taking(pretrained, transfer, modify=[*CNN.modify, FIVE])
    named, usual = (built(recipe.changed(init=init)).state_dict() for init in ("pretrained", "he_normal"))
    assert all(torch.equal(named[name], usual[name]) for name in usual)


def test_a_run_from_pretrained_goes_on_and_is_a_script_with_the_same_numbers(pretrained, tmp_path):
    recipe = taking(pretrained, "whole", init="pretrained", modify=[*CNN.modify, FIVE])
    assert lab.Recipe.from_yaml(recipe.to_yaml()) == recipe
    whole, session, again = trained(recipe)[0], *(Training(recipe, device="cpu") for _ in range(2))
    next(event for event in session if isinstance(event, Step) and event.step == session.steps // 2)
    again.restore(session.state())
    list(again)
    assert same_weights(again, whole)
    assert run_alone(recipe, tmp_path) == losses_and_weights(recipe)


def test_arms_from_pretrained_have_in_a_stack_the_numbers_they_have_alone(pretrained):
    recipe = taking(pretrained, "whole", EXACT.changed(model=CNN.model), init="pretrained")
    arms = [recipe, recipe.changed(seed=5), recipe.changed(init="he_normal")]
    stacked = lab.train_many(arms, device="cpu")
    for arm, run in zip(arms, stacked, strict=True):
        assert run.history.loss == pytest.approx(lab.train(arm, progress=False, device="cpu").history.loss, rel=1e-9)


def test_head_copies_the_layers_named_and_no_other(pretrained):
    assert said(built(taking(pretrained, {"name": "head", "layers": "9"}))) == {
        **dict.fromkeys(["0", "1", "4", "5", "11"], "not chosen"),
        "9": "copied",
    }
    assert {name for name, what in said(built(taking(pretrained, "head"))).items() if what == "copied"} == {"9", "11"}


@pytest.mark.parametrize(
    ("transfer", "recipe", "message"),
    [
        ({"name": "head", "layers": "9, 4"}, CNN, "^'4' is no fully connected layer here. Expected some of: 9, 11.$"),
        ({"name": "head", "frozen": True}, CNN.changed(model="mlp"), "^Nothing in run .* fits this network"),
        ("whole", CNN.changed(model="lstm"), r"^Nothing in run .* fits this network: no layer has the same name \(its"),
        (
            "features",
            CNN.changed(**{"model.width": 3}),
            r"^Layer 0 would stay as it was drawn at random \(another shape: run .*Choose the model and the size of im",
        ),
        ({"name": "whole", "frozen": 1}, CNN.changed(**{"model.kernel": 5}), "^Layer 0 would stay as it was drawn"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(transfer, recipe, message, pretrained):
    with pytest.raises(SourceError, match=message):
        built(taking(pretrained, transfer, recipe))


def test_weights_for_images_of_another_size_are_refused_with_both_shapes():
    other = Weights({"1.weight": torch.zeros(64, 784), "1.bias": torch.zeros(64)}, "MNIST's run")
    said = "Nothing in MNIST's run fits this network (layer 1: weight is (64, 784) there and (64, 64) here). Choose the"
    with pytest.raises(SourceError, match=f"^{re.escape(said)}"):
        fill(built(SMALL), other, load(SMALL.data), name="whole")


def test_a_head_that_is_the_whole_network_cannot_be_frozen(tmp_path):
    lab.train(SMALL, folder=tmp_path / "a", progress=False, device="cpu")
    with pytest.raises(
        SourceError, match=r"^All layers of this network are copied and frozen: nothing is left to train"
    ):
        built(taking(f"{tmp_path}/a", {"name": "head", "frozen": True}, SMALL))


# -- what rests -------------------------------------------------------------------------------------------------------

LAYERS = ["0", "1", "4", "5", "9", "11"]  # conv, norm, conv, norm, linear, linear


@pytest.mark.parametrize(
    ("transfer", "expected"),
    [
        ("whole", LAYERS),
        ({"name": "whole", "frozen": 1}, LAYERS[2:]),
        ({"name": "whole", "frozen": 2}, LAYERS[4:]),
        ({"name": "whole", "frozen": 99}, LAYERS[5:]),
        ({"name": "head", "frozen": True, "layers": "9"}, [*LAYERS[:4], "11"]),
        ("features", ["11"]),
        ({"name": "features", "batchnorm": "renewed"}, ["11"]),
        ({"name": "linear_probe_then_fine_tune", "probe": 1.0}, ["11"]),
        ("linear_probe_then_fine_tune", LAYERS),
        ("gradual_unfreezing", LAYERS[2:]),  # three epochs: the last three of four
        ({"name": "gradual_unfreezing", "every": 2}, LAYERS[4:]),
    ],
)
@pytest.mark.parametrize("optimizer", ["momentum", "adamw", "lion"])
def test_what_is_frozen_does_not_move_by_a_bit(transfer, expected, optimizer, pretrained):
    spec = {"name": optimizer, "lr": 0.01, "weight_decay": 0.1}
    assert moved(taking(pretrained, transfer, optimizer=spec)) == set(expected)


@pytest.mark.parametrize(
    "change", [{"gradient": ["sam"]}, {"average": "ema"}, {"clip_norm": 0.1}, {"depth_decay": 0.5}]
)
def test_nor_under_what_else_changes_a_step(change, pretrained):
    assert moved(taking(pretrained, {"name": "whole", "frozen": 2}, **change)) == set(LAYERS[4:])
    assert moved(taking(pretrained, "features", **change)) == {"11"}


@pytest.mark.parametrize("average", ["ema", "swa"])
@pytest.mark.parametrize("transfer", THAWING)
def test_the_average_holds_what_thaws_later_from_the_start(transfer, average, pretrained):
    session = Training(
        taking(pretrained, transfer, average={"name": average, **({"start": 0.0} if average == "swa" else {})}),
        device="cpu",
    )
    start = {name: tensor.detach().clone() for name, tensor in session.model.named_parameters()}
    next(event for event in session if isinstance(event, Epoch))
    assert session.average.keys() == start.keys()
    assert torch.equal(session.average["0.weight"], start["0.weight"])  # still frozen
    list(session)
    assert session.average.keys() == start.keys()


def test_what_is_evaluated_with_an_average_keeps_frozen_statistics(pretrained):
    session, _ = trained(taking(pretrained, {"name": "whole", "frozen": 2}, average="ema"))
    weights, source = session.weights(), sources.build(sources.parse({"name": "run", "folder": pretrained}))
    assert all(torch.equal(weights[name], source[name]) for name in source if name.partition(".")[0] in LAYERS[:4])


def test_frozen_statistics_rest_while_their_layers_train(pretrained):
    start, end = start_and_end(taking(pretrained, {"name": "whole", "batchnorm": "frozen"}))
    assert not torch.equal(start["1.weight"], end["1.weight"])
    assert all(torch.equal(start[name], end[name]) for name in start if "running" in name or "tracked" in name)


def test_renewed_statistics_are_those_of_the_new_images(pretrained):
    recipe = taking(pretrained, {"name": "features", "batchnorm": "renewed"})
    data = load(recipe.data, recipe.modify)
    model, plain = build_model(recipe, data), build_model(taking(pretrained, "features"), data)
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in data.statistics)
    with torch.no_grad():
        seen = plain[0]((data.train.images.float() / 255 - mean) / std)
    torch.testing.assert_close(model[1].running_mean, seen.mean((0, 2, 3)))
    torch.testing.assert_close(model[1].running_var, seen.var((0, 2, 3)))
    assert not torch.equal(model[1].running_mean, plain[1].running_mean)
    assert torch.equal(model[1].weight, plain[1].weight)


def test_a_layer_without_parameters_goes_with_the_one_before_it():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.Sequential(nn.Linear(2, 2), nn.Dropout()), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    settle(model)
    assert [layer.training for layer in model.modules()] == [True, False, False, True, True, True, True]


def test_evaluation_leaves_what_rests_at_rest(pretrained):
    session = Training(taking(pretrained, {"name": "whole", "frozen": 2}), device="cpu")
    next(event for event in session if isinstance(event, Epoch))
    assert [
        name for name, layer in session.model.named_modules() if isinstance(layer, BatchNorm) and layer.training
    ] == []


def test_layers_thaw_when_they_should():
    recipe = CNN.changed(epochs=5, batch_size=50, transfer={"name": "gradual_unfreezing", "every": 2})
    session, trained_layers = Training(recipe, device="cpu"), []
    for event in session:
        if isinstance(event, Epoch):
            layers = by_depth(session.model)
            trained_layers.append(sum(layer[0].requires_grad for layer in layers))
    assert trained_layers == [1, 1, 2, 2, 3]
    session = Training(recipe.changed(transfer={"name": "linear_probe_then_fine_tune", "probe": 0.4}), device="cpu")
    trained_layers = [
        sum(p.requires_grad for p in session.model.parameters()) for event in session if isinstance(event, Epoch)
    ]
    assert trained_layers == [2, 2, 10, 10, 10]


def test_a_probe_of_nothing_is_fine_tuning(pretrained):
    probe, _ = trained(taking(pretrained, {"name": "linear_probe_then_fine_tune", "probe": 0.0}))
    whole, _ = trained(taking(pretrained, "whole"))
    assert probe.history.loss == whole.history.loss


# -- features ---------------------------------------------------------------------------------------------------------


def live(recipe, monkeypatch):
    """The same run with everything computed anew at each step."""
    with monkeypatch.context() as patch:
        patch.setattr(features, "keeps_features", lambda _: False)
        session, _ = trained(recipe)
    assert session.features is None
    return session


@pytest.mark.parametrize("model", ["mlp", "cnn", "resnet", "densenet", "lstm", "transformer"])
def test_kept_features_give_the_run_that_live_ones_give(model, monkeypatch):
    recipe = EXACT.changed(model=model, transfer="features", clip_norm=0.5, optimizer={"name": "adam", "lr": 0.01})
    kept, _ = trained(recipe)
    assert kept.features is not None
    other = live(recipe, monkeypatch)
    assert kept.history.loss == pytest.approx(other.history.loss, rel=1e-11)
    assert [epoch.validation_loss for epoch in kept.history.epochs] == pytest.approx(
        [epoch.validation_loss for epoch in other.history.epochs], rel=1e-11
    )
    assert kept.evaluate(kept.validation_split) == pytest.approx(other.evaluate(other.validation_split), rel=1e-11)


def test_kept_features_are_what_the_last_layer_reads(pretrained):
    session, _ = trained(taking(pretrained, "features"))
    with torch.no_grad(), evaluating(session.model):
        expected = session.model[:-1](session.prepare(session.train_split.images))
    torch.testing.assert_close(session.features.train.images, expected)
    assert torch.equal(session.features.train.labels, session.train_split.labels)


@pytest.mark.parametrize(
    "change",
    [{"augment": ["flip"]}, {"average": "ema"}, {"optimizer": "schedule_free_adamw"}],
    ids=str,
)
def test_features_are_computed_at_each_step_where_they_must_be(change, pretrained):
    session, _ = trained(taking(pretrained, "features", **change))
    assert session.features is None


def test_a_network_that_goes_on_behind_its_last_layer_is_not_cut_there():
    class Doubled(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(3, 2)

        def forward(self, x):
            return 2 * self.last(x)

    assert features.end_of(Doubled(), torch.ones(1, 3)) is None
    plain = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    assert features.end_of(plain, torch.ones(1, 3)) is plain[1]


# -- stacks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transfer", ["features", *THAWING, {"name": "whole", "frozen": 1}])
def test_what_lets_layers_rest_trains_alone(transfer, pretrained):
    recipe = taking(pretrained, transfer)
    name = recipe.transfer.name
    with pytest.raises(ValueError, match=rf"^A recipe whose transfer \({name}\) lets layers rest trains alone, not in"):
        lab.stacks.stack.Stack([recipe, recipe.changed(seed=8)], device="cpu")


def test_fine_tuning_stacks_with_the_numbers_it_has_alone(tmp_path):
    lab.train(EXACT, folder=tmp_path / "a", progress=False, device="cpu")
    recipes = [taking(f"{tmp_path}/a", "whole", EXACT, seed=seed) for seed in (1, 2)]
    stack = lab.stacks.stack.Stack(recipes, device="cpu")
    list(stack)
    for arm, recipe in zip(stack.arms, recipes, strict=True):
        assert arm.history.loss == pytest.approx(trained(recipe)[0].history.loss, rel=1e-11)
