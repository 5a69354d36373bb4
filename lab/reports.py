"""What a comparison found, as text for a terminal, a notebook or a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from math import isfinite
from typing import Any

import pandas as pd

from lab.compare import Comparison
from lab.data import load
from lab.targets import target_lines
from lab.verdicts import Verdict, ranking_claim, words

PHASES = {"given": "At the rates given", "tuned": "Each at its tuned rate"}
CAVEAT = (
    "Intervals are over seeds (initial weights, order of batches, augmentation) on one split of one data set:\n"
    "they do not say how the arms would do on other images or other data, nor what another search would have found."
)


def report(comparison: Comparison) -> str:
    """The whole answer: arms, verdicts at the rates given and tuned, what tuning changed, and what it cost."""
    parts = [title(comparison), arms_table(comparison)]
    parts += [paragraph(PHASES[phase], findings(comparison.verdicts(phase))) for phase in comparison.phases]
    if comparison.plan.tune and comparison.plan.knobs:
        parts.append(paragraph("What the search chose", chosen(comparison)))
    if comparison.plan.target:
        heading = f"Steps to {100 * comparison.plan.target:g}% of the validation images, {{}}"
        parts += [
            paragraph(heading.format(PHASES[phase].lower()), target_lines(comparison, phase))
            for phase in comparison.phases
        ]
    if comparison.plan.tune:
        parts.append(paragraph("What tuning changed", changes(comparison)))
        parts += edges(comparison)
    return "\n\n".join([*parts, CAVEAT, cost_line(comparison)])


def facts(comparison: Comparison) -> dict[str, Any]:
    """Arms, verdicts, cost and trials, for machines; what is not a number is null."""
    return {
        "arms": json.loads(str(comparison.table().to_json(orient="index", double_precision=15))),
        "verdicts": {phase: [asdict(verdict) for verdict in comparison.verdicts(phase)] for phase in comparison.phases},
        "cost": comparison.cost(),
        "trials": json.loads(str(comparison.frame().to_json(orient="records", double_precision=15))),
    }


def title(comparison: Comparison) -> str:
    recipes = list(comparison.arms.values())
    epochs = sorted({recipe.epochs for recipe in recipes})
    length = (
        f"{epochs[0]} epoch{'s' * (epochs[0] > 1)} each" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]} epochs"
    )
    data = load(recipes[0].data, recipes[0].modify)
    seeds = min(map(len, comparison.scores("given").values()))
    return (
        f"{len(recipes)} arms on {recipes[0].data.name}, equal {comparison.plan.budget} ({length}), "
        f"{seeds} paired seeds; accuracy in % of {len(data.test):,} test images"
    )


def arms_table(comparison: Comparison) -> str:
    """One line per arm, columns aligned."""
    rows = [row_of(str(name), row, tuned=comparison.plan.tune) for name, row in comparison.table().iterrows()]
    head = ["arm", "rate given", "accuracy"]
    head += ["rate tuned", "accuracy", "within a point of its best", "failed"] if comparison.plan.tune else ["failed"]
    return aligned([head, *rows])


def row_of(name: str, row: Any, *, tuned: bool) -> list[str]:
    cells = [name, f"{row['given rate']:g}", points(row["given accuracy"], row["given sd"])]
    if not tuned:
        return [*cells, f"{row['given failed']:.0f}"]
    cells += [f"{row['tuned rate']:g}", points(row["tuned accuracy"], row["tuned sd"])]
    cells.append(f"{row['good from']:g} to {row['good to']:g} ({row['decades']:.1f} decades)")
    failed = row["given failed"] + row["tuned failed"]
    return [*cells, f"{failed:.0f}, {100 * row['search failed']:.0f}% of the search"]


def points(mean: float, sd: float) -> str:
    return f"{100 * mean:.1f}" if pd.isna(sd) else f"{100 * mean:.1f} ± {100 * sd:.1f}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def paragraph(heading: str, lines: Sequence[str]) -> str:
    return "\n".join([heading, *(f"  {line}" for line in lines)])


def findings(found: Sequence[Verdict]) -> list[str]:
    """A sentence for every pair; one for all when no pair differs."""
    if not found:
        return ["One seed shows nothing: run at least two."]
    if len(found) > 1 and not any(verdict.winner for verdict in found):
        furthest = words(max(found, key=lambda verdict: abs(verdict.difference)))
        return [f"No difference shown between any two of the arms. The two furthest apart: {furthest}"]
    return [words(verdict) for verdict in found]


def changes(comparison: Comparison) -> list[str]:
    """For each pair whose verdict was another one before tuning."""
    given = {frozenset((verdict.a, verdict.b)): verdict for verdict in comparison.verdicts("given")}
    tuned = {frozenset((verdict.a, verdict.b)): verdict for verdict in comparison.verdicts("tuned")}
    lines = []
    for a, b in combinations(comparison.arms, 2):
        before, after = given.get(frozenset((a, b))), tuned.get(frozenset((a, b)))
        if before and after and before.winner != after.winner:
            lines.append(f"{a} and {b}: {ranking_claim(before, after)}")
    if lines:
        lines.append("That a difference is shown in one and not in the other does not show that tuning changed it.")
    return lines or ["No verdict: every pair of arms stands as it stood at the rates given."]


def chosen(comparison: Comparison) -> list[str]:
    lines = []
    for name, search in comparison.searches.items():
        settings = search.overrides(comparison.point(name, "tuned")) if search.scores else {}
        lines.append(f"{name}: {', '.join(f'{key} {value:g}' for key, value in settings.items())}")
    return lines


def edges(comparison: Comparison) -> list[str]:
    """A best rate on the edge of what was tried may not be the best there is: that is said."""
    names = [name for name, search in comparison.searches.items() if search.scores and search.on_edge]
    return [f"Still best at the edge of the rates tried, so perhaps not tuned enough: {', '.join(names)}."] * bool(
        names
    )


def cost_line(comparison: Comparison) -> str:
    parts = [
        f"{phase} {cost['runs']:,.0f} runs, {cost['steps']:,.0f} steps, {cost['seconds']:.1f} s"
        for phase, cost in comparison.cost().items()
    ]
    looks = sum(trial.phase != "search" and isfinite(trial.loss) for trial in comparison.trials)
    return f"Cost: {'; '.join(parts)}. Looks at the test split: {looks:,}, one at the end of each final run."
