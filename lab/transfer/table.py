"""What is copied, frozen and trained, layer by layer, before training starts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lab.catalogue import Choice
from lab.depth import by_depth
from lab.transfer.freezing import thawing, trained_layers
from lab.transfer.matching import Copied, Match, own_shapes, report_on

HEADER = ("layer", "kind", "shape", "parameters", "starts as", "is trained")


class Row(NamedTuple):
    """A layer: where it stands, its class, its weight's shape, its parameters; in words how it starts and trains."""

    layer: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    start: str
    training: str


def rows(model: nn.Module, transfer: Choice, epochs: int, trunk: nn.Module) -> list[Row]:
    """A row for every layer that keeps tensors of its own, in the network's order.

    Args:
        model: as `lab.steps.build_model` gives it, before the first step; trunk: the recipe's model in it.
    """
    said = {match.name: match for match in report_on(model).layers}
    heads = {parameter: 1 for parameter in model.parameters() if parameter.requires_grad}
    from_epoch = heads | dict.fromkeys(trunk.parameters(), None) | first_epochs(trunk, transfer, epochs)
    return [
        Row(
            name,
            type(layer).__name__,
            next(iter(shapes.values())),
            sum(parameter.numel() for parameter in layer.parameters(recurse=False)),
            start_of(layer, said.get(name)),
            training_of(layer, from_epoch),
        )
        for name, layer in model.named_modules()
        if (shapes := own_shapes(layer))
    ]


def first_epochs(model: nn.Module, transfer: Choice, epochs: int) -> dict[nn.Parameter, int]:
    """From which epoch (1, 2, ...) a parameter is trained; those that never are do not occur."""
    layers = list(reversed(by_depth(model)))
    if transfer.name not in thawing:
        return {parameter: 1 for layer in layers for parameter in layer if parameter.requires_grad}
    trained = [trained_layers(transfer, epoch, epochs) for epoch in range(epochs)]
    starts = (
        (next((e for e, count in enumerate(trained) if count > above), None), layer)
        for above, layer in enumerate(layers)
    )
    return {parameter: start + 1 for start, layer in starts if start is not None for parameter in layer}


def start_of(layer: nn.Module, match: Match | None) -> str:
    """`copied`, or `own (another shape: 64 x 784 there)`."""
    if match is None:
        return "own"
    if match.is_copied:
        return f"{match.said}, statistics renewed" if getattr(layer, "has_new_statistics", False) else match.said
    key = next((key for key, shape in match.there.items() if shape != match.here[key]), None)
    return f"own ({match.said}: {shown(match.there[key])} there)" if key else f"own ({match.said})"


def training_of(layer: nn.Module, from_epoch: dict[nn.Parameter, int | None]) -> str:
    own = list(layer.parameters(recurse=False))
    starts = {from_epoch.get(parameter) for parameter in own}
    words = (
        "frozen"
        if starts <= {None}
        else "trained"
        if starts == {1}
        else f"trained from epoch {max(filter(None, starts))}"
    )
    kept = isinstance(layer, _BatchNorm) and getattr(layer, "keeps_statistics", False)
    return f"{words}, statistics kept" if kept and words != "frozen" else words


def shown(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "1"


def in_words(table: Sequence[Row], found: Copied) -> str:
    """`Transfer: 3 of 4 layers copied from run runs/a; 1,234 of 5,678 parameters are trained, 4,444 never.`"""
    total = sum(row.parameters for row in table)
    trained = sum(row.parameters for row in table if row.training.startswith("trained"))
    filled = [row for row in table if row.start.startswith("copied")]
    copied = f"{len(filled)} of {len(table)} layers copied from {found.origin}" if filled else "no layer copied"
    left = f"; {len(found.unused)} of its tensors have no place here" if found.unused else ""
    return f"Transfer: {copied}{left}; {trained:,} of {total:,} parameters are trained, {total - trained:,} never."


def as_lines(table: Sequence[Row]) -> list[str]:
    """The table for a terminal: columns as wide as they must be."""
    lines = [HEADER, *map(cells, table)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def as_html(table: Sequence[Row], style: str = "") -> str:
    """The table for a page; style: of each cell, where the page has none for it."""
    attribute = f' style="{style}"' if style else ""
    lines = [html_line("th", HEADER, attribute), *(html_line("td", cells(row), attribute) for row in table)]
    return f"<table>{''.join(lines)}</table>"


def html_line(kind: str, texts: Sequence[str], style: str) -> str:
    return f"<tr>{''.join(f'<{kind}{style}>{escape(text)}</{kind}>' for text in texts)}</tr>"


def cells(row: Row) -> tuple[str, ...]:
    """As words, in the order of `HEADER`."""
    return (row.layer, row.kind, shown(row.shape), f"{row.parameters:,}", row.start, row.training)
