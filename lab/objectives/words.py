"""Images and the words of their classes in one space: a small CLIP."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from lab.catalogue import Knob
from lab.data.splits import Dataset
from lab.objectives import objectives
from lab.objectives.objective import Batch, Look, Objective, Part
from lab.objectives.taking import LAST
from lab.objectives.trunk import OnTrunk, in_full

TEMPERATURE = 0.07  # at the start
SHARPEST = math.log(100)  # of the factor of the cosines, at most
UNSEEN = "unseen"

Space = Annotated[int, Field(ge=2, le=4096, description="dimensions of the space"), Knob(8, 256, log=True)]
Tokens = Annotated[
    Literal["words", "trigrams"], Field(description="what a name is made of: its words, or three letters at a time")
]


@objectives.add
def image_and_words(data: Dataset, smoothing: float, *, width: Space = 32, tokens: Tokens = "words") -> Objective:
    """A small CLIP: images and the words of their classes are to meet in one space; classes are named by their words.

    loss = (cross-entropy of s cos(image_i, words_j) over j, and over i) / 2, s learned, at most 100
    The model gives the image's place, a matrix that of the words: the mean over a name's tokens. Pairs of one class
    share what is right between them, where the paper has one right pair; label smoothing is not used. An image without
    words gets the class whose words are nearest; words without an image find images (`nearest_images`). With the
    modifier unseen_classes the run tells how often unseen classes are told apart by their words alone, beside chance.

    Source: Radford et al. 2021, arXiv 2103.00020, figure 3; shared pairs: Yang et al. 2022, arXiv 2204.03610;
    trigrams: Bojanowski et al. 2017, arXiv 1607.04606.
    """
    return ImageAndWords(data, smoothing, width, tokens)


def tokens_of(text: str, kind: str) -> list[str]:
    """`red circle` -> its words, or its trigrams with marks for beginning and end of a word."""
    words = re.findall(r"[^\W_]+", text.lower())
    if kind == "words":
        return words
    marked = [f"<{word}>" for word in words]
    return [word[start : start + 3] for word in marked for start in range(len(word) - 2)]


def bag(text: str, kind: str, vocabulary: Sequence[str]) -> Tensor:
    """(vocabulary,) the share of each known token in a text; 0 everywhere when none is known."""
    found = [vocabulary.index(token) for token in tokens_of(text, kind) if token in vocabulary]
    counts = torch.bincount(torch.tensor(found, dtype=torch.long), minlength=len(vocabulary)).float()
    return counts / max(1, len(found))


def symmetric_info_nce(images: Tensor, words: Tensor, scale: Tensor, labels: Tensor) -> Tensor:
    """Mean of both directions' cross-entropies of pairs (b, d) of length 1; pairs of one label share what is right."""
    cosines = scale * images @ words.T
    alike = (labels.unsqueeze(1) == labels.unsqueeze(0)).to(cosines.dtype)
    right = alike / alike.sum(1, keepdim=True)
    return (functional.cross_entropy(cosines, right) + functional.cross_entropy(cosines.T, right)) / 2


class Towers(OnTrunk):
    """The model as image tower, and a matrix for words; the classes are where their names are."""

    def __init__(self, trunk: nn.Module, bags: Tensor, width: int, unseen: Sequence[int]) -> None:
        super().__init__(trunk)
        self.words = nn.Linear(bags.size(1), width, bias=False)
        self.sharpness = nn.Parameter(torch.tensor(1 / TEMPERATURE).log())
        self.register_buffer("bags", bags, persistent=False)
        seen = torch.ones(len(bags), dtype=torch.bool)
        seen[list(unseen)] = False
        self.register_buffer("seen", seen, persistent=False)

    @property
    def scale(self) -> Tensor:
        """At most 100. Training cuts the parameter itself: behind a limit it has no gradient by which to come back."""
        if not self.training:
            return self.sharpness.clamp(max=SHARPEST).exp()
        with torch.no_grad():
            self.sharpness.clamp_(max=SHARPEST)
        return self.sharpness.exp()

    def forward(self, images: Tensor, task: str = "") -> Tensor:
        """(b, c, h, w) -> logits (b, classes); for the task `unseen` classes that training has seen are left out."""
        logits = self.scale * self.place(images) @ self.meaning(self.get_buffer("bags")).T
        return logits.masked_fill(self.get_buffer("seen"), float("-inf")) if task == UNSEEN else logits

    def place(self, images: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, width) of length 1."""
        return functional.normalize(in_full(self.trunk(images)), dim=1)

    def meaning(self, bags: Tensor) -> Tensor:
        """(n, tokens) -> (n, width) of length 1."""
        return functional.normalize(in_full(self.words(bags)), dim=1)


class ImageAndWords(Objective):
    """Images beside the words of their classes."""

    def __init__(self, data: Dataset, smoothing: float, width: int, kind: str) -> None:
        super().__init__(data, smoothing)
        self.width, self.kind = width, kind
        self.vocabulary = sorted({token for name in data.classes for token in tokens_of(name, kind)})

    @property
    def names_classes(self) -> bool:
        return False  # the last layer gives a place in the space of words

    @property
    def meanings(self) -> dict[str, list[str]]:
        return {LAST: self.vocabulary, "words": self.vocabulary}  # the same words make the same space

    def outputs(self) -> int:
        return self.width

    def network(self, model: nn.Module) -> nn.Module:
        bags = torch.stack([bag(name, self.kind, self.vocabulary) for name in self.data.classes])
        return Towers(model, bags, self.width, self.data.unseen)

    def loss(self, network: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        images, labels = batch
        shares = labels if labels.is_floating_point() else functional.one_hot(labels, len(self.data.classes))
        place, bags = network.place(images), network.get_buffer("bags")
        words = network.meaning(shares.to(bags.dtype) @ bags)
        alike = torch.arange(len(images), device=images.device) if labels.is_floating_point() else labels
        loss = symmetric_info_nce(place, words, network.scale, alike)
        return loss, network.scale * place @ network.meaning(bags).T

    def looks(self, part: Part) -> tuple[Look, ...]:
        usual, unseen = super().looks(part), self.data.unseen
        return (*usual, Look(UNSEEN, self.unseen(part), UNSEEN, chance=1 / len(unseen))) if unseen else usual


@torch.inference_mode()
def nearest(network: Towers, objective: ImageAndWords, text: str, images: Tensor, count: int) -> list[int]:
    """Words without an image: which of these images (n, c, h, w), as the network sees them, are nearest to a text.

    Raises:
        ValueError: no word of the text occurs in the name of a class.
    """
    wanted = bag(text, objective.kind, objective.vocabulary)
    if not wanted.any():
        known = ", ".join(objective.vocabulary)
        raise ValueError(f"{text!r} has no {objective.kind} that this network knows. It knows: {known}.")
    buffer = network.get_buffer("bags")
    cosines = network.place(images) @ network.meaning(wanted.to(buffer).unsqueeze(0)).T
    return cosines.squeeze(1).topk(min(count, len(images))).indices.tolist()
