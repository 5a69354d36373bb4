"""The table of runs in words: a line for each, and below it, numbered, what is wrong with some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.endings import PICKED
from lab.progress import short_loss

if TYPE_CHECKING:
    import pandas as pd

DIGITS = {"epochs": 0, "validation_accuracy": 4, "gap": 4, "seconds": 1, "test_looks": 0}


def in_words(table: pd.DataFrame) -> str:
    """Of `runs.table`, which has at least one run."""
    shown, notes = with_notes(without_repeats(table))
    lines = [with_digits(shown).to_string(index=False, na_rep=""), *notes]
    if "gap" in shown:
        lines.append(f"With two domains the accuracy is of the target, at the epoch {PICKED}.")
    return "\n".join(lines)


def without_repeats(table: pd.DataFrame) -> pd.DataFrame:
    """Without a gap where no run has two domains, and without ids where the folders' names hold them."""
    ids = table["id"].where(table["id"].notna(), "")
    named = all(str(of) in str(folder) for folder, of in zip(table["folder"], ids, strict=True))
    left_out = {"gap": all(table["gap"].isna()), "id": named}
    return table.drop(columns=[name for name, left in left_out.items() if left])


def with_notes(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Numbers in place of problems, and what they stand for: a sentence would push the columns apart."""
    problems = list(map(str, table["problem"]))
    said = list(dict.fromkeys(filter(None, problems)))
    numbers = [f"({said.index(problem) + 1})" if problem else "" for problem in problems]
    rest = table.drop(columns="problem")
    return (rest.assign(note=numbers) if said else rest), [f"({place}) {text}" for place, text in enumerate(said, 1)]


def with_digits(table: pd.DataFrame) -> pd.DataFrame:
    """As many digits as mean something."""
    written = {"validation_loss": short_loss, **{name: f"{{:.{digits}f}}".format for name, digits in DIGITS.items()}}
    shown = {name: table[name].map(words, na_action="ignore") for name, words in written.items() if name in table}
    return table.assign(**shown)
