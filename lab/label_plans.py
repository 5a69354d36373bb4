"""What `lab labels` is asked for: transfers and numbers of labels, checked and priced before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.catalogue import RecipeError
from lab.choosing.pricing import Price, prices_of, runs_each
from lab.compare import Phase
from lab.comparison_folder import ComparisonFolder
from lab.label_curves import (
    BASELINE,
    COUNTS,
    PER_CLASS,
    LabelDraws,
    at_labels,
    place_of,
    transfer_arms,
    with_labels,
)
from lab.loading import data_of
from lab.plans import Plan
from lab.progress import time_words
from lab.recipe import Recipe
from lab.steps import build_model
from lab.store import RunError, contents, not_empty
from lab.transfer import SourceError

FOLDERS = Path("labels")
ALL = "all"
PAGE, NUMBERS = "index.html", "labels.json"
TUNING_SEEDS, LEAST_RATES = 2, 3


@dataclass(frozen=True)
class LabelWishes:
    """How labels are to be counted: numbers and transfers with commas between, paired seeds, rates that are tried.

    transfers: `all`, or names. rates: of each transfer at each number of labels; 0 takes the recipe's.
    folder: the same one goes on where it was left; by default one under `labels/`, named by the recipe.
    """

    counts: str = ",".join(str(count or ALL) for count in COUNTS)
    transfers: str = ALL
    seeds: int = 5
    rates: int = 5
    folder: Path | None = None


@dataclass(frozen=True)
class LabelPlan:
    """What is compared at which numbers of labels; images: to train on, at each; seconds: each run by itself."""

    recipe: Recipe
    plan: Plan
    images: Mapping[int | None, int]
    folder: Path
    left_out: Sequence[str]
    seconds: float

    @property
    def phase(self) -> Phase:
        return "tuned" if self.plan.tune else "given"

    @property
    def runs(self) -> int:
        """In all, without searches that widen."""
        return runs_of(self.plan) * len(self.plan.arms) * len(self.images)

    def sentence(self) -> str:
        """What is to be done and what it will cost, said before it begins."""
        each = ", ".join(f"{count or ALL} ({images:,})" for count, images in self.images.items())
        search = " and the search for each one's rate" if self.plan.tune else ""
        lines = [
            *self.left_out,
            f"{', '.join(self.plan.arms)} on {self.recipe.data.name}; labels of each class (training images): {each}.",
            f"{self.runs:,} runs of {self.recipe.epochs} epochs, for {self.plan.seeds} paired seeds{search}: about "
            f"{time_words(self.seconds)} if each trains by itself; what can train together takes less.",
        ]
        return "\n".join(lines)


class TunedAlone(LabelDraws):
    """Without final runs at the rates that searches begin at, which mean nothing by themselves."""

    @property
    def phases(self) -> list[Phase]:
        return super().phases[-1:]


def label_plan(recipe: Recipe, wishes: LabelWishes, *, device: str | None = None) -> LabelPlan:
    """Check all that can be wrong, and measure a moment of each transfer.

    Raises:
        RecipeError: a wish that cannot be met; DataError, SourceError: images or weights that are missing or unfit;
        RunError: the folder holds something else.
    """
    counts = counts_in(wishes.counts)
    given = () if wishes.transfers.strip() == ALL else names_in(wishes.transfers)
    wanted = transfer_arms(recipe, given)
    folder = (wishes.folder or FOLDERS / wanted[BASELINE].id).expanduser()
    check_folder(folder)
    images = {count: len(data_of(with_labels(recipe, count)).train) for count in counts}
    arms, left_out = those_that_fit(wanted, given)
    plan = plan_of(arms, wishes)
    check_same(folder, plan, counts)
    return LabelPlan(recipe, plan, images, folder, left_out, seconds_of(plan, images, device))


def counts_in(text: str) -> tuple[int | None, ...]:
    """`1,5,all` -> (1, 5, None). Raises RecipeError."""
    words = [word.strip() for word in text.split(",")]
    if not all(word == ALL or (word.isdecimal() and int(word) > 0) for word in words) or len(set(words)) < len(words):
        raise RecipeError(
            f"--counts is {text!r}, but must be labels of each class, whole numbers from 1 with commas between and "
            f"each once; {ALL} stands for all there are: --counts 1,5,{ALL}."
        )
    return tuple(None if word == ALL else int(word) for word in words)


def names_in(text: str) -> list[str]:
    """`features,whole` -> names. Raises RecipeError where none of them is a transfer besides scratch."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not {*names} - {BASELINE}:
        raise RecipeError(f"--transfers is {text!r}, but must name what {BASELINE} is compared with: features,whole.")
    return names


