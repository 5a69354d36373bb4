"""Where pixels come from: moves by whole pixels, and bilinear samples from between them.

On a CPU what has to be done is looked up first: samples that stay are left out, moves are copies of slices. On a GPU
that would mean waiting for it, so every sample takes the same way there. All ways give the same images.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Fill = Literal["zero", "edge", "reflect"]
PADDING = {"zero": "zeros", "edge": "border", "reflect": "reflection"}  # as torch's grid_sample calls them
# Values of a sample. From here on copying each sample's slice won over gathering all rows at once, two threads, uint8:
# 0.6 times as fast at 32x32x3, 1.7 times at 96x96x3, 2.3 times at 224x224x3.
SLICES_FROM = 12_000
HORIZON = 1e-6  # what perspective puts behind it lies far outside of every image


def folded(index: Tensor, size: int, fill: Fill) -> Tensor:
    """Which of `size` pixels lies at an index outside of them: the nearest, or its mirror image (c b | a b c | b a)."""
    if fill == "edge" or size == 1:
        return index.clamp(0, size - 1)
    period = 2 * (size - 1)
    index = index.remainder(period)
    return torch.minimum(index, period - index)


def moved(images: Tensor, matrix: Tensor, fill: Fill) -> Tensor:
    """Mirrored and shifted by whole pixels, bit for bit.

    Args:
        images: (n, c, h, w) of any type.
        matrix: (n, 3, 3) as a Warp's, with 1 or -1 on the diagonal.
    """
    axes = list(
        zip(images.shape[-2:], (1, 0), strict=True)
    )  # down counts in the matrix's second row, right in its first
    signs = torch.stack([matrix[:, row, row] for _, row in axes]).sign()
    ends = torch.stack([(size - 1) / 2 * (1 - sign) for (size, _), sign in zip(axes, signs, strict=True)])
    first = ends + torch.stack([matrix[:, row, 2] for _, row in axes])  # (2, n) where the top left pixel is taken from
    if images.device.type != "cpu":
        return picked(images, signs.long(), first.round().long(), fill)
    mirror = signs < 0
    shift = torch.where(mirror, ends - first, first).round().long()
    return shifted(mirrored(images, mirror), shift, fill)


def picked(images: Tensor, signs: Tensor, first: Tensor, fill: Fill) -> Tensor:
    """Every pixel by its index."""
    count, channels, height, width = images.shape
    rows, columns = (
        first[axis, :, None] + signs[axis, :, None] * torch.arange(size, device=images.device)
        for axis, size in enumerate((height, width))
    )
    inside = [(index == index.clamp(0, size - 1)) for index, size in ((rows, height), (columns, width))]
    inner = "edge" if fill == "zero" else fill
    taken = images[
        torch.arange(count, device=images.device)[:, None, None, None],
        torch.arange(channels, device=images.device)[:, None, None],
        folded(rows, height, inner)[:, None, :, None],
        folded(columns, width, inner)[:, None, None, :],
    ]
    return taken if fill != "zero" else taken * (inside[0][:, None, :, None] & inside[1][:, None, None, :])


def mirrored(images: Tensor, mirror: Tensor) -> Tensor:
    """Samples on the CPU upside down and left to right, as `mirror` (2, n) says."""
    changed = mirror.any(0).nonzero()[:, 0].tolist()
    if not changed:
        return images
    out = images.clone(memory_format=torch.contiguous_format)
    old, new = images.numpy(), out.numpy()  # a slice costs a tenth of what it does as a tensor
    for sample, down, right in zip(changed, *mirror[:, changed].tolist(), strict=True):
        new[sample] = old[sample, :, :: -1 if down else 1, :: -1 if right else 1]
    return out


def shifted(images: Tensor, shift: Tensor, fill: Fill) -> Tensor:
    """Samples on the CPU, each seen through a frame that lies `shift` (2, n) pixels further down and right."""
    sizes = images.shape[-2:]
    if fill == "reflect":
        period = torch.tensor(sizes)[:, None].mul(2).sub(2).clamp(min=1)
        shift = (shift + period // 2).remainder(period) - period // 2
    else:
        shift = torch.maximum(torch.minimum(shift, torch.tensor(sizes)[:, None]), -torch.tensor(sizes)[:, None])
    if not shift.any():
        return images
    by_slices = fill == "zero" and images[0].numel() >= SLICES_FROM
    return shifted_slices(images, shift) if by_slices else shifted_rows(images, shift, fill)


def shifted_slices(images: Tensor, shift: Tensor) -> Tensor:
    """What old and new frame share, copied; black around it."""
    height, width = images.shape[-2:]
    out = torch.zeros_like(images, memory_format=torch.contiguous_format)
    old, new = images.numpy(), out.numpy()
    for sample, (down, right) in enumerate(shift.T.tolist()):
        to = new[sample, :, max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)]
        to[...] = old[sample, :, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)]
    return out


def shifted_rows(images: Tensor, shift: Tensor, fill: Fill) -> Tensor:
    """All rows of all samples by one index: a row is `width` values that follow each other in the padded batch."""
    count, channels, height, width = images.shape
    down, right = shift.abs().amax(1).tolist()
    wide = padded(images, down, right, fill)
    rows, columns = wide.shape[-2:]
    start = torch.arange(count * channels).view(count, channels, 1) * rows + torch.arange(height)
    start = (start + (shift[0] + down)[:, None, None]) * columns + (shift[1] + right)[:, None, None]
    windows = wide.view(-1).as_strided((wide.numel() - width + 1, width), (1, 1))
    return windows.index_select(0, start.view(-1)).view(images.shape)


def padded(images: Tensor, down: int, right: int, fill: Fill) -> Tensor:
    """(n, c, h, w) -> (n, c, h + 2 down, w + 2 right), of any type, however large the margin."""
    if fill == "zero":
        return functional.pad(images, [right, right, down, down]).contiguous()
    for axis, margin in ((2, down), (3, right)):
        index = folded(torch.arange(-margin, images.shape[axis] + margin), images.shape[axis], fill)
        images = images.index_select(axis, index)
    return images.contiguous()


def resampled(images: Tensor, matrix: Tensor, bend: Tensor | None, fill: Fill, *, straight: bool) -> Tensor:
    """Bilinear samples.

    Args:
        images: (n, c, h, w) float.
        matrix, bend: as a Warp's, of the images' type.
        straight: whether parallels stay parallel, so that no place need be divided.
    """
    around = fill == "reflect"  # torch mirrors in the centres of the outermost pixels only when corners are aligned
    height, width = (max(size - 1, 1) if around else size for size in images.shape[-2:])
    # grid_sample has the borders at -1 and 1.
    scaled = torch.stack([matrix[:, 0] * (2 / width), matrix[:, 1] * (2 / height), matrix[:, 2]], 1)
    grid = places(scaled, bend, *images.shape[-2:], straight=straight)
    return functional.grid_sample(images, grid, padding_mode=PADDING[fill], align_corners=around)


def places(matrix: Tensor, bend: Tensor | None, height: int, width: int, *, straight: bool) -> Tensor:
    """(n, h, w, 2) the place x, y at which each pixel of the new images looks; all x lie together, then all y."""
    x = torch.arange(width, device=matrix.device, dtype=matrix.dtype) - (width - 1) / 2
    y = torch.arange(height, device=matrix.device, dtype=matrix.dtype)[:, None] - (height - 1) / 2
    if bend is not None:
        x, y = x + bend[:, :1], y + bend[:, 1:]
    used = (matrix[:, :2] if straight else matrix)[..., None, None]
    place = used[:, :, 0] * x + (used[:, :, 1] * y + used[:, :, 2])
    place = place if straight else place[:, :2] / place[:, 2:].clamp(min=HORIZON)
    return place.permute(0, 2, 3, 1)
