"""The verdict of a chapter: words that stay the same wherever the claim holds, its numbers below and in a file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from decimal import ROUND_DOWN, Context
from pathlib import Path
from textwrap import fill
from typing import Literal

from lab.course.places import RUNS
from lab.store import make_folder, write_atomically

Result = Literal["PASS", "FAIL", "INCONCLUSIVE"]
FOLDER = "verdicts"
COLUMNS = 96  # beside the file browser; a notebook breaks longer lines within words


def verdict(
    chapter: str,
    claim: str,
    values: Sequence[float],
    *,
    above: float | None = None,
    below: float | None = None,
    tolerance: float,
    unit: str = "seed",
    folder: str | Path = RUNS,
) -> None:
    """Say whether a claim held at every seed, in a line below by how much, and keep the numbers in a file.

    PASS: every value is above (or below) what was asked for. FAIL: none is. Else INCONCLUSIVE. This names what was
    asked for and not what was measured, so that it is the same on every machine where the result is. The last line has
    the numbers: nbval's sanitiser takes it out, and `verdicts/<chapter>.json` is compared within the tolerance.

    Args:
        values: one per seed (or other unit), such as differences of accuracies.
        above, below: what is asked for; one of the two, or both.
        tolerance: how far each value may be from those of another machine; kept with the numbers.
        unit: what there is one value of.
    Raises:
        ValueError: no values, or nothing is asked for.
    Example:
        >>> verdict("00", "Two is more than one.", [1.0, 1.1], above=0.5, tolerance=0.1, folder="/tmp/lab-doctest")
        PASS  00  Two is more than one. Asked for: above 0.5 at each of 2 seeds.
              Measured: 1, 1.1. The margin is 0.5 or more.
    """
    if not values or (above is None and below is None):
        raise ValueError("A verdict needs one value or more, and `above`, `below` or both.")
    asked = " and ".join(
        f"{word} {bound:g}" for word, bound in (("above", above), ("below", below)) if bound is not None
    )
    result = judged(values, above, below)
    numbers = {"claim": claim, "result": result, "asked": asked, "tolerance": tolerance, "values": list(values)}
    place = Path(folder) / FOLDER
    make_folder(place)
    write_atomically(place / f"{chapter}.json", json.dumps(numbers, indent=1).encode())
    where = f"each of {len(values)} {unit}s" if len(values) > 1 else f"one {unit}"
    indent = " " * (len(result) + 2)
    print(fill(f"{result}  {chapter}  {claim} Asked for: {asked} at {where}.", COLUMNS, subsequent_indent=indent))
    print(f"{indent}{measured(values, above, below)}")


def judged(values: Sequence[float], above: float | None, below: float | None) -> Result:
    """Whether all, none or some of the values are where they were asked to be."""
    held = [is_there(value, above, below) for value in values]
    return "PASS" if all(held) else "INCONCLUSIVE" if any(held) else "FAIL"


def is_there(value: float, above: float | None, below: float | None) -> bool:
    """Whether a value lies within the bounds that there are; what is no number does not."""
    return (above is None or value > above) and (below is None or value < below)


def margin(value: float, above: float | None, below: float | None) -> float:
    """How far inside of what is asked for a value lies; below 0 it misses it."""
    return min(
        math.inf if above is None else value - above,
        math.inf if below is None else below - value,
    )


def measured(values: Sequence[float], above: float | None, below: float | None) -> str:
    """The values, and the margin of the one that matters: the nearest to the bound where all or none are inside."""
    by = [margin(value, above, below) for value in values if not math.isnan(value)]
    there, lost = sum(is_there(value, above, below) for value in values), len(values) - len(by)
    if there == len(values):
        said = f"The margin is {cut(min(by))} or more."
    elif len(values) == 1:
        said = "It is no number." if lost else f"It misses by {cut(-by[0])}."
    else:
        some = f"{there} of {len(values)} are" if there else "None is"
        which, miss = ("farthest", min) if there else ("nearest", max)
        nothing = f"{lost} of {len(values)} {'are no numbers' if lost > 1 else 'is no number'}"
        why = nothing if lost else f"the {which} misses by {cut(-miss(by))}"
        said = f"{some} there; {why}."
    return f"Measured: {', '.join(f'{value:.3g}' for value in values)}. {said}"


def cut(value: float) -> str:
    """Two digits, rounded towards 0, so that what holds by so much `or more` does; 0.09999999999999998 is 0.1."""
    return f"{float(Context(prec=2, rounding=ROUND_DOWN).create_decimal(f'{value:.12g}')):.2g}"


def strays(measured: Path, expected: Path, chapter: str = "") -> list[str]:
    """Where the numbers of two folders of verdicts differ by more than their tolerances, a sentence each.

    Args:
        chapter: only those whose names begin so.
    """
    said: list[str] = []
    for file in sorted(expected.glob(f"{chapter}*.json")):
        other = measured / file.name
        if not other.is_file():
            said.append(f"{file.stem}: no verdict was measured.")
            continue
        want, got = json.loads(file.read_text()), json.loads(other.read_text())
        if want["result"] != got["result"] or len(want["values"]) != len(got["values"]):
            said.append(f"{file.stem}: {got['result']} with {len(got['values'])} values, not {want['result']}.")
            continue
        off = max(abs(a - b) for a, b in zip(want["values"], got["values"], strict=True))
        if not off <= want["tolerance"]:
            said.append(f"{file.stem}: off by {off:.4g}, where {want['tolerance']:g} is allowed.")
    return said
