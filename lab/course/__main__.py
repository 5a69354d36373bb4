"""`python -m lab.course`: makes students' notebooks, executes them, or compares verdicts with those expected."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path

from lab.course.making import make
from lab.course.places import COURSE, RUNS
from lab.course.verdict_lines import FOLDER, strays
from lab.reading import parse_overrides
from lab.sweeps.points import executed


def main() -> int:
    """0, or 1 when verdicts differ by more than their tolerances, or 2 for a folder or chapter that is not there."""
    parser = argparse.ArgumentParser(prog="python -m lab.course", description=__doc__)
    parser.add_argument(
        "--instructor",
        type=Path,
        default=COURSE / "instructor",
        help="folder of the instructor's notebooks, with `verdicts` as expected, and `runs` of the last ones",
    )
    parser.add_argument("--students", type=Path, default=COURSE, help="folder in which the students' are made")
    parser.add_argument("--compare", action="store_true", help="compare the verdicts of the last runs instead")
    parser.add_argument("--execute", type=Path, metavar="FOLDER", help="execute the students' into this folder instead")
    parser.add_argument("--chapter", default="", help="only those whose names begin so, such as 05 (default: all)")
    parser.add_argument("parameters", nargs="*", help="of those that are executed, such as first_seed=10")
    given = parser.parse_args()
    try:
        chosen = files(given)
    except FileNotFoundError as error:
        parser.error(str(error))
    if given.compare:
        said = strays(given.instructor / RUNS / FOLDER, given.instructor / FOLDER, given.chapter)
        print("\n".join(said) or "All verdicts are as expected, within their tolerances.")
        return int(bool(said))
    if given.execute:
        return execute(chosen, given.execute, given.parameters)
    for path in make(given.instructor, given.students):
        print(path)
    return 0


def files(given: argparse.Namespace) -> list[Path]:
    """Which files are compared, executed, or made others of. Raises FileNotFoundError where there is none."""
    source = given.students if given.execute and not given.compare else given.instructor
    where, kind = (source / FOLDER, "json") if given.compare else (source, "ipynb")
    for folder in (source, where):
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}")
    if not (chosen := sorted(where.glob(f"{given.chapter}*.{kind}"))):
        wanted = (
            f"nothing in {where} begins with {given.chapter!r}" if given.chapter else f"no {kind} file is in {where}"
        )
        raise FileNotFoundError(wanted)
    return chosen


def execute(chapters: Sequence[Path], folder: Path, words: list[str]) -> int:
    """By papermill, without the state of the panels in them: megabytes that nobody can use without a kernel."""
    folder.mkdir(parents=True, exist_ok=True)
    given = parse_overrides(words)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        forked = partial(executed, forked=True)
        ended = {pool.submit(forked, chapter, folder / chapter.name, given): chapter.name for chapter in chapters}
        for each in as_completed(ended):
            each.result()
            print(ended[each], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
