"""What is kept of a comparison: its plan, the epochs of its arms, every trial, and when a verdict was seen."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab.plans import Plan
from lab.recipe import difference
from lab.store import PLAN, RECIPE, RunError, contents, make_folder, not_empty, write_atomically
from lab.trials import Trial, end_last_line, read_trials

EPOCHS, TRIALS, JUDGED = "epochs.json", "trials.jsonl", "judged.json"
DECIDING = ("arms", "budget", "tune", "trials", "knobs", "tuning_seeds", "finalists")  # of a plan, what trials need


class ComparisonFolder:
    """The folder of a comparison; whoever writes there holds it.

    Raises:
        RunError: it cannot be made, or holds something else.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        self.path, self.plan = path, plan
        make_folder(path)
        names = contents(path)
        if RECIPE in names:
            raise RunError(f"{path} holds a run. Choose another folder.")
        if names and PLAN not in names:
            raise RunError(not_empty(path, names, "a comparison"))
        if PLAN in names and (other := self._differs()):
            raise RunError(f"{path} holds another comparison ({other}). Choose another folder.")

    def _differs(self) -> str:
        """What the kept plan has otherwise, in words; empty when it needs the same trials."""
        try:
            kept = Plan.model_validate_json((self.path / PLAN).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return f"its {PLAN} cannot be read"
        found = [
            words for field in DECIDING if (words := change(field, getattr(kept, field), getattr(self.plan, field)))
        ]
        return "; ".join(found)

    def epochs(self) -> tuple[dict[str, int], float] | None:
        """Of each arm, from before, and how uneven they leave the budget: seconds are not measured the same twice.

        Raises:
            RunError: the file is damaged.
        """
        kept = self.path / EPOCHS
        if not kept.exists():
            return None
        try:
            found = json.loads(kept.read_text(encoding="utf-8"))
            return {name: int(found["epochs"][name]) for name in self.plan.arms}, float(found["uneven"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{kept} is damaged ({error}). Choose another folder.") from None

    def trials(self) -> list[Trial]:
        return read_trials(self.path / TRIALS) if (self.path / TRIALS).exists() else []

    def looked(self, *, sequential: bool) -> bool:
        """Whether a verdict was seen from which this one goes on."""
        try:
            seen = json.loads((self.path / JUDGED).read_text())
            return bool(seen["sequential"]) != sequential or seen["seeds"] != self.plan.seeds
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def start(self, epochs: dict[str, int], uneven: float) -> None:
        write_atomically(self.path / PLAN, self.plan.model_dump_json(indent=1).encode())
        write_atomically(self.path / EPOCHS, json.dumps({"epochs": epochs, "uneven": uneven}).encode())
        if (self.path / TRIALS).exists():
            end_last_line(self.path / TRIALS)

    def add(self, trial: Trial) -> None:
        with (self.path / TRIALS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(trial)) + "\n")

    def note_look(self, *, sequential: bool) -> None:
        seen = {"seeds": self.plan.seeds, "sequential": sequential}
        write_atomically(self.path / JUDGED, json.dumps(seen).encode())


def change(field: str, there: Any, here: Any) -> str:
    """`trials 3 there, 4 here`; of arms which differ, and in what."""
    if there == here:
        return ""
    if field != "arms":
        return f"{field} {there} there, {here} here"
    if set(there) != set(here):
        return f"arms {', '.join(there)} there, {', '.join(here)} here"
    return "; ".join(f"{name}: {difference(there[name], here[name])}" for name in here if there[name] != here[name])


def same_work(kept: Plan, plan: Plan) -> bool:
    """Whether two plans need the same trials; one may have more seeds, or other words."""
    return all(getattr(plan, field) == getattr(kept, field) for field in DECIDING)
