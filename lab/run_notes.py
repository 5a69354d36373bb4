"""What a person says of a run: a note and whether it is pinned, kept in the run's folder."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from lab.store import RunError, holding, write_atomically

NOTE = "note.json"


class Note(NamedTuple):
    """Any text, and whether the run is pinned."""

    text: str = ""
    pinned: bool = False


def read_note(folder: str | Path) -> Note:
    """What the folder keeps; nothing where there is no note, or one that cannot be read."""
    spec: Any = None
    with contextlib.suppress(OSError, ValueError):
        spec = json.loads((Path(folder) / NOTE).read_bytes())
    if not isinstance(spec, dict):
        return Note()
    return Note(str(spec.get("text", "")), spec.get("pinned") is True)


def write_note(folder: str | Path, note: Note) -> None:
    """Raises RunError: another process writes the folder, or it cannot be written."""
    place = Path(folder)
    try:
        with holding(place):
            write_atomically(place / NOTE, json.dumps(note._asdict()).encode())
    except OSError as error:
        raise RunError(f"The note cannot be kept in {place}: {error.strerror}.") from None
