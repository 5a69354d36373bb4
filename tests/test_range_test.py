"""The range test finds rates that are known, and leaves a training as it was, to the last bit."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from small_runs import SMALL, TINY_CNN, loop, same_history, same_weights
from torch import nn

from lab.__main__ import main
from lab.catalogue import RecipeError
from lab.diagnostics import Curve, RangeTest, on, range_test
from lab.diagnostics.range_test import Sweep, curve_of
from lab.diagnostics.rate_rules import longest_valley, minimum_tenth, smoothed, steepest, valley
from lab.events import Started, Step
from lab.models import models
from lab.recipe import Recipe
from lab.store import RunError
from lab.training import Training

RATES = np.geomspace(1e-6, 10, 100)
QUICK = {"steps": 60, "repeats": 2}


def sigmoid_fall(centre):
    """Losses that fall from 2 to 1 by the logarithm of the rate, fastest at a centre."""
    return 1 + 1 / (1 + (RATES / centre))


# -- rules on curves that are known -----------------------------------------------------------------------------


@pytest.mark.parametrize("centre", [1e-4, 1e-3, 1e-2])
def test_the_steepest_rate_is_where_the_curve_falls_fastest(centre):
    assert steepest(RATES, sigmoid_fall(centre)) == pytest.approx(centre, rel=0.1)


def test_the_minimum_of_a_parabola_is_found():
    losses = (np.log10(RATES) + 1) ** 2 + 0.5  # lowest at 0.1
    assert minimum_tenth(RATES, losses) == pytest.approx(0.01, rel=0.1)


def fastai_valley(losses):
    """The place that fastai's published rule picks, read from its description: quadratic, one loop in another."""
    lengths, best = [1] * len(losses), 0
    for i in range(len(losses)):
        for j in range(i):
            if losses[i] < losses[j] and lengths[i] < lengths[j] + 1:
                lengths[i] = lengths[j] + 1
        if lengths[best] < lengths[i]:
            best = i
    sections = lengths[best] / 3
    return best - lengths[best] + int(sections) + int(sections / 2)


@pytest.mark.parametrize("seed", range(5))
def test_the_valley_is_that_of_fastai(seed):
    draws = np.random.RandomState(seed)
    losses = sigmoid_fall(1e-2) + 0.2 * draws.rand(100) + np.maximum(0, np.log10(RATES)) * 3
    assert valley(RATES, losses) == RATES[fastai_valley(losses)]


def test_a_valley_that_only_falls_is_the_whole_curve():
    assert longest_valley(np.arange(9.0)[::-1]) == (8, 9)
    assert valley(RATES[:9], np.arange(9.0)[::-1]) == RATES[-1 + 3 + 1]


def test_smoothing_keeps_a_constant_and_forgets_the_start():
    assert smoothed(np.full(7, 3.0)) == pytest.approx(3.0)
    weights = 0.8 ** np.arange(4)[::-1]
    assert smoothed(np.array([4.0, 1.0, 2.0, 8.0]))[-1] == pytest.approx(
        float(weights @ [4, 1, 2, 8]) / float(weights.sum())
    )


@pytest.mark.parametrize("last", [1e9, math.inf, math.nan])
def test_a_curve_ends_where_the_loss_ran_away(last):
    curve = curve_of(RATES[:31], np.array([2.0] * 30 + [last]))
    assert (len(curve.rates), curve.diverged) == (30, RATES[30])
    assert curve_of(RATES[:30], np.array([2.0] * 30)).diverged is None


def test_a_loss_that_never_falls_suggests_nothing():
    curve = curve_of(RATES, np.full(100, 2.3))
    assert curve.suggestions == {}
    found = RangeTest(Recipe(), (curve,))
    assert (found.suggestions, found.diverged) == ({}, None)
    assert found.agreement == "The loss never fell: no rate can be suggested."
    assert "did not run away" in str(found)


def test_the_whole_is_the_median_of_its_curves():
    curves = tuple(curve_of(RATES, sigmoid_fall(centre)) for centre in (1e-3, 1e-2, 3e-2))
    found = RangeTest(Recipe(), curves)
    assert found.suggestions == pytest.approx(curves[1].suggestions)
    assert "over 3 passes a rule moves by up to a factor of " in found.agreement
    assert "one pass does not say" in RangeTest(Recipe(), curves[:1]).agreement
    median, low, high = found.band()
    assert (low <= median).all()
    assert (median <= high).all()


