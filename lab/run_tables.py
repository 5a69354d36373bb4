"""The runs of a folder, in words or for machines: a line for each, and below, numbered, what is wrong with some."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite, isnan
from typing import Any

from lab.endings import PICKED
from lab.progress import short_loss

DIGITS = {"epochs": 0, "validation_accuracy": 4, "gap": 4, "seconds": 1, "test_looks": 0}

Row = Mapping[str, Any]


def in_words(rows: Sequence[Row]) -> str:
    """Of `runs.listed`, at least one."""
    shown, notes = with_notes(rows)
    columns = [name for name in shown[0] if name not in left_out(rows)]
    cells = [columns, *([cell(name, row[name]) for name in columns] for row in shown)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (" ".join(word.rjust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in cells)
    picked = [f"With two domains the accuracy is of the target, at the epoch {PICKED}."] if "gap" in columns else []
    return "\n".join([*lines, *notes, *picked])


def as_json(rows: Sequence[Row]) -> str:
    """All of them and all that is known; numbers that are not finite are null: JSON has no word for them."""
    return json.dumps([{name: finite(value) for name, value in row.items()} for row in rows])


def finite(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value


def left_out(rows: Sequence[Row]) -> set[str]:
    """The gap, where no run has two domains, and ids, where the folders' names hold them."""
    gapless = all(row["gap"] is None for row in rows)
    named = all((row["id"] or "") in row["folder"] for row in rows)
    return {name for name, left in {"gap": gapless, "id": named}.items() if left}


def with_notes(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Numbers in place of problems, and what they stand for: a sentence would push the columns apart."""
    said = list(dict.fromkeys(row["problem"] for row in rows if row["problem"]))
    numbers = [f"({said.index(row['problem']) + 1})" if row["problem"] else "" for row in rows]
    rest: list[Row] = [{name: value for name, value in row.items() if name != "problem"} for row in rows]
    if said:
        rest = [{**row, "note": number} for row, number in zip(rest, numbers, strict=True)]
    return rest, [f"({place}) {in_a_line(text)}" for place, text in enumerate(said, 1)]


def cell(name: str, value: Any) -> str:
    """With as many digits as mean something; empty where nothing is known."""
    if value is None or (isinstance(value, float) and isnan(value)):
        return ""
    if name == "validation_loss":
        return short_loss(value)
    return f"{value:.{DIGITS[name]}f}" if name in DIGITS else in_a_line(str(value))


def in_a_line(text: str) -> str:
    """A folder may be called anything: line breaks and the like as they are written in code."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
