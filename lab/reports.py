"""What a comparison found, as text for a terminal, a notebook or a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from math import isfinite, isnan
from statistics import mean, stdev
from textwrap import fill
from typing import Any

from lab.compare import FAILURES, Comparison, Phase
from lab.data.domains import judges_elsewhere
from lab.events import CHANCE, beside_in_words
from lab.loading import data_of
from lab.sentences import KINDS, footing, furthest, in_points, ranking_claim, words
from lab.targets import target_lines
from lab.trials import Trial
from lab.verdicts import Verdict, oriented

NOT_YET = "—"
PHASES = {"given": "At the rates given", "tuned": "Each at its tuned rate"}
BESIDE = 5  # columns: the arm, and its rates and accuracies
NAMED = {"optimizer.lr": "rate"}
CAVEAT = (
    "Intervals are over seeds (initial weights, order of batches, augmentation) on one split of one data set: "
    "they do not say how the arms would do on other images or other data, nor what another search would have found. "
    "The level holds for the intervals of one list together, not for two lists at once. An interval without a name is "
    "Student's t, which takes differences for normal; ± is the standard deviation over seeds."
)
LINE = 98  # letters: a notebook beside the list of files breaks longer lines wherever they are, on 1,280 pixels


def report(comparison: Comparison) -> str:
    """The whole answer: arms, verdicts at the rates given and tuned, what tuning changed, and what it cost."""
    sections = [paragraph(heading, lines) for heading, lines in sections_of(comparison)]
    above = [folded(title(comparison)), arms_table(comparison)]
    return "\n\n".join([*above, *map(folded, [*sections, *notes(comparison)])])


def folded(text: str) -> str:
    """Every line in as many as it needs, the further ones further in."""
    return "\n".join(fold(line) for line in text.splitlines())


def fold(line: str) -> str:
    inner = " " * (len(line) - len(line.lstrip())) + "  " * line.startswith(" ")
    return fill(line, LINE, subsequent_indent=inner, break_long_words=False, break_on_hyphens=False)


def sections_of(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """Headings and sentences; those about the target first where that is the question."""
    judged: list[Phase] = [phase for phase in comparison.phases if comparison.judged(phase)]
    found = [(verdicts_heading(comparison, phase), findings(comparison, phase)) for phase in judged]
    if target := comparison.plan.target:
        heading = f"Steps to {100 * target:g}% of the validation images, {{}}"
        steps = [(heading.format(PHASES[phase].lower()), target_lines(comparison, phase)) for phase in judged]
        found = [*steps, *found] if comparison.plan.budget == "target" else [*found, *steps]
    if comparison.plan.knobs and "tuned" in judged:
        found.append(("What the search chose", chosen(comparison)))
    if "tuned" in judged:
        found.append(("What tuning changed", changes(comparison)))
    if judged and (lines := beside_lines(comparison, judged[-1])):
        found.append((f"Beside the accuracy, {PHASES[judged[-1]].lower()} (mean ± sd in % of test images)", lines))
    return found


def beside_lines(comparison: Comparison, phase: Phase) -> list[str]:
    """`dann: 43.2 ± 1.0; source 97.0 ± 0.3, gap 53.8 ± 1.1`, over the seeds that did not diverge."""
    found = {name: [trial for trial in comparison.of(name, phase) if trial.also] for name in comparison.arms}
    return [beside_line(name, trials) for name, trials in found.items() if trials]


def beside_line(name: str, trials: Sequence[Trial]) -> str:
    seen = {what: [trial.beside[what] for trial in trials] for what in trials[0].beside}
    told = {
        what: points(values[0], None) if what.startswith(CHANCE) else spread(values) for what, values in seen.items()
    }
    return f"{name}: {spread([trial.score for trial in trials])}; {beside_in_words(told)}"


def spread(values: Sequence[float]) -> str:
    return points(mean(values), stdev(values) if len(values) > 1 else None)


def verdicts_heading(comparison: Comparison, phase: Phase) -> str:
    common = footing(comparison.verdicts(phase))
    return f"{PHASES[phase]} ({common})" if common else PHASES[phase]


def notes(comparison: Comparison) -> list[str]:
    """What a reader should know of the numbers above."""
    return [*edges(comparison), CAVEAT, *unseen(comparison), cost_line(comparison)]


def unseen(comparison: Comparison) -> list[str]:
    """Where no final run failed: how many may fail all the same."""
    seeds = min(map(len, comparison.scores(comparison.phases[-1]).values()))
    if not seeds or any(counts for phase in comparison.phases for counts in comparison.failures(phase).values()):
        return []
    share = 1 - (1 - comparison.plan.level) ** (1 / seeds)  # the rule of three, exactly
    return [f"No final run failed; {seeds} seeds leave room for failures of up to {100 * share:.0f}% of an arm's runs."]


def facts(comparison: Comparison) -> dict[str, Any]:
    """Arms, verdicts, cost and trials, for machines; what is not a number is null."""
    return {
        "arms": json.loads(str(comparison.table().to_json(orient="index", double_precision=15))),
        "verdicts": {phase: [asdict(verdict) for verdict in comparison.verdicts(phase)] for phase in comparison.phases},
        "changes": comparison_changes(comparison),
        "targets": {phase: target_lines(comparison, phase) for phase in comparison.phases if comparison.plan.target},
        "uneven": comparison.uneven,
        "cost": comparison.cost(),
        "trials": json.loads(str(comparison.frame().to_json(orient="records", double_precision=15))),
    }


def comparison_changes(comparison: Comparison) -> list[dict[str, Any]]:
    """For every pair of arms that met both phases: what tuning has changed, with its interval."""
    if comparison.phases[-1] != "tuned" or not comparison.verdicts("tuned"):
        return []
    found = {pair: comparison.change(*pair) for pair in combinations(comparison.arms, 2)}
    return [{"a": a, "b": b, "change": change, "interval": asdict(span)} for (a, b), (span, change) in found.items()]


def title(comparison: Comparison) -> str:
    recipes = list(comparison.arms.values())
    epochs = sorted({recipe.epochs for recipe in recipes})
    length = (
        f"{epochs[0]} to {epochs[-1]} epochs" if len(epochs) > 1 else f"{epochs[0]} epoch{'s' * (epochs[0] > 1)} each"
    )
    if comparison.uneven >= 0.005:
        length += f", equal up to {100 * comparison.uneven:.0f}%"
    equal = {"target": "epochs at most"}.get(comparison.plan.budget, comparison.plan.budget)
    data = data_of(recipes[0])
    seeds = min(map(len, comparison.scores("given").values()))
    elsewhere = [choice.name for choice in recipes[0].modify if choice.name in judges_elsewhere]
    domain = f" of the domain that is judged ({', '.join(elsewhere)})" if elsewhere else ""
    return (
        f"{len(recipes)} arms on {recipes[0].data.name}, equal {equal} ({length}), "
        f"{seeds} paired seeds; accuracy in % of {len(data.test):,} test images{domain}"
    )


def arms_table(comparison: Comparison) -> str:
    """One line per arm, columns aligned; where they do not fit beside each other, the last ones below."""
    rows = arms_rows(comparison)
    whole = aligned(rows)
    if max(map(len, whole.splitlines())) <= LINE or len(rows[0]) <= BESIDE:
        return whole
    return "\n\n".join(map(aligned, ([row[:BESIDE] for row in rows], [[row[0], *row[BESIDE:]] for row in rows])))


def arms_rows(comparison: Comparison) -> list[list[str]]:
    """The heads of the columns, then a row per arm."""
    rows = [row_of(str(name), row, tuned=comparison.plan.tune) for name, row in comparison.table().iterrows()]
    head = ["arm", "rate given", "accuracy ± sd"]
    head += (
        ["rate tuned", "accuracy ± sd", "validation within a point of its best", "failed"]
        if comparison.plan.tune
        else ["failed"]
    )
    return [head, *rows]


def row_of(name: str, row: Any, *, tuned: bool) -> list[str]:
    cells = [name, *rate_and_points(row, "given")]
    if not tuned:
        return [*cells, failed(row, ("given",))]
    cells += rate_and_points(row, "tuned")
    return [*cells, good_rates(row), failed(row, ("given", "tuned", "search"))]


def good_rates(row: Any) -> str:
    """The range of rates within a point of the best."""
    if missing(row["decades"]):
        return NOT_YET
    if not row["decades"]:
        return f"only {row['good from']:g} of those tried"
    least = "at least " if row["cut off"] else ""
    return f"{row['good from']:g} to {row['good to']:g} ({least}{row['decades']:.1f} decades)"


def rate_and_points(row: Any, phase: Phase) -> list[str]:
    """Of an arm's runs of a phase; dashes before the first of them has ended."""
    rate, mean, sd = (row[f"{phase} {what}"] for what in ("rate", "accuracy", "sd"))
    return [NOT_YET, NOT_YET] if missing(mean) else [f"{rate:g}", points(mean, sd)]


