"""The learning-rate range test: the rate grows at every step until the loss runs away.

Source: Smith 2017, arXiv 1506.01186, section 3.3 (there the rate grows linearly); the exponential growth, the
smoothing and the end at four times the best loss are those of fastai's `lr_find`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import exp, isfinite, log
from typing import Any

import numpy as np
import torch

from lab.diagnostics.rate_rules import REACH, RULES, SETTLED, smoothed
from lab.events import Event, Finished, Metrics
from lab.recipe import Recipe, RecipeError, checked
from lab.steps import stream
from lab.store import RunError
from lab.training import Training

LOW, HIGH, STEPS, REPEATS = 1e-6, 10.0, 100, 3
FEWEST = 20  # steps that the rules need
RUNAWAY = 4.0  # times the best smoothed loss
FALL = 0.95  # of the first losses: a curve that never gets below it says nothing about rates


@dataclass(frozen=True)
class Curve:
    """One pass over the rates.

    rates: of the updates that were made, in order; losses: of their batches, before the update, in nats;
    diverged: the rate at which the loss ran away, or None.
    """

    rates: np.ndarray
    losses: np.ndarray
    diverged: float | None

    @cached_property
    def smooth(self) -> np.ndarray:
        return smoothed(self.losses)

    @cached_property
    def suggestions(self) -> dict[str, float]:
        """A rate by each rule; empty when the loss never fell."""
        if len(self.rates) <= 2 * REACH or self.smooth.min() > FALL * float(np.median(self.losses[:SETTLED])):
            return {}
        return {name: float(rule(self.rates, self.smooth)) for name, rule in RULES.items()}


@dataclass(frozen=True)
class RangeTest:
    """Several passes over the same rates, which differ by the order of the batches (and, of a recipe, by its seed)."""

    recipe: Recipe
    curves: tuple[Curve, ...]

    @property
    def rates(self) -> np.ndarray:
        """Of the longest curve."""
        return max((curve.rates for curve in self.curves), key=len)

    def band(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Median, lowest and highest smoothed loss at each of `rates`.

        A curve that ran away is infinite from there on: the median of those that are left would fall where most fail.
        """
        table = np.full((len(self.curves), len(self.rates)), np.inf)
        for row, curve in zip(table, self.curves, strict=True):
            row[: len(curve.smooth)] = curve.smooth
        return np.median(table, axis=0), table.min(axis=0), table.max(axis=0)

    @property
    def suggestions(self) -> dict[str, float]:
        """By rule, the median over the curves that have one, of the rate's logarithm."""
        found = {name: self._found(name) for name in RULES}
        return {name: float(np.exp(np.median(np.log(rates)))) for name, rates in found.items() if rates}

    @property
    def diverged(self) -> float | None:
        """Where the loss ran away, the median over the curves; None when most did not."""
        ends = [log(curve.diverged) for curve in self.curves if curve.diverged]
        return exp(float(np.median(ends))) if 2 * len(ends) > len(self.curves) else None

    @property
    def agreement(self) -> str:
        """How far the rules, and each rule's passes, are apart: factors, in words."""
        if not self.suggestions:
            return "The loss never fell: no rate can be suggested."
        low, high = min(self.suggestions.values()), max(self.suggestions.values())
        words = f"The rules differ by a factor of {high / low:.2g} ({low:.2g} to {high:.2g})"
        if len(self.curves) == 1:
            return f"{words}; one pass does not say how far chance moves them."
        moved = max(max(rates) / min(rates) for name in self.suggestions if (rates := self._found(name)))
        fell = sum(bool(curve.suggestions) for curve in self.curves)
        of = f"{fell} of {len(self.curves)}" if fell < len(self.curves) else f"{fell}"
        return f"{words}; over {of} passes a rule moves by up to a factor of {moved:.2g}."

    def facts(self) -> dict[str, Any]:
        """For machines."""
        curves = [
            {"rates": curve.rates.tolist(), "losses": curve.losses.tolist(), "diverged": curve.diverged}
            | {"suggestions": curve.suggestions}
            for curve in self.curves
        ]
        said = {"suggestions": self.suggestions, "diverged": self.diverged, "agreement": self.agreement}
        return {"id": self.recipe.id, **said, "curves": curves}

    def __str__(self) -> str:
        width = max(map(len, RULES))
        lines = [f"{name:{width}}  {rate:.2g}" for name, rate in self.suggestions.items()]
        end = f"{'diverges':{width}}  {self.diverged:.2g}" if self.diverged else "The loss did not run away."
        return "\n".join([*lines, end, self.agreement])

    def _found(self, name: str) -> list[float]:
        return [curve.suggestions[name] for curve in self.curves if curve.suggestions]


