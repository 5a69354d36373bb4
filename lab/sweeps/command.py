"""What `lab sweep` does: the plan and its cost, or the work with its progress, and in the end a page and a notebook."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, redirect_stdout, suppress
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from lab.catalogue import RecipeError, unknown
from lab.costs import with_prefix
from lab.progress import time_words
from lab.reading import parse_overrides
from lab.recipe import labels
from lab.spread import processors
from lab.store import SWEEP, RunError, write_atomically
from lab.sweeps.cluster import Cluster
from lab.sweeps.costing import cost_of
from lab.sweeps.findings import FAILED, Findings, caution, findings, one_line, report
from lab.sweeps.outcomes import OUTCOMES, Outcome, SweepFolder
from lab.sweeps.page import page
from lab.sweeps.plan import Point, Sweep
from lab.sweeps.points import executed, said
from lab.sweeps.processes import Processes, gpus_here, places_for
from lab.sweeps.sweeping import Engine, Sweeping
from lab.sweeps.wishes import ENGINES, Wishes

FOLDERS = Path("runs") / "sweeps"
TELLING = 3  # results from which the time left is told: the first ones come together, late or early
LISTED = 20  # combinations that a dry run names
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "sweep.ipynb"
PAGE, SUMMARY, FAILED_SUMMARY = "index.html", "summary.ipynb", "summary-failed.ipynb"


def prepared(words: Sequence[str], wishes: Wishes) -> Sweeping:
    """The sweep that words name, checked as a whole. Raises RecipeError, RunError: before any work."""
    path, *changes = words
    sweep = Sweep.load(path, parse_overrides(changes))
    folder = wishes.folder or FOLDERS / Path(path).stem
    plain, options = wishes.plain, wishes.options
    return Sweeping(sweep, folder, retries=wishes.retries, plain=plain, device=wishes.device, options=options)


def engine_of(wishes: Wishes, orders: int) -> AbstractContextManager[Engine]:
    """Raises RecipeError: an engine that is not there, or wishes that it cannot fulfil."""
    if wishes.engine not in ENGINES:
        raise RecipeError(unknown("engine", wishes.engine, ENGINES))
    if wishes.processes < 0:
        raise RecipeError(f"processes is {wishes.processes}, but must be 0 or more; 0 is one on each core.")
    if wishes.engine == "ray":
        return Cluster(wishes.address, wishes.gpus_per_run)
    return Processes(places(wishes)[: max(1, orders)], orders)


def places(wishes: Wishes) -> list[dict[str, str]]:
    """Environments of the processes of this machine."""
    on_gpu = wishes.device is None or wishes.device.startswith("cuda")
    gpus = gpus_here() if on_gpu else []
    share = wishes.gpus_per_run if wishes.gpus_per_run is not None else float(bool(gpus))
    return places_for(wishes.processes or (0 if share else processors()), gpus, share)


# -- plan and cost -----------------------------------------------------------------------------------------------------


def planned(sweeping: Sweeping, wishes: Wishes) -> dict[str, Any]:
    """What is to be done and what it costs, of points that have no result yet.

    Raises:
        RecipeError: wishes that the work would refuse before it began.
    """
    todo, sweep = sweeping.todo, sweeping.sweep
    engine_of(wishes, len(todo))
    cost = cost_of([point.recipe for point in todo], wishes.device)
    at_once = None if wishes.engine == "ray" else max(1, min(len(places(wishes)), len(todo)))
    return {
        "points": len(sweep.points),
        "combinations": len(sweep.changes),
        "seeds": list(sweep.all_seeds),
        "repeated": sweep.repeated,
        "to_do": len(todo),
        "steps": cost.steps,
        "flops": cost.flops,
        "seconds": cost.seconds,
        "processes": at_once,
        "folder": str(sweeping.folder.path),
        "names": labels([point.recipe for point in {p.combination: p for p in reversed(todo)}.values()][::-1]),
    }


def counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"


def plan_in_words(plan: dict[str, Any], *, plain: bool) -> str:
    seeds = f"seed{'s' * (len(plan['seeds']) != 1)} {', '.join(map(str, plan['seeds']))}"
    points, combinations = counted(plan["points"], "point"), counted(plan["combinations"], "combination")
    lines = [f"{points}: {combinations} at {seeds}; {plan['to_do']} to do."]
    lines += [f"{plan['repeated']} left out, as others are the same recipe."] if plan["repeated"] else []
    lines += [f"  {one_line(name)}" for name in plan["names"][:LISTED]]
    more = len(plan["names"]) - LISTED
    lines += [f"  and {more} more"] if more > 0 else []
    together = (
        f", {time_words(plan['seconds'] / plan['processes'])} over {plan['processes']}" if plan["processes"] else ""
    )
    trained = f"about {time_words(plan['seconds'])} of training in one process here{together}"
    notebooks = (
        ""
        if plain
        else "; a notebook takes a moment more, the first of each process some seconds (--plain does without)"
    )
    return "\n".join(
        [*lines, f"Cost: {plan['steps']:,} steps, {with_prefix(plan['flops'])}FLOP, {trained}{notebooks}."]
    )


# -- work --------------------------------------------------------------------------------------------------------------


def carried_out(sweeping: Sweeping, wishes: Wishes) -> bool:
    """Whether it came to its end; Ctrl-C stops what trains, and leaves everything to go on from."""
    engine = engine_of(wishes, len(sweeping.todo))
    try:
        with redirect_stdout(sys.stderr):  # Ray prints what its machines complain of; what comes out is the result
            for _ in told(sweeping, engine, quiet=wishes.quiet):
                pass
    except KeyboardInterrupt:
        return False
    return True


def told(sweeping: Sweeping, engine: AbstractContextManager[Engine], *, quiet: bool) -> Iterator[tuple[Point, Outcome]]:
    """The same outcomes; a bar with the time left on a terminal, a line for each elsewhere."""
    total, todo, terminal = len(sweeping.sweep.points), len(sweeping.todo), sys.stderr.isatty()
    if not quiet and not terminal:
        print(f"{total - todo} of {total} points have a result, {todo} to do ...", file=sys.stderr, flush=True)
    pace, settled = Pace(), 0
    with tqdm(total=total, initial=total - todo, unit="point", disable=quiet or not terminal) as bar:
        for point, outcome in sweeping.over(engine):
            again = not outcome.ended and outcome.attempts <= sweeping.retries
            settled += not again
            known = pace.left(todo - settled, settled - sweeping.unheard, outcome.seconds)
            if outcome.status != "finished" or not (quiet or terminal):
                words = outcome_words(point, outcome, again=again)
                where = f"{total - todo + settled}/{total}{known}: " if not terminal else ""
                bar.write(f"{where}{words}", file=sys.stderr) if not quiet else None
            bar.update(not again)
            yield point, outcome


class Pace:
    """How long points take; what processes take to start is none of it."""

    begun = 0.0

    def left(self, todo: int, settled: int, seconds: float) -> str:
        """The time left, in words; none as long as too few have settled.

        Args:
            settled: points since the beginning, without runs that had ended before it.
            seconds: of the last one's training.
        """
        now = time.monotonic()
        if settled and not self.begun:
            self.begun = now - seconds
        if settled < TELLING:
            return ""
        return f", about {time_words((now - self.begun) / settled * todo)} left"


def outcome_words(point: Point, outcome: Outcome, *, again: bool) -> str:
    score = f" {outcome.accuracy:.1%}" if outcome.accuracy is not None else ""
    name = ", ".join(f"{key} {value}" for key, value in point.changes.items()) or "the base"
    said = f"{name}, seed {point.recipe.seed}: {outcome.status}{score} {outcome.detail}"
    return f"{one_line(said)}{' It is tried again.' if again else ''}"


# -- results -----------------------------------------------------------------------------------------------------------


def summarised(sweeping: Sweeping, wishes: Wishes) -> Findings:
    """Write the page, and execute the summary where the lab stands with its notebooks, unless both are there."""
    folder = sweeping.folder
    found, origin = findings(sweeping.sweep, sweeping.outcomes), origin_of(folder)
    if is_summarised(folder, origin):
        return found
    write_atomically(folder.path / PAGE, page(found, folder, origin).encode())
    if NOTEBOOK.exists():
        options = [str(Path(file).resolve()) for file in wishes.options]
        given = {"folder": str(folder.path.resolve()), "train": False, "options": options}
        summarise(folder.path, given)
    return found


def summarise(folder: Path, given: dict[str, Any]) -> None:
    """Execute the summary. One that failed is kept under another name: it would pass for the summary.

    Raises:
        RunError: what ended it, and where it is.
    """
    with TemporaryDirectory() as place:
        made = Path(place, SUMMARY)
        try:
            executed(NOTEBOOK, made, given)
        except Exception as error:  # noqa: BLE001  # whatever a cell, a kernel or a disk may raise
            kept = keep(made, folder / FAILED_SUMMARY)
            again = f"The page is {folder / PAGE}; the same command tries the summary again."
            raise RunError(f"The summary failed: {one_line(said(error)).removesuffix('.')}.{kept} {again}") from None
        write_atomically(folder / SUMMARY, made.read_bytes())
    (folder / FAILED_SUMMARY).unlink(missing_ok=True)


def keep(made: Path, place: Path) -> str:
    """A notebook as far as it came, and where that is in a sentence; empty where there is none, or no room."""
    with suppress(OSError):
        write_atomically(place, made.read_bytes())
        return f" As far as it came it is kept: {place}."
    return ""


def origin_of(folder: SweepFolder) -> str:
    """A number for all that page and notebook follow from: what was asked, what came out, and how it is shown."""
    made = [folder.path / SWEEP, folder.path / OUTCOMES]
    ours = [NOTEBOOK, *sorted(file for file in Path(__file__).parent.iterdir() if file.is_file())]
    contents = [file.read_bytes() for file in (*made, *ours) if file.exists()]
    return hashlib.sha256(b"\0".join([version("lab").encode(), *contents])).hexdigest()


def is_summarised(folder: SweepFolder, origin: str) -> bool:
    written, notebook = folder.path / PAGE, folder.path / SUMMARY
    if not written.exists() or f'content="{origin}"' not in written.read_text(encoding="utf-8", errors="replace"):
        return False
    return not NOTEBOOK.exists() or (notebook.exists() and notebook.stat().st_mtime >= written.stat().st_mtime)


def facts_of(found: Findings, sweeping: Sweeping) -> dict[str, Any]:
    best = [{"name": each.name, "accuracy": each.mean, "accuracies": each.accuracies} for each in found.complete]
    failed = [{**vars(each), "errors": list(each.errors)} for each in found.failures]
    path = sweeping.folder.path
    facts = {"points": len(found.sweep.points), "missing": found.missing, "best": best, "failures": failed}
    return {**facts, "caution": caution(found), "folder": str(path), "page": str(path / PAGE)}


def broken(found: Findings) -> bool:
    """Whether some point has no result after all attempts: one that diverged or is stuck has one."""
    return any(each.status not in ("diverged", "stuck") for each in found.failures)


def in_words(found: Findings, sweeping: Sweeping) -> str:
    path = sweeping.folder.path
    summary = f" and {path / SUMMARY}" if (path / SUMMARY).exists() else ""
    return f"{report(found, FAILED)}\nTo read: {path / PAGE}{summary}"