def missing(value: float | None) -> bool:
    """Of a cell of a table: a column of which nothing is known has None, other columns NaN."""
    return value is None or isnan(value)


def failed(row: Any, phases: Sequence[str]) -> str:
    """`given: 2 diverged; search: 1 diverged, 3 stuck of 17 runs`."""
    said = []
    for phase in phases:
        counts = [f"{row[f'{phase} {status}']:.0f} {status}" for status in FAILURES if row[f"{phase} {status}"]]
        total = f" of {row['search runs']:.0f} runs" if phase == "search" else ""
        said += [f"{phase}: {', '.join(counts)}{total}"] if counts else []
    return "; ".join(said) or "none"


def points(mean: float, sd: float | None) -> str:
    return f"{100 * mean:.1f}" if sd is None or isnan(sd) else f"{100 * mean:.1f} ± {100 * sd:.1f}"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def paragraph(heading: str, lines: Sequence[str]) -> str:
    return "\n".join([heading, *(f"  {line}" for line in lines)])


def findings(comparison: Comparison, phase: Phase) -> list[str]:
    """A sentence for every pair; one for all when no pair differs; and one for every arm of which runs failed."""
    found, failures = comparison.verdicts(phase), comparison.failures(phase)
    if not found:
        return ["One seed shows nothing: run at least two."]
    told = {verdict: not (failures[verdict.a] or failures[verdict.b]) for verdict in found}
    brief = bool(footing(found))
    lines = [words(verdict, prospect=told[verdict], brief=brief) for verdict in found]
    if len(found) > 1 and not any(verdict.winner for verdict in found):
        far = max(found, key=lambda verdict: abs(verdict.difference))
        said = furthest(far, prospect=told[far], brief=brief)
        lines = [f"No difference shown between any two of the arms. The two furthest apart: {said}"]
    return lines + [failure_line(name, counts, found[0].seeds) for name, counts in failures.items() if counts]


