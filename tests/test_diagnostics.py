"""The init doctor says what is there, and watching a training changes no bit of it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from small_runs import SMALL, TINY_CNN, same_history, same_weights, trained
from torch import nn

from lab.__main__ import main
from lab.activations import activations
from lab.diagnostics import HealthHistory, examine, watched
from lab.diagnostics.signals import Tally, traced
from lab.diagnostics.theory import double, expected_std, largest_slope, mean_square, slopes
from lab.diagnostics.watching import Health, probe_of, signals_of
from lab.models import models
from lab.recipe import Recipe
from lab.training import Training

DEEP = Recipe(model={"name": "mlp", "depth": 30}, init="xavier_normal")
RELU, SIGMOID = activations.parse("relu"), activations.parse("sigmoid")


@pytest.fixture(autouse=True)
def own_options(monkeypatch):
    """Options added in a test are gone after it."""
    for catalogue in (models, activations):
        monkeypatch.setattr(catalogue, "functions", dict(catalogue.functions))
        monkeypatch.setattr(catalogue, "_choices", dict(catalogue._choices))


def normal(std):
    return {"name": "random_normal", "std": std}


def linear(weight, bias=None):
    layer = nn.Linear(len(weight[0]), len(weight))
    layer.weight.data = torch.tensor(weight, dtype=torch.float32)
    layer.bias.data = torch.tensor(bias or [0.0] * len(weight))
    return layer


# -- signals of networks that are known by hand -----------------------------------------------------------------


def test_signals_of_a_network_by_hand():
    # Units: 2x and -x - 1. For x = 1 and 3: 2, 6 and -2, -4; relu passes 2, 6 and 0, 0: the second is dead.
    model = nn.Sequential(linear([[2.0], [-1.0]], [0.0, -1.0]), nn.ReLU(), linear([[1.0, 5.0]]))
    with traced(model, RELU) as traces:
        model(torch.tensor([[1.0], [3.0]])).sum().backward()
    first, last = traces
    assert [trace.name for trace in traces] == ["0", "2"]
    assert (first.output.mean, first.output.std) == (pytest.approx(0.5), pytest.approx(np.std([2, 6, -2, -4])))
    assert (first.passed.mean, first.passed.std) == (pytest.approx(2), pytest.approx(np.std([2, 6, 0, 0])))
    assert (first.dead, first.flat.mean) == (0.5, 0.5)
    assert first.gradient.rms == pytest.approx(math.sqrt(0.5))  # d sum / d z: 1 for the first unit, 0 for the dead one
    assert (last.activation, last.dead, last.output.mean, last.gradient.rms) == (None, None, 4.0, 1.0)


def test_a_unit_of_a_convolution_is_a_channel_and_lives_if_it_does_anywhere():
    layer = nn.Conv2d(1, 2, 1)
    layer.weight.data, layer.bias.data = torch.ones(2, 1, 1, 1), torch.tensor([0.0, -5.0])
    images = torch.zeros(1, 1, 2, 2)
    images[0, 0, 1, 1] = 1.0
    with traced(nn.Sequential(layer, nn.MaxPool2d(2), nn.ReLU()), RELU) as traces:
        nn.Sequential(layer, nn.ReLU())(images)  # the second ReLU is another one, which nobody watches
        assert traces[0].alive is None
    model = nn.Sequential(layer, nn.ReLU())
    with traced(model, RELU) as traces:
        model(images)
    assert traces[0].shape == (2, 2, 2)
    assert traces[0].alive.tolist() == [True, False]
    assert traces[0].flat.mean == 7 / 8


def test_hooks_are_gone_afterwards_and_in_place_activations_are_read_before_they_work():
    model = nn.Sequential(linear([[1.0], [1.0]]), nn.ReLU(inplace=True), linear([[1.0, 1.0]]))
    with traced(model, RELU) as traces:
        model(torch.tensor([[-1.0], [2.0]])).sum().backward()
    assert (traces[0].received.mean, traces[0].passed.mean) == (0.5, 1.0)
    assert (traces[0].flat.mean, traces[0].gradient.count) == (0.5, 4)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_layer_that_runs_twice_is_one_whose_values_are_pooled():
    layer = linear([[2.0]])
    model = nn.Sequential(layer, nn.Sigmoid(), layer)
    with traced(model, SIGMOID) as traces:
        model(torch.zeros(1, 1))
    assert len(traces) == 1
    assert (traces[0].output.count, traces[0].output.mean) == (2, 0.5)  # 0 and 2 * sigmoid(0)


def test_recurrent_layers_and_attention_are_layers_too():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.positions = nn.Parameter(torch.zeros(3, 4))  # owned by what holds layers: not a layer's weight
            self.lstm, self.attention = nn.LSTM(4, 4, batch_first=True), nn.MultiheadAttention(4, 2, batch_first=True)
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            x = self.lstm(x + self.positions)[0]
            return self.head(self.attention(x, x, x)[0].mean(1))

    model = Both()
    with traced(model, RELU) as traces:
        model(torch.randn(5, 3, 4)).sum().backward()
    assert [trace.name for trace in traces] == ["lstm", "attention", "head"]
    assert all(trace.gradient.count == trace.output.count for trace in traces)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_sizes_whose_squares_leave_float32_are_measured(size):
    tally = Tally()
    tally.add(torch.tensor([3.0, -3.0]) * size)
    tally.add(torch.tensor([3.0, -3.0]) * size)
    assert (tally.mean, tally.std, tally.rms) == (0, pytest.approx(3 * size), pytest.approx(3 * size))


# -- theory -----------------------------------------------------------------------------------------------------


class Scaled(nn.Module):
    """What a person may write: a setting that no representation shows, or a tensor that is no buffer."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


