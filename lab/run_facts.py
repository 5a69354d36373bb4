"""What the files of a run's folder say, and what is damaged in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError


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
