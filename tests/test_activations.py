"""Activations against their formulas and torch, and the averages that theories need against closed forms."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from lab.activations import Moments, activations, curve_of, gain_of, moments_of
from lab.optimizers import parameter_groups

POINTS = torch.linspace(-4, 4, 80, dtype=torch.float64)  # an even number: no kink is hit


def scaled_elu(x):
    return 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * (math.exp(x) - 1))


def logistic(x):
    return 1 / (1 + math.exp(-x))


def tanh_gelu(x):
    return x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


CASES = {
    "relu": ({}, lambda x: max(0.0, x), functional.relu),
    "leaky_relu": ({"slope": 0.2}, lambda x: x if x > 0 else 0.2 * x, lambda z: functional.leaky_relu(z, 0.2)),
    "prelu": ({"slope": 0.3}, lambda x: x if x > 0 else 0.3 * x, lambda z: functional.leaky_relu(z, 0.3)),
    "elu": ({"alpha": 2}, lambda x: x if x > 0 else 2 * (math.exp(x) - 1), lambda z: functional.elu(z, 2)),
    "selu": ({}, scaled_elu, functional.selu),
    "gelu": ({}, lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2, functional.gelu),
    "gelu, tanh": ({"approximate": "tanh"}, tanh_gelu, lambda z: functional.gelu(z, approximate="tanh")),
    "silu": ({}, lambda x: x * logistic(x), functional.silu),
    "mish": ({}, lambda x: x * math.tanh(math.log(1 + math.exp(x))), functional.mish),
    "softplus": ({"beta": 3}, lambda x: math.log(1 + math.exp(3 * x)) / 3, lambda z: functional.softplus(z, 3)),
    "sigmoid": ({}, logistic, functional.sigmoid),
    "tanh": ({}, lambda x: (math.exp(x) - math.exp(-x)) / (math.exp(x) + math.exp(-x)), functional.tanh),
    "hardswish": ({}, lambda x: x * min(max(x + 3, 0.0), 6.0) / 6, functional.hardswish),
    "identity": ({}, lambda x: x, lambda z: z),
}
every_case = pytest.mark.parametrize("case", CASES)


def choice_of(case):
    return activations.parse({"name": case.split(",")[0], **CASES[case][0]})


def test_every_activation_of_ours_is_tried():
    ours = {name for name, function in activations.functions.items() if function.__module__ == "lab.activations"}
    assert ours == {case.split(",")[0] for case in CASES}


@every_case
def test_activations_follow_their_formula(case):
    function, by_hand = activations.build(choice_of(case)).double(), CASES[case][1]
    expected = torch.tensor([by_hand(x) for x in POINTS.tolist()], dtype=torch.float64)
    # Softplus passes large inputs as they are: exp(-20) / 3 is 7e-10.
    near = {"rtol": 1e-7 if case in ("softplus", "prelu") else 1e-12, "atol": 1e-14}
    torch.testing.assert_close(function(POINTS).detach(), expected, **near)


@every_case
def test_activations_are_torchs_functions(case):
    points = POINTS.float()
    assert torch.equal(activations.build(choice_of(case))(points), CASES[case][2](points))


@every_case
def test_gradients_are_those_of_the_function(case):
    function = activations.build(choice_of(case)).double()
    assert torch.autograd.gradcheck(function, POINTS.clone().requires_grad_())


@every_case
def test_every_layer_gets_an_activation_of_its_own(case):
    first, second = (activations.build(choice_of(case)) for _ in range(2))
    assert first is not second
    assert not set(first.parameters()) & set(second.parameters())


def test_the_slope_of_prelu_is_trained_but_not_decayed():
    model = nn.Sequential(nn.Linear(3, 3), activations.build(activations.parse("prelu")))
    decayed, spared = parameter_groups(model)
    assert any(parameter is model[1].weight for parameter in spared["params"])
    assert spared["weight_decay"] == 0
    assert not any(parameter is model[1].weight for parameter in decayed["params"])
    model(torch.randn(5, 3)).sum().backward()
    assert model[1].weight.grad.abs() > 0


# -- gains and moments ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "gain"),
    [
        ("relu", math.sqrt(2)),
        ({"name": "leaky_relu", "slope": 0.5}, math.sqrt(2 / 1.25)),
        ({"name": "prelu", "slope": 0.5}, math.sqrt(2 / 1.25)),
        ("tanh", 5 / 3),
        ("sigmoid", 1.0),
        ("selu", 0.75),
        ("identity", 1.0),
    ],
)
def test_gains_that_torch_knows(spec, gain):
    choice = activations.parse(spec)
    assert gain_of(choice) == moments_of(choice).gain == pytest.approx(gain, rel=1e-12)
    assert type(gain_of(choice)) is float


def normal(x):
    return math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def below(x):
    return (1 + math.erf(x / math.sqrt(2))) / 2


GELU_SQUARE = 1 / 3 + 1 / (2 * math.pi * math.sqrt(3))  # E[(z P(y < z))^2], by parts twice
ELU_NEGATIVE = math.exp(0.5) * below(-1)  # E[exp(z); z < 0]
CLOSED_FORMS = [  # E[f], E[f^2], E[f'^2]
    ("relu", 1 / math.sqrt(2 * math.pi), 1 / 2, 1 / 2),
    ({"name": "leaky_relu", "slope": 0.5}, 0.5 / math.sqrt(2 * math.pi), 1.25 / 2, 1.25 / 2),
    ({"name": "prelu", "slope": -1}, math.sqrt(2 / math.pi), 1, 1),
    ("identity", 0, 1, 1),
    ("gelu", 1 / (2 * math.sqrt(math.pi)), GELU_SQUARE, None),
    (
        "elu",
        normal(0) + ELU_NEGATIVE - 1 / 2,
        1 / 2 + math.exp(2) * below(-2) - 2 * ELU_NEGATIVE + 1 / 2,
        1 / 2 + math.exp(2) * below(-2),
    ),
    ("sigmoid", 1 / 2, None, None),
    ("tanh", 0, None, None),
    ("selu", 0, 1, None),  # what its constants were chosen for
]


@pytest.mark.parametrize(("spec", "mean", "square", "slope_square"), CLOSED_FORMS)
def test_moments_have_their_closed_forms(spec, mean, square, slope_square):
    found = moments_of(activations.parse(spec))
    for key, expected in {"mean": mean, "square": square, "slope_square": slope_square}.items():
        if expected is not None:  # there is none
            assert getattr(found, key) == pytest.approx(expected, abs=1e-7), key


@every_case
def test_moments_agree_with_random_draws(case):
    draws = torch.randn(40_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values, slopes = curve_of(choice_of(case), draws)
    found = moments_of(choice_of(case))
    for sample, expected in ((values, found.mean), (values**2, found.square), (slopes**2, found.slope_square)):
        error = float(sample.std()) / math.sqrt(len(sample))
        assert abs(float(sample.mean()) - expected) <= 5 * error + 1e-7


@pytest.mark.parametrize("case", sorted(set(CASES) - {"tanh", "sigmoid", "selu"}))  # whose gains are other customs
def test_a_gain_keeps_the_variance_of_a_signal_through_a_layer(case):
    choice = choice_of(case)
    generator = torch.Generator().manual_seed(0)
    signal, weight = (torch.randn(size, 500, dtype=torch.float64, generator=generator) for size in (500, 200))
    out = activations.build(choice).double()(signal).detach() @ weight.T * gain_of(choice) / math.sqrt(500)
    # Of 200 units the variances are drawn anew: 5 standard errors are 5 sqrt(2 / 200), a little less in one signal.
    assert float((out**2).mean()) == pytest.approx(1, abs=0.5)


@pytest.mark.parametrize(("name", "grows"), [("relu", False), ("leaky_relu", False), ("gelu", True), ("silu", True)])
def test_only_straight_pieces_through_zero_keep_every_variance(name, grows):
    """A gain is right for variance 1: what is larger grows from layer to layer with a curve such as gelu."""
    choice = activations.parse(name)
    values, _ = curve_of(choice, 2 * torch.randn(100_000, generator=torch.Generator().manual_seed(0)))
    after = float((values**2).mean()) * gain_of(choice) ** 2
    assert after > 4.2 if grows else after == pytest.approx(4, rel=0.03)


def test_chi_is_one_where_signal_and_gradient_agree():
    assert moments_of(activations.parse("relu")).chi == pytest.approx(1)
    assert Moments(0, 0, 0.5, 2).chi == 2


class Own(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, inputs):
        return self.function(inputs)


@pytest.fixture
def own():
    """Adds an option of a person's own, and takes it away."""

    def add(function):
        def mine():
            return Own(function)

        activations.add(mine)
        return activations.parse("mine")

    yield add
    del activations.functions["mine"], activations._choices["mine"]


