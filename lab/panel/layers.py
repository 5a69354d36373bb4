"""The table of layers as a section that unfolds: what a transfer copies, freezes and trains."""

from __future__ import annotations

from html import escape

from lab.layer_tables import LayerTable
from lab.transfer.table import as_html


def in_html(table: LayerTable) -> str:
    """One sentence; unfolded, a row for every layer."""
    sentence = escape(table.sentence)
    return f'<details class="lab-layers"><summary>{sentence}</summary>{as_html(table.rows)}</details>'
