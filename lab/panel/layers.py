"""The table of layers as a section that unfolds: what a transfer copies, freezes and trains."""

from __future__ import annotations

from html import escape

from lab.layer_tables import LayerTable
from lab.transfer.table import HEADER, cells


def in_html(table: LayerTable) -> str:
    """One sentence; unfolded, a row for every layer."""
    head = row("th", HEADER)
    body = "".join(row("td", cells(layer)) for layer in table.rows)
    sentence = escape(table.sentence)
    return f'<details class="lab-layers"><summary>{sentence}</summary><table>{head}{body}</table></details>'


def row(kind: str, texts: tuple[str, ...]) -> str:
    return f"<tr>{''.join(f'<{kind}>{escape(text)}</{kind}>' for text in texts)}</tr>"
