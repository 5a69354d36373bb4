"""The panel for JupyterLab; the only package of the lab that imports ipywidgets."""

from lab.panel.panel import Panel
from lab.panel.parts import everything_but

__all__ = ["Panel", "everything_but"]
