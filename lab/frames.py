"""Tables for people who go on with pandas, which is imported when the first of them is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def frame_of(rows: Sequence[dict[str, Any]], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per mapping; the columns are there without any row too."""
    import pandas as pd  # noqa: PLC0415  # slow to import, and most commands print no table

    return pd.DataFrame(rows, columns=None if columns is None else list(columns))
