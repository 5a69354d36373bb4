"""The gauge of the edge of stability: what it reads, the bounds beside it, and that it changes no bit of a training."""

import numpy as np
import pytest
import torch
from small_landscapes import mean_loss, session_of
from small_networks import noisy_normed
from small_runs import SMALL, bits, same_history, same_weights, small_model
from torch import nn

from lab.events import Step
from lab.landscape import Gauge, samples_of
from lab.landscape.curvature import LEAST_PRODUCTS
from lab.landscape.stability import bound_of
from lab.models import models
from lab.optimizers import optimizers
from lab.training import Training

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": {"name": "sgd", "momentum": 0.9}, "label_smoothing": 0.1, "schedule": "cosine"},
        {"optimizer": "adam", "average": "ema"},
        {"gradient": ["gradient_noise"], "precision": "float64"},
    ],
    ids=str,
)
def test_a_gauge_changes_no_bit(change, own_options):
    models.add(noisy_normed)
    recipe = SMALL.changed(model="noisy_normed", augment=["crop"], **change)
    undisturbed, session = Training(recipe, device="cpu"), Training(recipe, device="cpu")
    list(undisturbed)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    gauge = Gauge(session)
    readings = [gauge() for event in session if not isinstance(event, Step) or event.step % 4 == 0]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert same_weights(session, undisturbed)
    assert same_history(session, undisturbed)
    own, other = session.state(), undisturbed.state()
    assert {name: tensor.numpy().tobytes() for name, tensor in own.tensors.items()} == {
        name: tensor.numpy().tobytes() for name, tensor in other.tensors.items()
    }
    assert own.scalars == other.scalars
    assert len({reading.sharpness for reading in readings}) > 3


def test_a_gauge_leaves_gradients_and_modes_alone():
    session = session_of({**small_model("cnn"), "norm": "batch"})
    gradients = [parameter.grad.clone() for parameter in session.model.parameters()]
    kept = bits(session)
    Gauge(session)()
    assert all(layer.training for layer in session.model.modules())
    assert bits(session) == kept
    assert all(torch.equal(p.grad, g) for p, g in zip(session.model.parameters(), gradients, strict=True))


def test_a_reading_is_the_sharpness_of_the_recipes_loss_on_training_images():
    session = session_of({"name": "mlp", "width": 4}, label_smoothing=0.2, precision="float64")
    gauge = Gauge(session)
    loss, place = mean_loss(session, samples_of(session, split="training"), label_smoothing=0.2)
    top = float(torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, place))[-1])
    first, second = gauge(), gauge()
    for reading in (first, second):
        assert abs(reading.sharpness - top) <= reading.residual + 1e-9
        assert reading.residual <= 0.02 * top
        assert (reading.samples, reading.total, reading.step) == (50, 50, session.step)
        assert reading.error == 0
    assert second.products == LEAST_PRODUCTS  # which find what is new; the residuals would do with fewer


def test_a_reading_says_what_other_images_would_change_and_what_the_rate_bears():
    session = Training(SMALL.changed(model={"name": "mlp", "width": 4}, **{"optimizer.lr": 0.1}), device="cpu")
    reading = Gauge(session, samples_of(session, split="training", count=32))()
    assert reading.error > reading.residual
    assert reading.words == (
        f"Sharpness {reading.sharpness:.3g} ± {reading.error:.2g} (standard error, 32 of 50 training images; residual "
        f"{reading.residual:.1g}). {reading.sharpness / 20:.0%} of the 20 that the rate bears."
    )
    whole = Gauge(session_of({"name": "mlp", "width": 4}))()
    assert "(all 50 training images; residual " in whole.words
    assert whole.words.endswith(whole.note)


@pytest.mark.parametrize(
    ("change", "bound", "rule"),
    [
        ({"optimizer": {"name": "sgd", "lr": 0.1}}, 20, "2 / lr"),
        ({"optimizer": {"name": "batch_gd", "lr": 0.1}}, 20, "2 / lr"),
        ({"optimizer": {"name": "momentum", "lr": 0.1, "momentum": 0.9}}, 38, "(2 + 2 x 0.9) / lr"),
        (
            {"optimizer": {"name": "nesterov", "lr": 0.1, "momentum": 0.9}},
            38 / 2.8,
            "(2 + 2 x 0.9) / (lr (1 + 2 x 0.9))",
        ),
        ({"optimizer": {"name": "sgd", "lr": 0.1}, "schedule": "linear"}, 20 / (1 - 14 / 21), "2 / lr"),
    ],
    ids=str,
)
def test_the_bound_is_that_of_the_rate_of_the_last_step_and_has_its_rule(change, bound, rule):
    session = Training(SMALL.changed(**change), device="cpu")
    gauge = Gauge(session)
    for event in session:
        if isinstance(event, Step) and event.step == 15:
            reading = gauge()
            assert reading.bound == pytest.approx(bound)
            assert reading.share == pytest.approx(reading.sharpness / bound)
            assert reading.note == rule
            assert reading.off == np.hypot(reading.error, reading.residual)
            return
        if session.steps < 15:
            assert session.recipe.optimizer.name == "batch_gd"
            assert gauge().bound == bound
            return
    pytest.fail("the training ended before step 15")


@pytest.mark.parametrize(("name", "momentum"), [("sgd", 0.0), ("sgd", 0.8), ("nesterov", 0.8)])
def test_beyond_the_bound_a_step_grows_and_below_it_shrinks(name, momentum):
    """On a bowl of one number, whose curvature is 1."""
    choice = {"name": name, "lr": 0.1} | ({"momentum": momentum} if momentum else {})
    bound, _ = bound_of(Training(SMALL.changed(optimizer=choice), device="cpu"))
    for share, grows in ((0.98, False), (1.02, True)):
        place = nn.Parameter(torch.ones(1, dtype=torch.float64))
        optimizer = optimizers.build(optimizers.parse({**choice, "lr": 0.1 * bound * share}), [{"params": [place]}])
        for _ in range(2000):
            place.grad = place.detach().clone()
            optimizer.step()
        assert (abs(place.item()) > 1) == grows


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"optimizer": "adam"}, "adam does not step by one rate along the gradient"),
        (
            {"optimizer": {"name": "adam", "beta1": 0.9}},
            "adam does not step by one rate along the gradient, so that no sharpness is its edge. What it keeps at the "
            "edge is the sharpness after its own scaling, whose edge is 38 / lr and which is not measured here (Cohen",
        ),
        ({"optimizer": "lion"}, "lion does not step by one rate"),
        ({"gradient": ["sam"]}, "The gradient is changed before the step"),
        ({"clip_norm": 1.0}, "The gradient is changed before the step"),
        ({"depth_decay": 0.5}, "The layers have rates of their own"),
    ],
    ids=str,
)
def test_where_there_is_no_such_bound_it_is_said_why(change, said):
    reading = Gauge(Training(SMALL.changed(**change), device="cpu"))()
    assert reading.bound is None
    assert reading.note.startswith(said)
    assert np.isnan(reading.share)
