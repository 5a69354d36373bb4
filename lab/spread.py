"""Trainings over several processes with one thread each: on a CPU faster than one process with several threads.

Processes are started as `python -c ...`, not by `multiprocessing.Process`, which would import a person's
script anew.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from lab.events import Event
from lab.store import RunError

Told = tuple[int, Event]
END_SECONDS = 20
AHEAD = 16  # events that wait to be taken; who does not take any (a pause) thereby holds the processes
ENTRY = "from lab.spread import serve; from {} import work; serve(work)"
ROOT = str(Path(__file__).parents[1])
PATH = (  # a queue.py in the folder where a person works is not Python's; lab is found where this process found it
    f"import sys; sys.path[:1] == [''] and sys.path.pop(0); {ROOT!r} in sys.path or sys.path.append({ROOT!r}); "
)
LOST = "A training process ended before its work did (exit code {})."


@dataclass(frozen=True)
class Task:
    """What one process does: the arguments of a `Many`, and the places of its recipes in the whole."""

    places: list[int]
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Heard:
    """An event from a process; at the end of a run also what `Many` has of it: (run, result)."""

    place: int
    event: Event
    made: tuple[Any, Any] | None = None


class Done:
    """A process has done its work."""


def processors() -> int:
    """How many processes may run at once; 1 where this module cannot start any."""
    if os.name != "posix":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Spread:
    """Iterate it for (place, event) as the processes tell them; leaving it stops them, runs with folders resumably.

    Args:
        module: has the function `work` that each process does.
    Raises:
        RunError: a process ended before its work did. An error in a process is raised here.
    """

    def __init__(self, tasks: Sequence[Task], module: str) -> None:
        self.tasks, self.module = tasks, module
        self.made: dict[int, tuple[Any, Any]] = {}  # run and result of what has ended, by place

    def __iter__(self) -> Iterator[Told]:
        heard: queue.Queue[Any] = queue.Queue(AHEAD)
        with ExitStack() as at_exit:
            for task in self.tasks:
                self._start(task, heard, at_exit)
            for _ in self.tasks:
                while isinstance(told := heard.get(), Heard):
                    if told.made:
                        self.made[told.place] = unpacked(told.made[0]), told.made[1]
                    yield told.place, told.event
                if isinstance(told, Exception):
                    raise told

    def _start(self, task: Task, heard: queue.Queue[Any], at_exit: ExitStack) -> None:
        process, ours = launch(ENTRY.format(self.module), {"OMP_NUM_THREADS": "1"})
        listener = threading.Thread(target=listen, args=(process, ours, heard.put), daemon=True)
        at_exit.callback(end, process, listener, heard)
        with suppress(BrokenPipeError):  # it has ended already: the listener says so
            ours.send(task)
        listener.start()


def launch(code: str, environment: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], Connection]:
    """A process of ours that runs some code, and our end of the wire to it; its own end is its first argument."""
    ours, theirs = Pipe()
    command = [sys.executable, "-c", PATH + code, str(theirs.fileno())]
    process = subprocess.Popen(  # noqa: S603  # our own module
        command, pass_fds=[theirs.fileno()], env={**os.environ, **environment}, stdin=subprocess.DEVNULL
    )
    theirs.close()
    return process, ours


def listen(process: subprocess.Popen[bytes], wire: Connection, hear: Any) -> None:
    told: Any = None
    while not isinstance(told, Done | Exception):
        try:
            if told is not None:
                wire.send("taken")
            told = wire.recv()
        except (EOFError, OSError):
            told = RunError(LOST.format(process.wait()))
        except Exception as error:  # noqa: BLE001  # raised in the thread that waits
            told = error
        hear(told)
    wire.close()


def packed(run: Any) -> Any:
    """A run with arrays for tensors, which torch would send as files that are open in this process."""
    return run and replace(run, weights={name: tensor.numpy() for name, tensor in run.weights.items()})


def unpacked(run: Any) -> Any:
    return run and replace(run, weights={name: torch.from_numpy(array) for name, array in run.weights.items()})


def end(process: subprocess.Popen[bytes], listener: threading.Thread, heard: queue.Queue[Any]) -> None:
    """Ask it to stop, wait until it has, and insist; what it still has to tell is let by."""
    process.terminate()
    listening = listener.ident is not None
    late = time.monotonic() + END_SECONDS
    while process.poll() is None or (listening and listener.is_alive()):
        with suppress(queue.Empty):
            heard.get(timeout=0.02)
        if time.monotonic() > late:
            process.kill()


def serve(work: Callable[[Task, Callable[[Any], None]], None]) -> None:
    """In the process: do the task that comes over the wire, and tell what `work` tells."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # by way of every `finally`
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    wire = Connection(int(sys.argv[1]))
    task = wire.recv()

    def tell(heard: Any) -> None:
        wire.send(heard)
        wire.recv()  # until it is taken: the wire itself would hold hundreds of events

    try:
        work(task, tell)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends by itself now
        wire.send(Done())
    except Exception as error:  # noqa: BLE001  # raised anew by the parent
        wire.send(error)
