"""Kernels that are forked for the notebooks of a sweep: each is a process of its own, and ends with whoever asked."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbclient.exceptions import DeadKernelError

from lab.sweeps.kernels import UNKNOWN, Birth, Forked, Kernel, Nursery, can_be_forked
from lab.sweeps.nursery import ask_to_be_ended_by
from lab.sweeps.points import executed

TELL = """
import json, os, sys
was_there = "torch" in sys.modules
import queue, random, numpy as np, torch
print(json.dumps({"id": os.getpid(), "parent": os.getppid(), "session": os.getsid(0), "torch": was_there,
    "draws": [random.random(), np.random.random(), torch.rand(()).item()], "path": sys.path,
    "folder": os.getcwd(), "mine": os.environ.get("MINE"), "before": "once" in globals()}))
once = True"""
ORPHANED = """
import os, pathlib, signal, time
pathlib.Path({!r}).write_text(str(os.getpid()))
os.kill(os.getppid(), signal.SIGKILL)
time.sleep(300)"""
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(papermill|nbclient|jupyter_client|zmq)"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # their sockets
]


@pytest.fixture(autouse=True)
def one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def told(folder: Path, code: str = TELL) -> dict[str, Any]:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)], metadata=kernel)
    nbformat.write(notebook, folder / "notebook.ipynb")
    executed(folder / "notebook.ipynb", folder / "out.ipynb", {}, forked=True)
    (output,) = nbformat.read(folder / "out.ipynb", 4).cells[-1].outputs
    return json.loads(output.text)


class Interrupted:
    """A wire on which Ctrl-C comes before the answer."""

    def __init__(self, wire: Connection) -> None:
        self.wire, self.send, self.close = wire, wire.send, wire.close

    @property
    def closed(self) -> bool:
        return self.wire.closed

    def recv(self) -> None:
        raise KeyboardInterrupt


def gone(process: int) -> None:
    """Returns when it has ended, though it is no child of ours; raises when it has not after a minute."""
    with suppress(psutil.NoSuchProcess):
        orphan = psutil.Process(process)
        late = time.monotonic() + 60
        while orphan.status() != psutil.STATUS_ZOMBIE:  # who adopts it may leave it so
            if time.monotonic() > late:
                orphan.kill()
                pytest.fail("It lives on without the process that forked it.")
            time.sleep(0.02)


@pytest.mark.filterwarnings("ignore:Passing unrecognized arguments:DeprecationWarning")
def test_every_notebook_has_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "queue.py").write_text("raise ImportError")  # named as one of Python's own
    monkeypatch.setattr(Forked, "nursery", Nursery())
    monkeypatch.setenv("MINE", "first")
    first = told(tmp_path)
    monkeypatch.setenv("MINE", "second")
    second = told(tmp_path)
    assert Forked.nursery
    assert first["parent"] == second["parent"] == Forked.nursery.process.pid
    assert first["torch"], "it was there before the notebook's first line"
    assert len({os.getpid(), first["id"], second["id"]}) == 3
    assert (first["session"], second["session"]) == (first["id"], second["id"]), "Ctrl-C in a terminal is not theirs"
    assert len({*first["draws"], *second["draws"]}) == 6
    assert "" in first["path"][1:], "as in a kernel that is started anew: behind Python's own"
    assert (first["mine"], second["mine"]) == ("first", "second")
    assert first["folder"] == str(tmp_path)
    assert not second["before"]
    assert not any(map(psutil.pid_exists, (first["id"], second["id"])))
    Forked.nursery.close()


def test_a_kernel_that_is_killed_fails_alone(tmp_path: Path) -> None:
    before = told(tmp_path)["parent"]
    with pytest.raises(DeadKernelError):
        told(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert told(tmp_path)["parent"] == before


def test_kernels_end_with_the_process_that_forks_and_that_one_with_whoever_asks(tmp_path: Path) -> None:
    before = told(tmp_path)["parent"]
    ids = tmp_path / "ids"
    with pytest.raises(DeadKernelError):
        told(tmp_path, ORPHANED.format(str(ids)))
    (orphan,) = map(int, ids.read_text().split())
    gone(orphan)
    assert told(tmp_path)["parent"] != before
    assert Forked.nursery
    Forked.nursery.wire.close()  # as the system does for a process that is killed
    assert Forked.nursery.process.wait(60) == 0
    Forked.nursery = None


def test_a_kernel_whose_nursery_cannot_be_asked_is_ended_before_that_is_said(tmp_path: Path) -> None:
    nursery = Nursery()
    kernel = Kernel(
        nursery,
        Birth(("--log-level=CRITICAL", "-f", str(tmp_path / "connection.json")), dict(os.environ), str(tmp_path)),
    )
    assert kernel.poll() is None
    nursery.wire.close()
    assert kernel.poll() == -signal.SIGKILL
    gone(kernel.pid)


def test_who_is_interrupted_leaves_no_answer_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    nursery = Forked.there()
    answered = nursery.wire
    monkeypatch.setattr(nursery, "wire", Interrupted(answered))
    with pytest.raises(KeyboardInterrupt):
        nursery.ask(os.getpid())
    assert answered.closed
    assert nursery.process.returncode is not None
    assert not nursery.there


def test_a_process_that_is_not_its_own_leaves_the_nursery_alive() -> None:
    nursery = Forked.there()
    assert nursery.ask(os.getpid()) == UNKNOWN
    assert nursery.ask(os.getpid()) == UNKNOWN


def test_where_forking_fails_a_kernel_is_started_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise EOFError

    monkeypatch.setattr(Nursery, "ask", fails)
    found = told(tmp_path)
    assert (found["parent"], found["torch"]) == (os.getpid(), False)


def born(nursery: Nursery, folder: Path) -> Kernel:
    arguments = ("--log-level=CRITICAL", "-f", str(folder / f"connection-{id(nursery)}.json"))
    return Kernel(nursery, Birth(arguments, dict(os.environ), str(folder)))


def test_several_share_a_nursery_and_each_ends_only_its_own_kernels(tmp_path: Path) -> None:
    door = str(tmp_path / "door")
    first, second = Nursery(door), Nursery(door)
    assert first.process
    assert second.process is None, "there is one already"
    own, other = born(first, tmp_path), born(second, tmp_path)
    parents = {psutil.Process(kernel.pid).ppid() for kernel in (own, other)}
    assert parents == {first.process.pid}
    first.wire.close()  # as the system does for a process that is killed, be it the one that started the nursery
    gone(own.pid)
    assert other.poll() is None
    second.close()
    gone(other.pid)
    assert first.process.wait(60) == 0, "nobody is left to ask it"


def test_a_shared_nursery_that_is_killed_is_replaced_for_all(tmp_path: Path) -> None:
    door = str(tmp_path / "door")
    first, second = Nursery(door), Nursery(door)
    assert first.process
    kernel = born(second, tmp_path)
    first.process.kill()
    gone(kernel.pid)
    assert kernel.poll() == -signal.SIGKILL
    assert not second.there
    assert first.process.wait(60) == -signal.SIGKILL
    assert not first.there
    third, fourth = Nursery(door), Nursery(door)
    assert (third.process is None, fourth.process is None) == (False, True)
    assert fourth.ask(os.getpid()) == UNKNOWN
    third.close()
    fourth.close()
    assert third.process
    assert third.process.wait(60) == 0


def test_a_system_that_will_not_end_a_child_with_its_parent_is_noticed() -> None:
    assert ask_to_be_ended_by(0)
    assert not ask_to_be_ended_by(10_000)


def test_what_must_not_be_forked_is_started_anew() -> None:
    usual = [sys.executable, "-m", "ipykernel_launcher", "-f", "connection.json"]
    one = {"OMP_NUM_THREADS": "1"}
    assert can_be_forked(usual, one)
    assert not can_be_forked(usual, {"OMP_NUM_THREADS": "2"})
    assert not can_be_forked(usual, {})
    assert not can_be_forked(["/elsewhere/python", *usual[1:]], one)
    assert not can_be_forked(["julia", "kernel.jl", "connection.json"], one)
