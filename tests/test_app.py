"""`lab app`: the panel served by Voila, to this machine and to the token only."""

from __future__ import annotations

import ast
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

import nbformat
import pytest

from lab import app
from lab.__main__ import main
from lab.installing import pip_install
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


@contextmanager
def serving(folder: Path, **more: str) -> Iterator[Served]:
    """more: of its environment."""
    pytest.importorskip("voila")
    command = [sys.executable, "-m", "lab_command", "app"]
    where = {**environment(folder), **more}
    process = subprocess.Popen(command, cwd=folder, env=where, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", process.stdout.readline())
    assert found
    yield Served(found[0], process, folder)
    process.send_signal(signal.SIGINT)
    assert process.wait(LONG) == 0
    process.stdout.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp('\'my "folder"')) as place:  # both quotes: it stands in the code of a cell
        yield place


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


def test_where_the_path_of_temporary_files_is_long_the_panel_comes_too(tmp_path: Path) -> None:
    temporary = tmp_path / ("x" * 60)
    temporary.mkdir()
    with serving(tmp_path, TMPDIR=str(temporary)) as place:
        status, body, _ = answer(place.address)
    assert status == 200
    assert "application/vnd.jupyter.widget-view+json" in body


@pytest.mark.parametrize(("letters", "transport"), [("x" * 42, "ipc"), ("x" * 43, "tcp"), ("\N{SNOWMAN}" * 15, "tcp")])
def test_kernels_are_talked_to_by_files_where_their_names_may_be_so_long(
    letters: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    zmq = pytest.importorskip("zmq")
    socket_beyond = len("/voila_12345678/kernel-12345678-1234-1234-1234-123456789012-ipc-5")
    monkeypatch.setattr(tempfile, "tempdir", f"/{letters}")
    monkeypatch.setattr(zmq, "IPC_PATH_MAX_LEN", 1 + 42 + socket_beyond)
    assert app.transport() == transport


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
    said = app.NO_VOILA.format(pip_install("'lab[app]'"))
    assert capsys.readouterr().err == f"lab: {said}\n"


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
