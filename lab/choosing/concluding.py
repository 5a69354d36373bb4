"""What a contest that has come to its end says: how each way did, which one to take, and which of its runs."""

from __future__ import annotations

from collections import Counter
from statistics import fmean

from lab.choosing.contest import Contest
from lab.choosing.recommending import Choice, Standing, choose
from lab.costs import costs
from lab.data import Dataset
from lab.loading import data_of
from lab.recipe import Recipe
from lab.reports import edges
from lab.trials import Trial, chance


def images_of(contest: Contest) -> Dataset:
    """What all ways were trained and judged on."""
    recipe = next(iter(contest.arms.values()))
    return data_of(recipe)


def concluded(contest: Contest) -> Choice:
    """The choice; the epochs, weights and memory of each way are counted here."""
    data = images_of(contest)
    standings = [standing(contest, name, data) for name in contest.arms]
    plan = contest.plan
    return choose(
        standings,
        len(data.test),
        chance(data.test),
        level=plan.level,
        worth=plan.worth,
        sequential=contest.sequential,
    )


def notes(contest: Contest) -> list[str]:
    """What to know of how the contest went: seeds that had no time, rates that lie at an edge."""
    return [*contest.cut(), *edges(contest)]


def standing(contest: Contest, name: str, data: Dataset) -> Standing:
    trials, found = finals(contest, name), costs(contest.arms[name], data)
    return Standing(
        name=name,
        scores=tuple(trial.score for trial in trials),
        missed=tuple(trial.missed for trial in trials),
        rate=contest.rate(name, "tuned"),
        seconds=fmean(trial.seconds for trial in trials),
        trained=found.trained,
        bytes=found.weight_bytes + found.optimizer_bytes + found.activation_bytes + found.average_bytes,
    )


def finals(contest: Contest, name: str) -> list[Trial]:
    """A way's runs at the seeds that are judged, in their order."""
    return [trial for trial in contest.of(name, "tuned") if trial.seed < contest.plan.seeds]


def winning_trial(contest: Contest, name: str) -> Trial:
    """The run to take home: the best on the validation images, whatever it did on those held out."""
    able = [trial for trial in finals(contest, name) if trial.status == "finished"] or finals(contest, name)
    return max(able, key=lambda trial: (trial.accuracy, -trial.loss))


def winning_recipe(contest: Contest, name: str) -> Recipe:
    trial = winning_trial(contest, name)
    return contest.arms[name].changed(**dict(trial.settings), seed=trial.seed)


def counts_by_class(data: Dataset) -> list[tuple[str, int, int, int]]:
    """Of every class: its name, and how many images are trained on, tuned by and held out."""
    parts = [Counter(part.labels.tolist()) for part in (data.train, data.validation, data.test)]
    return [(name, *(part[place] for part in parts)) for place, name in enumerate(data.classes)]  # pyright: ignore[reportReturnType]
