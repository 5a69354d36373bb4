"""What `lab choose` does: it says what choosing will cost, compares the ways, and writes what is taken home."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from lab.catalogue import RecipeError
from lab.choosing.asked import CARD, SCRIPT, WEIGHTS, Asked, ask
from lab.choosing.card import HEADS, row_of
from lab.choosing.concluding import concluded, notes
from lab.choosing.contest import Contest
from lab.choosing.pricing import runs_each
from lab.choosing.recommending import Choice
from lab.choosing.taking import Taken, take_home
from lab.choosing.wishes import Wishes
from lab.progress import time_words
from lab.reading import parse_overrides
from lab.reports import aligned
from lab.trials import Trial

TENTHS = 10  # lines of a log
NOT_REPEATED = (
    "The winning run came out otherwise when it was trained again (another number of threads, or a GPU): the weights "
    "are not those that the table is about."
)


def chosen(words: Sequence[str], wishes: Wishes, *, device: str | None, quiet: bool) -> tuple[Taken, list[str]]:
    """The whole road for `PATH key=value ...`; beside what was taken home, notes on the search.

    Raises:
        RecipeError, DataError, SourceError, RunError: in words, what cannot be done and what to do.
    """
    path, *changes = words
    if "=" in path:
        raise RecipeError(
            f"The first word must be a folder of images, but is the change {path!r}: lab choose PATH {path}"
        )
    asked = ask(path, wishes, parse_overrides(changes), device=device)
    if not quiet:
        print(asked.sentence(), file=sys.stderr, flush=True)
    contest = asked.contest()
    drain(asked, contest, quiet=quiet)
    choice = concluded(contest)
    if not quiet:
        print(f"Training {choice.winner.name} once more, to be taken home ...", file=sys.stderr, flush=True)
    return take_home(asked, contest, choice), notes(contest)


def drain(asked: Asked, contest: Contest, *, quiet: bool) -> None:
    """Run it to its end, with a bar that counts runs on a terminal; elsewhere with a line for each tenth of them."""
    total, terminal = len(asked.plan.arms) * runs_each(asked.plan), sys.stderr.isatty()
    with tqdm(total=total, unit="run", disable=quiet or not terminal) as bar:
        for count, trial in enumerate(contest, 1):
            bar.total = max(bar.total, bar.n + 1)
            bar.set_description(trial.phase, refresh=False)
            bar.update()
            if not (quiet or terminal) and begins_a_tenth(count, total):
                gone = f"{time_words(contest.seconds - contest.left)} of {time_words(contest.seconds)} gone"
                print(f"{how_far(count, total, trial)}, {gone}", file=sys.stderr, flush=True)


def begins_a_tenth(count: int, total: int) -> bool:
    """Whether a further tenth of all runs is done with this one; further ones count on."""
    return TENTHS * count // total > TENTHS * (count - 1) // total


def how_far(count: int, total: int, trial: Trial) -> str:
    """`run 9 of about 45 (searching rates: features)`."""
    doing = "searching rates" if trial.phase == "search" else f"seed {trial.seed}"
    planned = f"of about {total}" if count <= total else f"beyond the {total} planned"
    return f"run {count} {planned} ({doing}: {trial.arm})"


def in_words(taken: Taken, known: Sequence[str]) -> str:
    """For a person: the table, what to take and why, and where it lies."""
    again = [] if taken.repeated else [NOT_REPEATED]
    place = f"In {taken.folder}: {SCRIPT}, {WEIGHTS}, {CARD}; {taken.run.folder} is the run."
    return "\n".join([table(taken.choice), "", *taken.choice.sentences(), *known, *again, place])


def table(choice: Choice) -> str:
    """A line for each way, the best mean first; the one to take is marked."""
    rows = [row_of(each, mark="*" if each is choice.winner else "") for each in choice.standings]
    return aligned([[*HEADS[:2], f"{HEADS[2]} ({len(choice.best.scores)} seeds)", *HEADS[3:]], *rows])


def facts(taken: Taken, known: Sequence[str]) -> dict[str, Any]:
    return {**taken.facts(), "notes": list(known)}
