"""Landscapes while training: nothing of the training changes, the budget is kept, no point is measured twice."""

from __future__ import annotations

import re
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_landscapes import mean_loss
from small_runs import SMALL, bits, measured, small_model
from small_runs import trained as ended

from lab.events import Step
from lab.landscape import Evaluator, Live, Question, path_plane, samples_of, surface
from lab.landscape import trained as weights_of
from lab.landscape.brief import brief_words
from lab.landscape.budgets import AIM, Budget, Wake
from lab.landscape.frames import Frame
from lab.landscape.grids import Grid, line_grid
from lab.landscape.live_runs import LEAST_MARKS, MARKS, LiveRun
from lab.landscape.replays import read_off
from lab.landscape.scenes import Scale, Scene, share, trust_words
from lab.landscape.surfaces import measuring
from lab.landscape.timekeeping import ADVANCE
from lab.landscape.trails import Trail, at_once, scatter
from lab.landscape.weights import flat
from lab.panel.portraits import all_in_html, replayed, scenes_of
from lab.panel.surveyor import Surveyor
from lab.runs import train
from lab.training import Training
from lab.views import Lens

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = Question(size=9, lens=Lens(samples=40))
NETWORKS = {
    "mlp": small_model("mlp"),
    "dropout": {**small_model("cnn"), "dropout": 0.5},
    "batch normalisation": {**small_model("resnet"), "norm": "batch"},
}


def recipe_of(model, **changes):
    return SMALL.changed(model=model, optimizer="adam", **changes)


def test_a_loss_read_off_a_steep_coarse_surface_lies_between_those_around_it():
    grid = Grid(5)
    a, b = grid.axes
    seen = SimpleNamespace(grid=grid, loss=np.exp(6 * a)[:, None] + np.exp(6 * b))
    places = np.array([[0.25, 0.25], [0.5, -0.5], [0.9, 0.0], [1.2, 0.0]])
    found = read_off(seen, places)
    assert found[1] == pytest.approx(np.exp(3) + np.exp(-3))
    assert found[0] == pytest.approx(1 + np.exp(3))
    assert np.isnan(found).tolist() == [False, False, False, True]
    line = SimpleNamespace(grid=line_grid(5), loss=np.arange(5.0)[:, None])
    assert read_off(line, np.array([[0.5, 0.0]])) == pytest.approx(2)


def followed(live, recipe, number=1, until=None, work=0):
    """Train to the end, or for so many events, with someone following and so much work after each; the session."""
    session = Training(recipe, device="cpu")
    for count, event in enumerate(session):
        live.hear(number, session, event)
        for _ in range(work):
            live.step()
        if until is not None and count >= until:
            break
    return session


def settle(live):
    while live.step():
        pass


