"""What plain widgets cannot do in JupyterLab: follow the theme, keep keys to themselves, name sliders, copy."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

HERE = Path(__file__).parent


class Helper(anywidget.AnyWidget):
    """An invisible widget inside the panel.

    dark: whether JupyterLab's theme is dark.
    titles: CSS class of a control -> its tooltip.
    width: of a column of results beside the controls, in pixels; 0 while nothing is shown.
    webgl: whether the browser can draw in 3-D.
    clicked: where on a grid of samples, as fractions of its width and height, and a count that makes each click new.
    Clicks on the Copy button are its own affair.
    """

    _esm = (HERE / "helper.js").read_text(encoding="utf-8")
    _css = (HERE / "panel.css").read_text(encoding="utf-8")
    dark = traitlets.Bool(default_value=False).tag(sync=True)
    titles = traitlets.Dict().tag(sync=True)
    webgl = traitlets.Bool(default_value=True).tag(sync=True)
    clicked = traitlets.List().tag(sync=True)
    width = traitlets.Int(default_value=0).tag(sync=True)
