"""How a person gets a package that is not there: into the environment that this process runs in, not the shell's."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def pip_install(package: str) -> str:
    """`pip install ray`, or `.venv/bin/pip install ray` where the shell's own pip would install it elsewhere."""
    ours, found = Path(sys.executable).parent, shutil.which("pip")
    if found and Path(found).parent == ours:
        return f"pip install {package}"
    place = ours.relative_to(Path.cwd()) if ours.is_relative_to(Path.cwd()) else ours
    return f"{place / 'pip'} install {package}"
