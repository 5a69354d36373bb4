"""The engine of a Ray cluster: points go to whichever machine has room, and what they leave comes back over the wire.

A run is trained in a folder of its machine's own; only the process that runs the sweep writes the sweep's folder. So no
disk needs to be shared, and a point that was trained twice after all (its machine was thought dead) is kept once.
A worker that is killed leaves its run where the next attempt on that machine finds it, be it of a later call.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from lab.catalogue import RecipeError
from lab.installing import pip_install
from lab.recipe import Recipe
from lab.store import RunError, contents, make_folder, write_atomically
from lab.sweeps.outcomes import Outcome, room_in
from lab.sweeps.points import Order, done, ended_before, said
from lab.sweeps.processes import check_share

MISSING = "To run a sweep on a cluster, Ray is needed: {}"
KNOCK_SECONDS = 5
LEFT_SECONDS = 24 * 3600  # how long what an attempt left waits for the next one
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
        RecipeError: Ray is not installed, a share that is none; when entered: no such cluster, or no GPU to share.
    """

    def __init__(self, address: str = "auto", gpus_per_run: float | None = None) -> None:
        self.ray, self.address, self.gpus_per_run = imported(), address, gpus_per_run
        self.under_way: dict[Any, Order] = {}
        if gpus_per_run is not None:
            check_share(gpus_per_run)

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
        except (OSError, ValueError, RuntimeError, self.ray.exceptions.RayError) as error:
            said = f"There is no Ray cluster at {self.address} ({' '.join(str(error).split())[:200]})"
            raise RecipeError(f"{said}. Start one with `ray start --head`, or give its --address.") from None

    def _share(self) -> float:
        gpus = self.ray.cluster_resources().get("GPU", 0)
        share = self.gpus_per_run if self.gpus_per_run is not None else float(gpus > 0)
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
        there = files_of(order.folder) if ended_before(Recipe.from_yaml(order.recipe), order.folder) else {}
        self.under_way[self.task.remote(elsewhere, files, str(Path.cwd()), name_of(order, files), there)] = order

    def next(self) -> Outcome:
        (reference, *_), _ = self.ray.wait(list(self.under_way), num_returns=1)
        order = self.under_way.pop(reference)
        try:
            parcel = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            return Outcome(order.id, "lost", lost(error))
        unpack(parcel, order)
        return parcel.outcome


def name_of(order: Order, options: tuple[tuple[str, str], ...]) -> str:
    """The same whenever this machine wants the point in this folder, with these options: what was left is its own."""
    asked = repr((socket.gethostname(), str(order.folder), options)).encode()
    return hashlib.sha256(asked).hexdigest()[:16]


def knock(address: str) -> None:
    """Raises OSError where nobody listens at host:port: Ray itself would find out after a minute of its own words."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()


def imported() -> Any:
    try:
        import ray  # noqa: PLC0415  # an optional package
    except ImportError:
        raise RecipeError(MISSING.format(pip_install("'lab[cluster]'"))) from None
    return ray


def lost(error: Exception) -> str:
    """The first line of what Ray says; the rest is advice on Ray."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {line}"


def parcelled(
    order: Order, options: tuple[tuple[str, str], ...], cwd: str, name: str, there: dict[str, bytes]
) -> Parcel:
    """On whichever machine: train in a folder that is gone afterwards.

    Args:
        cwd: from where the names of files are seen.
        name: of that folder; there: files of the point's run, where it has ended already and only its report is wanted.
    """
    with suppress(OSError):
        os.chdir(cwd)
    try:
        with place_for(name) as place:
            return parcelled_in(place, order, options, there)
    except (OSError, RunError) as error:
        return Parcel(Outcome(order.id, "failed", said(error)), {}, None)


def parcelled_in(place: Path, order: Order, options: tuple[tuple[str, str], ...], there: dict[str, bytes]) -> Parcel:
    known = tuple(kept_option(name, text) for name, text in options)
    run, report = place / order.folder, order.report and place / order.report
    if there and not run.exists():
        keep(there, run)
    outcome = done(replace(order, folder=run, report=report, options=known))
    return Parcel(outcome, files_of(run), report.read_bytes() if report and report.exists() else None)


@contextmanager
def place_for(point: str) -> Generator[Path]:
    """A folder for an attempt at a point. One that was killed leaves it to the next; two at once have their own."""
    places = own_folder("lab-points")
    forget_old(places)
    with suppress(FileExistsError):  # exist_ok would look again, when another attempt may have deleted it
        (places / point).mkdir()
    with alone_in(places / point) as alone:
        if alone:
            try:
                yield places / point
            finally:
                shutil.rmtree(places / point, ignore_errors=True)
            return
    with TemporaryDirectory(prefix="lab-") as own:
        yield Path(own)


def forget_old(places: Path) -> None:
    """Delete what attempts left to which none came back."""
    for left in places.iterdir():
        with suppress(OSError):  # another attempt may delete it meanwhile
            latest = max(each.stat().st_mtime for each in (left, *left.iterdir()))
            if time.time() - latest < LEFT_SECONDS:
                continue
            with alone_in(left) as alone:
                shutil.rmtree(left, ignore_errors=True) if alone else None


@contextmanager
def alone_in(folder: Path) -> Generator[bool]:
    """Whether this folder is ours as long as this lasts. It is its own lock: none is left over when it is deleted."""
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        yield False
        return
    try:
        yield is_locked(held, folder)
    finally:
        os.close(held)


def is_locked(held: int, folder: Path) -> bool:
    """Whether we have it to ourselves, and it is still what has this name: who had it before us may have deleted it."""
    import fcntl  # noqa: PLC0415  # not every system has it

    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(held), folder.stat())
    except OSError:
        return False


def own_folder(name: str) -> Path:
    """Of this user alone, beside other temporary files. Raises RunError: somebody else has made it, or reads in it."""
    folder = Path(gettempdir(), f"{name}-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise RunError(f"{folder} is not this user's alone. Delete it, or name another place in TMPDIR.")
    return folder


def kept_option(name: str, text: str) -> str:
    """A person's file under a name that is the same for each point, so that the process executes it once."""
    folder = own_folder("lab-options") / hashlib.sha256(text.encode()).hexdigest()[:16]
    folder.mkdir(exist_ok=True)
    write_atomically(folder / name, text.encode())
    return str(folder / name)


def files_of(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in contents(run)} if run.is_dir() else {}


def keep(files: dict[str, bytes], folder: Path) -> None:
    make_folder(folder)
    for name, content in files.items():
        write_atomically(folder / name, content)


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
    keep(parcel.files, new)
    shutil.rmtree(order.folder, ignore_errors=True)
    with suppress(FileNotFoundError):
        new.replace(order.folder)
