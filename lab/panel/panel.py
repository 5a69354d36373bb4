"""The panel: choose, train, watch, take away."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ipywidgets as widgets

from lab.catalogue import RecipeError
from lab.panel.choices import Choices
from lab.panel.choosing import ChoosePane
from lab.panel.comparing import ComparePane
from lab.panel.controls import close, gathered, wide
from lab.panel.curves import Curves
from lab.panel.entries import Entry
from lab.panel.finding import FindingPane
from lab.panel.forecast import Forecast
from lab.panel.health import HealthView
from lab.panel.helper import Helper
from lab.panel.jobs import Jobs
from lab.panel.landscape import Landscapes
from lab.panel.layout import captioned, results, side_by_side
from lab.panel.locks import Locks, checked_seconds
from lab.panel.one_thread import keep_to_main_thread
from lab.panel.parts import SECTIONS, checked_parts
from lab.panel.predictions import PredictionsPane
from lab.panel.pump import Pump
from lab.panel.run_list import RunList
from lab.panel.samples import Samples
from lab.panel.standing import Standing
from lab.panel.start import Start
from lab.panel.take_away import TakeAway
from lab.panel.toolbar import Progress, Toolbar
from lab.panel.words import as_command, message
from lab.panel.worker import Job, Task, in_words, submit, take_turns, warm_up
from lab.presets import presets
from lab.recipe import CATALOGUES, Recipe, checked
from lab.runs import Run
from lab.store import RunError

CAPTION = "thin: training batches · thick, with marks: validation images, once an epoch"
NO_KERNEL = "The panel: run this cell where a kernel is, to train and see. Its choices as a command: "
_current: weakref.ref[Panel] | None = None


class Panel:
    """Controls for every choice, live curves, and the runs so far.

    Args:
        recipe: what the controls show first.
        folder: where runs are kept; None keeps them in memory only.
        device: "cpu", "cuda", ...; the best there is by default.
        lock: dotted choices that are set and cannot be changed, such as {"model": "cnn", "optimizer.lr": 0.1}.
        hide: what is not shown: fields ("augment"), settings ("optimizer.nesterov"), sections ("Transfer") and panes
            ("compare"); `everything_but` lists them all but some.
        seconds: of its own training time, after which a run is stopped.
    Raises:
        RecipeError: a choice or a part that does not exist, or seconds that are not greater than 0.
    Example:
        panel = Panel(); panel                 # in a notebook: shows it
        panel.recipe = panel.recipe.changed(optimizer="adam"); panel.start(); panel.wait()
    """

    def __init__(
        self,
        recipe: Recipe | None = None,
        *,
        folder: str | Path | None = "runs",
        device: str | None = None,
        lock: Mapping[str, Any] = MappingProxyType({}),
        hide: Iterable[str] = (),
        seconds: float | None = None,
    ) -> None:
        start = Recipe() if recipe is None else checked(recipe)
        locks, self.hidden, self.seconds = Locks(lock, start), checked_parts(hide), checked_seconds(seconds)
        global _current  # one panel per kernel: a re-run cell replaces the old one
        if _current is not None and (old := _current()) is not None:
            old.close()
        _current = weakref.ref(self)
        keep_to_main_thread()
        self.folder, self.device = Path(folder) if folder else None, device
        self.jobs, self.helper = Jobs(), Helper()
        self.pump = Pump(self._flush)
        self.watching = threading.Event()  # whether the layers' health is looked at
        where = self.pump.post, self.device
        self.choices = Choices(start, SECTIONS, self._changed, *where, locks=locks, hidden=self.hidden)
        self.controls = self.choices.controls
        self.list = RunList(self.helper, self._restore, lambda: self.pump.post(("listed", None)), self._guarded)
        self.start_from = Start(locks.fitting(presets()), self._restore)
        self._build()
        for catalogue in CATALOGUES.values():
            catalogue.listeners.append(self._options_changed)
        submit(lambda: warm_up(locks.recipe))

    def _build(self) -> None:
        self._build_parts()
        panes = {
            "curves": captioned(self.curves.figure, CAPTION),
            "health": self.health.widget,
            "runs": self.list.widget,
            "landscapes": self.landscapes.widget,
            "predictions": self.predictions.widget,
            "rates": self.finding.widget,
            "forecast": self.forecast.widget,
            "samples": self.samples.widget,
            "compare": self.comparing.widget,
            "choose": self.choosing.widget,
            "code": self.take_away.widget,
        }
        head = self.toolbar.widget, self.progress.widget, self.invalid, self.message
        if "start" not in self.hidden:
            self.choices.widget.children = (self.start_from.widget, *self.choices.widget.children)
        self.toolbar.hide(self.hidden)
        self.ui = side_by_side(self.choices.widget, results(head, panes, self.hidden), self.helper)
        self._show()
        self._changed()

    def _build_parts(self) -> None:
        self.toolbar, post = self._make_toolbar(), self.pump.post
        self.curves = Curves(lambda: post(("drawn", None)))
        self.take_away, self.progress = TakeAway(), Progress()
        self.forecast, self.health = Forecast(post, self.device), HealthView(lambda: post(("health", None)))
        self.finding = FindingPane(self.choices.use_rate, self._work_on, post, self.device)
        self.comparing = ComparePane(lambda: self.recipe, self._recipes, post, self._work_on, self.device)
        self.choosing = ChoosePane(post, self._work_on, self.device)
        self.samples, self.landscapes = Samples(self.comparing.arms, self.helper, post), Landscapes(self.helper, post)
        self.predictions = PredictionsPane(post, self.device, shown="predictions" not in self.hidden)
        tasks = {"comparing": self.comparing, "choosing": self.choosing, "finding": self.finding}
        self.standing = Standing(self.toolbar, self.progress, self.jobs, tasks)
        self.parts = self.choices, self.curves, self.health, self.forecast, self.samples, self.landscapes
        self.parts += (self.predictions, *tasks.values())
        self.hearers = self._make_hearers()
        for trait, kind in (("dark", "theme"), ("width", "width"), ("webgl", "webgl")):
            self.helper.observe(lambda change, kind=kind: self.pump.post((kind, change["new"])), trait)
        self.message, self.invalid = (widgets.HTML(layout=wide()) for _ in range(2))

    def _make_hearers(self) -> dict[str, Callable[[Any], None]]:
        """Of what is said to one part only."""
        return {
            "recipe": self.finding.compare,
            "comparison": self.comparing.hear,
            "choosing": self.choosing.hear,
            "rates": self.finding.hear,
            "forecast": self.forecast.hear,
            "samples": self.samples.hear,
            "landscape": self.landscapes.hear,
            "predictions": self.predictions.hear,
            "drawn": lambda _: self.landscapes.catch_up(),
            "webgl": lambda there: self.landscapes.set_webgl(there=there),
            "health": lambda _: self.health.draw(),
            "picture": self.choices.draw,
            "show": lambda _: None,  # all is shown at the end of a flush, when every new run is in the list
        }

    def _make_toolbar(self) -> Toolbar:
        actions: dict[str, Callable[[], None]] = {
            "train": self.start,
            "pause": self._pause_or_go_on,
            "stop": self.stop,
            "clear": self.clear,
            "find-rate": self.find_rate,
        }
        return Toolbar(
            {name: partial(self._guarded, action) for name, action in actions.items()},
            {
                "log": lambda on: self.pump.post(("log", on)),
                "health": lambda on: self.pump.post(("watch", on)),
                "compare": lambda on: self.comparing.show(visible=on),
                "choose": lambda on: self.choosing.show(visible=on),
            },
        )

    def _guarded(self, action: Any) -> None:
        """A button's error is shown in the panel: printed in a callback it would show nowhere."""
        try:
            action()
        except Exception as error:  # noqa: BLE001  # shown in words, whatever it is
            self.message.value = message(in_words(error))

    # -- the recipe -----------------------------------------------------------------------------------------

    @property
    def recipe(self) -> Recipe:
        """The recipe that the controls show; what has no effect is as it was given, or else a default.

        Raises:
            RecipeError: they show none that is valid.
        """
        return self.choices.recipe

    @recipe.setter
    def recipe(self, recipe: Recipe) -> None:
        self.choices.recipe = checked(recipe)

    def _restore(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def _changed(self) -> None:
        """A control changed: say at once whether the recipe is valid, and show what follows from it."""
        named = self.choices, self.start_from, self.list, self.samples, self.landscapes, self.predictions
        self.helper.titles = gathered(named)
        recipe, fault = None, ""
        try:
            self.start_from.show(recipe := self.recipe)
        except Exception as error:  # noqa: BLE001  # shown in words, whatever it is
            fault = in_words(error)
        self.invalid.value = message(fault)
        self.take_away.show(recipe)
        self.forecast.show(recipe)
        self.samples.show(recipe)
        self.pump.post(("recipe", recipe))

    def _options_changed(self) -> None:
        self.pump.post(("options", None))

    # -- training -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Train the recipe shown, in turns with up to three others; further ones wait until one of them has ended."""
        where, follow = (self.pump.post, self.folder, self.device), self.landscapes.surveyor.follow
        job = Job(self.recipe, *where, seconds=self.seconds, watching=self.watching, follow=follow)
        self.pump.post(("queue", job))
        self._work_on(job)

    def find_rate(self) -> None:
        """A learning-rate range test of the recipe shown; like a run it waits its turn, and can be stopped."""
        self.finding.start(self.recipe)

    def _work_on(self, job: Job | Task) -> None:
        self.jobs.take(job)
        self.pump.post(("show", None))
        if isinstance(job, Job):
            take_turns(job)
        else:
            submit(job.work)

    def _recipes(self) -> list[Recipe]:
        return [entry.run.recipe for entry in self.entries]

    def stop(self) -> None:
        """Stop after the current step, and take waiting runs off the queue."""
        self.jobs.stop()

    def pause(self) -> None:
        """Hold training where it is."""
        self.jobs.hold()
        self.pump.post(("show", None))

    def go_on(self) -> None:
        """Go on after a pause."""
        self.jobs.go_on()
        self.pump.post(("show", None))

    def _pause_or_go_on(self) -> None:
        (self.go_on if self.jobs.paused else self.pause)()

    @property
    def entries(self) -> list[Entry]:
        """What is shown of each run, in the order in which they were started."""
        return self.list.entries

    @property
    def runs(self) -> list[Run]:
        """All runs on the screen; a run that goes on has the history so far."""
        return [entry.run for entry in self.entries]

    def wait(self) -> list[Run]:
        """Block until every run has ended, updating the panel meanwhile; for cells and headless use.

        Raises:
            RunError: one of the runs that were waited for failed, with its words.
        """
        awaited = self.jobs.unfinished
        while not self.jobs.told:
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
        for part in (self.forecast, self.samples, self.landscapes, self.predictions, self.choices):
            part.close()
        self.pump.close()
        close(self.ui)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widgets; where there is no kernel, in words what they would do there."""
        shown: dict[str, Any] = self.ui._repr_mimebundle_(**kwargs)  # pyright: ignore[reportAssignmentType]
        with contextlib.suppress(RecipeError):  # of choices that do not go together
            shown = shown | {"text/plain": NO_KERNEL + as_command(self.recipe).strip()}
        return shown

    # -- what is shown; only the pump calls these ------------------------------------------------------------

    def _flush(self, items: list[Any]) -> None:
        """What goes wrong with one item is said; the others are shown all the same."""
        moved: set[int] = set()
        for sender, content in items:
            self._guarded(partial(self._take_in, sender, content, moved))
        self._guarded(partial(self.curves.draw, moved, self.entries))
        self._show()

    def _take_in(self, sender: Any, content: Any, moved: set[int]) -> None:
        if isinstance(sender, Job):
            moved |= {self._hear(entry, content) for entry in self.entries if entry.job is sender}
        else:
            hear = self.hearers.get(sender) or getattr(self, f"_on_{sender}")
            hear(content)

    def _hear(self, entry: Entry, event: Any) -> int:
        """Take in what a job says; the number of the run that has moved."""
        if said := entry.hear(event):
            self.message.value = message(said)
        return entry.number

    def _on_queue(self, job: Job) -> None:
        self.list.take(job)
        self.message.value = ""
        self._on_listed()

    def _on_listed(self, _: None = None) -> None:
        """Runs came or went: one line for each of them, named by what differs now."""
        self.list.show()
        self.curves.keep(self.list.names)

    def _on_options(self, _: None) -> None:
        self.choices.refresh()

    def _on_theme(self, dark: bool) -> None:
        for part in self.parts:
            part.set_theme(dark=dark)

    def _on_width(self, pixels: int) -> None:
        for part in self.parts[1:]:  # the controls keep theirs
            part.set_width(pixels)

    def _on_fault(self, words: str) -> None:
        self.message.value = message(words)

    def _on_watch(self, watch: bool) -> None:
        if watch:
            self.watching.set()
        else:
            self.watching.clear()
        self.health.set_visible(visible=watch)

    def _on_log(self, log: bool) -> None:
        self.curves.set_log_loss(log=log)

    def _on_clear(self, _: None) -> None:
        self.jobs.forget_ended()
        self.list.clear(self.jobs)
        self.message.value = ""
        self.comparing.clear()
        self._on_listed()

    def _show(self) -> None:
        self.comparing.refresh_button()
        self.choosing.refresh_button()
        jobs, deleted = {each.number: each.job for each in self.entries}, [each.entry.job for each in self.list.deleted]
        self.landscapes.show(jobs, self.list.names, deleted)
        self.predictions.show(self.entries, self.list.names)
        shown = self.standing.show(self.entries, clearable=not self.comparing.empty)
        if shown is not None:
            self.list.show()
        if shown:
            self.health.show(shown[0].health, shown[0].number)
