"""Runs that others take their weights from: trained once, then found again by what they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lab.events import Event, Finished
from lab.loading import data_of
from lab.provenance import made_with
from lab.recipe import Recipe, RecipeError
from lab.runs import open_run, restored
from lab.store import RECIPE, RUN, WEIGHTS, Recorder, RunError, holding, make_folder
from lab.training import Training

ROOT = "runs"
OTHERWISE = {  # what may have changed since, though the recipe has not
    "lab": "by another version of the lab",
    "commit": "by another commit of the lab",
    "custom_options": "with other options of your own",
    "images": "on other images",
}


def place_of(recipe: Recipe) -> Path:
    """The folder of its run: equal recipes have one."""
    return Path(ROOT) / f"first-{recipe.id}"


def linked(recipe: Recipe, first: Mapping[str, Recipe]) -> Recipe:
    """The recipe, its source found: `{name: run, folder: NAME}` is the run of the first recipe of that name.

    Raises:
        RecipeError: it names one that takes its own weights from another of them.
    """
    named = first.get(getattr(recipe.source, "folder", ""))
    if named is None:
        return recipe
    if named.transfer.name != "scratch" and getattr(named.source, "folder", "") in first:
        raise RecipeError(f"A recipe in `first` takes its weights from {named.source}, but none may follow another.")
    return recipe.changed(**{"source.folder": str(place_of(named))})


def trained_first(recipe: Recipe, told: Callable[[Recipe, Event], None], **where: Any) -> None:
    """Train a recipe to its end in its folder, or go on with it, where that has not been done before.

    Args:
        told: hears every event; what it raises leaves a checkpoint to go on from.
        where: device, data_budget_bytes, workers of `training`.
    Raises:
        RunError: another process trains it; it ended otherwise than finished; it was made with something else than
            would make it now.
    """
    folder = place_of(recipe)
    if (folder / RUN).is_file():
        refuse_another(recipe, folder)
    if not (folder / WEIGHTS).is_file():
        make_folder(folder)
        with holding(folder) as held:
            session = Training(recipe, **where)
            problems = restored(session, folder) if (folder / RECIPE).is_file() else []
            recorder = Recorder(session, folder, held=held)
            recorder.problems += problems
            for event in recorder:
                told(recipe, event)
                if isinstance(event, Finished) and event.status == "out_of_memory":
                    raise RunError(event.detail)
    if (status := open_run(folder).status) != "finished":
        raise RunError(f"The run in {folder}, whose weights are to be taken over, is {status}: change its recipe.")


def refuse_another(recipe: Recipe, folder: Path) -> None:
    """Raises RunError when the same recipe would not give the run in this folder any more."""
    made, now = open_run(folder).provenance, made_with(recipe, data_of(recipe))
    changed = [said for key, said in OTHERWISE.items() if made.get(key) != now[key]]
    if changed:
        raise RunError(
            f"The run in {folder}, whose weights are to be taken over, was made {' and '.join(changed)}: delete it, so "
            "that it is trained anew."
        )
