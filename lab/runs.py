"""Runs: a recipe with its history, status, provenance and weights; trained, resumed, opened and listed."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lab.events import Epoch, Finished, History
from lab.frames import frame_of
from lab.loading import data_of
from lab.older_runs import recipe_of_run
from lab.progress import with_bar
from lab.provenance import provenance
from lab.recipe import Recipe, RecipeError, refuse_choices
from lab.run_facts import Facts, decode_facts, part, unknown_options
from lab.steps import build_model, is_out_of_memory, no_memory, pick_device
from lab.store import (
    HISTORY,
    LOCK,
    PLAN,
    RECIPE,
    RUN,
    SWEEP,
    WEIGHTS,
    Recorder,
    RunError,
    decode_history,
    holding,
    is_held,
    latest_state,
    read_weights,
    write_atomically,
)
from lab.training import Training

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("epochs", "validation_accuracy", "validation_loss", "gap", "seconds", "test_looks")
COLUMNS = ["folder", "id", "status", *SCORES, "problem"]


@dataclass
class Run:
    """What a recipe gave: how it ended, what was measured, where the numbers come from.

    status: finished, stopped, diverged, stuck, out_of_memory, failed; `interrupted` when it was killed.
    weights: by name, on the host; None when the run cannot be opened that far.
    """

    recipe: Recipe
    history: History
    status: str
    detail: str = ""
    seconds: float = 0.0
    step: int = 0
    folder: Path | None = None
    weights: dict[str, Tensor] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    test_looks: int = 0

    @property
    def best(self) -> Epoch | None:
        """The epoch with the highest validation accuracy: `History.best`."""
        return self.history.best

    def test(self, device: str | None = None) -> tuple[float, float]:
        """Loss and accuracy on the test split, with the final weights. Each look is counted in the run."""
        session = Training(self.recipe, device=device)
        self._fill(session.model)
        self._count_look()
        return session.evaluate(session.data.test)

    def _fill(self, model: torch.nn.Module) -> None:
        if self.weights is None:
            raise RunError(f"This run ({self.status}) has no weights.")
        try:
            model.load_state_dict(self.weights)
        except RuntimeError as error:
            raise RunError(f"The weights of this run belong to another network. {error}") from None

    def _count_look(self) -> None:
        self.test_looks += 1
        if self.folder is not None:
            self._count_in_folder(self.folder)

    def _count_in_folder(self, folder: Path) -> None:
        """Raises RunError when the look cannot be counted: then there is none."""
        with holding(folder):
            try:
                facts = decode_facts((folder / RUN).read_bytes())
            except (OSError, ValueError) as error:
                raise RunError(f"A look at the test split cannot be counted in {folder / RUN}: {error}.") from None
            self.test_looks = facts.test_looks + 1
            counted = facts.model_copy(update={"test_looks": self.test_looks})
            write_atomically(folder / RUN, counted.model_dump_json(indent=1).encode())

    def model(self) -> torch.nn.Module:
        """The network with its trained weights, on the CPU, in evaluation mode."""
        model = build_model(self.recipe, data_of(self.recipe))
        self._fill(model)
        return model.eval()

    def epochs(self) -> pd.DataFrame:
        """One row per epoch: losses in nats per example, accuracies as fractions, seconds since the start."""
        columns = [column.name for column in fields(Epoch)]
        return frame_of([vars(epoch) for epoch in self.history.epochs], columns)


def train(
    recipe: Recipe,
    *,
    folder: str | Path | None = None,
    progress: bool = True,
    checkpoint_seconds: float = 10.0,
    **where: Any,
) -> Run:
    """Train a recipe to its end; Ctrl-C stops after the current step and leaves a usable run.

    Args:
        folder: where to keep the run; in memory only by default.
        progress: show a bar (plain lines when the output is not a terminal).
        checkpoint_seconds: at least this long between two checkpoints.
        where: device, data_budget_bytes, workers of `training`.
    Raises:
        RecipeError: no recipe was given, or choices beside it.
        DataError, RunError: no data; or the folder holds something or has another writer.
    """
    refuse_choices(where)
    try:
        session = Training(recipe, **where)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return Run(recipe, History(), "out_of_memory", no_memory(pick_device(where.get("device"))))
    recorder = Recorder(session, folder, checkpoint_seconds=checkpoint_seconds) if folder else None
    return _drain(session, recorder, progress=progress)


def resume(folder: str | Path, *, progress: bool = True, checkpoint_seconds: float = 10.0, **where: Any) -> Run:
    """Go on with a stopped, interrupted or failed run from its last checkpoint, to the same numbers.

    Raises:
        RunError: no run there, or it has ended already.
    """
    folder = Path(folder)
    open_run(folder)  # says what is wrong before anything is locked
    with holding(folder) as held:
        run = open_run(folder)
        if run.status in ("finished", "diverged", "stuck") and run.weights is not None:
            raise RunError(f"The run in {folder} has ended ({run.status}); there is nothing to resume.")
        session = Training(run.recipe, **where)
        problems = restored(session, folder)
        recorder = Recorder(
            session, folder, checkpoint_seconds=checkpoint_seconds, held=held, test_looks=run.test_looks
        )
        recorder.problems += problems
        return _drain(session, recorder, progress=progress)


def restored(session: Training, folder: Path) -> list[str]:
    """Put a training where the folder's last good checkpoint stands; what was wrong, before and now."""
    earlier: Facts = part(folder / RUN, decode_facts, Facts(), [])
    state, damage = latest_state(folder)
    if state is None:
        return [
            *earlier.problems,
            *damage,
            *(["No checkpoint could be read: training started anew."] if damage else []),
        ]
    try:
        session.restore(state)
    except ValueError as error:
        raise RunError(f"Cannot resume {folder}. {error}") from None
    return [*earlier.problems, *damage]