@pytest.mark.parametrize(
    ("one", "other", "slopes"),
    [
        (nn.LeakyReLU(0.5), nn.LeakyReLU(3.0), (1, 3)),
        (nn.PReLU(init=2.0), nn.PReLU(init=4.0), (2, 4)),
        (Scaled(2.0), Scaled(5.0), (2, 5)),
        (Scaled(torch.tensor(2.0)), Scaled(torch.tensor(5.0)), (2, 5)),
    ],
)
def test_what_is_known_of_one_activation_is_not_said_of_another(one, other, slopes):
    assert (largest_slope(one), largest_slope(other), largest_slope(one)) == (*slopes, slopes[0])


def test_nothing_is_remembered_of_an_activation_that_a_person_writes_anew(monkeypatch):
    assert largest_slope(Scaled(2.0)) == 2
    monkeypatch.setattr(Scaled, "forward", lambda self, x: 3 * x)
    assert largest_slope(Scaled(2.0)) == 3


def test_what_is_known_of_a_kind_is_not_found_out_again_and_weights_that_change_are_seen():
    assert double(nn.ELU(0.5)) is double(nn.ELU(0.5))
    learned = nn.PReLU(init=2.0)
    assert largest_slope(learned) == 2
    learned.weight.data.fill_(3.0)
    assert largest_slope(learned) == 3


@pytest.mark.parametrize(
    ("activation", "mean", "std", "expected"),
    [
        (nn.ReLU(), 0, 2, 2.0),
        (nn.Identity(), 1, 2, 5.0),
        (nn.LeakyReLU(0.5), 0, 1, 0.625),
        (nn.Tanh(), 0, 1e-3, 1e-6),
        (nn.Sigmoid(), 0, 1e-6, 0.25),
    ],
)
def test_the_quadrature_gives_means_that_are_known(activation, mean, std, expected):
    assert mean_square(activation, mean, std) == pytest.approx(expected, rel=1e-3)


