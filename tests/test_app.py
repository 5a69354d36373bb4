"""`lab app`: the panel served by Voila, to this machine and to the token only."""

from __future__ import annotations

import ast
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

import nbformat
import pytest

from lab import app
from lab.__main__ import main
from lab.recipe import RecipeError

LONG = 120  # seconds after which something hangs


class StayHere(HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def answer(address: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    """Status, body and headers, without following to a page that asks for the token."""
    try:
        with build_opener(StayHere).open(Request(address, headers=headers), timeout=LONG) as given:
            return given.status, given.read().decode(), dict(given.headers)
    except HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace"), dict(error.headers)


def environment(home: Path) -> dict[str, str]:
    places = {name: str(home / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    return {**os.environ, **places, "OMP_NUM_THREADS": "1"}


class Served(NamedTuple):
    address: str
    process: subprocess.Popen[str]
    folder: Path

    @property
    def bare(self) -> str:
        return self.address.partition("?")[0]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    pytest.importorskip("voila")
    folder = tmp_path_factory.mktemp('\'my "folder"')  # both quotes: it stands in the code of a cell
    command = [sys.executable, "-m", "lab_command", "app"]
    process = subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=subprocess.PIPE, text=True)
    assert process.stdout
    found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", process.stdout.readline())
    assert found
    yield Served(found[0], process, folder)
    process.send_signal(signal.SIGINT)
    assert process.wait(LONG) == 0
    process.stdout.close()


def test_who_is_told_the_address_is_answered_at_once(served: Served) -> None:
    assert answer(served.bare)[0] in (302, 403)  # the fixture has waited for nothing but the line


def test_without_the_token_nothing_is_served(served: Served) -> None:
    for address in (served.bare, f"{served.bare}?token=wrong", f"{served.bare}voila/render/panel.ipynb"):
        status, body, headers = answer(address)
        assert (status, "/login" in headers.get("Location", "")) in {(302, True), (403, False)}
        assert "lab" not in body
    assert answer(f"{served.bare}api/kernels/00000000-0000-0000-0000-000000000000")[0] == 403


def test_with_the_token_the_panel_comes_and_asks_nothing_of_other_hosts(served: Served) -> None:
    status, body, headers = answer(served.address)
    assert status == 200
    assert "application/vnd.jupyter.widget-view+json" in body
    assert "Traceback" not in body
    assert headers["Content-Security-Policy"].startswith("default-src 'self' ")
    assert "http" not in headers["Content-Security-Policy"]


def test_only_this_machine_is_listened_to(served: Served) -> None:
    port = int(served.bare.rstrip("/").rpartition(":")[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect(("192.0.2.1", 9))  # sends nothing: only asks which of this machine's addresses leads outside
        outside = way.getsockname()[0]
    with socket.socket() as probe:
        assert probe.connect_ex((outside, port)) != 0


def test_a_port_that_is_taken_is_left_to_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "voila", lambda: None)
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        taken = owner.getsockname()[1]
        assert app.new_place(taken).port > taken
        monkeypatch.setattr(app, "TRIED", 1)
        with pytest.raises(RecipeError, match=f"The ports {taken} to {taken} cannot be listened on: try another one"):
            app.new_place(taken)
    with pytest.raises(RecipeError, match="port is 70000, but must be a whole number from 1 to 65535"):
        app.new_place(70000)


def test_every_place_has_a_token_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "voila", lambda: None)
    tokens = {app.new_place(app.PORT).token for _ in range(3)}
    assert len(tokens) == 3
    assert min(map(len, tokens)) >= 32


def test_where_voila_is_missing_that_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "voila.app", None)
    assert main(["app"]) == 2
    assert capsys.readouterr().err == f"lab: {app.NO_VOILA}\n"


@pytest.mark.parametrize("name", ["plain", "it's", 'a "b"', "new\nline", "☃ {x} %s \\n", "'); import os; ('"])
def test_no_name_of_a_folder_or_a_file_gets_into_the_code(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    notebook = nbformat.from_dict(app.notebook_of(app.Panels(Path(name), [Path(name)])))
    nbformat.validate(notebook)
    calls = [node for node in ast.walk(ast.parse(notebook.cells[0].source)) if isinstance(node, ast.Call)]
    given = [
        ast.literal_eval(argument) for call in calls for argument in [*call.args, *(k.value for k in call.keywords)]
    ]
    assert given == [str(tmp_path / name), [str(tmp_path / name / name)], name]
