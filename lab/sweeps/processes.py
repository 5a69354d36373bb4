"""The engine of this machine: processes that take one point after the other; one that is lost is replaced."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lab.catalogue import RecipeError
from lab.spread import END_SECONDS, launch
from lab.sweeps.outcomes import Outcome
from lab.sweeps.points import Order, done

ENTRY = "from lab.sweeps.processes import serve; serve()"
DOOR = "LAB_NURSERY"  # in the environment: the socket by which all processes ask one nursery for their kernels
LONGEST = 100  # bytes of a socket's path, a few less than systems take; beyond it each has its own nursery
ASKED_SECONDS = 1.0
LOST = "Its process ended before the run did ({})."


class Worker:
    """A process that waits for orders."""

    def __init__(self, place: Mapping[str, str]) -> None:
        self.place = place
        self.process, self.wire = launch(ENTRY, place)
        self.order: Order | None = None

    def take(self, order: Order) -> None:
        self.order = order
        with suppress(BrokenPipeError):  # it is gone already: who listens to it hears so
            self.wire.send(order)

    def answer(self) -> Outcome:
        """What became of its order. Called when its wire has something to say, be it that nobody is there."""
        assert self.order
        try:
            return self.wire.recv()
        except (EOFError, OSError):
            return Outcome(self.order.id, "lost", LOST.format(ending(self.process.wait())))


class Processes:
    """Trains orders in as many processes as there are places; leaving it stops them, their runs resumably.

    Args:
        places: what each process finds in its environment beside what there is; one process for each.
        orders: how many there will be. Where no process takes a second one, a kernel is not worth preparing others.
    """

    def __init__(self, places: Sequence[Mapping[str, str]], orders: int | None = None) -> None:
        self.places, self.forked = places, orders is None or orders > len(places)
        self.idle: deque[Worker] = deque()
        self.busy: list[Worker] = []

    def __enter__(self) -> Processes:
        self.folder = TemporaryDirectory(prefix="lab-nursery-")
        door = str(Path(self.folder.name, "door"))
        shared = {DOOR: door if len(os.fsencode(door)) <= LONGEST else ""}
        self.idle.extend(Worker({**place, **shared}) for place in self.places)
        return self

    def __exit__(self, *_: object) -> None:
        workers = [*self.idle, *self.busy]
        for worker in workers:
            worker.process.terminate()
            worker.wire.close()
        end([worker.process for worker in workers])
        self.idle.clear()
        self.busy.clear()
        self.folder.cleanup()

    @property
    def free(self) -> bool:
        return bool(self.idle)

    def take(self, order: Order) -> None:
        worker = self.idle.popleft()
        if worker.process.poll() is not None:  # killed while it had nothing to do
            worker.wire.close()
            worker = Worker(worker.place)
        worker.take(replace(order, forked=self.forked))
        self.busy.append(worker)

    def next(self) -> Outcome:
        """Of whichever order ends first."""
        wires: dict[Any, Worker] = {worker.wire: worker for worker in self.busy}
        worker = wires[wait(list(wires))[0]]
        outcome = worker.answer()
        self.busy.remove(worker)
        self.idle.append(worker)
        return outcome


def places_for(processes: int, gpus: Sequence[str], gpus_per_run: float) -> list[dict[str, str]]:
    """Environments of so many processes: one thread each, and where there are GPUs, each its share of one.

    Args:
        processes: 0 for as many as there is room for.
        gpus: by the name under which CUDA_VISIBLE_DEVICES knows them.
    Raises:
        RecipeError: a share that is none, or no GPU to share.
    """
    check_share(gpus_per_run)
    if gpus_per_run and not gpus:
        raise RecipeError("gpus_per_run asks for GPUs, but this machine has none that torch can use: leave it out.")
    threads = {"OMP_NUM_THREADS": "1"}
    if not gpus_per_run:
        return [threads] * processes
    shares = int(1 / gpus_per_run + 1e-9)  # 1 / 0.1 is 10, a hair below it too
    room = [{**threads, "CUDA_VISIBLE_DEVICES": gpu} for _ in range(shares) for gpu in gpus]
    return room[: processes or len(room)]


def check_share(gpus_per_run: float) -> None:
    """Raises RecipeError: a share of a GPU that is none."""
    if not 0 <= gpus_per_run <= 1:
        raise RecipeError(f"gpus_per_run is {gpus_per_run:g}, but must be from 0 to 1: a run trains on one GPU.")


def end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait until all have stopped, and insist."""
    late = time.monotonic() + END_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, late - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ending(code: int) -> str:
    """`killed by signal 9`, `exit code 1`."""
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def serve() -> None:
    """In the process: bring each order to its end, until nobody sends any."""
    wire = Connection(int(sys.argv[1]))
    threading.Thread(target=leave_after, args=(os.getppid(),), daemon=True).start()
    with suppress(EOFError, OSError):
        while True:
            hear_signals()
            wire.send(done(wire.recv()))


def leave_after(parent: int) -> None:
    """Stop what trains, resumably, when the sweep's own process is gone: nobody would hear of it any more."""
    while os.getppid() == parent:
        time.sleep(ASKED_SECONDS)
    if door := os.environ.get(DOOR):  # of the sweep's own temporary folder, which it could not delete
        shutil.rmtree(Path(door).parent, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGTERM)


def hear_signals() -> None:
    """Anew before each order: papermill leaves them as the system has them."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # by way of every `finally`
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair


def gpus_here() -> list[str]:
    """The GPUs that a process here may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch  # noqa: PLC0415  # asks the driver

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return (named or [str(number) for number in range(count)])[:count]
