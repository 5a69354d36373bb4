"""A stack gives each of its arms the numbers that the arm has alone."""

import math
import re
from dataclasses import astuple, replace
from functools import cache, partial

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from small_networks import (
    attending,
    averaged,
    convolved,
    dropped,
    half_frozen,
    hooked,
    idle,
    normed,
    recurrent,
    reused,
    tied,
)
from small_runs import (
    EXACT,
    NEAR,
    SMALL,
    TINY_CNN,
    first_batch,
    loop,
    pictures_in,
    read_every,
    same_history,
    same_weights,
    small_model,
    trained,
)
from strategies import any_spec, keeps_the_rules, small_recipes

from lab.activations import activations
from lab.catalogue import knob_of, options_of
from lab.events import Epoch, Finished, History, Looking, Metrics, Started, Step
from lab.many import groups, pays, train_many
from lab.models import models
from lab.optimizers import BATCH, optimizers
from lab.recipe import CATALOGUES
from lab.stacks import ALIKE, Stack
from lab.stacks.misfit import draws
from lab.stacks.rows import Rows
from lab.training import Training
from lab.transfer import sources, transfers
from lab.used_weights import uses_other_weights

QUICK = EXACT.changed(batch_size=20)  # three steps an epoch
WILD = {"optimizer.lr": 1e200, "optimizer": "sgd"}
SINGLE = SMALL.changed(model={"name": "mlp", "width": 8})  # in float32
WATCHES = "A recipe whose schedule or patience watches the validation trains alone, not in a stack."
AVERAGES = "A recipe that is evaluated with an average of its weights (ema) trains alone, not in a stack."
OTHER_WEIGHTS = (
    "A recipe whose optimizer ({}) is evaluated with other weights than it steps trains alone, not in a stack."
)
ALONE = [name for name in optimizers if uses_other_weights(optimizers.parse(name))]
OF_ONE_BATCH = [name for name in optimizers if name not in (*ALONE, *BATCH)]
BLOCKS = pytest.mark.parametrize("block_seconds", [0, 1e9])

pytestmark = pytest.mark.usefixtures("one_block_an_epoch", "own_options")


def stacked(recipes, **where):
    stack = Stack(recipes, **{"device": "cpu", **where})
    return stack, list(stack)


def of_arm(told, index, *kinds):
    return [event for arm, event in told if arm == index and isinstance(event, kinds)]


def numbers(epoch):
    """Without the clock; the accuracy of logits that are not numbers means nothing."""
    known = {} if math.isfinite(epoch.validation_loss) else {"validation_accuracy": 0}
    *columns, also = astuple(replace(epoch, seconds=0, **known))
    return [*columns, *also.values()]


def assert_near(session, alone, tolerance=NEAR):
    """The same history and, unless it diverged (the rest of its block is noise), the same weights and statistics.

    A bias of an attention's keys moves every score of a softmax alike: its gradient is rounding, which Adam scales up.
    """
    near = partial(np.testing.assert_allclose, rtol=tolerance, atol=tolerance)
    for series in ("loss", "accuracy", "lr"):
        near(getattr(session.history, series), getattr(alone.history, series), err_msg=series)
    near(*([numbers(epoch) for epoch in each.history.epochs] for each in (session, alone)))
    if not alone.history.diverged:
        weights = session.model.state_dict()
        for name, expected in alone.model.state_dict().items():
            if name.endswith("key.bias"):
                continue
            torch.testing.assert_close(weights[name], expected, rtol=tolerance, atol=tolerance, msg=name)


def assert_as_alone(recipes, tolerance=NEAR):
    stack, told = stacked(recipes)
    for index, recipe in enumerate(recipes):
        alone, events = trained(recipe)
        assert_near(stack.arms[index], alone, tolerance)
        assert of_arm(told, index, Finished) == [events[-1]]
    return stack


def moved(kind, name):
    """An option with every setting away from its default: sliders stand at a third, switches the other way."""
    spec = {"name": name}
    for key, field in CATALOGUES[kind][name].model_fields.items():
        knob, default = knob_of(field), field.default
        if knob:
            low, high = (math.log(knob.low), math.log(knob.high)) if knob.log else (knob.low, knob.high)
            third = low + (high - low) / 3
            spec[key] = field.annotation(math.exp(third) if knob.log else third)
        elif key != "name":
            spec[key] = not default if isinstance(default, bool) else (options_of(field) or [default])[-1]
    return spec if keeps_the_rules(CATALOGUES[kind], spec) else {"name": name}


