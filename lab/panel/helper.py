"""What plain widgets cannot do in JupyterLab: follow the theme, keep keys to themselves, name sliders, copy."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

HERE = Path(__file__).parent


class Helper(anywidget.AnyWidget):
    """An invisible widget inside the panel.

    dark: whether JupyterLab's theme is dark.
    width: of the results beside the controls, in pixels; 0 while nothing is shown.
    On a message {"copy": text} it puts the text on the clipboard.
    """

    _esm = (HERE / "helper.js").read_text(encoding="utf-8")
    _css = (HERE / "panel.css").read_text(encoding="utf-8")
    dark = traitlets.Bool(default_value=False).tag(sync=True)
    width = traitlets.Int(default_value=0).tag(sync=True)
