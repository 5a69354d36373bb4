"""Many recipes at once: whichever way each is trained, its numbers are those it has alone."""

import math
import shutil
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_networks import attending, averaged, dropped, layered, recurrent
from small_runs import (
    EXACT,
    NEAR,
    SMALL,
    TINY_CNN,
    loop,
    pictures_in,
    read_every,
    same_history,
    same_weights,
    trained,
)
from torch import nn

import lab
from lab.events import Finished, Metrics, Started, Step
from lab.many import Many, groups, pays, train_many
from lab.models import models
from lab.stacks import Stack, room
from lab.stacks.misfit import draws
from lab.stacks.room import ARMS
from lab.stacks.rows import Rows
from lab.steps import EVALUATION_BATCH
from lab.store import Recorder
from lab.training import Training

CONVOLVED = SMALL.changed(precision="float64", model=TINY_CNN, epochs=2)
MIXTURE = [
    CONVOLVED,
    EXACT,
    EXACT.changed(batch_size=20),  # alone in its group
    EXACT.changed(optimizer="adam"),
    CONVOLVED.changed(seed=8),
    EXACT.changed(seed=8, **{"optimizer.lr": 0.01}),
    CONVOLVED.changed(**{"optimizer.lr": 1e200}),  # ends first
]
STACKED, IN_TURN = (1, 3, 5), (0, 2, 4, 6)
many_on_cpu = partial(Many, device="cpu")

pytestmark = pytest.mark.usefixtures("one_block_an_epoch", "own_options")


@pytest.fixture
def stacks(monkeypatch):
    """How many arms the stacks of a test had."""
    sizes, make = [], Stack.__init__

    def counted(self, recipes, **where):
        sizes.append(len(recipes))
        make(self, recipes, **where)

    monkeypatch.setattr(Stack, "__init__", counted)
    return sizes


def assert_as_alone(run):
    """A run has the numbers and the ending that its recipe has alone."""
    alone, events = trained(run.recipe)
    assert (run.status, run.step, run.detail) == (events[-1].status, events[-1].step, events[-1].detail)
    for series in ("loss", "accuracy", "lr"):
        np.testing.assert_allclose(getattr(run.history, series), getattr(alone.history, series), rtol=NEAR, atol=NEAR)
    validation = ([epoch.validation_loss for epoch in each.history.epochs] for each in (run, alone))
    np.testing.assert_allclose(*validation, rtol=NEAR, atol=NEAR)
    if run.status != "diverged":
        for name, expected in alone.model.state_dict().items():
            torch.testing.assert_close(run.weights[name], expected, rtol=NEAR, atol=NEAR)


# -- numbers ----------------------------------------------------------------------------------------------------------


def test_a_mixture_has_the_numbers_it_has_alone_in_the_order_it_was_given(stacks):
    runs = train_many(MIXTURE, device="cpu")
    assert stacks == [3]
    assert [run.recipe for run in runs] == MIXTURE
    for run in runs:
        assert_as_alone(run)


def test_what_trains_in_turn_has_the_very_bits_it_has_alone():
    runs = train_many([MIXTURE[index].changed(precision="float32") for index in IN_TURN], device="cpu")
    for run in runs:
        alone, _ = trained(run.recipe)
        assert same_history(run, alone)
        assert same_weights(run, alone)


def test_more_recipes_than_a_stack_holds_are_trained_in_several(stacks, monkeypatch):
    monkeypatch.setitem(ARMS, "cpu", 2)
    runs = train_many([EXACT.changed(seed=seed) for seed in range(5)], device="cpu")
    assert stacks == [2, 2, 1]
    for seed, run in enumerate(runs):
        assert run.recipe.seed == seed
        assert_as_alone(run)


def test_more_recipes_than_are_held_at_once_train_in_turn(monkeypatch):
    monkeypatch.setattr("lab.stacks.room.IN_TURN", 2)
    for run in train_many([CONVOLVED.changed(seed=seed) for seed in range(3)], device="cpu"):
        assert_as_alone(run)


def test_nothing_to_train_is_nothing():
    assert train_many([]) == []


