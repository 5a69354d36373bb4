"""A run's folder: one writer, atomic files, checkpoints that survive a kill, a cut and a full disk.

recipe.yaml               what decides the numbers
run.json                  status, problems, provenance, looks at the test split
history.json              per step and per epoch
weights.safetensors       at the end
checkpoint.safetensors    while it can still go on; checkpoint.previous.safetensors is the one before
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from math import isnan, nan
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lab.events import Epoch, Event, Finished, History, State, Status
from lab.provenance import form_of, learning_seconds, provenance
from lab.training import Training

CHECKPOINT, PREVIOUS = "checkpoint.safetensors", "checkpoint.previous.safetensors"
WEIGHTS, RECIPE, HISTORY, RUN = "weights.safetensors", "recipe.yaml", "history.json", "run.json"
SERIES = ("loss", "accuracy", "lr")
LOCK = ".lock"
ASKING_SECONDS = 0.02  # who asks whether a folder is held takes its lock for a moment, if nobody has it
PLAN = "plan.json"  # in the folder of a comparison
SWEEP = "sweep.json"  # in the folder of a sweep
RESUMABLE: tuple[Status, ...] = ("stopped", "out_of_memory", "failed")


class RunError(ValueError):
    """What is wrong with a run's folder, and what to do about it."""


def write_atomically(path: Path, content: bytes) -> None:
    """The file has its old content or the new one, never a part: also when the disk fills or the power goes."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def make_folder(folder: Path) -> None:
    """Raises RunError when it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"Cannot make the folder {folder}: {error.strerror}. Choose another folder.") from None


def contents(folder: Path) -> list[str]:
    """Names of what a person sees in a folder: locks and half-written files are hidden."""
    return sorted(path.name for path in folder.glob("[!.]*"))


def lock_new(folder: Path) -> FileLock:
    """The lock of a folder for a new run, which is made, or empty. Raises RunError, and leaves nothing, elsewhere."""
    make_folder(folder)
    if (names := contents(folder)) and not (folder / LOCK).exists():
        raise RunError(occupied(folder, names))
    held = lock(folder)  # who holds it now may be about to write the first file
    if names := contents(folder):
        held.release()
        raise RunError(occupied(folder, names))
    return held


def occupied(folder: Path, names: Sequence[str]) -> str:
    """Why a folder that holds something cannot take a new run."""
    for mark, what in ((PLAN, "comparison"), (SWEEP, "sweep")):
        if mark in names:
            return f"{folder} holds a {what}. Choose another folder."
    if {RECIPE, RUN} <= set(names):
        return f"{folder} holds a run already. Go on with `lab resume {folder}`, or choose another folder."
    if RECIPE in names:
        return f"{folder} holds a recipe, but no run. Choose another folder; its recipe is {folder / RECIPE}."
    return not_empty(folder, names, "a run")


def not_empty(folder: Path, names: Sequence[str], what: str) -> str:
    some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{folder} is not empty (it holds {some}), but {what} needs a folder of its own. Choose a new or empty one."


def lock(folder: Path) -> FileLock:
    """Hold the folder for this process. Raises RunError when another one writes there."""
    held = FileLock(folder / LOCK)
    try:
        held.acquire(timeout=10 * ASKING_SECONDS, poll_interval=ASKING_SECONDS / 4)
    except Timeout:
        raise RunError(
            f"Another process is writing the run in {folder}. Choose another folder, or stop it first."
        ) from None
    return held


def is_held(folder: Path) -> bool:
    """Whether a living process writes the folder."""
    if not (folder / LOCK).exists():
        return False
    try:
        with FileLock(folder / LOCK, timeout=ASKING_SECONDS, poll_interval=ASKING_SECONDS / 4):
            return False
    except Timeout:
        return True
    except OSError:  # no lock can be made there: nobody writes
        return False


@contextmanager
def holding(folder: Path) -> Generator[FileLock]:
    """The folder's lock while something is read and written there; whoever gets it may let it go earlier."""
    held = lock(folder)
    try:
        yield held
    finally:
        held.release(force=True)


