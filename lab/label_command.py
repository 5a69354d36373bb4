"""What `lab labels` does: it prices a plan, compares at each number of labels, keeps picture and numbers."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from statistics import stdev
from typing import Any

from tqdm import tqdm

from lab.choosing.command import begins_a_tenth, how_far
from lab.compare import Comparison
from lab.label_curves import curve_comparisons, label_verdicts
from lab.label_plans import ALL, NUMBERS, PAGE, LabelPlan, LabelWishes, TunedAlone, label_plan
from lab.label_plots import accuracy_by_labels
from lab.recipe import Recipe
from lab.reports import PHASES, aligned, folded, points
from lab.sentences import in_points
from lab.store import write_atomically
from lab.verdicts import Verdict

Found = Mapping[int | None, Comparison]
NOTE = (
    "± is the standard deviation over seeds: of initial weights, the order of batches, and which images have labels; "
    "the source is one run, whose luck no interval holds. Epochs are the same at every number, so updates grow with it."
)
RATES = "Rates are chosen on all validation images, which have labels at every number: for all transfers alike."


def counted(recipe: Recipe, wishes: LabelWishes, *, device: str | None, quiet: bool) -> tuple[LabelPlan, Found]:
    """The whole road; picture and numbers lie in the plan's folder then.

    Raises:
        RecipeError, DataError, SourceError, RunError: in words, what cannot be done and what to do.
    """
    asked = label_plan(recipe, wishes, device=device)
    if not quiet:
        print(asked.sentence(), file=sys.stderr, flush=True)
    found = drained(asked, device=device, quiet=quiet)
    picture = accuracy_by_labels(found, asked.phase).to_html(include_plotlyjs=True)  # opens without a network
    write_atomically(asked.folder / PAGE, picture.encode())
    write_atomically(asked.folder / NUMBERS, json.dumps(facts(asked, found), indent=1).encode())
    return asked, found


def drained(asked: LabelPlan, *, device: str | None, quiet: bool) -> dict[int | None, Comparison]:
    """Every comparison run to its end; on a terminal a bar counts runs, elsewhere each tenth of them has a line."""
    found, done, terminal = dict[int | None, Comparison](), 0, sys.stderr.isatty()
    where: dict[str, Any] = {"folder": asked.folder, "kind": TunedAlone, "device": device}
    with tqdm(total=asked.runs, unit="run", disable=quiet or not terminal) as bar:
        for count, comparison in curve_comparisons(asked.plan, tuple(asked.images), **where):
            found[count] = comparison
            for trial in comparison:
                done += 1
                bar.total = max(asked.runs, done)
                bar.set_description(f"{labels_of(count)}, {trial.phase}", refresh=False)
                bar.update()
                if not (quiet or terminal) and begins_a_tenth(done, asked.runs):
                    print(f"{labels_of(count)}: {how_far(done, asked.runs, trial)}", file=sys.stderr, flush=True)
    return found


def labels_of(count: int | None) -> str:
    return f"{count or ALL} of each class"


def in_words(asked: LabelPlan, found: Found) -> str:
    """For a person: the table, how it is to be read, and where the picture lies."""
    rows = [
        row
        for count, judged in label_verdicts(found, asked.phase).items()
        for row in rows_of(count, judged, found[count], asked)
    ]
    first, *_ = asked.plan.arms
    head = ["labels of each class", "transfer", "accuracy ± sd", f"minus {first}", "so it is"]
    above = f"{PHASES[asked.phase]}: accuracy in % of the test images ({footing(asked, found)})"
    place = f"Picture and numbers: {asked.folder / PAGE}, {asked.folder / NUMBERS}."
    note = f"{NOTE} {RATES}" if asked.plan.tune else NOTE
    return "\n".join([folded(above), aligned([head, *rows]), folded(note), place])


def rows_of(count: int | None, judged: list[Verdict], comparison: Comparison, asked: LabelPlan) -> list[list[str]]:
    """A line for each arm at a number of labels; the first arm has no difference from itself."""
    sds = {name: stdev(scores) for name, scores in comparison.scores(asked.phase).items()}
    first = judged[0]
    rows = [[str(count or ALL), first.b, points(first.mean_b, sds[first.b]), "", ""]]
    return rows + [["", v.a, points(v.mean_a, sds[v.a]), difference(v), v.outcome] for v in judged]


def difference(found: Verdict) -> str:
    """`4.1 (0.5 to 7.7)`; where the sign test judges, its bounds are no sizes."""
    if found.interval.method == "sign test":
        return f"{in_points([found.difference])[0]} at every seed"
    mean, low, high = in_points([found.difference, found.interval.low, found.interval.high])
    return f"{mean} ({low} to {high})"


def footing(asked: LabelPlan, found: Found) -> str:
    """What all intervals have in common."""
    some = next(iter(label_verdicts(found, asked.phase).values()))[0]
    return (
        f"{100 * asked.plan.level:g}% intervals over {some.seeds} paired seeds, corrected for {some.comparisons} "
        f"comparison{'s' * (some.comparisons > 1)}{gone_on(found)}"
    )


def gone_on(found: Found) -> str:
    """What intervals have where verdicts were seen before further seeds came."""
    return (
        "; wider where seeds were added: they hold at every look"
        if any(each.sequential for each in found.values())
        else ""
    )


def facts(asked: LabelPlan, found: Found) -> dict[str, Any]:
    """For machines: accuracies by seed, rates and verdicts at each number of labels; all labels are null."""
    judged = label_verdicts(found, asked.phase)
    return {
        "recipe": asked.recipe.model_dump(mode="json"),
        "phase": asked.phase,
        "folder": str(asked.folder),
        "page": str(asked.folder / PAGE),
        "left_out": list(asked.left_out),
        "curve": [
            {
                "per_class": count,
                "images": asked.images[count],
                "accuracies": comparison.scores(asked.phase),
                "rates": {name: comparison.rate(name, asked.phase) for name in comparison.arms},
                "verdicts": [asdict(each) for each in judged[count]],
                "cost": comparison.cost(),
            }
            for count, comparison in found.items()
        ],
    }
