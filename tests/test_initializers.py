"""Initial weights against the formula of each option, and what LSUV does to a network."""

import math

import pytest
import torch
from small_runs import SMALL, TINY_CNN, trained
from torch import nn

from lab.data import datasets, load
from lab.data.batches import normalise, sample, to_float
from lab.initializers import after_filling, finish, initializers, scale_to_unit_variance, std_of
from lab.models import initialise
from lab.models.local import LocallyConnected2d
from lab.recipe import Recipe
from lab.steps import build_model

GAIN = 1.7  # of an activation that does not exist
SHAPES = [(400, 400), (1000, 150), (150, 1000), (128, 64, 3, 3), (300, 400, 1, 1), (48, 32, 5)]
DTYPES = [torch.float32, torch.float64]
EVERYWHERE_ALIKE = ("constant", "zeros")


def filled(spec, shape=(8, 4, 3, 3), *, gain=GAIN, seed=0, dtype=torch.float32):
    weight = torch.full(shape, math.nan, dtype=dtype)
    initializers.build(initializers.parse(spec), weight, gain, torch.Generator().manual_seed(seed))
    return weight


def fans(shape):
    pixels = math.prod(shape[2:])
    return shape[1] * pixels, shape[0] * pixels


FORMULAS = {  # standard deviation, by (fan_in, fan_out)
    "he_normal": ({}, lambda i, o: GAIN / math.sqrt(i)),
    "he_normal, backward": ({"mode": "fan_out"}, lambda i, o: GAIN / math.sqrt(o)),
    "he_normal, gain": ({"gain": 0.3}, lambda i, o: 0.3 / math.sqrt(i)),
    "he_uniform": ({}, lambda i, o: GAIN / math.sqrt(i)),
    "he_uniform, backward": ({"mode": "fan_out", "gain": 3}, lambda i, o: 3 / math.sqrt(o)),
    "xavier_normal": ({}, lambda i, o: math.sqrt(2 / (i + o))),
    "xavier_normal, gain": ({"gain": 3}, lambda i, o: 3 * math.sqrt(2 / (i + o))),
    "xavier_normal, own": ({"gain": 0}, lambda i, o: GAIN * math.sqrt(2 / (i + o))),
    "xavier_uniform": ({}, lambda i, o: math.sqrt(2 / (i + o))),
    "xavier_uniform, own": ({"gain": 0}, lambda i, o: GAIN * math.sqrt(2 / (i + o))),
    "lecun_normal": ({}, lambda i, o: 1 / math.sqrt(i)),
    "lecun_normal, own": ({"gain": 0}, lambda i, o: GAIN / math.sqrt(i)),
    "random_normal": ({"std": 0.2}, lambda i, o: 0.2),
    "random_uniform": ({"bound": 0.2}, lambda i, o: 0.2 / math.sqrt(3)),
    "pretrained": ({}, lambda i, o: GAIN / math.sqrt(i)),
}


def spec_of(case):
    return {"name": case.split(",")[0], **FORMULAS[case][0]}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", FORMULAS)
def test_weights_have_the_variance_of_the_formula(case, shape, dtype):
    weight, expected = filled(spec_of(case), shape, dtype=dtype).double(), FORMULAS[case][1](*fans(shape))
    # Five standard errors: of a mean std / sqrt(n), of a variance var sqrt((kurtosis - 1) / n), kurtosis at most 3.
    assert abs(weight.mean()) < 5 * expected / math.sqrt(weight.numel())
    assert weight.var().item() == pytest.approx(expected**2, rel=5 * math.sqrt(2 / weight.numel()))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_standard_deviation_is_known_beforehand(shape):
    for case, (_, formula) in FORMULAS.items():
        expected = formula(*fans(shape))
        assert std_of(initializers.parse(spec_of(case)), shape, GAIN) == pytest.approx(expected, rel=1e-12), case
    for name in ("orthogonal", "lsuv", *EVERYWHERE_ALIKE):  # whose mean square is exact, not only expected
        mean_square = filled(name, shape).double().sub(0.1 if name == "constant" else 0).square().mean().item()
        known = std_of(initializers.parse(name), shape, GAIN)
        assert known == pytest.approx(math.sqrt(mean_square), rel=1e-5, abs=1e-8), name


