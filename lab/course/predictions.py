"""What a reader expects before an experiment, kept beside the runs and shown again after it."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from types import EllipsisType
from typing import Any, cast

from lab.course.answers import DOTS
from lab.course.places import RUNS
from lab.store import RunError, holding, make_folder, write_atomically

FILE = "predictions.json"
KEPT = "Kept. You will see it again at the end. What judges and what came out is folded: run first, open after."
STANDS = "\nThat was before, and it stands. To predict anew, write it in place of the dots."
MISSING = (
    "Nothing is predicted yet. Write what you expect in place of the dots, between the quotes, and run this cell again "
    "before you go on: whoever predicts learns more from what happens."
)
TOO_LATE = "There is nothing to hold what happened against: what would you have written, before you saw it?"
BOX = "padding: 6px 10px; border-left: 4px solid #d55e00; background: var(--jp-layout-color2, #f4f4f4)"


def predict(chapter: str, text: object = None, *, folder: str | Path = RUNS) -> None:
    """Keep a prediction; without a text, show the one that was made.

    Every one is kept with its time, in `predictions.json` in the folder of the runs; the last one is shown. Where there
    is none, that is said in a box, and the notebook goes on.

    Args:
        text: words, a number or a list of them; dots where nothing is written yet.
    Raises:
        RunError: it cannot be kept.
    """
    place = Path(folder) / FILE
    if said := as_written(text):
        keep(place, chapter, said)
        print(KEPT)
    elif made := known(place).get(chapter):
        print(f"You predicted: {made[-1]['text']}" + (STANDS if text is not None else ""))
    else:
        in_a_box(MISSING if text is not None else f"In chapter {chapter} you have predicted nothing. {TOO_LATE}")


def as_written(prediction: object) -> str:
    """One text of what was predicted, and none of dots."""
    if prediction is None or isinstance(prediction, EllipsisType):
        return ""
    if isinstance(prediction, (list, tuple)):
        return ", ".join(filter(None, map(as_written, cast("list[object]", prediction))))
    text = str(prediction).strip()
    return "" if text == DOTS else text


def in_a_box(words: str) -> None:
    """Not to be overlooked in a notebook; it goes on all the same."""
    shell: Any = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        print(words)
    else:
        box = f'<div role="alert" style="{BOX}">{escape(words)}</div>'
        sys.modules["IPython"].display.display({"text/plain": words, "text/html": box}, raw=True)


def keep(place: Path, chapter: str, text: str) -> None:
    """Add a prediction, unless it is the one that stands there already. Raises RunError."""
    text = text.encode(errors="replace").decode()  # half a letter, that a browser may send, could not be shown again
    make_folder(place.parent)
    try:
        with holding(place.parent):
            made = known(place)
            before = made.setdefault(chapter, [])
            if not before or before[-1]["text"] != text:
                before.append({"text": text, "at": datetime.now(UTC).isoformat(timespec="seconds")})
            write_atomically(place, json.dumps(made, indent=1, ensure_ascii=False).encode())
    except OSError as error:
        raise RunError(f"Your prediction cannot be kept in {place}: {error.strerror}.") from None


def known(place: Path) -> dict[str, list[dict[str, Any]]]:
    """All predictions by chapter; none where there is no file. Raises RunError when the file is damaged."""
    try:
        made = json.loads(place.read_bytes())
        checked(made)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RunError(f"{place} cannot be read: {error}. Move it away to start anew.") from None
    return made


def checked(made: Any) -> None:
    """Raises ValueError for what `keep` does not write."""
    if not isinstance(made, dict):
        raise ValueError("it has no predictions by chapter")  # noqa: TRY004  # like all that is damaged
    for chapter, each in made.items():
        if not (isinstance(each, list) and each and all(isinstance(one, dict) and "text" in one for one in each)):
            raise ValueError(f"what it has of chapter {chapter} is no list of predictions")