def _drain(session: Training, recorder: Recorder | None, *, progress: bool) -> Run:
    last = Finished("stopped", session.step)
    with interruptible() as asked_to_stop, session.threads():
        events = iter(recorder or session)
        for event in with_bar(events, session) if progress else events:
            if isinstance(event, Finished):
                last = event
            elif asked_to_stop.is_set():
                last = Finished("stopped", session.step, "Stopped on request.")
                break
        if recorder:
            recorder.finished = recorder.finished or last
            recorder.close()
    return run_of(session, last, recorder)


def run_of(session: Training, last: Finished, recorder: Recorder | None = None) -> Run:
    """The Run of a training that has come to an end."""
    if last.status == "stopped":
        session.state()  # reads what is still on the device into the history
    with session.threads():  # statistics for other weights are taken now, and their last bits depend on it
        weights = session.weights()
    return Run(
        recipe=session.recipe,
        history=session.history,
        status=last.status,
        detail=last.detail,
        seconds=session.seconds,
        step=last.step,
        folder=recorder.folder if recorder else None,
        weights={name: tensor.detach().cpu().clone() for name, tensor in weights.items()},
        provenance=recorder.facts["provenance"] if recorder else provenance(session),
        problems=recorder.problems if recorder else [],
        test_looks=recorder.facts["test_looks"] if recorder else 0,
    )


@contextmanager
def interruptible() -> Generator[threading.Event]:
    """Ctrl-C sets the event instead of breaking a step in two; a second Ctrl-C breaks as usual."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.getsignal(signal.SIGINT)

    def on_interrupt(*_: Any) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def new_folder(recipe: Recipe, root: str | Path = "runs") -> Path:
    """Make a new folder, named by time and recipe."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    for suffix in ["", *(f"-{n}" for n in range(2, 10_000))]:
        folder = Path(root) / f"{stamp}-{recipe.id}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:  # another process had the same thought
            continue
        except OSError as error:
            raise RunError(f"Cannot make the folder {folder}: {error.strerror}. Choose another folder.") from None
        return folder
    raise RunError(f"Too many runs of one second in {root}.")


