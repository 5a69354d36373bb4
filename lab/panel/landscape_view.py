"""The picture of landscapes: drawn anew when runs, planes or scale change, else in place; cameras turn together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Hashable, Sequence
from typing import Any, Literal

import plotly.graph_objects as go

from lab.landscape.scenes import Scale, Scene
from lab.landscape_plots import (
    ABREAST,
    contour_data,
    contour_figure,
    line_data,
    lines_figure,
    places,
    surface_data,
    surface_figure,
)
from lab.panel.landscape_ahead import nothing_yet
from lab.panel.live_figure import Succession, changes, small_figure
from lab.plots import on_paper

FITS = 0.2  # of the range of what is seen: by so much a scale may be off before it is made anew
HEIGHTS = (300, 520)  # pixels of a row of pictures
MARGINS = {
    "solid": {"l": 0, "r": 0, "t": 30, "b": 0},
    "contour": {"l": 50, "r": 10, "t": 34, "b": 44},
    "line": {"l": 60, "r": 10, "t": 34, "b": 50},
}
WORN, WITH_PLANES = "the old one did not fit any more", "the planes are new"  # why a scale is made anew
Kind = Literal["solid", "contour", "line"]
MAKING = 4  # times as long as to draw surfaces again takes a browser to make them
LONGEST = {False: 1.0, True: 4.0}  # seconds that a browser may be held up while runs train, by whether it makes them
ROOMY, BAR = 350, 56  # pixels of a picture that has room for a bar of colours beside it, and of the bar below others
BELOW = {"orientation": "h", "x": 0.5, "xanchor": "center", "yref": "container", "y": 0, "yanchor": "bottom"}
BESIDE = {"orientation": "v", "x": 1.02, "xanchor": "left", "yref": "paper", "y": 0.5, "yanchor": "middle"}
LOOKS = {  # of the bar of colours: all that differs, as one figure may have it here and there
    "below": {**BELOW, "len": 0.7, "thickness": 10, "title_side": "bottom"},
    "beside": {**BESIDE, "len": 0.8, "thickness": 14, "title_side": "right"},
}
NARROWEST = 230  # pixels of a picture: three of half a panel would be all axes
FROM_AFAR = (1.2, 300)  # times as far at least, and pixels from which a picture of several is looked at from further


class LandscapeView:
    """Made when the first picture comes.

    Args:
        tell: called, in any thread, when the browser has drawn what there was.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self._place = Succession(tell)
        self.frame = self._place.frame
        self.scale: Scale | None = None
        self.rescaled = ""  # why the last picture has another scale than the one before; empty where it has not
        self._planes: Hashable = None
        self._drawn: Hashable = None
        self._kind: tuple[Kind, int, int, bool] | None = None  # of the figure: kind, scenes, traces, whether dark
        self._each = 0.0  # seconds that the browser takes to draw a surface in 3-D again; 0 while that is not known
        self._camera: Any = None  # as a person has turned it
        self._drawing = False

    @property
    def figure(self) -> Any:
        """None before the first picture."""
        return self._place.figure

    @property
    def ready(self) -> bool:
        """Whether the browser has drawn the last picture, and had a rest."""
        return self._place.ready

    def seconds(self, count: int) -> float:
        """Which the browser may need for so many surfaces in 3-D, by what one took the last time; 0: not known."""
        if self.ready:
            self._learn()
        return self._each * count * (MAKING if self._makes(count) else 1)

    def holds_up(self, count: int) -> bool:
        """Whether so many surfaces in 3-D, again and again, would leave a person waiting."""
        return self.seconds(count) > LONGEST[self._makes(count)]

    def _makes(self, count: int) -> bool:
        return self._kind is None or self._kind[:2] != ("solid", count)

    def _learn(self) -> None:
        """How long the browser takes for one surface."""
        if self._kind is not None and self._kind[0] == "solid" and self.figure.took > 0:
            self._each = self.figure.took / self._kind[1] / (1 if self.figure.changed else MAKING)

    def prepare(self, *, dark: bool, width: int) -> None:
        """A surface in 3-D that is not shown, so that a first one only has to be drawn. The pump calls this."""
        if self._kind is None or self._kind[3] != dark:
            scenes = [nothing_yet()]
            picture = picture_of(scenes, Scale.of(scenes), "solid", dark=dark, abreast=1)
            self._drawn = None  # what was seen before is in this figure no more
            self._redraw(picture, 1, "solid", dark=dark, width=width)

    def show(
        self,
        scenes: Sequence[Scene],
        planes: Hashable,
        *,
        kind: Kind,
        dark: bool,
        width: int | None,
        deciding: Sequence[Scene] = (),
    ) -> None:
        """Only the pump calls this.

        Args:
            planes: equal as long as these scenes are on the same planes: so long they keep their scale, while it fits.
            deciding: scenes that decide the scale, where they are others than those shown.
            kind: surfaces in 3-D or contours of planes, or curves along a line.
        """
        self._place.let_go()
        self._fit(deciding or scenes, planes)
        assert self.scale
        drawn = (planes, self.scale, kind, dark, width, tuple(scene.title for scene in scenes))
        if drawn == self._drawn:
            self._update(scenes, kind)
            return
        self._drawn = None  # a picture that breaks off is drawn anew
        picture = picture_of(scenes, self.scale, kind, dark=dark, abreast=abreast(width))
        self._redraw(picture, len(scenes), kind, dark=dark, width=width)
        self._drawn = drawn

    def forget(self) -> None:
        """Nothing is shown: the next picture is a first one."""
        self._planes = None

    def close(self) -> None:
        """Figures that were replaced."""
        self._place.close()

    def _fit(self, scenes: Sequence[Scene], planes: Hashable) -> None:
        now, same, before = Scale.of(scenes), planes == self._planes, self.scale
        kept = same and before is not None and fits(before, now)
        if not kept:
            self.rescaled = WORN if same else WITH_PLANES if self._planes is not None and now != before else ""
        self.scale, self._planes = before if kept else now, planes

    def _update(self, scenes: Sequence[Scene], kind: Kind) -> None:
        assert self.scale
        data = [part for scene in scenes for part in data_of(scene, self.scale, kind)]
        with self.figure.change():
            for trace, part in zip(self.figure.data, data, strict=True):
                trace.update(part)

    def _redraw(self, picture: go.Figure, count: int, kind: Kind, *, dark: bool, width: int | None) -> None:
        rows, columns = (1, 2) if kind == "line" else places(count, abreast(width))
        row = min(max((width or 900) // columns, HEIGHTS[0]), HEIGHTS[1])
        picture.update_layout(height=rows * row, font_size=11, margin=MARGINS[kind])
        if kind != "line":
            shown: Any = picture.layout
            roomy = (width or 900) // max(2, columns) >= ROOMY or shown.showlegend
            picture.update_layout(coloraxis_colorbar=LOOKS["beside" if roomy else "below"])
            if not roomy:
                picture.update_layout(height=rows * row + BAR, margin_b=MARGINS[kind]["b"] + BAR)
        if kind == "solid":
            picture.update_scenes(camera=self._camera or seen_from(picture, afar((width or 900) // columns, columns)))
        picture.update_layout(on_paper(dark=dark)).update_layout(width=width)
        traces: Any = picture.data
        form = (kind, count, len(traces), dark)
        if self._kind == form:
            self._renew(picture)
            return
        self._replace(picture, form)
        if width:  # somebody looks
            self.figure.expect()

    def _replace(self, picture: go.Figure, kind: tuple[Kind, int, int, bool]) -> None:
        """A new figure for another kind: in one that is shown, axes would keep old ranges, texts their colour."""
        self._place.put(small_figure(picture))
        self._kind = kind
        for name in self._spaces():
            self.figure.layout[name].on_change(self._turn, "camera")

    def _renew(self, picture: go.Figure) -> None:
        traces: Any = picture.data
        with self._own_turns(), self.figure.change():
            for path, value in changes(self.figure.layout, picture.layout).items():
                self.figure.layout[path] = value
            for trace, new in zip(self.figure.data, traces, strict=True):
                trace.update({key: value for key, value in new.to_plotly_json().items() if key not in ("type", "uid")})

    def _spaces(self) -> list[str]:
        return [
            name for name in self.figure.layout if name.startswith("scene") and self.figure.layout[name].camera.eye.x
        ]

    @contextlib.contextmanager
    def _own_turns(self) -> Generator[None]:
        """What turns meanwhile, no person has turned."""
        self._drawing = True
        try:
            yield
        finally:
            self._drawing = False

    def _turn(self, _: Any, camera: Any) -> None:
        """A person has turned one of them: so turn the others."""
        turned = camera.to_plotly_json()
        if self._drawing or turned == self._camera:
            return
        self._camera = turned
        with self.figure.batch_update():
            for name in self._spaces():
                self.figure.layout[name].camera = turned


def abreast(width: int | None) -> int:
    """How many pictures stand side by side at most in so many pixels."""
    return ABREAST if not width else min(ABREAST, max(1, width // NARROWEST))


def picture_of(scenes: Sequence[Scene], scale: Scale, kind: Kind, *, dark: bool, abreast: int) -> go.Figure:
    if kind == "line":
        return lines_figure(scenes, dark=dark)
    return (surface_figure if kind == "solid" else contour_figure)(scenes, scale, dark=dark, abreast=abreast)


def data_of(scene: Scene, scale: Scale, kind: Kind) -> list[dict[str, Any]]:
    """What the traces of a picture show now."""
    if kind == "line":
        return line_data(scene)
    return (surface_data if kind == "solid" else contour_data)(scene, scale)


def afar(pixels: int, columns: int) -> float:
    """How many times as far away a picture of so many pixels is seen, so that the names of its axes have room."""
    least, roomy = FROM_AFAR
    return max(least, roomy / pixels) if columns > 1 else 1.0


def seen_from(picture: go.Figure, times: float) -> dict[str, Any]:
    """A picture's own camera, so many times as far away."""
    layout: Any = picture.layout
    camera = layout.scene.camera.to_plotly_json()
    return {**camera, "eye": {axis: times * place for axis, place in camera["eye"].items()}}


def fits(scale: Scale, now: Scale) -> bool:
    """Whether what is seen now can still be seen well on a scale that was decided earlier."""
    (low, high), (bottom, top) = scale.range, now.range
    return scale.log == now.log and max(abs(low - bottom), abs(high - top)) <= FITS * (top - bottom)