# -- networks that are not stacked ------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [dropped, recurrent, averaged, attending])
def test_a_network_that_cannot_be_stacked_trains_in_turn_with_the_very_bits_it_has_alone(network, stacks):
    models.add(network)
    recipe = SMALL.changed(model=network.__name__)
    runs = train_many([recipe, recipe.changed(optimizer="adam"), recipe.changed(seed=8)], device="cpu")
    assert stacks == []
    for run in runs:
        alone, events = trained(run.recipe)
        assert run.status == events[-1].status
        assert same_history(run, alone)
        assert same_weights(run, alone)


def test_what_draws_random_numbers_is_known_before_the_first_step():
    models.add(dropped)
    before = torch.get_rng_state()
    assert draws(Training(SMALL.changed(model="dropped"), device="cpu"))
    assert not draws(Training(SMALL, device="cpu"))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("model", "expected"), [("mlp", True), (TINY_CNN, False), ("layered", True)])
def test_a_stack_pays_for_dense_networks_and_small_ones_without_convolutions(model, expected):
    models.add(layered)
    session = Training(SMALL.changed(model=model), device="cpu")
    before = {name: tensor.clone() for name, tensor in session.model.state_dict().items()}
    assert pays(session) == expected
    assert all(torch.equal(tensor, before[name]) for name, tensor in session.model.state_dict().items())


def test_a_stack_does_not_pay_where_one_network_keeps_the_cpu_busy(monkeypatch):
    models.add(layered)
    monkeypatch.setattr("lab.many.MAPPED_FLOPS", 100)
    assert not pays(Training(SMALL.changed(model="layered"), device="cpu"))
    assert pays(Training(SMALL, device="cpu"))


def test_streamed_data_is_never_stacked(stacks, tmp_path):
    pictures = pictures_in(tmp_path)
    assert pays(Training(pictures, device="cpu"))
    assert not pays(Training(pictures, device="cpu", data_budget_bytes=0))
    recipes = [pictures, pictures.changed(seed=8)]
    for run in train_many(recipes, device="cpu", data_budget_bytes=0):
        assert_as_alone(run)
    assert stacks == []


def test_groups_are_what_could_share_a_stack():
    changes = [
        {},
        {"model": "cnn"},
        {"optimizer": "adam", "schedule": "cosine", "init": "xavier_normal", "augment": "flip"},
        {"batch_size": 9},
        {"seed": 9, "clip_norm": 1, "label_smoothing": 0.1},
        {"model": "cnn", "seed": 9},
        {"model.width": 9},
        {"activation": "tanh"},
        {"modify": []},
        {"precision": "float32"},
        {"model.width": 9, "optimizer.lr": 1},
    ]
    assert groups([EXACT.changed(**change) for change in changes]) == [
        [0, 2, 4],
        [1, 5],
        [3],
        [6, 10],
        [7],
        [8],
        [9],
    ]


# -- events, folders, leaving -----------------------------------------------------------------------------------------


def test_each_run_hears_of_itself_from_its_start_to_its_end():
    many = many_on_cpu(MIXTURE)
    told = list(many)
    for index, recipe in enumerate(MIXTURE):
        events = [event for place, event in told if place == index]
        assert isinstance(events[0], Started)
        assert events[0].recipe == recipe
        assert [event for event in events if isinstance(event, Finished)] == [events[-1]]
        losses = [loss for event in events if isinstance(event, Metrics) for loss in event.loss]
        assert repr(losses) == repr(many.runs[index].history.loss)


def test_each_run_is_handed_over_once_at_its_end():
    seen = []

    def handed(session):
        seen.append(session.recipe)
        return session.evaluate(session.validation_split)[0]

    many = many_on_cpu(MIXTURE, at_end=handed)
    list(many)
    assert sorted(recipe.id for recipe in seen) == sorted(recipe.id for recipe in MIXTURE)
    for index, recipe in enumerate(MIXTURE[:-1]):
        alone, _ = trained(recipe)
        expected = alone.evaluate(alone.validation_split)[0]
        assert many.results[index] == pytest.approx(expected, rel=NEAR)
        assert many.results[index] == pytest.approx(many.runs[index].history.epochs[-1].validation_loss, rel=NEAR)


def folders_in(root):
    return [root / str(index) for index in range(len(MIXTURE))]


