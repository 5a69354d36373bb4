"""What the files of a run's folder say, and what is damaged in them."""

from __future__ import annotations

import contextlib
import json
import shlex
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from lab.recipe import CATALOGUES
from lab.store import RUN


class Facts(BaseModel):
    """What `run.json` says; anything else in its place is damage."""

    status: str = "damaged"
    detail: str = ""
    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    problems: list[str] = Field(default_factory=list[str])
    provenance: dict[str, Any] = Field(default_factory=dict[str, Any])
    test_looks: int = 0


def decode_facts(content: bytes) -> Facts:
    try:
        return Facts.model_validate(json.loads(content))
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: {fault['msg']}" for fault in error.errors())
        raise ValueError("; ".join(faults)) from None


def part(path: Path, decode: Any, empty: Any, problems: list[str], *, held: bool = False) -> Any:
    """A file of a run's folder, decoded; what is missing (unless there is a writer: yet to come) or damaged is named.

    Args:
        empty: stands in for it.
        problems: where that is said.
    """
    try:
        return decode(path.read_bytes())
    except FileNotFoundError:
        if not held:
            problems.append(f"{path.name} is missing.")
    except (OSError, ValueError, KeyError, TypeError) as error:
        problems.append(f"{path.name} is damaged: {error}.")
    return empty


class OwnOptions(NamedTuple):
    """Options of a run that were a person's own and are not known here; their files, as far as known."""

    names: tuple[str, ...]
    files: tuple[str, ...]

    def __str__(self) -> str:
        return " and ".join(self.names)

    @property
    def flags(self) -> str:
        """What makes them known, in a shell."""
        return " ".join(f"--options {shlex.quote(file)}" for file in self.files) or "--options FILE.py"


def unknown_options(folder: Path, error: str) -> OwnOptions | None:
    """Those whose source is kept, but never executed, and for which a recipe was refused here; None where none is."""
    facts: Facts = part(folder / RUN, decode_facts, Facts(), [])
    kept, files = (mapping(facts.provenance.get(key)) for key in ("custom_options", "option_files"))
    places = {key: key.partition(".") for key in kept}
    missing = {
        key: name
        for key, (field, _, name) in places.items()
        if field in CATALOGUES and f"Unknown {CATALOGUES[field].kind} {name!r}" in error
    }
    there = dict.fromkeys(
        str(files[key]) for key in missing if key in files and holds(Path(str(files[key])), kept[key])
    )
    return OwnOptions(tuple(missing.values()), tuple(there)) if missing else None


def holds(file: Path, source: Any) -> bool:
    """Whether a file has an option as the run kept it: a run that came from elsewhere may name any file."""
    with contextlib.suppress(OSError, ValueError):
        return isinstance(source, str) and bool(source.strip()) and source.strip() in file.read_text(encoding="utf-8")
    return False


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
