"""The parameters of a notebook: strangers among them stop it before any work."""

from __future__ import annotations

import sys
from typing import Any

from lab.catalogue import RecipeError, unknown

FIRST_CELLS = 3  # the parameters, those that papermill injects, and the cell that asks


def only(*known: str) -> None:
    """Refuse names that are no parameters of this notebook; papermill would only warn of them.

    Looks in the first cells of a fresh kernel only: later a reader has names of their own.

    Raises:
        RecipeError: a name that is none of those known.
    """
    shell: Any = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None or shell.execution_count > FIRST_CELLS:
        return
    names = [name for name in shell.run_line_magic("who_ls", "") if name not in (*known, "course", "lab")]
    if names:
        raise RecipeError(unknown("parameter", names[0], known))
