"""A network that no memory of this machine can hold is refused before it takes any."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook


def whole_memory(folder: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that this machine has, or that its container (cgroup v2) may take."""
    try:
        limit = (folder / "memory.max").read_text().strip()
    except OSError:  # another system, or no container
        limit = "max"
    machine = psutil.virtual_memory().total
    return min(machine, int(limit)) if limit.isdecimal() else machine


@contextmanager
def weights_that_fit() -> Generator[None]:
    """While a network is built: it ends once its weights and their gradients are more than all memory there is.

    A system hands out memory that it does not have, and kills who uses it: a slip of a digit would end the notebook.

    Raises:
        MemoryError: before the weight is filled that would be too much.
    """
    left = whole_memory()

    def take(layer: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal left
        left -= 2 * parameter.nbytes if parameter is not None else 0
        if left < 0:
            raise MemoryError(f"The {name} of a layer {type(layer).__name__} does not fit into memory any more.")

    hook = register_module_parameter_registration_hook(take)  # torch has it for all networks or for none
    try:
        yield
    finally:
        hook.remove()
