"""Models against torch's own layers, numbers counted by hand, and what each of their settings claims."""

import math
from functools import partial
from itertools import product
from typing import get_args

import pytest
import torch
from small_runs import SMALL, SMALLER, small_model, trained
from torch import nn
from torch.nn import functional

from lab.activations import activations, gain_of
from lab.catalogue import RecipeError, options_of
from lab.initializers import initializers
from lab.models import OWN_ACTIVATION, initialise, models
from lab.models.local import LocallyConnected2d
from lab.models.norms import BatchNorm, groups_of, normalisation
from lab.models.transformer import Attention, sines
from lab.models.vision import SMALL_STEMS, Name
from lab.recipe import Recipe
from lab.steps import build_model
from lab.training import Training

every_model = pytest.mark.parametrize("name", models)


def network(spec, shape=(1, 8, 8), classes=10, activation=nn.ReLU):
    torch.manual_seed(0)
    return models.build(models.parse(spec), shape, classes, activation)


def filled(model, init="he_normal", gain=2**0.5):
    choice, generator = initializers.parse(init), torch.Generator().manual_seed(1)
    initialise(model, lambda weight: initializers.build(choice, weight, gain, generator))
    return model


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def kinds(model, *kinds):
    return [layer for layer in model.modules() if isinstance(layer, kinds)]


def pass_both_ways(model, shape, classes, batch=2):
    """Logits, after a forward and a backward pass whose numbers are all finite."""
    model.train()
    logits = model(torch.rand(batch, *shape))
    assert logits.shape == (batch, classes)
    functional.cross_entropy(logits, torch.zeros(batch, dtype=torch.long)).backward()
    assert logits.isfinite().all()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    return logits


# -- counted by hand --------------------------------------------------------------------------------------------------

RESNET_8 = (9 * 4 + 8) + 2 * (9 * 4 * 4 + 8) + (9 * 4 * 8 + 9 * 8 * 8 + 2 * 16) + (9 * 8 * 16 + 9 * 16 * 16 + 2 * 32)
TOKEN_LAYER = 2 * 16 + 4 * (8 * 8 + 8) + (8 * 32 + 32) + (32 * 8 + 8)