def failure_line(name: str, counts: Mapping[str, int], seeds: int) -> str:
    """Runs that diverged count as chance; stuck ones have the accuracy that they have."""
    said = " and ".join(f"{status} at {count} of {seeds} seeds" for status, count in counts.items())
    chance = ", counted as chance" if "diverged" in counts else ""
    mixed = " Its mean mixes runs that failed with runs that did not." if sum(counts.values()) < seeds else ""
    return f"{name} {said}{chance}.{mixed}"


def changes(comparison: Comparison) -> list[str]:
    """For each pair whose verdict was another one before tuning: by how much tuning has changed the difference.

    A difference shown in one list and not in the other is no change shown: that takes an interval of its own.
    """
    before, after = (
        {frozenset((verdict.a, verdict.b)): verdict for verdict in comparison.verdicts(phase)}
        for phase in ("given", "tuned")
    )
    pairs = list(combinations(comparison.arms, 2))
    moved = [pair for pair in pairs if winner(before, pair) != winner(after, pair)]
    if not moved or not before or not after:
        return ["No verdict: every pair of arms stands as it stood at the rates given."]
    both = [(oriented(before[frozenset(pair)], pair[0]), after[frozenset(pair)]) for pair in moved]
    common = footing([verdict for verdict, _ in both])
    lines = [change_line(comparison, *verdicts, brief=bool(common)) for verdicts in both]
    listed = f"Listed are the pairs whose verdict is another one now{common and f' ({common})'}."
    return [*lines, listed] if len(pairs) > 1 else lines