def test_folders_hold_the_runs(tmp_path):
    for run in train_many(MIXTURE, folders=folders_in(tmp_path), device="cpu"):
        opened = lab.open_run(run.folder)
        assert opened.recipe == run.recipe
        assert (opened.status, opened.detail) == (run.status, run.detail)
        assert (opened.problems, opened.seconds) == ([], run.seconds)
        assert same_history(opened, run)
        assert same_weights(opened, run)
        assert not list(run.folder.glob("checkpoint*"))


def leave(events, index, step):
    """Go away when a run's history has come to a step."""
    for place, event in events:
        if place == index and isinstance(event, Metrics) and event.first_step + len(event.loss) >= step:
            return


@pytest.mark.parametrize("block_seconds", [0, 1e9])
@pytest.mark.parametrize("group", [STACKED, IN_TURN[::2]], ids=["stacked", "in turn"])
def test_what_is_left_early_is_resumed_to_the_numbers_it_has_alone(group, block_seconds, tmp_path, monkeypatch):
    read_every(block_seconds, monkeypatch)
    recipes, folders = [MIXTURE[index] for index in group], [tmp_path / str(index) for index in group]
    many = many_on_cpu(recipes, folders=folders)
    leave(many, index=1, step=9)
    assert many.runs == {}
    for folder in folders:
        left = lab.open_run(folder)
        assert (left.status, left.problems) == ("stopped", [])
        assert left.step > 0
        assert_as_alone(lab.resume(folder, progress=False, device="cpu"))


def test_leaving_keeps_what_has_ended_and_begins_nothing_new(tmp_path):
    many, folders = many_on_cpu(MIXTURE, folders=folders_in(tmp_path)), folders_in(tmp_path)
    for index, event in many:
        if index == 6 and isinstance(event, Finished):
            break
    assert list(many.runs) == [6]
    assert lab.open_run(folders[6]).status == "diverged"
    assert [lab.open_run(folders[index]).status for index in (0, 4)] == ["stopped", "stopped"]
    assert not any(folders[index].exists() for index in (1, 2, 3, 5))


def test_a_step_that_broke_in_the_middle_of_a_stack_is_made_again_on_resume(tmp_path, monkeypatch):
    @models.add
    def normed(shape, classes, activation):
        """Statistics that have moved before the update fails. Source: this test."""
        first = [nn.Linear(math.prod(shape), 8), nn.BatchNorm1d(8), activation()]
        return nn.Sequential(nn.Flatten(), *first, nn.Linear(8, classes))

    calls, update = [], Rows.step

    def fragile(self, gradients, rates):
        calls.append(None)
        if len(calls) % 10 == 0:  # in the stack, and again when each is tried alone
            raise MemoryError
        update(self, gradients, rates)

    monkeypatch.setattr(Rows, "step", fragile)
    recipe = EXACT.changed(model="normed", augment="crop", epochs=2)
    folders = [tmp_path / "0", tmp_path / "1"]
    runs = train_many([recipe, recipe.changed(seed=8)], folders=folders, device="cpu")
    assert [(run.status, run.step, len(run.history.loss)) for run in runs] == [("out_of_memory", 9, 9)] * 2
    for folder in folders:
        assert_as_alone(lab.resume(folder, progress=False, device="cpu"))


# -- memory -----------------------------------------------------------------------------------------------------------


def free(count, monkeypatch):
    """So many bytes are free on the CPU."""
    monkeypatch.setattr(room, "free_bytes", lambda device: count)


def test_a_stack_has_as_many_arms_as_fit(stacks, monkeypatch):
    session = Training(EXACT, device="cpu")
    parameters = 64 * 8 + 8 + 8 * 8 + 8 + 8 * 10 + 10
    outputs = 64 + 2 * (8 + 8) + 10 + 10  # flattened, twice linear and relu, the logits, and once more as the whole
    each = 8 * (
        6 * parameters + outputs * 2 * min(EVALUATION_BATCH, len(session.validation_split))
    )  # an evaluation makes more than a step of 8 images
    free(2 * 2.5 * each, monkeypatch)
    assert room.arms_that_fit(session) == 2
    assert room.arms_that_fit(session, share=0.2) == 1
    runs = train_many([EXACT.changed(seed=seed) for seed in range(3)], device="cpu")
    assert stacks == [2, 1]
    assert len(runs) == 3


