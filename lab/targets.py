"""Time to a target: after how many steps the arms first reach an accuracy, and how those compare."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from math import comb, exp
from typing import NamedTuple

import numpy as np

from lab.compare import Comparison, Phase, Trial
from lab.trials import epochs_to
from lab.verdicts import critical


class Ratio(NamedTuple):
    """How many times as much one arm takes as another: a geometric mean over seeds, and its interval."""

    mean: float
    low: float
    high: float


def steps_to(trial: Trial, target: float) -> int | None:
    """Steps until the validation accuracy, looked at after each epoch, first was `target`; None if it never was."""
    epochs = epochs_to(trial, target)
    return epochs * trial.steps_per_epoch if epochs else None


def target_lines(comparison: Comparison, phase: Phase) -> list[str]:
    """For each arm how often and when it got there; for each pair of arms that always did, the ratio of steps."""
    target = comparison.plan.target
    if target is None:
        return []
    steps = {name: steps_of(comparison, phase, name, target) for name in comparison.arms}
    pace = comparison.step_seconds if comparison.plan.budget == "target" else {}
    lines = [arm_line(name, list(found.values()), pace.get(name)) for name, found in steps.items()]
    sure = [name for name, found in steps.items() if found and all(found.values())]
    pairs = comb(len(comparison.arms), 2)  # those that never got there were looked at too
    lines += [ratio_line((a, b), ratios(steps[a], steps[b]), comparison, pairs) for a, b in combinations(sure, 2)]
    epochs = {trial.steps_per_epoch for trial in comparison.trials if trial.phase == phase}
    return (
        [*lines, f"Looked at once an epoch: every count may be up to {max(epochs)} steps too high."] if epochs else []
    )


def steps_of(comparison: Comparison, phase: Phase, name: str, target: float) -> dict[int, int | None]:
    """By seed."""
    return {trial.seed: steps_to(trial, target) for trial in comparison.of(name, phase)}


def ratios(a: Mapping[int, int | None], b: Mapping[int, int | None]) -> np.ndarray:
    """(n,) paired by seed."""
    return np.array([steps / b[seed] for seed, steps in a.items() if steps and b.get(seed)], dtype=float)  # pyright: ignore[reportOperatorIssue]


def arm_line(name: str, found: list[int | None], step_seconds: float | None) -> str:
    there = [count for count in found if count]
    if not there:
        return f"{name} never got there ({len(found)} seeds)."
    steps = float(np.median(there))
    seconds = f", {steps * step_seconds:.3g} s alone" if step_seconds else ""
    return f"{name} got there at {len(there)} of {len(found)} seeds, after {steps:,.0f} steps (median){seconds}."


def ratio_of(found: np.ndarray, level: float, *, sequential: bool = False) -> Ratio:
    """Geometric mean of the paired ratios (n,), n at least 2, with a t interval on their logarithms."""
    logs, seeds = np.log(found), len(found)
    middle = float(logs.mean())
    reach = critical(seeds, level, sequential=sequential) * float(logs.std(ddof=1)) / seeds**0.5
    return Ratio(exp(middle), exp(middle - reach), exp(middle + reach))


def ratio_line(pair: tuple[str, str], found: np.ndarray, comparison: Comparison, pairs: int) -> str:
    """The ratio of an arm's steps to another's, its interval corrected for the number of pairs."""
    seeds = len(found)
    said = f"{pair[0]} takes {exp(float(np.log(found).mean())):.2f} times the steps of {pair[1]}"
    if seeds < 2:
        return f"{said} (one seed, which shows nothing)."
    if np.ptp(found) == 0:
        return f"{said} at each of {seeds} seeds (in whole epochs: too coarse for an interval)."
    level = comparison.plan.level
    _, low, high = ratio_of(found, 1 - (1 - level) / pairs, sequential=comparison.sequential)
    shown = "" if low > 1 or high < 1 else "; no difference shown"
    corrected = f", corrected for {pairs} comparisons" if pairs > 1 else ""
    kind = "anytime-valid interval" if comparison.sequential else "interval"
    return f"{said} ({100 * level:g}% {kind} {low:.2f} to {high:.2f}, {seeds} seeds{corrected}{shown})."
