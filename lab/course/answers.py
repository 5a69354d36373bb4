"""Self-checks of exercises: right, or a hint. What is right stands in a file, not for a reader who happens upon it.

An instructor writes `answers.yaml`, a mapping from exercise to what is right:

    02-1: {choice: b, why: ..., hint: ..., wrong: [{answer: a, hint: ...}]}
    02-2: {number: 0.5, within: 0.01, why: ..., hint: ..., wrong: [{answer: 0.25, hint: ...}]}

`sealed` turns it into `answers.json`: a choice as a salted hash, all else in a form that nobody reads by accident. A
hash of few choices hides nothing from whoever wants to know: it keeps the answer out of sight, as a lesson needs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import EllipsisType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lab.catalogue import RecipeError, unknown
from lab.course.places import answers_file
from lab.reading import read_text, read_yaml

ROUNDS = 20_000
Answer = str | float | bool
WITHIN = 1e-9
DOTS = "..."  # what stands where a text is to be written


class Mistake(BaseModel):
    """An answer that many give, and what helps them."""

    model_config = ConfigDict(extra="forbid", strict=True)
    answer: Answer
    hint: str


class Exercise(BaseModel):
    """What is right: a choice or a number, and why; what helps whoever is wrong."""

    model_config = ConfigDict(extra="forbid")
    choice: str | bool | None = None
    number: float | None = None
    within: Annotated[float, Field(ge=0)] = WITHIN
    why: str
    hint: str
    wrong: list[Mistake] = Field(default_factory=list[Mistake])

    @model_validator(mode="after")
    def _one_kind(self) -> Exercise:
        if (self.choice is None) == (self.number is None):
            raise ValueError("an exercise has either a choice or a number")
        return self


def check(exercise: str, answer: Answer | EllipsisType, *, file: str | Path | None = None) -> None:
    """Print whether an answer is right; if not, a hint.

    Args:
        exercise: such as "05-2"; answer: a number, or a choice (capitals, brackets and a full stop do not count).
        file: the sealed answers; those beside the notebook by default.
    Raises:
        RecipeError: there is no such exercise, or no file with answers.
    """
    sealed_answers = read_sealed(Path(file) if file else answers_file())
    if exercise not in sealed_answers:
        raise RecipeError(unknown("exercise", exercise, sealed_answers))
    print(f"{exercise}: {said_of(exercise, sealed_answers[exercise], answer)}")


def said_of(exercise: str, spec: Mapping[str, Any], answer: Answer | EllipsisType) -> str:
    """Right and why, or a hint."""
    if isinstance(answer, EllipsisType) or (isinstance(answer, str) and answer.strip() == DOTS):
        return "not answered yet. Put your answer in place of the dots."
    right = is_choice(exercise, spec, answer) if "choice" in spec else is_number(spec, answer)
    if right is None:
        wanted = "a choice, such as 'a'" if "choice" in spec else "a number"
        return f"{answer!r} was given, but {wanted} is wanted."
    if right:
        return f"right. {opened(spec['why'])}"
    return f"not yet. {hint_for(spec, answer)}"


def is_choice(exercise: str, spec: Mapping[str, Any], answer: Answer) -> bool | None:
    """None: it is no choice at all."""
    if not isinstance(answer, str | bool):
        return None
    return hashed(exercise, answer) == spec["choice"]


def is_number(spec: Mapping[str, Any], answer: Answer) -> bool | None:
    """None: it is no number."""
    try:
        given = math.nan if isinstance(answer, bool) else float(answer)
    except (TypeError, ValueError):
        return None
    low, high = json.loads(opened(spec["between"]))
    return None if math.isnan(given) else low <= given <= high


def hint_for(spec: Mapping[str, Any], answer: Answer) -> str:
    """Of a mistake that is known, its own; else the general one."""
    mistakes: list[dict[str, Any]] = json.loads(opened(spec["wrong"]))
    for mistake in mistakes:
        if same(mistake["answer"], answer):
            return mistake["hint"]
    return opened(spec["hint"])


def same(known: Answer, given: Answer) -> bool:
    """Words as `plain` has them, numbers up to one percent."""
    try:
        return math.isclose(float(known), float(given), rel_tol=0.01)
    except (TypeError, ValueError):
        return plain(known) == plain(given)


def plain(answer: Answer) -> str:
    """Without capitals, spaces, and what a choice is written with, as in `(b)`, `b)` and `b.`"""
    return " ".join(str(answer).lower().split()).strip("()[]. ")


def hashed(exercise: str, answer: Answer) -> str:
    """Salted with the exercise's name, so that equal answers look different."""
    salt = f"lab course {exercise}".encode()
    return hashlib.pbkdf2_hmac("sha256", plain(answer).encode(), salt, ROUNDS).hex()[:32]


def hidden(text: str) -> str:
    return base64.b85encode(text.encode()).decode()


def opened(text: str) -> str:
    return base64.b85decode(text).decode()


def sealed(exercises: Mapping[str, Exercise]) -> dict[str, dict[str, str]]:
    """What is handed out."""
    return {name: seal(name, exercise) for name, exercise in exercises.items()}


def seal(name: str, exercise: Exercise) -> dict[str, str]:
    if exercise.choice is not None:
        right = {"choice": hashed(name, exercise.choice)}
    else:
        assert exercise.number is not None
        right = {"between": hidden(json.dumps([exercise.number - exercise.within, exercise.number + exercise.within]))}
    mistakes = json.dumps([mistake.model_dump() for mistake in exercise.wrong])
    return {**right, "why": hidden(exercise.why), "hint": hidden(exercise.hint), "wrong": hidden(mistakes)}


def read_sealed(path: Path) -> dict[str, dict[str, str]]:
    """Raises RecipeError when there is no file, or it is damaged."""
    try:
        return json.loads(read_text(path, "the answers"))
    except ValueError as error:
        raise RecipeError(f"{error} Make it with: python -m lab.course") from None


def read_exercises(path: str | Path) -> dict[str, Exercise]:
    """An instructor's answers. Raises RecipeError, naming the exercise."""
    spec = read_yaml(read_text(path, "the answers"), str(path))
    if not isinstance(spec, dict):
        raise RecipeError(f"{path} must be a mapping from exercise to answer.")
    return {str(name): exercise_of(str(name), value) for name, value in spec.items()}


def exercise_of(name: str, spec: Any) -> Exercise:
    try:
        return Exercise.model_validate(spec)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))} {fault['msg']}".strip() for fault in error.errors())
        raise RecipeError(f"Exercise {name}: {faults}.") from None
