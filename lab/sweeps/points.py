"""One point of a sweep, trained in whatever process: by the notebook, whose executed copy is the report, or plainly."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lab.own_options import add_options
from lab.recipe import Recipe, difference, overrides
from lab.runs import Run, open_run, resume, train
from lab.store import RECIPE, RunError, is_held
from lab.sweeps.outcomes import ENDED, Outcome, outcome_of

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "run.ipynb"
PATIENCE = 60  # seconds for what a cell has shown to arrive: four, the default, are too few on a busy machine
FREED_SECONDS = 20  # a notebook's kernel notices within one second that the process which started it is gone


@dataclass(frozen=True)
class Order:
    """What a process is told of a point: plain values, which it can read without knowing a person's options yet.

    recipe: as YAML. report: where the executed notebook goes; None for the plain function. notebook: its text.
    options: files of a person's own. forked: its process will execute others too, or may.
    """

    id: str
    recipe: str
    folder: Path
    report: Path | None = None
    notebook: str = ""
    device: str | None = None
    options: tuple[str, ...] = ()
    forked: bool = True


def completed(recipe: Recipe, folder: str | Path, **where: Any) -> Run:
    """The run of a recipe in a folder: opened where it has ended, gone on with where it was cut off, or trained.

    Args:
        where: device, data_budget_bytes, workers of `training`.
    Raises:
        RunError: the folder holds another recipe's run, or something else.
    """
    if not (Path(folder) / RECIPE).exists():
        return train(recipe, folder=folder, progress=False, **where)
    kept = open_run(folder)
    if kept.recipe != recipe:
        said = difference(kept.recipe, recipe)
        raise RunError(f"{folder} holds the run of another recipe (here: {said}). Choose another folder.")
    if kept.status in ENDED and kept.weights is not None:
        return kept
    return resume(folder, progress=False, **where)


def ended_before(recipe: Recipe, folder: Path) -> Outcome | None:
    """What became of the run in this folder, where it is the recipe's, whole, and has come to its end."""
    try:
        run = open_run(folder, weights=False)
    except RunError:
        return None
    outcome = outcome_of(run)
    return outcome if outcome.ended and run.recipe == recipe and not run.problems else None


def done(order: Order) -> Outcome:
    """Bring a point to its end. What goes wrong is an outcome with its sentence, never an exception."""
    try:
        know(order.options)
        wait_until_free(order.folder)
        if order.report is None:
            return outcome_of(completed(Recipe.from_yaml(order.recipe), order.folder, device=order.device))
        execute(order, order.report)
        return outcome_of(open_run(order.folder))
    except Exception as error:  # noqa: BLE001  # whatever a person's option, a driver or a disk may raise
        return kept_or_failed(order, error)


@lru_cache
def know(options: tuple[str, ...]) -> None:
    """A person's own options, once a process."""
    add_options(options)


def wait_until_free(folder: Path) -> None:
    """Until the process that wrote the run before is gone. Who waits in vain is told by the run's own lock."""
    late = time.monotonic() + FREED_SECONDS
    while folder.exists() and is_held(folder) and time.monotonic() < late:
        time.sleep(0.05)


def execute(order: Order, report: Path) -> None:
    """The notebook with this point's parameters; as far as it came, it is kept. Raises whatever ended it."""
    with TemporaryDirectory() as place:
        source = Path(place, "run.ipynb")
        source.write_text(order.notebook, encoding="utf-8")
        executed(source, report, parameters(order), forked=order.forked)


def executed(notebook: Path, output: Path, given: dict[str, Any], *, forked: bool = False) -> None:
    """Papermill without its talk: static outputs, no state of widgets, paths seen from here.

    Args:
        forked: the first kernel of this process takes as long as any, and each later one a fraction of it.
    """
    import papermill  # noqa: PLC0415  # takes a second, and plain points do without

    from lab.sweeps.kernels import ForkedKernels  # noqa: PLC0415  # likewise

    kernels: dict[str, Any] = {"kernel_manager_class": ForkedKernels} if forked else {}
    papermill.execute_notebook(
        str(notebook),
        str(output),
        parameters=given,
        cwd=str(Path.cwd()),
        progress_bar=False,
        log_output=False,
        store_widget_state=False,
        request_save_on_cell_execute=False,
        iopub_timeout=PATIENCE,
        extra_arguments=["--log-level=CRITICAL"],
        **kernels,
    )


def parameters(order: Order) -> dict[str, Any]:
    """The notebook's, as papermill writes them into a cell."""
    changes = overrides(Recipe.from_yaml(order.recipe))
    kept = {"folder": str(order.folder), "device": order.device or "", "options": list(order.options)}
    return {"overrides": changes, **kept}


def kept_or_failed(order: Order, error: Exception) -> Outcome:
    """A notebook fails on purpose where its run diverged or got stuck: then the run's folder says what became of it."""
    try:
        kept = open_run(order.folder)
    except RunError:
        kept = None
    if kept and kept.recipe.id == order.id and kept.status not in ("interrupted", "running", "damaged", "stopped"):
        return outcome_of(kept)
    return Outcome(order.id, "failed", said(error))


def said(error: Exception) -> str:
    """An error in one sentence: of a notebook's, the one inside."""
    name, value = (getattr(error, part, None) for part in ("ename", "evalue"))
    return f"{name}: {value}" if name else f"{type(error).__name__}: {error}"
