"""The panel for JupyterLab; the only package of the lab that imports ipywidgets."""

from lab.panel.panel import Panel

__all__ = ["Panel"]
