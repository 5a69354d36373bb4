"""Catalogue `modifiers`: a data set -> the same with a changed training split."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from lab.catalogue import Knob
from lab.data import modifiers
from lab.data.splits import Dataset, Split

PerClass = Annotated[int, Field(ge=1, description="training images kept of each class"), Knob(1, 1000, log=True)]
Share = Annotated[float, Field(ge=0, le=1, description="share of the labels that are drawn anew"), Knob(0, 1)]
Draw = Annotated[int, Field(ge=0, lt=2**32, description="which random draw; not the recipe's seed"), Knob(0, 100)]


@modifiers.add
def subset(dataset: Dataset, *, per_class: PerClass = 10, draw: Draw = 0) -> Dataset:
    """Keep only a few labelled training images of each class; validation and test stay whole.

    A smaller `per_class` of the same draw is contained in a larger one.

    Source: the few-label protocol, e.g. Sohn et al. 2020, arXiv 2001.07685.
    """
    generator = torch.Generator().manual_seed(draw)
    order = torch.randperm(len(dataset.train), generator=generator)
    shuffled = dataset.train.labels[order]
    kept = torch.cat([order[shuffled == label][:per_class] for label in shuffled.unique()])
    return dataset.with_train(dataset.train.take(kept.sort().values))


@modifiers.add
def random_labels(dataset: Dataset, *, share: Share = 1.0, draw: Draw = 0) -> Dataset:
    """Give training images labels drawn at random: can the network learn what has no meaning?

    label ~ uniform over the classes, for a `share` of the training images; validation keeps the truth.

    Source: Zhang et al. 2017, arXiv 1611.03530.
    """
    generator = torch.Generator().manual_seed(draw)
    labels = dataset.train.labels
    drawn = torch.randint(len(dataset.classes), labels.shape, generator=generator)
    chosen = torch.rand(labels.shape, generator=generator) < share
    return dataset.with_train(Split(dataset.train.images, torch.where(chosen, drawn, labels)))