@pytest.mark.parametrize(
    ("function", "gain"),
    [
        (lambda x: 3 * x, 1 / 3),
        (lambda x: torch.relu(x) ** 2, 1 / math.sqrt(3 / 2)),  # E[z^4] = 3
        (torch.sign, 1.0),
        (torch.exp, math.exp(-1)),
        (lambda x: x**5, 1 / math.sqrt(945)),
        (lambda x: 0 * x, 1.0),
        (lambda x: torch.exp(x * x), 1.0),  # no finite average
        (lambda x: x / 0, 1.0),
        (lambda x: functional.glu(x.repeat(1, 2)).repeat(1, 2), 1.0),  # not one number from each
        (functional.glu, 1.0),  # takes no single numbers
        (lambda x: torch.full_like(x, 2), 1 / 2),
        (lambda x: x.detach() * 2, 1 / 2),
    ],
)
def test_the_gain_of_a_persons_own_activation(own, function, gain):
    assert gain_of(own(function)) == pytest.approx(gain, rel=1e-6)


def test_an_activation_that_draws_has_one_gain_and_leaves_the_stream_alone(own):
    choice = own(lambda x: x + torch.randn_like(x))
    before = torch.random.get_rng_state()
    assert gain_of(choice) == gain_of(choice) == pytest.approx(1 / math.sqrt(2), rel=0.02)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_activation_of_another_shape_has_no_curve(own):
    choice = own(lambda x: x.repeat(1, 2))
    with pytest.raises(ValueError, match=r"^mine makes \(3, 2\) of \(3, 1\)\.$"):
        curve_of(choice, torch.zeros(3))
    assert math.isnan(moments_of(choice).chi)