def test_a_curve_that_ran_away_is_above_all_others_from_there_on():
    """The median of those that are left alone would fall where most have failed."""
    short, far = (Curve(RATES[:end], np.full(end, 3.0), float(RATES[end])) for end in (40, 60))
    median, low, high = RangeTest(Recipe(), (short, far, Curve(RATES, np.full(100, 1.0), None))).band()
    assert median[:60] == pytest.approx(3.0)
    assert np.isinf(median[60:]).all()
    assert low == pytest.approx(1.0)
    assert high[:40] == pytest.approx(3.0)
    assert np.isinf(high[40:]).all()


def test_where_most_curves_ran_away_is_said():
    away, held = Curve(RATES, np.full(100, 1.0), 2.0), Curve(RATES, np.full(100, 1.0), None)
    assert RangeTest(Recipe(), (away, away, held)).diverged == pytest.approx(2.0)
    assert RangeTest(Recipe(), (away, held)).diverged is None


# -- in a training ----------------------------------------------------------------------------------------------


def test_a_sweep_makes_the_updates_of_its_rates():
    """Each one as torch makes it: plain gradient descent with a growing rate, on the run's own batches."""
    recipe = SMALL.changed(schedule="cosine")
    sweep, plain = Sweep(recipe, device="cpu"), Training(recipe, device="cpu")
    curve = sweep.over(1e-3, 1e-1, 20)
    rates = np.geomspace(1e-3, 1e-1, 20)
    assert curve.rates == pytest.approx(rates)
    optimizer, losses = torch.optim.SGD(plain.model.parameters(), lr=1.0), []
    for place, rate in enumerate(rates):
        if place % plain.steps_per_epoch == 0:
            if place:
                plain.end_permutation()
            order = plain.permutation().split(8)
        index = order[place % plain.steps_per_epoch]
        images, labels = plain.train_split.images[index], plain.train_split.labels[index]
        loss = nn.functional.cross_entropy(plain.model(plain.prepare(images)), labels)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert curve.losses == pytest.approx(losses, rel=1e-4)


def test_rates_of_the_digits_are_where_a_sweep_of_runs_finds_them():
    """Whole runs do best from .03 to .1, and at 1 they are at chance (a sweep of runs, by hand)."""
    found = range_test(Recipe(), device="cpu")
    assert 0.02 < found.suggestions["steepest"] < 0.2
    assert 0.02 < found.suggestions["minimum_tenth"] < 0.2
    assert 0.003 < found.suggestions["valley"] < 0.1
    assert 0.5 < found.diverged < 10


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_same_recipe_gives_the_same_curves(optimizer):
    first, second = (range_test(SMALL.changed(optimizer=optimizer), device="cpu", **QUICK) for _ in range(2))
    assert [curve.losses.tolist() for curve in first.curves] == [curve.losses.tolist() for curve in second.curves]
    assert first.curves[0].losses.tolist() != first.curves[1].losses.tolist()


def noisy():
    @models.add
    def shaky(shape, classes, activation):
        """A network with batch statistics and dropout. Source: this test."""
        layers = [nn.Linear(math.prod(shape), 8), nn.BatchNorm1d(8), activation(), nn.Dropout(0.3)]
        return nn.Sequential(nn.Flatten(), *layers, nn.Linear(8, classes))

    return SMALL.changed(model="shaky", augment=["crop"], optimizer={"name": "sgd", "momentum": 0.9})


OTHER_WEIGHTS = {"optimizer": "schedule_free_adamw", "average": "swa", "gradient": ["sam", "gradient_noise"]}
CHANGES = [{}, {"optimizer": "adam"}, {"model": TINY_CNN, "label_smoothing": 0.1}, OTHER_WEIGHTS]


