"""The command that gets a missing package puts it where this process finds it."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import app, knobs
from lab.catalogue import RecipeError
from lab.installing import pip_install
from lab.sweeps import cluster


def pip_in(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "pip").touch()


@pytest.mark.parametrize(
    ("first", "said"),
    [("here/.venv/bin/pip", "pip"), ("usr/bin/pip", ".venv/bin/pip"), (None, ".venv/bin/pip")],
)
def test_the_pip_of_this_environment_is_named_unless_a_shell_finds_it_anyway(
    first: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    pip_in(here / ".venv" / "bin")
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "executable", str(here / ".venv" / "bin" / "python"))
    monkeypatch.setattr(shutil, "which", lambda _: first and str(tmp_path / first))
    assert pip_install("'lab[app]'") == f"{said} install 'lab[app]'"
    monkeypatch.chdir(tmp_path)
    elsewhere = said if said == "pip" else f"here/{said}"
    assert pip_install("ray") == f"{elsewhere} install ray"
    monkeypatch.chdir("/")
    assert pip_install("ray").endswith("pip install ray")


def test_an_environment_without_a_pip_is_named_by_its_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "my own" / "bin" / "python"))
    assert shlex.split(pip_install("'lab[app]'")) == [sys.executable, "-m", "pip", "install", "lab[app]"]
    pip_in(tmp_path / "my own" / "bin")
    monkeypatch.chdir(tmp_path)
    assert pip_install("ray") == "'my own/bin/pip' install ray"


def test_in_a_folder_that_was_deleted_the_whole_path_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    pip_in(tmp_path / "bin")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert pip_install("ray") == f"{tmp_path / 'bin' / 'pip'} install ray"


@pytest.mark.parametrize(
    ("missing", "asking"),
    [("voila.app", app.voila), ("optuna", knobs.new_study), ("ray", cluster.imported)],
    ids=["voila", "optuna", "ray"],
)
def test_the_command_is_made_when_it_is_said_and_not_when_the_module_was_imported(
    missing: str, asking: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(sys, "executable", "/now/python")
    with pytest.raises(RecipeError, match="/now/python -m pip install "):
        asking()