def range_test(
    recipe: Recipe,
    *,
    low: float = LOW,
    high: float = HIGH,
    steps: int = STEPS,
    repeats: int = REPEATS,
    device: str | torch.device | None = None,
) -> RangeTest:
    """Train a recipe for a few steps at rates that grow from low to high; its own optimizer, loss and augmentation.

    lr_i = low (high / low)^(i / (steps - 1)) ;  its schedule is left out. The n-th repeat has the recipe's seed + n.

    Args:
        low, high: first and last rate.
        steps: updates in each repeat, if the loss does not run away before.
    Raises:
        DataError, DeviceError: no data; no such device.
        RecipeError: not 0 < low < high, fewer than 20 steps or no repeat.
    """
    found = list(range_tests(recipe, low=low, high=high, steps=steps, repeats=repeats, device=device))
    return next(test for test in reversed(found) if test is not None)


def range_tests(
    recipe: Recipe,
    *,
    low: float = LOW,
    high: float = HIGH,
    steps: int = STEPS,
    repeats: int = REPEATS,
    device: str | torch.device | None = None,
) -> Iterator[RangeTest | None]:
    """The same for those who watch: what is known after each repeat, and None after each event before that.

    Whoever wants to stop need not wait for the end of a repeat.
    """
    checked(recipe)
    check(low, high, steps, repeats)
    curves: list[Curve] = []
    first: Sweep | None = None
    for number in range(repeats):
        sweep = Sweep(recipe.changed(seed=(recipe.seed + number) % 2**30), device=device, like=first)
        first = first or sweep
        curve = yield from sweep.steps_over(low, high, steps)
        curves.append(curve)
        yield RangeTest(recipe, tuple(curves))


def on(
    session: Training, *, low: float = LOW, high: float = HIGH, steps: int = STEPS, repeats: int = REPEATS
) -> RangeTest:
    """A range test from where a training stands: its weights, optimizer state, statistics and random streams.

    It is made on copies, so the training goes on as if nothing had been. The first repeat has the training's next
    batches, each further one an order of its own.

    Raises:
        ValueError: the training has diverged.
        RecipeError: as `range_test`.
    """
    check(low, high, steps, repeats)
    state = session.state()
    if state.history.diverged:
        raise ValueError("This training has diverged: there is nothing to find a rate for.")
    curves: list[Curve] = []
    for number in range(repeats):
        sweep = Sweep(session.recipe, device=session.device, like=session)
        sweep.restore(state)
        if number:
            sweep.take_another_order(number)
        curves.append(sweep.over(low, high, steps))
    return RangeTest(session.recipe, tuple(curves))


def check(low: float, high: float, steps: int, repeats: int) -> None:
    if not 0 < low < high or not isfinite(high):
        raise RecipeError(f"The rates go from {low:g} to {high:g}, but must go from above 0 to something higher.")
    if steps < FEWEST or repeats < 1:
        raise RecipeError(f"steps is {steps} and repeats {repeats}, but must be at least {FEWEST} and 1.")


class Sweep(Training):
    """A training whose rate grows from update to update, whatever its schedule says."""

    def over(self, low: float, high: float, steps: int) -> Curve:
        """Train over these rates, or until soon after the loss ran away: it is read in blocks.

        Raises:
            RunError: out of memory.
        """
        walk = self.steps_over(low, high, steps)
        while True:
            try:
                next(walk)
            except StopIteration as end:
                return end.value

    def steps_over(self, low: float, high: float, steps: int) -> Generator[None, None, Curve]:
        """The same, with a stop after every event."""
        self._rates, self._start = np.geomspace(low, high, steps), len(self.history.loss)
        for event in self:
            if isinstance(event, Finished):
                raise RunError(event.detail)
            yield
        return self._curve()

    def take_another_order(self, number: int) -> None:
        """Batches in another order, from here on."""
        self._order_of_epoch = stream((self.recipe.seed + number) % 2**30, "order").get_state()

    def set_rate(self) -> float:
        rate = float(self._rates[self.step - self._first])
        for group, base in zip(self.optimizer.param_groups, self._base_rates, strict=True):
            group["lr"] = rate * base / self.base_rate  # groups keep their proportion
        return rate

    def _epochs(self) -> Iterator[Event]:
        """As many steps as there are rates, through as many epochs as that takes; no evaluation."""
        self._first = self.step
        while True:
            for event in self._steps(self.step // self.steps_per_epoch):
                yield event
                if isinstance(event, Metrics) and self._curve().diverged:
                    return
                if self.step - self._first == len(self._rates):
                    yield from self._blocks()
                    return

    def _curve(self) -> Curve:
        return curve_of(np.array(self.history.lr[self._start :]), np.array(self.history.loss[self._start :]))


def curve_of(rates: np.ndarray, losses: np.ndarray) -> Curve:
    """What was measured until the loss ran away: not finite, or its smoothed value far above the best before."""
    smooth = smoothed(losses)
    gone = ~np.isfinite(smooth) | (smooth > RUNAWAY * np.minimum.accumulate(smooth))
    end = int(gone.argmax()) if gone.any() else len(losses)
    return Curve(rates[:end], losses[:end], float(rates[end]) if end < len(rates) else None)
