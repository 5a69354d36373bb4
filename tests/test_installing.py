"""The command that gets a missing package puts it where this process finds it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from lab.installing import pip_install


@pytest.mark.parametrize(
    ("first", "said"),
    [("here/.venv/bin/pip", "pip"), ("usr/bin/pip", ".venv/bin/pip"), (None, ".venv/bin/pip")],
)
def test_the_pip_of_this_environment_is_named_unless_a_shell_finds_it_anyway(
    first: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "executable", str(here / ".venv" / "bin" / "python"))
    monkeypatch.setattr(shutil, "which", lambda _: first and str(tmp_path / first))
    assert pip_install("'lab[app]'") == f"{said} install 'lab[app]'"
    monkeypatch.chdir(tmp_path)
    elsewhere = said if said == "pip" else f"here/{said}"
    assert pip_install("ray") == f"{elsewhere} install ray"
    monkeypatch.chdir("/")
    assert pip_install("ray").endswith("pip install ray")
