"""A person's own options, from Python files that are named on the command line; nothing else is ever executed."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

from lab.catalogue import RecipeError
from lab.reading import read_text

ORIGIN = "the options of "  # and the file: how a module of such options is called


def add_options(files: Iterable[str | Path]) -> None:
    """Import files that define options, each once.

    Raises:
        RecipeError: a file that cannot be read or imported, or an option whose name is taken.
    """
    for file in dict.fromkeys(Path(file).resolve() for file in files):
        read_text(file, "the options")
        _import(file)


def _import(file: Path) -> None:
    """Under a name that tells where its options are from: two files may be called alike."""
    name = f"{ORIGIN}{file}"
    spec = spec_from_loader(name, SourceFileLoader(name, str(file)))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001  # whatever stands in a person's file
        del sys.modules[name]
        raise RecipeError(f"Cannot take options from {file}{_line(error, file)}: {_said(error)}") from None


def file_of(function: Callable[..., Any]) -> str | None:
    """From which of these files an option is; None for all others."""
    module = function.__module__
    return module.removeprefix(ORIGIN) if module.startswith(ORIGIN) else None


def _line(error: Exception, file: Path) -> str:
    """In which of its lines it went wrong."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    own = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f", line {own[-1]}" if own else ""


def _said(error: Exception) -> str:
    said = str(error.msg if isinstance(error, SyntaxError) else error)
    return said if isinstance(error, ValueError) and said else f"{type(error).__name__}: {said}"