# -- every option -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in ("optimizer", "schedule", "augment", "init")
        for name in CATALOGUES[kind]
        if name not in (*ALONE, "pretrained")
        and not EXACT.changed(**{kind: name}).watches_validation  # refused, see below
    ],
)
def test_arms_with_any_option_have_the_numbers_they_have_alone(kind, name):
    usual, other = {kind: name}, {kind: moved(kind, name)}
    assert_as_alone(
        [
            EXACT.changed(**usual),
            EXACT.changed(**other),
            EXACT.changed(**other, seed=8, label_smoothing=0.1),
            EXACT.changed(**usual, epochs=2, clip_norm=0.5),
            EXACT.changed(**usual) if name in BATCH else EXACT,
        ]
    )


@pytest.mark.parametrize("model", [EXACT.model, TINY_CNN], ids=["mlp", "cnn"])
def test_arms_with_ramps_and_a_rate_per_depth_have_the_numbers_they_have_alone(model):
    recipe = EXACT.changed(model=model, schedule="cosine", warmup=0.2, cooldown=0.3, depth_decay=0.5)
    adamw = {"name": "adamw", "weight_decay": 0.1}
    stack = assert_as_alone(
        [
            recipe.changed(optimizer={"name": "sgd", "momentum": 0.9, "weight_decay": 0.1}, warmup=0),
            recipe.changed(optimizer=adamw, depth_decay=0.9, clip_norm=0.5),
            recipe.changed(optimizer=adamw, depth_decay=1, seed=8),
            recipe.changed(cooldown=0, epochs=2),
        ]
    )
    assert stack.rows.ruled == len(stack.arms)  # a rate per depth costs no arm its place in the matrix


@pytest.mark.parametrize("model", [EXACT.model, TINY_CNN], ids=["mlp", "cnn"])
@pytest.mark.parametrize("name", activations)
def test_stacks_with_any_activation_have_the_numbers_of_arms_alone(name, model):
    recipe = EXACT.changed(activation=moved("activation", name), model=model, epochs=1)
    assert_as_alone([recipe, recipe.changed(optimizer="adam"), recipe.changed(seed=8), recipe.changed(clip_norm=0.1)])


OF_VECTORS = [{"name": "rnn", "norm": "layer"}, {"name": "transformer", "norm": "rms", "norm_place": "after"}]


@pytest.mark.parametrize("spec", [*models, *OF_VECTORS], ids=str)
def test_stacks_of_any_model_have_the_numbers_of_arms_alone(spec):
    settings = {"name": spec} if isinstance(spec, str) else spec
    recipe = EXACT.changed(model=small_model(settings["name"]) | settings, batch_size=25, epochs=1)
    if draws(Training(recipe, device="cpu")):
        pytest.skip(f"{spec} draws random numbers: it trains in turn")
    adam = {"name": "adam", "eps": 1e-3}  # with 1e-8 gradients that are rounding alone would move weights
    recipes = [recipe, recipe.changed(optimizer=adam, seed=8, augment="crop")]
    assert_as_alone(recipes, tolerance=1e-9)  # fifty layers with batch norms: 3e-11 were measured


def test_what_another_thread_draws_meanwhile_is_not_the_networks(monkeypatch):
    session = Training(EXACT, device="cpu")
    forward, calls = type(session.model).forward, []

    def disturbed(model, images):
        calls.append(torch.rand(1) if not calls else None)  # once, as a thread that makes weights would
        return forward(model, images)

    monkeypatch.setattr(type(session.model), "forward", disturbed)
    assert not draws(session)
    assert len(calls) == 2


@pytest.mark.parametrize("model", [EXACT.model, TINY_CNN], ids=["mlp", "cnn"])
def test_one_stack_holds_all_optimizers_at_once(model):
    specs = [spec for name in reversed(OF_ONE_BATCH) for spec in (moved("optimizer", name), name)]
    recipes = [
        EXACT.changed(model=model, optimizer=spec, epochs=1 + number % 2, seed=number % 3, clip_norm=number % 4)
        for number, spec in enumerate(specs)
    ]
    assert_as_alone(recipes)


