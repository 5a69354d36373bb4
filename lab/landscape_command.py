"""What `lab landscape` does: recipes are trained and followed, or finished runs opened; they are drawn and kept."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lab.followed import Followed, finished, follow
from lab.landscape_folder import PAGE, check_folder, save
from lab.landscape_numbers import Number, numbers_of, place_words
from lab.landscape_scenes import ending, scenes_of, without_lost
from lab.reading import parse_overrides
from lab.recipe import Recipe, RecipeError, labels
from lab.views import Lens, View

FOLDERS = Path("landscapes")
MOST_RUNS = 8

MORE = "Its details, and the words of each scene in facts.json, say all of how far to trust the pictures."


def landscape(
    words: Sequence[str],
    view: View,
    output: Path | None,
    *,
    device: str | None,
    quiet: bool,
    numbers: bool = False,
    edge: bool = False,
    replay: bool = False,
) -> dict[str, Any]:
    """Train or open what the words name, draw it, and keep it in a folder. Returns its facts.

    A run that ended where there is nothing to measure is left out with a sentence, unless none is left.

    Args:
        numbers: measure curvature and sharpness too, which takes longer than a picture.
        edge: read the sharpness at each snapshot, between two steps.
        replay: earlier surfaces were asked for in so many words: where there can be none that is an error.
    Raises:
        RecipeError, RunError, DataError: words that fit no recipe or run, too many of them, a folder in use.
    """
    paths = [word for word in words if "=" not in word]
    changes = parse_overrides([word for word in words if "=" in word])
    folder = output or fresh_folder()
    check_folder(folder)
    check_words(paths, changes)
    if paths and Path(paths[0]).is_dir():
        check_finished(paths[0], edge=edge, replay=replay and view.replay > 0)
        runs = [
            finished(path, view.lens, device=device, name=name)
            for path, name in zip(paths, names_of(paths), strict=True)
        ]
    else:
        runs = trained(paths, changes, view.lens, device=device, quiet=quiet, edge=edge)
    runs, lost = without_lost(runs, view)
    try:
        scenes = drawn(runs, view, quiet=quiet)
    except RecipeError as error:  # of fewer runs than were given, perhaps
        raise RecipeError(" ".join([str(error), *lost])) from None
    found = [ending_numbers(run, view.lens.seed) for run in runs] if numbers else []
    facts = save(folder, f"Loss landscape of {'; '.join(run.name for run in runs)}", scenes, runs, found, lost=lost)
    return {"folder": str(folder), "page": str(folder / PAGE), **facts}


def check_finished(folder: str, *, edge: bool, replay: bool) -> None:
    """What wants snapshots of a run that has kept none. Raises RecipeError."""
    anew = f"Give {folder}/recipe.yaml to train it anew"
    if edge:
        raise RecipeError(
            f"{folder} keeps no snapshots at which --edge could be read; --numbers measures where it ended. {anew}."
        )
    if replay:
        raise RecipeError(f"{folder} keeps no snapshots that --replay could show. {anew}, or leave --replay out.")


def ending_numbers(run: Followed, seed: int) -> list[Number]:
    """Of the step where a run ended."""
    at = place_words(run, run.glimpses[-1].step)
    return [replace(each, at=at) for each in numbers_of(run, seed=seed)]


def fresh_folder() -> Path:
    """Where a landscape is kept of which nobody says where."""
    return FOLDERS / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")


def names_of(folders: Sequence[str]) -> list[str]:
    """The last parts of their paths, or the whole where those are not told apart."""
    names = [Path(folder).name for folder in folders]
    return names if len(set(names)) == len(names) else [str(Path(folder)) for folder in folders]


def check_words(paths: Sequence[str], changes: dict[str, Any]) -> None:
    folders = [path for path in paths if Path(path).is_dir()]
    if folders and len(folders) < len(paths):
        raise RecipeError(
            f"{folders[0]} is a finished run and others are recipes. Give either recipes, which are trained, or "
            "folders of finished runs."
        )
    if folders and changes:
        raise RecipeError(
            f"{', '.join(changes)} cannot be changed in a run that is finished. Give {folders[0]}/recipe.yaml to train "
            "it anew."
        )
    if len(paths) > MOST_RUNS:
        raise RecipeError(f"{len(paths)} runs were given, but a landscape is for 1 to {MOST_RUNS}. Choose fewer.")


def trained(
    paths: Sequence[str], changes: dict[str, Any], lens: Lens, *, device: str | None, quiet: bool, edge: bool
) -> list[Followed]:
    recipes = [Recipe.load(path).changed(**changes) for path in paths] or [Recipe().changed(**changes)]
    names = [Path(path).stem for path in paths] or [recipes[0].id]
    if len(set(names)) < len(names):
        names = [f"{stem}: {label}" for stem, label in zip(names, labels(recipes), strict=True)]
    return [
        follow(recipe, lens, name=name, progress=not quiet, device=device, edge=edge)
        for recipe, name in zip(recipes, names, strict=True)
    ]


def drawn(runs: Sequence[Followed], view: View, *, quiet: bool) -> list[Any]:
    """Scenes, with a bar that counts points on a terminal."""
    with tqdm(unit="point", disable=quiet or not sys.stderr.isatty()) as bar:

        def progress(done: int, of: int) -> None:
            bar.total = of
            bar.update(done - bar.n)

        return scenes_of(runs, view, progress)


def numbers_words(name: str, numbers: Sequence[dict[str, Any]]) -> str:
    """Of one run: what they were measured on, which need not be what its picture was; and why one is missing."""
    each = [f"{number['name']} {number['text']}" for number in numbers]
    missing = dict.fromkeys(number["why"] for number in numbers if number["why"])
    return " ".join([f"{name} ({numbers[0]['at']}): {'; '.join(each)}", *(f"({why})" for why in missing)])


def in_words(facts: dict[str, Any]) -> str:
    """Facts for a person."""
    scenes = [": ".join(filter(None, [scene["title"], scene["brief"]])) for scene in facts["scenes"]]
    ended = [
        ending(run["name"], run["ended"], run["reason"])
        for run in facts["runs"]
        if run["ended"] != "finished" or run["reason"]
    ]
    measured = [numbers_words(run["name"], run["numbers"]) for run in facts["runs"] if run["numbers"]]
    lost = [f"Left out: {run['why']}" for run in facts["left_out"]]
    edges = [f"Edge of stability of {run['name']}: {run['edge']}" for run in facts["runs"] if run["edge"]]
    heights = [each["sentence"] for each in facts["between"]]
    return "\n".join([*lost, *filter(None, ended), *scenes, *edges, *heights, *measured, f"Open {facts['page']}", MORE])
