"""The panel: choose, train, watch, take away."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from lab.events import Finished, History, Started
from lab.panel.comparing import ComparePane, ComparisonJob
from lab.panel.controls import Control, ManyChoices, OneChoice, close, gathered, setting, wide
from lab.panel.curves import Curves
from lab.panel.helper import Helper
from lab.panel.pump import Pump
from lab.panel.words import TAKE_AWAY, detail, message, run_names, runs_table, status_line
from lab.panel.worker import Job, in_words, submit
from lab.recipe import CATALOGUES, Recipe
from lab.runs import Run
from lab.store import RunError
from lab.training import load

SECTIONS = {
    "Data": ("data", "modify"),
    "Network": ("model", "activation", "init"),
    "Optimisation": (
        *("optimizer", "schedule", "warmup", "cooldown", "depth_decay"),
        *("epochs", "patience", "batch_size", "clip_norm", "label_smoothing"),
        *("gradient", "average"),
    ),
    "Augmentation": ("augment",),
    "Transfer": ("source", "transfer"),
    "Numbers": ("precision", "seed"),
}
CAPTION = "thin: training batches · thick, with marks: validation images, once an epoch"
NUMBERS_SECONDS = 0.45
_current: weakref.ref[Panel] | None = None


class Entry:
    """A run in the panel: its number (and so its line), its job, and what the panel has heard of it."""

    def __init__(self, number: int, job: Job) -> None:
        self.number, self.job = number, job
        self.run = Run(job.recipe, History(), "queued")
        self.steps, self.steps_per_epoch = 0, 1  # until training has started


class Panel:
    """Controls for every choice, live curves, and the runs so far.

    Args:
        recipe: what the controls show first.
        folder: where runs are kept; None keeps them in memory only.
        device: "cpu", "cuda", ...; the best there is by default.
    Example:
        panel = Panel(); panel                 # in a notebook: shows it
        panel.recipe = panel.recipe.changed(optimizer="adam"); panel.start(); panel.wait()
    """

    def __init__(
        self, recipe: Recipe | None = None, *, folder: str | Path | None = "runs", device: str | None = None
    ) -> None:
        global _current  # one panel per kernel: a re-run cell replaces the old one
        if _current is not None and (old := _current()) is not None:
            old.close()
        _current = weakref.ref(self)
        self.folder, self.device = Path(folder) if folder else None, device
        self.entries: list[Entry] = []  # what is shown
        self.jobs: list[Job | ComparisonJob] = []  # what was asked for, shown yet or not
        self.pump = Pump(self._flush)
        start = recipe or Recipe()
        self._setting, self._numbers_shown = False, 0.0
        self.controls = {field: self._control(field, getattr(start, field)) for field in Recipe.model_fields}
        self._build()
        for catalogue in CATALOGUES.values():
            catalogue.listeners.append(self._options_changed)
        submit(lambda: warm_up(start))

    def _control(self, field: str, value: Any) -> Control | OneChoice | ManyChoices:
        if field not in CATALOGUES:
            return setting(field, Recipe.model_fields[field], self._changed, value)
        kind: Any = ManyChoices if isinstance(value, tuple) else OneChoice
        return kind(field, CATALOGUES[field], self._changed, value)

    def _build(self) -> None:
        self.curves = Curves()
        self.helper = Helper()
        self.comparing = ComparePane(lambda: self.recipe, self._recipes, self.pump.post, self._work_on, self.device)
        for trait, kind in (("dark", "theme"), ("width", "width")):
            self.helper.observe(lambda change, kind=kind: self.pump.post((kind, change["new"])), trait)
        self.table, self.message, self.invalid = (widgets.HTML(layout=wide()) for _ in range(3))
        controls = widgets.VBox([*self._sections()], layout=widgets.Layout(width="330px", flex="0 0 330px"))
        controls.add_class("lab-controls")
        caption = widgets.HTML(f'<div class="lab-caption">{CAPTION}</div>')
        parts = [
            self._toolbar(),
            self._progress_row(),
            self.invalid,
            self.message,
            self.curves.figure,
            caption,
            self.table,
            self.comparing.widget,
            self._take_away(),
        ]
        results = widgets.VBox(parts, layout=widgets.Layout(flex="1 1 520px", min_width="0", width="auto"))
        results.add_class("lab-results")
        self.ui = widgets.HBox(
            [controls, results, self.helper], layout=widgets.Layout(width="100%", flex_flow="row wrap")
        )
        self.ui.add_class("lab-panel")
        self._on_show()
        self._changed()

    def _sections(self) -> list[widgets.Widget]:
        rows: list[widgets.Widget] = []
        for heading, fields in SECTIONS.items():
            rows.append(widgets.HTML(f'<div class="lab-heading" role="heading" aria-level="3">{heading}</div>'))
            rows += [self.controls[field].widget for field in fields]
        return rows

    def _toolbar(self) -> widgets.Widget:
        self.train_button = self._button(
            "Train", "play", "Train this recipe; while another trains, queue it", self.start
        )
        self.train_button.button_style = "primary"
        self.pause_button = self._button("Pause", "pause", "Hold training where it is, or go on", self._pause_or_go_on)
        self.stop_button = self._button("Stop", "stop", "Stop after the current step; empty the queue", self.stop)
        self.clear_button = self._button(
            "Clear", "trash", "Take ended runs and arms off the screen; folders stay", self.clear
        )
        self.log_button = widgets.ToggleButton(
            value=False,
            description="log loss",
            tooltip="Logarithmic axis for the loss",
            layout=widgets.Layout(width="80px"),
        )
        self.log_button.add_class("lab-log")
        self.log_button.observe(lambda change: self.pump.post(("log", change["new"])), "value")
        self.compare_button = widgets.ToggleButton(
            value=False,
            description="Compare",
            icon="balance-scale",
            tooltip="Which recipe is better? Tuned rates, paired seeds, an interval",
            layout=widgets.Layout(width="104px"),
        )
        self.compare_button.add_class("lab-compare")
        self.compare_button.observe(lambda change: self.comparing.show(visible=change["new"]), "value")
        buttons = [self.train_button, self.pause_button, self.stop_button, self.clear_button]
        row = [*buttons, self.log_button, self.compare_button]
        return self._row("lab-toolbar", row)

    def _progress_row(self) -> widgets.Widget:
        self.progress = widgets.FloatProgress(
            min=0, max=1, layout=widgets.Layout(width="352px"), tooltip="share of the run that is done"
        )
        self.status, self.detail = widgets.HTML(), widgets.HTML()
        self.status.add_class("lab-speaks")
        return self._row("lab-progress", [self.progress, self.status, self.detail])

    def _row(self, css: str, children: Sequence[widgets.Widget]) -> widgets.HBox:
        row = widgets.HBox(children, layout=wide())
        row.add_class(css)
        return row

    def _button(self, name: str, icon: str, hint: str, action: Any) -> widgets.Button:
        button = widgets.Button(description=name, icon=icon, tooltip=hint, layout=widgets.Layout(width="84px"))
        button.add_class(f"lab-{name.lower()}")
        button.on_click(lambda _: self._guarded(action))
        return button

    def _guarded(self, action: Any) -> None:
        """A button's error is shown in the panel: printed in a callback it would show nowhere."""
        try:
            action()
        except Exception as error:  # noqa: BLE001  # shown in words, whatever it is
            self.message.value = message(in_words(error))

    def _take_away(self) -> widgets.Widget:
        hints = [hint for _, hint in TAKE_AWAY.values()]
        self.format = widgets.ToggleButtons(options=list(TAKE_AWAY), tooltips=hints, style={"button_width": "92px"})
        self.copy_button = self._button("Copy", "copy", "Copy to the clipboard", lambda: None)  # the helper copies
        self.text = widgets.Textarea(layout=widgets.Layout(width="100%", height="190px"), disabled=True)
        self.text.add_class("lab-code")
        self.format.add_class("lab-format")
        self.format.observe(lambda _: self._changed(), "value")
        heading = widgets.HTML('<div class="lab-heading" role="heading" aria-level="3">Take this recipe with you</div>')
        return widgets.VBox(
            [heading, self._row("lab-formats", [self.format, self.copy_button]), self.text], layout=wide()
        )

    # -- the recipe -----------------------------------------------------------------------------------------

    @property
    def recipe(self) -> Recipe:
        """The recipe that the controls show. Raises RecipeError when they show none that is valid."""
        return Recipe(**{field: control.value for field, control in self.controls.items()})

    @recipe.setter
    def recipe(self, recipe: Recipe) -> None:
        self._setting = True
        for field, control in self.controls.items():
            control.value = getattr(recipe, field)
        self._setting = False
        self._changed()

    def _changed(self) -> None:
        """A control changed: say at once whether the recipe is valid, and show it in the chosen format."""
        if self._setting or not hasattr(self, "text"):
            return
        self.helper.titles = gathered(self.controls.values())
        text, fault = "", ""
        try:
            text = TAKE_AWAY[str(self.format.value)][0](self.recipe)
        except Exception as error:  # noqa: BLE001  # shown in words, whatever it is
            fault = in_words(error)
        self.text.value, self.invalid.value = text, message(fault)
        self.copy_button.disabled = not text

    def _options_changed(self) -> None:
        self.pump.post(("options", None))

    # -- training -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Train the recipe shown; while another one trains, it waits its turn."""
        job = Job(self.recipe, self.pump.post, self.folder, self.device)
        self.pump.post(("queue", job))
        self._work_on(job)

    def _work_on(self, job: Job | ComparisonJob) -> None:
        self.jobs.append(job)
        self.pump.post(("show", None))
        submit(job.work)

    def _recipes(self) -> list[Recipe]:
        return [entry.run.recipe for entry in self.entries]

    def stop(self) -> None:
        """Stop after the current step, and take waiting runs off the queue."""
        for job in self._unfinished():
            job.stop()

    def pause(self) -> None:
        """Hold training where it is."""
        for job in self._unfinished():
            job.going.clear()
        self.pump.post(("show", None))

    def go_on(self) -> None:
        """Go on after a pause."""
        for job in self._unfinished():
            job.going.set()
        self.pump.post(("show", None))

    def _pause_or_go_on(self) -> None:
        paused = any(not job.going.is_set() for job in self._unfinished())
        if paused:
            self.go_on()
        else:
            self.pause()

    def _unfinished(self) -> list[Job | ComparisonJob]:
        return [job for job in self.jobs if not job.done.is_set()]

    @property
    def runs(self) -> list[Run]:
        """All runs on the screen; a run that goes on has the history so far."""
        return [entry.run for entry in self.entries]

    def wait(self) -> list[Run]:
        """Block until every run has ended, updating the panel meanwhile; for cells and headless use.

        Raises:
            RunError: one of the runs that were waited for failed, with its words.
        """
        awaited = self._unfinished()
        while not all(job.told.is_set() for job in self.jobs):
            self.pump.drain()
            time.sleep(self.pump.period)
        self.pump.drain()
        for job in awaited or self.jobs[-1:]:
            if job.run is not None and job.run.status == "failed":
                raise RunError(job.run.detail)
        return self.runs

    def clear(self) -> None:
        """Take ended runs off the screen; their folders stay."""
        self.pump.post(("clear", None))

    def close(self) -> None:
        """Stop training and close every widget; a re-run cell does this to the panel it replaces."""
        self.stop()
        for catalogue in CATALOGUES.values():
            if self._options_changed in catalogue.listeners:
                catalogue.listeners.remove(self._options_changed)
        self.pump.close()
        close(self.ui)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.ui._repr_mimebundle_(**kwargs)

    # -- what is shown; only the pump calls these ------------------------------------------------------------

    def _flush(self, items: list[Any]) -> None:
        moved: set[int] = set()
        for sender, content in items:
            if isinstance(sender, Job):
                moved |= {self._hear(entry, content) for entry in self.entries if entry.job is sender}
            else:
                getattr(self, f"_on_{sender}")(content)
        for entry in self.entries:
            if entry.number in moved:
                self.curves.update(entry.number, entry.run.history, entry.steps_per_epoch)
        if moved:
            self.curves.fit_loss(self.runs)
        self._on_show()

    def _hear(self, entry: Entry, event: Any) -> int:
        """Take in what a job says; the number of the run that has moved."""
        if isinstance(event, Started):
            entry.run.status, entry.steps, entry.steps_per_epoch = "running", event.steps, event.steps_per_epoch
        elif isinstance(event, Finished):
            entry.run = entry.job.run or replace(entry.run, status=event.status, detail=event.detail)
            if event.detail:
                self.message.value = message(f"Run {entry.number}: {event.detail}")
        else:
            entry.run.history.add(event)
            entry.run.step, entry.run.seconds = len(entry.run.history.loss), event.seconds
        return entry.number

    def _on_queue(self, job: Job) -> None:
        entry = Entry(self.entries[-1].number + 1 if self.entries else 1, job)
        self.entries.append(entry)
        self.message.value = ""
        names = run_names(self._numbered())
        self.curves.add(entry.number, names[entry.number])
        self.curves.rename(names)

    def _numbered(self) -> dict[int, Run]:
        return {entry.number: entry.run for entry in self.entries}

    def _on_options(self, _: None) -> None:
        for control in self.controls.values():
            if isinstance(control, OneChoice | ManyChoices):
                control.refresh()

    def _on_theme(self, dark: bool) -> None:
        self.curves.set_theme(dark=dark)
        self.comparing.set_theme(dark=dark)

    def _on_width(self, pixels: int) -> None:
        self.curves.set_width(pixels)
        self.comparing.set_width(pixels)

    def _on_comparison(self, news: Any) -> None:
        self.comparing.hear(news)

    def _on_log(self, log: bool) -> None:
        self.curves.set_log_loss(log=log)
        self.curves.fit_loss(self.runs)

    def _on_clear(self, _: None) -> None:
        self.jobs = self._unfinished()
        self.entries = [entry for entry in self.entries if entry.job in self.jobs]
        self.message.value = ""
        self.comparing.clear()
        self.curves.keep({entry.number for entry in self.entries})
        self.curves.rename(run_names(self._numbered()))

    def _on_show(self, _: None = None) -> None:
        going = [entry for entry in self.entries if not entry.job.done.is_set()]
        current = next((entry for entry in going if entry.run.status == "running"), None)
        shown = current or next(iter(going or self.entries[-1:]), None)
        unfinished = self._unfinished()
        paused = any(not job.going.is_set() for job in unfinished)
        self.pause_button.disabled = self.stop_button.disabled = not unfinished
        self.comparing.refresh_button()
        self.clear_button.disabled = len(going) == len(self.entries) and self.comparing.empty
        self.pause_button.description, self.pause_button.icon = ("Go on", "play") if paused else ("Pause", "pause")
        state = "idle" if shown is None else shown.run.status
        state = "paused" if paused else "comparing" if self.comparing.busy and current is None else state
        self.status.value = status_line(state, shown.number if shown else None)
        if state != "running" or self._due():
            self.table.value = runs_table(self._numbered())
            self._show_progress(shown, going=current is not None)

    def _due(self) -> bool:
        """Twice a second is enough for numbers that a person reads."""
        now = time.monotonic()
        if now - self._numbers_shown < NUMBERS_SECONDS:
            return False
        self._numbers_shown = now
        return True

    def _show_progress(self, entry: Entry | None, *, going: bool) -> None:
        if entry is None or not entry.steps:
            self.progress.value, self.detail.value = 0.0, ""
            return
        share = entry.run.step / entry.steps
        left = entry.run.seconds * (1 / share - 1) if going and share > 0 else None
        self.progress.value = share
        self.detail.value = detail(entry.run.step, entry.steps, left)


def warm_up(recipe: Recipe) -> None:
    """Read the data before the first click, so that the first point comes at once."""
    if recipe.data.name != "folder":  # which may be large, and is read anew for every run
        with contextlib.suppress(ValueError):  # shown when the person presses Train
            load(recipe.data, recipe.modify)