def add_optimizers_of_other_kinds():
    """Optimizers with a rate for each group, and of one kind by a setting of another."""

    @optimizers.add
    def slow_biases(params, *, lr: float = 0.1):
        """SGD with a tenth of the rate for biases. Source: this test."""
        return torch.optim.SGD([params[0], {**params[1], "lr": lr / 10}], lr=lr)

    @optimizers.add
    def decoupled(params, *, lr: float = 0.01):
        """Adam that is AdamW by a setting. Source: this test."""
        return torch.optim.Adam(params, lr=lr, weight_decay=0.1, decoupled_weight_decay=True)


def test_optimizers_of_other_kinds_step_their_own_rows():
    add_optimizers_of_other_kinds()
    recipe = EXACT.changed(schedule="cosine", warmup=0.2)
    changes = [
        {"optimizer": "nadam", "clip_norm": 0.5},
        {"optimizer": "adam"},
        {"optimizer": {"name": "adagrad", "lr": 0.05, "weight_decay": 0.01}, "epochs": 2},
        {"optimizer": "slow_biases", "seed": 8},
        {"optimizer": "decoupled"},
        {"optimizer": {"name": "sgd", "momentum": 0.9}, "epochs": 1},
    ]
    assert_as_alone([recipe.changed(**change) for change in changes])


# -- networks of a person's own ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [normed, convolved, half_frozen, reused, tied, hooked, idle])
def test_networks_of_a_persons_own_have_the_numbers_they_have_alone(network):
    models.add(network)
    recipe = EXACT.changed(model=network.__name__, optimizer={"name": "sgd", "momentum": 0.9, "weight_decay": 0.1})
    adam = {"name": "adam", "lr": 0.01, "eps": 1e-3}  # with 1e-8 gradients that are rounding alone would move weights
    assert_as_alone([recipe, recipe.changed(seed=8), recipe.changed(optimizer=adam), recipe.changed(epochs=1)])


def test_batch_statistics_move_in_a_stack():
    models.add(normed)
    stack, _ = stacked([EXACT.changed(model="normed", seed=seed) for seed in (1, 2)])
    assert all(arm.model[2].num_batches_tracked == arm.steps for arm in stack.arms)
    assert not torch.equal(*(arm.model[2].running_mean for arm in stack.arms))


@pytest.mark.parametrize("network", [convolved, half_frozen])
def test_frozen_parameters_never_move(network):
    models.add(network)
    recipes = [EXACT.changed(model=network.__name__, seed=seed) for seed in (1, 2)]
    stack, _ = stacked(recipes)
    for arm, recipe in zip(stack.arms, recipes, strict=True):
        before = Training(recipe, device="cpu").model.state_dict()
        for name, parameter in arm.model.named_parameters():
            assert torch.equal(parameter, before[name]) != parameter.requires_grad, name


# -- rounding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [name for name in optimizers if name not in ALONE])
@pytest.mark.parametrize(
    ("precision", "model", "floor"),
    [
        # Largest differences measured between the first four losses, around 2.4: 2e-6 in float32; in bfloat16 6e-4
        # for matrices, and 0.02 for convolutions, where torch alone rounds the logits and a stack does not.
        ("float32", SINGLE.model, 5e-6),
        ("float32", TINY_CNN, 5e-6),
        ("bfloat16", SINGLE.model, 0.01),
        ("bfloat16", TINY_CNN, 0.1),
    ],
    ids=["float32-mlp", "float32-cnn", "bfloat16-mlp", "bfloat16-cnn"],
)
def test_lower_precisions_agree_to_their_noise(optimizer, precision, model, floor):
    recipe = SINGLE.changed(precision=precision, model=model, optimizer=optimizer, epochs=1)
    recipes = [recipe.changed(seed=seed) for seed in range(4)]
    stack, _ = stacked(recipes)
    for arm, recipe in zip(stack.arms, recipes, strict=True):
        assert arm.history.loss[:4] == pytest.approx(trained(recipe)[0].history.loss[:4], rel=0, abs=floor)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop"])