def encode_state(state: State) -> bytes:
    series = {f"history.{name}": torch.tensor(getattr(state.history, name), dtype=torch.float64) for name in SERIES}
    plain = {
        "recipe": state.recipe,
        "step": state.step,
        "seconds": state.seconds,
        "scalars": state.scalars,
        "epochs": epochs_of(state.history),
    }
    return save(flattened({**state.tensors, **series}), metadata={"state": json.dumps(plain)})


def flattened(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies on the host: safetensors takes no other, nor two names for one memory."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }


def decode_state(path: Path, *, tensors: bool = True) -> State:
    """Args: tensors: False leaves them on the disk: enough to see a file that is cut off."""
    with safe_open(path, framework="pt") as file:
        plain = json.loads(file.metadata()["state"])
        found = {name: file.get_tensor(name) for name in (file.keys() if tensors else ())}  # not a mapping
    series = {name: found.pop(f"history.{name}").tolist() for name in SERIES if tensors}
    history = History(**series, epochs=[epoch_of(facts) for facts in plain["epochs"]])
    return State(plain["recipe"], found, plain["scalars"], plain["step"], plain["seconds"], history)


def latest_state(folder: Path, *, tensors: bool = True) -> tuple[State | None, list[str]]:
    """The newest checkpoint that can be read (None: start anew), and what was wrong with newer ones."""
    problems: list[str] = []
    for name in (CHECKPOINT, PREVIOUS):
        if (folder / name).exists():
            try:
                return decode_state(folder / name, tensors=tensors), problems
            except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
                if (folder / name).exists():  # else the run has ended meanwhile, and left weights in its place
                    problems.append(f"{name} is damaged ({error}) and was passed over.")
    return None, problems


def read_weights(path: Path, *, tensors: bool = True) -> dict[str, Tensor]:
    """Weights by name, without pickle; none of them without `tensors`. Raises RunError: it is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in (file.keys() if tensors else ())}  # not a mapping
    except (SafetensorError, OSError) as error:
        raise RunError(f"Cannot read the weights in {path}: {error}.") from None


def facts_of(session: Training) -> dict[str, str]:
    """What a file of weights says beside them: how images were seen, and the classes of the last layer, in its order.

    None where no label has taught it: who takes the weights over starts with a last layer of its own. And what the
    numbers of further layers stand for.
    """
    objective = session.objective
    classes, meanings = list(session.data.classes) if objective.names_classes else [], objective.meanings
    facts = {"classes": classes, "images": form_of(session.data), **({"meanings": meanings} if meanings else {})}
    return {key: json.dumps(value) for key, value in facts.items()}


def encode_history(history: History) -> bytes:
    series = {name: [known(value) for value in getattr(history, name)] for name in SERIES}
    return json.dumps({**series, "epochs": epochs_of(history)}).encode()


def decode_history(content: bytes) -> History:
    plain = json.loads(content)
    series = {name: [nan if value is None else value for value in plain[name]] for name in SERIES}
    return History(**series, epochs=[epoch_of(facts) for facts in plain["epochs"]])


def known(value: Any) -> Any:
    """JSON has no nan: what is not known, such as an accuracy without labels, is null."""
    return None if isinstance(value, float) and isnan(value) else value


def epochs_of(history: History) -> list[dict[str, Any]]:
    return [{name: known(value) for name, value in asdict(epoch).items()} for epoch in history.epochs]


def epoch_of(facts: dict[str, Any]) -> Epoch:
    plain: dict[str, Any] = {name: nan if value is None else value for name, value in facts.items()}
    return Epoch(**plain)


class Recorder:
    """Passes a training's events on and keeps the run's folder true to them; the only writer of the folder.

    A write that fails (a full disk) never ends the training: the files before it stay, and `problems` says why.

    Args:
        checkpoint_seconds: at least this long between two checkpoints; 0 writes one after every step.
        held: the folder's lock, when its run goes on; test_looks: how often its test split was looked at before.
    Raises:
        RunError: another process writes the folder, or it holds something already.
    """

    def __init__(
        self,
        session: Training,
        folder: str | Path,
        *,
        checkpoint_seconds: float = 10.0,
        held: FileLock | None = None,
        test_looks: int = 0,
    ) -> None:
        self.session, self.folder, self.checkpoint_seconds = session, Path(folder), checkpoint_seconds
        self.problems: list[str] = []
        self.finished: Finished | None = None
        self.facts: dict[str, Any] = {"test_looks": test_looks, "provenance": provenance(session)}
        self._saved_at = time.monotonic()
        self._lock = held or lock_new(self.folder)
        self.write(RECIPE, session.recipe.to_yaml().encode())
        self._write_facts("running")

    def __iter__(self) -> Iterator[Event]:
        """The events; leaving early (stop) or by an error is recorded as such."""
        try:
            for event in self.session:
                self.hear(event)
                yield event
        except GeneratorExit:
            self.finished = self.finished or Finished("stopped", self.session.step)
            raise
        except Exception as error:
            self.fail(error)
            raise
        finally:
            self.close()

    def fail(self, error: Exception) -> None:
        """An error of the lab's or of a person's option ended the run."""
        self.finished = self.finished or Finished("failed", self.session.step, f"{type(error).__name__}: {error}")

    def hear(self, event: Event) -> None:
        """Keep what an event asks for: the result at the end, and now and then a checkpoint."""
        if isinstance(event, Finished):
            self.finished = event
            self.close()
        elif time.monotonic() - self._saved_at >= self.checkpoint_seconds:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Keep the present state; after a step that broke in the middle the last checkpoint stays instead."""
        if not self.session.between_steps:
            return
        current = self.folder / CHECKPOINT
        content = encode_state(self.session.state())
        if current.exists():
            self._keep_previous(current)
        self.write(CHECKPOINT, content)
        self.write(HISTORY, encode_history(self.session.history))
        self._saved_at = time.monotonic()

    def _keep_previous(self, current: Path) -> None:
        # A second name for the same file: no copy, and no moment without a whole checkpoint.
        temporary = current.with_name(f".{PREVIOUS}.new")
        temporary.unlink(missing_ok=True)
        try:
            os.link(current, temporary)
            temporary.replace(current.with_name(PREVIOUS))
        except OSError:
            pass  # a file system without links has one checkpoint instead of two

    def close(self) -> None:
        """Write how the run ended, once, and let the folder go."""
        if not self._lock.is_locked:
            return
        finished = self.finished or Finished("stopped", self.session.step)
        try:
            self._leave_checkpoint() if finished.status in RESUMABLE else self._leave_result()
        except (MemoryError, RuntimeError) as error:
            self.problems.append(f"The weights could not be kept at step {self.session.step}: {error}.")
        finally:
            self._write_facts(finished.status, finished.detail)
            self._lock.release()

    def _leave_checkpoint(self) -> None:
        self.write(HISTORY, encode_history(self.session.history))
        self.checkpoint()

    def _leave_result(self) -> None:
        self.write(HISTORY, encode_history(self.session.history))
        if self.write(WEIGHTS, save(flattened(self.session.weights()), metadata=facts_of(self.session))):
            for name in (CHECKPOINT, PREVIOUS):
                (self.folder / name).unlink(missing_ok=True)

    def _write_facts(self, status: str, detail: str = "") -> None:
        self.facts["provenance"]["learning_seconds"] = learning_seconds(self.session)
        facts = {
            "status": status,
            "detail": detail,
            "step": self.finished.step if self.finished else self.session.step,
            "steps": self.session.steps,
            "seconds": self.session.seconds,
            "problems": self.problems,
            **self.facts,
        }
        self.write(RUN, json.dumps(facts, indent=1).encode())

    def write(self, name: str, content: bytes) -> bool:
        """Whether it worked; if not, `problems` says why."""
        try:
            write_atomically(self.folder / name, content)
        except OSError as error:
            reason = error.strerror or error
            self.problems.append(f"{name} could not be written at step {self.session.step}: {reason}.")
            return False
        return True