def test_of_steps_and_evaluations_the_larger_one_counts():
    session = Training(EXACT, device="cpu")
    outputs, images = room.outputs_per_image(session), len(session.validation_split)
    assert room.bytes_of_backward(session) == 8 * outputs * 2 * min(EVALUATION_BATCH, images)
    larger = Training(EXACT.changed(batch_size=1000), device="cpu")
    assert room.bytes_of_backward(larger) == 8 * outputs * 4 * 1000


@pytest.mark.parametrize(
    ("limit", "taken", "left"),
    [
        ("1000\n", "300\n", 700),
        ("1000", "1200", 0),  # over it already
        ("max\n", "300\n", math.inf),
        ("", "300", math.inf),
        ("1000", None, math.inf),
        (None, None, math.inf),
    ],
)
def test_a_containers_limit_leaves_what_is_not_taken(limit, taken, left, tmp_path, monkeypatch):
    for name, text in (("memory.max", limit), ("memory.current", taken)):
        if text is not None:
            (tmp_path / name).write_text(text)
    assert room.container_bytes(tmp_path) == left


def test_free_on_a_cpu_is_what_both_the_machine_and_the_container_have_left(monkeypatch):
    for here, allowed in ((500, 700), (700, 500), (500, math.inf)):
        monkeypatch.setattr(room.psutil, "virtual_memory", lambda here=here: SimpleNamespace(available=here))
        monkeypatch.setattr(room, "container_bytes", lambda allowed=allowed: allowed)
        assert room.free_bytes(torch.device("cpu")) == 500


def test_what_torch_has_cached_on_a_gpu_is_free(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 70)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 50)
    assert room.free_bytes(torch.device("cuda")) == 120


def test_as_many_trainings_are_held_as_fit(monkeypatch):
    session = Training(CONVOLVED, device="cpu")
    parameters = sum(parameter.numel() for parameter in session.model.parameters())
    step = 8 * room.outputs_per_image(session) * 2 * min(EVALUATION_BATCH, len(session.validation_split))
    for count in (1, 3, room.IN_TURN):
        free(2 * (step + (count + 0.5) * 8 * room.KEPT_ALONE * parameters), monkeypatch)
        assert room.held_that_fit(session) == count
    free(0, monkeypatch)
    assert room.held_that_fit(session) == 1
    free(10**12, monkeypatch)
    assert room.held_that_fit(session) == room.IN_TURN


def test_a_stack_that_does_not_fit_after_all_is_trained_in_halves(stacks, tmp_path, monkeypatch):
    update = Rows.step

    def crowded(self, gradients, rates):
        if len(gradients) > 2:
            raise MemoryError
        update(self, gradients, rates)

    monkeypatch.setattr(Rows, "step", crowded)
    folders = [tmp_path / str(seed) for seed in range(5)]
    runs = train_many([EXACT.changed(seed=seed) for seed in range(5)], folders=folders, device="cpu")
    assert stacks == [5, 3, 2, 1, 2]
    for run, folder in zip(runs, folders, strict=True):
        assert_as_alone(run)
        assert (lab.open_run(folder).status, lab.open_run(folder).problems) == (run.status, [])