def test_second_moments_in_float32_are_torchs(optimizer):
    # 1 - float32(0.999) is 5e-5 off: moments, and every step of Adam, would be too.
    recipe, slot = SINGLE.changed(optimizer=optimizer), "square_avg" if optimizer == "rmsprop" else "exp_avg_sq"
    stack, alone = Stack([recipe, SINGLE], device="cpu"), Training(recipe, device="cpu")
    next(event for _, event in stack if isinstance(event, Step))
    next(event for event in alone if isinstance(event, Step))
    ours, theirs = (session.state().tensors[f"optimizer.0.{slot}"] for session in (stack.arms[0], alone))
    assert (ours - theirs).norm() < 1e-6 * theirs.norm()


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float64"])
def test_accuracies_are_whole_images(precision):
    stack, _ = stacked([SINGLE.changed(seed=seed, precision=precision) for seed in (1, 2)])
    count = len(stack.arms[0].validation_split)
    for epoch in stack.arms[0].history.epochs + stack.arms[1].history.epochs:
        assert epoch.validation_accuracy == round(epoch.validation_accuracy * count) / count


# -- arms that leave --------------------------------------------------------------------------------------------------


def leaving(wild_at, **change):
    """Two arms that go on beside one that explodes, or not, and leaves after its first epoch."""
    adam = {"optimizer": "adam", "seed": 8, "epochs": 2, "augment": "crop"}
    neighbours = [SINGLE.changed(augment="crop"), SINGLE.changed(**adam)]
    neighbours.insert(wild_at, SINGLE.changed(epochs=1, augment="crop", **change))
    return neighbours


@BLOCKS
@pytest.mark.parametrize("model", [SINGLE.model, TINY_CNN], ids=["mlp", "cnn"])
@pytest.mark.parametrize("wild_at", [0, 1, 2])
def test_a_divergence_does_not_reach_the_bits_of_its_neighbours(wild_at, model, block_seconds, monkeypatch):
    read_every(block_seconds, monkeypatch)
    stacks = []
    for rate in (1e30, 1e-3):
        recipes = leaving(wild_at, **{"optimizer.lr": rate})
        stack, told = stacked([recipe.changed(model=model) for recipe in recipes])
        assert (of_arm(told, wild_at, Finished)[0].status == "diverged") == (rate > 1)
        stacks.append(stack)
    for index in {0, 1, 2} - {wild_at}:
        beside_wild, beside_tame = (stack.arms[index] for stack in stacks)
        assert same_history(beside_wild, beside_tame)
        assert same_weights(beside_wild, beside_tame)


@BLOCKS
@pytest.mark.parametrize(
    "change",
    [
        WILD,
        {"optimizer": {"name": "adam", "lr": 1e300}},
        {"optimizer": {"name": "adagrad", "lr": 1e300}},
        {**WILD, "batch_size": 50},
        {**WILD, "model": TINY_CNN},
        {**WILD, "augment": "crop"},
        {**WILD, "label_smoothing": 0.1},
    ],
    ids=["sgd", "adam", "other", "seen by the validation", "cnn", "crop", "smoothed"],
)
def test_a_diverged_arm_ends_as_it_does_alone_and_the_others_go_on(change, block_seconds, monkeypatch):
    read_every(block_seconds, monkeypatch)
    add_optimizers_of_other_kinds()
    wild = EXACT.changed(**change)
    tame = wild.changed(**{"optimizer": "sgd", "optimizer.lr": 0.1})
    recipes = [
        wild,
        tame,  # with the same batches: the arm that draws them for both is gone
        wild.changed(seed=8),
        tame.changed(optimizer="adam", epochs=2),
        tame.changed(optimizer="adagrad", seed=8),
    ]
    stack = assert_as_alone(recipes)
    assert [arm.history.diverged or len(arm.history.epochs) < arm.recipe.epochs for arm in stack.arms] == [
        True,
        False,
        True,
        False,
        False,
    ]


def test_an_arm_that_left_no_longer_changes(monkeypatch):
    read_every(0, monkeypatch)
    add_optimizers_of_other_kinds()
    optimizers_there = ["sgd", "adam", "adagrad", {"name": "adam", "lr": 1e300}]  # the last leaves in mid-epoch
    stack = Stack([*(QUICK.changed(epochs=1, optimizer=each) for each in optimizers_there), QUICK], device="cpu")
    kept = {arm: stack.arms[arm].state() for arm, event in stack if isinstance(event, Finished)}
    assert [kept[arm].history.diverged for arm in range(5)] == [False, False, False, True, False]
    for arm, before in kept.items():
        after = stack.arms[arm].state()
        assert after.step == before.step
        for name, tensor in after.tensors.items():
            torch.testing.assert_close(tensor, before.tensors[name], rtol=0, atol=0, equal_nan=True)


# -- leaving and going on ---------------------------------------------------------------------------------------------