def test_slopes_are_those_of_the_formula_and_leave_the_parameters_alone():
    values = torch.linspace(-4, 4, 9)
    assert torch.allclose(slopes(nn.Tanh(), values), 1 - values.tanh() ** 2, atol=1e-6)
    rectifier = nn.PReLU(init=0.1)
    assert slopes(rectifier, values).tolist() == pytest.approx([0.1] * 5 + [1.0] * 4)
    assert rectifier.weight.grad is None
    assert not values.requires_grad
    assert largest_slope(nn.GELU()) == pytest.approx(1.1289, abs=1e-3)


def test_what_is_measured_is_what_theory_says():
    """He et al. 2015: with relu, fan_in std^2 = 2 keeps the size; measured over a wide layer."""
    report = examine(Recipe(model={"name": "mlp", "depth": 4, "width": 512}), device="cpu")
    for layer in report.layers[1:4]:
        assert layer.expected_gain == pytest.approx(layer.gain, rel=0.2)
    relu = nn.ReLU()
    assert expected_std(relu, 0, 1, 512, math.sqrt(2 / 512)) == pytest.approx(1)


# -- facts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "known"), [("mlp", True), ("rnn", True), ("rnn_normed", False)])
def test_theory_is_silent_where_a_norm_stands_behind_the_activation(model, known):
    spec = {"mlp": {"name": "mlp", "norm": "batch"}, "rnn": {"name": "rnn", "depth": 3}}
    chosen = spec.get(model, {**spec["rnn"], "norm": "layer"})
    layers = examine(Recipe(model=chosen, activation="tanh"), device="cpu").layers
    assert any(layer.gain is not None for layer in layers)
    assert any(layer.expected_gain is not None for layer in layers) == known


def test_thirty_sigmoid_layers_lose_the_gradient():
    report = examine(DEEP.changed(activation="sigmoid"), device="cpu")
    assert 1e-20 < report.look.back < 1e-18
    assert report.sentence == (
        "The gradient at layer 1 is 2.6e-19 of the last layer's: this will not train; "
        "relu with he_normal would make it 0.64."
    )
    assert report.passes == 3


def test_he_keeps_the_signal_of_thirty_relu_layers_and_xavier_loses_it():
    def ends(recipe):
        layers = examine(recipe, device="cpu").layers
        return layers[0].activation_std, layers[29].activation_std

    assert ends(DEEP.changed(init="he_normal")) == (pytest.approx(0.8, abs=0.15), pytest.approx(0.45, abs=0.15))
    first, last = ends(DEEP)
    assert 0.2 < first < 0.7
    assert 1e-6 < last < 1e-4
    assert examine(DEEP, device="cpu").trouble == "vanishing"


def test_unit_normal_weights_explode_and_small_ones_die():
    wild = examine(DEEP.changed(init=normal(1.0)), device="cpu")
    assert wild.trouble == "exploding"
    assert wild.look.back > 1e20
    assert "he_normal would make it 0.64" in wild.sentence
    faint = examine(DEEP.changed(init=normal(0.01)), device="cpu")
    assert faint.trouble == "vanishing"
    assert faint.look.back < 1e-30
    assert examine(DEEP.changed(init=normal(1.0), **{"model.depth": 100}), device="cpu").trouble == "overflow"


def test_a_constant_initialisation_breaks_no_symmetry():
    @models.add
    def alike(shape, classes, activation):
        """Two layers that start with equal weights. Source: this test."""
        layers = [nn.Flatten(), Constant(math.prod(shape), 8), activation(), Constant(8, classes)]
        return nn.Sequential(*layers)

    session, report = Training(SMALL.changed(model="alike"), device="cpu"), examine(SMALL.changed(model="alike"))
    assert report.sentence.startswith(
        "All 8 units of layer 1 are identical, and will stay so: a constant initialisation breaks no symmetry"
    )
    list(session)
    rows = session.model[1].weight.detach()
    assert float((rows - rows[0]).abs().max()) == 0
    assert float((rows - 0.1).abs().max()) > 0


