"""A FigureWidget that survives a page reload and ships plotly.js once per page.

Plotly's own widget carries the 5 MB library in every figure and hands a new view (a reload, a second
view) the figure as it was when it was made. Here all figures share one invisible carrier of the library,
and the state that a new view asks for is the present one.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import ipywidgets
import plotly
import plotly.graph_objects as go
import traitlets
from plotly.serializers import custom_serializers

LIBRARY = Path(plotly.__file__).parent / "package_data" / "widgetbundle.js"
LOADER = """
async function load(model) {
  return globalThis.__labPlotlyLibrary ??= (async () => {
    const id = model.get('_library').slice('IPY_MODEL_'.length);
    const carrier = await model.widget_manager.get_model(id);
    const url = URL.createObjectURL(new Blob([carrier.get('source')], { type: 'text/javascript' }));
    try { return (await import(/* webpackIgnore: true */ url)).default } finally { URL.revokeObjectURL(url) }
  })();
}
// A function, not an object: each widget gets its own state.
export default () => {
  let widget;
  const get = async (model) => widget ??= await (async () => {
    const library = await load(model);
    return typeof library === 'function' ? await library() : library;
  })();
  return {
    async initialize(context) { return (await get(context.model)).initialize?.(context) },
    async render(context) { return (await get(context.model)).render(context) },
  };
};
"""


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
    """`plotly.graph_objects.FigureWidget` for long-lived, changing figures."""

    _esm = LOADER
    # The browser tells the kernel its whole traces after each redraw: echoed back, they were half of all traffic.
    _js2py_traceDeltas = traitlets.Dict(allow_none=True).tag(sync=True, echo_update=False, **custom_serializers)  # noqa: N815
    _js2py_layoutDelta = traitlets.Dict(allow_none=True).tag(sync=True, echo_update=False, **custom_serializers)  # noqa: N815
    _library = traitlets.Instance(ipywidgets.Widget).tag(sync=True, **ipywidgets.widget_serialization)

    @traitlets.default("_library")
    def _default_library(self) -> Library:
        return shared_library()

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:  # ipywidgets' signature
        if key is None and hasattr(self, "_waiting_edit_callbacks"):  # a new view asks for everything
            self._trait_values["_widget_data"] = deepcopy(self._data)
            self._trait_values["_widget_layout"] = deepcopy(self._layout_obj._props)
        return super().get_state(key, drop_defaults)


def small_figure(picture: go.Figure | None = None) -> Any:
    """A figure for a narrow place: without plotly's row of buttons, which would cover half of it."""
    figure: Any = LiveFigure(picture)
    figure._config = {**figure._config, "displayModeBar": False}
    return figure
