"""Runs that are thrown away: moved into a hidden folder beside the others, from which they come back."""

from __future__ import annotations

from pathlib import Path

from lab.store import RunError, holding

TRASH = ".trash"


def discard(folder: str | Path) -> Path:
    """Move a run's folder into the trash beside it; where it lies now.

    Raises:
        RunError: it is gone, it is being written, or it cannot be moved.
    """
    place = Path(folder)
    if not place.is_dir():
        raise RunError(f"There is no folder {place} any more, so it cannot be thrown away.")
    trash = place.parent / TRASH
    try:
        trash.mkdir(exist_ok=True)
        with holding(place):
            return place.rename(free_name(trash / place.name))
    except OSError as error:
        raise RunError(f"Cannot throw {place} away: {error.strerror}.") from None


def put_back(trashed: str | Path, folder: str | Path) -> None:
    """Move a folder out of the trash to where it was.

    Raises:
        RunError: it is gone from the trash, or there is another one in its old place.
    """
    thrown, place = Path(trashed), Path(folder)
    if not thrown.is_dir():
        raise RunError(f"There is nothing in {thrown} any more: it was taken out of the trash.")
    if place.exists():
        raise RunError(f"There is another folder {place} now. The run lies in {thrown}.")
    try:
        thrown.rename(place)
    except OSError as error:
        raise RunError(f"Cannot put {place} back: {error.strerror}. The run lies in {thrown}.") from None


def free_name(wanted: Path) -> Path:
    """The same name, with a number where it is taken."""
    names = (wanted, *(wanted.with_name(f"{wanted.name}-{number}") for number in range(2, 10_000)))
    return next((name for name in names if not name.exists()), wanted)
