"""Objectives for a few labels beside many images without."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from lab.catalogue import Knob
from lab.data.batches import batches
from lab.data.splits import Dataset
from lab.objectives import objectives
from lab.objectives.losses import confident_error, ramp
from lab.objectives.objective import Batch, Moment, Objective
from lab.objectives.trunk import in_full

Threshold = Annotated[float, Field(ge=0, le=1, description="how sure the network must be of a class"), Knob(0.5, 1)]
Weight = Annotated[float, Field(ge=0, description="of the loss on unlabelled images"), Knob(0, 3)]
Ratio = Annotated[int, Field(ge=1, le=64, description="unlabelled images for each labelled one"), Knob(1, 10)]
From = Annotated[
    float, Field(ge=0, lt=1, description="share of the run after which the unlabelled begin to count"), Knob(0, 0.7)
]
Until = Annotated[
    float, Field(gt=0, le=1, description="share of the run from which on they count in full"), Knob(0.2, 1)
]


@objectives.add(rules={"start must be less than end: between them the weight rises.": lambda c: c.start < c.end})
def pseudo_labels(
    data: Dataset,
    smoothing: float,
    *,
    weight: Weight = 3.0,
    start: From = 0.15,
    end: Until = 0.75,
    ratio: Ratio = 4,
) -> Objective:
    """Take the network's own answers to unlabelled images for their labels, the more so the longer it has learned.

    loss = labelled + a(t) mean_i -ln p(argmax p(x_i) | x_i) ;  a rises from 0 at start to weight at end
    Unlabelled are all training images, also those that the modifier subset has left out. They are drawn anew for each
    step and augmented like the others; an epoch is a pass over the labelled ones. Augmentations that mix or make images
    are refused.

    Source: Lee 2013, ICML workshop on challenges in representation learning (pseudo-label), eq. 15 and 16.
    """
    return PseudoLabels(data, smoothing, (weight, start, end), ratio)


@objectives.add
def fixmatch(
    data: Dataset, smoothing: float, *, threshold: Threshold = 0.95, weight: Weight = 1.0, ratio: Ratio = 7
) -> Objective:
    """Of unlabelled images that the network is sure of, learn to say the same when they are augmented hard.

    loss = labelled + weight mean_i [ max p(weak x_i) >= threshold ] ( -ln p(argmax p(weak x_i) | strong x_i) )
    Weak are the recipe's augmentations; strong are these, then rand_augment and cutout. Unlabelled are all training
    images, also those that the modifier subset has left out, drawn anew for each step; an epoch is a pass over the
    labelled ones. All go through the network as one batch, as in the paper. Augmentations that mix or make images are
    refused.

    Source: Sohn et al. 2020, arXiv 2001.07685, eq. 3 and 4, algorithm 1.
    """
    return FixMatch(data, smoothing, threshold, weight, ratio)


class WithUnlabelled(Objective):
    """Batches with labels, and beside each `ratio` times as many images without."""

    takes_views = True

    def __init__(self, data: Dataset, smoothing: float, ratio: int) -> None:
        super().__init__(data, smoothing)
        self.ratio, self.unlabelled = ratio, data.unlabelled or data.train

    def drawn(self, labelled: int, draws: torch.Generator) -> Tensor:
        """uint8 (ratio labelled, c, h, w) on the host, drawn with repetition."""
        count = self.ratio * labelled
        index = torch.randint(len(self.unlabelled), (count,), generator=draws)
        return next(batches(self.unlabelled, index, count, torch.device("cpu")))[0]


class PseudoLabels(WithUnlabelled):
    """The network's own answers as labels."""

    def __init__(self, data: Dataset, smoothing: float, rise: tuple[float, float, float], ratio: int) -> None:
        super().__init__(data, smoothing, ratio)
        self.rise = rise

    def batch(self, images: Tensor, labels: Tensor, moment: Moment) -> Batch:
        weight, start, end = self.rise
        share = images.new_tensor(weight * ramp(moment.progress, start, end))
        return images, labels, moment.again(self.drawn(len(images), moment.draws)), share

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        images, labels, others, share = batch
        logits, guesses = in_full(network(torch.cat([images, others]))).tensor_split([len(images)])
        return self.classified(logits, labels) + share * confident_error(guesses, guesses, 0.0), logits


class FixMatch(WithUnlabelled):
    """What is answered to a weak view as the label of a hard one."""

    def __init__(self, data: Dataset, smoothing: float, threshold: float, weight: float, ratio: int) -> None:
        super().__init__(data, smoothing, ratio)
        self.threshold, self.weight = threshold, weight

    def batch(self, images: Tensor, labels: Tensor, moment: Moment) -> Batch:
        others = self.drawn(len(images), moment.draws)
        return images, labels, moment.again(others), moment.again(others, hard=True)

    def loss(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        images, labels, weak, strong = batch
        answers = in_full(network(torch.cat([images, weak, strong])))
        logits, sure, asked = answers.tensor_split([len(images), len(images) + len(weak)])
        return self.classified(logits, labels) + self.weight * confident_error(sure, asked, self.threshold), logits
