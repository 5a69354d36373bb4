"""Sweeps in small: an engine without processes, points that take a moment, and options that break or kill."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from lab.sweeps import Sweep, Sweeping
from lab.sweeps.points import done

FEW: dict[str, Any] = {
    "modify": [{"name": "subset", "per_class": 4}],
    "epochs": 2,
    "model": {"name": "mlp", "depth": 1},
}
TINY = {"base": FEW, "grid": {"optimizer.lr": [0.1, 0.3], "model.width": [8, 16]}, "seeds": 2}


class Here:
    """Carries orders out in this process, when their outcome is asked for. last: end by Ctrl-C after so many."""

    def __init__(self, last: int | None = None) -> None:
        self.orders, self.seen, self.last = deque(), [], last

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def free(self) -> bool:
        return len(self.orders) < 2

    def take(self, order: Any) -> None:
        self.orders.append(order)

    def next(self) -> Any:
        if len(self.seen) == self.last:
            raise KeyboardInterrupt
        order = self.orders.popleft()
        self.seen.append(order.id)
        return done(order)


def sweep_of(spec: dict[str, Any]) -> Sweep:
    return Sweep.from_mapping(spec, {}, Path())


def swept(folder: Path, spec: dict[str, Any], engine: Any, **how: Any) -> Sweeping:
    sweeping = Sweeping(sweep_of(spec), folder, plain=True, device="cpu", **how)
    for _ in sweeping.over(engine):
        pass
    return sweeping


def written(folder: Path, name: str, source: str) -> Path:
    """A file of options."""
    file = folder / name
    file.write_text(source)
    return file


DEADLY = '''
import os, random, signal
import lab, torch

@lab.activations.add
def deadly():
    """The positive part, unless it kills. f(x) = max(0, x). Source: this test."""
    class Deadly(torch.nn.ReLU):
        def forward(self, x):
            if self.training and random.SystemRandom().random() < float(os.environ.get("DEADLY", "0")):
                os.kill(os.getpid(), signal.SIGKILL)
            return super().forward(x)
    return Deadly()
'''
WORKER_KILLED = '''
import os, signal, time
from pathlib import Path
import lab, psutil, torch

@lab.activations.add
def worker_killed():
    """The positive part, which once kills the worker of its notebook. f(x) = max(0, x). Source: this test."""
    class WorkerKilled(torch.nn.ReLU):
        def forward(self, x):
            killed = Path(os.environ["WORKER_KILLED"])
            if self.training and not killed.exists():
                killed.touch()
                parents = psutil.Process().parents()
                next(each for each in parents if "processes import serve" in str(each.cmdline())).kill()
                time.sleep(60)
            return super().forward(x)
    return WorkerKilled()
'''
BRITTLE = '''
from pathlib import Path
import lab, torch

@lab.activations.add
def brittle(*, trace: str = ""):
    """The positive part, from the second time on. f(x) = max(0, x). Source: this test."""
    if not Path(trace).exists():
        Path(trace).touch()
        raise OSError("<b>not yet</b>")
    return torch.nn.ReLU()
'''
SLOW = '''
import os, time
import lab, torch

@lab.activations.add
def slow():
    """The positive part, which may take its time. f(x) = max(0, x). Source: this test."""
    class Slow(torch.nn.ReLU):
        def forward(self, x):
            if self.training:
                time.sleep(float(os.environ.get("SLOW", "0")))
            return super().forward(x)
    return Slow()
'''
