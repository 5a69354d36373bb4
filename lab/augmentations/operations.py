"""The operations of the policies: each sample of a batch goes through its own."""

from __future__ import annotations

from functools import reduce
from math import pi
from operator import or_

import torch
from torch import Tensor

from lab.augmentations.changes import Warp
from lab.augmentations.chosen import change_some
from lab.augmentations.detail import sharpened
from lab.augmentations.draws import matrices
from lab.augmentations.recolour import Recolour, recoloured
from lab.augmentations.tones import equalised, solarised, stepped, stretched

GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
TONAL = ("posterise", "solarise", "auto_contrast", "equalise")
OPERATIONS = ("identity", *GEOMETRIC, "brightness", "saturation", "contrast", "sharpness", *TONAL, "invert")


# How far the operations go at their highest magnitude: shear in pixels per pixel, translate a share of the width or
# height and pixels added to it, rotate in degrees, colours and sharpness by that much more or less than a factor of 1,
# posterise by so many bits.
LEARNED_REACH = {"shear": 0.3, "share": 150 / 331, "pixels": 0.0, "degrees": 30.0, "factor": 0.9, "bits": 4.0}
WIDE_REACH = {"shear": 0.99, "share": 0.0, "pixels": 32.0, "degrees": 135.0, "factor": 0.99, "bits": 6.0}


def magnitudes(frame: torch.Size, steps: int, reach: dict[str, float], device: torch.device) -> Tensor:
    """(operations, steps) what each operation does at each step, without its sign.

    Shear in pixels per pixel, translate in pixels, rotate in degrees, colours in what is added to a factor of 1,
    posterise in bits that are kept, solarise in what is bright; 0 where nothing can be chosen.
    """

    def up_to(top: float) -> Tensor:
        return torch.linspace(0, top, steps, device=device)

    none, shear, factor = up_to(0), up_to(reach["shear"]), up_to(reach["factor"])
    down, across = (up_to(reach["share"] * size + reach["pixels"]) for size in frame)
    bits = (8 - torch.arange(steps, device=device) / ((steps - 1) / reach["bits"])).round()
    threshold = torch.linspace(1, 0, steps, device=device)
    geometry = [shear, shear, across, down, up_to(reach["degrees"])]
    return torch.stack([none, *geometry, *[factor] * 4, bits, threshold, none, none, none])


def with_sign(amount: Tensor, operation: Tensor, draw: Tensor) -> Tensor:
    """Amounts (n,), of either sign with equal probability where the operation can go both ways."""
    both_ways = operation <= OPERATIONS.index("sharpness")
    return torch.where(both_ways & (draw < 0.5), -amount, amount)


def performed(images: Tensor, operation: Tensor, amount: Tensor) -> Tensor:
    """Each sample after its own operation; what is alike is done at once, and only to the samples that drew it.

    Args:
        images: (n, c, h, w) from 0 to 1, left as they are.
        operation: (n,) places in OPERATIONS.
        amount: (n,) as `magnitudes` says, with its sign.
    """

    places = torch.arange(len(OPERATIONS), device=operation.device)[:, None]
    own = operation == places
    one_hot: dict[str, Tensor] = dict(zip(OPERATIONS, own, strict=True))
    amounts: dict[str, Tensor] = dict(zip(OPERATIONS, own * amount, strict=True))

    def drew(first: str, *others: str) -> Tensor:
        return reduce(or_, (one_hot[name] for name in others), one_hot[first])

    images = images.clone()
    colour = colour_of(amounts, drew("invert"), images.shape[1])
    coloured = drew("brightness", "saturation", "contrast", "invert")
    change_some(images, drew(*GEOMETRIC) & (amount != 0), warped, warp_of(amounts, images.shape[-2:]))
    change_some(images, coloured, recoloured, colour.own, colour.grey, colour.mean, colour.offset)
    change_some(images, drew("sharpness"), sharpened, 1 + amount)
    change_some(images, drew("posterise") & (amount < 8), stepped, amount)
    change_some(images, drew("solarise"), solarised, amount)
    change_some(images, drew("auto_contrast"), stretched)
    change_some(images, drew("equalise"), equalised)
    return images


def warped(images: Tensor, matrix: Tensor) -> Tensor:
    return Warp(matrix).of(images)


def warp_of(amounts: dict[str, Tensor], frame: torch.Size) -> Tensor:
    """(n, 3, 3) what a sample's one geometric operation does; the upper left corner stays where a shear puts it."""
    shear_x, shear_y = amounts["shear_x"], amounts["shear_y"]
    right = amounts["translate_x"].trunc() - shear_x * (frame[0] / 2)
    down = amounts["translate_y"].trunc() - shear_y * (frame[1] / 2)
    angle = amounts["rotate"] * (pi / 180)
    cos, sin = angle.cos(), angle.sin()  # at most one of the five amounts is not 0
    return matrices(a=cos, b=shear_x - sin, c=-right, d=shear_y + sin, e=cos, f=-down)


def colour_of(amounts: dict[str, Tensor], negative: Tensor, channels: int) -> Recolour:
    """What a sample's one linear operation does to its colours; at most one amount is not 0."""
    brighter, stronger, further = (amounts[name] for name in ("brightness", "saturation", "contrast"))
    stronger = stronger if channels == 3 else torch.zeros_like(stronger)
    turned_over = negative.to(brighter)
    own = 1 + brighter + stronger + further - 2 * turned_over
    return Recolour(own, -stronger, -further, turned_over, channels)