class Clock:
    """Moves only when it is told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


# -- the training ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("average", ["nothing", "ema"])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_bit_of_a_training_changes(name, average, monkeypatch):
    recipe = recipe_of(NETWORKS[name], epochs=4, average=average)
    alone, _ = ended(recipe)
    monkeypatch.setattr("lab.landscape.enough.PILOT", 16)  # so that how many images are enough is looked for
    live = Live(QUICK._replace(replay=True), share=1.0)
    beside = followed(live, recipe, work=40)
    (portrait,) = live.portraits()
    assert portrait.surface is not None
    assert len(portrait.past) > 1
    assert live._counts._found
    assert bits(beside) == bits(alone)
    assert measured(beside.history) == measured(alone.history)


@pytest.mark.parametrize("name", NETWORKS)
def test_stream_modes_gradients_and_buffers_are_left_as_they_are(name):
    live = Live(QUICK, share=1.0)
    session = followed(live, recipe_of(NETWORKS[name]), until=12)

    def state():
        gradients = [deepcopy(parameter.grad) for parameter in session.model.parameters()]
        modes = [layer.training for layer in session.model.modules()]
        return torch.get_rng_state().tolist(), bits(session), modes, [grad.tolist() for grad in gradients]

    before = state()
    settle(live)
    assert live.portraits()[0].surface.complete
    assert state() == before


def test_pictures_side_by_side_grow_together_while_both_runs_move():
    live = Live(Question(size=33, lens=Lens(samples=40)), share=1.0)
    sessions = {number: Training(recipe_of(NETWORKS["mlp"], epochs=30, seed=number), device="cpu") for number in (1, 2)}
    ages = []
    for events in zip(*sessions.values(), strict=False):  # how many events tell of metrics is a matter of time
        for number, event in zip(sessions, events, strict=True):
            live.hear(number, sessions[number], event)
        for _ in range(4):
            live.step()
        seen = [each for each in live.portraits() if each.surface is not None and each.moving]
        if len(seen) == 2:
            ages.append([sessions[each.number].step - each.step for each in seen])
    one, two = np.array(ages[len(ages) // 2 :]).mean(0)
    assert one == pytest.approx(two, rel=0.5, abs=2)


# -- the budget --------------------------------------------------------------------------------------------------------


def test_work_is_paid_from_a_share_of_the_time_of_training(monkeypatch):
    clock, step = Clock(), Live.step

    def slow(self, **how):
        clock.now += 0.01
        return step(self, **how)

    monkeypatch.setattr(Live, "step", slow)
    live = Live(Question(size=65, lens=Lens(samples=40)), share=0.05, clock=clock)
    session = Training(recipe_of("mlp", epochs=60), device="cpu")
    for count, event in enumerate(session):
        session.seconds = 0.02 * count
        live.hear(1, session, event)
        assert live.budget.spent <= 0.05 * live.budget.trained + ADVANCE + 0.01 + 1e-9
    assert live.budget.spent == pytest.approx(AIM * 0.05 * live.budget.trained, abs=0.01)
    assert live.budget.cost.taken == pytest.approx(AIM * 0.05, rel=0.05)


def test_what_was_used_too_much_is_paid_back_and_little_is_saved_up():
    budget = Budget(0.1)
    assert budget.cost.taken is None
    budget.earn(1e6)  # of which a tenth of a second is kept
    budget.pay(0.3)
    budget.earn(1.9)
    assert not budget.allows(0.0)
    budget.earn(0.7)
    assert budget.allows(0.0)
    assert not budget.allows(0.02)


def test_what_was_taken_counts_from_the_share_that_is_allowed():
    budget = Budget(0.25)
    budget.earn(4.0)
    budget.pay(0.9)
    assert budget.cost == (0.9, 4.0, 0.25)
    budget.allow(0.25)
    assert budget.cost.taken == pytest.approx(0.225)
    budget.allow(0.05)
    assert budget.cost.taken is None
    budget.earn(2.0)
    assert budget.cost == (0.0, 2.0, 0.05)


def test_a_loan_is_worked_at_once_and_earned_later():
    budget = Budget(0.1)
    budget.lend(0.2)
    assert budget.ripe
    assert budget.allows(0.19)
    budget.pay(0.19)
    assert not budget.in_debt  # so that what was found is told
    budget.lend(0)
    assert not budget.ripe
    assert not budget.in_debt
    budget.pay(0.02)
    assert budget.in_debt  # beyond the loan
    budget.earn(2.35)
    assert not budget.ripe
    budget.earn(0.45)
    assert budget.ripe
    budget.pay(0.05)
    assert budget.in_debt  # the loan is over


@pytest.mark.parametrize(("epochs", "there_is"), [(80, True), (2, False)])
def test_the_first_picture_comes_in_advance_where_the_run_will_earn_it(monkeypatch, epochs, there_is):
    clock, step = Clock(), Live.step

    def slow(self, **how):
        clock.now += 0.01
        return step(self, **how)

    monkeypatch.setattr(Live, "step", slow)
    live, seen = Live(QUICK, share=0.05, clock=clock), []
    session = Training(SMALL.changed(model=NETWORKS["mlp"], epochs=epochs), device="cpu")
    for count, event in enumerate(session):
        session.seconds = 0.02 * count
        live.hear(1, session, event)
        seen.append(any(each.surface for each in live.portraits()))
    assert any(seen[:12]) == there_is
    assert live.budget.spent <= 0.05 * live.budget.trained + 0.01 + 1e-9  # paid off in the end


def test_work_waits_until_there_is_time_for_more_than_a_moment():
    budget = Budget(0.1)
    budget.earn(0.02)
    assert budget.allows(0.0)
    assert not budget.ripe
    budget.earn(0.05)
    assert budget.ripe


def test_the_steps_after_work_are_compared_with_those_that_nothing_came_before():
    wake = Wake()
    assert [wake.excess(seconds) for seconds in (1.0, 9.0, 1.0, 1.0)] == [0.0] * 4
    wake.begin()
    assert wake.excess(1.5) == 0.5
    assert wake.excess(0.75) == -0.25  # chance cancels out
    assert wake.excess(30.0) == 1.0  # the machine was held up by something else
    assert wake.excess(1.5) == 0.0


def test_what_work_does_to_the_next_step_is_paid_and_told(monkeypatch):
    clock, step, held_up = Clock(), Live.step, [0.0]

    def slow(self, **how):
        clock.now += 0.002
        held_up[0] = 0.004
        return step(self, **how)

    monkeypatch.setattr(Live, "step", slow)
    live = Live(Question(size=65, lens=Lens(samples=40)), share=0.05, clock=clock)
    session, lost = Training(recipe_of("mlp", epochs=200), device="cpu"), 0.0
    for count, event in enumerate(session, 1):
        if isinstance(event, Step):
            clock.now += held_up[0]
            lost, held_up[0] = lost + held_up[0], 0.0
        session.seconds = 0.01 * count + lost
        live.hear(1, session, event)
    extra = clock.now
    assert lost > 0.3 * extra
    assert live.budget.spent == pytest.approx(extra, rel=0.05)
    assert live.budget.cost.taken == pytest.approx(extra / (0.01 * count), rel=0.05)
    assert live.budget.cost.taken == pytest.approx(AIM * 0.05, rel=0.05)


@pytest.mark.parametrize("share", [0, -0.1, 1.5])
def test_a_share_is_a_part(share):
    with pytest.raises(ValueError, match=rf"share is {share}, but must be above 0 and at most 1"):
        Budget(share)


# -- surfaces ----------------------------------------------------------------------------------------------------------


def test_the_refined_surface_is_the_fine_grid_itself():
    live = Live(QUICK)
    session = followed(live, recipe_of(NETWORKS["batch normalisation"]))
    settle(live)
    found = live.portraits()[0].surface
    plane = live._views[1].frame.plane.carried_to(weights_of(session.model))
    direct = surface(Evaluator(session.model, plane, samples_of(session, count=40)), found.grid)
    assert found.grid.size == 9
    assert found.spline is None
    assert found.loss == pytest.approx(direct.loss, rel=1e-6)


def test_few_exact_points_show_the_fine_grid_at_once_and_exact_ones_replace_it(monkeypatch):
    asked, measure = [], Evaluator.__call__
    monkeypatch.setattr(Evaluator, "__call__", lambda self, points: (asked.extend(points), measure(self, points))[1])
    live, seen = Live(Question(plane="random", size=17, lens=Lens(samples=40))), []
    followed(live, recipe_of("mlp"))
    while live.step():
        found = live.portraits()
        if found and (known := found[0].surface) is not None and (not seen or known.spline != seen[-1][0].spline):
            seen.append((known, len(asked)))
    assert [known.grid.size for known, _ in seen] == [17] * 3
    assert [known.spline and known.spline.knots for known, _ in seen] == [5, 9, None]
    assert seen[0][1] == 25  # nothing more is measured for the error
    whole = seen[-1][0]
    for known, _ in seen[:-1]:
        assert np.array_equal(known.loss[known.exact], whole.loss[known.exact])
        off = np.abs(known.loss / whole.loss - 1)
        assert 0 < np.median(off) < known.spline.error.most
    assert "17x17 points, all exact" in trust_words(Scene(whole))


def test_no_point_is_measured_twice(monkeypatch):
    asked, block = [], Evaluator._block

    def counted(self, places):
        asked.extend((id(self.weights), *place) for place in places.tolist() if any(place))
        return (yield from block(self, places))

    live = Live(Question(size=17, lens=Lens(samples=40)))
    session = Training(recipe_of("mlp"), device="cpu")
    list(session)
    live.add(1, session)  # of one snapshot: a random plane, on which the mark is the centre
    monkeypatch.setattr(Evaluator, "_block", counted)
    settle(live)
    assert live.portraits()[0].surface.complete
    assert len(asked) == len(set(asked)) == 17 * 17 - 1


def test_a_moving_run_is_followed_by_few_points_and_the_picture_says_so(monkeypatch):
    live = Live(QUICK, share=1.0)
    session = Training(recipe_of("mlp", epochs=40), device="cpu")
    events = iter(session)
    for event in events:
        live.hear(1, session, event)
        if len(live.runs[1].trail) > 6:
            break
    settle(live)
    assert live.portraits()[0].surface.spline is None
    asked, measure = [], Evaluator.__call__
    monkeypatch.setattr(Evaluator, "__call__", lambda self, points: (asked.extend(points), measure(self, points))[1])
    monkeypatch.setattr(Frame, "worn", lambda self: "")
    before = live.portraits()[0].step
    while session.step <= before:
        next(events)
    live.runs[1].look(session)
    live._change()
    settle(live)
    portrait = live.portraits()[0]
    assert portrait.step == session.step
    assert portrait.surface.spline.error.points == 8
    assert len(asked) == 25 + 8


def test_beside_a_cliff_a_picture_stays_until_there_is_a_newer_one(monkeypatch):
    live, measure = Live(QUICK, share=1.0), Evaluator.__call__
    monkeypatch.setattr(Frame, "worn", lambda self: "")

    def with_a_cliff(self, points):
        frame = live._views[1].frame
        for indices, values in measure(self, points):
            values.loss[(points[indices] - np.array(frame.middle)).sum(1) < -1.5 * frame.reach] = np.inf
            yield indices, values

    session, seen = Training(recipe_of("mlp", epochs=40), device="cpu"), []
    for event in session:
        live.hear(1, session, event)
        if len(live.runs[1].trail) > 6:
            break
    settle(live)
    monkeypatch.setattr(Evaluator, "__call__", with_a_cliff)
    for event in session:
        live.hear(1, session, event)
        for _ in range(40):
            live.step()
            seen += live.portraits()
        if len(live.runs[1].trail) > 16:
            break
    assert all(each.surface is not None and each.moving for each in seen)
    assert np.isinf(seen[-1].surface.loss).any()
    settle(live)
    assert live.portraits()[0].step == live.runs[1].newest.step > seen[0].step


def test_a_question_that_changes_ends_what_was_begun_for_another():
    live = Live(Question(size=65, lens=Lens(samples=None)))
    followed(live, recipe_of("mlp"))
    while not any(view.surface for view in live._views.values()):
        live.step()
    piece = live._piece
    while piece is None or piece.gi_frame is None:
        live.step()
        piece = live._piece
    other = Question(plane="random", size=9, lens=Lens(samples=30, split="training"))
    live.ask(other)
    live.step()
    assert piece.gi_frame is None
    settle(live)
    found = live.portraits()[0].surface
    assert (found.origin.kind, found.grid.size) == ("random", 9)
    assert (found.measured.split, found.measured.samples) == ("training", 30)


@pytest.mark.parametrize("changed", ["the question", "the runs"])
def test_nothing_more_is_evaluated_of_what_was_begun_before_a_change(changed, slow_groups):
    live = Live(Question(plane="random", size=17, lens=Lens(samples=40)))
    followed(live, recipe_of("mlp"))
    while len(slow_groups.evaluators) < 40:  # in the middle of a block, of which each point takes 0.03 s
        live.step()
    old = slow_groups.evaluators[-1]
    assert slow_groups.evaluators.count(old) < 17 * 17
    if changed == "the question":
        live.ask(Question(plane="random", size=17, lens=Lens(samples=30)))
    else:
        live.forget(1)
        followed(live, recipe_of("mlp", seed=3), 2)
    before = len(slow_groups.evaluators)
    settle(live)
    assert len(slow_groups.evaluators) >= before + 17 * 17
    assert old not in slow_groups.evaluators[before:]


@pytest.mark.parametrize("name", ["mlp", "batch normalisation"])
def test_a_replay_has_a_surface_through_every_snapshot_by_few_points(name, monkeypatch):
    live = Live(Question(size=17, lens=Lens(samples=40)))
    followed(live, recipe_of(NETWORKS[name]))
    settle(live)
    (portrait,) = live.portraits()
    run, frame, known = live.runs[1], live._views[1].frame, set(portrait.past)
    assert len(known) < len(run.trail) / 2
    asked, measure = [], Evaluator.__call__
    monkeypatch.setattr(Evaluator, "__call__", lambda self, points: (asked.extend(points), measure(self, points))[1])
    live.ask(live.question._replace(replay=True))
    settle(live)
    (again,) = live.portraits()
    assert again.surface.loss is portrait.surface.loss
    live._views[1].frame.share = 0.123
    (later,) = live.portraits()
    assert {each.origin.explained for each in (later.surface, *later.past.values())} == {0.123}
    assert set(again.past) == set(run.trail.steps)
    assert len(asked) == (25 + 8) * len(again.past.keys() - known)
    for place in (0, len(run.trail) // 2):
        snapshot, found = run.snapshot(place), again.past[run.trail.steps[place]]
        plane = frame.plane.carried_to(snapshot.weights)
        exact = surface(Evaluator(run.network_with(snapshot.buffers), plane, samples_of(run, count=40)), found.grid)
        assert (found.grid.size, found.spline.knots, found.spline.error.points) == (17, 5, 8)
        assert found.loss[::4, ::4] == pytest.approx(exact.loss[::4, ::4], rel=1e-5)
        assert np.median(np.abs(found.loss / exact.loss - 1)) <= found.spline.error.largest
        stale = np.abs(portrait.surface.loss / exact.loss - 1)
        assert np.median(np.abs(found.loss / exact.loss - 1)) < np.median(stale)


def test_what_was_seen_of_a_run_that_moves_is_kept_and_no_more_than_its_snapshots(monkeypatch):
    monkeypatch.setattr(Frame, "worn", lambda self: "")
    live = Live(QUICK)
    session = Training(recipe_of("mlp", epochs=60), device="cpu")
    events = iter(session)
    live.hear(1, session, next(events))
    for _ in range(MARKS + 4):
        next(events)
        live.runs[1].look(session)
        live._change()
        settle(live)
    past, steps = live.portraits()[0].past, live.runs[1].trail.steps
    assert 10 < len(past) <= MARKS
    assert set(past) <= set(steps)
    assert max(past) == steps[-1]


@pytest.mark.parametrize(("plane", "runs"), [("line", 2), ("points", 3)])
def test_through_ends_there_is_nothing_to_replay(plane, runs):
    live = Live(QUICK._replace(plane=plane, replay=True))
    for number in range(runs):
        followed(live, recipe_of(NETWORKS["mlp"], seed=number), number)
    settle(live)
    seen = live.portraits()
    assert [each.past for each in seen] == [{}] * runs
    assert all(each.surface is not None for each in seen)
    if plane == "points":
        assert replayed(seen, 5) == ""  # nothing comes, and nothing is waited for


def test_a_replay_on_the_sharpest_plane_shows_the_mark_of_its_snapshot():
    live = Live(QUICK._replace(plane="hessian", replay=True))
    followed(live, recipe_of("mlp"))
    settle(live)
    (portrait,) = live.portraits()
    steps = portrait.path.steps
    for step, place in ((0, 0), (steps[3] - 1, 2), (steps[3], 3), (None, -1)):
        (scene,) = scenes_of([portrait], {1: (1, "run 1")}, step)
        (path,) = scene.paths
        assert path.steps.tolist() == [steps[place]]
        assert path.on_plane == pytest.approx(on_plane(live, place, path.coordinates), rel=1e-5)
        assert len(path.gaps) == (step is None)  # measured
        assert (scene.surface is portrait.surface) == (step is None)


def on_plane(live, place, coordinates):
    """Losses on the parallel plane through a snapshot of run 1, measured."""
    run, plane = live.runs[1], live._views[1].frame.plane
    snapshot = run.snapshot(range(len(run.trail))[place])
    network = run.network_with(snapshot.buffers)
    evaluator = Evaluator(network, plane.carried_to(snapshot.weights), samples_of(run, count=40))
    return at_once(measuring(evaluator, coordinates))


# -- planes ------------------------------------------------------------------------------------------------------------


def walk(session, run, moves):
    """Move the network by hand, a step each: (which weight, how far)."""
    weight = session.model[1].weight
    for place, length in moves:
        with torch.no_grad():
            weight.view(-1)[place] += length
        session.step += 1
        run.look(session)


def test_a_plane_stays_while_it_shows_the_path_and_is_made_anew_when_it_does_not():
    session = Training(recipe_of("mlp"), device="cpu")
    run = LiveRun(session)
    assert Frame([run], "path", 0).plane.origin.kind == "random"
    walk(session, run, [(0, 1.0), (1, 0.5), (0, 1.0)])
    frame = Frame([run], "path", 0)
    assert frame.plane.origin.explained == pytest.approx(1)
    assert frame.worn() == ""
    walk(session, run, [(1, -0.5)])
    assert frame.worn() == ""
    assert frame.share == pytest.approx(1)
    walk(session, run, [(2, 2.0), (2, 1.0)])
    assert frame.worn() == "the old one showed 30% of the path, 100% when it was made"
    assert Frame([run], "path", 0).worn() == ""


def test_a_path_that_leaves_the_picture_is_followed():
    session = Training(recipe_of("mlp"), device="cpu")
    run = LiveRun(session)
    walk(session, run, [(0, 1.0), (1, 0.5)])
    frame = Frame([run], "path", 0)
    walk(session, run, [(0, 9.0)])
    assert frame.worn() == "the path had left the picture"


def test_runs_of_one_architecture_share_a_plane_and_others_have_their_own():
    live = Live(QUICK)
    for number, recipe in enumerate([recipe_of("mlp"), recipe_of("mlp", seed=3), recipe_of(small_model("cnn"))], 1):
        followed(live, recipe, number)
    settle(live)
    one, two, other = live.portraits()
    assert (one.joint, two.joint, other.joint) == ((2,), (1,), ())
    assert one.surface.grid == two.surface.grid
    assert [each.surface.origin.kind for each in (one, two, other)] == ["joint", "joint", "path"]
    assert live._views[1].frame is live._views[2].frame


def test_a_run_that_is_forgotten_leaves_its_plane():
    live = Live(QUICK)
    for number in (1, 2):
        followed(live, recipe_of("mlp", seed=number), number)
    settle(live)
    live.forget(1)
    settle(live)
    (left,) = live.portraits()
    assert live._views[2].frame.why == "a run has left"
    assert (left.number, left.joint, left.surface.origin.kind) == (2, (), "path")


def test_a_joint_plane_says_what_it_shows_of_each_path_and_is_made_anew_for_the_worst():
    sessions = [Training(recipe_of("mlp"), device="cpu") for _ in range(2)]
    long, short = runs = [LiveRun(session) for session in sessions]
    walk(sessions[0], long, [(0, 10.0), (1, 10.0), (0, 10.0)])
    walk(sessions[1], short, [(0, 0.5), (1, 0.5), (0, 0.5)])
    frame = Frame(runs, "path", 0)
    assert [frame.own(run) for run in runs] == pytest.approx([1, 1])
    walk(sessions[1], short, [(2, 3.0), (2, 1.0)])
    own = short.trail.explained_by(frame.plane)
    assert [frame.own(run) for run in runs] == pytest.approx([1, own], rel=1e-5)
    assert frame.worn() == f"the old one showed {own:.0%} of one of the paths, 100% when it was made"
    assert frame.share > 0.95 > 0.2 > own
    points = torch.stack([flat(run.trail.weights(index)) for run in runs for index in range(len(run.trail))]).double()
    assert scatter([run.trail for run in runs]) == pytest.approx(float((points - points.mean(0)).square().sum()))
    assert not Frame(runs, "path", 0).serves_better_than(frame)  # the long path decides again
    assert frame.worn() == ""
    walk(sessions[1], short, [(2, 200.0), (2, 200.0), (2, 200.0)])
    assert "of one of the paths" in frame.worn()
    assert Frame(runs, "path", 0).serves_better_than(frame)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("no kernel.")])
def test_where_memory_does_not_do_for_eigenvectors_a_random_plane_says_so(monkeypatch, error):
    def broken(*_, **__):
        raise error

    monkeypatch.setattr("lab.landscape.frames.Curvature", broken)
    live = Live(QUICK._replace(plane="hessian"))
    followed(live, recipe_of("mlp"))
    settle(live)
    (portrait,) = live.portraits()
    assert portrait.surface.complete
    said = "as the one asked for was not found: "
    why = said + ("Not enough memory on cpu" if isinstance(error, torch.OutOfMemoryError) else "no kernel")
    for words in (brief_words, trust_words):
        assert why in words(Scene(portrait.surface, (portrait.path,)))


@pytest.mark.parametrize("plane", ["path", "random", "hessian", "points"])
def test_each_plane_that_carries_a_path_says_what_it_shows_of_it(plane):
    live = Live(QUICK._replace(plane=plane))
    followed(live, recipe_of("mlp"))
    settle(live)
    (portrait,), trail = live.portraits(), live.runs[1].trail
    assert portrait.surface.origin.kind == plane
    assert 0 < portrait.path.explained == pytest.approx(trail.explained_by(portrait.plane), rel=1e-3)
    assert (live._views[1].frame.worst() is None) == (plane in ("random", "hessian"))
    if plane != "path":
        assert f"{share(portrait.path.explained)} of the variance of this path" in trust_words(
            Scene(portrait.surface, (portrait.path,))
        )


def test_a_plane_through_ends_alone_says_so():
    live = Live(QUICK)
    for number in (1, 2, 3):
        session = Training(recipe_of("mlp", seed=number), device="cpu")
        list(session)
        live.add(number, session)
    settle(live)
    portrait = live.portraits()[0]
    assert portrait.path.explained is None
    assert trust_words(Scene(portrait.surface, (portrait.path,))).startswith(
        "Plane, through the ends of runs of which no path is known, holds 100% of the variance of the ends; "
    )
    assert brief_words(Scene(portrait.surface, (portrait.path,))).startswith(
        "Plane through the ends of the runs, 100% of their variance · "
    )


@pytest.mark.parametrize(("plane", "runs"), [("line", 2), ("points", 3)])
def test_of_runs_that_share_a_picture_each_is_named_with_its_own_step(plane, runs):
    live = Live(QUICK._replace(plane=plane))
    for number in range(1, runs + 1):
        live.add(number, ended(recipe_of(NETWORKS["mlp"], seed=number, epochs=number))[0])
    settle(live)
    names, seen = {number: (number, f"run {number}") for number in range(1, runs + 1)}, live.portraits()
    scenes = scenes_of(seen, names, None)
    steps = [live.runs[number].newest.step for number in names]
    assert len(set(steps)) == runs
    said = ", ".join(f"<b>run {number}</b> step {step}" for number, step in zip(names, steps, strict=True))
    assert all_in_html(scenes, seen, names, Scale.of(scenes)).startswith(f"<div><p>{said} · ")


def test_each_snapshot_is_projected_once(monkeypatch):
    projected, places = [], Trail.places

    def counted(self, plane, indices=None):
        projected.extend(self.steps if indices is None else (self.steps[index] for index in indices))
        return places(self, plane, indices)

    session = Training(recipe_of("mlp"), device="cpu")
    run = LiveRun(session)
    walk(session, run, [(0, 1.0), (1, 0.5), (0, 1.0)])
    monkeypatch.setattr(Trail, "places", counted)
    frame = Frame([run], "path", 0)
    frame.places(run)
    walk(session, run, [(1, -0.5), (2, 1.0)])
    assert frame.places(run) == pytest.approx(places(run.trail, frame.plane))
    frame.places(run)
    assert projected == [0, 1, 2, 3, 4, 5]


# -- marks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_mark_lies_on_the_plane_and_has_the_loss_of_the_run(name):
    live = Live(Question(size=9, lens=Lens(samples=None), enough=0))
    session = followed(live, recipe_of(NETWORKS[name]))
    settle(live)
    path = live.portraits()[0].path
    loss, _ = session.evaluate(session.validation_split)
    assert path.steps[-1] == session.step
    assert path.true[-1] == pytest.approx(loss, rel=1e-5)
    assert path.on_plane[-1] == pytest.approx(loss, rel=1e-5)
    assert np.isfinite(path.true).all()
    assert np.isfinite(path.on_plane).all()


@pytest.mark.parametrize(
    "used", [{"average": "ema"}, {"average": "swa"}, {"optimizer": "schedule_free_adamw"}], ids=str
)
@pytest.mark.parametrize("name", ["mlp", "batch normalisation"])
def test_what_is_followed_is_the_network_as_it_is_used(name, used):
    live = Live(Question(size=9, lens=Lens(samples=None), enough=0))
    session = followed(live, recipe_of(NETWORKS[name], epochs=6).changed(**used))
    settle(live)
    path = live.portraits()[0].path
    assert path.true[-1] == pytest.approx(session.history.epochs[-1].validation_loss, rel=1e-5)
    assert path.on_plane[-1] == pytest.approx(path.true[-1], rel=1e-5)
    stepped, newest = weights_of(session.model), live.runs[1].newest.weights
    assert any(not torch.equal(stepped[name], newest[name]) for name in stepped)


def test_each_mark_has_the_buffers_of_its_own_step():
    recipe = recipe_of(NETWORKS["batch normalisation"])
    live = Live(Question(size=9, lens=Lens(samples=None), enough=0), share=1.0)
    losses, session = {}, Training(recipe, device="cpu")
    for event in session:
        live.hear(1, session, event)
        losses.setdefault(session.step, deepcopy(session.model))
    settle(live)
    path = live.portraits()[0].path
    for step, true in list(zip(path.steps, path.true, strict=True))[1:4]:
        session.model = losses[int(step)]
        assert true == pytest.approx(session.evaluate(session.validation_split)[0], rel=1e-5)


def test_a_path_has_few_marks_however_long_it_is_and_enough_however_little_may_be_spent():
    rich, poor = Live(QUICK, share=1.0), Live(QUICK, share=1e-9)
    for live in (rich, poor):
        followed(live, recipe_of("mlp", epochs=80))
        run = live.runs[1]
        assert LEAST_MARKS <= len(run.trail) <= MARKS
        assert list(run.buffers) == run.trail.steps
        assert run.trail.steps[-1] == run.newest.step


def wild(rate):
    """A run that is lost: at 1e20 its loss is no number, at 1e5 its weights are but of another kind."""
    return SMALL.changed(model=NETWORKS["mlp"], epochs=20, **{"optimizer.lr": rate})


@pytest.mark.parametrize(("rate", "how"), [(1e5, "left all bounds"), (1e20, "diverged")])
def test_a_run_that_is_lost_is_in_no_plane_and_changes_nothing_of_the_others(rate, how):
    quiet, beside = Live(QUICK), Live(QUICK)
    for live in (quiet, beside):
        for number in (1, 2):
            followed(live, recipe_of(NETWORKS["mlp"], seed=number), number)
    followed(beside, wild(rate), 3)
    for live in (quiet, beside):
        settle(live)
    assert (quiet.lost, beside.lost) == ({}, {3: how})
    for alone, seen in zip(quiet.portraits(), beside.portraits(), strict=True):
        assert (seen.number, seen.joint) == (alone.number, alone.joint)
        assert seen.surface.origin.kind == "joint"
        assert np.array_equal(seen.surface.loss, alone.surface.loss)
        assert np.array_equal(seen.path.coordinates, alone.path.coordinates)


ZEROS = recipe_of(NETWORKS["mlp"], init="zeros")  # the last bias alone moves


@pytest.mark.parametrize("ended_before", [False, True])
def test_around_weights_of_zeros_there_is_no_random_plane_and_others_have_theirs(ended_before):
    live, recipes = Live(QUICK._replace(plane="random")), {1: ZEROS, 2: recipe_of(NETWORKS["mlp"])}
    for number, recipe in recipes.items():
        live.add(number, ended(recipe)[0]) if ended_before else followed(live, recipe, number, work=3)
    settle(live)
    (other,) = live.portraits()
    assert other.number == 2
    assert other.surface.complete
    assert list(live.unplaced) == [1]
    assert "are zero, so no random direction can be scaled to them" in live.unplaced[1]
    live.ask(QUICK._replace(plane="random", normalisation="layer"))
    settle(live)
    assert [each.surface.complete for each in live.portraits()] == [True, True]
    assert live.unplaced == {}


@pytest.mark.parametrize("plane", ["path", "hessian"])
def test_of_weights_that_began_as_zeros_what_has_moved_is_seen(plane):
    live = Live(QUICK._replace(plane=plane))
    followed(live, ZEROS, work=3)
    settle(live)
    (portrait,) = live.portraits()
    assert portrait.surface.origin.kind == plane
    assert portrait.surface.complete
    assert (live.unplaced, portrait.fault) == ({}, "")


def test_a_path_that_has_not_begun_is_waited_for_and_one_that_is_not_known_is_said():
    live = Live(QUICK)
    followed(live, ZEROS, until=0)
    settle(live)
    assert (live.unplaced, live.portraits()) == ({1: ""}, [])
    late = Live(QUICK)
    late.add(1, ended(ZEROS)[0])
    settle(late)
    assert late.portraits() == []
    assert late.unplaced[1].startswith("A path needs at least three snapshots that differ: ")
    late.add(2, ended(recipe_of(NETWORKS["mlp"]))[0])
    settle(late)
    assert [each.surface.complete for each in late.portraits()] == [True, True]  # on directions as long as the other's
    assert late.unplaced == {}


def test_a_run_that_diverges_leaves_the_plane_that_it_shared():
    live = Live(QUICK)
    followed(live, recipe_of(NETWORKS["mlp"]), 1)
    session = Training(recipe_of(NETWORKS["mlp"], seed=2), device="cpu")
    for _, event in zip(range(9), session, strict=False):
        live.hear(2, session, event)
    settle(live)
    assert [each.joint for each in live.portraits()] == [(2,), (1,)]
    with torch.no_grad():
        session.model[1].weight.fill_(torch.nan)
    for event in session:
        live.hear(2, session, event)
    settle(live)
    (left,) = live.portraits()
    assert (left.number, left.joint, left.why, live.lost) == (1, (), "a run has diverged", {2: "diverged"})
    assert np.isfinite(live.runs[2].trail.gram).all()


@pytest.mark.parametrize(("rate", "how"), [(1e5, "left all bounds"), (1e20, "diverged")])
def test_a_run_that_was_lost_before_it_was_followed_is_left_out_too(rate, how):
    live, surveyor = Live(QUICK), Surveyor(lambda news: pytest.fail(str(news)))
    for number, recipe in enumerate((wild(rate), recipe_of(NETWORKS["mlp"]))):
        run = train(recipe, device="cpu", progress=False)
        surveyor._add(live, SimpleNamespace(number=number, recipe=recipe, run=run, device="cpu"))
    settle(live)
    assert (live.lost, [each.number for each in live.portraits()]) == ({0: how}, [1])


def test_a_run_that_comes_back_has_its_path_and_losses():
    live = Live(QUICK)
    for number in (1, 2):
        followed(live, recipe_of(NETWORKS["mlp"], seed=number), number)
    settle(live)
    before, heights, bytes_of_both = (
        live.portraits()[0],
        live.heights(1).copy(),
        sum(r.trail.bytes for r in live.runs.values()),
    )
    live.send_away(1)
    settle(live)
    assert [each.number for each in live.portraits()] == [2]
    assert live.bytes >= bytes_of_both  # it is kept, and said to be
    live.call_back(1)
    assert live.heights(1) == heights
    settle(live)
    again = live.portraits()[0]
    assert again.path.steps.tolist() == before.path.steps.tolist()
    assert again.path.true.tolist() == before.path.true.tolist()
    assert again.surface.origin.kind == "joint"


def test_of_runs_that_may_come_back_there_are_few(monkeypatch):
    monkeypatch.setattr("lab.landscape.live.MOST_RUNS", 2)
    live = Live(QUICK)
    for number in range(3):
        live.add(number, ended(recipe_of(NETWORKS["mlp"]))[0])
        live.send_away(number)
    assert list(live.away) == [1, 2]
    live.forget(1)
    assert list(live.away) == [2]


def test_a_network_too_large_to_be_followed_is_refused_in_words(monkeypatch):
    monkeypatch.setattr("lab.landscape.live_runs.MOST_WEIGHTS", 100_000)
    session = Training(recipe_of({"name": "mlp", "width": 1024}), device="cpu")
    count = sum(weights.numel() for weights in session.model.parameters())
    words = f"This network has {count:,} trained weights; landscapes follow up to 0.1 million."
    with pytest.raises(ValueError, match=re.escape(words)):
        Live(QUICK).add(1, session)


def test_what_cannot_be_measured_is_said_beside_the_run():
    live = Live(Question(lens=Lens(samples=40, batchnorm="batch")))
    followed(live, recipe_of("mlp"))
    settle(live)
    assert "40 samples make no batch of 128" in live.portraits()[0].fault
    live.ask(QUICK)
    settle(live)
    assert live.portraits()[0].fault == ""


def test_the_sharpest_plane_is_that_of_the_dense_hessian_and_is_looked_for_again_when_the_run_has_gone_far():
    live = Live(QUICK._replace(plane="hessian"))
    session = followed(live, recipe_of(NETWORKS["mlp"], precision="float64"), work=3)
    settle(live)
    (portrait,) = live.portraits()
    loss, place = mean_loss(session, samples_of(session, count=40))
    values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, place))
    assert portrait.surface.origin.kind == "hessian"
    assert portrait.surface.origin.note.startswith(f"eigenvalues {float(values[-1]):.3g} +- ")
    assert portrait.surface.origin.note.endswith(f"at step {session.step:,} on 40 images")
    assert portrait.surface.grid.reach[0] == pytest.approx((2 / float(values[-1])) ** 0.5, rel=1e-3)


def test_the_sharpest_plane_says_on_how_many_images_it_was_looked_for(monkeypatch):
    monkeypatch.setattr("lab.landscape.live.LAID", 30)
    live = Live(Question(plane="hessian", size=9, lens=Lens(samples=40)))
    followed(live, recipe_of("mlp"))
    for enough, images in ((0.5, 30), (0.0, 40)):
        live.ask(live.question._replace(enough=enough))
        settle(live)
        assert live.portraits()[0].surface.origin.note.endswith(f" on {images} images")


def test_eigenvectors_are_looked_for_again_after_twice_the_steps():
    session = Training(recipe_of("mlp"), device="cpu")
    run = LiveRun(session)
    walk(session, run, [(0, 0.1), (1, 0.1)])
    frame = Frame([run], "hessian", 0)
    walk(session, run, [(0, 0.1), (1, 0.1)])
    assert frame.worn() == ""
    walk(session, run, [(0, 0.1)])
    assert frame.worn() == "the run has made 2 times as many steps"


def test_a_line_says_what_it_wants():
    live = Live(QUICK._replace(plane="line"))
    assert live.missing == ""
    followed(live, recipe_of("mlp"), 1)
    assert live.missing.startswith("The line is drawn between two runs, and there is one")
    followed(live, recipe_of("mlp", seed=3), 2, until=2)
    settle(live)
    assert live.missing == "The line waits until both runs have ended."
    assert live.portraits() == []
    live.forget(2)
    followed(live, recipe_of(small_model("cnn")), 3)
    assert live.missing.startswith("The two runs have different networks")


def test_a_line_and_a_surface_never_stand_in_one_picture():
    live = Live(QUICK._replace(plane="line"))
    for number, optimizer in enumerate(("sgd", "adam")):
        followed(live, recipe_of(NETWORKS["mlp"]).changed(optimizer=optimizer), number)
    settle(live)
    for plane in ("path", "line"):
        live.ask(QUICK._replace(plane=plane))
        while live.step():
            found = [each.surface for each in live.portraits() if each.surface is not None]
            assert len({surface.grid.line for surface in found}) < 2
        assert [surface.grid.line for surface in found] == 2 * [plane == "line"]


def test_between_two_runs_that_are_one_there_is_no_line():
    live = Live(QUICK._replace(plane="line"))
    for number in (1, 2):
        followed(live, recipe_of(NETWORKS["mlp"]), number)
    settle(live)
    assert live.missing == "Both runs ended at the same weights: there is no line between them."
    assert live.portraits() == []


def test_a_picture_stays_while_another_plane_is_looked_for():
    live = Live(QUICK)
    followed(live, recipe_of(NETWORKS["mlp"]))
    settle(live)
    live.ask(QUICK._replace(plane="hessian"))
    while live.step():
        assert live.portraits()[0].surface is not None
    assert live.portraits()[0].surface.origin.kind == "hessian"


def test_eigenvectors_that_were_looked_for_when_the_run_ended_are_looked_for_anew():
    live = Live(QUICK._replace(plane="hessian"), share=1e-9)
    session = Training(recipe_of(NETWORKS["mlp"]), device="cpu")
    for count, event in enumerate(session):
        if count == 4:
            for _ in range(5):
                live.step()
        live.hear(1, session, event)
    settle(live)
    (portrait,) = live.portraits()
    assert portrait.surface.origin.note.endswith(f"at step {session.step:,} on 40 images")


# -- three points, precision -------------------------------------------------------------------------------------------


def test_the_plane_through_three_points_says_what_it_wants():
    live = Live(QUICK._replace(plane="points"))
    for number in (1, 2):
        followed(live, recipe_of("mlp", seed=number), number)
    assert live.missing == "Three points are the ends of three runs, or three snapshots of one, and there are 2 runs."
    followed(live, recipe_of("mlp"), 3, until=2)
    settle(live)
    assert live.missing == "The plane waits until the runs have ended."
    assert live.portraits() == []
    live.forget(3)
    followed(live, recipe_of("mlp", seed=1), 4)
    assert live.missing.startswith("Two of the runs ended at the same weights")
    live.forget(4)
    followed(live, recipe_of(small_model("cnn")), 5)
    assert live.missing.startswith("The three runs have different networks")


def test_the_ends_of_three_runs_lie_on_their_plane_with_their_true_losses():
    live = Live(QUICK._replace(plane="points"))
    for number in (1, 2, 3):
        followed(live, recipe_of(NETWORKS["mlp"], seed=number), number)
    settle(live)
    found = live.portraits()
    assert [each.joint for each in found] == [(2, 3), (1, 3), (1, 2)]
    for each in found:
        assert each.surface.origin.kind == "points"
        assert each.surface.origin.note == "the ends of the three runs"
        assert each.path.on_plane[-1] == pytest.approx(each.path.true[-1], rel=1e-5)
        a, b = each.surface.grid.axes
        x, y = each.path.coordinates[-1]
        assert a[0] < x < a[-1]
        assert b[0] < y < b[-1]


def test_of_one_run_first_middle_and_last_snapshot_lie_on_the_plane():
    live = Live(QUICK._replace(plane="points"))
    followed(live, recipe_of(NETWORKS["mlp"]))
    settle(live)
    (portrait,) = live.portraits()
    path, places = portrait.path, [0, len(portrait.path.steps) // 2, -1]
    assert path.on_plane[places] == pytest.approx(path.true[places], rel=1e-4)
    assert 0 < path.explained <= live.runs[1].trail.explained_by(path_plane(live.runs[1].trail))


def test_a_run_that_was_not_followed_has_no_three_snapshots():
    live = Live(QUICK._replace(plane="points"))
    live.add(1, ended(recipe_of("mlp"))[0])
    settle(live)
    assert live.missing.startswith("Of this run fewer than three snapshots are known")


@pytest.mark.parametrize(("precision", "largest"), [("float32", 0), ("float64", 0), ("bfloat16", 0.03)])
def test_surfaces_have_the_precision_asked_for_and_say_what_it_costs(precision, largest):
    live = Live(QUICK._replace(precision=precision, plane="random"))
    session = followed(live, recipe_of(NETWORKS["mlp"]))
    while live.step():
        for each in live.portraits():  # coarse and fine alike
            off = each.surface and each.surface.precision_error
            assert each.surface is None or (off is not None) == (precision == "bfloat16")
    (portrait,) = live.portraits()
    exact = Evaluator(session.model, portrait.plane, samples_of(session, count=40), dtype=torch.float64)
    reference = surface(exact, portrait.surface.grid).loss
    off = np.abs(portrait.surface.loss / reference - 1)
    assert portrait.surface.measured.precision == precision
    assert off.max() <= (largest or {"float32": 1e-5, "float64": 1e-12}[precision])
    assert portrait.path.on_plane[-1] == pytest.approx(portrait.path.true[-1], rel=1e-6)  # both in float32 at least
    if precision == "bfloat16":
        assert 1e-5 < portrait.surface.precision_error.largest <= 1.01 * off.max()
        assert "bfloat16, off by " in trust_words(Scene(portrait.surface))


def test_a_picture_in_mixed_precision_that_was_left_while_it_was_compared_is_finished_all_the_same():
    live = Live(QUICK._replace(precision="bfloat16", plane="random"))
    followed(live, recipe_of(NETWORKS["mlp"]))
    while live.step():
        view = live._views.get(1)
        if view and view._survey and view._survey.known.all():
            break
    live.ask(QUICK._replace(precision="bfloat16", plane="random", edge=True))
    settle(live)
    (portrait,) = live.portraits()
    assert portrait.surface.grid.size == QUICK.size
    assert portrait.surface.precision_error is not None
