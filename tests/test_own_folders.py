"""A run and a comparison write into a folder of their own, and leave every other one as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import SMALL

from lab.compare import Comparison
from lab.plans import Plan
from lab.runs import train
from lab.store import RunError

NOTES = {"about.html": "", "claims.md": "milk", "options.md": "", "panel.png": ""}
FOREIGN = {
    "notes": (NOTES, "PLACE is not empty (it holds about.html, claims.md, options.md and 1 more), but {} needs a "
              "folder of its own. Choose a new or empty one."),
    "weights of another program": (
        {"weights.safetensors": "mine"},
        "PLACE is not empty (it holds weights.safetensors), but {} needs a folder of its own. "
        "Choose a new or empty one.",
    ),
}  # fmt: skip
RECIPE_ONLY = "PLACE holds a recipe, but no run. Choose another folder; its recipe is PLACE/recipe.yaml."
FOR_A_RUN = FOREIGN | {
    "a comparison": ({"plan.json": "{}", "epochs.json": "{}"}, "PLACE holds a comparison. Choose another folder."),
    "a recipe": ({"recipe.yaml": "epochs: 3\n"}, RECIPE_ONLY),
}


def filled(place: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (place / name).write_text(text)
    return place


def what_is_in(place: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in place.iterdir()}


@pytest.mark.parametrize(("files", "said"), FOR_A_RUN.values(), ids=FOR_A_RUN)
def test_a_run_writes_nothing_into_the_folder_of_something_else(
    files: dict[str, str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(RunError) as error:
        train(SMALL, folder=filled(tmp_path, files), progress=False, device="cpu")
    assert str(error.value).replace(str(tmp_path), "PLACE") == said.format("a run")
    assert what_is_in(tmp_path) == files


@pytest.mark.parametrize(("files", "said"), FOREIGN.values(), ids=FOREIGN)
def test_a_comparison_writes_nothing_into_the_folder_of_something_else(
    files: dict[str, str], said: str, tmp_path: Path
) -> None:
    plan = Plan(arms={"one": SMALL, "two": SMALL.changed(optimizer="adam")})
    with pytest.raises(RunError) as error:
        Comparison(plan, folder=filled(tmp_path, files), device="cpu")
    assert str(error.value).replace(str(tmp_path), "PLACE") == said.format("a comparison")
    assert what_is_in(tmp_path) == files


@pytest.mark.parametrize("left", [[], [".gitkeep"], [".lock", ".recipe.yaml.new"]])
def test_a_folder_with_nothing_to_see_in_it_takes_a_run(left: list[str], tmp_path: Path) -> None:
    run = train(SMALL, folder=filled(tmp_path, dict.fromkeys(left, "")), progress=False, device="cpu")
    assert run.status == "finished"
    assert (tmp_path / "weights.safetensors").exists()
