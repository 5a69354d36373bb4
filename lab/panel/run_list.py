"""The runs on the screen: their table, and what a person does with one of them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import ipywidgets as widgets

from lab.catalogue import RecipeError
from lab.panel.controls import wide
from lab.panel.entries import Entry
from lab.panel.helper import Helper
from lab.panel.toolbar import Look, button, row, toggle
from lab.panel.words import run_names, runs_table
from lab.panel.worker import Job, Task
from lab.recipe import Recipe
from lab.run_notes import Note
from lab.runs import Run
from lab.short_texts import short_text
from lab.store import RunError
from lab.trash import discard, put_back

TITLES = {
    "lab-search": "Show only runs that hold these words: options, settings, notes, status",
    "lab-note": "A note on this run, kept in its folder",
}
WHICH = "Which run the buttons beside are about"
PIN = Look("Pin", "thumb-tack", "Keep this run at the top, and when the others are cleared")
LOAD = Look("Load", "arrow-left", "Set the controls to this run's choices")
DELETE = Look("Delete", "trash", "Take this run away; its folder goes into the trash")
UNDO = Look("Undo", "undo", "Bring the run back that was deleted last")


class Deleted(NamedTuple):
    """A run that can come back, and where its folder lies."""

    entry: Entry
    trashed: Path | None


class RunList:
    """The table, a row of tools above it, and the runs themselves.

    Args:
        helper: names the tools.
        load: takes a recipe into the controls; told: a run came or went, or was renamed.
        guarded: does something, and says what goes wrong.
    """

    def __init__(
        self,
        helper: Helper,
        load: Callable[[Recipe], None],
        told: Callable[[], None],
        guarded: Callable[[Callable[[], None]], None],
    ) -> None:
        self.helper, self._load, self._told, self._guarded = helper, load, told, guarded
        self.entries: list[Entry] = []
        self.deleted: list[Deleted] = []
        self._last_number, self._showing = 0, False
        self.table = widgets.HTML(layout=wide())
        self.table.add_class("lab-run-table")
        self._build()
        self.show()

    def _build(self) -> None:
        self.search = widgets.Text(placeholder="search", layout=elastic("1 1 80px"))
        self.which = widgets.Dropdown(layout=elastic("2 1 90px"))
        self.note = widgets.Text(placeholder="note", continuous_update=False, layout=elastic("2 1 70px"))
        self.pin = toggle("pin-run", PIN, lambda on: self._edit(pinned=on))
        actions = {"load": (LOAD, self.load), "delete": (DELETE, self.delete), "undo": (UNDO, self.undo)}
        self.load_button, self.delete_button, self.undo_button = (
            button(f"{name}-run", look, lambda action=action: self._guarded(action))
            for name, (look, action) in actions.items()
        )
        for css, control in (("lab-search", self.search), ("lab-which", self.which), ("lab-note", self.note)):
            control.add_class(css)
        self.search.observe(lambda _: self.show(), "value")
        self.which.observe(lambda _: self._show_tools(), "value")
        self.note.observe(lambda change: self._edit(text=change["new"]), "value")
        buttons = [self.load_button, self.delete_button, self.undo_button]
        self.tools = row("lab-run-tools", [self.search, self.which, self.pin, self.note, *buttons])
        self.widget = widgets.VBox([self.tools, self.table], layout=wide())

    @property
    def titles(self) -> dict[str, str]:
        """Tooltips by CSS class; of the list, the whole name that it may have no room for."""
        return {**TITLES, "lab-which": f"{WHICH}: {self.names[self.chosen.number]}" if self.chosen else WHICH}

    @property
    def numbered(self) -> dict[int, Run]:
        return {entry.number: entry.run for entry in self.entries}

    @property
    def names(self) -> dict[int, str]:
        return run_names(self.numbered)

    def take(self, job: Job) -> Entry:
        """One more run; its number is never given again."""
        self._last_number += 1
        entry = Entry(self._last_number, job)
        self.entries.append(entry)
        self.which.value = None  # so that the newest is chosen
        return entry

    def clear(self, going: Collection[Job | Task]) -> None:
        """Take runs off the screen, but those that go on and those that are pinned."""
        self.entries = [entry for entry in self.entries if entry.note.pinned or entry.job in going]
        if not self.entries:
            self._last_number = 0
            self.deleted.clear()

    # -- what a person does with one run ---------------------------------------------------------------------

    @property
    def chosen(self) -> Entry | None:
        return next((entry for entry in self.entries if entry.number == self.which.value), None)

    def _the_chosen(self) -> Entry:
        if self.chosen is None:
            raise RecipeError("No run is chosen: train one first.")
        return self.chosen

    def load(self) -> None:
        """Set the controls to the chosen run's choices."""
        self._load(self._the_chosen().run.recipe)

    def _edit(self, **change: Any) -> None:
        if not self._showing:
            self._guarded(lambda: self.write(self._the_chosen(), self._the_chosen().note._replace(**change)))

    def write(self, entry: Entry, note: Note) -> None:
        """Note something of a run; in its folder as soon as nobody else writes there."""
        entry.note = note
        self.show()
        entry.keep_note()

    def delete(self) -> None:
        """Take the chosen run away. Raises RunError while it trains."""
        entry = self._the_chosen()
        if not entry.job.done.is_set():
            raise RunError(f"Run {entry.number} goes on: stop it before you delete it.")
        folder = entry.run.folder
        self.deleted.append(Deleted(entry, discard(folder) if folder is not None else None))
        self.entries.remove(entry)
        self._told()

    def undo(self) -> None:
        """Bring back what was deleted last. Raises RunError when its folder cannot come back."""
        entry, trashed = self.deleted[-1]
        if trashed is not None and entry.run.folder is not None:
            put_back(trashed, entry.run.folder)
        self.deleted.pop()
        self.entries = sorted([*self.entries, entry], key=lambda entry: entry.number)
        self.search.value = ""  # or it might not be among those found
        self.show()
        self.which.value = entry.number
        self._told()

    # -- what is shown ---------------------------------------------------------------------------------------

    def show(self) -> None:
        """Draw the table and the tools anew; nothing can be done with a run that a search has hidden."""
        words, names = self.search.value, self.names
        found = {entry.number for entry in self.entries if not words or holds(entry, words, names[entry.number])}
        notes = {entry.number: entry.note for entry in self.entries}
        self.table.value = runs_table(self.numbered, notes, found)
        options = [(name, number) for number, name in names.items() if number in found]
        if self.which.options != tuple(options):
            kept, numbers = self.which.value, [number for _, number in options]
            self._showing = True
            self.which.options = options
            self.which.value = kept if kept in numbers else next(reversed(numbers), None)
            self._showing = False
        self._show_tools()

    def _show_tools(self) -> None:
        """What can be done with the chosen run, and what is noted of it."""
        chosen, note = self.chosen, self.chosen.note if self.chosen else Note()
        self._showing = True
        self.note.value, self.pin.value = note.text, note.pinned
        self._showing = False
        self.tools.layout.display = None if self.entries or self.deleted else "none"
        for control in (self.pin, self.note, self.load_button):
            control.disabled = chosen is None
        self.delete_button.disabled = chosen is None or not chosen.job.done.is_set()
        self.undo_button.disabled = not self.deleted
        self.helper.titles = self.helper.titles | self.titles


def elastic(flex: str) -> widgets.Layout:
    return widgets.Layout(flex=flex, width="auto", min_width="0")


def holds(entry: Entry, words: str, name: str) -> bool:
    """Whether a run has all of these words somewhere in what can be said of it, capitals or not."""
    text = f"{name} {short_text(entry.run.recipe)} {entry.run.status} {entry.note.text}".lower()
    return all(word in text for word in words.lower().split())