def test_the_standard_deviation_of_a_persons_own_option_is_not_known():
    def he_cauchy(weight, gain, generator):
        """Source: this test."""

    initializers.add(he_cauchy)
    try:
        assert std_of(initializers.parse("he_cauchy"), (3, 3), 1.0) is None
    finally:
        del initializers.functions["he_cauchy"], initializers._choices["he_cauchy"]


@pytest.mark.parametrize("case", [case for case in FORMULAS if "uniform" in case])
def test_uniform_weights_fill_their_bounds_and_no_more(case):
    for shape in SHAPES:
        weight, bound = filled(spec_of(case), shape), math.sqrt(3) * FORMULAS[case][1](*fans(shape))
        assert weight.abs().max().item() <= bound * (1 + 1e-6)
        assert weight.max().item() > 0.999 * bound
        assert weight.min().item() < -0.999 * bound


@pytest.mark.parametrize("shape", SHAPES)
def test_he_with_its_defaults_draws_the_numbers_it_always_drew(shape):
    expected = torch.empty(shape).normal_(
        0, GAIN / math.sqrt(math.prod(shape[1:])), generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(filled("he_normal", shape), expected)


@pytest.mark.parametrize(
    ("spec", "theirs"),
    [
        ("he_normal", nn.init.kaiming_normal_),
        ({"name": "he_normal", "mode": "fan_out"}, nn.init.kaiming_normal_),
        ("he_uniform", nn.init.kaiming_uniform_),
        ({"name": "he_uniform", "mode": "fan_out"}, nn.init.kaiming_uniform_),
    ],
)
def test_he_with_the_gain_of_relu_is_torchs(spec, theirs):
    mode = initializers.parse(spec).mode
    for shape in SHAPES:
        expected = theirs(
            torch.empty(shape), mode=mode, nonlinearity="relu", generator=torch.Generator().manual_seed(0)
        )
        assert torch.equal(filled(spec, shape, gain=math.sqrt(2)), expected)


def test_lecun_with_the_activations_gain_is_he():
    for shape in SHAPES:
        assert torch.equal(filled({"name": "lecun_normal", "gain": 0}, shape), filled("he_normal", shape))


@pytest.mark.parametrize(
    ("name", "activation", "gain"), [("xavier_normal", "relu", 2), ("xavier_uniform", "tanh", 25 / 9)]
)
def test_a_recipe_asks_for_the_activations_gain_by_one_setting(name, activation, gain):
    recipe = Recipe(model={"name": "mlp", "width": 256}, activation=activation, init=name)
    data = load(recipe.data)
    papers, own = (build_model(each, data)[3].weight for each in (recipe, recipe.changed(**{"init.gain": 0})))
    assert papers.var().item() == pytest.approx(1 / 256, rel=5 * math.sqrt(2) / 256)
    assert own.var().item() / papers.var().item() == pytest.approx(gain, rel=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(20, 20), (30, 10), (10, 30), (6, 4, 3, 3), (12, 5, 1, 1)])
@pytest.mark.parametrize(("settings", "gain"), [({}, GAIN), ({"gain": 0.5}, 0.5)])
def test_orthogonal_weights_are_a_rotation_times_the_gain(settings, gain, shape, dtype):
    matrix = filled({"name": "orthogonal", **settings}, shape, dtype=dtype).flatten(1)
    gram = matrix @ matrix.T if shape[0] <= matrix.shape[1] else matrix.T @ matrix
    near = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(gram, gain**2 * torch.eye(len(gram), dtype=dtype), rtol=near, atol=near)


@pytest.mark.parametrize(("spec", "value"), [("zeros", 0), ("constant", 0.1), ({"name": "constant", "value": -3}, -3)])
def test_weights_that_are_all_alike(spec, value):
    for dtype in DTYPES:
        assert torch.equal(filled(spec, dtype=dtype), torch.full((8, 4, 3, 3), value, dtype=dtype))


