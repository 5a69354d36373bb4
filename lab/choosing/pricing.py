"""What a choice will cost: a moment of each way is measured, and the plan is made to fit the seconds there are."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from math import ceil, floor, log10
from typing import Any, NamedTuple

import torch

from lab.catalogue import RecipeError
from lab.choosing.telling import COMMAND, Command
from lab.data.batches import batches
from lab.many import endless, seconds_per_step
from lab.plans import Plan, planned_runs
from lab.recipe import Recipe
from lab.steps import EVALUATION_BATCH
from lab.training import Training
from lab.transfer import thawing

LEAST_EPOCHS, LEAST_SEEDS = 5, 3  # below these a comparison says little
SMALLEST = 8  # pixels that are worth a try
SHARE = 0.8  # of the seconds, what the plan may take: a search that has to widen takes more
SLACK = 1.1  # when the same is measured again it may take a little more
BASELINE = "scratch"  # by which the others are judged: it is kept before them where not all fit
RATES, TUNING_SEEDS = 5, 2  # rates tried of each way, and seeds that the best of them meet


class Price(NamedTuple):
    """Seconds of a run: once, and for each epoch."""

    once: float
    epoch: float

    def of(self, epochs: int) -> float:
        return self.once + epochs * self.epoch


def prices_of(arms: Mapping[str, Recipe], **where: Any) -> dict[str, Price]:
    """Measured here, way by way, in a second or two each."""
    return {name: price(recipe, **where) for name, recipe in arms.items()}


def price(recipe: Recipe, **where: Any) -> Price:
    """By a few of its steps; where layers thaw later, as if all of them were trained all along."""
    start = time.perf_counter()
    thawed = recipe.changed(transfer="whole") if recipe.transfer.name in thawing else recipe
    session = Training(endless(thawed), **where)
    built = time.perf_counter() - start
    each = seconds_per_look(session)
    if session.layer_on_features() is not None:  # computed once of every image
        return Price(built + each * (len(session.train_split) + len(session.validation_split)), 0.0)
    seconds_per_step(session)  # warms up
    return Price(built, seconds_per_step(session) * session.steps_per_epoch + each * len(session.validation_split))


def seconds_per_look(session: Training) -> float:
    """What an image takes that is only looked at: the second of two batches, for the first one warms up."""
    size = min(EVALUATION_BATCH, len(session.train_split))
    images, _ = next(batches(session.train_split, torch.arange(size), size, session.device))
    taken = 0.0
    for _ in range(2):
        start = time.perf_counter()
        session.answer({}, images).sum().item()
        taken = time.perf_counter() - start
    return taken / size


def plan_of(arms: Mapping[str, Recipe], epochs: int, seeds: int) -> Plan:
    """The comparison of the ways."""
    same = {name: recipe.changed(epochs=epochs) for name, recipe in arms.items()}
    return Plan(arms=same, seeds=seeds, trials=RATES, tuning_seeds=TUNING_SEEDS)


def runs_each(plan: Plan) -> int:
    """Runs of each way, without a search that widens: there are none at the rates given, which mean nothing here."""
    return planned_runs(plan) // len(plan.arms) - plan.seeds


def seconds_of(plan: Plan, prices: Mapping[str, Price]) -> float:
    """About what a plan takes, and the winner once more."""
    each = [prices[name].of(arm.epochs) for name, arm in plan.arms.items()]
    return runs_each(plan) * sum(each) + max(each)


def fitted(
    arms: Mapping[str, Recipe],
    seeds: int,
    seconds: float,
    prices: Mapping[str, Price],
    *,
    fixed: bool,
    spent: float = 0.0,
    said: Command = COMMAND,
) -> Plan:
    """The largest plan within the seconds: epochs go first, then seeds.

    Args:
        fixed: whether the person has said how many epochs; spent: of the seconds, what reading and measuring took.
    Raises:
        RecipeError: not even the smallest fits, with what it takes and what would help.
    """
    plan, least = None, next(iter(arms.values())).epochs
    for epochs, count in sizes(least, seeds, fixed=fixed):
        plan = plan_of(arms, epochs, count)
        if seconds_of(plan, prices) <= SHARE * (seconds - spent):
            return plan
    assert plan is not None
    too_much = (
        f"{len(arms)} ways take about {ceil(spent + seconds_of(plan, prices) / SHARE)} s even with "
        f"{next(iter(plan.arms.values())).epochs} epochs and {plan.seeds} seeds, but only {seconds:g} s were given."
    )
    more = f"Or give more time{smaller_images(arms)}:{said.again(seconds=enough(plan, prices, spent))}"
    raise RecipeError("\n".join(filter(None, [too_much, what_fits(plan, seconds, prices, spent, said), more])))


def enough(plan: Plan, prices: Mapping[str, Price], spent: float) -> int:
    """Seconds that a plan asks for, with two digits, rounded up."""
    seconds = SLACK * (spent + seconds_of(plan, prices) / SHARE)
    digit = 10 ** max(0, floor(log10(max(1.0, seconds))) - 1)
    return digit * ceil(seconds / digit)


def what_fits(plan: Plan, seconds: float, prices: Mapping[str, Price], spent: float, said: Command) -> str:
    """The most ways that fit, the baseline and then the cheapest, and the most seeds; or what less than this takes."""
    epochs = next(iter(plan.arms.values())).epochs
    cheap = sorted(plan.arms, key=lambda name: prices[name].of(epochs))
    ways = sorted(cheap, key=lambda name: name != BASELINE)
    room = SHARE * (seconds - spent)
    if found := most_that_fit(plan, ways, room, prices):
        return f"These fit:{said.again(**found)}"
    least = of_ways(plan, ways[:2], seeds=2)
    wanted = {"ways": ",".join(least.arms), "seeds": 2, "seconds": enough(least, prices, spent)}
    taken = f"{' and '.join(ways[:2])} with two seeds take about {ceil(spent + seconds_of(least, prices) / SHARE)} s"
    others = most_that_fit(plan, [name for name in cheap if name != BASELINE], room, prices)
    alone = f"Without {BASELINE}, by which the others are judged, these fit:{said.again(**others)}" if others else ""
    fewer = f"{taken}:{said.again(**wanted)}" if least != plan else ""
    return "\n".join(filter(None, [fewer, alone]))


def most_that_fit(plan: Plan, ways: Sequence[str], seconds: float, prices: Mapping[str, Price]) -> dict[str, str | int]:
    """The wishes for the most of these ways, the first ones before the others; empty where no two of them fit."""
    for count in range(len(ways), 1, -1):
        for seeds in range(plan.seeds, 1, -1):
            some = of_ways(plan, ways[:count], seeds)
            if seconds_of(some, prices) <= seconds:
                return {"ways": ",".join(some.arms), "seeds": seeds}
    return {}


def of_ways(plan: Plan, names: Collection[str], seeds: int) -> Plan:
    """The plan with these ways alone, in its own order."""
    epochs = next(iter(plan.arms.values())).epochs
    return plan_of({name: arm for name, arm in plan.arms.items() if name in names}, epochs, seeds)


def smaller_images(arms: Mapping[str, Recipe]) -> str:
    """`, or smaller images (data.size=32)`; nothing where a run decides their size, or they are small already."""
    smaller = min(dict(arm.data).get("size", 0) for arm in arms.values()) // 2
    given = any(arm.source.name == "run" for arm in arms.values())
    return f", or smaller images (data.size={smaller})" if smaller >= SMALLEST and not given else ""


def sizes(epochs: int, seeds: int, *, fixed: bool) -> Iterator[tuple[int, int]]:
    """(epochs, seeds) from what was asked for down to the least that is worth it.

    Example:
        >>> list(sizes(7, 4, fixed=False))
        [(7, 4), (6, 4), (5, 4), (5, 3)]
    """
    lowest = epochs if fixed else min(epochs, LEAST_EPOCHS)
    yield from ((count, seeds) for count in range(epochs, lowest - 1, -1))
    yield from ((lowest, count) for count in range(seeds - 1, min(seeds, LEAST_SEEDS) - 1, -1))