def winner(found: Mapping[frozenset[str], Verdict], pair: tuple[str, str]) -> str | None:
    verdict = found.get(frozenset(pair))
    return verdict.winner if verdict else None


def change_line(comparison: Comparison, before: Verdict, after: Verdict, *, brief: bool = False) -> str:
    a, b = before.a, before.b
    found, change = comparison.change(a, b)
    constant = found.method == "sign test"  # its bounds are not worth printing
    moved, *bounds = in_points([change] if constant else [change, found.low, found.high])
    was, now = (f"{round(100 * found.difference, 1) + 0.0:.1f}" for found in (before, oriented(after, a)))
    level = "" if brief else f"{100 * comparison.plan.level:g}% "
    span = f"{level}{KINDS[found.method]}{'' if brief else 'interval '}{' to '.join(bounds)}"
    if constant:
        span = f"the same at each of {before.seeds} seeds"
    corrected = f", corrected for {before.comparisons} comparisons" if before.comparisons > 1 and not brief else ""
    said = f"{a} - {b} went from {was} to {now} points with tuning, by {moved} ({span}{corrected})"
    if found.low <= 0 <= found.high:
        return f"{said}: no change shown, though one of the two lists shows a difference and the other does not."
    return f"{said}. {ranking_claim(before, after)}"


def chosen(comparison: Comparison) -> list[str]:
    lines = []
    for name, search in comparison.searches.items():
        settings = search.overrides(comparison.point(name, "tuned")) if search.scores else {}
        lines.append(f"{name}: {', '.join(f'{key} {value:g}' for key, value in settings.items())}")
    return lines


def edges(comparison: Comparison) -> list[str]:
    """A best value on the edge of what was tried may not be the best there is: that is said."""
    names = []
    for name, search in comparison.searches.items():
        keys = [NAMED.get(key, key) for key in search.edges]
        names += [f"{name} ({', '.join(keys)})"] if keys else []
    return (
        [f"Still best at the edge of what was tried, so perhaps not tuned enough: {', '.join(names)}."] if names else []
    )


def cost_line(comparison: Comparison) -> str:
    parts = [
        f"{phase} {cost['runs']:,.0f} runs, {cost['steps']:,.0f} steps, {cost['seconds']:.1f} s"
        for phase, cost in comparison.cost().items()
    ]
    looks = sum(trial.phase != "search" and isfinite(trial.loss) for trial in comparison.trials)
    when = "one at the end of each final run that did not diverge"
    seen = " Verdicts were seen while seeds came in: their intervals allow for that." if comparison.sequential else ""
    return f"Cost: {'; '.join(parts)}.{search_words(comparison)} Looks at the test split: {looks:,}, {when}.{seen}"


def search_words(comparison: Comparison) -> str:
    """How the runs of the search come about: rates, and seeds of the best of them."""
    tried = {len(search.scores) for search in comparison.searches.values() if search.scores}
    if not tried:
        return ""
    count = f"{min(tried)}" if len(tried) == 1 else f"{min(tried)} to {max(tried)}"
    what = "settings" if comparison.plan.knobs else "rates"
    seeds, recipe = comparison.plan.tuning_seeds, next(iter(comparison.arms.values()))
    domain = ", judged in the source, without a label of the target" * bool(data_of(recipe).shift)
    return f" Searched: {count} {what} for each arm, the best of them at {seeds} seed{'s' * (seeds > 1)}{domain}."
