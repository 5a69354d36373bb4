"""How whoever chooses is told what to do next: in words of the command; the panel has its own."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """How answers name wishes to who typed the command; the panel has words of its own.

    typed: the words after `lab`, of which those commands are made that may be typed next.
    """

    typed: tuple[str, ...] = ("choose", "PATH")
    goes_on = "the same command goes on"

    def name(self, wish: str) -> str:
        return "PATH" if wish == "path" else f"--{wish}"

    def set(self, **wanted: object) -> str:
        """How these wishes are said.

        Example:
            >>> Command().set(ways="scratch,features", seeds=2)
            '--ways scratch,features --seeds 2'
        """
        return " ".join(f"{self.name(wish)} {value}" for wish, value in wanted.items())

    def again(self, **wanted: object) -> str:
        """What to do to have the same with these wishes, on a line of its own.

        Example:
            >>> print(Command(("choose", "my images", "--seconds", "9")).again(seconds=60).strip())
            lab choose 'my images' --seconds 60
        """
        words = without([self.name(wish) for wish in wanted], self.typed)
        return f"\n  lab {shlex.join(words)} {self.set(**wanted)}"


def without(flags: Sequence[str], typed: Sequence[str]) -> list[str]:
    """The words but these flags and what follows each."""
    pairs = zip(typed, ["", *typed], strict=False)
    return [word for word, before in pairs if before not in flags and word.partition("=")[0] not in flags]


COMMAND = Command()