COMPANY = [
    QUICK.changed(**WILD),
    QUICK.changed(optimizer="adam", epochs=2),
    QUICK.changed(seed=8, epochs=1),
    QUICK.changed(augment="crop", optimizer={"name": "sgd", "momentum": 0.9}),
]


@cache
def company_alone():
    return [trained(recipe) for recipe in COMPANY]


def until(events, count):
    return [event for _, event in zip(range(count), events, strict=False)]


@BLOCKS
def test_a_stack_that_is_left_at_any_event_goes_on(block_seconds, monkeypatch):
    read_every(block_seconds, monkeypatch)
    _, whole = stacked(COMPANY)
    for count in range(1, len(whole)):
        stack = Stack(COMPANY, device="cpu")
        told = [*until(stack, count), *stack]
        for index, (alone, events) in enumerate(company_alone()):
            assert_near(stack.arms[index], alone)
            assert of_arm(told, index, Finished)[-1] == events[-1]
            history = History()
            for event in of_arm(told, index, Metrics, Epoch):
                history.add(event)
            assert repr(history) == repr(stack.arms[index].history), f"left after {count} events"


@BLOCKS
def test_the_state_of_an_arm_at_any_event_goes_on_alone(block_seconds, monkeypatch):
    read_every(block_seconds, monkeypatch)
    stack, told = Stack(COMPANY, device="cpu"), []
    for arm, event in stack:
        told.append((arm, event))
        for index, (alone, events) in enumerate(company_alone()):
            session = Training(COMPANY[index], device="cpu")
            session.restore(stack.arms[index].state())
            assert list(session)[-1] == events[-1]
            assert_near(session, alone)
    for index, (alone, events) in enumerate(company_alone()):
        assert_near(stack.arms[index], alone)
        assert of_arm(told, index, Finished) == [events[-1]]


@pytest.mark.parametrize(
    ("kind", "step"),
    [(Started, 0), (Step, 1), (Step, 3), (Looking, 3), (Epoch, 3), (Step, 4), (Epoch, 6), (Looking, 9), (Epoch, 9)],
)
def test_states_of_trainings_alone_go_on_in_a_stack(kind, step):
    stack = Stack(COMPANY, device="cpu")
    for arm, recipe in zip(stack.arms, COMPANY, strict=True):
        session = Training(recipe, device="cpu")
        for event in session:  # to its end, when it ends earlier
            if isinstance(event, kind) and event.step == step:
                break
        arm.restore(session.state())
    told = list(stack)
    for index, (alone, events) in enumerate(company_alone()):
        assert_near(stack.arms[index], alone)
        assert of_arm(told, index, Finished) == [events[-1]]


def test_a_divergence_that_a_state_was_first_to_see_is_told():
    recipes, told = [QUICK.changed(**WILD, seed=seed) for seed in (1, 2)], []
    stack = Stack(recipes, device="cpu")
    for arm, event in stack:
        told.append((arm, event))
        if isinstance(event, Step):
            stack.arms[1].state()
    for index, recipe in enumerate(recipes):
        assert of_arm(told, index, Finished) == [trained(recipe)[1][-1]]


def test_arms_at_different_steps_are_refused():
    stack, ahead = Stack([QUICK, QUICK.changed(seed=8)], device="cpu"), Training(QUICK, device="cpu")
    next(event for event in ahead if isinstance(event, Step))
    stack.arms[0].restore(ahead.state())
    with pytest.raises(ValueError, match=r"^The arms of a stack must stand at the same step\.$"):
        list(stack)


def breaks_at(step, error, monkeypatch):
    """The update of a stack fails once, after batches were drawn and statistics moved."""
    calls, update = [], Rows.step

    def fragile(self, gradients, rates):
        calls.append(None)
        if len(calls) == step:
            raise error
        update(self, gradients, rates)

    monkeypatch.setattr(Rows, "step", fragile)


@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError("CUDA out of memory")])
def test_too_little_memory_is_a_result_for_every_arm_that_is_there(error, monkeypatch):
    breaks_at(5, error, monkeypatch)
    stack, told = stacked([QUICK, QUICK.changed(epochs=1), QUICK.changed(seed=8)])
    detail = "Not enough memory on cpu: try a smaller batch_size or model."
    assert of_arm(told, 1, Finished)[0].status in ("finished", "stuck")
    for index in (0, 2):
        assert of_arm(told, index, Finished) == [Finished("out_of_memory", 4, detail)]
        assert len(stack.arms[index].history.loss) == 4  # nothing that was measured is lost
        assert not stack.arms[index].between_steps  # its state is no whole one