class Constant(nn.Module):
    """A linear layer that initialisers do not know, and so leave as it is."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.full((outputs, inputs), 0.1))

    def forward(self, values):
        return values @ self.weight.T


# -- sentences --------------------------------------------------------------------------------------------------


def test_a_sound_network_is_called_so():
    report = examine(Recipe(), device="cpu")
    assert report.sentence == "Signal and gradient keep their size through all 3 layers."
    assert (report.trouble, report.passes) == ("", 1)
    assert [layer.units for layer in report.layers] == [64, 64, 10]
    assert report.look.chance == pytest.approx(math.log(10))
    assert list(report.table()["name"]) == ["1", "3", "5"]
    assert str(report).endswith(report.sentence)


def test_dead_units_are_said_and_a_cure_is_measured():
    @activations.add
    def late():
        """max(0, x - 2). Source: this test."""
        return Late()

    report = examine(Recipe(activation="late", init={"name": "he_normal", "gain": 2**0.5}), device="cpu")
    assert report.layers[1].dead > 1 / 3
    assert report.trouble in ("dead", "vanishing", "fading")
    assert "would" in report.sentence


class Late(nn.Module):
    def forward(self, values):
        return (values - 2).relu()


def test_only_what_was_seen_to_help_is_suggested():
    report = examine(DEEP.changed(init="he_normal", activation="sigmoid", **{"model.depth": 8}), device="cpu")
    assert "relu with he_normal would make it" in report.sentence
    assert "; he_normal" not in report.sentence
    hopeless = SMALL.changed(model=mute())
    sentence = examine(hopeless, device="cpu").sentence
    assert sentence.startswith(
        "The gradient at layer 1 is 0 of the last layer's: this will not train; leaky_relu with "
    )
    assert sentence.endswith(" were tried and did not help.")


def mute():
    @models.add
    def mute_(shape, classes, activation):
        """A network that cuts its own gradient. Source: this test."""
        size = math.prod(shape)
        return nn.Sequential(nn.Flatten(), nn.Linear(size, 8), Cut(), nn.Linear(8, classes))

    return "mute_"


class Cut(nn.Module):
    def forward(self, values):
        return values.detach()


def test_a_head_of_zeros_is_no_trouble_that_needs_mending():
    @models.add
    def quiet(shape, classes, activation):
        """A network whose last layer starts at 0. Source: this test."""
        head = Constant(8, classes)
        head.weight.data.zero_()
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 8), activation(), head)

    report = examine(SMALL.changed(model="quiet"), device="cpu")
    assert report.sentence == "The last layer starts at 0, so the layers before it stand still in the first step."
    assert report.passes == 1


def test_one_layer_loses_nothing():
    assert "one layer" in examine(Recipe(model={"name": "mlp", "depth": 0}), device="cpu").sentence


def test_few_images_give_nearly_the_same_gradients():
    few, many = (examine(Recipe(), images=images, device="cpu").layers[0] for images in (64, 512))
    assert few.gradient_rms == pytest.approx(many.gradient_rms, rel=0.3)
    with pytest.raises(ValueError, match="images is 0, but must be at least 1"):
        examine(Recipe(), images=0)


@pytest.mark.parametrize("change", [{}, {"model": TINY_CNN, "precision": "bfloat16"}, {"precision": "float64"}])
def test_looking_changes_no_random_number_and_no_run(change):
    recipe = SMALL.changed(**change)
    before, undisturbed = torch.get_rng_state(), trained(recipe)[0]
    session = Training(recipe, device="cpu")
    examine(recipe, device="cpu")
    list(session)
    assert torch.equal(torch.get_rng_state(), before)
    assert same_weights(session, undisturbed)


# -- watching ---------------------------------------------------------------------------------------------------


def noisy():
    @models.add
    def noisy_(shape, classes, activation):
        """A network with batch statistics and dropout. Source: this test."""
        layers = [nn.Linear(math.prod(shape), 8), nn.BatchNorm1d(8), activation(), nn.Dropout(0.3)]
        return nn.Sequential(nn.Flatten(), *layers, nn.Linear(8, classes))

    return SMALL.changed(model="noisy_", augment=["crop"])


@pytest.mark.parametrize("every", [1, 4])
def test_watching_changes_no_bit(every):
    recipe = noisy()
    undisturbed, events = trained(recipe)
    session, before = Training(recipe, device="cpu"), torch.get_rng_state()
    seen = list(watched(session, every))
    assert torch.equal(torch.get_rng_state(), before)
    assert same_weights(session, undisturbed)
    assert same_history(session, undisturbed)
    assert sum(isinstance(event, Health) for event in seen) == session.steps // every
    kinds = [type(event).__name__ for event in seen if type(event).__name__ not in ("Health", "Metrics")]
    assert kinds == [type(event).__name__ for event in events if type(event).__name__ != "Metrics"]


def test_an_update_is_what_the_optimizer_did():
    """Plain gradient descent: the change is lr times the gradient."""
    session, history = Training(SMALL.changed(**{"optimizer.lr": 0.05}), device="cpu"), HealthHistory()
    weight = session.model[1].weight
    for event in watched(session, 3):
        history.add(event)
        if isinstance(event, Health):
            layer = event.layers[0]
            assert layer.gradient == pytest.approx(float(weight.grad.norm()))
            assert layer.weight == pytest.approx(float(weight.detach().norm()))
            assert layer.update == pytest.approx(0.05 * layer.gradient / layer.weight, rel=0.05)
            assert layer.lr == 0.05
    assert history.steps == list(range(3, session.steps + 1, 3))
    assert history.names == ["1", "3", "5"]
    assert history.values("update").shape == (3, len(history.steps))
    assert math.isnan(history.values("dead")[2, 0])
    assert len(history.table()) == 3 * len(history.steps)


def test_a_frozen_layer_has_no_gradient_and_no_update():
    session = Training(SMALL, device="cpu")
    session.model[1].weight.requires_grad_(False)
    session.optimizer.param_groups[0]["params"].pop(0)
    health = next(event for event in watched(session, 1) if isinstance(event, Health))
    assert (health.layers[0].gradient, health.layers[0].update, health.layers[0].lr) == (None, 0.0, 0.0)
    assert health.layers[1].update > 0


def test_the_probe_is_the_same_at_every_sample_and_leaves_no_graph():
    session = Training(noisy(), device="cpu")
    probe = probe_of(session, 16)
    first, second = (signals_of(session, probe)[0] for _ in range(2))
    assert first.output.mean == second.output.mean
    assert first.gradient.count == 0
    assert all(parameter.grad is None for parameter in session.model.parameters())


@pytest.mark.parametrize("wrong", [{"every": 0}, {"images": 0}])
def test_watching_refuses_what_makes_no_sense(wrong):
    with pytest.raises(ValueError, match="both must be at least 1"):
        watched(Training(SMALL, device="cpu"), **wrong)


# -- the command ------------------------------------------------------------------------------------------------


def test_the_command_examines(capsys):
    assert main(["examine", "model.depth=1", "--device", "cpu"]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{examine(Recipe().changed(**{'model.depth': 1}), device='cpu')}\n"
    assert printed.err == ""


def test_the_command_prints_json_without_infinities(capsys):
    words = ["model.depth=100", "init=random_normal", "init.std=1", "--device", "cpu", "--json"]
    assert main(["examine", *words]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (found["trouble"], len(found["layers"]), found["layers"][-1]["std"]) == ("overflow", 101, None)


@pytest.mark.parametrize("command", ["examine", "range"])
def test_a_bad_recipe_exits_2_with_words(command, capsys):
    assert main([command, "model=mpl"]) == 2
    assert "Did you mean 'mlp'?" in capsys.readouterr().err
