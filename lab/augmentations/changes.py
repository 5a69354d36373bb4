"""What an augmentation may ask for: a warp, a change of colour, a mixture; each sample of a batch has its own.

Two warps are one warp and two changes of colour are one, so a chain of them resamples once and multiplies once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lab.augmentations.chosen import Retouch
from lab.augmentations.covers import Cover
from lab.augmentations.moves import moved
from lab.augmentations.recolour import Recolour
from lab.augmentations.sampling import Fill, at_hand, resampled

Kind = Literal["whole", "affine", "perspective"]
KINDS: tuple[Kind, ...] = ("whole", "affine", "perspective")  # each is one of the next too


@dataclass(frozen=True)
class Warp:
    """Every pixel is taken from another place, between four pixels by bilinear interpolation.

    Args:
        matrix: (n, 3, 3) place in the new image -> place in the old one, homogeneous; pixels from the centre,
            x to the right, y down.
        fill: what lies outside of the old image; `reflect` does not repeat the outermost pixel. None where nothing
            outside is looked for: then what a neighbour in the chain says, or the edge.
        kind: "whole" for mirror images and moves by whole pixels, which are exact; "affine" where the last row is
            0, 0, 1.
        bend: (n, 2, h, w) how far right and down of its own place a pixel of the new image looks, before the matrix.
    """

    matrix: Tensor
    fill: Fill | None = "zero"
    kind: Kind = "affine"
    bend: Tensor | None = None

    def then(self, later: Warp) -> Warp:
        """Both as one. The later one is asked first: it says which place of the image between them to look at.

        What the first moved out of the frame the second may bring back.
        """
        kind = KINDS[max(KINDS.index(self.kind), KINDS.index(later.kind))]
        return Warp(self.matrix @ later.matrix, self.fill or later.fill, kind, later.bend)

    def joins(self, later: object) -> bool:
        """Whether both can be one: they agree on what lies outside, and no bend is in the way."""
        agree = isinstance(later, Warp) and (self.fill == later.fill or None in (self.fill, later.fill))
        return agree and self.bend is None

    def part(self, samples: slice | Tensor) -> Warp:
        bend = None if self.bend is None else self.bend[samples]
        return Warp(self.matrix[samples], self.fill, self.kind, bend)

    def of(self, images: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h, w); a sample that stays in its place keeps its bits."""
        fill = self.fill or "edge"
        if self.kind == "whole":
            return moved(images, self.matrix, fill)
        moves = self.moves
        if at_hand(images) and not moves.all():
            chosen = moves.nonzero()[:, 0]
            return images.index_copy(0, chosen, self.part(chosen).of(images[chosen])) if len(chosen) else images
        bend = None if self.bend is None else self.bend.to(images)
        new = resampled(images, self.matrix.to(images), bend, fill, straight=self.kind == "affine")
        return new if at_hand(images) else torch.where(moves[:, None, None, None], new, images)

    @property
    def keeps_type(self) -> bool:
        """Whether pixels are only moved, so that it may be done to integers."""
        return self.kind == "whole"

    @property
    def moves(self) -> Tensor:
        """(n,) whether a sample does not simply stay."""
        away = (self.matrix != torch.eye(3, device=self.matrix.device)).flatten(1).any(1)
        return away if self.bend is None else away | (self.bend != 0).flatten(1).any(1)


@dataclass(frozen=True)
class Mix:
    """Every sample becomes part itself and part another of the batch; its label likewise.

    Args:
        partner: (n,) index of the other one.
        own: (n, 1, 1, 1) or (n, 1, h, w) share that is kept, from 0 to 1, or a mask: True keeps the pixel.
    """

    partner: Tensor
    own: Tensor

    def of(self, images: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c, h, w); shares of 0 and 1 keep a pixel's bits."""
        return torch.lerp(images.index_select(0, self.partner), images, self.own.to(images))

    def of_labels(self, shares: Tensor) -> Tensor:
        """(n, classes) -> (n, classes) shares, by how much of the image is whose."""
        own = self.own.to(shares).mean((1, 2, 3))[:, None]
        return torch.lerp(shares.index_select(0, self.partner), shares, own)


Waiting = Warp | Recolour | Retouch | Cover
Change = Waiting | Mix | Tensor
