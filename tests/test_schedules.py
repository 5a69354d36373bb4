"""Schedules against torch's, ramps on each of them, and what watches the validation."""

import math
from itertools import accumulate

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_runs import SMALL, same_history, same_weights, trained
from strategies import specs
from torch import nn
from torch.optim import lr_scheduler as theirs

from lab.events import Epoch, Finished, Step
from lab.many import groups, pays, train_many
from lab.recipe import RecipeError
from lab.schedules import ramped, rate_factor, schedules, watches
from lab.steps import stalled
from lab.training import Training

STEPS = 60
JUMPING = {"step", "cosine_restarts", "on_plateau"}
TINY = 1e-6  # of the run: the steepest slider, restarts left out, moves less than 2e-3 in it
every_schedule = pytest.mark.parametrize("name", schedules)


def factor(spec, progress, validations=(), warmup=0.0, cooldown=0.0):
    choice = schedules.parse(spec)
    return rate_factor(choice, warmup=warmup, cooldown=cooldown, progress=progress, validations=validations)


def one_weight():
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)


def torchs(make, steps=STEPS, tell=lambda scheduler, step: scheduler.step()):
    """The rates of torch's scheduler over a base rate of 1."""
    optimizer, rates = one_weight(), []
    scheduler = make(optimizer)
    for step in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        tell(scheduler, step)
    return rates