@pytest.mark.parametrize("name", initializers)
def test_every_initializer_draws_from_the_generator_alone(name):
    torch.manual_seed(1)
    first = filled(name, seed=1)
    torch.manual_seed(2)
    assert torch.equal(filled(name, seed=1), first)
    assert torch.equal(filled(name, seed=2), first) == (name in EVERYWHERE_ALIKE)
    assert first.isfinite().all()


def test_every_initializer_of_ours_is_tried():
    ours = {name for name, function in initializers.functions.items() if function.__module__ == "lab.initializers"}
    assert ours == {case.split(",")[0] for case in FORMULAS} | {"orthogonal", "lsuv", *EVERYWHERE_ALIKE}


def test_initialising_fills_weights_and_empties_biases():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(4, 3), nn.Linear(3, 2, bias=False), nn.BatchNorm1d(2))
    initialise(model, lambda weight: weight.fill_(7))
    for name, parameter in model.named_parameters():
        expected = {"3.weight": 1, "3.bias": 0}.get(name, 7 if name.endswith("weight") else 0)
        assert parameter.eq(expected).all(), name


@pytest.mark.parametrize("spec", ["zeros", "constant", {"name": "constant", "value": -0.5}])
def test_units_that_start_alike_stay_alike(spec):
    recipe = SMALL.changed(init=spec, activation="tanh", optimizer={"name": "sgd", "lr": 0.5})
    hidden = trained(recipe)[0].model[1].weight
    assert torch.equal(hidden, hidden[:1].expand_as(hidden))


@pytest.mark.parametrize("name", ["orthogonal", "lsuv"])
def test_the_start_does_not_depend_on_the_number_of_threads(name):
    recipe, before, starts = Recipe(init=name, model={"name": "mlp", "width": 128}), torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            starts.append(build_model(recipe, load(recipe.data)).state_dict())
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(starts[0][key], starts[1][key]) for key in starts[0])


# -- LSUV -------------------------------------------------------------------------------------------------------------


def variances(model, images):
    """Of what each linear or convolutional layer puts out, in the order of the forward pass."""
    found = []
    hooks = [
        layer.register_forward_hook(lambda _, __, output: found.append(output.var(correction=0).item()))
        for layer in model.modules()
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d)
    ]
    with torch.no_grad():
        model.eval()(images)
    for hook in hooks:
        hook.remove()
    return found


def lsuv(**settings):
    return initializers.parse({"name": "lsuv", **settings})


DEEP = {"name": "mlp", "depth": 8, "width": 16}


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "gelu", "prelu"])
@pytest.mark.parametrize("model", [DEEP, TINY_CNN], ids=["mlp", "cnn"])
def test_every_layer_puts_out_unit_variance(model, activation):
    recipe = Recipe(model=model, activation=activation, init=lsuv(tolerance=0, images=32))
    data = load(recipe.data)
    found = variances(build_model(recipe, data), sample(data, 32))
    assert len(found) == (9 if model is DEEP else 4)
    assert found == pytest.approx([1] * len(found), rel=1e-4)


def test_locally_connected_layers_put_out_unit_variance_too():
    recipe = Recipe(model={**TINY_CNN, "shared": False}, init=lsuv(tolerance=0, images=32))
    data = load(recipe.data)
    model, images = build_model(recipe, data), sample(data, 32)
    local = [layer for layer in model if isinstance(layer, LocallyConnected2d)]
    found = []
    for layer in local:
        layer.register_forward_hook(lambda _, __, output: found.append(output.var(correction=0).item()))
    model.eval()(images)
    assert len(found) == 2
    assert found == pytest.approx([1, 1], rel=1e-4)


