"""A button that keeps the landscapes shown, as `lab landscape` does: a page for any browser, a PNG, all numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import NamedTuple

from lab.landscape.scenes import Scene
from lab.landscape_command import fresh_folder
from lab.landscape_folder import PAGE, planes_of, save
from lab.landscape_numbers import Number
from lab.panel.portraits import Names, left_out, scenes_of
from lab.panel.slices import Slices
from lab.panel.surveyor import Closer, Surveyor
from lab.panel.toolbar import Look, button
from lab.panel.worker import Post, in_short

SAVE = Look("Save", "download", "Keep what is shown: a page that replays it offline, a PNG, an npz with all numbers")


class Saved(NamedTuple):
    """Where it is, or why it is nowhere."""

    said: str


class Saving:
    """A button.

    Args:
        shown: gives the runs on the screen, and the numbers that were measured of them.
        post: reaches the pump, which hears `("landscape", Saved)`.
    """

    def __init__(
        self, surveyor: Surveyor, shown: Callable[[], tuple[Names, Mapping[int, tuple[Number, ...]]]], post: Post
    ) -> None:
        self.surveyor, self.shown, self.post = surveyor, shown, post
        self.slices = Slices("landscape to a folder", lambda error: post(("landscape", Saved(in_short(error, None)))))
        self.button = button("landscape-save", SAVE, self._press)
        self.going = False

    def _press(self) -> None:
        names, numbers = self.shown()
        self.going = True
        self.post(("landscape", Saved("Saving ...")))
        self.slices.begin(lambda: self._save(dict(names), dict(numbers)))

    def cancel(self) -> None:
        """What was begun is left, and said."""
        self.slices.cancel()
        if self.going:
            self.going = False
            self.post(("landscape", Saved("Nothing was saved: the landscapes were folded meanwhile.")))

    def _save(self, names: Names, numbers: Mapping[int, tuple[Number, ...]]) -> Iterator[object]:
        """In the worker thread."""
        yield from self.surveyor.looking_back()
        closer = self.surveyor.closer({job: name for job, (_, name) in names.items()})
        yield from closer.gather()
        folder, self.going = fresh_folder(), False
        self.post(("landscape", Saved(kept(folder, closer, names, numbers))))


def kept(folder: Path, closer: Closer, names: Names, numbers: Mapping[int, tuple[Number, ...]]) -> str:
    """Write it, and say where."""
    runs = {each.number: closer.followed[each.number] for each in closer.portraits}
    scenes = scenes_of(closer.portraits, names, None)
    if not scenes:
        return "There is no picture to save yet."
    places = count()
    named = [renamed(scene, places) for scene in scenes]
    title = f"Loss landscape of {'; '.join(run.name for run in runs.values())}"
    lost = {f"{left_out(run.name, closer.live.runs[job].lost)}.": run for job, run in closer.lost.items()}
    lost |= {f"{run.name}: {why}": run for run, why in closer.unplaced}
    save(folder, title, named, list(runs.values()), [numbers.get(job, ()) for job in runs], lost=lost)
    planes = ", ".join(planes_of(named))
    return f"Saved as {folder / PAGE}; beside it all numbers, and each picture's plane: {planes}."


def renamed(scene: Scene, places: Iterator[int]) -> Scene:
    """Its paths have name and colour of their runs' parts of the page, whatever other runs are on the screen."""
    paths = (replace(path, name=path.name or scene.title, number=next(places)) for path in scene.paths)
    return replace(scene, paths=tuple(paths))
