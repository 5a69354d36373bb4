"""The edge of stability while runs train: each reading is that of its snapshot, and nothing else changes."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from small_landscapes import mean_loss
from small_runs import SMALL, bits, measured, small_model
from small_runs import trained as ended

from lab.events import Step
from lab.landscape import Evaluator, Live, Question, samples_of
from lab.landscape.budgets import SHARE, Budget
from lab.landscape.curvature import Curvature
from lab.landscape.live_edges import READING, LiveEdges
from lab.landscape.live_runs import LiveRun
from lab.landscape.stability import loss_of
from lab.landscape.weights import flat
from lab.training import Training
from lab.views import Lens

pytestmark = pytest.mark.usefixtures("one_thread")
ASKED = Question(size=9, lens=Lens(samples=40), edge=True)
TINY = SMALL.changed(model={"name": "mlp", "width": 4}, precision="float64", schedule="cosine", **{"optimizer.lr": 0.2})


def followed(live, recipe, number=1):
    session = Training(recipe, device="cpu")
    for event in session:
        live.hear(number, session, event)
    return session


def settle(live):
    while live.step(still=True):
        pass


@pytest.fixture(scope="module")
def read(one_thread):
    """A run that was followed to its end, and an engine that has nothing left to do."""
    live = Live(ASKED)
    session = followed(live, TINY)
    settle(live)
    return live, session


def test_every_snapshot_has_the_top_eigenvalue_of_the_dense_hessian(read):
    live, session = read
    run, path = live.runs[1], live.edges.paths[1]
    assert [each.step for each in path.readings] == run.trail.steps
    loss, _ = mean_loss(session, samples_of(session, split="training"))
    for index, each in enumerate(path.readings):
        place = flat(run.snapshot(index).weights).double()
        top = float(torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, place))[-1])
        assert abs(each.sharpness - top) <= each.residual + 1e-5 * top  # a trail keeps float32
        assert each.residual <= 0.02 * abs(top)


def test_the_bound_beside_each_is_that_of_the_rate_it_was_trained_with(read):
    live, session = read
    rates = [session.history.lr[max(0, each.step - 1)] for each in live.edges.paths[1].readings]
    assert [each.bound for each in live.edges.paths[1].readings] == pytest.approx([2 / rate for rate in rates])
    assert len({*rates}) > 5


@pytest.mark.parametrize("name", ["mlp", "batch normalisation"])
def test_no_bit_of_a_training_changes(name):
    model = {"mlp": small_model("mlp"), "batch normalisation": {**small_model("resnet"), "norm": "batch"}}[name]
    recipe = SMALL.changed(model=model, epochs=4)
    alone, _ = ended(recipe)
    live = Live(ASKED, share=1.0)
    beside = Training(recipe, device="cpu")
    for event in beside:
        live.hear(1, beside, event)
        for _ in range(4):
            live.step(still=True)
    assert live.edges.paths[1].readings
    assert bits(beside) == bits(alone)
    assert measured(beside.history) == measured(alone.history)


def test_the_statistics_of_batch_normalisation_are_those_of_the_snapshot():
    session = Training(SMALL.changed(model={**small_model("resnet"), "norm": "batch"}), device="cpu")
    live, places = Live(ASKED), {}
    for event in session:
        live.hear(1, session, event)
        places[session.step] = deepcopy(session.model)
    settle(live)
    first = live.edges.paths[1].readings[1]
    samples = samples_of(session, split="training")
    there = Curvature(places[first.step], samples, loss=loss_of(session.recipe)).eigenpairs(tolerance=1e-3)
    assert first.sharpness == pytest.approx(float(there.values[0]), rel=0.03)


def test_nothing_is_read_before_it_is_asked_for_and_then_no_point_of_a_picture_is_measured_twice(monkeypatch):
    live = Live(ASKED.pictures)
    followed(live, TINY)
    settle(live)
    assert live.edges.paths == {}
    losses = live.portraits()[0].surface.loss
    monkeypatch.setattr(Evaluator, "__call__", lambda *_: pytest.fail("a point was measured"))
    live.ask(ASKED)
    assert not live.rests
    settle(live)
    assert live.rests
    assert len(live.edges.paths[1].readings) == len(live.runs[1].trail)
    assert live.portraits()[0].surface.loss is losses


def test_a_reading_that_was_begun_is_left_when_it_is_switched_off():
    live = Live(ASKED.pictures)
    followed(live, TINY)
    settle(live)
    live.ask(ASKED)
    for _ in range(4):
        live.step(still=True)
    assert live.edges.paths == {}  # it takes more steps than that
    live.ask(ASKED.pictures)
    settle(live)
    assert live.edges.paths == {}
    live.ask(ASKED)
    settle(live)
    assert len(live.edges.paths[1].readings) == len(live.runs[1].trail)


def test_switched_off_nothing_is_kept_for_a_next_reading():
    live = Live(ASKED)
    followed(live, TINY)
    settle(live)
    assert live.edges.of[1]._earlier is not None
    readings = live.edges.paths[1].readings
    live.ask(ASKED.pictures)
    settle(live)
    assert live.edges.of[1]._earlier is None
    assert live.edges.paths[1].readings == readings


def test_readings_stay_when_the_run_forgets_their_snapshots():
    session = Training(TINY.changed(epochs=6), device="cpu")
    run, edges = LiveRun(session), LiveEdges(Budget())
    edges.follow(1, run)
    steps = []
    for event in session:
        if isinstance(event, Step) and run.look(session):
            steps.append(event.step)
            for _ in edges.of[1].read(edges.of[1].unread(newest=True)):
                pass
    assert len(run.trail) < len(steps)
    assert [each.step for each in edges.paths[1].readings] == steps


def test_while_runs_train_readings_take_a_part_of_the_budget_and_the_newest_comes_first():
    class Clock:
        now = 0.0

        def __call__(self):
            self.now += 0.01
            return self.now

    session = Training(TINY, device="cpu")
    run, budget = LiveRun(session), Budget(SHARE, Clock())
    for event in session:
        if isinstance(event, Step) and event.step in {5, 9}:
            run.look(session)
    edges = LiveEdges(budget)
    edges.follow(1, run)
    budget.earn(1.0)
    ((_, ended_, work),) = edges.most_urgent(still=False)
    assert not ended_
    for _ in work():
        pass
    assert list(run.readings) == [9]  # the newest
    assert list(edges.most_urgent(still=False)) == []  # it moves on first
    budget.earn(1e6)
    run.moving = False
    ((_, ended_, work),) = edges.most_urgent(still=False)
    assert ended_
    for _ in work():
        pass
    assert list(run.readings) == [9, 0]
    budget.trained = 0.1 / (READING * SHARE)
    assert list(edges.most_urgent(still=False)) == []  # both took more than that
    assert len(list(edges.most_urgent(still=True))) == 1


def test_there_is_a_chance_to_stop_after_every_product(read):
    run = LiveRun(read[1])
    edges = LiveEdges(Budget())
    edges.follow(1, run)
    chances = sum(1 for _ in edges.of[1].read(0))
    (reading,) = run.readings.values()
    assert chances > reading.products


def test_a_loss_that_is_not_finite_leaves_a_gap_and_is_said(read):
    session = read[1]
    run = LiveRun(session)
    edges = LiveEdges(Budget())
    edges.follow(3, run)
    for tensor in run.trail.offsets:
        tensor.fill_(float("nan"))
    for _ in edges.of[3].read(0):
        pass
    path = edges.paths[3]
    assert path.readings == ()
    assert path.words.startswith(f"No sharpness at step {session.step:,}: The curvature is not finite here")
    assert edges.of[3].unread(newest=False) is None
    edges.forget(3)
    assert edges.paths == {}


def test_of_a_mean_of_weights_there_is_no_bound_and_it_is_said_why():
    live = Live(ASKED)
    followed(live, TINY.changed(average="ema"))
    settle(live)
    last = live.edges.paths[1].readings[-1]
    assert np.isfinite(last.sharpness)
    assert last.bound is None
    assert last.note.startswith("The weights are a mean of those that step")
