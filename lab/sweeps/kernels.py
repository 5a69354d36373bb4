"""Kernels for the notebooks of points: forked from a process that has imported everything, each a process of its own.

It is started anew where it must be: where libraries do not survive a fork (elsewhere than on Linux), where more than
one thread computes, and where the notebook's kernel is another one than this Python's.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

from filelock import FileLock
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from lab.spread import launch
from lab.sweeps.processes import DOOR

LAUNCHER = ["-m", "ipykernel_launcher"]
ENTRY = "from lab.sweeps.nursery import serve; serve()"
THREADS = "OMP_NUM_THREADS"
UNKNOWN = 255  # how a process ended of which that has been told before
ENVIRONMENT = {THREADS: "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # its debugger warns of what concerns who debugs


@dataclass(frozen=True)
class Birth:
    """A kernel that is wanted. arguments: of ipykernel; environment: all of it; folder: where it works."""

    arguments: tuple[str, ...]
    environment: dict[str, str]
    folder: str


class Nursery:
    """Our end of the process that forks, for as long as this process lives.

    Args:
        door: of one that others ask too: the one that listens there, or a new one. Empty for one of our own.
    """

    def __init__(self, door: str = "") -> None:
        self.owner, self.lock, self.door = os.getpid(), Lock(), door
        with FileLock(f"{door}.lock") if door else nullcontext():
            self.process, self.wire = let_in(door) or launch(ENTRY, {**ENVIRONMENT, DOOR: door})
            if door:
                self.ask(self.owner)  # who asks for the lock next finds it listening
        atexit.register(self.close)

    @property
    def there(self) -> bool:
        """Whether it can be asked, by this process and not by one that was forked from it."""
        ended = self.process is not None and self.process.poll() is not None
        return self.owner == os.getpid() and not self.wire.closed and not ended

    def ask(self, question: Birth | int) -> Any:
        """Who is interrupted ends it: the next one would hear this answer. Raises EOFError, OSError: it is gone."""
        with self.lock:
            try:
                self.wire.send(question)
                return self.wire.recv()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Our kernels end, and it does when nobody else asks it."""
        self.wire.close()
        if self.process and not self.door and self.owner == os.getpid():
            self.process.terminate()
            self.process.wait()


def let_in(door: str) -> tuple[None, Connection] | None:
    """A wire to the nursery that listens there; None where none does, and at no door."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as asking:
        if door:
            asking.connect(door)
            return None, Connection(asking.detach())
    return None


class Kernel:
    """A forked kernel, with what jupyter_client asks of a process."""

    stdin = stdout = stderr = None

    def __init__(self, nursery: Nursery, birth: Birth) -> None:
        self.nursery = nursery
        self.pid: int = nursery.ask(birth)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            try:
                self.returncode = self.nursery.ask(self.pid)
            except (EOFError, OSError):  # the nursery has ended, and the system has killed the kernel with it
                self.returncode = -signal.SIGKILL
        return self.returncode

    def wait(self) -> int:
        while (code := self.poll()) is None:
            time.sleep(0.01)
        return code

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, signum)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forked(LocalProvisioner):
    """Launches Python's own kernel by a fork, and any other as usual."""

    nursery: Nursery | None = None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        if can_be_forked(cmd, kwargs["env"]):
            birth = Birth(tuple(cmd[3:]), dict(kwargs["env"]), str(kwargs.get("cwd") or Path.cwd()))
            with suppress(EOFError, OSError):  # no memory for one more, or its parent was killed just now
                self.process: Any = Kernel(self.there(), birth)
                self.pid = self.pgid = self.process.pid
                return self.connection_info
        return await super().launch_kernel(cmd, **kwargs)

    @staticmethod
    def there() -> Nursery:
        """The nursery of this process, started anew when it is gone."""
        if not Forked.nursery or not Forked.nursery.there:
            Forked.nursery = Nursery(os.environ.get(DOOR, ""))
        return Forked.nursery


class ForkedKernels(AsyncKernelManager):
    """For papermill: `kernel_manager_class=ForkedKernels`. The first one takes as long as any."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.kernel_id = str(uuid4())
        self.provisioner = Forked(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)


def can_be_forked(command: list[str], environment: dict[str, str]) -> bool:
    ours = command[0] == sys.executable and command[1:3] == LAUNCHER
    return sys.platform == "linux" and ours and environment.get(THREADS) == "1"
