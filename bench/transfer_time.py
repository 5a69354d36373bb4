"""Time to a given accuracy, from scratch and with what a network has learned before: steps, and seconds.

  python bench/transfer_time.py [NAME ...]    # of recipes/time_to_accuracy/, all by default
  python bench/transfer_time.py --steps       # without the clock, which wants a quiet machine

`lab compare` answers the same in steps. Each way has the rate at which it is there soonest, sought with seeds and
then used with eight others; comparisons are kept in runs/, so that the clock can be read later. Seconds are those of
steps, and of features where they are computed once; looks at the validation images, one after each epoch, are not
counted. Ratios are to scratch, without the source and with all of its training, as if it served this task alone; there
are none of ways that missed the accuracy at a seed. What was measured is kept in bench/results/transfer-cpu.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from math import ceil, inf
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from measure import machine

from lab import Comparison, Plan, Recipe, Training
from lab.compare import Phase
from lab.events import Epoch, Looking
from lab.targets import Ratio, ratio_of, steps_of

ROOT = Path(__file__).resolve().parents[1]
RECIPES, RESULTS = ROOT / "recipes" / "time_to_accuracy", ROOT / "bench" / "results" / "transfer-cpu.json"
BASELINE = "scratch"

Series = Mapping[str, list[float]]  # by arm, in the order of the seeds


def seconds_to(recipe: Recipe, target: float = inf) -> float:
    """Of training, looks left out, until its validation accuracy is `target`; to the end by default."""
    session = Training(recipe, device="cpu")
    share = len(session.train_split) / (len(session.train_split) + len(session.validation_split))
    spent = before = 0.0
    for event in session:
        looks = isinstance(event, Looking | Epoch)
        counted = 1.0 if not looks else 0.0 if session.step else share  # features are kept of both splits
        spent += counted * (session.seconds - before)
        before = session.seconds
        if isinstance(event, Epoch) and event.validation_accuracy >= target:
            break
    return spent


def steps_taken(comparison: Comparison, target: float, phase: Phase) -> dict[str, list[int | None]]:
    """By arm, in the order of the seeds."""
    return {name: list(steps_of(comparison, phase, name, target).values()) for name in comparison.arms}


def seconds_taken(comparison: Comparison, arms: Sequence[str], target: float) -> dict[str, list[float]]:
    """Of each of these arms, in turn, by seed."""
    tuned = {name: comparison.arms[name].changed(**{"optimizer.lr": comparison.rate(name, "tuned")}) for name in arms}
    for recipe in tuned.values():
        seconds_to(recipe.changed(epochs=1))  # warms up
    found: dict[str, list[float]] = {name: [] for name in arms}
    for seed in range(comparison.plan.seeds):
        for name, recipe in tuned.items():
            found[name].append(seconds_to(recipe.changed(seed=seed), target))
    return found


def to_scratch(values: Series, level: float, ahead: float = 0.0) -> dict[str, Ratio]:
    """The ratio of each other arm, with what was spent ahead of it."""
    base = np.array(values[BASELINE])
    others = {name: np.array(series) for name, series in values.items() if name != BASELINE}
    return {name: ratio_of((series + ahead) / base, level) for name, series in others.items()}


def pays_from(seconds: Series, source: float) -> dict[str, int | None]:
    """The number of tasks from which on the source has saved more than it took; None where it saves nothing."""
    saved = {name: mean(seconds[BASELINE]) - mean(series) for name, series in seconds.items() if name != BASELINE}
    return {name: ceil(source / each) if each > 0 else None for name, each in saved.items()}


def measured(name: str, *, clock: bool) -> dict[str, Any]:
    """What became of one of the comparisons, as it is kept."""
    plan = Plan.load(RECIPES / f"{name}.yaml")
    assert plan.target is not None
    comparison = Comparison(plan, folder=ROOT / "runs" / "time_to_accuracy" / name, device="cpu").run()
    level = 1 - (1 - plan.level) / (len(plan.arms) - 1)  # those that never got there were looked at too
    found: dict[str, Any] = {
        "target": plan.target,
        **in_steps(comparison, "tuned", plan.target, level),
        "at the rates given": in_steps(comparison, "given", plan.target, level),
    }
    sure = list(counted(comparison, found["steps"]))
    return found | (by_the_clock(comparison, sure, plan.target, level) if clock else {})


def in_steps(comparison: Comparison, phase: Phase, target: float, level: float) -> dict[str, Any]:
    """Rates and steps of each arm, and the ratios of those that always got there."""
    steps = steps_taken(comparison, target, phase)
    ratios = to_scratch(counted(comparison, steps), level)
    rates = {arm: comparison.rate(arm, phase) for arm in comparison.arms}
    return {"rates": rates, "steps": steps, "ratios of steps": ratios}


def counted(comparison: Comparison, steps: Mapping[str, list[int | None]]) -> dict[str, list[float]]:
    """Steps of arms that always got there; where scratch did not, it counts with all it had, which favours it."""
    most = max(trial.steps for trial in comparison.of(BASELINE, "tuned"))
    return {
        arm: [float(count or most) for count in counts]
        for arm, counts in steps.items()
        if all(counts) or arm == BASELINE
    }


def by_the_clock(comparison: Comparison, arms: Sequence[str], target: float, level: float) -> dict[str, Any]:
    """Seconds of these arms, and of their source, trained anew."""
    seconds = seconds_taken(comparison, arms, target)
    source = sum(map(seconds_to, comparison.plan.first.values()))
    return {
        "seconds": seconds,
        "seconds of the source": source,
        "ratios of seconds": to_scratch(seconds, level),
        "ratios with the source": to_scratch(seconds, level, ahead=source),
        "pays from task": pays_from(seconds, source),
    }


def lines(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    """What is printed."""
    yield f"{name}, to {100 * found['target']:g}% of the validation images:"
    for arm, counts in found["steps"].items():
        there = [count for count in counts if count]
        said = f"{median(there):.0f} steps (median)" if there else "never there"
        yield f"  {arm}: there at {len(there)} of {len(counts)} seeds, {said}{clocked(found, arm)}"
    told = {**found, "ratios of steps at the rates given": found["at the rates given"]["ratios of steps"]}
    for key in ("ratios of steps", "ratios of steps at the rates given", "ratios of seconds", "ratios with the source"):
        for arm, (middle, low, high) in told.get(key, {}).items():
            yield f"  {key}: {arm} {middle:.2f} ({low:.2f} to {high:.2f})"
    if "seconds of the source" in found:
        yield f"  source {found['seconds of the source']:.3g} s; pays from task {found['pays from task']}"


def clocked(found: Mapping[str, Any], arm: str) -> str:
    seconds = found.get("seconds", {}).get(arm)
    return f", {mean(seconds):.3g} s (mean)" if seconds else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=sorted(path.stem for path in RECIPES.glob("*.yaml")))
    parser.add_argument("--steps", action="store_true", help="without the clock; keeps nothing but the comparisons")
    given = parser.parse_args()
    for name in given.names:
        found = measured(name, clock=not given.steps)
        print("\n".join(lines(name, found)), flush=True)
        if not given.steps:
            keep(name, found)


def keep(name: str, found: Mapping[str, Any], under: str = "time to accuracy") -> None:
    """Beside what `transfer.py` has measured."""
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))
    kept.setdefault(under, {})[name] = {"machine": machine("cpu", ("torch",)), **found}
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