REFERENCES = {
    "step": ({"name": "step", "drops": 2, "factor": 0.3}, lambda o: theirs.StepLR(o, STEPS // 3, 0.3)),
    "exponential": ({"name": "exponential", "final": 0.02}, lambda o: theirs.ExponentialLR(o, 0.02 ** (1 / STEPS))),
    "polynomial": ({"name": "polynomial", "power": 0.9}, lambda o: theirs.PolynomialLR(o, STEPS, 0.9)),
    "linear": ({"name": "linear", "start": 0.2, "final": 0.7}, lambda o: theirs.LinearLR(o, 0.2, 0.7, STEPS)),
    "cosine": ({"name": "cosine", "final": 0.1}, lambda o: theirs.CosineAnnealingLR(o, STEPS, 0.1)),
    "equal restarts": (
        {"name": "cosine_restarts", "cycles": 4, "multiplier": 1, "final": 0.1},
        lambda o: theirs.CosineAnnealingWarmRestarts(o, STEPS // 4, 1, 0.1),
    ),
    "longer restarts": (
        {"name": "cosine_restarts", "cycles": 4, "multiplier": 2, "final": 0.1},
        lambda o: theirs.CosineAnnealingWarmRestarts(o, STEPS // 15, 2, 0.1),
    ),
    "cyclic": (
        {"name": "cyclic", "cycles": 3, "low": 0.2},
        lambda o: theirs.CyclicLR(o, 0.2, 1.0, STEPS // 6, cycle_momentum=False),
    ),
    "transformer": (
        {"name": "inverse_sqrt", "scale": 0.2 / 0.8},  # after a warm-up of a fifth
        lambda o: theirs.LambdaLR(o, lambda step: min(step / 12, (12 / max(1, step)) ** 0.5)),
    ),
}


@pytest.mark.parametrize(("spec", "make"), REFERENCES.values(), ids=REFERENCES)
def test_a_schedule_is_torchs(spec, make):
    warmup = 0.2 if spec["name"] == "inverse_sqrt" else 0.0
    ours = [factor(spec, step / STEPS, warmup=warmup) for step in range(STEPS)]
    np.testing.assert_allclose(ours, torchs(make), rtol=0, atol=1e-12)


def test_one_cycle_is_torchs():
    # torch is at the end in the last step already, and counts the peak from 0: one step less, and one.
    last, share, start, final = STEPS - 1, 0.3, 0.04, 4e-5
    spec = {"name": "one_cycle", "peak": (share * STEPS - 1) / last, "start": start, "final": final}
    expected = torchs(
        lambda o: theirs.OneCycleLR(
            o, 1.0, STEPS, pct_start=share, div_factor=1 / start, final_div_factor=start / final, cycle_momentum=False
        )
    )
    np.testing.assert_allclose([factor(spec, step / last) for step in range(STEPS)], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
@given(st.lists(st.sampled_from([0.1, 0.5, 0.549, 0.55, 0.6, 0.9]), max_size=30), st.integers(0, 4))
def test_on_plateau_is_torchs(metric, values, patience):
    spec = {"name": "on_plateau", "metric": metric, "factor": 0.5, "patience": patience, "threshold": 0.01}
    seen = [(value, 0.3) if metric == "loss" else (0.3, value) for value in values]
    expected = torchs(
        lambda o: theirs.ReduceLROnPlateau(
            o, "min" if metric == "loss" else "max", 0.5, patience, threshold=0.01, eps=0
        ),
        len(values) + 1,
        lambda scheduler, step: scheduler.step(values[step]) if step < len(values) else None,
    )
    ours = [factor(spec, 0.5, seen[:count]) for count in range(len(values) + 1)]
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


@pytest.mark.parametrize("drops", [1, 6, 48, 999])
def test_a_drop_comes_at_its_very_step(drops):
    length = 7  # steps between two drops, of which progress gives rounded fractions
    steps = length * (drops + 1)
    ours = [factor({"name": "step", "drops": drops, "factor": 0.99}, step / steps) for step in range(steps)]
    assert ours == [0.99 ** (step // length) for step in range(steps)]


@pytest.mark.parametrize(("cycles", "multiplier"), [(1, 1), (49, 1), (4, 2), (3, 1.5)])
def test_a_restart_comes_at_its_very_step(cycles, multiplier):
    lengths = [round(20 * multiplier**cycle) for cycle in range(cycles)]
    spec, steps = {"name": "cosine_restarts", "cycles": cycles, "multiplier": multiplier}, sum(lengths)
    highest = [step for step in range(steps) if factor(spec, step / steps) == pytest.approx(1, abs=1e-9)]
    assert highest == [0, *accumulate(lengths[:-1])]
    assert factor(spec, 1.0) == 0


# -- every schedule ---------------------------------------------------------------------------------------------------

VALIDATIONS = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), max_size=20)
RAMPS = st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda ramps: 1 - sum(ramps) > 0)


@every_schedule
@given(st.data())
def test_every_schedule_gives_a_rate_that_can_be_used(name, data):
    spec, seen = data.draw(specs("schedule", name)), data.draw(VALIDATIONS)
    found = factor(spec, data.draw(st.floats(0, 1)), seen, *data.draw(RAMPS))
    assert math.isfinite(found)
    assert 0 <= found <= 1 + 1e-12


@pytest.mark.parametrize("name", sorted(set(schedules) - JUMPING))
@given(st.data())
def test_a_schedule_without_jumps_has_none(name, data):
    spec, seen = data.draw(specs("schedule", name, usual=True)), data.draw(VALIDATIONS)
    place = data.draw(st.floats(0, 1 - TINY))
    assert abs(factor(spec, place + TINY, seen) - factor(spec, place, seen)) < 2e-3


@pytest.mark.parametrize("name", ["step", "cosine_restarts"])
def test_a_schedule_with_jumps_has_them_and_no_others(name):
    places = np.arange(0, 1, 1e-3)
    moves = np.abs(np.diff([factor(name, place) for place in places]))
    assert [round(places[i] + 1e-3, 3) for i in np.flatnonzero(moves > 0.05)] == (
        [0.334, 0.667] if name == "step" else [0.143, 0.429]
    )


@every_schedule
def test_the_value_at_the_end_is_the_one_it_ends_at(name):
    assert factor(name, 1.0) == pytest.approx(factor(name, 1 - 1e-12), abs=1e-5)


@every_schedule
@given(st.data())
def test_ramps_are_lines_with_the_whole_schedule_between_them(name, data):
    spec, seen = data.draw(specs("schedule", name, usual=True)), data.draw(VALIDATIONS)
    warmup, cooldown = data.draw(st.floats(0.01, 0.5)), data.draw(st.floats(0.01, 0.4))
    share = data.draw(st.floats(0, 1, exclude_max=True))
    at = pytest.approx

    def ramped_at(progress):
        return factor(spec, progress, seen, warmup, cooldown)

    assert ramped_at(share * warmup) == at(share * factor(spec, 0.0, seen), abs=1e-9)
    assert ramped_at(1 - share * cooldown) == at(share * factor(spec, 1.0, seen), abs=1e-9)
    assert ramped_at(0.0) == ramped_at(1.0) == 0
    place = data.draw(st.integers(1, 999)) / 1000 + 1e-5  # beside the jumps
    between = ramped_at(warmup + place * (1 - warmup - cooldown))
    assert between == at(factor(spec, place, seen), rel=1e-6, abs=1e-6)


@every_schedule
@given(st.data())
def test_without_ramps_the_schedule_is_untouched_to_the_last_bit(name, data):
    choice = schedules.parse(data.draw(specs("schedule", name)))
    seen, place = data.draw(VALIDATIONS), data.draw(st.floats(0, 1))
    context = (seen,) if watches(choice) else ()
    assert factor(choice, place, seen) == schedules.build(choice, place, *context)


def test_only_what_asks_for_the_validation_watches_it(monkeypatch):
    monkeypatch.setattr(schedules, "functions", dict(schedules.functions))
    monkeypatch.setattr(schedules, "_choices", dict(schedules._choices))

    @schedules.add
    def own(progress, validations, *, per_epoch: float = 0.5):
        """Half as much after every epoch. Source: this test."""
        return per_epoch ** len(validations)

    assert [name for name in schedules if watches(schedules.parse(name))] == ["on_plateau", "own"]
    session, _ = trained(SMALL.changed(schedule="own"))
    assert session.history.lr == pytest.approx([0.1 * 0.5 ** (step // 7) for step in range(21)])


# -- in a recipe ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("warmup", "cooldown"), [(0.5, 0.5), (0.9, 0.2)])
def test_ramps_that_leave_nothing_are_refused(warmup, cooldown):
    with pytest.raises(RecipeError) as refused:
        SMALL.changed(warmup=warmup, cooldown=cooldown)
    assert str(refused.value) == (
        f"warmup {warmup} and cooldown {cooldown} leave nothing of the run between them: "
        "together they must be less than 1."
    )


def test_the_rates_of_a_run_are_those_of_its_schedule_between_its_ramps():
    recipe = SMALL.changed(schedule="linear", warmup=0.2, cooldown=0.1)
    session, _ = trained(recipe)
    places = [step / 21 for step in range(21)]
    expected = [0.1 * ramped(lambda place: 1 - place, place, warmup=0.2, cooldown=0.1) for place in places]
    assert session.history.lr == expected
    assert expected[0] == 0
    assert max(expected) == expected[4]


# -- what watches the validation --------------------------------------------------------------------------------------

IMPATIENT = {"name": "on_plateau", "patience": 0, "factor": 0.5, "metric": "accuracy", "threshold": 0.02}
WATCHERS = {
    "on_plateau": SMALL.changed(schedule=IMPATIENT, epochs=8, warmup=0.1, optimizer={"name": "sgd", "momentum": 0.9}),
    "patience": SMALL.changed(patience=2, epochs=60, **{"optimizer.lr": 0.5}),
    "both": SMALL.changed(patience=3, schedule=IMPATIENT, epochs=60, optimizer="adam", depth_decay=0.7),
}
watcher = pytest.mark.parametrize("name", WATCHERS)


def test_the_rate_drops_after_the_epochs_that_did_not_help():
    session, _ = trained(WATCHERS["on_plateau"].changed(warmup=0))
    best, drops, expected = -1.0, 0, []
    for epoch in session.history.epochs:
        expected += [0.1 * 0.5**drops] * session.steps_per_epoch
        drops += epoch.validation_accuracy <= best * 1.02
        best = epoch.validation_accuracy if epoch.validation_accuracy > best * 1.02 else best
    assert drops > 1
    assert session.history.lr == expected


@pytest.mark.parametrize(
    ("losses", "patience", "over"),
    [
        ([], 1, False),
        ([2], 1, False),
        ([2, 1], 1, False),
        ([2, 2], 1, True),  # no lower is not lower
        ([2, 3, 1.9], 2, False),
        ([2, 3, 2.1], 2, True),
        ([2, 3, 3, 3], 0, False),
    ],
)
def test_patience(losses, patience, over):
    assert stalled(losses, patience) is over


def test_a_run_stops_after_its_patience_with_the_last_weights():
    recipe = WATCHERS["patience"]
    session, events = trained(recipe)
    losses, count = [loss for loss, _ in session.history.validations], len(session.history.epochs)
    best = losses.index(min(losses)) + 1
    assert count == best + 2 < recipe.epochs
    assert events[-1] == Finished(
        "finished",
        session.step,
        f"Stopped early: the validation loss was lowest, {min(losses):.4f}, after epoch {best}; "
        f"the weights are those after epoch {count} of 60.",
    )
    assert session.evaluate(session.validation_split)[0] == losses[-1] > min(losses)
    unhurried, _ = trained(recipe.changed(patience=0))
    assert unhurried.history.loss[: session.step] == session.history.loss
    assert unhurried.step > session.step


def test_a_run_that_gets_better_to_the_end_says_nothing():
    _, events = trained(SMALL.changed(patience=3))
    assert events[-1] == Finished("finished", 21)


@watcher
@pytest.mark.parametrize("kind", [Step, Epoch])
def test_a_run_that_watches_the_validation_is_resumed_bit_for_bit(name, kind):
    whole, events = trained(WATCHERS[name])
    for number in (1, 3, sum(isinstance(event, kind) for event in events)):
        left = Training(WATCHERS[name], device="cpu")
        seen = iter(event for event in left if isinstance(event, kind))
        for _ in range(number):
            next(seen)
        resumed = Training(WATCHERS[name], device="cpu")
        resumed.restore(left.state())
        assert list(resumed)[-1] == events[-1]
        assert same_history(resumed, whole)
        assert same_weights(resumed, whole)


def test_what_watches_the_validation_trains_in_turn_among_others():
    recipes = [SMALL, WATCHERS["patience"], SMALL.changed(seed=8), WATCHERS["patience"].changed(seed=8)]
    recipes = [recipe.changed(model={"name": "mlp", "width": 8}, epochs=12) for recipe in recipes]
    assert groups(recipes) == [[0, 2], [1, 3]]
    assert [pays(Training(recipe, device="cpu")) for recipe in recipes[:2]] == [True, False]
    runs = train_many(recipes, device="cpu", spread=False)
    for index in (1, 3):
        assert same_history(runs[index], trained(recipes[index])[0])
