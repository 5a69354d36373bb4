"""Changes to the gradient: alone against their formula, around each other, and in training."""

import math

import numpy as np
import pytest
import torch
from small_networks import noisy_normed
from small_runs import SMALL, TINY_CNN, same_history, same_weights, trained
from torch import nn

from lab.catalogue import RecipeError
from lab.events import Step
from lab.gradients import gradients
from lab.models import models
from lab.optimizers import optimizers, parameter_groups
from lab.steps import noise_stream
from lab.store import decode_state, encode_state
from lab.training import Training

NEAR = {"rtol": 0, "atol": 1e-12}
EXACT = SMALL.changed(precision="float64")
ALL = list(gradients)
SAME = ("in_parts", "recompute")  # the gradient stays what it is: see test_checkpointing


@pytest.fixture
def normed(own_options):
    """A person's own model, with a layer that keeps statistics and one that draws at random."""
    models.add(noisy_normed)
    return EXACT.changed(model="noisy_normed")


class Problem:
    """A network with a kernel, a matrix and biases, and the loss of a fixed batch."""

    def __init__(self):
        draws = torch.Generator().manual_seed(3)
        self.model = nn.Sequential(nn.Conv2d(1, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(12, 4)).double()
        for parameter in self.model.parameters():
            parameter.data.normal_(generator=draws)
        self.images = torch.randn(5, 1, 3, 3, dtype=torch.float64, generator=draws)

    def loss(self):
        return (self.model(self.images) ** 2).mean()

    def compute(self, images=None):
        self.model.zero_grad()
        loss = self.loss()
        loss.backward()
        return loss.detach()

    def gradient(self, weights=None):
        """By hand: at the weights there are, or at these."""
        named = dict(self.model.named_parameters()) if weights is None else weights
        leaves = {name: value.detach().clone().requires_grad_() for name, value in named.items()}
        loss = (torch.func.functional_call(self.model, leaves, (self.images,)) ** 2).mean()
        return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    def changed(self, spec, step=0):
        measured = gradients.build(gradients.parse(spec), self.compute, self.model, stream(step), step)
        assert measured == self.loss()  # as it is without any change
        return {name: parameter.grad for name, parameter in self.model.named_parameters()}


def stream(step=0):
    return noise_stream(1, step, torch.device("cpu"))


def test_sam_takes_the_gradient_uphill_and_comes_back():
    problem = Problem()
    before = {name: parameter.detach().clone() for name, parameter in problem.model.named_parameters()}
    first = problem.gradient()
    norm = np.sqrt(sum((gradient.numpy() ** 2).sum() for gradient in first.values()))
    uphill = problem.gradient({name: before[name] + 0.3 * first[name] / norm for name in before})
    for name, gradient in problem.changed({"name": "sam", "rho": 0.3}).items():
        torch.testing.assert_close(gradient, uphill[name], **NEAR)
        assert not torch.allclose(gradient, first[name])
        assert torch.equal(dict(problem.model.named_parameters())[name], before[name])


@pytest.mark.parametrize("name", optimizers)
def test_sam_stands_around_every_optimizer(name):
    ours, theirs = Problem(), Problem()
    steppers = [optimizers.build(optimizers.parse(name), parameter_groups(each.model)) for each in (ours, theirs)]
    for _ in range(3):
        ours.changed({"name": "sam", "rho": 0.3})
        first = theirs.gradient()
        norm = np.sqrt(sum((gradient.numpy() ** 2).sum() for gradient in first.values()))
        weights = dict(theirs.model.named_parameters())
        uphill = theirs.gradient({key: weights[key] + 0.3 * first[key] / norm for key in weights})
        for key, weight in weights.items():
            weight.grad = uphill[key]
        for stepper in steppers:
            stepper.step()
    for mine, other in zip(ours.model.parameters(), theirs.model.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-8)  # Adam divides by the roots of tiny squares


def test_l1_adds_the_sign_of_matrices_and_kernels():
    problem = Problem()
    plain, changed = problem.gradient(), problem.changed({"name": "l1", "strength": 0.01})
    for name, weight in problem.model.named_parameters():
        pull = 0.01 * weight.detach().sign() if name.endswith("weight") else 0
        torch.testing.assert_close(changed[name], plain[name] + pull, **NEAR)


def test_l2_adds_every_parameter_biases_too():
    problem = Problem()
    plain, changed = problem.gradient(), problem.changed({"name": "l2", "strength": 0.01})
    for name, parameter in problem.model.named_parameters():
        torch.testing.assert_close(changed[name], plain[name] + 0.01 * parameter.detach(), **NEAR)


def test_l2_is_the_weight_decay_of_sgd_and_decays_biases_and_norms_beside_it():
    recipe = EXACT.changed(**{"model.norm": "batch", "optimizer.lr": 0.2})
    spared, everywhere = (
        recipe.changed(**{"optimizer.weight_decay": 0.1}),
        recipe.changed(gradient=[{"name": "l2", "strength": 0.1}]),
    )
    session, other = (Training(each, device="cpu") for each in (spared, everywhere))
    for training in (session, other):
        next(event for event in training if isinstance(event, Step))
    start = dict(Training(recipe, device="cpu").model.named_parameters())
    for (name, decayed), pulled in zip(session.model.named_parameters(), other.model.parameters(), strict=True):
        pull = 0 if decayed.ndim > 1 else 0.2 * 0.1 * start[name]
        torch.testing.assert_close(pulled, decayed - pull, **NEAR)


@pytest.mark.parametrize("limit", [0.01, 1e6])
def test_clip_value_cuts_entries_off(limit):
    problem = Problem()
    plain, changed = problem.gradient(), problem.changed({"name": "clip_value", "limit": limit})
    for name, gradient in changed.items():
        torch.testing.assert_close(gradient, plain[name].clamp(-limit, limit), **NEAR)


def test_centralised_gradients_leave_the_sum_of_a_units_weights():
    problem = Problem()
    plain, changed = problem.gradient(), problem.changed("centralise")
    for name, gradient in changed.items():
        if name.endswith("bias"):
            torch.testing.assert_close(gradient, plain[name], **NEAR)
        else:
            rows, flat = plain[name].flatten(1), gradient.flatten(1)
            torch.testing.assert_close(flat, rows - rows.mean(1, keepdim=True), **NEAR)
            assert flat.sum(1).abs().max() < 1e-12 < rows.sum(1).abs().max()


@pytest.mark.parametrize("step", [0, 99])
def test_noise_has_the_variance_of_the_formula_and_the_steps_own_draws(step):
    weight = nn.Linear(300, 300)
    weight.weight.grad = torch.zeros_like(weight.weight)
    choice = gradients.parse({"name": "gradient_noise", "eta": 0.3, "gamma": 0.55})
    gradients.build(choice, lambda: 0.0, weight, stream(step), step)
    drawn = weight.weight.grad
    expected = 0.3 / (1 + step) ** 0.55
    assert drawn.var().item() == pytest.approx(expected, rel=6 * math.sqrt(2 / drawn.numel()))
    assert abs(drawn.mean().item()) < 6 * math.sqrt(expected / drawn.numel())
    assert weight.bias.grad is None
    again = torch.empty(300, 300).normal_(generator=stream(step)) * expected**0.5
    torch.testing.assert_close(drawn, again, rtol=1e-5, atol=1e-7)
    assert not torch.equal(torch.randn(3, generator=stream(0)), torch.randn(3, generator=stream(1)))


def test_the_first_of_a_list_is_innermost():
    inner, outer = EXACT.changed(gradient=["l1", "sam"]), EXACT.changed(gradient=["sam", "l1"])
    assert inner.id != outer.id
    assert not same_weights(trained(inner)[0], trained(outer)[0])


@pytest.mark.parametrize(
    "spec",
    [
        "clip_value",
        {"name": "l1", "strength": 0.0},
        {"name": "l2", "strength": 0.0},
        {"name": "gradient_noise", "eta": 0.0},
    ],
)
def test_what_changes_nothing_leaves_every_bit(spec):
    if spec == "clip_value":
        spec = {"name": "clip_value", "limit": 1e6}
    changed, plain = trained(SMALL.changed(gradient=[spec]))[0], trained(SMALL)[0]
    assert same_history(changed, plain)
    assert same_weights(changed, plain)


@pytest.mark.parametrize("spec", [name for name in ALL if name not in SAME])
def test_every_change_reaches_the_training(spec):
    if spec == "clip_value":
        spec = {"name": "clip_value", "limit": 0.01}
    changed, plain = trained(SMALL.changed(gradient=[spec]))[0], trained(SMALL)[0]
    assert changed.history.loss[0] == plain.history.loss[0]
    assert changed.history.loss[1] != plain.history.loss[1]


def test_the_norm_is_clipped_after_all_changes():
    lr, norm = 0.5, 0.1
    recipe = EXACT.changed(gradient=[{"name": "gradient_noise", "eta": 1.0}], clip_norm=norm, **{"optimizer.lr": lr})
    session = Training(recipe, device="cpu")
    before = torch.cat([parameter.detach().flatten().clone() for parameter in session.model.parameters()])
    next(event for event in session if isinstance(event, Step))
    after = torch.cat([parameter.detach().flatten() for parameter in session.model.parameters()])
    assert (after - before).norm().item() == pytest.approx(lr * norm, rel=1e-4)


def test_sams_second_pass_has_the_masks_of_the_first_and_moves_no_statistics(normed):
    session, masks = Training(normed.changed(gradient=["sam"]), device="cpu"), []
    session.model[4].register_forward_hook(lambda layer, _, out: masks.append(out.detach() == 0))
    inputs = []
    session.model[2].register_forward_hook(lambda layer, taken, _: inputs.append(taken[0].detach()))
    next(event for event in session if isinstance(event, Step))
    assert len(masks) == len(inputs) == 2
    assert not torch.equal(inputs[0], inputs[1])  # the weights moved in between
    both = torch.stack(masks)  # a unit that is off by itself is off whatever its mask
    assert (both[0] == both[1]).double().mean() > 0.9
    assert int(session.model[2].num_batches_tracked) == 1
    torch.testing.assert_close(session.model[2].running_mean, 0.1 * inputs[0].mean(0), **NEAR)


def test_sam_costs_two_passes():
    plain, twice = (Training(SMALL.changed(gradient=changes), device="cpu") for changes in ((), ("l1", "sam")))
    assert twice.flops_per_step == 2 * plain.flops_per_step


@pytest.mark.parametrize("model", ["noisy_normed", TINY_CNN])
def test_a_run_with_changes_goes_on_with_the_same_bits(normed, model, tmp_path):
    recipe = SMALL.changed(model=model, gradient=ALL, augment=["crop"])
    whole, _ = trained(recipe)
    session = Training(recipe, device="cpu")
    next(event for event in session if isinstance(event, Step) and event.step == 10)
    (tmp_path / "state").write_bytes(encode_state(session.state()))
    again = Training(recipe, device="cpu")
    again.restore(decode_state(tmp_path / "state"))
    list(again)
    assert same_history(again, whole)
    assert same_weights(again, whole)


@pytest.mark.parametrize(
    ("setting", "limit"),
    [("gradient_noise.eta", 1e6), ("gradient_noise.gamma", 10), ("clip_value.limit", 1e6)],
)
def test_what_no_number_could_hold_is_refused_when_the_recipe_is_made(setting, limit):
    name, key = setting.split(".")
    session, _ = trained(SMALL.changed(gradient=[{"name": name, key: limit}]))
    assert session.step > 1
    with pytest.raises(RecipeError, match=rf"^gradient change {name}: {key} is 1e\+300, but must be .* at most"):
        SMALL.changed(gradient=[{"name": name, key: 1e300}])


def test_a_list_of_changes_is_written_and_read_like_any_other():
    recipe = SMALL.changed(gradient=["sam", "l1"], **{"gradient.sam.rho": 0.1})
    assert [str(choice) for choice in recipe.gradient] == ["sam(rho=0.1)", "l1"]
    assert type(recipe).from_yaml(recipe.to_yaml()) == recipe
    with pytest.raises(
        RecipeError, match=r"^Unknown gradient change 'sma'\. Did you mean 'sam'\? Expected one of: sam, l1, "
    ):
        SMALL.changed(gradient=["sma"])
