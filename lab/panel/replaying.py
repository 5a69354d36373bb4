"""A slider over the steps of training, and a player that moves it: the runs are shown as they were after that step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from lab.panel.toolbar import row

PLAYED = 40  # places from the first step to the last at which a player stops
MILLISECONDS = 300  # at each


class Replay:
    """At its end the slider stays there, however far the runs go on.

    Args:
        told: called when a person or the player has moved it, or the runs have become so short that it had to move.
    """

    def __init__(self, told: Callable[[], None]) -> None:
        self.told, self._own, self._plays = told, False, False
        self.slider: Any = widgets.IntSlider(1, 0, 1, description="replay", readout=False, layout={"width": "240px"})
        self.slider.style.description_width = "initial"
        self.player: Any = widgets.Play(
            value=PLAYED, min=0, max=PLAYED, interval=MILLISECONDS, show_repeat=False, layout={"width": "auto"}
        )
        self.said = widgets.HTML()
        self.slider.observe(lambda _: self._slid(), "value")
        self.player.observe(lambda change: self._played(change["new"]), "value")
        self.widget = row("lab-replay", [self.player, self.slider, self.said])
        self.slider.add_class("lab-landscape-replay")
        self._say()

    @property
    def step(self) -> int | None:
        """After which the runs are shown; None: as they are."""
        return None if self.slider.value == self.slider.max else int(self.slider.value)

    def extend(self, steps: int) -> None:
        """So many were trained, by the longest run; a slider in the browser cannot be of no length."""
        if (steps := max(1, steps)) != self.slider.max:
            self._lengthen(steps)
        if self.step is None:
            self.slider.send_state("value")  # a browser that was about to draw the slider may have missed it

    def _lengthen(self, steps: int) -> None:
        self._own, before, ended = True, self.step, self.step is None
        with self.slider.hold_sync():  # or the browser answers with a value within the old range
            self.slider.max = steps
            if ended:
                self.slider.value = steps
        self._follow()
        self._own = False
        if self.step != before:
            self.told()

    def rest(self, *, resting: bool) -> None:
        """Where there is nothing to replay it cannot be moved."""
        self.slider.disabled = self.player.disabled = resting

    def _slid(self) -> None:
        if not self._own:
            self._follow()
            self.told()

    def _follow(self) -> None:
        """The player goes on from where the slider stands."""
        if not self._plays:  # or it would be held back while it goes on in the browser
            own, self._own = self._own, True
            self.player.value = round(PLAYED * self.slider.value / max(1, self.slider.max))
            self._own = own
        self._say()

    def _played(self, place: int) -> None:
        if not self._own:
            self._plays = True
            self.slider.value = round(place * self.slider.max / PLAYED)
            self._plays = False

    def _say(self) -> None:
        self.said.value = f'<span class="lab-detail">step {self.slider.value:,} of {self.slider.max:,}</span>'