@pytest.mark.parametrize("change", CHANGES, ids=str)
@pytest.mark.parametrize("after", [0, 5, 7])
def test_a_test_in_the_middle_of_a_training_changes_no_bit(change, after, monkeypatch):
    monkeypatch.setattr(models, "functions", dict(models.functions))
    monkeypatch.setattr(models, "_choices", dict(models._choices))
    recipe = noisy().changed(**change)
    undisturbed, session = Training(recipe, device="cpu"), Training(recipe, device="cpu")
    list(undisturbed)
    before, events = torch.get_rng_state(), iter(session)
    while not isinstance(next(events), Started | Step) or session.step < after:
        pass
    curves = on(session, steps=30, repeats=2, high=1.0).curves
    list(events)
    assert torch.equal(torch.get_rng_state(), before)
    assert same_weights(session, undisturbed)
    assert same_history(session, undisturbed)
    assert curves[0].losses[0] != curves[1].losses[0]


def test_a_test_on_a_training_begins_with_its_next_batch_and_its_momentum():
    recipe = SMALL.changed(optimizer={"name": "sgd", "momentum": 0.9, "lr": 0.05})
    session = Training(recipe, device="cpu")
    events = iter(session)
    while session.step < 5:
        next(events)
    curve = on(session, low=0.05, high=0.050001, steps=20, repeats=1).curves[0]
    list(events)
    assert curve.losses[:10] == pytest.approx(session.history.loss[5:15], rel=1e-4)


def test_a_test_on_a_diverged_training_is_refused():
    session = Training(SMALL.changed(**{"optimizer.lr": 1e4, "model.depth": 4, "epochs": 6}), device="cpu")
    list(session)
    with pytest.raises(ValueError, match="has diverged: there is nothing to find a rate for"):
        on(session)


def test_groups_of_parameters_keep_the_proportion_of_their_rates():
    sweep = Sweep(SMALL.changed(**{"optimizer.weight_decay": 0.1}), device="cpu")
    sweep._base_rates = [0.1, 0.2]
    sweep.over(1e-4, 1e-2, 20)
    assert [group["lr"] for group in sweep.optimizer.param_groups] == pytest.approx([1e-2, 2e-2])


def test_a_test_makes_no_more_updates_than_it_has_rates(monkeypatch):
    steps = []
    monkeypatch.setattr(Sweep, "_step", lambda self, *batch: (steps.append(1), Training._step(self, *batch)))
    range_test(SMALL, steps=33, repeats=2, high=0.01, device="cpu")
    assert len(steps) == 66


def test_a_test_stops_where_the_loss_ran_away_when_every_step_is_read(monkeypatch):
    monkeypatch.setattr(loop, "BLOCK_SECONDS", 0)
    sweep = Sweep(SMALL.changed(**{"model.depth": 4}), device="cpu")
    curve = sweep.over(1e-3, 1e6, 200)
    assert curve.diverged
    assert len(curve.rates) == len(sweep.history.loss) - 1 < 199


def test_out_of_memory_is_said_in_words(monkeypatch):
    def fail(self, *batch):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 PiB")

    monkeypatch.setattr(Sweep, "_step", fail)
    with pytest.raises(RunError, match="Not enough memory on cpu"):
        range_test(SMALL, device="cpu")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"low": 0}, "must go from above 0"),
        ({"low": 1, "high": 0.1}, "must go from above 0"),
        ({"high": math.inf}, "must go from above 0"),
        ({"steps": 19}, "steps is 19 and repeats 3, but must be at least 20 and 1"),
        ({"repeats": 0}, "repeats 0"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, said):
    with pytest.raises(RecipeError, match=said):
        range_test(SMALL, **wrong)


# -- the command ------------------------------------------------------------------------------------------------


def test_the_command_prints_suggestions(capsys):
    assert main(["range", "--device", "cpu", "--repeats", "2", "--steps", "60"]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{range_test(Recipe(), device='cpu', **QUICK)}\n"
    assert [line.split()[0] for line in printed.out.splitlines()][:3] == ["steepest", "valley", "minimum_tenth"]
    assert printed.err == ""


def test_the_command_prints_json(capsys):
    assert main(["range", "--device", "cpu", "--repeats", "1", "--high", "0.5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert set(found["suggestions"]) == {"steepest", "valley", "minimum_tenth"}
    assert len(found["curves"][0]["rates"]) == 100


def test_bad_rates_exit_2(capsys):
    assert main(["range", "--low", "1", "--high", "0.1"]) == 2
    assert capsys.readouterr().err.startswith("lab: The rates go from 1 to 0.1")
