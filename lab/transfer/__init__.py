"""Catalogues `sources` (which weights) and `transfers` (what is copied, frozen, trained).

A source gives `Weights`: tensors by name. A transfer puts them into the recipe's network, which its initialiser has
filled. What it freezes at once has no gradient from the start; one that thaws layers later says when in `thawing`.
"""

from __future__ import annotations

from lab.catalogue import Catalogue

sources = Catalogue("source", gives="weights by name")
transfers = Catalogue(
    "transfer",
    gives="a torch.nn.Module",
    aliases={"fine_tuning": "whole", "finetune": "whole", "lp_ft": "linear_probe_then_fine_tune"},
)

from lab.transfer import files, published, ways  # noqa: F401  # pyright: ignore[reportUnusedImport]  # they fill the catalogues
from lab.transfer.freezing import before_epoch, cached, freezes, settle, thawing, trained_layers
from lab.transfer.matching import Copied, Match
from lab.transfer.preprocessing import as_seen, preprocessing, preprocessing_of
from lab.transfer.published import fetch_weights
from lab.transfer.table import Row, rows
from lab.transfer.weights import SourceError, Weights

__all__ = [
    "Copied",
    "Match",
    "Row",
    "SourceError",
    "Weights",
    "as_seen",
    "before_epoch",
    "cached",
    "fetch_weights",
    "freezes",
    "preprocessing",
    "preprocessing_of",
    "rows",
    "settle",
    "sources",
    "thawing",
    "trained_layers",
    "transfers",
]
