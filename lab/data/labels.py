"""Catalogue `modifiers`: a data set -> the same with a changed training split, or with fewer classes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated

import torch
from pydantic import Field

from lab.catalogue import Knob
from lab.data import modifiers
from lab.data.splits import DataError, Dataset, Shift, Split

PerClass = Annotated[int, Field(ge=1, description="training images kept of each class"), Knob(1, 1000, log=True)]
Share = Annotated[float, Field(ge=0, le=1, description="share of the labels that are drawn anew"), Knob(0, 1)]
FirstClass = Annotated[int, Field(ge=0, le=10_000, description="the first class kept, counted from 0"), Knob(0, 9)]
LastClass = Annotated[int, Field(ge=1, le=10_000, description="the last class kept, counted from 0"), Knob(1, 9)]
Draw = Annotated[int, Field(ge=0, lt=2**32, description="which random draw; not the recipe's seed"), Knob(0, 100)]


@modifiers.add
def subset(dataset: Dataset, *, per_class: PerClass = 10, draw: Draw = 0) -> Dataset:
    """Keep only a few labelled training images of each class; validation and test stay whole.

    The others are left without labels, for objectives that can use such images.
    A smaller `per_class` of the same draw is contained in a larger one.

    Source: the few-label protocol, e.g. Sohn et al. 2020, arXiv 2001.07685.
    """
    generator = torch.Generator().manual_seed(draw)
    order = torch.randperm(len(dataset.train), generator=generator)
    shuffled = dataset.train.labels[order]
    kept = torch.cat([order[shuffled == label][:per_class] for label in shuffled.unique()])
    return replace(
        dataset, train=dataset.train.take(kept.sort().values), unlabelled=dataset.unlabelled or dataset.train
    )


@modifiers.add
def classes(dataset: Dataset, *, first: FirstClass = 0, last: LastClass = 4) -> Dataset:
    """Keep some of the classes only, in all three splits: another task on images of the same kind.

    label <- label - first, for the images with first <= label <= last

    Raises:
        DataError: fewer than two classes, or more than there are.

    Source: Yosinski et al. 2014, arXiv 1411.1792 (ImageNet in two halves of 500 classes, A and B).
    """
    known = len(dataset.classes)
    if not first < last < known:
        raise DataError(
            f"classes keeps {first} to {last}, but there are {known} classes here, counted from 0: first must be less "
            f"than last, and last at most {known - 1}."
        )
    kept = partial(of_classes, first=first, last=last)
    shift = dataset.shift
    return replace(
        dataset,
        train=kept(dataset.train),
        validation=kept(dataset.validation),
        test=kept(dataset.test),
        classes=dataset.classes[first : last + 1],
        unlabelled=dataset.unlabelled and kept(dataset.unlabelled),
        shift=shift and Shift(kept(shift.validation), kept(shift.test), kept(shift.target)),
        unseen=tuple(label - first for label in dataset.unseen if first <= label <= last),
    )


def of_classes(split: Split, *, first: int, last: int) -> Split:
    """The images of these classes, whose labels begin at 0."""
    kept = split.take(((first <= split.labels) & (split.labels <= last)).nonzero().flatten())
    return Split(kept.images, kept.labels - first)


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
