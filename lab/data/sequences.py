"""Sequences as images of one channel: a row for each step, a column for each symbol."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Literal

import torch
from pydantic import Field

from lab.data import datasets
from lab.data.splits import Dataset, divide

SYMBOLS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ "
STEPS = 16  # letters of a name that are read
MOST = 150  # names of a script
SCRIPTS = {
    "first": ("LATIN", "GREEK", "CYRILLIC", "ARABIC", "HEBREW"),
    "second": ("ETHIOPIC", "MONGOLIAN", "YI", "HANGUL", "SINHALA"),
}
NAME = r"(?:CAPITAL |SMALL )?(?:LETTER|SYLLABLE) ([A-Z ]+)"

Scripts = Annotated[
    Literal["first", "second"],
    Field(
        description="first: latin, greek, cyrillic, arabic, hebrew; second: ethiopic, mongolian, yi, hangul, sinhala"
    ),
]


@datasets.add
def letter_names(*, scripts: Scripts = "first") -> Dataset:
    """Names of letters, read letter by letter: to which script does `BETA WITH DASIA` belong?

    (1, 16, 27): one row for each of the first 16 letters, 255 at its place in the alphabet or at the blank; 5 classes
    of up to 150 names each; 70 % training, 15 % validation, 15 % test. Real text that comes with Python, for rnn, lstm,
    gru and transformer: two tasks over one alphabet, so that what is learned in one can be taken over to the other.
    A name that two scripts have cannot be told apart.

    Source: Unicode 3.2 as unicodedata.ucd_3_2_0 has it, the same in every version of Python.
    """
    names = {script: names_of(script) for script in SCRIPTS[scripts]}
    images = torch.stack([one_hot(name) for found in names.values() for name in found])
    labels = torch.tensor([label for label, found in enumerate(names.values()) for _ in found])
    return divide(images, labels, tuple(script.lower() for script in names))


def names_of(script: str) -> list[str]:
    """Different names of a script's letters, without the script and without CAPITAL or SMALL, in Unicode's order."""
    pattern = re.compile(f"{script} {NAME}")
    found: dict[str, None] = {}
    for code in range(0x10000):
        if match := pattern.fullmatch(unicodedata.ucd_3_2_0.name(chr(code), "")):
            found[match[1][:STEPS]] = None
    return list(found)[:MOST]


def one_hot(name: str) -> torch.Tensor:
    """uint8 (1, 16, 27); rows after the end of the name are 0."""
    image = torch.zeros(1, STEPS, len(SYMBOLS), dtype=torch.uint8)
    for step, letter in enumerate(name):
        image[0, step, SYMBOLS.index(letter)] = 255
    return image
