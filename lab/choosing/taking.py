"""What a person takes home: the winning run trained once more, its weights, a script that repeats it, a model card."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.choosing.asked import CARD, FACTS, RUN, SCRIPT, WEIGHTS, Asked
from lab.choosing.card import card
from lab.choosing.concluding import winning_recipe, winning_trial
from lab.choosing.contest import Contest
from lab.choosing.recommending import Choice
from lab.export import script
from lab.recipe import Recipe
from lab.runs import Run, open_run, train
from lab.store import WEIGHTS as WEIGHTS_OF_RUN
from lab.store import RunError, write_atomically

SAME = 1e-4  # between losses of one recipe trained twice, where threads or a GPU sum in another order


@dataclass(frozen=True)
class Taken:
    """The choice, the run whose weights are in the folder, and whether it came out as it did in the comparison."""

    choice: Choice
    run: Run
    folder: Path
    repeated: bool

    def facts(self) -> dict[str, Any]:
        """For machines."""
        choice = self.choice
        best = choice.runner_up.verdict
        ways = [{**asdict(each), "accuracy": each.mean} for each in choice.standings]
        return {
            "winner": choice.winner.name,
            "best": choice.best.name,
            "tied": [each.name for each in choice.tied],
            "difference_shown": len(choice.tied) == 1,
            "runner_up": asdict(best),
            "over_images": asdict(choice.runner_up.images) if choice.runner_up.images else None,
            "test_images": choice.images,
            "said": choice.sentences(),
            "ways": ways,
            "recipe": self.run.recipe.id,
            "repeated": self.repeated,
            "folder": str(self.folder),
        }


def take_home(asked: Asked, contest: Contest, choice: Choice) -> Taken:
    """Train the winning run once more, and write all that is taken home into the folder.

    Raises:
        RunError: the run did not come to an end this time; a folder cannot be written.
    """
    name, folder = choice.winner.name, asked.folder
    run = run_again(winning_recipe(contest, name), folder / RUN, asked.device)
    expected, losses = winning_trial(contest, name).loss, [epoch.validation_loss for epoch in run.history.epochs]
    taken = Taken(choice, run, folder, bool(losses) and abs(losses[-1] - expected) <= SAME * max(1.0, expected))
    shutil.copyfile(folder / RUN / WEIGHTS_OF_RUN, folder / WEIGHTS)
    write_atomically(folder / SCRIPT, script(run.recipe).encode())
    write_atomically(folder / CARD, card(asked, contest, choice, run).encode())
    write_atomically(folder / FACTS, json.dumps(taken.facts(), indent=1).encode())
    return taken


def run_again(recipe: Recipe, folder: Path, device: str | None) -> Run:
    """The run of this recipe; one that is there already is not trained again, and another one gives way."""
    with suppress(RunError):
        there = open_run(folder)
        if there.recipe == recipe and there.status in ("finished", "stuck") and there.weights is not None:
            return there
    shutil.rmtree(folder, ignore_errors=True)
    run = train(recipe, folder=folder, progress=False, device=device)
    if run.status not in ("finished", "stuck"):
        raise RunError(f"The winning run {run.status} when it was trained again. {run.detail}".strip())
    return run
