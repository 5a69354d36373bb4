"""What the panel says: the status line, the table of runs, and the recipe to take away. Text in, HTML out."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from html import escape
from types import MappingProxyType

import yaml

from lab.compare import Comparison
from lab.endings import picked
from lab.events import Epoch
from lab.export import script
from lab.figure_parts import counted
from lab.objectives import learns_no_classes, without_labels
from lab.plans import planned_runs
from lab.plots import colour_and_dash
from lab.progress import short_loss
from lab.provenance import custom_sources
from lab.recipe import Recipe, labels, overrides
from lab.reports import arms_rows, notes, sections_of, title
from lab.run_notes import Note
from lab.runs import Run
from lab.short_texts import short_text

SAY = {
    "idle": "Ready",
    "queued": "Waiting",
    "running": "Training",
    "comparing": "Comparing",
    "choosing": "Choosing",
    "finding": "Trying rates",
    "paused": "Paused",
    "finished": "Finished",
    "stopped": "Stopped",
    "diverged": "Diverged",
    "stuck": "Stuck",
    "out_of_memory": "Out of memory",
    "failed": "Failed",
}
FITTED = "Without labels: of a last layer that is fitted to the features"
NO_CLASSES = "class_weight is 0: no task of this run is to name classes"
SVG_DASHES = {
    "solid": "",
    "dot": "2 3",
    "dash": "7 4",
    "longdash": "11 4",
    "dashdot": "7 3 2 3",
    "longdashdot": "11 3 2 3",
}


def status_line(state: str, numbers: Sequence[int] = ()) -> str:
    """Of these runs: `Training run 3`, `Training runs 3 and 4`."""
    *before, last = map(str, numbers or [""])
    runs = f" runs {', '.join(before)} and {last}" if before else f" run {last}" if last else ""
    return f'<span class="lab-status" data-state="{state}">{SAY[state]}{runs}</span>'


def heading(text: str) -> str:
    """Of a part of the panel; a notebook has its title above."""
    return f'<div class="lab-heading" role="heading" aria-level="2">{escape(text)}</div>'


def message(text: str) -> str:
    return f'<div class="lab-message" role="alert">{escape(text)}</div>' if text else ""


def detail(step: int, steps: int, seconds_left: float | None) -> str:
    left = "" if seconds_left is None else f" · {clock(seconds_left)} left"
    return f'<span class="lab-detail">step {step:,} of {steps:,}{left}</span>'


def clock(seconds: float) -> str:
    """Minutes and seconds, `0:07`; hours when there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def run_names(runs: Mapping[int, Run]) -> dict[int, str]:
    """`1 sgd, lr 0.1`: the number, and what differs between the runs."""
    texts = differences(runs)
    return {number: f"{number} {texts[number]}".strip() for number in runs}


def differences(runs: Mapping[int, Run]) -> dict[int, str]:
    """What differs between the runs, by number; nothing for a run that is alone."""
    recipes = [run.recipe for run in runs.values()]
    texts = labels(recipes) if len({recipe.id for recipe in recipes}) > 1 else [""] * len(recipes)
    return dict(zip(runs, texts, strict=True))


def runs_table(
    runs: Mapping[int, Run], notes: Mapping[int, Note] = MappingProxyType({}), found: Collection[int] | None = None
) -> str:
    """The table of runs by number, pinned ones first; the line beside each is the one in the figure.

    found: the numbers of those to show; all by default.
    """
    if not runs:
        return '<div class="lab-empty">Runs appear here, with what differs between them.</div>'
    heads = ["line", "run", "what differs", "status", "epochs", "best accuracy", "its loss", "seconds"]
    head = "".join(f'<th scope="col" class="{"number" if i > 3 else ""}">{text}</th>' for i, text in enumerate(heads))
    what = differences(runs)
    shown = [number for number in runs if found is None or number in found]
    shown.sort(key=lambda number: not notes.get(number, Note()).pinned)
    rows = "".join(table_row(number, runs[number], what[number], notes.get(number, Note())) for number in shown)
    left_out = f'<div class="lab-detail">{len(shown)} of {len(runs)} runs</div>' if len(shown) < len(runs) else ""
    return f'<table class="lab-runs"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{left_out}'


def table_row(number: int, run: Run, what: str, note: Note) -> str:
    best = run.best
    numbers = [
        f"{len(run.history.epochs)} of {run.recipe.epochs}",
        f"{best.validation_accuracy:.4f}{fitted(run)}{judged(run)}" if best else "-",
        short_loss(best.validation_loss) if best else "-",
        f"{run.seconds:.1f}",
    ]
    cells = "".join(f'<td class="number">{text}</td>' for text in numbers)
    title = escape(run.detail, quote=True)
    status = f'<span class="lab-status" data-state="{run.status}" title="{title}">{SAY[run.status]}</span>'
    pin = '<span role="img" aria-label="pinned" title="pinned">★</span> ' if note.pinned else ""
    said = f'<div class="lab-noted">{escape(note.text)}</div>' if note.text else ""
    named = f"<td>{pin}{number}</td><td>{escape(what)}{said}</td>"
    row = f"<tr><td>{line_sample(number - 1)}</td>{named}<td>{status}</td>{cells}</tr>"
    return row + (beside_row(best, 2 + len(numbers)) if best and best.beside else "")