def test_too_little_memory_to_begin_with_is_a_result(monkeypatch):
    monkeypatch.setattr(Rows, "__init__", lambda *_: (_ for _ in ()).throw(MemoryError))
    stack, told = stacked([QUICK, QUICK.changed(seed=8)])
    assert [of_arm(told, index, Finished)[0].status for index in (0, 1)] == ["out_of_memory"] * 2
    assert stack.arms[1].state().step == 0


def test_other_errors_are_not_taken_for_a_lack_of_memory(monkeypatch):
    breaks_at(2, RuntimeError("no such thing"), monkeypatch)
    with pytest.raises(RuntimeError, match="no such thing"):
        stacked([QUICK, QUICK])


# -- batches, events, seconds -----------------------------------------------------------------------------------------


def test_arms_with_one_seed_see_the_same_batches(monkeypatch):
    seen, step = [], Stack._step
    monkeypatch.setattr(Stack, "_step", lambda self, *given: (seen.append(given[1]), step(self, *given))[1])
    stack, _ = stacked([QUICK, QUICK.changed(optimizer="adam"), QUICK.changed(augment="crop"), QUICK.changed(seed=8)])
    by_arm = dict(zip(stack._row_of, torch.cat(seen, 1), strict=True))
    assert torch.equal(by_arm[0], by_arm[1])
    assert torch.equal(by_arm[0], by_arm[2])
    assert not torch.equal(by_arm[0], by_arm[3])
    for arm in (0, 3):
        assert torch.equal(by_arm[arm][:20], stack.arms[arm].train_split.labels[first_batch(stack.arms[arm], 20)])


def test_arms_with_one_seed_begin_with_the_same_loss():
    stack, _ = stacked([SINGLE, SINGLE.changed(optimizer="adam"), SINGLE.changed(**{"optimizer.lr": 0.5})])
    first, *others = (arm.history.loss for arm in stack.arms)
    assert {loss[0] for loss in others} == {first[0]}
    assert all(loss[1:] != first[1:] for loss in others)


@BLOCKS
def test_each_arm_hears_of_itself_in_order(block_seconds, monkeypatch):
    read_every(block_seconds, monkeypatch)
    stack, told = stacked(COMPANY)
    assert [event.step for _, event in told if isinstance(event, Step)] == list(range(1, 10))
    for index, arm in enumerate(stack.arms):
        first, *rest = of_arm(told, index, Started, Metrics, Epoch, Finished)
        assert first == Training(COMPANY[index], device="cpu").started()
        assert isinstance(rest[-1], Finished)
        history = History()
        for event in rest:
            if isinstance(event, Metrics):
                assert event.first_step == len(history.loss)
            history.add(event)
        assert repr(history) == repr(arm.history)


def test_seconds_are_equal_shares_of_the_loop_and_not_of_the_one_who_watches(monkeypatch):
    now, step = [0.0], Stack._step

    def slow(self, *given):
        now[0] += 1
        step(self, *given)

    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(Stack, "_step", slow)
    stack = Stack([QUICK.changed(epochs=1), QUICK.changed(epochs=2)], device="cpu")
    for _ in stack:
        now[0] += 1000
    assert [arm.seconds for arm in stack.arms] == [1.5, 4.5]  # three steps shared, three alone


# -- which recipes ----------------------------------------------------------------------------------------------------


def another(*_):
    """A second option where there is only one. Source: this test."""


def other_value(field):
    values = {
        "modify": (),
        "gradient": ("l1",),
        "batch_size": 9,
        "precision": "float32",
        "source": "another",
        "transfer": "another",
    }
    used = getattr(EXACT, field)
    return values[field] if field in values else next(name for name in CATALOGUES[field] if name != used.name)


@pytest.mark.parametrize("field", ALIKE)
def test_arms_that_differ_in_what_must_be_alike_are_refused(field):
    sources.add(another)
    transfers.add(another)
    with pytest.raises(ValueError, match=rf"^The arms of a stack must have the same {field}\.$"):
        Stack([EXACT, EXACT.changed(**{field: other_value(field)})], device="cpu")


