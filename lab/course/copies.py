"""One's own copies of the panel's notebook and the chapters: `python lab/course/copies.py NOTEBOOKS MINE`.

Imports nothing of lab and no package: `make mine` runs it before anything is installed.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

SHIPPED = ".shipped.json"  # which notebook each copy was made from, by its hash
CHANGED = "{copy} stays, as you have changed it; {source} is newer. Rename yours to get that one beside it."


def renewed(notebooks: Path, mine: Path) -> list[str]:
    """Copy what is not there yet, and anew what nobody has changed; a sentence for each that is and stays behind.

    Raises:
        OSError: it cannot be read or written. What is there is whole nevertheless.
    """
    shipped, said = known(mine / SHIPPED), []
    for source in (notebooks / "lab.ipynb", *sorted((notebooks / "course").glob("*.ipynb"))):
        name = source.relative_to(notebooks).as_posix()
        copy, new = mine / name, source.read_bytes()
        there = copy.read_bytes() if copy.exists() else None
        if there is None or there == new or digest(there) == shipped.get(name):
            if there != new:
                write(copy, new)
            shipped[name] = digest(new)
        elif shipped.get(name) != digest(new):
            said.append(CHANGED.format(copy=copy, source=source))
    write(mine / SHIPPED, (json.dumps(shipped, indent=1) + "\n").encode())
    return said


def known(file: Path) -> dict[str, str]:
    """What the file says; nothing, where there is none or it is damaged: then all copies count as changed."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def digest(content: bytes) -> str:
    """Of a notebook's cells: JupyterLab writes into the rest which Python it has, when one is only looked at too."""
    with suppress(ValueError, KeyError, TypeError):  # no notebook any more: as it stands
        content = json.dumps(json.loads(content)["cells"], sort_keys=True).encode()
    return sha256(content).hexdigest()


def write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)


def main() -> int:
    """0, or 1 when copies could not be made."""
    notebooks, mine = map(Path, sys.argv[1:])
    try:
        said = renewed(notebooks, mine)
    except OSError as error:
        print(f"Cannot copy the notebooks to {mine}: {error}", file=sys.stderr)
        return 1
    for sentence in said:
        print(sentence)
    return 0


if __name__ == "__main__":
    sys.exit(main())