def beside_row(best: Epoch, columns: int) -> str:
    """What the objective measures beside the accuracy: too much for a column, and not of every run."""
    said = f"beside it: {escape(best.beside_words)}"
    return f'<tr class="lab-beside"><td></td><td></td><td colspan="{columns}">{said}</td></tr>'


def fitted(run: Run) -> str:
    """Said beside an accuracy that no training of labels has brought about."""
    if learns_no_classes(run.recipe.objective):
        return f'<br><abbr title="{NO_CLASSES}">not learned</abbr>'
    return f' <abbr title="{FITTED}">fitted</abbr>' if run.recipe.objective.name in without_labels else ""


def judged(run: Run) -> str:
    """Said beside an accuracy that labels of another domain have picked."""
    why = picked(run.history)
    return f' <abbr title="The epoch {escape(why)}">target</abbr>' if why else ""


def line_sample(index: int) -> str:
    colour, dash = colour_and_dash(index)
    look = f'stroke="{colour}" stroke-width="2.5" stroke-dasharray="{SVG_DASHES[dash]}"'
    line = f'<line x1="0" y1="5" x2="34" y2="5" {look}/>'
    return f'<svg width="34" height="10" aria-hidden="true">{line}</svg>'


def how_far(comparison: Comparison | None, ended: str) -> str:
    runs = len(comparison.trials) if comparison else 0
    said = counted(runs, "run")
    planned = planned_runs(comparison.plan) if comparison else 0
    early = comparison is not None and ended == "finished" and comparison.stopped_early
    finished = f"Every verdict is clear after {said}: untick “stop” and press Compare to go on all the same"
    state = {
        "finished": finished if early else f"Finished: {said}",
        "failed": f"Broken off by an error after {said}",
        "stopped": f"Stopped after {said}; press Compare to go on",
    }
    text = state.get(ended, f"Run {runs} of about {max(runs, planned)}")
    return f'<div class="lab-detail" role="status">{text}.</div>'


def comparison_in_html(comparison: Comparison) -> str:
    """The report, as far as it goes: nothing before a verdict may be seen."""
    sections = sections_of(comparison)
    if not sections:
        return ""
    table = html_table(*arms_rows(comparison))
    parts = [f"<b>{escape(heading)}</b>{bullets(lines)}" for heading, lines in sections]
    parts += [f'<div class="lab-detail">{escape(text)}</div>' for text in notes(comparison)]
    return f'<div class="lab-verdicts"><div>{escape(title(comparison))}</div>{table}{"".join(parts)}</div>'


def html_table(head: Sequence[str], *rows: Sequence[str]) -> str:
    heads = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    lines = ["".join(f"<td>{escape(text).replace(' ± ', '&nbsp;±&nbsp;')}</td>" for text in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<table class="lab-runs lab-arms-table"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'


def bullets(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def duration(seconds: float) -> str:
    """About how long, in the unit a person would use."""
    if seconds < 90:
        return f"{max(1, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def as_yaml(recipe: Recipe) -> str:
    return recipe.to_yaml()


def as_papermill(recipe: Recipe) -> str:
    changes = yaml.safe_dump(
        {"overrides": overrides(recipe)}, default_flow_style=True, width=10_000, sort_keys=False
    ).strip()
    return f"papermill notebooks/run.ipynb executed.ipynb -y {shlex.quote(changes)}\n"


def as_command(recipe: Recipe) -> str:
    return f"lab run {short_text(recipe)}".strip() + "\n"


def as_python(recipe: Recipe) -> str:
    """A cell: the recipe by what differs from the defaults, and its training."""
    changes = overrides(recipe)
    lines = "".join(f"    {key!r}: {value!r},\n" for key, value in changes.items())
    made = f"lab.Recipe().changed(**{{\n{lines}}})" if changes else "lab.Recipe()"
    return f"import lab\n\nrecipe = {made}\nrun = lab.train(recipe)\nrun.epochs()\n"


def known_here_only(recipe: Recipe) -> str:
    """What a shell or another notebook has to know before it can read the recipe; a script carries it along."""
    own = [name.rpartition(".")[2] for name in custom_sources(recipe)]
    if not own:
        return ""
    them = "it is" if len(own) == 1 else "they are"
    return f"{' and '.join(own)}: known to this notebook only, until {them} defined where the recipe is read, too."


TAKE_AWAY = {
    "YAML": (as_yaml, "this recipe as a YAML file"),
    "Python": (as_python, "as a cell that trains it"),
    "papermill": (as_papermill, "as a papermill command"),
    "command": (as_command, "as a `lab run` command"),
    "script": (script, "as a stand-alone PyTorch script"),
}
