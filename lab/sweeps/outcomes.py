"""What came of each point of a sweep, and the folder that keeps it.

sweep.json       the sweep as it was last asked for
outcomes.jsonl   a line per attempt, written by the one process that runs the sweep
runs/ID          the run of each point, by its recipe's id
reports/ID.ipynb the executed notebook of each point
summary.ipynb, index.html  what came out; summary-failed.ipynb where the notebook failed, as far as it came
"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path

from pydantic import TypeAdapter

from lab.runs import Run
from lab.store import PLAN, RECIPE, SWEEP, RunError, contents, make_folder, not_empty, write_atomically
from lab.sweeps.plan import Sweep
from lab.trials import end_last_line

OUTCOMES, RUNS, REPORTS = "outcomes.jsonl", "runs", "reports"
ENDED = ("finished", "stuck", "diverged")  # trained anew, an equal recipe would end the same way


@dataclass(frozen=True)
class Outcome:
    """How an attempt at a point ended.

    status: a run's, or `lost` where its process or machine was gone; detail: the sentence beside it.
    accuracies, losses: on the validation split after each epoch; a loss that is not finite is None.
    attempts: how many it took so far; errors: of those that came to nothing.
    """

    id: str
    status: str
    detail: str = ""
    accuracies: tuple[float, ...] = ()
    losses: tuple[float | None, ...] = ()
    seconds: float = 0.0
    step: int = 0
    attempts: int = 1
    errors: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether there is nothing to do again: a run that diverged is a result too."""
        return self.status in ENDED

    @property
    def accuracy(self) -> float | None:
        """On the validation split after the last epoch; None where the run diverged, or did not end."""
        return self.accuracies[-1] if self.status in ("finished", "stuck") and self.accuracies else None

    def after(self, before: Outcome | None) -> Outcome:
        """The same, with the attempts before it."""
        if before is None:
            return self
        said = f"{before.status}: {before.detail}".strip()
        return replace(self, attempts=before.attempts + 1, errors=(*before.errors, said))


LINE = TypeAdapter(Outcome)


def outcome_of(run: Run) -> Outcome:
    epochs = run.history.epochs
    losses = tuple(epoch.validation_loss if isfinite(epoch.validation_loss) else None for epoch in epochs)
    accuracies = tuple(epoch.validation_accuracy for epoch in epochs)
    return Outcome(run.recipe.id, run.status, run.detail, accuracies, losses, run.seconds, run.step)


@contextmanager
def room_in(folder: Path) -> Generator[None]:
    """What cannot be written is said in words, with what to do."""
    try:
        yield
    except OSError as error:
        said = f"Cannot write in {folder}: {error.strerror}"
        raise RunError(f"{said}. Make room, then go on with the same command: what has ended is kept.") from None


class SweepFolder:
    """The folder of a sweep; whoever writes there holds it. Points are known by recipe, whatever the sweep asked for.

    Raises:
        RunError: it holds something else.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        names = contents(self.path)
        if {RECIPE, PLAN} & set(names):
            raise RunError(f"{self.path} holds a {'run' if RECIPE in names else 'comparison'}. Choose another folder.")
        if names and SWEEP not in names:
            raise RunError(not_empty(self.path, names, "a sweep"))

    def run(self, point: str) -> Path:
        return self.path / RUNS / point

    def report(self, point: str) -> Path:
        return self.path / REPORTS / f"{point}.ipynb"

    def start(self, sweep: Sweep) -> None:
        for name in (RUNS, REPORTS):
            make_folder(self.path / name)
        with room_in(self.path):
            write_atomically(self.path / SWEEP, sweep.model_dump_json(indent=1).encode())
            if (self.path / OUTCOMES).exists():
                end_last_line(self.path / OUTCOMES)

    def sweep(self) -> Sweep:
        """The sweep that was last asked for. Raises RunError where none can be read."""
        try:
            return Sweep.model_validate_json((self.path / SWEEP).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"There is no readable sweep in {self.path}: {error}") from None

    def add(self, outcome: Outcome) -> None:
        with room_in(self.path), (self.path / OUTCOMES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")

    def outcomes(self) -> dict[str, Outcome]:
        """The last one of each point; one whose run was deleted is forgotten, as is a line that was cut off."""
        path, found = self.path / OUTCOMES, dict[str, Outcome]()
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
            if (outcome := read_line(line)) and (not outcome.ended or (self.run(outcome.id) / RECIPE).exists()):
                found[outcome.id] = outcome
        return found


def read_line(line: str) -> Outcome | None:
    try:
        return LINE.validate_json(line)
    except ValueError:
        return None
