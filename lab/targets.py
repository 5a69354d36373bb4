"""Time to a target: after how many steps the arms first reach an accuracy, and how those compare."""

from __future__ import annotations

from itertools import combinations
from math import exp

import numpy as np

from lab.compare import Comparison, Phase, Trial
from lab.verdicts import critical


def steps_to(trial: Trial, target: float) -> float | None:
    """Steps until the validation accuracy, looked at after each epoch, first was `target`; None if it never was."""
    reached = [epoch for epoch, accuracy in enumerate(trial.curve, start=1) if accuracy >= target]
    return reached[0] * trial.steps / trial.epochs if reached else None


def target_lines(comparison: Comparison, phase: Phase) -> list[str]:
    """For each arm how often and when it got there; for each pair of arms that always did, the ratio of steps."""
    target = comparison.plan.target
    if target is None:
        return []
    steps = {name: steps_of(comparison, phase, name, target) for name in comparison.arms}
    lines = [arm_line(name, found) for name, found in steps.items()]
    sure = {name: [count for count in found if count] for name, found in steps.items() if found and all(found)}
    pairs = list(combinations(sure, 2))
    return lines + [ratio_line((a, b), sure, comparison.plan.level, len(pairs)) for a, b in pairs]


def steps_of(comparison: Comparison, phase: Phase, name: str, target: float) -> list[float | None]:
    trials = [trial for trial in comparison.trials if (trial.arm, trial.phase) == (name, phase)]
    return [steps_to(trial, target) for trial in sorted(trials, key=lambda trial: trial.seed)]


def arm_line(name: str, found: list[float | None]) -> str:
    there = [count for count in found if count]
    if not there:
        return f"{name} never got there ({len(found)} seeds)."
    return f"{name} got there at {len(there)} of {len(found)} seeds, after {np.median(there):,.0f} steps (median)."


def ratio_line(pair: tuple[str, str], steps: dict[str, list[float]], level: float, pairs: int) -> str:
    """Geometric mean of the paired ratios with a t interval on their logarithms, corrected for the number of pairs."""
    a, b = pair
    seeds = min(len(steps[a]), len(steps[b]))
    logs = np.log(np.array(steps[a][:seeds]) / np.array(steps[b][:seeds]))
    said = f"{a} takes {exp(float(logs.mean())):.2f} times the steps of {b}"
    if seeds < 2:
        return f"{said} (one seed, which shows nothing)."
    reach = critical(seeds, 1 - (1 - level) / pairs) * float(logs.std(ddof=1)) / seeds**0.5
    low, high = exp(float(logs.mean()) - reach), exp(float(logs.mean()) + reach)
    shown = "" if low > 1 or high < 1 else "; no difference shown"
    corrected = f", corrected for {pairs} comparisons" if pairs > 1 else ""
    return f"{said} ({100 * level:g}% interval {low:.2f} to {high:.2f}, {seeds} seeds{corrected}{shown})."
