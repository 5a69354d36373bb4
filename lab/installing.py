"""How a person gets a package that is not there: into the environment that this process runs in, not the shell's."""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from pathlib import Path
from shlex import quote


def pip_install(package: str) -> str:
    """`pip install ray`, or `.venv/bin/pip install ray` where the shell's own pip would install it elsewhere."""
    ours, found = Path(sys.executable).parent / "pip", shutil.which("pip")
    if found and Path(found).parent == ours.parent:
        return f"pip install {package}"
    if ours.exists():
        return f"{quote(from_here(ours))} install {package}"
    return f"{quote(sys.executable)} -m pip install {package}"


def from_here(path: Path) -> str:
    with suppress(OSError, ValueError):  # the folder where we are has been deleted; the path is not in it
        return str(path.relative_to(Path.cwd()))
    return str(path)
