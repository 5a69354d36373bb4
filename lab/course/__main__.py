"""`python -m lab.course`: makes students' notebooks, or compares verdicts with those that are expected."""

from __future__ import annotations

import argparse
import sys

from lab.course.making import make
from lab.course.places import COURSE, RUNS
from lab.course.verdict_lines import FOLDER, strays


def main() -> int:
    """0, or 1 when verdicts differ by more than their tolerances."""
    parser = argparse.ArgumentParser(prog="python -m lab.course", description=__doc__)
    parser.add_argument("--instructor", default=COURSE / "instructor", help="folder of the instructor's notebooks")
    parser.add_argument("--students", default=COURSE, help="folder in which the students' are made")
    parser.add_argument("--compare", action="store_true", help="compare the verdicts of the last runs instead")
    given = parser.parse_args()
    if given.compare:
        said = strays(COURSE / "instructor" / RUNS / FOLDER, COURSE / "instructor" / FOLDER)
        print("\n".join(said) or "All verdicts are as expected, within their tolerances.")
        return int(bool(said))
    for path in make(given.instructor, given.students):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
