"""The shape of what is seen: rotated, sheared, scaled, moved, in perspective, bent.

All but the last bend are one matrix: however many stand side by side in a chain, images are sampled once.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lab.augmentations.chain import augmentations
from lab.augmentations.changes import Warp
from lab.augmentations.draws import Outside, Probability, by_chance, matrices, spread_over, uniform
from lab.augmentations.moves import folded
from lab.catalogue import Knob

Angle = Annotated[float, Field(ge=0, le=180, description="up to so many degrees either way"), Knob(0, 45)]
Slant = Annotated[float, Field(ge=0, lt=90, description="up to so many degrees either way"), Knob(0, 30)]
Amount = Annotated[float, Field(ge=0, lt=1, description="smaller or larger by up to this share"), Knob(0, 0.5)]
Way = Annotated[float, Field(ge=0, le=1, description="up to this share of the width and height"), Knob(0, 0.3)]
Distortion = Annotated[
    float, Field(ge=0, le=0.65, description="how far corners move in, as a share of half a side"), Knob(0, 0.65)
]
Strength = Annotated[float, Field(ge=0, le=1000, description="size of the displacements"), Knob(0, 100)]
Sigma = Annotated[float, Field(gt=0, le=100, description="pixels over which neighbours move alike"), Knob(1, 10)]


@augmentations.add
def rotation(
    shape: torch.Size,
    generator: torch.Generator,
    *,
    degrees: Angle = 15.0,
    fill: Outside = "zero",
    p: Probability = 1.0,
) -> Warp:
    """Turn a sample about its centre.

    angle = U(-degrees, degrees), counter-clockwise; [x, y] <- [[cos, -sin], [sin, cos]] [x, y]

    Source: Cubuk et al. 2019, arXiv 1805.09501, table 6; torchvision.transforms.v2.RandomRotation.
    """
    way, coin = uniform(shape, generator, 2)
    reach = math.radians(degrees)
    return Warp(turned(by_chance(spread_over(way, -reach, reach), coin, p)), fill)


def turned(angle: Tensor) -> Tensor:
    """(n,) radians counter-clockwise -> (n, 3, 3)."""
    cos, sin = angle.cos(), angle.sin()
    return matrices(a=cos, b=-sin, d=sin, e=cos)


@augmentations.add
def shear(
    shape: torch.Size,
    generator: torch.Generator,
    *,
    degrees: Slant = 10.0,
    vertical_degrees: Slant = 0.0,
    fill: Outside = "zero",
    p: Probability = 1.0,
) -> Warp:
    """Slant a sample: its rows slide along each other, or its columns.

    s = tan(U(-degrees, degrees)), t likewise; [x, y] <- [[1 + s t, s], [t, 1]] [x, y]

    Source: Simard et al., ICDAR 2003, section 2; torchvision.transforms.v2.RandomAffine.
    """
    across, down, coin = uniform(shape, generator, 3)
    reaches = (math.radians(degrees), math.radians(vertical_degrees))
    angles = [spread_over(way, -reach, reach) for way, reach in zip((across, down), reaches, strict=True)]
    return Warp(slanted(*(by_chance(angle, coin, p) for angle in angles)), fill)


def slanted(across: Tensor, down: Tensor) -> Tensor:
    """(n,) radians each -> (n, 3, 3)."""
    s, t = across.tan(), down.tan()
    return matrices(a=1 + s * t, b=s, d=t)


@augmentations.add
def scale(
    shape: torch.Size, generator: torch.Generator, *, amount: Amount = 0.2, fill: Outside = "zero", p: Probability = 1.0
) -> Warp:
    """Make what is seen smaller or larger.

    s = U(1 - amount, 1 + amount);  (x, y) <- (x, y) / s, from the centre

    Source: Simard et al., ICDAR 2003, section 2; torchvision.transforms.v2.RandomAffine.
    """
    size, coin = uniform(shape, generator, 2)
    smaller = by_chance(spread_over(size, 1 - amount, 1 + amount), coin, p, otherwise=1).reciprocal()
    return Warp(matrices(a=smaller, e=smaller), fill)


@augmentations.add
def translation(
    shape: torch.Size, generator: torch.Generator, *, amount: Way = 0.1, fill: Outside = "zero", p: Probability = 1.0
) -> Warp:
    """Move a sample by up to a share of its size, in whole pixels.

    right = round(U(-amount w, amount w)), down likewise;  x[i, j] <- x[i - down, j - right]

    Source: Simard et al., ICDAR 2003, section 2; torchvision.transforms.v2.RandomAffine.
    """
    across, down, coin = uniform(shape, generator, 3)
    left = spread_over(across, amount * shape[-1], -amount * shape[-1]).round_()
    up = spread_over(down, amount * shape[-2], -amount * shape[-2]).round_()
    left, up = (by_chance(way, coin, p) for way in (left, up))
    return Warp(matrices(c=left, f=up), fill, "whole")


@augmentations.add
def perspective(
    shape: torch.Size,
    generator: torch.Generator,
    *,
    distortion: Distortion = 0.5,
    fill: Outside = "zero",
    p: Probability = 0.5,
) -> Warp:
    """Look at a sample from aside: each corner moves in by a distance of its own.

    corner <- corner (1 - distortion U(0, 1)), for x and y separately, from the centre

    Differs from torchvision in that corners are those of the image, not the centres of its corner pixels, and that
    they do not move in whole pixels; beyond 2/3 corners could fold the image.

    Source: Hartley & Zisserman 2004, section 4.1; torchvision.transforms.v2.RandomPerspective.
    """
    draws = uniform(shape, generator, 9)
    kept = 1 - by_chance(draws[:8] * distortion, draws[8], p)
    return Warp(seen_from_aside(kept.T.view(-1, 4, 2), shape[-2:]), fill, "perspective")


def seen_from_aside(kept: Tensor, frame: torch.Size) -> Tensor:
    """(n, 3, 3) that puts the frame's corners where they shall go.

    Args:
        kept: (n, 4, 2) of each corner's x and y, from the upper left one clockwise; 1 leaves it.
    """
    number = torch.arange(4, device=kept.device)
    corners = torch.stack([(number + 1) // 2 % 2, number // 2], -1) * 2 - 1
    half = matrices(a=kept.new_full((1,), frame[-1] / 2), e=frame[-2] / 2)
    back = (
        half
        @ adjugate(square_to_corners(corners * kept))
        @ matrices(a=kept.new_full((1,), 2 / frame[-1]), e=2 / frame[-2])
    )
    same = (kept == 1).flatten(1).all(1)[:, None, None]
    return torch.where(same, torch.eye(3, device=kept.device), back / back[:, 2:, 2:])


def square_to_corners(corners: Tensor) -> Tensor:
    """(n, 4, 2) -> (n, 3, 3) the projection of the square from -1 to 1 onto them.

    Source: Heckbert 1989, Fundamentals of Texture Mapping and Image Warping, section 2.2.3, for corners at -1 and 1.
    """
    ones = torch.ones_like(corners[..., :1])
    first, second, third, fourth = torch.cat([corners, ones], -1).unbind(1)
    # Homogeneous corners may be stretched: so that the diagonals meet, first + third = second + fourth.
    first, second, third, fourth = (
        first * triple(second, third, fourth),
        second * triple(first, third, fourth),
        third * triple(first, second, fourth),
        fourth * triple(first, second, third),
    )
    across, down = second + third - first - fourth, third + fourth - first - second
    return torch.stack([across, down, first + second + third + fourth], -1)


def triple(one: Tensor, two: Tensor, three: Tensor) -> Tensor:
    """(n, 1) determinant of three columns (n, 3)."""
    return (one * torch.linalg.cross(two, three)).sum(-1, keepdim=True)


def adjugate(matrix: Tensor) -> Tensor:
    """(n, 3, 3) -> its inverse times its determinant."""
    one, two, three = matrix.unbind(-1)
    cross = torch.linalg.cross
    return torch.stack([cross(two, three), cross(three, one), cross(one, two)], 1)


@augmentations.add
def elastic(
    shape: torch.Size,
    generator: torch.Generator,
    *,
    alpha: Strength = 50.0,
    sigma: Sigma = 5.0,
    fill: Outside = "zero",
    p: Probability = 0.5,
) -> Warp:
    """Bend a sample: every pixel looks a little aside, neighbours alike.

    (x, y) <- (x, y) + alpha / 2 G_sigma * U(-1, 1), in pixels; G_sigma * blurs by a Gaussian

    With a square image this is torchvision's alpha.

    Source: Simard et al., ICDAR 2003, section 2; torchvision.transforms.v2.ElasticTransform.
    """
    count, _, height, width = shape
    noise = torch.rand(count, 2, height, width, generator=generator, device=generator.device)
    (coin,) = uniform(shape, generator, 1)
    size = torch.where(coin < p, alpha / 2, 0.0)[:, None, None, None]
    smooth = blurring(height, sigma, noise) @ (2 * noise - 1) @ blurring(width, sigma, noise).T
    same = torch.eye(3, device=noise.device).repeat(count, 1, 1)
    return Warp(same, fill, "affine", smooth * size)


def blurring(size: int, sigma: float, like: Tensor) -> Tensor:
    """(size, size) each row a Gaussian about its own place, four sigma wide each way, reflected at the ends."""
    reach, device = int(4 * sigma + 0.5), like.device
    offsets = torch.arange(-reach, reach + 1, device=device)
    weights = torch.softmax(-0.5 * (offsets / sigma).square(), 0).to(like.dtype)
    places = folded(torch.arange(size, device=device)[:, None] + offsets, size, "reflect")
    return like.new_zeros(size, size).scatter_add_(1, places, weights.expand(size, -1))
