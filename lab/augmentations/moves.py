"""Mirror images and moves by whole pixels: exact, for integers too.

On a CPU what has to be done is looked up first, in numpy: a slice there costs a tenth of what it does as a tensor. On a
GPU looking would mean waiting, so every pixel is picked by its index. All ways give the same images.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lab.augmentations.sampling import Fill, at_hand

Whole = NDArray[np.int64]
# Values of a sample, from which on each is moved by itself (uint8, one thread). Shifts: copying its slice was 0.6 times
# as fast as gathering the rows of all at 32x32x3, 1.7 times at 96x96x3, 2.3 times at 224x224x3. Mirror images: one flip
# by torch takes a fifth of a numpy copy with negative steps at 32x32x3.
LARGE = 12_000
MIRRORS = {1: (-2,), 2: (-1,), 3: (-2, -1)}  # upside down, left to right, both: the axes that are turned round


def moved(images: Tensor, matrix: Tensor, fill: Fill) -> Tensor:
    """Mirrored and shifted by whole pixels, bit for bit.

    Args:
        images: (n, c, h, w) of any type.
        matrix: (n, 3, 3) as a Warp's, with 1 or -1 on the diagonal.
    """
    return moved_by_slices(images, matrix, fill) if at_hand(images) else picked(images, matrix, fill)


def picked(images: Tensor, matrix: Tensor, fill: Fill) -> Tensor:
    """Every pixel by its index: nothing is looked up on the way."""
    count, channels, height, width = images.shape
    rows, columns = (
        taken_from(matrix[:, 1, 1:], height),
        taken_from(matrix[:, 0, ::2], width),
    )
    inner = "edge" if fill == "zero" else fill
    taken = images[
        torch.arange(count, device=images.device)[:, None, None, None],
        torch.arange(channels, device=images.device)[:, None, None],
        folded(rows, height, inner)[:, None, :, None],
        folded(columns, width, inner)[:, None, None, :],
    ]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    return taken if fill != "zero" else torch.where(inside[:, None], taken, 0)


def taken_from(line: Tensor, size: int) -> Tensor:
    """(n, size) the index along one axis that each pixel of the new images is taken from, maybe outside.

    Args:
        line: (n, 2) sign and offset: what the matrix says about this axis.
    """
    place = torch.arange(size, device=line.device) - (size - 1) / 2
    return (line[:, :1] * place + line[:, 1:] + (size - 1) / 2).round().long()


def folded(index: Tensor, size: int, fill: Fill) -> Tensor:
    """Which of `size` pixels lies at an index outside of them: the nearest, or its mirror image (c b | a b c | b a)."""
    if fill == "edge" or size == 1:
        return index.clamp(0, size - 1)
    period = 2 * (size - 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index)


def moved_by_slices(images: Tensor, matrix: Tensor, fill: Fill) -> Tensor:
    known = matrix.numpy()
    signs, offsets = known.reshape(-1, 9)[:, 4::-4], known[:, 1::-1, 2]  # (n, 2): down, right
    images = mirrored(images, signs < 0)
    if not offsets.any():
        return images
    return shifted(images, reduced(np.rint(signs * offsets).astype(np.int64), images.shape[-2:], fill), fill)


def reduced(shift: Whole, frame: torch.Size, fill: Fill) -> Whole:
    """The smallest shifts (n, 2) that show the same: far outside all is alike, or comes again."""
    sizes = np.array(frame)
    if fill != "reflect":
        return shift.clip(-sizes, sizes)
    period = np.maximum(2 * sizes - 2, 1)
    return (shift + period // 2) % period - period // 2


def mirrored(images: Tensor, mirror: NDArray[np.bool_]) -> Tensor:
    """Samples on the CPU upside down and left to right, as `mirror` (n, 2) says; those of one way together."""
    if not mirror.any():
        return images
    at_once = images.shape[1:].numel() < LARGE
    out = copied(images) if at_once else images.clone(memory_format=torch.contiguous_format)
    old, new, ways = images.numpy(), out.numpy(), mirror @ (1, 2)
    for way in {*ways.tolist()} - {0}:
        chosen = np.flatnonzero(ways == way)
        if at_once:
            new[chosen] = torch.from_numpy(old[chosen]).flip(MIRRORS[way]).numpy()
        for sample in () if at_once else chosen.tolist():
            out[sample] = images[sample].flip(MIRRORS[way])
    return out


def copied(images: Tensor) -> Tensor:
    """By one thread: waking a second one takes longer than copying a batch of small images."""
    return torch.from_numpy(images.numpy().copy())


def shifted(images: Tensor, shift: Whole, fill: Fill) -> Tensor:
    """Samples on the CPU, each seen through a frame that lies `shift` (n, 2) pixels further down and right."""
    if not shift.any():
        return images
    by_slices = fill == "zero" and images[0].numel() >= LARGE
    return shifted_slices(images, shift) if by_slices else shifted_rows(images, shift, fill)


def shifted_slices(images: Tensor, shift: Whole) -> Tensor:
    """What old and new frame share, copied; black around it."""
    height, width = images.shape[-2:]
    out = torch.zeros_like(images, memory_format=torch.contiguous_format)
    old, new = images.numpy(), out.numpy()
    for sample, (down, right) in enumerate(shift.tolist()):
        to = new[sample, :, max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)]
        to[...] = old[sample, :, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)]
    return out


def shifted_rows(images: Tensor, shift: Whole, fill: Fill) -> Tensor:
    """All rows of all samples by one index: a row is `width` values that follow each other in the padded batch."""
    count, channels, height, width = images.shape
    reach = np.abs(shift).max(0)
    wide = padded(images, int(reach[0]), int(reach[1]), fill)
    rows, columns = wide.shape[-2:]
    corner = (shift + reach) @ [columns, 1]
    planes = np.arange(count * channels).reshape(count, channels, 1) * (rows * columns)
    start = planes + corner[:, None, None] + np.arange(height) * columns
    windows = wide.view(-1).as_strided((wide.numel() - width + 1, width), (1, 1))
    return windows.index_select(0, torch.from_numpy(start.reshape(-1))).view(images.shape)


def padded(images: Tensor, down: int, right: int, fill: Fill) -> Tensor:
    """(n, c, h, w) -> (n, c, h + 2 down, w + 2 right), of any type, however large the margin."""
    if fill == "zero":
        return functional.pad(images, [right, right, down, down]).contiguous()
    for axis, margin in ((2, down), (3, right)):
        index = folded(torch.arange(-margin, images.shape[axis] + margin), images.shape[axis], fill)
        images = images.index_select(axis, index)
    return images.contiguous()
