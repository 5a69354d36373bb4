"""Gather functions, with everything of ours that they use, into source text that needs nothing of ours.

Signatures lose their annotations and catalogue decorators, docstrings keep their first line; bodies and
comments stay as they were written.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import textwrap
from collections.abc import Iterable
from functools import lru_cache
from types import FunctionType, ModuleType
from typing import Any

from lab.catalogue import RecipeError


class Bundle:
    """Imports and definitions, in an order in which Python can read them."""

    def __init__(self) -> None:
        self.imports: set[tuple[str, str, str]] = set()  # module, name (empty: the module itself), name here
        self.constants: dict[str, str] = {}
        self.definitions: dict[str, str] = {}
        self._meanings: dict[str, Any] = {}  # what each name stands for: in one text it can be one thing only

    def add(self, thing: Any) -> None:
        """Take in a function or class, after everything that it uses.

        Raises:
            RecipeError: it, or something that it uses, has the name of another thing.
        """
        name = thing.__name__
        self.claim(name, thing)
        if name in self.definitions:
            return
        self.definitions[name] = ""  # seen: a function may use itself
        text = definition(thing)
        names = getattr(inspect.unwrap(thing), "__globals__", {})  # a decorated function's own, not its wrapper's
        for used in global_names(text):
            self.resolve(used, sys.modules.get(thing.__module__), names)
        del self.definitions[name]
        self.definitions[name] = text

    def claim(self, name: str, meaning: Any) -> None:
        """Raises RecipeError when the name stands for something else already."""
        known = self._meanings.setdefault(name, meaning)
        if not means_the_same(known, meaning):
            places = " and ".join(sorted({place_of(known), place_of(meaning)}))
            raise RecipeError(
                f"Two things are called {name!r} ({places}), but a script can have one: rename one of them."
            )

    def use(self, text: str, module: ModuleType) -> None:
        """Take in what a piece of code uses, its names as `module` knows them."""
        for used in global_names(text):
            self.resolve(used, module, {})

    def resolve(self, name: str, module: ModuleType | None, names: dict[str, Any]) -> None:
        known = names or vars(module or builtins)
        if name not in known:
            return
        value = known[name]
        self.claim(name, value)
        if is_ours(value, module):
            self.add(value)
        elif (origin := imported_from(module, name)) and not origin[0].startswith("lab."):
            self.imports.add(origin)
        elif isinstance(value, ModuleType):
            self.imports.add((value.__name__, "", name))
        elif isinstance(value, type | FunctionType):
            self.imports.add((value.__module__, value.__name__, name))
        else:
            self._add_constant(name, sys.modules[origin[0]] if origin else module)

    def _add_constant(self, name: str, module: ModuleType | None) -> None:
        for node in tree_of(module).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                value = ast.get_source_segment(inspect.getsource(module), node.value)  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
                self.use(str(value), module)  # pyright: ignore[reportArgumentType]
                self.constants[name] = f"{name} = {value}"

    def import_lines(self) -> list[str]:
        """Import statements, the standard library's first, sorted as a linter would."""
        ours = sorted(self.imports, key=lambda item: (bool(item[1]), item))
        standard = [item for item in ours if item[0].split(".")[0] in sys.stdlib_module_names]
        others = [item for item in ours if item not in standard]
        return [*statements(standard), "", *statements(others)]


def means_the_same(one: Any, other: Any) -> bool:
    """Constants that look alike do; functions, classes and modules only when they are one."""
    return one is other or (not isinstance(one, type | FunctionType | ModuleType) and repr(one) == repr(other))


def place_of(meaning: Any) -> str:
    """Where a function or class is from; of all else how it looks."""
    return f"in {meaning.__module__}" if isinstance(meaning, type | FunctionType) else repr(meaning)


def statements(imports: list[tuple[str, str, str]]) -> list[str]:
    lines = [
        f"import {module}" + ("" if here == module else f" as {here}") for module, name, here in imports if not name
    ]
    chosen: dict[str, list[str]] = {}
    for module, name, here in imports:
        if name:
            chosen.setdefault(module, []).append(name if name == here else f"{name} as {here}")
    return lines + [f"from {module} import {', '.join(names)}" for module, names in chosen.items()]


def is_ours(value: Any, module: ModuleType | None) -> bool:
    """Functions and classes of the lab, and a person's own that stand beside an option of theirs."""
    if not isinstance(value, type | FunctionType):
        return False
    return value.__module__.split(".")[0] == "lab" or (module is not None and value.__module__ == module.__name__)


@lru_cache(maxsize=64)
def tree_of(module: ModuleType | None) -> ast.Module:
    try:
        return ast.parse(inspect.getsource(module)) if module else ast.Module([], [])
    except (OSError, TypeError):  # a notebook's cells are no file
        return ast.Module([], [])


def imported_from(module: ModuleType | None, name: str) -> tuple[str, str, str] | None:
    """(module, name there, name here) of the import statement that binds a name."""
    for node in tree_of(module).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return (
                        (node.module or "", alias.name, name)
                        if isinstance(node, ast.ImportFrom)
                        else (alias.name, "", name)
                    )
    return None


def global_names(text: str) -> list[str]:
    """Names that a piece of code reads and does not bind itself, in order of appearance."""
    tree = ast.parse(text)
    bound = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    bound |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    read = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    return [name for name in dict.fromkeys(read) if name not in bound and not hasattr(builtins, name)]


def bound_names(text: str) -> set[str]:
    """Names that a piece of code gives to functions and variables, wherever in it."""
    nodes = list(ast.walk(ast.parse(text)))
    stored = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return stored | {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def definition(thing: Any) -> str:
    """Source of a function or class without annotations in signatures, catalogue decorators and long docstrings."""
    lines = textwrap.dedent(inspect.getsource(thing)).splitlines()
    (top,) = ast.parse("\n".join(lines)).body
    for node in sorted(_documented(top), key=lambda node: -node.lineno):
        _shorten_docstring(lines, node)
        if isinstance(node, ast.FunctionDef) and node.body[0].lineno > node.lineno:
            _plain_signature(lines, node)
    for decorator in reversed(getattr(top, "decorator_list", [])):
        if isinstance(top, ast.FunctionDef) and ".add" in ast.unparse(decorator):
            del lines[decorator.lineno - 1 : decorator.end_lineno]
    return "\n".join(lines)


def _documented(top: ast.stmt) -> Iterable[ast.FunctionDef | ast.ClassDef]:
    return (node for node in ast.walk(top) if isinstance(node, ast.FunctionDef | ast.ClassDef))


def _shorten_docstring(lines: list[str], node: ast.FunctionDef | ast.ClassDef) -> None:
    doc = ast.get_docstring(node)
    if doc is not None:
        first = node.body[0]
        quoted = " " * first.col_offset + f'"""{doc.splitlines()[0]}"""'
        lines[first.lineno - 1 : first.end_lineno] = [quoted]


def _plain_signature(lines: list[str], node: ast.FunctionDef) -> None:
    for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]:
        if argument is not None:
            argument.annotation = None
    header = " " * node.col_offset + f"def {node.name}({ast.unparse(node.args)}):"
    lines[node.lineno - 1 : node.body[0].lineno - 1] = [header]
