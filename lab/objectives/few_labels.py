"""Objectives that use labels: of all images, or of a few beside many without."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from lab.catalogue import Knob
from lab.objectives import objectives
from lab.objectives.batch import Batch, Measure, Measured
from lab.objectives.helping import drawing, passes
from lab.objectives.losses import confident_error, ramp

Threshold = Annotated[float, Field(ge=0, le=1, description="how sure the network must be of a class"), Knob(0.5, 1)]
Weight = Annotated[float, Field(ge=0, description="of the loss on unlabelled images"), Knob(0, 3)]
Ratio = Annotated[int, Field(ge=1, le=64, description="unlabelled images for each labelled one"), Knob(1, 10)]
From = Annotated[
    float, Field(ge=0, lt=1, description="share of the run after which the unlabelled begin to count"), Knob(0, 0.9)
]
Until = Annotated[
    float, Field(gt=0, le=1, description="share of the run from which on they count in full"), Knob(0.1, 1)
]


@objectives.add
def supervised(batch: Batch) -> Measure:
    """Learn the labels of the training images.

    loss = mean_i -ln p(label_i | x_i)

    Source: cross-entropy: Goodfellow, Bengio & Courville, Deep Learning, 2016, section 6.2.
    """
    images, labels = batch.seen(batch.images, batch.labels)

    def measure() -> Measured:
        logits = batch.answer(images)
        return Measured(batch.error(logits, labels), logits, labels)

    return measure


@objectives.add(rules={"start must be less than end: between them the weight rises.": lambda c: c.start < c.end})
def pseudo_labels(
    batch: Batch, *, weight: Weight = 3.0, start: From = 0.15, end: Until = 0.75, ratio: Ratio = 4
) -> Measure:
    """Take the network's own answers to unlabelled images for their labels, the more so the longer it has learned.

    loss = labelled + a(t) mean_i -ln p(argmax p(x_i) | x_i) ;  a rises from 0 at start to weight at end
    Unlabelled are all training images, also those that the modifier subset has left out. They are drawn anew for each
    step and augmented like the others; an epoch is a pass over the labelled ones.

    Source: Lee 2013, ICML workshop on challenges in representation learning (pseudo-label), eq. 15 and 16.
    """
    images, labels = batch.seen(batch.images, batch.labels)
    others = batch.view(batch.unlabelled(ratio * len(images)))
    share = weight * ramp(batch.progress, start, end)

    def measure() -> Measured:
        logits, guesses = batch.answer(torch.cat([images, others])).tensor_split([len(images)])
        loss = batch.error(logits, labels) + share * confident_error(guesses, guesses, 0.0)
        return Measured(loss, logits, labels)

    return measure


@objectives.add
def fixmatch(batch: Batch, *, threshold: Threshold = 0.95, weight: Weight = 1.0, ratio: Ratio = 7) -> Measure:
    """Of unlabelled images that the network is sure of, learn to say the same when they are augmented hard.

    loss = labelled + weight mean_i [ max p(weak x_i) >= threshold ] ( -ln p(argmax p(weak x_i) | strong x_i) )
    Weak are the recipe's augmentations; strong are these, then rand_augment and cutout. Unlabelled are all training
    images, also those that the modifier subset has left out, drawn anew for each step; an epoch is a pass over the
    labelled ones. All go through the network as one batch, as in the paper.

    Source: Sohn et al. 2020, arXiv 2001.07685, eq. 3 and 4, algorithm 1.
    """
    images, labels = batch.seen(batch.images, batch.labels)
    drawn = batch.unlabelled(ratio * len(images))
    weak, strong = batch.view(drawn), batch.strong(drawn)

    def measure() -> Measured:
        answers = batch.answer(torch.cat([images, weak, strong]))
        logits, sure, asked = answers.tensor_split([len(images), len(images) + len(drawn)])
        loss = batch.error(logits, labels) + weight * confident_error(sure, asked, threshold)
        return Measured(loss, logits, labels)

    return measure


drawing |= {"pseudo_labels", "fixmatch"}
passes["pseudo_labels"] = lambda choice: 1 + getattr(choice, "ratio")  # noqa: B009  # a choice is typed by its name only
passes["fixmatch"] = lambda choice: 1 + 2 * getattr(choice, "ratio")  # noqa: B009  # as above
