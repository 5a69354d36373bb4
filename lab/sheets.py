"""Tiles with captions on one sheet: pictures of images, for a screen or a file. No training, no widgets."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

PAPER = {False: (255, 255, 255), True: (17, 17, 17)}  # JupyterLab's own, light and dark
INK = {False: (34, 34, 34), True: (226, 226, 226)}
FRAME = (128, 128, 128)  # a black image has an edge on black paper too
SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {"RGB": 2, "RGBA": 6}
UP = 2  # the filter that takes the row above away
GAP, LINE, SIZE, TITLE = 8, 16, 12, 24  # pixels: between tiles, a line of a caption, its letters, a title
SMALLEST = 48  # pixels that a tile should have at least: below, no caption fits


def columns_for(count: int) -> int:
    """So many beside each other that the sheet is about as wide as high."""
    return max(1, round(count**0.5 + 0.49))


def sheet(
    tiles: Tensor, captions: Sequence[str], *, columns: int, width: int, lines: int = 1, dark: bool = False
) -> Image.Image:
    """Images in rows, a caption under each, every pixel of theirs a square of pixels here (or less than one).

    Args:
        tiles: (n, c, h, w) from 0 to 1; one or two channels are shown as grey, of more than three the first three.
        width: pixels that the sheet should not exceed; it does where a tile would be too small for its caption.
        lines: of a caption for which there is room in any case.
    """
    drawn = scaled(tiles, (width + GAP) // columns - GAP - 2)
    count, high, wide = drawn.shape[:3]
    written = [lines_of(caption, wide + 2) for caption in captions]
    cell = high + 2 + LINE * max(lines, *map(len, written)) + GAP
    rows = -(-count // columns)
    paper = np.full((rows * cell, columns * (wide + 2 + GAP) - GAP, 3), PAPER[dark], np.uint8)
    for place, tile in enumerate(drawn):
        top, left = place // columns * cell, place % columns * (wide + 2 + GAP)
        paper[top : top + high + 2, left : left + wide + 2] = FRAME
        paper[top + 1 : top + 1 + high, left + 1 : left + 1 + wide] = tile
    for place, said in enumerate(written):
        top, left = place // columns * cell + high + 2, place % columns * (wide + 2 + GAP)
        for number, line in enumerate(said):
            write(paper[top + LINE * number :, left : left + wide + 2], line, dark=dark)
    return Image.fromarray(paper)


def scaled(tiles: Tensor, room: int) -> np.ndarray:
    """(n, c, h, w) from 0 to 1 -> (n, h', w', 3) uint8, enlarged by a whole number or made smaller to fit the room."""
    room, (count, _, height, width) = max(room, SMALLEST), tiles.shape
    values = tiles[:, :3] if tiles.shape[1] >= 3 else tiles[:, :1].expand(-1, 3, -1, -1)
    pixels = (values * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    if width > room:  # means of boxes, of all tiles as one column: no box reaches into the next tile
        high = max(1, round(height * room / width))
        column = Image.fromarray(pixels.reshape(count * height, width, 3))
        return np.asarray(column.resize((room, count * high), Image.Resampling.BOX)).reshape(count, high, room, 3)
    factor = room // width
    return pixels.repeat(factor, 1).repeat(factor, 2) if factor > 1 else pixels


def write(paper: np.ndarray, line: str, *, dark: bool) -> None:
    """Into the middle of the paper's first rows."""
    letters = written_once(line)[:, : paper.shape[1]]
    left = (paper.shape[1] - letters.shape[1]) // 2
    paper[: len(letters), left : left + letters.shape[1]] = (
        letters * np.array(INK[dark]) + (1 - letters) * np.array(PAPER[dark])
    ).round()


@lru_cache(maxsize=4096)
def written_once(line: str) -> np.ndarray:
    """(LINE, w, 1) how much ink there is on each pixel: the same few names stand under many tiles."""
    picture = Image.new("L", (ceil(font_of(line).getlength(line)), LINE))
    ImageDraw.Draw(picture).text((0, 0), line, fill=255, font=font_of(line))
    return np.asarray(picture, np.float32)[..., None] / 255


@lru_cache(maxsize=4096)
def lines_of(caption: str, width: int) -> tuple[str, ...]:
    """A caption in the lines that it asks for; one that is too long breaks at its commas, and is cut in the end."""
    found: list[str] = []
    for line in caption.split("\n"):
        too_long = font_of(line).getlength(line) > width
        found += line.replace(", ", ",\n").split("\n") if too_long else [line]
    return tuple(cut(line, width) for line in found)


def cut(line: str, width: int) -> str:
    font, whole = font_of(line), line
    while line and font.getlength(line if line == whole else f"{line}..") > width:
        line = line[:-1]
    return line if line == whole else f"{line}.."


def font_of(text: str, size: int = SIZE) -> Any:
    """Pillow's own, which every machine has; for letters that it lacks, a common one if that is installed."""
    return font(size, latin=text.isascii())


@lru_cache
def font(size: int, *, latin: bool) -> Any:
    if not latin:
        try:
            return ImageFont.truetype("DejaVuSans.ttf", size - 1)
        except OSError:
            pass
    return ImageFont.load_default(size)


def beside(pictures: Sequence[Image.Image], titles: Sequence[str], *, dark: bool = False) -> Image.Image:
    """Several sheets side by side, each under its title."""
    widths = [picture.width for picture in pictures]
    size = sum(widths) + 2 * GAP * (len(widths) + 1), max(picture.height for picture in pictures) + TITLE + 3 * GAP
    whole = Image.new("RGB", size, PAPER[dark])
    pen, left = ImageDraw.Draw(whole), 2 * GAP
    for picture, title in zip(pictures, titles, strict=True):
        line = cut(title, picture.width)
        pen.text((left, 2 * GAP), line, fill=INK[dark], font=font_of(line))
        whole.paste(picture, (left, TITLE + 2 * GAP))
        left += picture.width + 2 * GAP
    return whole


def stacked(pictures: Sequence[Image.Image]) -> Image.Image:
    """One below the other, on the paper that the first one ends with."""
    first = pictures[0]
    size = max(picture.width for picture in pictures), sum(picture.height for picture in pictures)
    whole, top = Image.new("RGB", size, first.getpixel((first.width - 1, first.height - 1))), 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    return whole


def png(picture: Image.Image) -> bytes:
    """Packed in a hurry, as a person waits for it: in half of Pillow's time, which tries five filters on every row.

    Each row is the difference from the one above: enlarged pixels leave runs of zeros.

    Source: ISO/IEC 15948 (PNG, third edition), sections 5, 9.2 and 11.2.
    """
    colours = picture.convert("RGBA" if "A" in picture.mode else "RGB")
    rows = np.asarray(colours).reshape(picture.height, -1)
    filtered = np.full((len(rows), 1 + rows.shape[1]), UP, np.uint8)
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    packer = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    packed = packer.compress(filtered.tobytes()) + packer.flush()
    header = struct.pack(">2I5B", *picture.size, 8, COLOUR_TYPES[colours.mode], 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def as_source(picture: np.ndarray) -> str:
    """uint8 (h, w, 3 or 4) as a page has it in place of a file's address."""
    return "data:image/png;base64," + base64.b64encode(png(Image.fromarray(picture))).decode()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