def test_a_layer_within_the_tolerance_is_left_as_it_is():
    def built(**settings):
        recipe = Recipe(model=DEEP, activation="tanh", init=lsuv(**settings))
        return build_model(recipe, load(recipe.data)), variances(build_model(recipe, load(recipe.data)), images)

    images = sample(load(Recipe().data), 64)
    model, found = built(tolerance=0.3)
    assert all(abs(variance - 1) <= 0.3 for variance in found)
    assert max(abs(variance - 1) for variance in found) > 0.001
    rows = [layer.weight @ layer.weight.T for layer in model if isinstance(layer, nn.Linear)]
    assert any(torch.allclose(gram, torch.eye(len(gram)), atol=1e-5) for gram in rows), "one was near enough at once"


def scaled(model, images, tolerance=0.0):
    finish(lsuv(tolerance=tolerance), model, lambda count: images[:count])
    return model


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("conv", "shape"), [(nn.Conv1d, (9,)), (nn.Conv2d, (9, 9)), (nn.Conv3d, (5, 5, 5))])
def test_convolutions_of_any_dimension_are_scaled(conv, shape):
    layer, images = conv(2, 3, 3, bias=False), noise(8, 2, *shape)
    scaled(layer, images)
    assert layer(images).var(correction=0).item() == pytest.approx(1, rel=1e-4)


def test_a_bias_that_is_not_zero_is_divided_round():
    layer, images = nn.Linear(6, 4), noise(64, 6)
    with torch.no_grad():
        layer.weight.mul_(5)
        layer.bias.copy_(torch.tensor([0.3, -0.3, 0.1, 0.0]))
    bias = layer.bias.clone()
    scaled(layer, images, tolerance=0.01)
    assert layer(images).var(correction=0).item() == pytest.approx(1, abs=0.01)
    assert torch.equal(layer.bias, bias)


def test_modes_statistics_and_the_random_stream_stay_as_they_were():
    model = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))
    model[2].eval()
    before, stream = [module.training for module in model.modules()], torch.random.get_rng_state()
    statistics = {name: buffer.clone() for name, buffer in model.named_buffers()}
    images = noise(32, 6) + 5
    scaled(model, images)
    assert [module.training for module in model.modules()] == before
    assert torch.equal(torch.random.get_rng_state(), stream)
    assert all(torch.equal(buffer, statistics[name]) for name, buffer in model.named_buffers())
    assert not any(module._forward_hooks for module in model.modules())


def test_the_network_is_put_back_when_its_forward_fails():
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(5, 3))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        scaled(model, noise(4, 6))
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_frozen_dead_and_unused_layers_are_left_alone():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.frozen, self.dead, self.unused, self.used = (nn.Linear(4, 4, bias=False) for _ in range(4))
            self.frozen.requires_grad_(False)

        def forward(self, inputs):
            return self.used(self.frozen(inputs)) + self.dead(0 * inputs)

    model, images = Odd(), noise(32, 4)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    scaled(model, images)
    changed = [name for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])]
    assert changed == ["used.weight"]
    assert model.used(model.frozen(images)).var(correction=0).item() == pytest.approx(1, rel=1e-4)


def test_a_layer_that_is_called_twice_is_scaled_by_its_first_output():
    layer, images = nn.Linear(4, 4, bias=False), noise(32, 4)
    scaled(nn.Sequential(layer, nn.Tanh(), layer), images)
    assert layer(images).var(correction=0).item() == pytest.approx(1, rel=1e-4)


def test_other_initializers_have_nothing_to_do_afterwards():
    for name in set(initializers) - set(after_filling):
        finish(initializers.parse(name), nn.Linear(2, 2), lambda count: pytest.fail("images were asked for"))
    assert after_filling["lsuv"] is scale_to_unit_variance


def test_the_measured_images_are_prepared_and_spread_over_the_split():
    data = load(datasets.parse("digits"))
    images = sample(data, 3)
    last = len(data.train) - 1
    chosen = to_float(data.train.images[[0, last // 2, last]], torch.float32)
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in data.statistics)
    assert torch.equal(images, normalise(chosen, mean, std))
    assert len(sample(data, 10**6)) == len(data.train)