OBJECTIVE = "A recipe whose objective (dann) is not supervised trains alone, not in a stack."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schedule": "on_plateau"}, WATCHES),
        ({"patience": 3}, WATCHES),
        ({"gradient": ["l1"]}, "A recipe that changes its gradient (l1) trains alone, not in a stack."),
        ({"average": "ema"}, AVERAGES),
        ({"objective": "dann"}, OBJECTIVE),
        (
            {"modify": [*EXACT.modify, "new_domain"]},
            "A recipe that is judged in two domains trains alone, not in a stack.",
        ),
        *(({"optimizer": name}, OTHER_WEIGHTS.format(name)) for name in ALONE),
    ],
    ids=str,
)
def test_recipes_that_a_stack_would_get_wrong_are_refused_and_train_in_turn(change, said):
    recipes = [EXACT.changed(**change, seed=seed) for seed in (1, 2)]
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        Stack(recipes, device="cpu")
    assert not pays(Training(recipes[0], device="cpu"))
    for run in train_many(recipes, device="cpu"):
        alone, _ = trained(run.recipe)
        assert same_history(run, alone)
        assert all(torch.equal(tensor, alone.weights()[name]) for name, tensor in run.weights.items())


@pytest.mark.parametrize("name", BATCH)
def test_optimizers_that_set_the_batch_stand_in_stacks_of_their_own(name):
    recipes = [EXACT, EXACT.changed(optimizer=name), EXACT.changed(seed=8), EXACT.changed(optimizer=name, seed=8)]
    assert groups(recipes) == [[0, 2], [1, 3]]
    with pytest.raises(ValueError, match=r"^The arms of a stack must have the same batch_size: an optimizer sets its"):
        Stack(recipes, device="cpu")


def test_what_trains_alone_is_not_grouped_with_what_stacks():
    recipes = [EXACT.changed(optimizer=name) for name in ("sgd", ALONE[0], "muon")]
    recipes += [EXACT.changed(patience=patience) for patience in (1, 2)]
    assert groups(recipes) == [[0, 2], [1], [3, 4]]


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (dropped, "dropped draws random numbers in training: the arms of a stack would share them."),
        (recurrent, "torch cannot vectorise recurrent: train its recipes in turn."),
        (averaged, "torch cannot vectorise averaged: train its recipes in turn."),
        (attending, "torch cannot vectorise attending: train its recipes in turn."),
    ],
)
def test_a_network_that_cannot_be_stacked_is_refused_in_words(network, why):
    models.add(network)
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        Stack([EXACT.changed(model=network.__name__)] * 2, device="cpu")


def test_streamed_data_is_refused_in_words(tmp_path):
    recipe = pictures_in(tmp_path)
    Stack([recipe, recipe], device="cpu")
    with pytest.raises(ValueError, match=r"^The data of a stack must lie on its device; these images are streamed\.$"):
        Stack([recipe, recipe], device="cpu", data_budget_bytes=0)


# Lion makes a whole step of the sign of any gradient, of one that is rounding alone too (a key's bias).
STEADY = [name for name in OF_ONE_BATCH if name != "lion"]
STACKABLE = {
    "precision": st.just("float64"),
    "init": st.just("he_normal"),
    "patience": st.just(0),
    "optimizer": any_spec("optimizer", usual=True).filter(lambda spec: spec["name"] in STEADY),
    "gradient": st.just(()),
    "average": st.just("nothing"),
    "transfer": st.sampled_from(["scratch", "whole", "head"]),
    "objective": st.just("supervised"),
}


def not_watching(recipe):
    return not recipe.watches_validation


@st.composite
def companies(draw):
    """Small recipes that may share a stack, in float64 and with rates at which rounding stays rounding."""
    drawn = draw(st.lists(small_recipes(**STACKABLE).filter(not_watching), min_size=2, max_size=3))
    alike = {field: getattr(drawn[0], field) for field in ALIKE}
    return [recipe.changed(**alike, **{"optimizer.lr": min(recipe.optimizer.lr, 0.05)}) for recipe in drawn]


@settings(
    max_examples=15,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # what the fixtures set holds for every example
)
@given(companies())
def test_any_recipes_that_may_share_a_stack_have_the_numbers_they_have_alone(recipes):
    assert_as_alone(recipes, tolerance=1e-9)


def test_one_arm_is_a_stack_too():
    assert_as_alone([EXACT.changed(augment=["flip", "crop"], clip_norm=1)])
