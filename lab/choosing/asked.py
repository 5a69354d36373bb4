"""What a person asks for when they choose, checked and priced before anything is trained."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.catalogue import RecipeError
from lab.choosing.contest import Contest
from lab.choosing.given import source_changes
from lab.choosing.pricing import Price, enough, fitted, plan_of, prices_of, runs_each, seconds_of
from lab.choosing.telling import Command
from lab.choosing.ways import arms_of, shared_recipe
from lab.choosing.wishes import Wishes
from lab.comparison_folder import ComparisonFolder
from lab.data import DataError, Dataset, load
from lab.loading import data_of
from lab.plans import Plan
from lab.progress import time_words
from lab.recipe import Recipe
from lab.store import PLAN, RunError, contents, not_empty

FOLDERS = Path("choices")
COMPARISON, RUN = "comparison", "run"
SCRIPT, WEIGHTS, CARD, FACTS = "train.py", "weights.safetensors", "model_card.md", "choice.json"
FILES = (COMPARISON, RUN, SCRIPT, WEIGHTS, CARD, FACTS)


@dataclass(frozen=True)
class Asked:
    """A choice to be made: the plan that fits the seconds, what a run of each way costs, and the images.

    prices: none where a plan from before goes on, which was priced then. spent: of the seconds, what reading the images
    and measuring took. epochs: as many as were wanted.
    """

    plan: Plan
    prices: Mapping[str, Price]
    folder: Path
    wishes: Wishes
    device: str | None
    spent: float = 0.0
    epochs: int = 0

    @property
    def data(self) -> Dataset:
        recipe = self.recipe
        return data_of(recipe)

    @property
    def name(self) -> str:
        """Of the folder of images."""
        return Path(dict(self.recipe.data)["path"]).name

    @property
    def recipe(self) -> Recipe:
        """Of any of the ways."""
        return next(iter(self.plan.arms.values()))

    def contest(self) -> Contest:
        """To be iterated; what is left of the seconds counts from now on."""
        seconds, said = self.wishes.seconds, self.wishes.said
        folder = self.folder / COMPARISON
        return Contest(self.plan, seconds=seconds, spent=self.spent, said=said, folder=folder, device=self.device)

    def sentence(self) -> str:
        """What is to be done and what it will cost, said before it begins."""
        data, plan = self.data, self.plan
        sizes = (len(part) for part in (data.train, data.validation, data.test))
        split = "{} to train on, {} to tune rates by, {} held out".format(*sizes)
        said = (
            f"{len(plan.arms)} ways on {len(data.classes)} classes: {split}.\n{len(plan.arms) * runs_each(plan)} runs "
            f"of {self.recipe.epochs} epochs, for {plan.seeds} seeds each and the search for each way's rate"
        )
        budget = f"of the {time_words(self.wishes.seconds)} given"
        if not self.prices:
            return f"{said}. What has ended in {self.folder} counts; the rest takes what is left {budget}."
        return f"{said}: about {time_words(self.spent + seconds_of(plan, self.prices))} {budget}.{self.cut()}"

    def cut(self) -> str:
        """What the seconds leave out of what was wanted; empty where that is nothing."""
        wanted = {"epochs": (self.recipe.epochs, self.epochs), "seeds": (self.plan.seeds, self.wishes.seeds)}
        fewer = [f"{there} of {asked} {name}" for name, (there, asked) in wanted.items() if there < asked]
        if not fewer:
            return ""
        whole = plan_of(self.plan.arms, self.epochs, self.wishes.seeds)
        all_of_it = self.wishes.said.set(seconds=enough(whole, self.prices, self.spent))
        return f"\nTo fit into them, {' and '.join(fewer)}: {all_of_it} would be enough for all."


def ask(path: str | Path, wishes: Wishes, changes: Mapping[str, Any], *, device: str | None = None) -> Asked:
    """Read the images and the source, and find the plan that fits.

    Args:
        changes: to the recipe that all ways share, by dotted keys.
    Raises:
        DataError, SourceError: images or weights that are missing or unfit; RunError: the folder holds something else;
        RecipeError: a wish that cannot be met.
    """
    start = time.monotonic()
    check_wishes(wishes)
    folder = (wishes.out or FOLDERS / Path(path).expanduser().resolve().name).expanduser()
    check_folder(folder, wishes.said)
    check_apart(wishes.source, folder, wishes.said)
    check_images(Path(path).expanduser(), wishes.said)
    load(shared_recipe(path, {}, with_form(changes), wishes.said).data)  # what is wrong with the images comes first
    shared = shared_recipe(path, source_changes(wishes.source, wishes.said), changes, wishes.said)
    data = data_of(shared)
    arms = arms_of(shared, wishes.ways, changes, data)
    fixed = "epochs" in changes
    if begun := epochs_of(folder):
        plan = plan_of(arms, shared.epochs if fixed else begun, wishes.seeds)
        check_same(folder, plan, wishes.said)
        return Asked(plan, {}, folder, wishes, device, time.monotonic() - start)
    prices = prices_of(arms, device=device)
    spent = time.monotonic() - start
    plan = fitted(arms, wishes.seeds, wishes.seconds, prices, fixed=fixed, spent=spent, said=wishes.said)
    return Asked(plan, prices, folder, wishes, device, spent, shared.epochs)


def with_form(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Of the changes, what decides how the images are read."""
    return {key: value for key, value in changes.items() if key.startswith("data")}


def check_wishes(wishes: Wishes) -> None:
    """Raises RecipeError for what no plan can do."""
    if wishes.seeds < 2:
        raise RecipeError(
            f"{wishes.said.name('seeds')} is {wishes.seeds}, but must be at least 2: one seed shows nothing."
        )
    if not wishes.seconds > 0:
        raise RecipeError(f"{wishes.said.name('seconds')} is {wishes.seconds:g}, but must be greater than 0.")


def check_images(place: Path, said: Command) -> None:
    """Raises DataError where there is no folder: where it was looked for, and where it was said."""
    if not place.is_dir():
        raise DataError(
            f"There is no folder {place.absolute()}. {said.name('path')} must be a folder that holds one folder of "
            "images per class."
        )


def check_folder(folder: Path, said: Command) -> None:
    """Raises RunError where something else than a choice lies."""
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file. Choose another folder: {said.set(out='FOLDER')}.")
    names = contents(folder) if folder.is_dir() else []
    if names and (COMPARISON not in names or any(name not in FILES for name in names)):
        raise RunError(not_empty(folder, names, "a choice"))


def check_same(folder: Path, plan: Plan, said: Command) -> None:
    """Raises RunError where another choice was begun, before this one is announced."""
    try:
        ComparisonFolder(folder / COMPARISON, plan)
    except RunError as error:
        raise RunError(f"{str(error).removesuffix('.')}: {said.set(out='FOLDER')}.") from None


def check_apart(source: str, folder: Path, said: Command) -> None:
    """Raises RecipeError where the source lies in what a choice may replace."""
    if Path(source).expanduser().exists() and Path(source).expanduser().resolve().is_relative_to(folder.resolve()):
        lost = f"The source {source} lies in {folder}, where it would be replaced."
        raise RecipeError(f"{lost} Choose another {said.name('out')}.")


def epochs_of(folder: Path) -> int:
    """Of the choice that was begun there; 0 where there is none."""
    with suppress(OSError, ValueError):
        kept = Plan.model_validate_json((folder / COMPARISON / PLAN).read_text(encoding="utf-8"))
        return next(iter(kept.arms.values())).epochs
    return 0
