"""A FigureWidget that survives a page reload, ships plotly.js once per page, and never outruns the browser.

Plotly's own widget carries the 5 MB library in every figure and hands a new view (a reload, a second
view) the figure as it was when it was made. Here all figures share one invisible carrier of the library,
the state that a new view asks for is the present one, and the browser tells when it has drawn a change:
one that is sent a picture before it has drawn the last is soon half a minute behind, clicks and all.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import plotly
import plotly.graph_objects as go
import traitlets
from plotly.serializers import custom_serializers

LIBRARY = Path(plotly.__file__).parent / "package_data" / "widgetbundle.js"
PATIENCE = 30.0  # seconds without a word, after which a browser is taken to have gone
TOO_MANY = ["zoom2d", "pan2d", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"]  # a mouse does all that
UPLOADS = "sendChartToCloud"  # nothing here goes to other hosts
MEANWHILE = "This picture is being drawn."


class Library(ipywidgets.Widget):
    """Invisible carrier of plotly.js: a core widget model with state and no view."""

    _model_name = traitlets.Unicode("WidgetModel").tag(sync=True)
    _model_module = traitlets.Unicode("@jupyter-widgets/base").tag(sync=True)
    _model_module_version = traitlets.Unicode("2.0.0").tag(sync=True)
    source = traitlets.Unicode().tag(sync=True)


_shared: Library | None = None


def shared_library() -> Library:
    global _shared  # one per kernel is the point
    if _shared is None or _shared.comm is None:
        _shared = Library(source=LIBRARY.read_text(encoding="utf-8"))
    return _shared


class LiveFigure(go.FigureWidget):
    """`plotly.graph_objects.FigureWidget` for long-lived figures that change often.

    _meanwhile: words in its place until it is there. _sent: odd while a change is on its way, even when all of it is.
    _drawn: up to which the browser has drawn; below 0 before it has drawn anything. _took: seconds that this took it.
    """

    _esm = (Path(__file__).parent / "live_figure.js").read_text(encoding="utf-8")
    # The browser tells the kernel its whole traces after each redraw: echoed back, they were half of all traffic.
    _js2py_traceDeltas = traitlets.Dict(allow_none=True).tag(sync=True, echo_update=False, **custom_serializers)  # noqa: N815
    _js2py_layoutDelta = traitlets.Dict(allow_none=True).tag(sync=True, echo_update=False, **custom_serializers)  # noqa: N815
    _library = traitlets.Instance(ipywidgets.Widget).tag(sync=True, **ipywidgets.widget_serialization)
    _meanwhile = traitlets.Unicode(MEANWHILE).tag(sync=True)
    _sent = traitlets.Int(0).tag(sync=True)
    _drawn = traitlets.Int(-1).tag(sync=True, echo_update=False)
    _took = traitlets.Float(0.0).tag(sync=True, echo_update=False)
    _awaited_since = float("-inf")

    @traitlets.default("_library")
    def _default_library(self) -> Library:
        return shared_library()

    @property
    def ready(self) -> bool:
        """Whether the browser has drawn the last change and had a rest; without a browser there is none to wait for."""
        return self._drawn >= self._sent or time.monotonic() - self._awaited_since > PATIENCE

    @property
    def took(self) -> float:
        """Seconds in which the browser drew the last change that it has drawn, or all where nothing has changed yet."""
        return self._took

    @property
    def changed(self) -> bool:
        """Whether there was a change since it was made."""
        return self._sent > 0

    def expect(self) -> None:
        """There is a browser, which is going to draw what there is now."""
        self._awaited_since = time.monotonic()

    @contextlib.contextmanager
    def change(self) -> Generator[None]:
        """Like `batch_update`; until the browser has drawn it the figure is not `ready`."""
        self._sent += 1
        try:
            with self.batch_update():
                yield
        finally:
            self._sent += 1
        if self._drawn >= 0:
            self.expect()

    def when_drawn(self, tell: Callable[[], None]) -> None:
        """Have somebody told, in any thread, whenever the browser has drawn all that it was sent."""
        self.observe(lambda _: tell(), "_drawn")

    @traitlets.observe("_js2py_traceDeltas")
    def _handler_js2py_traceDeltas(self, change: Any) -> None:  # noqa: N802  # plotly's name
        """Hear that the browser has edited its traces, not what it takes for defaults.

        Plotly removes what it was told for a default from the figure: after a page was loaded again `x0` and `dx` were
        gone, and each point stood an epoch too early.
        """
        told = change["new"]
        super()._handler_js2py_traceDeltas({**change, "new": told and {**told, "trace_deltas": []}})

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:  # ipywidgets' signature
        if key is None and hasattr(self, "_waiting_edit_callbacks"):  # a new view asks for everything
            self._trait_values["_widget_data"] = deepcopy(self._data)
            self._trait_values["_widget_layout"] = deepcopy(self._layout_obj._props)
        return super().get_state(key, drop_defaults)


class Succession:
    """A place for one figure: that which was there is closed once the browser speaks of the one that replaced it.

    Of a figure that is closed before, the browser would still speak, and nobody hear.

    Args:
        tell: called, in any thread, when the browser has drawn what there was.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self.tell = tell
        self.frame = ipywidgets.VBox(layout=ipywidgets.Layout(width="100%"))
        self.figure: Any = None
        self._replaced: list[Any] = []

    @property
    def ready(self) -> bool:
        """Whether the browser has drawn the last picture, and had a rest."""
        return self.figure is None or self.figure.ready

    def put(self, figure: Any) -> None:
        """In the place of the one that is there."""
        old, self.figure = self.figure, figure
        figure.when_drawn(self.tell)
        self.frame.children = [figure]
        if old is not None:
            self._replaced.append(old)

    def let_go(self) -> None:
        """Close what was replaced, if the new one has been drawn."""
        if self.ready:
            self.close()

    def close(self) -> None:
        """Of figures that were replaced; the one that is shown goes with the frame."""
        for old in self._replaced:
            old.close()
        self._replaced.clear()


def leaves(layout: Mapping[str, Any], owner: str = "") -> dict[str, Any]:
    """What a layout sets, by its dotted path, lists as a whole; the template aside."""
    found: dict[str, Any] = {}
    for key, value in layout.items():
        if key != "template":
            path = f"{owner}{key}"
            found |= leaves(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return found


def changes(old: Any, new: Any) -> dict[str, Any]:
    """What a new layout sets otherwise than an old one: to go through all of it takes Plotly twenty times as long."""
    before = leaves(old.to_plotly_json())
    return {path: value for path, value in leaves(new.to_plotly_json()).items() if not same(before.get(path), value)}


def same(one: Any, other: Any) -> bool:
    """Also of lists and arrays."""
    return np.array_equal(np.asarray(one, dtype=object), np.asarray(other, dtype=object))


def large_figure(picture: go.Figure | None = None) -> Any:
    """A figure with those of plotly's buttons that nothing else does: all of them would cover titles."""
    figure: Any = LiveFigure(picture)
    figure._config = {**figure._config, "displaylogo": False, "modeBarButtonsToRemove": [*TOO_MANY, UPLOADS]}
    return figure


def small_figure(picture: go.Figure | None = None) -> Any:
    """A figure for a narrow place: without plotly's row of buttons, which would cover half of it."""
    figure: Any = LiveFigure(picture)
    figure._config = {**figure._config, "displayModeBar": False}
    return figure
