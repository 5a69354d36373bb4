"""A short model card: what was learned from which images, how it was chosen, what is known of it, and what is not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from lab.choosing.asked import RUN, SCRIPT, WEIGHTS, Asked
from lab.choosing.concluding import counts_by_class, winning_trial
from lab.choosing.contest import Contest
from lab.choosing.given import licence_of
from lab.choosing.recommending import Choice, Standing
from lab.choosing.ways import WAYS
from lab.costs import with_prefix
from lab.data import Dataset
from lab.diagnostics.predictions import wilson
from lab.loading import data_of
from lab.models import models
from lab.reports import search_words
from lab.runs import Run
from lab.script_lines import call

RULE = (
    "Rates were judged by the validation images, with seeds of their own; the table is of other seeds and of the test "
    "images, which no search looked at. A difference counts only where the intervals over seeds and over test images "
    "both exclude 0; of ways that are not told apart, and whose means are near the best, the cheapest is taken. Copied "
    "batch normalisation keeps the source's statistics."
)
FLATTERED = (
    "- The way was chosen by the very test images that the table is about: where ways are close, the winner's number "
    "is a little flattering."
)
UNKNOWN = "those over images are of images like them. How it does on other cameras, places or times was not measured."
COUNTED = (
    "- Seconds are of the machine that chose. Memory is counted (weights, what the optimizer keeps, one batch), not "
    "measured in use."
)
HEADS = ("way", "rate", "accuracy ± sd", "seconds", "trained weights", "memory")


def card(asked: Asked, contest: Contest, choice: Choice, run: Run) -> str:
    """The card as Markdown."""
    data = asked.data
    parts = {
        f"{choice.winner.name} on {plain(asked.name)}": intended(choice, run),
        "Images": images(data, run),
        "Numbers": numbers(contest, choice, data),
        "How it was chosen": how(asked, contest, choice),
        "Limits": limits(choice, data),
        "Licence": [licence_of(run.recipe.source), "The images are yours; nothing here says under which terms."],
        "Use": use(data, run),
    }
    headed = [f"{'#' * (1 + bool(place))} {name}\n\n" + "\n".join(parts[name]) for place, name in enumerate(parts)]
    return "\n\n".join(headed) + "\n"


def intended(choice: Choice, run: Run) -> list[str]:
    made = f"Made on {datetime.now(UTC):%Y-%m-%d} with lab {version('lab')} and torch {version('torch').split('+')[0]}"
    network = f"a network ({run.recipe.model.name}) that names the class of an image"
    return [f"{made}: {network}. Way: {WAYS[choice.winner.name].words}."]


def images(data: Dataset, run: Run) -> list[str]:
    """What it learned from, class by class."""
    settings = dict(run.recipe.data)
    rows = [[plain(name), *map(str, counts)] for name, *counts in counts_by_class(data)]
    lost = len(data.skipped)
    skipped = f"{lost} file{'s' * (lost != 1)} could not be read and {'was' if lost == 1 else 'were'} left out."
    return [
        f"{code(settings['path'])}, one folder per class, at {settings['size']} x {settings['size']} pixels "
        f"({settings['colour']}), divided within each class, always the same way, {shares(data)}:",
        "",
        *table(["class", "training", "validation", "test"], rows),
        *([skipped] if lost else []),
    ]


def shares(data: Dataset) -> str:
    """`6 to train on (75%), 1 to tune by (12%), 1 held out (12%)`: parts of a small folder are whole images, too."""
    sizes = {"to train on": len(data.train), "to tune by": len(data.validation), "held out": len(data.test)}
    whole = sum(sizes.values())
    return ", ".join(f"{size:,} {use} ({100 * size / whole:.0f}%)" for use, size in sizes.items())


def numbers(contest: Contest, choice: Choice, data: Dataset) -> list[str]:
    """Of all ways, and of the network that is here."""
    trial = winning_trial(contest, choice.winner.name)
    rows = [row_of(each, mark="**" if each is choice.winner else "") for each in choice.standings]
    seeds = len(choice.winner.scores)
    return [
        f"Accuracy in % of the {choice.images:,} test images: mean and standard deviation over {seeds} seeds.",
        "",
        *table(HEADS, rows),
        "",
        *choice.sentences(),
        "",
        *this_network(trial.seed, trial.missed, data),
    ]


def row_of(standing: Standing, mark: str = "") -> list[str]:
    """In the order of `HEADS`."""
    spread = float(np.std(standing.scores, ddof=1))
    accuracy = f"{100 * standing.mean:.1f} ± {100 * spread:.1f}"
    cells = [f"{standing.rate:g}", accuracy, f"{standing.seconds:.3g}", f"{standing.trained:,}"]
    return [f"{mark}{standing.name}{mark}", *cells, f"{with_prefix(standing.bytes)}B"]


def this_network(seed: int, missed: Sequence[int] | None, data: Dataset) -> list[str]:
    """The run whose weights these are, class by class, with 95% intervals over test images."""
    if missed is None:
        return []
    labels = data.test.labels.tolist()
    counts, wrong = Counter(labels), Counter(labels[place] for place in missed)
    rows = [scored("all", len(labels) - len(missed), len(labels))]
    rows += [scored(plain(name), counts[k] - wrong[k], counts[k]) for k, name in enumerate(data.classes)]
    said = f"The weights are of seed {seed}, the best on the validation images. On the test images:"
    return [said, "", *table(["class", "right", "accuracy, %", "95% interval over images"], rows)]


def scored(name: str, right: int, count: int) -> list[str]:
    low, high = wilson(right, count)
    return [name, f"{right} of {count}", f"{100 * right / count:.1f}", f"{100 * low:.1f} to {100 * high:.1f}"]


def how(asked: Asked, contest: Contest, choice: Choice) -> list[str]:
    """Training, search and rule."""
    ways, recipe = ", ".join(each.name for each in choice.standings), asked.recipe
    training = f"{recipe.epochs} epochs each, with {recipe.optimizer.name} and the schedule {recipe.schedule.name}"
    return [
        f"Compared were {ways}: {training}, each at its own learning rate.{search_words(contest)} {RULE}",
        *contest.cut(),
    ]


def limits(choice: Choice, data: Dataset) -> list[str]:
    """What the numbers do not say."""
    names = ", ".join(map(plain, data.classes))
    classes = f"- It answers with one of {len(data.classes)} classes ({names}) whatever it is shown."
    split = f"- One split of one folder: intervals over seeds are of these {choice.images:,} test images, {UNKNOWN}"
    return [classes, FLATTERED, split, COUNTED]


def use(data: Dataset, run: Run) -> list[str]:
    network = call(models, run.recipe.model, str(data.shape), str(len(data.classes)), "torch.nn.ReLU")
    mean, std = data_of(run.recipe).statistics  # of a source, where it is one's
    return [
        f"`python {SCRIPT}` trains this run again and gives its losses; on a CPU, with the same versions and number of "
        f"threads, to the last digit. `{WEIGHTS}` has its weights. With the lab: `lab test {RUN}`, "
        f'`lab.open_run("{RUN}").model()`, or `lab choose OTHER_IMAGES --source {RUN}` to go on from it. Without:',
        "",
        "```python",
        "import torch",
        "from safetensors.torch import load_file",
        f"from train import {models.functions[run.recipe.model.name].__name__}",
        "",
        f"model = {network}",
        f'model.load_state_dict(load_file("{WEIGHTS}"))',
        "model.eval()",
        f"mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in ({mean}, {std}))",
        f"classes = {list(data.classes)!r}",
        "# images: (n, channels, height, width) from 0 to 1, scaled and cropped as in train.py",
        "# [classes[k] for k in model((images - mean) / std).argmax(1)]",
        "```",
    ]


def plain(text: str) -> str:
    """In Markdown letter by letter, in one line."""
    return re.sub(r"([\\`*<>&\[\]])", r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """In Markdown as code, whatever quotes are in it."""
    line = " ".join(text.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " * ("`" in line)
    return f"{fence}{space}{line}{space}{fence}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """In Markdown."""
    lines: list[Any] = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]
