"""The engine of a Ray cluster: points go to whichever machine has room, and what they leave comes back over the wire.

A run is trained in a folder of its machine's own; only the process that runs the sweep writes the sweep's folder. So no
disk needs to be shared, and a point that was trained twice after all (its machine was thought dead) is kept once.
"""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lab.catalogue import RecipeError
from lab.store import contents, make_folder, write_atomically
from lab.sweeps.outcomes import Outcome, room_in
from lab.sweeps.points import Order, done

MISSING = "To run a sweep on a cluster, Ray is needed: pip install 'lab[cluster]'"
KNOCK_SECONDS = 5
AHEAD = 2  # orders under way for each run that the cluster has room for: the next one is there when a machine is free


@dataclass(frozen=True)
class Parcel:
    """What a point leaves: how it ended, the files of its run, and its report. None of it needs the lab to be read."""

    outcome: Outcome
    files: dict[str, bytes]
    report: bytes | None


class Cluster:
    """Trains orders on a Ray cluster; what is lost with a worker or a machine is an outcome `lost`.

    Args:
        address: of the cluster: `auto`, `host:port`, or `local` for one on this machine alone.
        gpus_per_run: share of a GPU that each run needs; None for a whole one where the cluster has any.
    Raises:
        RecipeError: Ray is not installed, there is no such cluster, or it has no GPU to share.
    """

    def __init__(self, address: str = "auto", gpus_per_run: float | None = None) -> None:
        self.ray, self.address, self.gpus_per_run = imported(), address, gpus_per_run
        self.under_way: dict[Any, Order] = {}

    def __enter__(self) -> Cluster:
        self.joined = not self.ray.is_initialized()
        if self.joined:
            self._join()
        try:
            share = self._share()
        except RecipeError:
            self.__exit__()
            raise
        self.task = self.ray.remote(parcelled).options(num_cpus=1, num_gpus=share, max_retries=0)
        there = self.ray.cluster_resources()
        self.room = max(1, int(there.get("GPU", 0) / share if share else there.get("CPU", 1))) * AHEAD
        return self

    def _join(self) -> None:
        try:
            knock(self.address)
            self.ray.init(address=self.address, log_to_driver=False, logging_level="ERROR")
        except (OSError, ValueError, RuntimeError) as error:
            said = f"There is no Ray cluster at {self.address} ({' '.join(str(error).split())[:200]})"
            raise RecipeError(f"{said}. Start one with `ray start --head`, or give its --address.") from None

    def _share(self) -> float:
        gpus = self.ray.cluster_resources().get("GPU", 0)
        share = self.gpus_per_run if self.gpus_per_run is not None else float(gpus > 0)
        if not 0 <= share <= 1:
            raise RecipeError(f"gpus_per_run is {share:g}, but must be from 0 to 1: a run trains on one GPU.")
        if share and not gpus:
            raise RecipeError("gpus_per_run asks for GPUs, but this cluster has none: leave it out.")
        return share

    def __exit__(self, *_: object) -> None:
        for reference in self.under_way:
            self.ray.cancel(reference, force=True)
        self.under_way.clear()
        if self.joined:
            self.ray.shutdown()

    @property
    def free(self) -> bool:
        return len(self.under_way) < self.room

    def take(self, order: Order) -> None:
        files = tuple((Path(file).name, Path(file).read_text(encoding="utf-8")) for file in order.options)
        elsewhere = replace(order, folder=Path("run"), report=order.report and Path("report.ipynb"), options=())
        self.under_way[self.task.remote(elsewhere, files, str(Path.cwd()))] = order

    def next(self) -> Outcome:
        (reference, *_), _ = self.ray.wait(list(self.under_way), num_returns=1)
        order = self.under_way.pop(reference)
        try:
            parcel = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            return Outcome(order.id, "lost", lost(error))
        unpack(parcel, order)
        return parcel.outcome


def knock(address: str) -> None:
    """Raises OSError where nobody listens at host:port: Ray itself would find out after a minute of its own words."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()


def imported() -> Any:
    try:
        import ray  # noqa: PLC0415  # an optional package
    except ImportError:
        raise RecipeError(MISSING) from None
    return ray


def lost(error: Exception) -> str:
    """The first line of what Ray says; the rest is advice on Ray."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {line}"


def parcelled(order: Order, options: tuple[tuple[str, str], ...], cwd: str) -> Parcel:
    """On whichever machine: train in a folder that is gone afterwards. cwd: from where the names of files are seen."""
    with suppress(OSError):
        os.chdir(cwd)
    with TemporaryDirectory(prefix="lab-") as place:
        known = tuple(kept_option(name, text) for name, text in options)
        report = order.report and Path(place, order.report)
        outcome = done(replace(order, folder=Path(place, order.folder), report=report, options=known))
        run = Path(place, order.folder)
        files = {name: (run / name).read_bytes() for name in contents(run)} if run.is_dir() else {}
        return Parcel(outcome, files, report.read_bytes() if report and report.exists() else None)


def kept_option(name: str, text: str) -> str:
    """A person's file under a name that is the same for each point, so that the process executes it once."""
    import hashlib  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    folder = Path(tempfile.gettempdir(), f"lab-options-{os.getuid()}-{hashlib.sha256(text.encode()).hexdigest()[:16]}")
    folder.mkdir(mode=0o700, exist_ok=True)
    write_atomically(folder / name, text.encode())
    return str(folder / name)


def unpack(parcel: Parcel, order: Order) -> None:
    """The files in their places: a run whole or not at all. Raises RunError: there is no room for them."""
    with room_in(order.folder.parent):
        place(parcel, order)


def place(parcel: Parcel, order: Order) -> None:
    if order.report and parcel.report is not None:
        write_atomically(order.report, parcel.report)
    if not parcel.files:
        return
    new = order.folder.with_name(f".{order.folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    make_folder(new)
    for name, content in parcel.files.items():
        write_atomically(new / name, content)
    shutil.rmtree(order.folder, ignore_errors=True)
    with suppress(FileNotFoundError):
        new.replace(order.folder)