@pytest.mark.parametrize(
    ("spec", "shape", "count"),
    [
        ({"name": "mlp", "depth": 2, "width": 5, "norm": "batch"}, (1, 2, 3), (6 * 5 + 10) + (5 * 5 + 10) + 60),
        ({"name": "mlp", "depth": 1, "width": 8, "norm": "group", "dropout": 0.5}, (1, 2, 3), (6 * 8 + 16) + 90),
        ({"name": "cnn", "depth": 1, "convs": 2, "kernel": 5, "width": 4, "hidden": 0}, (3, 8, 8), 304 + 404 + 50),
        (
            {"name": "cnn", "depth": 1, "width": 4, "hidden": 6, "norm": "layer"},
            (1, 5, 5),
            (36 + 8) + (16 * 6 + 6) + 70,
        ),
        (
            {"name": "cnn", "depth": 1, "width": 4, "hidden": 6, "pool": "stride"},
            (1, 5, 5),
            (36 + 4) + (36 * 6 + 6) + 70,
        ),
        ({"name": "cnn", "depth": 1, "width": 4, "hidden": 0, "shared": False}, (3, 5, 4), 20 * (27 * 4 + 4) + 50),
        ({"name": "resnet", "depth": 1, "width": 4}, (1, 8, 8), RESNET_8 + 170),
        ({"name": "resnet", "depth": 1, "width": 4, "skip": False}, (1, 8, 8), RESNET_8 + 170),
        ({"name": "resnet", "depth": 3, "width": 16}, (3, 32, 32), 269_722),  # 0.27 million in the paper
        (
            {"name": "densenet", "growth": 2, "depth": 2, "blocks": 2, "norm": "nothing"},
            (1, 8, 8),
            (9 * 4 + 4) + (9 * 4 * 2 + 2) + (9 * 6 * 2 + 2) + (8 * 8 + 8) + (9 * 8 * 2 + 2) + (9 * 10 * 2 + 2) + 130,
        ),
        (
            {"name": "densenet", "growth": 2, "depth": 1, "blocks": 1},
            (1, 8, 8),
            9 * 4 + (8 + 9 * 4 * 2) + (12 + 70),
        ),
        (
            {"name": "rnn", "width": 5, "depth": 2, "norm": "layer"},
            (3, 4, 6),
            18 * 5 + 5 + 25 + (25 + 5 + 25) + 60 + 20,
        ),
        ({"name": "gru", "width": 5, "norm": "rms"}, (1, 8, 8), 3 * (8 * 5 + 5 + 25) + 60 + 5),
        ({"name": "rnn", "width": 5, "depth": 2}, (3, 4, 6), (18 * 5 + 5 + 25) + (25 + 5 + 25) + 60),
        ({"name": "lstm", "width": 5}, (1, 8, 8), 4 * (8 * 5 + 5 + 25) + 60),
        ({"name": "lstm", "width": 5, "reads": "pixels"}, (3, 8, 8), 4 * (3 * 5 + 5 + 25) + 60),
        ({"name": "gru", "width": 5}, (1, 8, 8), 3 * (8 * 5 + 5 + 25) + 60),
        (
            {"name": "transformer", "width": 8, "depth": 3, "patch": 3},
            (1, 8, 8),
            (9 * 8 + 8) + 9 * 8 + 3 * TOKEN_LAYER + 16 + 90,
        ),
        (
            {"name": "transformer", "width": 8, "depth": 3, "shared": True, "positions": "sine"},
            (1, 8, 8),
            (16 * 8 + 8) + TOKEN_LAYER + 16 + 90,
        ),
        (
            {"name": "torchvision", "network": "resnet18"},
            (3, 32, 32),
            11_689_512 - 513 * 990,
        ),  # a thousand classes there
        ({"name": "torchvision", "network": "resnet18"}, (1, 32, 32), 11_689_512 - 513 * 990 - 2 * 49 * 64),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_parameters_counted_by_hand(spec, shape, count):
    assert parameters(network(spec, shape)) == count


# -- any image, any settings ------------------------------------------------------------------------------------------

SHAPES = [(1, 8, 8), (3, 7, 5), (1, 1, 1), (3, 1, 6), (2, 9, 2)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@every_model
def test_every_model_learns_from_images_of_every_size(name, shape):
    for classes, batch in ((2, 3), (100, 1)):  # a last batch of one image, too
        pass_both_ways(filled(network(small_model(name), shape, classes)), shape, classes, batch)


def choices_of_settings():
    """Every value of every setting that is picked from a list, one at a time; rules are kept."""
    for name in models:
        fields = {key: field for key, field in models[name].model_fields.items() if key not in ("name", "network")}
        for key, field in fields.items():
            for value in options_of(field) or ((True, False) if field.annotation is bool else ()):
                yield {**small_model(name), **SMALLER.get(name, {}), key: value}
    yield from ({**small_model("cnn"), "shared": False, "pool": pool, "convs": 2} for pool in ("max", "stride"))
    yield {**small_model("resnet"), "norm": "nothing", "zero_last": True}


def allowed(spec):
    try:
        models.parse(spec)
    except RecipeError:
        return False
    return True


@pytest.mark.parametrize(
    "spec", [spec for spec in choices_of_settings() if allowed(spec)], ids=lambda s: "-".join(map(str, s.values()))
)
def test_every_choice_of_every_setting_learns(spec):
    pass_both_ways(filled(network(spec, (3, 7, 5))), (3, 7, 5), 10)


TASKS = [((1, 5, 7), 100), ((3, 7, 5), 2)]  # image shape, classes


@pytest.mark.parametrize("init", initializers)
@every_model
def test_every_model_takes_a_step_with_every_activation_from_every_initialisation(name, init):
    for activation in ["relu"] if name in OWN_ACTIVATION else activations:
        choice = activations.parse(activation)
        for shape, classes in TASKS:
            model = network(small_model(name), shape, classes, partial(activations.build, choice))
            pass_both_ways(filled(model, init, gain_of(choice)), shape, classes)
            before = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
            torch.optim.SGD(model.parameters(), lr=0.1).step()
            moved = [key for key, parameter in model.named_parameters() if not torch.equal(parameter, before[key])]
            assert moved, (activation, shape)


@every_model
def test_a_network_is_the_same_each_time_it_is_built(name):
    recipe = SMALL.changed(model=small_model(name))
    data = Training(recipe, device="cpu").data
    torch.manual_seed(1)
    first = build_model(recipe, data).state_dict()
    torch.manual_seed(2)
    second = build_model(recipe, data).state_dict()
    assert all(torch.equal(tensor, second[key]) for key, tensor in first.items())


# -- norms and dropout ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "groups"), [(512, 32), (128, 32), (64, 16), (96, 24), (16, 4), (6, 1), (7, 1), (1, 1)]
)
def test_a_group_has_at_least_four_channels(channels, groups):
    assert groups_of(channels) == groups


@pytest.mark.parametrize(("kind", "over"), [("batch", (0, 3)), ("layer", (1, 2, 3)), ("group", (2, 3))])
@pytest.mark.parametrize("places", [(), (3, 2)])
def test_a_norm_gives_mean_0_and_variance_1_over_what_it_says(places, kind, over):
    (norm,) = normalisation(kind, 16)
    values = norm.double()(10 * torch.rand(50, 16, *places, dtype=torch.float64) + 1)
    grouped = values.detach().view(50, 4, 4, -1)  # images, groups, channels of a group, places
    assert grouped.mean(over).abs().max() < 1e-12
    assert (grouped.var(over, correction=0) - 1).abs().max() < 0.01  # less by eps


@pytest.mark.parametrize("places", [(), (1, 1)])
def test_one_image_of_one_pixel_is_normalised_by_the_stored_statistics(places):
    norm, many, one = BatchNorm(4), torch.randn(50, 4, *places) * 3 + 1, torch.randn(1, 4, *places)
    for _ in range(100):
        norm(many)
    before = norm.running_mean.clone()
    alone = norm(one)
    assert torch.equal(norm.running_mean, before)
    assert torch.equal(alone, norm.eval()(one))
    assert not torch.equal(alone, one)


def test_batch_norm_is_torchs():
    ours, theirs, images = BatchNorm(3), nn.BatchNorm2d(3), torch.randn(5, 3, 4, 4)
    assert torch.equal(ours(images), theirs(images))
    assert torch.equal(ours.running_var, theirs.running_var)
    vectors = torch.randn(5, 3)
    torch.testing.assert_close(BatchNorm(3)(vectors), nn.BatchNorm1d(3)(vectors))


def test_an_epoch_may_end_with_a_single_image():
    recipe = SMALL.changed(model={"name": "resnet", "depth": 1, "width": 2}, batch_size=7)
    session, events = trained(recipe)  # 50 images: seven batches of seven and one of one
    assert len(session.train_split) % recipe.batch_size == 1
    assert events[-1].status in ("finished", "stuck")


DROPPED = [name for name in models if "dropout" in models[name].model_fields]


@pytest.mark.parametrize("name", DROPPED)
def test_dropout_is_there_in_training_only_and_only_when_asked_for(name):
    spec = small_model(name) | ({"depth": 2} if "depth" in models[name].model_fields else {})
    assert not kinds(network(spec), nn.Dropout)
    model, images = filled(network({**spec, "dropout": 0.5})), torch.rand(4, 1, 8, 8)
    torch.manual_seed(1)
    assert not torch.equal(model(images), model(images))
    plain = filled(network(spec))
    plain.load_state_dict(dict(zip(plain.state_dict(), model.state_dict().values(), strict=True)))
    assert torch.equal(model.eval()(images), plain.eval()(images))


# -- mlp and cnn ------------------------------------------------------------------------------------------------------


def test_the_order_of_layers():
    mlp = network({"name": "mlp", "depth": 1, "norm": "batch", "dropout": 0.1})
    assert [type(layer) for layer in mlp] == [nn.Flatten, nn.Linear, BatchNorm, nn.ReLU, nn.Dropout, nn.Linear]
    cnn = network({"name": "cnn", "depth": 1, "convs": 2, "norm": "layer", "dropout": 0.1, "pool": "average"})
    unit = [nn.Conv2d, nn.GroupNorm]
    head = [nn.Flatten, nn.Dropout, nn.Linear, nn.ReLU, nn.Dropout, nn.Linear]
    assert [type(layer) for layer in cnn] == [*unit, nn.ReLU, *unit, nn.AvgPool2d, nn.ReLU, *head]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_a_locally_connected_layer_with_equal_kernels_is_a_convolution(kernel, stride):
    images = torch.randn(2, 3, 7, 6, dtype=torch.float64)
    conv = nn.Conv2d(3, 4, kernel, stride=stride, padding=kernel // 2).double()
    local = LocallyConnected2d(3, 4, kernel, (7, 6), stride=stride).double()
    with torch.no_grad():
        local.weight.copy_(conv.weight.repeat(local.places, 1, 1, 1))
        local.bias.copy_(conv.bias.repeat(local.places))
    expected = conv(images)
    near = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(local(images), expected, **near)
    factors = torch.randn_like(expected)
    (conv(images) * factors).sum().backward()
    (local(images) * factors).sum().backward()
    # What a shared kernel learns is the sum of what its places would learn.
    torch.testing.assert_close(local.weight.grad.unflatten(0, (-1, 4)).sum(0), conv.weight.grad, **near)
    torch.testing.assert_close(local.bias.grad.unflatten(0, (-1, 4)).sum(0), conv.bias.grad, **near)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("kernel", [3, 5])
def test_a_pixel_reaches_the_places_that_a_kernel_covers_and_no_others(kernel, shared):
    model = filled(network({"name": "cnn", "depth": 1, "kernel": kernel, "width": 4, "shared": shared}, (1, 9, 9)))
    images = torch.rand(1, 1, 9, 9)
    changed = images.clone()
    changed[0, 0, 4, 6] += 1
    moved = (model[0](changed) - model[0](images)).abs().amax((0, 1)) > 1e-6
    rows, columns = torch.arange(9)[:, None], torch.arange(9)
    reach = kernel // 2
    assert torch.equal(moved, ((rows - 4).abs() <= reach) & ((columns - 6).abs() <= reach))


def test_a_shared_kernel_knows_a_shifted_image_and_local_ones_do_not():
    images = torch.zeros(1, 1, 9, 9)
    images[0, 0, 3:5, 3:5] = torch.rand(2, 2)
    shifted = images.roll((2, 1), (2, 3))
    for shared in (True, False):
        first = filled(network({"name": "cnn", "depth": 1, "width": 4, "shared": shared}, (1, 9, 9)))[0]
        same = torch.allclose(first(shifted), first(images).roll((2, 1), (2, 3)), atol=1e-6)
        assert same == shared


@pytest.mark.parametrize(
    ("init", "std"), [("he_normal", math.sqrt(2 / 27)), ("xavier_normal", math.sqrt(2 / (27 + 36)))]
)
def test_each_place_starts_with_the_fans_of_one_kernel(init, std):
    layer = filled(LocallyConnected2d(3, 4, 3, (32, 32)), init)
    assert layer.weight.std().item() == pytest.approx(std, rel=0.01)  # 110,592 draws: 0.2 %
    assert len(layer.weight.unflatten(0, (-1, 4)).flatten(1).unique(dim=0)) == layer.places
    assert not layer.bias.any()


# -- shortcuts --------------------------------------------------------------------------------------------------------


def test_without_skip_the_sum_is_gone_and_nothing_else():
    spec, images = {"name": "resnet", "depth": 1, "width": 4}, torch.rand(3, 1, 9, 9)
    whole, plain = (filled(network({**spec, "skip": skip}, (1, 9, 9))).eval() for skip in (True, False))
    for (name, left), (other, right) in zip(whole.named_parameters(), plain.named_parameters(), strict=True):
        assert name == other
        assert torch.equal(left, right)
    hidden = whole[:4](images)  # (3, 4, 9, 9)
    for with_sum, without in zip(whole[4:6], plain[4:6], strict=True):
        change = with_sum.inner(hidden)
        stride = with_sum.stride
        shortcut = functional.pad(hidden[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, change.size(1) - hidden.size(1)))
        assert torch.equal(with_sum(hidden), (shortcut + change).relu())
        assert torch.equal(without(hidden), change.relu())
        hidden = with_sum(hidden)
    assert hidden.shape == (3, 16, 3, 3)


@pytest.mark.parametrize(("norm", "init"), list(product(["batch", "nothing", "group"], ["he_normal", "random_normal"])))
def test_zero_last_makes_every_block_its_shortcut_at_the_start(norm, init):
    spec = {"name": "resnet", "depth": 2, "width": 4, "norm": norm, "zero_last": True}
    model, images = filled(network(spec), init), torch.rand(2, 4, 8, 8)
    for block in model[2 if norm == "nothing" else 3 :][:2]:
        assert torch.equal(block(images), images)
    assert filled(network({**spec, "zero_last": False}), init)[3](images).ne(images).any()


def test_dropout_of_a_residual_block_stands_between_its_convolutions_and_spares_the_shortcut():
    spec = {"name": "resnet", "depth": 1, "width": 4, "dropout": 0.5}
    unit = [nn.Conv2d, BatchNorm]
    blocks = network(spec)[3:6]
    assert all([type(layer) for layer in block.inner] == [*unit, nn.ReLU, nn.Dropout, *unit] for block in blocks)
    block, images = filled(network({**spec, "zero_last": True}))[3], torch.rand(2, 4, 8, 8)
    assert block.training
    assert torch.equal(block(images), images)


def test_zero_last_without_a_shortcut_is_refused():
    with pytest.raises(RecipeError, match=r"^model resnet: zero_last needs skip: without its shortcut a block that"):
        Recipe(model={"name": "resnet", "skip": False, "zero_last": True})


def test_a_dense_layer_keeps_what_it_read():
    model, images = network({"name": "densenet", "growth": 3, "depth": 2, "blocks": 1}), torch.rand(2, 1, 8, 8)
    stem = model[0](images)
    first = model[1](stem)
    second = model[2](first)
    assert (stem.size(1), first.size(1), second.size(1)) == (6, 9, 12)
    assert torch.equal(second[:, :9], first)
    assert torch.equal(first[:, :6], stem)


# -- sequences --------------------------------------------------------------------------------------------------------

TORCHS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


@torch.no_grad()
def copy_into(theirs, ours, number):
    """Our gates stand in the order of torch's; its second biases stay 0, but for the GRU's nothing is lost by that."""
    order = {"rnn": [0], "lstm": [0, 1, 3, 2], "gru": [0, 1, 2]}[type(theirs).__name__.lower()]
    reading, carrying = ([*part.values()] for part in (ours.reading, ours.carrying))
    getattr(theirs, f"weight_ih_l{number}").copy_(torch.cat([reading[gate].weight for gate in order]))
    getattr(theirs, f"bias_ih_l{number}").copy_(torch.cat([reading[gate].bias for gate in order]))
    getattr(theirs, f"weight_hh_l{number}").copy_(torch.cat([carrying[gate].weight for gate in order]))
    getattr(theirs, f"bias_hh_l{number}").zero_()


@pytest.mark.parametrize("reads", ["rows", "pixels"])
@pytest.mark.parametrize("name", TORCHS)
def test_recurrent_networks_are_torchs(name, reads):
    shape = (3, 5, 4)
    model = network({"name": name, "width": 6, "depth": 2, "reads": reads}, shape, activation=nn.Tanh).double()
    images = torch.randn(2, *shape, dtype=torch.float64)
    sequence = images.permute(0, 2, 3, 1).flatten(1, 2) if reads == "pixels" else images.permute(0, 2, 1, 3).flatten(2)
    theirs = TORCHS[name](sequence.size(2), 6, num_layers=2, batch_first=True).double()
    for number in (0, 1):
        copy_into(theirs, model[1 + number], number)
    states, _ = theirs(sequence)
    torch.testing.assert_close(model(images), model[-1](states[:, -1]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("change", "bias"), [({}, 1.0), ({"forget_bias": 0}, 0.0), ({"forget_bias": -2.5}, -2.5)])
def test_the_forget_gate_starts_open_whatever_the_initialiser(change, bias):
    layer = filled(network({"name": "lstm", "width": 4, **change}))[1]
    for gate, linear in layer.reading.items():
        assert (linear.bias == (bias if gate == "forget_gate" else 0)).all()


@pytest.mark.parametrize("kind", ["layer", "rms"])
@pytest.mark.parametrize("name", TORCHS)
def test_what_reads_a_recurrent_layer_reads_it_normalised(name, kind):
    spec, shape = {"name": name, "width": 6, "depth": 2}, (1, 5, 4)
    model, bare = (network({**spec, "norm": norm}, shape, activation=nn.Tanh).double() for norm in (kind, "nothing"))
    for mine, other in zip((model[1], model[3], model[6]), (bare[1], bare[2], bare[4]), strict=True):
        mine.load_state_dict(other.state_dict())
    states = bare[1](bare[0](torch.randn(2, *shape, dtype=torch.float64)))
    read = normalised(states, kind)
    assert read.square().mean(2).sub(1).abs().max() < 0.01  # less by eps
    torch.testing.assert_close(model[2](states), read, rtol=1e-12, atol=1e-12)
    images = torch.randn(2, *shape, dtype=torch.float64)
    states = bare[2](normalised(bare[1](bare[0](images)), kind))[:, -1]
    torch.testing.assert_close(model(images), bare[4](normalised(states, kind)), rtol=1e-12, atol=1e-12)


def normalised(vectors, kind, eps=1e-5):
    """(..., width) as the papers have it."""
    if kind == "layer":
        vectors = vectors - vectors.mean(-1, keepdim=True)
    return vectors / (vectors.square().mean(-1, keepdim=True) + eps).sqrt()


def test_every_gate_has_the_fans_of_one_matrix():
    layer = filled(network({"name": "lstm", "width": 300}), "xavier_normal")[1]
    for linear in layer.carrying.values():
        assert linear.weight.std().item() == pytest.approx(math.sqrt(2 / 600), rel=0.02)


# -- transformer ------------------------------------------------------------------------------------------------------


def test_attention_is_torchs():
    attention, tokens = Attention(12, 3).double(), torch.randn(2, 5, 12, dtype=torch.float64)
    parts = (attention.query, attention.key, attention.value)
    query, key, value = (part(tokens).unflatten(2, (3, 4)).transpose(1, 2) for part in parts)
    mixed = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention(tokens), attention.out(mixed), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_layer_is_torchs(place):
    model = network(
        {"name": "transformer", "width": 8, "heads": 2, "depth": 1, "norm_place": place}, activation=nn.GELU
    )
    ours, first = model[3][0].double(), place == "before"
    theirs = nn.TransformerEncoderLayer(8, 2, 32, 0.0, "gelu", batch_first=True, norm_first=first).double()
    attention, (wider, _, narrower) = ours.attention[-1], ours.feed_forward[-3:]
    norms = [ours.attention[0], ours.feed_forward[0]] if first else [ours.attention_norm, ours.feed_forward_norm]
    parts = (attention.query, attention.key, attention.value)
    with torch.no_grad():
        for kind in ("weight", "bias"):
            joined = torch.cat([getattr(part, kind) for part in parts])
            getattr(theirs.self_attn, f"in_proj_{kind}").copy_(joined)
    theirs.self_attn.out_proj.load_state_dict(attention.out.state_dict())
    theirs.linear1.load_state_dict(wider.state_dict())
    theirs.linear2.load_state_dict(narrower.state_dict())
    for mine, other in zip(norms, (theirs.norm1, theirs.norm2), strict=True):
        nn.init.uniform_(mine.weight, 0.5, 2)
        other.load_state_dict(mine.state_dict())
    tokens = torch.randn(2, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(ours(tokens), theirs(tokens), rtol=1e-12, atol=1e-12)


def test_norms_after_the_sums_leave_none_for_the_end():
    spec = {"name": "transformer", "width": 8, "depth": 3}
    tokens = 5 * torch.randn(2, 4, 8) + 1
    for place, layers in (("before", 2 * 3 + 1), ("after", 2 * 3)):
        model = network({**spec, "norm_place": place})
        assert len(kinds(model, nn.LayerNorm)) == layers
        out = model[4](model[3](tokens)) if place == "before" else model[3](tokens)
        assert out.mean(2).abs().max() < 1e-6
        torch.testing.assert_close(out.var(2, correction=0), torch.ones(2, 4), rtol=0, atol=1e-3)


def test_a_transformer_without_norms_is_the_sum_of_its_parts():
    for place in ("before", "after"):  # where nothing stands makes no difference
        model = network({"name": "transformer", "width": 8, "depth": 1, "norm": "nothing", "norm_place": place})
        assert not kinds(model, nn.LayerNorm, nn.RMSNorm)
        tokens, (layer,) = torch.randn(2, 4, 8), model[3]
        middle = tokens + layer.attention[0](tokens)
        wider, activation, narrower = layer.feed_forward
        assert torch.equal(layer(tokens), middle + narrower(activation(wider(middle))))


def test_patches_are_squares_in_reading_order_and_the_last_ones_are_filled_with_0():
    images = torch.arange(2 * 5 * 7.0).view(1, 2, 5, 7)
    patches = network({"name": "transformer", "patch": 3, "width": 8}, (2, 5, 7))[0](images)
    assert patches.shape == (1, 6, 18)
    assert torch.equal(patches[0, 1].view(2, 3, 3), images[0, :, :3, 3:6])
    last = torch.zeros(2, 3, 3)
    last[:, :2, :1] = images[0, :, 3:, 6:]
    assert torch.equal(patches[0, 5].view(2, 3, 3), last)


@pytest.mark.parametrize("width", [7, 8])
def test_sines_follow_their_formula(width):
    table = sines(5, width)
    assert table.shape == (5, width)
    for place, column in product(range(5), range(width)):
        angle = place / 10_000 ** (column // 2 * 2 / width)
        expected = math.cos(angle) if column % 2 else math.sin(angle)
        assert table[place, column].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("positions", "blind"), [("nothing", True), ("learned", False), ("sine", False)])
def test_without_positions_the_order_of_patches_is_not_seen(positions, blind):
    model = filled(network({"name": "transformer", "width": 8, "patch": 4, "positions": positions})).eval()
    images = torch.rand(3, 1, 8, 8)
    swapped = images.roll(4, 3)  # left and right patches change places
    assert torch.allclose(model(images), model(swapped), atol=1e-5) == blind


@pytest.mark.parametrize("init", initializers)
def test_zero_last_makes_every_layer_pass_its_tokens_on(init):
    spec = {"name": "transformer", "width": 8, "zero_last": True, "depth": 2, "positions": "nothing"}
    tokens = torch.randn(2, 4, 8)
    assert torch.equal(filled(network(spec), init)[2](tokens), tokens)


def test_a_shared_layer_does_what_equal_layers_do():
    spec = {"name": "transformer", "width": 8, "depth": 3}
    shared, own = network({**spec, "shared": True}), network(spec)
    for layer in own[3]:
        layer.load_state_dict(shared[3].layer.state_dict())
    tokens = torch.randn(2, 4, 8)
    assert torch.equal(shared[3](tokens), own[3](tokens))


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(RecipeError, match=r"^model transformer: heads must divide width: each head gets width / heads"):
        Recipe(model={"name": "transformer", "width": 10, "heads": 4})


# -- torchvision ------------------------------------------------------------------------------------------------------


def test_every_network_of_torchvision_can_be_chosen():
    from torchvision import models as networks  # noqa: PLC0415  # slow

    assert set(get_args(Name)) == set(networks.list_models(module=networks))


@pytest.mark.parametrize(
    "name", ["shufflenet_v2_x0_5", "mnasnet0_5", "mobilenet_v3_small", "squeezenet1_1", "googlenet"]
)
def test_networks_of_torchvision_learn_from_grey_images(name):
    shape = (1, 32, 32)
    pass_both_ways(filled(network({"name": "torchvision", "network": name}, shape, 7)), shape, 7)


@pytest.mark.parametrize(
    ("name", "sides"),
    [("resnet18", (1, 4)), ("densenet121", (1, 4)), ("mobilenet_v2", (1, 2)), ("mobilenet_v3_small", (1, 2))],
)
def test_a_small_stem_leaves_more_places(name, sides):
    """The side of the images that reach the last convolutions."""
    for small_stem, side in zip((False, True), sides, strict=True):
        model, seen = network({"name": "torchvision", "network": name, "small_stem": small_stem}, (3, 32, 32)), []
        kinds(model, nn.Conv2d)[-1].register_forward_hook(
            lambda _, given, __, seen=seen: seen.append(given[0].shape[-1])
        )
        model.eval()(torch.rand(1, 3, 32, 32))
        assert seen == [side], small_stem


def test_a_small_stem_is_three_pixels_wide_and_keeps_the_size():
    model = network({"name": "torchvision", "small_stem": True}, (1, 8, 8))
    assert (model.conv1.in_channels, model.conv1.kernel_size, model.conv1.stride) == (1, (3, 3), (1, 1))
    assert isinstance(model.maxpool, nn.Identity)


def test_networks_without_a_small_stem_say_so():
    with pytest.raises(
        RecipeError, match=rf"small_stem is for networks whose names begin with {', '.join(SMALL_STEMS)}"
    ):
        Recipe(model={"name": "torchvision", "network": "vgg11", "small_stem": True})


@pytest.mark.parametrize(("name", "size"), [("squeezenet1_1", 8), ("inception_v3", 32), ("alexnet", 32)])
def test_images_that_a_network_cannot_read_are_refused_in_words(name, size):
    with pytest.raises(
        ValueError, match=rf"^torchvision's {name} cannot read images of {size} x {size} pixels \(.*Choose"
    ):
        network({"name": "torchvision", "network": name}, (3, size, size))


def test_an_unknown_network_is_refused_with_the_known_ones():
    with pytest.raises(RecipeError, match="network is 'resnet19', but must be one of: resnet18, resnet34"):
        Recipe(model={"name": "torchvision", "network": "resnet19"})
