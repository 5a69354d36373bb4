"""What a network costs, against numbers counted by hand."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from small_runs import SMALL, trained
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lab.arithmetic import flops_per_image
from lab.costs import Layer, costs, with_prefix, words
from lab.models import models
from lab.option_tables import shipped
from lab.training import Training

MLP = SMALL.changed(model={"name": "mlp", "depth": 1, "width": 32})
MLP_PARAMETERS = 64 * 32 + 32 + 32 * 10 + 10


def by_name(found):
    return {layer.name: layer for layer in found.layers}


def test_a_small_mlp_counted_by_hand():
    found = costs(MLP)
    assert (found.trained, found.frozen, found.parameters) == (MLP_PARAMETERS, 0, MLP_PARAMETERS)
    assert found.weight_bytes == 4 * MLP_PARAMETERS
    assert found.flops_forward == 2 * (64 * 32 + 32 * 10)
    assert found.flops_per_image == 2 * 2 * 64 * 32 + 3 * 2 * 32 * 10  # nothing is differentiated towards the images
    assert found.layers == (
        Layer("0", "Flatten", (64,), 0, 1),
        Layer("1", "Linear", (32,), 64 * 32 + 32, 1),
        Layer("2", "ReLU", (32,), 0, 1),
        Layer("3", "Linear", (10,), 330, 1),
    )


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_activations_of_an_mlp_counted_by_hand(batch_size):
    # Pixels, hidden units (relu and the next layer keep the same ones), log-softmax: floats. The label: eight bytes.
    each = 4 * (64 + 32 + 10) + 8
    kept = costs(MLP.changed(batch_size=batch_size)).activation_bytes
    assert kept == batch_size * each + 4  # the loss keeps the sum of its weights


def test_activations_of_a_cnn_counted_by_hand():
    spec = {"name": "cnn", "depth": 1, "width": 2, "hidden": 0}
    # The image, the convolution's output, the places the pool chose, relu's output (the mean over places needs no
    # values), the mean as the last layer's input, log-softmax; the label; the loss's sum of weights.
    each = 4 * (64 + 2 * 64 + 2 * 16 + 2 + 10) + 8 * (2 * 16) + 8
    assert costs(SMALL.changed(model=spec, batch_size=10)).activation_bytes == 10 * each + 4


def test_double_precision_costs_double():
    single, double = costs(MLP), costs(MLP.changed(precision="float64"))
    assert double.weight_bytes == 2 * single.weight_bytes
    labels = 8 * MLP.batch_size
    assert double.activation_bytes - labels == 2 * (single.activation_bytes - labels)


def test_mixed_precision_keeps_smaller_activations_and_the_same_weights():
    recipe = SMALL.changed(model={"name": "mlp", "width": 256}, batch_size=4096)
    full, mixed = (costs(recipe.changed(precision=precision)) for precision in ("float32", "bfloat16"))
    assert mixed.weight_bytes == full.weight_bytes
    assert mixed.activation_bytes < 0.8 * full.activation_bytes


@pytest.mark.parametrize(
    ("optimizer", "moments"),
    [
        *(("sgd", 0), ({"name": "sgd", "momentum": 0.9}, 1), ("rmsprop", 1), ("adam", 2), ("adamw", 2)),
        *(("lion", 1), ("schedule_free_adamw", 3)),
    ],
)
def test_an_optimizer_keeps_so_many_numbers_for_each_weight(optimizer, moments):
    assert costs(MLP.changed(optimizer=optimizer)).optimizer_bytes == 4 * moments * MLP_PARAMETERS


def test_muon_keeps_one_number_for_hidden_weights_and_two_for_all_others():
    hidden = 32 * 32
    found = costs(MLP.changed(optimizer="muon", **{"model.depth": 2}))
    assert found.optimizer_bytes == 4 * (hidden + 2 * (found.parameters - hidden))


@pytest.mark.parametrize(("average", "copies"), [("nothing", 0), ("ema", 1), ("swa", 1)])
def test_an_average_is_a_number_for_each_weight(average, copies):
    recipe = MLP.changed(average=average, precision="float64")
    assert costs(recipe).average_bytes == copies * 8 * MLP_PARAMETERS
    session = trained(recipe)[0]
    assert sum(tensor.nbytes for tensor in session.average.values()) == costs(recipe).average_bytes


def test_a_change_of_the_gradient_costs_its_passes_and_keeps_nothing():
    recipe = MLP.changed(gradient=["sam", "l1"], optimizer="adam")
    changed, plain = costs(recipe), costs(recipe.changed(gradient=[]))
    assert changed.flops_per_image == 2 * plain.flops_per_image == Training(recipe, device="cpu").flops_per_image
    assert changed.optimizer_bytes == plain.optimizer_bytes


@pytest.mark.parametrize(("optimizer", "images"), [("batch_gd", 50), ("stochastic_gd", 1), ("mini_batch_gd", 8)])
def test_the_batch_is_the_optimizers_own(optimizer, images):
    found = costs(MLP.changed(optimizer=optimizer))
    assert found.batch_size == images
    assert found.activation_bytes == costs(MLP.changed(batch_size=images)).activation_bytes


def test_a_shared_layer_is_counted_once_and_applied_often():
    spec = {"name": "transformer", "patch": 4, "width": 8, "heads": 2, "depth": 3}
    shared, own = (costs(SMALL.changed(model={**spec, "shared": flag})) for flag in (True, False))
    norms, attention, feed_forward = 2 * 16, 4 * (64 + 8), (8 * 32 + 32) + (32 * 8 + 8)
    layer = norms + attention + feed_forward
    assert own.parameters - shared.parameters == 2 * layer
    assert shared.flops_forward == own.flops_forward
    assert by_name(shared)["3.layer.attention.1.query"].applied == 3
    assert {layer.applied for layer in own.layers} == {1}


def test_a_recurrent_layer_is_applied_once_for_each_row():
    layers = by_name(costs(SMALL.changed(model={"name": "rnn", "width": 5})))
    assert layers["1.carrying.state"] == Layer("1.carrying.state", "Linear", (5,), 25, 8)
    assert layers["1.reading.state"] == Layer("1.reading.state", "Linear", (8, 5), 8 * 5 + 5, 1)


class PartlyUsed(nn.Module):
    """A frozen layer, a parameter of its own, and a layer that nothing passes."""

    def __init__(self, classes):
        super().__init__()
        self.frozen = nn.Linear(64, 4).requires_grad_(requires_grad=False)
        self.scale, self.last, self.unused = nn.Parameter(torch.ones(4)), nn.Linear(4, classes), nn.Linear(3, 3)

    def forward(self, images):
        return self.last(self.frozen(images.flatten(1)) * self.scale)


@pytest.fixture
def partly_used(monkeypatch):
    monkeypatch.setattr(models, "functions", dict(models.functions))
    monkeypatch.setattr(models, "_choices", dict(models._choices))

    @models.add
    def partly_used(shape, classes, activation):
        """A network of odd parts. Source: this test."""
        return PartlyUsed(classes)

    return SMALL.changed(model="partly_used")


def test_frozen_own_and_unused_parameters_are_all_in_the_table(partly_used):
    found = costs(partly_used.changed(optimizer="adam"))
    assert found.frozen == 64 * 4 + 4
    assert found.trained == 4 + 50 + 12
    assert by_name(found)["unused"] == Layer("unused", "Linear", (), 12, 0)
    assert by_name(found)[""] == Layer("", "PartlyUsed", (10,), 4, 1)
    assert found.optimizer_bytes == 2 * 4 * (4 + 50)  # nothing for what is frozen or never used


@pytest.mark.parametrize("name", [name for name in models if name != "torchvision"])
def test_the_table_of_layers_adds_up_and_agrees_with_a_training(name):
    recipe = SMALL.changed(model=name)
    found, session = costs(recipe), Training(recipe, device="cpu")
    assert sum(layer.parameters for layer in found.layers) == found.parameters == session.started().parameters
    assert found.flops_per_image == session.flops_per_image
    assert found.layers[-1].shape == (10,)


@pytest.mark.parametrize("size", [5, 20])
@pytest.mark.parametrize("objective", list(shipped("objective")))
def test_all_that_an_objective_does_to_a_batch_is_counted(objective, size):
    """Its views, what it adds to the network, and pairs of images: what torch counts of the step of a real batch."""
    recipe = SMALL.changed(objective=objective, batch_size=size, model={"name": "mlp", "width": 8})
    session = Training(recipe, device="cpu")
    session.step = session.steps - 1
    images, labels = session.train_split.images[:size], session.train_split.labels[:size]
    batch = session.objective.batch(session.prepare(images), labels, session.moment(images))
    with FlopCounterMode(display=False) as counter:
        session.objective.loss(session.model, batch)[0].backward()
    assert session.flops_per_step == counter.get_total_flops()
    assert costs(recipe).flops_per_image == pytest.approx(session.flops_per_image)


def test_what_augmentations_learn_is_counted_once_and_said():
    recipe = MLP.changed(augment=["flip", {"name": "generated", "latent": 3, "width": 8, "steps": 20}])
    weights = (64 + 10) * 8 + 8 * 2 * 3 + (3 + 10) * 8 + 8 * 64  # of encoder and decoder
    found = costs(recipe)
    assert found.learning_flops == 3 * 2 * weights * 50 * 20  # fewer images than 128
    assert found.flops_per_image == costs(MLP).flops_per_image
    assert " per image trained · 7.54 MFLOP before the first step · " in words(found)
    assert "before the first step" not in words(costs(MLP))


def test_measuring_leaves_no_trace():
    recipe = SMALL.changed(model={"name": "mlp", "dropout": 0.5, "norm": "batch"})
    before = torch.get_rng_state()
    assert costs(recipe) == costs(recipe)
    assert torch.equal(torch.get_rng_state(), before)


def test_one_line_for_people():
    assert words(costs(MLP)) == (
        "2,410 parameters · 10.1 kFLOP per image trained · 9.64 kB weights, 3.46 kB per batch of 8"
    )


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 "),
        (12, "12 "),
        (499, "499 "),
        (500, "0.5 k"),
        (800_000, "0.8 M"),
        (12_345_678, "12.3 M"),
        (4e9, "4 G"),
        (2e17, "200 P"),
    ],
)
def test_large_numbers_get_a_prefix(number, said):
    assert with_prefix(number) == said


def slope_elsewhere(layer: nn.Module) -> torch.Tensor:
    """A gradient taken in another thread."""

    def slope() -> torch.Tensor:
        x = torch.ones(3, 8, requires_grad=True)
        return torch.autograd.grad(layer(x).sum(), x)[0]

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(slope).result()


def test_counting_leaves_the_layers_of_other_threads_alone():
    class Meanwhile(nn.Linear):
        def forward(self, images):
            found.append(slope_elsewhere(other))
            return super().forward(images)

    found, other = [], nn.Sequential(nn.Linear(8, 4), nn.Tanh())
    assert flops_per_image(Meanwhile(8, 4), torch.ones(2, 8)) == 2 * 8 * 4
    assert torch.equal(found[0], slope_elsewhere(other))


FROZEN = SMALL.changed(model={"name": "mlp", "width": 32, "depth": 2})  # 64, 32, 32, 10
FIRST, SECOND, LAST = 2 * 64 * 32, 2 * 32 * 32, 2 * 32 * 10  # forward, of an image


@pytest.mark.parametrize(
    ("transfer", "expected"),
    [
        ("scratch", 2 * FIRST + 3 * (SECOND + LAST)),
        ("features", FIRST + SECOND + 2 * LAST),
        ({"name": "whole", "frozen": 1}, FIRST + 2 * SECOND + 3 * LAST),
        ("linear_probe_then_fine_tune", FIRST * 3 / 2 + SECOND * 4 / 2 + LAST * 5 / 2),  # half of the epochs each
        ("gradual_unfreezing", FIRST * (1 + 1 + 2 + 2) / 4 + SECOND * (1 + 2 + 3 + 3) / 4 + LAST * (2 + 3 * 3) / 4),
    ],
    ids=str,
)
def test_frozen_layers_are_counted_by_hand(transfer, expected):
    recipe = FROZEN.changed(transfer=transfer, epochs=4)
    assert costs(recipe).flops_per_image == expected == Training(recipe, device="cpu").flops_per_image
    assert costs(recipe).flops_forward == FIRST + SECOND + LAST


@pytest.mark.parametrize("model", ["mlp", "cnn", "resnet", "lstm"])
@pytest.mark.parametrize("transfer", ["features", {"name": "whole", "frozen": 2}], ids=str)
def test_what_frozen_layers_save_is_what_torch_counts_less(model, transfer):
    recipe = SMALL.changed(model=model, transfer=transfer, batch_size=5)
    session = Training(recipe, device="cpu")
    images, labels = session.prepare(session.train_split.images[:5]), session.train_split.labels[:5]
    with FlopCounterMode(display=False) as counter:
        session.objective.loss(session.model, (images, labels))[0].backward()
    assert session.flops_per_step == counter.get_total_flops()
    assert session.flops_per_step < Training(recipe.changed(transfer="scratch"), device="cpu").flops_per_step


def test_grouped_convolutions_take_as_much_back_as_forward_towards_each_side():
    recipe = SMALL.changed(model={"name": "torchvision", "network": "shufflenet_v2_x0_5"})
    found = costs(recipe)
    assert 2.9 < found.flops_per_image / found.flops_forward < 3


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"name": "mlp", "depth": 3}},
        {"model": {"name": "mlp", "depth": 8}, "transfer": {"name": "whole", "frozen": 2}},
        {"model": "cnn"},
        {"model": {"name": "densenet", "depth": 2, "growth": 4}},
        {"model": "lstm"},
        {"model": {"name": "mlp", "depth": 3}, "objective": "multi_task"},
    ],
    ids=str,
)
def test_layers_computed_again_are_what_torch_counts_in_a_step(changes):
    recipe = SMALL.changed(gradient=["recompute", "sam"], batch_size=5, **changes)
    session = Training(recipe, device="cpu")
    with FlopCounterMode(display=False) as counter:
        session._step(session.train_split.images[:5], session.train_split.labels[:5])
    assert session.flops_per_step == counter.get_total_flops()
    assert session.flops_per_step > Training(recipe.changed(gradient="sam"), device="cpu").flops_per_step