def open_run(folder: str | Path, *, weights: bool = True) -> Run:
    """Open a run's folder; what is damaged in it is named in `problems`.

    Args:
        weights: False leaves them on the disk, whose file is only seen to be whole.
    Raises:
        RunError: there is no run, or not even its recipe can be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"There is no run in {folder}: no such folder.")
    try:
        recipe = recipe_of_run(folder / RECIPE)
    except RecipeError as error:
        own = unknown_options(folder, str(error))
        kept = f"was defined by whoever trained it ({folder / RUN} keeps the source)"
        hint = f" Its {own} {kept}: define it again first, in a shell with {own.flags}." if own else ""
        raise RunError(f"There is no readable run in {folder}. {error}{hint}") from None
    problems: list[str] = []
    held = is_held(folder)  # before anything is read: what is missing then is yet to come, not lost
    facts: Facts = part(folder / RUN, decode_facts, Facts(), problems, held=held)
    history: History = part(folder / HISTORY, decode_history, History(), problems, held=held)
    run = Run(recipe, history, _status(facts, held=held), folder=folder)
    for key in ("detail", "seconds", "step", "provenance", "test_looks"):
        setattr(run, key, getattr(facts, key))
    kept, run.problems = _weights(folder, run.status, problems, tensors=weights), [*facts.problems, *problems]
    run.weights = kept if weights else None
    return run


def _weights(folder: Path, status: str, problems: list[str], *, tensors: bool) -> dict[str, Tensor] | None:
    state, damage = (None, []) if (folder / WEIGHTS).exists() else latest_state(folder, tensors=tensors)
    problems += damage
    if state is None and (folder / WEIGHTS).exists():  # asked again: the run may have ended meanwhile
        try:
            return read_weights(folder / WEIGHTS, tensors=tensors)
        except RunError as error:
            problems.append(str(error))
    elif status in ("finished", "stuck"):
        problems.append(f"{WEIGHTS} is missing.")
    return state.weights() if state else None


def _status(facts: Facts, *, held: bool) -> str:
    if held and facts.status == "damaged":
        return "running"  # about to begin
    return "interrupted" if facts.status == "running" and not held else facts.status


def table(root: str | Path = "runs") -> pd.DataFrame:
    """`listed` as a frame."""
    return frame_of(listed(root), COLUMNS)


def listed(root: str | Path = "runs") -> list[dict[str, Any]]:
    """All runs under a folder, newest first: one row each, damaged ones included with what is wrong.

    A run with a person's own option that is not known here has the status "unknown option". What is not known is None.
    gap: with two domains, how much more is right in the source than in the target, whose accuracy stands beside it.
    """
    places = sorted(Path(root).glob("[!.]*"), reverse=True) if Path(root).is_dir() else []
    rows = [_row(place) for place in places if place.is_dir() and might_be_run(place)]
    found = [row for row in rows if row["status"] != "empty" or is_named_new(Path(row["folder"]))]
    return [dict.fromkeys(COLUMNS) | row for row in found]


def might_be_run(folder: Path) -> bool:
    """A folder with anything in it, but of a comparison, sweep, claims or verdicts; or with a name of `new_folder`."""
    if not any(folder.iterdir()):
        return is_named_new(folder)
    others = (folder / PLAN).exists() or (folder / SWEEP).exists()
    return not others and folder.name not in ("claims", "sweeps", "verdicts")


def is_named_new(folder: Path) -> bool:
    """Whether it has a name of `new_folder`."""
    return re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{12}(-\d+)?", folder.name) is not None


def _row(folder: Path) -> dict[str, Any]:
    begun = any(place.name != LOCK for place in folder.iterdir())  # a lock is made before it is held
    if not (folder / RECIPE).exists():
        if is_held(folder):
            return {"folder": str(folder), "status": "running", "problem": ""}
        if not begun:
            said = "Nothing is in it: the run ended before its first step, or is about to begin."
            return {"folder": str(folder), "status": "empty", "problem": said}
    try:
        run = open_run(folder, weights=False)
    except RunError as error:
        if own := unknown_options(folder, str(error)):
            said = f"Whoever trained it has defined its {own}, which is not known here: give {own.flags}."
            return {"folder": str(folder), "status": "unknown option", "problem": said}
        said = str(error).removeprefix(f"There is no readable run in {folder}. ").replace(f"{folder}/", "")
        return {"folder": str(folder), "status": "damaged", "problem": said}
    best = run.best
    return {
        "folder": str(folder),
        "id": run.recipe.id,
        "status": run.status,
        "epochs": len(run.history.epochs),
        "validation_accuracy": best.validation_accuracy if best else None,
        "validation_loss": best.validation_loss if best else None,
        "gap": best.gap if best else None,
        "seconds": round(run.seconds, 3),
        "test_looks": run.test_looks,
        "problem": " ".join(run.problems),
    }