@pytest.mark.parametrize("trouble", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_a_stack_that_does_not_fit_while_it_is_set_up_is_made_in_halves(trouble, stacks, tmp_path, monkeypatch):
    make = Stack.__init__

    def crowded(self, recipes, **where):
        make(self, recipes, **where)
        if len(recipes) > 2:
            raise trouble

    monkeypatch.setattr(Stack, "__init__", crowded)
    folders = [tmp_path / str(seed) for seed in range(5)]
    runs = train_many([EXACT.changed(seed=seed) for seed in range(5)], folders=folders, device="cpu")
    assert stacks == [5, 3, 2, 1, 2]
    for run, folder in zip(runs, folders, strict=True):
        assert_as_alone(run)
        assert (lab.open_run(folder).status, lab.open_run(folder).problems) == (run.status, [])


def test_what_takes_turns_and_does_not_fit_while_it_is_set_up_is_held_in_halves(tmp_path, monkeypatch):
    made, make = [], Training.__init__

    def crowded(self, recipe, **where):
        made.append(recipe.seed)
        if len(made) == 3:  # after the probe and the first
            raise MemoryError
        make(self, recipe, **where)

    monkeypatch.setattr(Training, "__init__", crowded)
    folders = [tmp_path / str(seed) for seed in range(2)]
    recipes = [CONVOLVED.changed(seed=seed) for seed in range(2)]
    runs = train_many(recipes, folders=folders, device="cpu", spread=False)
    assert made == [0, 0, 1, 0, 1]
    monkeypatch.undo()
    for run, folder in zip(runs, folders, strict=True):
        assert_as_alone(run)
        assert (lab.open_run(folder).status, lab.open_run(folder).problems) == (run.status, [])


@pytest.mark.parametrize("trouble", [MemoryError(), ValueError("an option's own mistake")])
def test_what_does_not_fit_even_alone_and_what_is_no_lack_of_memory_is_raised(trouble, monkeypatch):
    def failing(self, recipes, **where):
        raise trouble

    monkeypatch.setattr(Stack, "__init__", failing)
    with pytest.raises(type(trouble)):
        train_many([EXACT, EXACT.changed(seed=8)], device="cpu")


def test_how_long_work_is_is_counted_not_timed(monkeypatch):
    monkeypatch.setattr("lab.many.processors", lambda: 2)
    probe = Training(CONVOLVED, device="cpu")
    run = probe.flops_per_step * probe.steps_per_epoch * CONVOLVED.epochs
    many = many_on_cpu([CONVOLVED.changed(seed=seed) for seed in range(3)])
    monkeypatch.setattr("lab.many.SPREAD_FLOPS", 2.5 * run)
    assert many._long_enough([0, 1, 2], probe)
    assert not many._long_enough([0, 1], probe)


def test_what_does_not_fit_beside_others_is_trained_again_alone(monkeypatch):
    step, seen = loop.update, []

    def crowded(model, *arguments, **settings):
        seen.append(model)
        if model is not seen[0] and len(seen) == 2:  # the second one's first step
            raise MemoryError
        return step(model, *arguments, **settings)

    monkeypatch.setattr(loop, "update", crowded)
    monkeypatch.setattr(loop, "BLOCK_SECONDS", 0)
    told = list(many := many_on_cpu([CONVOLVED, CONVOLVED.changed(seed=8)], spread=False))
    assert sum(isinstance(event, Started) for _, event in told) == 3
    assert sum(isinstance(event, Finished) for _, event in told) == 2
    for run in many.runs.values():
        assert_as_alone(run)


def test_an_error_is_kept_with_the_run_whose_step_it_came_from(tmp_path, monkeypatch):
    step, seen = loop.update, []

    def broken(model, *arguments, **settings):
        seen.append(model)
        if model is not seen[0]:
            raise ZeroDivisionError("an option's own mistake")
        return step(model, *arguments, **settings)

    monkeypatch.setattr(loop, "update", broken)
    monkeypatch.setattr(loop, "BLOCK_SECONDS", 0)
    folders = [tmp_path / "0", tmp_path / "1"]
    with pytest.raises(ZeroDivisionError):
        train_many([CONVOLVED, CONVOLVED.changed(seed=8)], folders=folders, device="cpu", spread=False)
    left = [lab.open_run(folder) for folder in folders]
    assert [run.status for run in left] == ["stopped", "failed"]
    assert left[1].detail == "ZeroDivisionError: an option's own mistake"


def test_a_stack_that_was_killed_is_resumed_from_its_checkpoints(tmp_path, monkeypatch):
    read_every(0, monkeypatch)
    monkeypatch.setattr("lab.many.Recorder", partial(Recorder, checkpoint_seconds=0))
    recipes, folders = [MIXTURE[index] for index in STACKED], [tmp_path / "runs" / str(index) for index in STACKED]
    for _, event in many_on_cpu(recipes, folders=folders):
        if isinstance(event, Step) and event.step == 9:
            shutil.copytree(tmp_path / "runs", tmp_path / "left")
    for index in STACKED:
        left = lab.open_run(tmp_path / "left" / str(index))
        assert left.status == "interrupted"
        assert left.history.loss
        assert_as_alone(lab.resume(left.folder, progress=False, device="cpu"))
