"""The page of a sweep: one file that opens without a network; what a person named is shown letter by letter."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from html import escape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from lab.recipe import flat
from lab.stills import still
from lab.sweeps.figures import all_figures
from lab.sweeps.findings import Combination, Findings, caution, counts, in_words
from lab.sweeps.outcomes import RUNS, SweepFolder

DARK = {"template": "plotly_dark", "paper_bgcolor": "#111", "plot_bgcolor": "#111"}
ALT = {
    "curves": "Validation accuracy by epoch, with bands over seeds; the table has the last values",
    "best": "Mean accuracy of the best combinations; the table has the numbers",
    "differs": "Mean accuracy by each setting that differs; the table has the numbers",
}


def page(found: Findings, folder: SweepFolder, origin: str = "") -> str:
    """HTML with everything that it shows, Plotly included; without scripts the figures are still there as pictures.

    Args:
        origin: what tells this page from those of other outcomes.
    """
    figures = all_figures(found)
    template = Template(files("lab.sweeps").joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(found.sweep.title or "Sweep"),
        note=paragraph(found.sweep.note),
        counts=escape(counts(found)),
        caution=paragraph(caution(found), "caution"),
        table=table_of(found),
        failures=failures_of(found, folder),
        shared=escape(shared(found)),
        version=escape(version("lab")),
        origin=escape(origin),
        data=in_script(json.dumps({name: both_ways(figure) for name, figure in figures.items()})),
        library=get_plotlyjs(),
        **{name: picture(figure, ALT[name]) for name, figure in figures.items()},
    )


def paragraph(words: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(words)}</p>' if words.strip() else ""


def shared(found: Findings) -> str:
    """What all points have alike, a line each."""
    leaves = flat(found.combinations[0].recipe)
    return "\n".join(f"{key}: {in_words(leaf)}" for key, leaf in leaves.items() if key not in {*found.keys, "seed"})


def in_script(text: str) -> str:
    """JSON that cannot end the script it stands in, nor begin a comment there."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def both_ways(figure: go.Figure) -> dict[str, Any]:
    """A figure with its layout on light and on dark paper."""
    light = json.loads(figure.to_json() or "{}")
    dark = json.loads(go.Figure(figure).update_layout(DARK).to_json() or "{}")
    return {"data": light["data"], "light": light["layout"], "dark": dark["layout"]}


def picture(figure: go.Figure, words: str) -> str:
    """What stands there until Plotly draws, or instead of it, for both papers."""
    light, dark = (base64.b64encode(still(figure, dark=dark)).decode() for dark in (False, True))
    other = f'<source media="(prefers-color-scheme: dark)" srcset="data:image/png;base64,{dark}">'
    return f'<picture>{other}<img src="data:image/png;base64,{light}" alt="{escape(words)}"></picture>'


# -- tables ------------------------------------------------------------------------------------------------------------


def table_of(found: Findings) -> str:
    """A row for each combination; with one seed each, without what seeds have between them."""
    numbers = ("", "accuracy, %", "lowest", "highest", "seeds")[: 5 if len(found.sweep.all_seeds) > 1 else 2]
    rows = [
        [str(place), *in_numbers(each)][: len(numbers)] + in_settings(each, found.keys)
        for place, each in enumerate(found.combinations, start=1)
    ]
    return table([*numbers, *found.keys], [[escape(cell) for cell in row] for row in rows], numbers=len(numbers))


def in_numbers(each: Combination) -> list[str]:
    accuracies = each.accuracies
    numbers = [f"{100 * value:.1f}" for value in ((each.mean, min(accuracies), max(accuracies)) if accuracies else ())]
    return [*(numbers or ["", "", ""]), f"{len(accuracies)} of {len(each.points)}"]


def in_settings(each: Combination, keys: Sequence[str]) -> list[str]:
    leaves = flat(each.recipe)
    return [in_words(leaves[key]) if key in leaves else "" for key in keys]


def failures_of(found: Findings, folder: SweepFolder) -> str:
    """A row for each point that did not finish: its status, the sentence, and earlier attempts."""
    if not found.failures:
        return paragraph(
            "Nothing: every point that was trained has finished." if not found.missing else "Nothing so far."
        )
    rows = [
        [
            escape(each.name),
            str(each.seed),
            f'<span class="bad">{escape(each.status)}</span>',
            escape(each.detail) + "".join(f"<br>before: {escape(error)}" for error in each.errors),
            str(each.attempts),
            link(folder, each.id),
        ]
        for each in found.failures
    ]
    return f'<div class="scroll" tabindex="0" role="region" aria-label="what did not finish">{table(HEAD, rows)}</div>'


HEAD = ("combination", "seed", "status", "why", "attempts", "kept")


def link(folder: SweepFolder, point: str) -> str:
    """To the executed notebook, else to the run; both are named by the recipe's id, which is hex."""
    place = folder.report(point) if folder.report(point).exists() else folder.path / RUNS / point
    relative = place.relative_to(folder.path).as_posix()
    return f'<a href="{escape(relative)}">{escape(Path(relative).name)}</a>' if place.exists() else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int = 0) -> str:
    """Args: rows: of HTML. numbers: how many of the first columns are numbers."""
    kinds = [' class="number"' if place < numbers else "" for place in range(len(head))]
    top = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(head, kinds, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{kind}>{cell}</td>' for cell, kind in zip(row, kinds, strict=True))}</tr>\n" for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>\n{body}</tbody></table>"
