"""A process that has imported what a notebook's kernel needs, and forks one whenever it is asked for: seconds saved.

Whoever started it asks over a wire; where it was given a door (a socket's path), others come in by that. It starts no
thread, touches no tensor and asks for no GPU, so that what its children inherit is whole.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ipykernel.kernelapp import launch_new_instance

from lab.sweeps.kernels import UNKNOWN, Birth
from lab.sweeps.processes import DOOR

LIBC, PR_SET_PDEATHSIG = ctypes.CDLL(None), 1  # of Linux, where alone kernels are forked
OF_KERNELS = ("ipykernel.ipkernel", "ipykernel.debugger", "IPython.extensions.storemagic")
OF_POINTS = ("lab.sweeps", "lab.plots", "lab.stills", "torch._dynamo", "pandas.io.formats.html", "PIL.PngImagePlugin")


def serve() -> None:
    """In the process: fork kernels until nobody is there to ask. The system ends them with it, or none is forked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the affair of whoever asks
    asking = Asking(Connection(int(sys.argv[1])), os.environ.get(DOOR, ""))
    if not ask_to_be_ended_by(0):  # a system that refuses it: whoever asks starts kernels anew
        return
    for name in (*OF_KERNELS, *OF_POINTS):
        import_module(name)
    gc.freeze()  # what is shared with the children is not touched by their garbage collection
    nursery = os.getpid()
    if birth := awaited(asking):
        asking.close()
        end_with(nursery)
        live(birth, nursery)


class Asking:
    """The wires of those who ask, each with the kernels that it has asked for."""

    def __init__(self, first: Connection, door: str) -> None:
        self.kernels: dict[Connection, set[int]] = {first: set()}
        self.door = opened(door) if door else None

    def questions(self) -> Iterator[tuple[Connection, Any]]:
        """Until nobody is there; whoever goes has their kernels ended."""
        while self.kernels:
            for ready in wait([*self.kernels, *([self.door] if self.door else [])]):
                if isinstance(ready, socket.socket):
                    self.kernels[Connection(ready.accept()[0].detach())] = set()
                elif isinstance(ready, Connection):
                    try:
                        question = ready.recv()
                    except (EOFError, OSError):
                        self.forget(ready)
                    else:
                        yield ready, question

    def forget(self, wire: Connection) -> None:
        wire.close()
        for kernel in self.kernels.pop(wire):
            if ending(kernel) is None:
                os.kill(kernel, signal.SIGKILL)
                os.waitpid(kernel, 0)

    def close(self) -> None:
        for each in (*self.kernels, *([self.door] if self.door else [])):
            each.close()


def opened(door: str) -> socket.socket:
    """In a folder of this user alone; whoever opens it sees to it that no two do."""
    Path(door).unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(door)
    listening.listen()
    return listening


def awaited(asking: Asking) -> Birth | None:
    """Answer each birth by its process, and each process by how it ended; a birth is returned in the child."""
    for wire, question in asking.questions():
        if not isinstance(question, Birth):
            if (answer := ending(question)) is not None:
                asking.kernels[wire].discard(question)
        elif answer := os.fork():
            asking.kernels[wire].add(answer)
        else:
            return question
        with suppress(OSError):  # it is gone: its wire says so next
            wire.send(answer)
    return None


def ending(child: int) -> int | None:
    """Its exit code, the negative signal that ended it, UNKNOWN for no child of ours, or None as long as it lives."""
    try:
        ended, status = os.waitpid(child, os.WNOHANG)
    except ChildProcessError:  # it has been told already
        return UNKNOWN
    return os.waitstatus_to_exitcode(status) if ended else None


def end_with(parent: int) -> None:
    """Be killed when the parent ends. ipykernel's own watch does not run: it was imported before there was a parent."""
    if not ask_to_be_ended_by(signal.SIGKILL) or os.getppid() != parent:  # it was gone already
        os._exit(1)


def ask_to_be_ended_by(signum: int) -> bool:
    """Whether the system will send this signal when the parent ends; 0 asks for none."""
    return LIBC.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signum)) == 0


def live(birth: Birth, parent: int) -> None:
    """As a kernel that was started anew: a session, an environment and random numbers of its own."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(birth.environment, JPY_PARENT_PID=str(parent))
    os.chdir(birth.folder)
    np.random.seed()  # noqa: NPY002  # a person's option may draw from these, and no two kernels may draw the same
    torch.default_generator.seed()
    launch_new_instance(argv=list(birth.arguments))
    atexit._run_exitfuncs()
    os._exit(0)  # to tidy up what was inherited, module by module, would take as long as everything before
