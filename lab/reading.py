"""What a person writes: files, YAML and overrides, read strictly, with errors that name the place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar

import yaml

from lab.catalogue import RecipeError

SWEEPS = dict.fromkeys(("grid", "list", "random"), "sweep")
COMMANDS = {"arms": "compare", "claim": "claim", **SWEEPS}  # by a key that only this kind of file has


def command_for(spec: Mapping[Any, Any]) -> str:
    """Which command reads a file of this content."""
    return next((command for key, command in COMMANDS.items() if key in spec), "run")


def read_text(path: str | Path, what: str) -> str:
    """A file's text. Raises RecipeError, naming the file and what it should have been."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        near = near_file(Path(path)) if isinstance(error, FileNotFoundError) else ""
        raise RecipeError(f"Cannot read {what} {path}: {reason}.{near}") from None


def near_file(path: Path) -> str:
    """`baseline`, `recipes/baseline.yml`: which file of the same or nearly the same name may be meant."""
    places = (path.parent, Path("recipes"), Path("recipes/claims"), Path("recipes/sweeps"))
    files = {file.stem: file for place in reversed(places) for file in place.glob("*.yaml")}  # the nearest place wins
    close = get_close_matches(path.stem, files, n=1, cutoff=0.7)
    return f" Did you mean {files[close[0]]}?" if close else ""


def read_yaml(text: str, origin: str) -> Any:
    """What strict YAML says. Raises RecipeError."""
    try:
        return yaml.load(text, _StrictLoader)
    except RecursionError:
        raise RecipeError(f"Cannot read {origin} as YAML: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, AttributeError) as error:  # no such date or number
        raise RecipeError(f"Cannot read {origin} as YAML: {' '.join(str(error).split())}") from None


class _StrictLoader(yaml.SafeLoader):
    """YAML without surprises: no key twice, no aliases (they can explode), and a date stays the text it is."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed in a recipe")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            return super().construct_mapping(node, deep)  # which refuses it
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := {str(key) for key in keys if keys.count(key) > 1}:
            raise yaml.YAMLError(f"written twice: {', '.join(sorted(twice))}")
        return super().construct_mapping(node, deep)


def parse_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """`["optimizer.lr=0.3"]` -> `{"optimizer.lr": 0.3}`, values read as YAML.

    Raises:
        RecipeError: no `=`, an empty key, or a key given twice.
    """
    overrides: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"Override {text!r} must look like optimizer.lr=0.3.")
        if key.strip() in overrides:
            raise RecipeError(f"Override {key.strip()!r} is given twice.")
        overrides[key.strip()] = _read_value(text, value)
    return overrides


def _read_value(text: str, value: str) -> Any:
    try:
        return yaml.load(value, _StrictLoader)
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError):
        torn = any(value.count(left) != value.count(right) for left, right in ("{}", "[]"))
        hint = " Was it torn at a space? Quote it in the shell: 'schedule={name: cosine}'." if torn else ""
        raise RecipeError(f"Override {text!r}: cannot read {value!r} as a value.{hint}") from None