def those_that_fit(arms: Mapping[str, Recipe], given: Sequence[str]) -> tuple[dict[str, Recipe], list[str]]:
    """Arms whose weights fit the network, and a sentence for each of the others.

    Raises:
        SourceError: one that was asked for by name does not fit, or none.
    """
    whys = {name: why for name, arm in arms.items() if (why := why_unfit(arm))}
    if whys and (given or len(arms) - len(whys) < 2):
        name, why = next(iter(whys.items()))
        raise SourceError(f"Transfer {name}: {why}")
    left_out = [f"Left out: transfer {name}: {why}" for name, why in whys.items()]
    return {name: arm for name, arm in arms.items() if name not in whys}, left_out


def why_unfit(arm: Recipe) -> str:
    """Why the source's weights do not fit; empty where they do."""
    try:
        build_model(arm, data_of(arm))
    except SourceError as error:
        return str(error)
    return ""


def plan_of(arms: Mapping[str, Recipe], wishes: LabelWishes) -> Plan:
    """Raises RecipeError where a wish fits no comparison."""
    if 0 != wishes.rates < LEAST_RATES:
        raise RecipeError(
            f"--rates is {wishes.rates}, but must be at least {LEAST_RATES}, or 0 for the recipe's rate alone."
        )
    search: dict[str, Any] = {"trials": wishes.rates, "tuning_seeds": TUNING_SEEDS} if wishes.rates else {"tune": False}
    return Plan(arms=dict(arms), seeds=wishes.seeds, **search)


def runs_of(plan: Plan) -> int:
    """Of each transfer at each number of labels."""
    return runs_each(plan) if plan.tune else plan.seeds


def seconds_of(plan: Plan, images: Mapping[int | None, int], device: str | None) -> float:
    """Of all runs: measured with the fewest and the most images, between them along a line."""
    fewest, most = (pick(images, key=images.__getitem__) for pick in (min, max))
    prices = {
        count: prices_of({name: with_labels(arm, count) for name, arm in plan.arms.items()}, device=device)
        for count in {fewest, most}
    }
    low, high = prices[fewest], prices[most]
    reach = max(1, images[most] - images[fewest])
    epochs = next(iter(plan.arms.values())).epochs
    shares = [(count - images[fewest]) / reach for count in images.values()]
    each = [part_way(low[name], high[name], share).of(epochs) for name in plan.arms for share in shares]
    return runs_of(plan) * sum(each)


def part_way(low: Price, high: Price, share: float) -> Price:
    return Price(*(a + share * (b - a) for a, b in zip(low, high, strict=True)))


def check_folder(folder: Path) -> None:
    """Raises RunError where something else lies."""
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file. Choose another folder: --folder FOLDER.")
    names = contents(folder) if folder.is_dir() else []
    own = (PAGE, NUMBERS)
    if odd := [name for name in names if name not in own and not name.endswith(PER_CLASS)]:
        raise RunError(not_empty(folder, odd, "a curve over labels"))


def check_same(folder: Path, plan: Plan, counts: Sequence[int | None]) -> None:
    """Raises RunError where another plan was begun at one of these numbers, before anything is measured."""
    for count in counts:
        if (place := folder / place_of(count)).is_dir():
            try:
                ComparisonFolder(place, at_labels(plan, count))
            except RunError as error:
                raise RunError(f"{str(error).removesuffix('.')}: --folder FOLDER.") from None
