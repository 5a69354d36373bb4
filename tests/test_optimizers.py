"""Optimizers against NumPy, against torch, and down two valleys."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from small_runs import SMALL, TINY_CNN, same_history, same_weights, trained
from torch import nn

from lab.depth import rate_groups
from lab.events import Step
from lab.models import models
from lab.optimizers import optimizers, parameter_groups
from lab.optimizers.muon import orthogonalised
from lab.store import decode_state, encode_state
from lab.training import Training

CURVATURE = np.array([[3.0, 0.5, 0.0], [0.5, 1.0, -0.2], [0.0, -0.2, 2.0]])
START = np.array([1.0, -2.0, 0.5])
SGD_CASES = [
    {"lr": 0.1},
    {"lr": 0.05, "momentum": 0.9},
    {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    {"lr": 0.05, "momentum": 0.5, "weight_decay": 0.1},
]
ADAM_CASES = [
    {"lr": 0.1},
    {"lr": 0.01, "beta1": 0.5, "beta2": 0.9, "eps": 1e-3},
    {"lr": 0.1, "beta1": 0.0, "weight_decay": 0.1},
]
RMSPROP_CASES = [
    {"lr": 0.1},
    {"lr": 0.01, "alpha": 0.5, "eps": 1e-3},
    {"lr": 0.1, "alpha": 0.0, "weight_decay": 0.1},
]


def sgd_by_hand(theta, steps, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    velocity = np.zeros_like(theta)
    for _ in range(steps):
        gradient = CURVATURE @ theta + weight_decay * theta
        velocity = momentum * velocity + gradient
        theta = theta - lr * (gradient + momentum * velocity if nesterov else velocity)
    return theta


def adam_by_hand(theta, steps, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    mean, square = np.zeros_like(theta), np.zeros_like(theta)
    for step in range(1, steps + 1):
        gradient = CURVATURE @ theta + weight_decay * theta
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        theta = theta - lr * (mean / (1 - beta1**step)) / (np.sqrt(square / (1 - beta2**step)) + eps)
    return theta


def adamw_by_hand(theta, steps, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    mean, square = np.zeros_like(theta), np.zeros_like(theta)
    for step in range(1, steps + 1):
        gradient = CURVATURE @ theta
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        update = (mean / (1 - beta1**step)) / (np.sqrt(square / (1 - beta2**step)) + eps)
        theta = theta - lr * (update + weight_decay * theta)
    return theta


def rmsprop_by_hand(theta, steps, lr, alpha=0.99, eps=1e-8, weight_decay=0.0):
    square = np.zeros_like(theta)
    for _ in range(steps):
        gradient = CURVATURE @ theta + weight_decay * theta
        square = alpha * square + (1 - alpha) * gradient**2
        theta = theta - lr * gradient / (np.sqrt(square) + eps)
    return theta


def adagrad_by_hand(theta, steps, lr, lr_decay=0.0, eps=1e-10, weight_decay=0.0):
    total = np.zeros_like(theta)
    for step in range(steps):
        gradient = CURVATURE @ theta + weight_decay * theta
        total = total + gradient**2
        theta = theta - lr / (1 + step * lr_decay) * gradient / (np.sqrt(total) + eps)
    return theta


def adadelta_by_hand(theta, steps, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0):
    square, moved = np.zeros_like(theta), np.zeros_like(theta)
    for _ in range(steps):
        gradient = CURVATURE @ theta + weight_decay * theta
        square = rho * square + (1 - rho) * gradient**2
        move = np.sqrt(moved + eps) / np.sqrt(square + eps) * gradient
        moved = rho * moved + (1 - rho) * move**2
        theta = theta - lr * move
    return theta


def adamax_by_hand(theta, steps, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    mean, largest = np.zeros_like(theta), np.zeros_like(theta)
    for step in range(1, steps + 1):
        gradient = CURVATURE @ theta + weight_decay * theta
        mean = beta1 * mean + (1 - beta1) * gradient
        largest = np.maximum(beta2 * largest, np.abs(gradient) + eps)
        theta = theta - lr / (1 - beta1**step) * mean / largest
    return theta


def nadam_by_hand(theta, steps, lr, beta1=0.9, beta2=0.999, eps=1e-8, momentum_decay=0.004, weight_decay=0.0):
    mean, square = np.zeros_like(theta), np.zeros_like(theta)
    memory = [beta1 * (1 - 0.96 ** (step * momentum_decay) / 2) for step in range(1, steps + 2)]
    for step in range(1, steps + 1):
        gradient = CURVATURE @ theta + weight_decay * theta
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        ahead = memory[step] * mean / (1 - np.prod(memory[: step + 1]))
        ahead = ahead + (1 - memory[step - 1]) * gradient / (1 - np.prod(memory[:step]))
        theta = theta - lr * ahead / (np.sqrt(square / (1 - beta2**step)) + eps)
    return theta


def radam_by_hand(theta, steps, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0):
    mean, square, most = np.zeros_like(theta), np.zeros_like(theta), 2 / (1 - beta2) - 1
    for step in range(1, steps + 1):
        gradient = CURVATURE @ theta + weight_decay * theta
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        length = most - 2 * step * beta2**step / (1 - beta2**step)
        move = mean / (1 - beta1**step)
        if length > 5:
            share = (length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length)
            move = move * np.sqrt(share) * np.sqrt(1 - beta2**step) / (np.sqrt(square) + eps)
        theta = theta - lr * move
    return theta


def lion_by_hand(theta, steps, lr, beta1=0.9, beta2=0.99, weight_decay=0.1):
    mean = np.zeros_like(theta)
    for _ in range(steps):
        gradient = CURVATURE @ theta
        update = np.sign(beta1 * mean + (1 - beta1) * gradient)
        theta = theta - lr * (update + weight_decay * theta)
        mean = beta2 * mean + (1 - beta2) * gradient
    return theta


def schedule_free_by_hand(theta, steps, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    """Algorithm 1 of the paper; returns (y, x)."""
    x, z, square, weights = theta, theta, np.zeros_like(theta), []
    for step in range(1, steps + 1):
        y = (1 - beta1) * z + beta1 * x
        gradient = CURVATURE @ y
        square = beta2 * square + (1 - beta2) * gradient**2
        rate = lr * np.sqrt(1 - beta2**step)
        z = z - rate * gradient / (np.sqrt(square) + eps) - rate * weight_decay * y
        weights.append(rate**2)
        share = weights[-1] / sum(weights)
        x = (1 - share) * x + share * z
    return (1 - beta1) * z + beta1 * x, x


CASES = {
    "sgd": (sgd_by_hand, SGD_CASES),
    "adam": (adam_by_hand, ADAM_CASES),
    "adamw": (adamw_by_hand, [*ADAM_CASES, {"lr": 0.1, "weight_decay": 0.0}]),
    "rmsprop": (rmsprop_by_hand, RMSPROP_CASES),
    "batch_gd": (sgd_by_hand, [{"lr": 0.1, "weight_decay": 0.1}]),
    "stochastic_gd": (sgd_by_hand, [{"lr": 0.1, "weight_decay": 0.1}]),
    "mini_batch_gd": (sgd_by_hand, [{"lr": 0.1, "weight_decay": 0.1}]),
    "momentum": (sgd_by_hand, [{"lr": 0.1, "momentum": 0.8, "weight_decay": 0.1}]),
    "nesterov": (partial(sgd_by_hand, nesterov=True), [{"lr": 0.1, "momentum": 0.8, "weight_decay": 0.1}]),
    "adagrad": (adagrad_by_hand, [{"lr": 0.1}, {"lr": 0.1, "lr_decay": 0.1, "eps": 1e-3, "weight_decay": 0.1}]),
    "adadelta": (adadelta_by_hand, [{"lr": 1.0}, {"lr": 0.5, "rho": 0.5, "eps": 1e-3, "weight_decay": 0.1}]),
    "adamax": (adamax_by_hand, ADAM_CASES),
    "nadam": (nadam_by_hand, [*ADAM_CASES, {"lr": 0.1, "momentum_decay": 0.1}]),
    "radam": (radam_by_hand, [*ADAM_CASES, {"lr": 0.1, "beta2": 0.5}]),
}


def descend(make_optimizer, loss, start, steps):
    theta = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = make_optimizer([{"params": [theta]}])
    for _ in range(steps):
        optimizer.zero_grad()
        loss(theta).backward()
        optimizer.step()
    return theta.detach()


def bowl(theta):
    return theta @ torch.from_numpy(CURVATURE) @ theta / 2


def rosenbrock(theta):
    return (1 - theta[0]) ** 2 + 100 * (theta[1] - theta[0] ** 2) ** 2


def lab_optimizer(name, settings):
    return lambda groups: optimizers.build(optimizers.parse({"name": name, **settings}), groups)


def torch_optimizer(name, settings):
    kind = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "rmsprop": torch.optim.RMSprop,
        "adagrad": torch.optim.Adagrad,
        "adadelta": torch.optim.Adadelta,
        "adamax": torch.optim.Adamax,
        "nadam": torch.optim.NAdam,
        "radam": torch.optim.RAdam,
        "nesterov": partial(torch.optim.SGD, nesterov=True),
    }
    settings = dict(settings)
    if name in ("adam", "adamw", "adamax", "nadam", "radam"):
        settings["betas"] = settings.pop("beta1", 0.9), settings.pop("beta2", 0.999)
    return lambda groups: kind.get(name, torch.optim.SGD)(groups, foreach=False, **settings)


@pytest.mark.parametrize("steps", [1, 10])
@pytest.mark.parametrize(
    ("name", "by_hand", "settings"),
    [(name, by_hand, case) for name, (by_hand, cases) in CASES.items() for case in cases],
)
def test_optimizers_step_as_written_down_and_as_torch_does(name, by_hand, settings, steps):
    ours = descend(lab_optimizer(name, settings), bowl, START, steps)
    theirs = descend(torch_optimizer(name, settings), bowl, START, steps)
    near = 1e-6 if name == "nadam" else 1e-13  # torch keeps one of its numbers in float32
    np.testing.assert_allclose(ours, by_hand(START, steps, **settings), rtol=0, atol=near)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", optimizers)
@pytest.mark.parametrize(
    ("valley", "start", "steps", "left"),
    [
        (bowl, [1.0, -2.0, 0.5], 200, 0.02),
        (rosenbrock, [-1.2, 1.0], 600, 0.165),  # the floor of the valley below the start lies at 4: further than that
    ],
)
def test_every_optimizer_descends_with_some_learning_rate(name, valley, start, steps, left):
    rates = [{"lr": rate} for rate in ([10] if name == "adadelta" else [0.1, 0.002])]
    ends = [float(valley(descend(lab_optimizer(name, rate), valley, start, steps))) for rate in rates]
    assert min(end for end in ends if math.isfinite(end)) < left * float(
        valley(torch.tensor(start, dtype=torch.float64))
    )


@pytest.mark.parametrize("steps", [1, 10])
@pytest.mark.parametrize("settings", [{"lr": 0.1}, {"lr": 0.01, "beta1": 0.5, "beta2": 0.9, "weight_decay": 0.5}])
def test_lion_steps_as_the_paper_has_it(settings, steps):
    ours = descend(lab_optimizer("lion", settings), bowl, START, steps)
    np.testing.assert_allclose(ours, lion_by_hand(START, steps, **settings), rtol=0, atol=1e-13)


@pytest.mark.parametrize("steps", [1, 10])
@pytest.mark.parametrize("settings", [{"lr": 0.1}, {"lr": 0.05, "beta1": 0.0, "eps": 1e-3, "weight_decay": 0.5}])
def test_schedule_free_adamw_steps_y_and_is_used_at_x(settings, steps):
    made = []
    build = lab_optimizer("schedule_free_adamw", settings)
    y = descend(lambda groups: made.append(build(groups)) or made[-1], bowl, START, steps)
    (x,) = made[0].used_weights().values()
    expected = schedule_free_by_hand(START, steps, **settings)
    np.testing.assert_allclose(y, expected[0], rtol=0, atol=1e-13)
    np.testing.assert_allclose(x, expected[1], rtol=0, atol=1e-13)


def test_schedule_free_adamw_stands_still_while_its_rate_is_zero():
    weight = torch.ones(3, requires_grad=True)
    optimizer = lab_optimizer("schedule_free_adamw", {})([{"params": [weight]}])
    optimizer.param_groups[0]["lr"] = 0.0
    weight.grad = torch.ones(3)
    optimizer.step()
    assert torch.equal(weight.detach(), torch.ones(3))
    assert torch.equal(optimizer.used_weights()[weight], torch.ones(3))


# -- muon -------------------------------------------------------------------------------------------------------------


def quintic_by_hand(matrix, iterations):
    """The iteration on the singular values alone: s <- 3.4445 s - 4.775 s^3 + 2.0315 s^5."""
    left, singular, right = np.linalg.svd(matrix, full_matrices=False)
    singular = singular / (np.linalg.norm(matrix) + 1e-7)
    for _ in range(iterations):
        singular = 3.4445 * singular - 4.7750 * singular**3 + 2.0315 * singular**5
    return left @ np.diag(singular) @ right


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3)])
@pytest.mark.parametrize("iterations", [1, 5])
def test_newton_schulz_maps_singular_values_and_nothing_else(shape, iterations):
    matrix = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ours = orthogonalised(matrix, iterations)
    np.testing.assert_allclose(ours, quintic_by_hand(matrix.numpy(), iterations), rtol=0, atol=1e-12)
    if iterations == 5:
        assert all(0.3 < value < 1.3 for value in np.linalg.svd(ours.numpy())[1])


def stepped(optimizer, parameters, steps):
    """Parameters after steps along fixed gradients."""
    draws = torch.Generator().manual_seed(2)
    for _ in range(steps):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, dtype=parameter.dtype, generator=draws)
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(12, 8), nn.Linear(8, 3)]
    return nn.Sequential(*layers).double()


@pytest.mark.parametrize("steps", [1, 10])
def test_muon_turns_hidden_matrices_and_kernels_and_adapts_all_others(steps):
    settings = {"lr": 0.01, "weight_decay": 0.1}
    ours, theirs = network(), network()
    optimizer = lab_optimizer("muon", settings)(parameter_groups(ours))
    stepped(optimizer, list(ours.parameters()), steps)
    expected = stepped(lab_optimizer("adamw", settings)(parameter_groups(theirs)), list(theirs.parameters()), steps)
    for (name, parameter), adapted in zip(ours.named_parameters(), expected, strict=True):
        hidden = name in ("1.weight", "3.weight")
        assert torch.allclose(parameter, adapted, rtol=0, atol=1e-12) != hidden, name


def turned_by_muon(model, groups):
    """Names of the parameters that Muon turns."""
    optimizer = lab_optimizer("muon", {})(groups)
    return [name for name, parameter in model.named_parameters() if parameter in optimizer.hidden]


def test_muon_turns_the_same_whatever_the_order_of_its_groups_and_whatever_is_frozen():
    model = network()
    for groups in (parameter_groups(model), rate_groups(model, 0.5), rate_groups(model, 0.5)[::-1]):
        assert turned_by_muon(model, groups) == ["1.weight", "3.weight"]
    for layer in (model[0], model[4]):
        layer.requires_grad_(requires_grad=False)
    for groups in (parameter_groups(model), rate_groups(model, 0.5)):
        assert turned_by_muon(model, groups) == ["1.weight", "3.weight"]


LAYER = "attention.1.query attention.1.key attention.1.value attention.1.out feed_forward.1 feed_forward.3"
HIDDEN = {
    "mlp": ["3.weight"],
    "rnn": ["1.carrying.state.weight", "2.reading.state.weight", "2.carrying.state.weight"],
    "lstm": [
        f"{layer}.{gate}.weight"
        for layer in ("1.carrying", "2.reading", "2.carrying")
        for gate in ("input_gate", "forget_gate", "output_gate", "candidate")
    ],
    "transformer": [f"3.{layer}.{part}.weight" for layer in (0, 1) for part in LAYER.split()],
}


@pytest.mark.parametrize("name", HIDDEN)
def test_muon_turns_no_matrix_that_reads_the_image_and_no_table_of_positions(name):
    model = models.build(models.parse({"name": name, "depth": 2}), (1, 8, 8), 10, nn.ReLU)
    assert turned_by_muon(model, parameter_groups(model)) == HIDDEN[name]
    assert len(turned_by_muon(model, rate_groups(model, 0.5))) == len(HIDDEN[name])


def test_muon_turns_nothing_of_a_network_with_one_matrix():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 3))
    assert turned_by_muon(model, parameter_groups(model)) == []


@pytest.mark.parametrize("decay", [1.0, 0.5])
@pytest.mark.parametrize("objective", ["multi_task", "image_and_words", "dann"])
def test_muon_turns_the_same_of_a_model_whatever_an_objective_puts_on_it(objective, decay):
    recipe = SMALL.changed(optimizer="muon", objective=objective, depth_decay=decay)
    session = Training(recipe, device="cpu")
    turned = [name for name, parameter in session.model.named_parameters() if parameter in session.optimizer.hidden]
    assert turned == ["trunk.3.weight"]


def muon_by_hand(matrix, target, steps, lr, momentum=0.95, weight_decay=0.01):
    """Downhill on |matrix - target|^2 / 2, as the docstring has it."""
    mean = np.zeros_like(matrix)
    for _ in range(steps):
        gradient = matrix - target
        mean = momentum * mean + (1 - momentum) * gradient
        turned = quintic_by_hand((1 - momentum) * gradient + momentum * mean, 5)
        factor = 0.2 * math.sqrt(max(matrix.shape)) * lr
        matrix = (1 - lr * weight_decay) * matrix - factor * turned
    return matrix


@pytest.mark.parametrize("steps", [1, 10])
@pytest.mark.parametrize("settings", [{"lr": 0.1}, {"lr": 0.02, "momentum": 0.5, "weight_decay": 0.3}])
@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 2, 3, 3)])
def test_muon_steps_as_written_down(shape, settings, steps):
    start, target = np.random.default_rng(0).normal(size=(2, *shape))
    weight = nn.Parameter(torch.tensor(start))
    optimizer = lab_optimizer("muon", settings)([{"params": [weight], "hidden": [True]}])
    for _ in range(steps):
        weight.grad = weight.detach() - torch.tensor(target)
        optimizer.step()
    flat = (start.reshape(len(start), -1), target.reshape(len(start), -1))
    expected = muon_by_hand(*flat, steps, **settings)
    np.testing.assert_allclose(weight.detach().flatten(1), expected, rtol=0, atol=1e-12)


def test_muon_descends_what_its_turned_steps_descend():
    weight, target = nn.Parameter(torch.zeros(4, 6)), torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    optimizer = lab_optimizer("muon", {"lr": 0.05, "weight_decay": 0.0})([{"params": [weight], "hidden": [True]}])
    for _ in range(300):
        weight.grad = weight.detach() - target
        optimizer.step()
    assert (weight - target).norm() < 0.1 * target.norm()


def test_muon_under_a_rate_per_depth_goes_on_with_the_same_bits(tmp_path):
    recipe = SMALL.changed(optimizer="muon", depth_decay=0.5, **{"model.depth": 3}, average="ema")
    whole, session, again = trained(recipe)[0], Training(recipe, device="cpu"), Training(recipe, device="cpu")
    next(event for event in session if isinstance(event, Step) and event.step == 5)
    again.restore(session.state())
    list(again)
    assert same_history(again, whole)
    assert same_weights(again, whole)


@pytest.mark.parametrize(("steps", "near"), [(1, 0.02), (10, 0.02)])
def test_muon_is_torchs_up_to_bfloat16(steps, near):
    ours, theirs = network(), network()
    kernel, matrix = theirs[1].weight, theirs[3].weight
    flat = nn.Parameter(kernel.detach().flatten(1))
    twin = torch.optim.Muon([flat, matrix], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    optimizer = lab_optimizer("muon", {"lr": 0.01, "weight_decay": 0.1})(parameter_groups(ours))
    hidden = [ours[1].weight, ours[3].weight]
    optimizer.param_groups[0]["params"], optimizer.param_groups[1]["params"] = hidden, []
    before = [parameter.detach().clone() for parameter in (flat, matrix)]
    stepped(optimizer, hidden, steps)
    stepped(twin, [flat, matrix], steps)
    for mine, other, start in zip(hidden, (flat, matrix), before, strict=True):
        assert (mine.flatten(1) - other).norm() < near * (other - start).norm()


# -- the batch --------------------------------------------------------------------------------------------------------


def test_batch_gradient_descent_takes_one_step_an_epoch_along_the_gradient_of_the_whole_split():
    recipe = SMALL.changed(optimizer={"name": "batch_gd", "lr": 0.1}, precision="float64", batch_size=7)
    session = Training(recipe, device="cpu")
    split, before = session.train_split, [p.detach().clone() for p in session.model.parameters()]
    loss = nn.functional.cross_entropy(session.model(session.prepare(split.images)), split.labels)
    gradients = torch.autograd.grad(loss, list(session.model.parameters()))
    next(event for event in session if isinstance(event, Step))
    for parameter, start, gradient in zip(session.model.parameters(), before, gradients, strict=True):
        torch.testing.assert_close(parameter.detach(), start - 0.1 * gradient, rtol=0, atol=1e-12)
    list(session)
    assert session.step == recipe.epochs
    assert len(session.history.loss) == recipe.epochs


def test_stochastic_gradient_descent_takes_a_step_for_every_image():
    session, _ = trained(SMALL.changed(optimizer="stochastic_gd", epochs=2))
    assert session.step == 2 * len(session.train_split)
    assert set(session.history.accuracy) <= {0.0, 1.0}
    assert session.images_seen == session.step


@pytest.mark.parametrize("average", ["nothing", "ema"])
def test_single_numbers_leave_batch_normalisation_as_it_began(average):
    few = [{"name": "subset", "per_class": 1}]
    recipe = SMALL.changed(optimizer="stochastic_gd", modify=few, average=average, **{"model.norm": "batch"}, epochs=1)
    session, events = trained(recipe)
    norms = {name for name, layer in session.model.named_modules() if isinstance(layer, nn.BatchNorm2d)}
    assert norms
    assert events[-1].status != "diverged"
    for name in norms:
        assert session.weights()[f"{name}.running_mean"].eq(0).all()
        assert session.weights()[f"{name}.running_var"].eq(1).all()


@pytest.mark.parametrize("size", [7, 50])
def test_mini_batch_gradient_descent_has_the_recipes_batches(size):
    ours, _ = trained(SMALL.changed(optimizer="mini_batch_gd", batch_size=size))
    sgd, _ = trained(SMALL.changed(optimizer="sgd", batch_size=size))
    assert same_history(ours, sgd)
    assert same_weights(ours, sgd)


# -- in training ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", optimizers)
def test_every_optimizer_goes_on_from_the_middle_with_the_same_bits(name, precision, tmp_path):
    ramped = {"schedule": "cosine", "warmup": 0.2}
    recipe = SMALL.changed(optimizer=name, model=TINY_CNN, precision=precision, **ramped, epochs=2)
    whole, _ = trained(recipe)
    session = Training(recipe, device="cpu")
    next(event for event in session if isinstance(event, Step) and event.step == session.steps // 2)
    (tmp_path / "state").write_bytes(encode_state(session.state()))
    again = Training(recipe, device="cpu")
    again.restore(decode_state(tmp_path / "state"))
    list(again)
    assert same_history(again, whole)
    assert same_weights(again, whole)
    assert again.other_weights().keys() == whole.other_weights().keys()
    for key, tensor in whole.weights().items():
        assert torch.equal(again.weights()[key], tensor), key


DECAYED = [name for name, choice in optimizers.items() if "weight_decay" in choice.model_fields]


@pytest.mark.parametrize("name", DECAYED)
def test_no_optimizer_decays_biases_and_norms(name):
    parts = {}
    for decay in (0.0, 0.5):
        torch.manual_seed(0)
        layers = [nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2)]
        model = nn.Sequential(*layers)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1)
        optimizer = lab_optimizer(name, {"weight_decay": decay})(parameter_groups(model))
        stepped(optimizer, list(model.parameters()), 2)
        parts[decay] = {key: parameter.detach() for key, parameter in model.named_parameters()}
    for key, plain in parts[0.0].items():
        assert torch.equal(parts[0.5][key], plain) == (plain.ndim == 1), key


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_weight_decay_pulls_matrices_and_leaves_biases_and_norms_alone(name):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = lab_optimizer(name, {"lr": 0.5, "weight_decay": 0.1})(parameter_groups(model))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for key, parameter in model.named_parameters():
        factor = 1 - 0.5 * 0.1 if key == "0.weight" else 1.0
        torch.testing.assert_close(parameter.detach(), factor * before[key], rtol=1e-6, atol=0)


def test_frozen_parameters_are_not_handed_to_the_optimizer():
    model = nn.Linear(3, 4)
    model.weight.requires_grad_(False)
    assert [group["params"] for group in parameter_groups(model)] == [[], [model.bias]]
