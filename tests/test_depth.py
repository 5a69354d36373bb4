"""A learning rate per depth: which layer has which, and that a step is as large as that says."""

import pytest
import torch
from small_runs import SMALL, TINY_CNN
from torch import nn

from lab.depth import by_depth, rate_groups
from lab.events import Step
from lab.models import models
from lab.models.recurrent import RecurrentLayer
from lab.models.transformer import Attention
from lab.optimizers import parameter_groups
from lab.training import Training


def scales(model, depth_decay=0.5):
    """Scale by name, and the names that are not decayed."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    found, spared = {}, set()
    for group in rate_groups(model, depth_decay):
        found |= {names[parameter]: group["scale"] for parameter in group["params"]}
        spared |= {names[parameter] for parameter in group["params"] if group.get("weight_decay") == 0}
    return found, spared


def test_each_layer_has_its_share_and_norms_go_with_the_layer_before():
    layers = [nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(2, 3), nn.LayerNorm(3)]
    found, spared = scales(nn.Sequential(*layers, nn.Linear(3, 2, bias=False)))
    first = dict.fromkeys(["0.weight", "0.bias", "1.weight", "1.bias"], 0.25)
    second = dict.fromkeys(["4.weight", "4.bias", "5.weight", "5.bias"], 0.5)
    assert found == first | second | {"6.weight": 1.0}
    assert spared == {name for name in found if name not in {"0.weight", "4.weight", "6.weight"}}


def test_a_norm_that_comes_first_goes_with_the_first_layer():
    found, _ = scales(nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2), nn.Linear(2, 2)))
    assert found == {
        **dict.fromkeys(["0.weight", "0.bias", "1.weight", "1.bias"], 0.5),
        **dict.fromkeys(["2.weight", "2.bias"], 1.0),
    }


def test_a_layer_in_two_places_counts_once_and_frozen_ones_keep_the_distance():
    twice, frozen = nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(requires_grad=False)
    model = nn.Sequential(nn.Linear(2, 2), twice, frozen, twice, nn.Linear(2, 2))
    found, _ = scales(model)
    assert {name: found[name] for name in ("0.weight", "1.weight", "4.weight")} == {
        "0.weight": 0.125,
        "1.weight": 0.25,
        "4.weight": 1,
    }
    assert "2.weight" not in found
    assert len(by_depth(model)) == 4


@pytest.mark.parametrize(
    ("spec", "layers"),
    [
        ("rnn", 2),
        ({"name": "lstm", "depth": 2}, 3),
        ({"name": "gru", "norm": "layer"}, 2),
        ({"name": "transformer", "depth": 2}, 9),
        ({"name": "transformer", "depth": 2, "norm_place": "after"}, 9),
    ],
    ids=str,
)
def test_gates_are_one_layer_and_so_is_attention(spec, layers):
    """Of the transformer: patches, positions, twice attention and two matrices, and the logits."""
    model = models.build(models.parse(spec), (1, 8, 8), 10, nn.ReLU)
    found, _ = scales(model)
    assert len(by_depth(model)) == layers
    assert set(found) == {name for name, _ in model.named_parameters()}
    for kind in (RecurrentLayer, Attention):
        for path in [path for path, layer in model.named_modules() if isinstance(layer, kind)]:
            assert len({found[name] for name in found if name.startswith(f"{path}.")}) == 1


@pytest.mark.parametrize("model", ["mlp", TINY_CNN])
def test_the_first_group_is_the_outputs(model):
    session = Training(SMALL.changed(model=model, depth_decay=0.1), device="cpu")
    assert session.base_rate == 0.1
    assert [session.optimizer.param_groups[0]["scale"], session.optimizer.param_groups[-1]["scale"]] == [
        1,
        pytest.approx(0.1 ** (len(by_depth(session.model)) - 1)),
    ]


def test_one_rate_for_all_is_one_group_without_decay_and_two_with_it():
    for decay in (0.0, 0.1):
        session = Training(SMALL.changed(**{"optimizer.weight_decay": decay}), device="cpu")
        plain = [group["params"] for group in parameter_groups(session.model)]
        found = session.optimizer.param_groups
        assert [group["params"] for group in found] == (plain if decay else [[*plain[0], *plain[1]]])
        assert all("scale" not in group for group in found)


@pytest.mark.parametrize("objective", ["dann", "multi_task", "simclr", "image_and_words"])
def test_what_an_objective_puts_on_the_model_is_no_layer_of_it(objective):
    """The model's own layers have the rates that they have without it, the rest has the full one."""
    recipe = SMALL.changed(depth_decay=0.5, optimizer={"name": "sgd", "lr": 0.1, "weight_decay": 0.01})
    plain, headed = rates(recipe), rates(recipe.changed(objective=objective))
    own = {name.removeprefix("trunk."): rate for name, rate in headed.items() if name.startswith("trunk.")}
    resting = {"5.weight", "5.bias"} if objective == "simclr" else set()
    assert own == {name: rate for name, rate in plain.items() if name not in resting}
    assert {rate for name, rate in headed.items() if not name.startswith("trunk.")} == {0.1}
    assert min(own.values()) == 0.025


def rates(recipe):
    """By name, of what is trained."""
    session = Training(recipe, device="cpu")
    names = {parameter: name for name, parameter in session.model.named_parameters()}
    pairs = zip(session.optimizer.param_groups, session._base_rates, strict=True)
    return {names[parameter]: rate for group, rate in pairs for parameter in group["params"]}


def first_update(recipe):
    """How far each parameter moves in the first step."""
    session = Training(recipe, device="cpu")
    before = {name: parameter.detach().clone() for name, parameter in session.model.named_parameters()}
    next(event for event in session if isinstance(event, Step))
    return {name: parameter.detach() - before[name] for name, parameter in session.model.named_parameters()}


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("model", ["mlp", TINY_CNN])
def test_the_first_step_of_a_layer_is_its_share_of_the_step_it_would_make(model, optimizer):
    recipe = SMALL.changed(model=model, optimizer=optimizer, precision="float64")
    alike, decayed = first_update(recipe), first_update(recipe.changed(depth_decay=0.5))
    found, _ = scales(Training(recipe, device="cpu").model)
    assert min(found.values()) <= 0.25
    for name, share in found.items():
        torch.testing.assert_close(decayed[name], share * alike[name], rtol=1e-9, atol=1e-15)
