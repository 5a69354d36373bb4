"""A student's notebook out of the instructor's: without outputs, and without what stands between two marks.

    ### BEGIN SOLUTION
    answer = 3
    ### END SOLUTION

becomes `answer = ...`, which a check takes for not answered yet; where the solution is in quotes, so are the dots: a
letter in their place is a text. A cell that is nothing but a solution goes. One that begins with a verdict is folded.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat

from lab.catalogue import RecipeError
from lab.course.answers import read_exercises, sealed
from lab.course.places import ANSWERS

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
REGION = re.compile(rf"^([ \t]*){BEGIN}\n(.*?)^[ \t]*{END}[ \t]*(\n|\Z)", re.DOTALL | re.MULTILINE)
JUDGES = "course.verdict("
ASSIGNED = re.compile(r"^([A-Za-z_]\w*) *= *([\"']?)", re.MULTILINE)


def make(instructor: str | Path, students: str | Path) -> list[Path]:
    """Write a student's notebook for each of the instructor's, and the sealed answers; what was written.

    Raises:
        RecipeError: a mark without its other half, or answers that are not valid.
    """
    source, target = Path(instructor), Path(students)
    written = [write(target / path.name, student_text(path)) for path in sorted(source.glob("*.ipynb"))]
    if (answers := source / "answers.yaml").is_file():
        text = json.dumps(sealed(read_exercises(answers)), indent=1) + "\n"
        written.append(write(target / ANSWERS, text))
    return written


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def student_text(path: Path) -> str:
    """The file of a student's notebook."""
    try:
        return nbformat.writes(student(nbformat.read(path, as_version=4))) + "\n"
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


def student(notebook: Any) -> Any:
    """The same notebook for a student; the one that is given is changed."""
    for cell in notebook.cells:
        cell.source = without_solution(cell.source)
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            fold(cell)
    notebook.metadata.pop("widgets", None)  # megabytes, where JupyterLab saves the state of the panel
    notebook.cells = [cell for cell in notebook.cells if cell.source.strip()]
    return notebook


def fold(cell: Any) -> None:
    """Hide the code of a cell that judges, until a click: its claim says what comes out, before it is run."""
    if cell.source.startswith(JUDGES):
        cell.metadata["jupyter"] = {"source_hidden": True}


def without_solution(text: str) -> str:
    """Raises RecipeError when a mark stands alone."""
    left = REGION.sub(blanked, text)
    if BEGIN in left or END in left:
        raise RecipeError(f"{BEGIN} and {END} must stand in pairs, each on a line of its own.")
    return left.rstrip()


def blanked(region: re.Match[str]) -> str:
    """Every name that the solution gives is there, with dots to be replaced; in quotes what is text."""
    names: dict[str, str] = dict(ASSIGNED.findall(region[2]))
    return "".join(f"{region[1]}{name} = {quote}...{quote}\n" for name, quote in names.items())
