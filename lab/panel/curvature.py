"""Numbers of the landscapes in the panel: how sharp the loss is where each run stands, each number with its error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import NamedTuple

import ipywidgets as widgets

from lab.landscape.samples import samples_of
from lab.landscape.scenes import share
from lab.landscape.stability import SAMPLES
from lab.landscape_numbers import EDGE, Number, heights_between, measuring_edge, measuring_numbers, place_words
from lab.panel.controls import wide
from lab.panel.slices import Slices
from lab.panel.surveyor import Surveyor
from lab.panel.toolbar import Look, button
from lab.panel.words import line_sample, message
from lab.panel.worker import Post, in_short

MEASURE = Look("Measure", "calculator", "Curvature and sharpness where each run stands, and how near the edge")
CEASE = Look("Cease", "times", "Measure no further; what was found stays")
UNITS = "Eigenvalues and trace: nats per squared distance of weights. Sharpness: nats within a tenth of the weights."
ERRORS = "± is the standard error; of an eigenvalue, together with its residual."


class Column(NamedTuple):
    """What was measured of a run. number: on the screen. where: at which step, on which images."""

    number: int
    name: str
    step: int
    where: str
    numbers: tuple[Number, ...]


class Measured(NamedTuple):
    """Numbers so far; done: no more come. between: a sentence on two runs. fault: why it went no further."""

    columns: dict[int, Column]
    done: bool = False
    between: str = ""
    fault: str = ""


class Numbers:
    """A button and a table.

    Args:
        names: gives the runs on the screen, by the job's number: their own number and name.
        post: reaches the pump, which hands `("landscape", Measured)` to `hear`.
    """

    def __init__(self, surveyor: Surveyor, names: Callable[[], Mapping[int, tuple[int, str]]], post: Post) -> None:
        self.surveyor, self.names, self.post = surveyor, names, post
        self.measured = Measured({}, done=True)
        self.slices = Slices("landscape numbers", self._broke)
        self.button = button("landscape-measure", MEASURE, self._press)
        self.table = widgets.HTML(layout=wide())

    def _press(self) -> None:
        if self.measured.done:
            names = dict(self.names())
            self.measured = Measured({})
            self.slices.begin(lambda: self._measure(names))
        else:
            self.cancel()
        self.draw()

    def cancel(self) -> None:
        """Measure no further."""
        self.slices.cancel()
        self.measured = self.measured._replace(done=True)

    # -- in the worker thread --------------------------------------------------------------------------------------

    def _measure(self, names: Mapping[int, tuple[int, str]]) -> Iterator[object]:
        closer = self.surveyor.closer({job: name for job, (_, name) in names.items()})
        lens, columns = closer.live.question.lens, dict[int, Column]()
        for job, run in closer.followed.items():
            standing = closer.live.runs[job]
            columns[job] = Column(*names[job], standing.newest.step, place_words(run, standing.newest.step), ())
            training = samples_of(standing, split="training", count=SAMPLES)
            for work in (measuring_numbers(run, seed=lens.seed), measuring_edge(run, standing.edge, training)):
                for number in work:
                    yield
                    if number:
                        columns[job] = columns[job]._replace(numbers=(*columns[job].numbers, number))
                        self.post(("landscape", Measured(dict(columns))))
        yield
        between = " ".join(number.sentence for number in heights_between(list(closer.followed.values())))
        self.post(("landscape", Measured(columns, done=True, between=between)))

    def _broke(self, error: Exception) -> None:
        self.post(("landscape", Measured({}, done=True, fault=in_short(error, None))))

    # -- what is shown; only the pump calls these ------------------------------------------------------------------

    def hear(self, news: Measured) -> None:
        """Take in what was found, unless nobody waits for it any more."""
        if not self.measured.done:
            self.measured = news
            self.draw()

    def draw(self) -> None:
        done, names = self.measured.done, self.names()
        look = MEASURE if done else CEASE
        self.button.description, self.button.icon, self.button.tooltip = look.text, look.icon, look.hint
        self.button.disabled = done and not names
        shown = [column for job, column in self.measured.columns.items() if job in names]
        self.table.value = message(self.measured.fault) if self.measured.fault else in_table(shown, self.measured)

    @property
    def of_runs(self) -> dict[int, tuple[Number, ...]]:
        """By the job's number, each with what it is of: the run may have gone on."""
        return {
            job: tuple(replace(number, at=column.where) for number in column.numbers)
            for job, column in self.measured.columns.items()
        }


def in_table(columns: Sequence[Column], measured: Measured) -> str:
    """A row for each number, a column for each run; nothing before there is something to show."""
    if not columns:
        return "" if measured.done else '<div class="lab-detail">Measuring ...</div>'
    names = [number.name for number in max((column.numbers for column in columns), key=len)]
    head = "".join(heading(column) for column in columns)
    rows = "".join(table_row(name, columns) for name in names)
    missing = dict.fromkeys(f"No {each.name}: {each.why}" for one in columns for each in one.numbers if each.why)
    notes = " ".join(
        filter(None, ["" if measured.done else "Measuring ...", measured.between, *missing, UNITS, ERRORS])
    )
    return (
        f'<div class="lab-numbers"><table class="lab-runs"><thead><tr><td></td>{head}</tr></thead>'
        f'<tbody>{rows}</tbody></table></div><div class="lab-detail lab-small">{escape(notes)}</div>'
    )


def heading(column: Column) -> str:
    where = f'<div class="lab-where">{escape(column.where)}</div>'
    return f'<th scope="col" class="number">{line_sample(column.number - 1)} {escape(column.name)}{where}</th>'


def table_row(name: str, columns: Sequence[Column]) -> str:
    found = [next((number for number in column.numbers if number.name == name), None) for column in columns]
    return f'<tr><th scope="row">{escape(name)}</th>{"".join(map(cell, found))}</tr>'


def cell(number: Number | None) -> str:
    """With a bar up to the edge of stability where the number is a share of it."""
    if number is None:
        return '<td class="number">…</td>'
    title = escape(number.why or f"{number.kind}, as ±", quote=True)
    where = f'<div class="lab-where">{escape(number.where)}</div>' if number.where else ""
    bar = gauge(number.value) if number.name == EDGE and number.value is not None else ""
    return f'<td class="number" title="{title}">{escape(number.text).replace(" ", "&nbsp;")}{bar}{where}</td>'


def gauge(part: float) -> str:
    """Full at the edge, and in another colour beyond it."""
    beyond = " data-beyond" if part > 1 else ""
    filled = min(1.0, max(0.0, part))
    words = f"{share(part)} of the edge of stability"
    return (
        f'<div class="lab-gauge"{beyond} role="img" aria-label="{words}"><div style="width:{filled:.1%}"></div></div>'
    )
