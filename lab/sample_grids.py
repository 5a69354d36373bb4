"""The same images under several lists of augmentations, with the same random draws: grids, and a strip of the stages.

Every entry of a list draws from a generator of its own, so that adding, removing or moving another entry, or a
strength, leaves its draws alone: what differs between two grids is what was changed, and nothing else.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from lab.augmentations import Lesson, Pending, extend, lessons
from lab.augmentations.chain import NO_LESSONS
from lab.catalogue import Choice
from lab.data import Dataset
from lab.data.batches import to_float
from lab.steps import learning_stream

Policy = Sequence[Choice]  # what a recipe has as `augment`
MOST_POLICIES = 4
NAMED = 3  # classes of a mixture that its caption names, the largest shares first


@dataclass(frozen=True)
class Samples:
    """Training images (n, c, h, w), float32 from 0 to 1, and labels (n,) with the classes' names.

    index: (n,) their places in the training split. shown: the first so many are; the rest only joins mixtures.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    shown: int
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Tiles:
    """Images (n, c, h, w), float from 0 to 1, and a caption under each; a line break starts a second line."""

    images: Tensor
    captions: tuple[str, ...]


def samples(data: Dataset, *, seed: int = 0, count: int = 16, pinned: int | None = None) -> Samples:
    """Some images of the training split, chosen by the seed.

    Args:
        count: as many, or all that there are.
        pinned: place of one image in the split; it then fills all tiles, and the others only join mixtures.
    Raises:
        ValueError: no image asked for, or none at that place.
    """
    if count < 1:
        raise ValueError(f"count is {count}, but must be at least 1.")
    size = len(data.train)
    if pinned is not None and not 0 <= pinned < size:
        raise ValueError(f"pinned is {pinned}, but the training split has the places 0 to {size - 1}.")
    index = torch.randperm(size, generator=generator_of(seed, "samples"))[:count]
    shown = len(index)
    if pinned is not None:
        shown = count
        index = torch.cat([torch.full((count,), pinned), index])
    images = torch.stack([data.train.images[int(place)] for place in index]).cpu()
    return Samples(to_float(images, torch.float32), data.train.labels.cpu()[index], index, shown, data.classes)


def generator_of(seed: int, name: str, occurrence: int = 0) -> torch.Generator:
    """The random stream of one entry of a list: the same wherever in the list it stands."""
    digest = hashlib.sha256(f"{seed} {name} {occurrence}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def taught(policy: Policy, data: Dataset, seed: int = 0) -> dict[str, Lesson]:
    """What those that learn have learned in a run of this seed on a CPU: by option, most learn nothing.

    Raises:
        DataError: there are too many images to learn from.
    """
    return lessons(policy, data.train, len(data.classes), learning_stream(seed, torch.device("cpu")))


def grid(chosen: Samples, policy: Policy = (), *, seed: int = 0, learned: Mapping[str, Lesson] = NO_LESSONS) -> Tiles:
    """The samples after a list of augmentations; after none, as they are. Equal seeds, equal draws.

    Args:
        learned: see `taught`.
    """
    *_, batch = stages(chosen, policy, seed, learned)
    return Tiles(batch.images[: chosen.shown], captions(batch.labels[: chosen.shown], chosen.classes))


def grids(chosen: Samples, policies: Sequence[Policy], *, seed: int = 0) -> list[Tiles]:
    """The samples as they are, and after each of one to four lists, with the same draws.

    Raises:
        ValueError: no list, or more than four: a person could not compare them.
    """
    if not 1 <= len(policies) <= MOST_POLICIES:
        raise ValueError(f"There are {len(policies)} lists of augmentations, but must be 1 to {MOST_POLICIES}.")
    return [grid(chosen, policy, seed=seed) for policy in [(), *policies]]


def strip(
    chosen: Samples, policy: Policy, place: int = 0, *, seed: int = 0, learned: Mapping[str, Lesson] = NO_LESSONS
) -> Tiles:
    """One sample after each stage of a list, the first as it is, with the draws that it has in the grid.

    A stage shows what the list makes of the image if it ends there: neighbours that are carried out as one are one
    in every stage, so the last stage is the grid's tile, bit for bit.

    Args:
        place: of the sample among those that are shown.
        learned: see `taught`.
    """
    images, words = [], []
    names = ["raw", *(choice.name.replace("_", " ") for choice in policy)]
    for name, batch in zip(names, stages(chosen, policy, seed, learned), strict=True):
        images.append(batch.images[place])
        said = captions(batch.labels[place : place + 1], chosen.classes)[0]
        words.append(f"{name}\n{said}")
    return Tiles(torch.stack(images), tuple(words))


def stages(chosen: Samples, policy: Policy, seed: int, learned: Mapping[str, Lesson]) -> Iterator[Pending]:
    """The batch before the first entry of a list and after each; a copy, so that a look at it parts no neighbours."""
    batch = Pending(chosen.images, chosen.labels, len(chosen.classes))
    yield copy(batch)
    for choice, draws in zip(policy, streams(policy, seed), strict=True):
        extend(batch, choice, draws, learned)
        yield copy(batch)


def streams(policy: Policy, seed: int) -> list[torch.Generator]:
    """A generator for each entry of a list, by its name and how often that has stood in the list before it."""
    seen: Counter[str] = Counter()
    found: list[torch.Generator] = []
    for choice in policy:
        found.append(generator_of(seed, choice.name, seen[choice.name]))
        seen[choice.name] += 1
    return found


def captions(labels: Tensor, classes: Sequence[str]) -> tuple[str, ...]:
    """The class of each sample, or of a mixture its shares: `62% 3, 38% 8`.

    Args:
        labels: (n,) classes, or (n, classes) shares.
    """
    if labels.dim() == 1:
        return tuple(classes[int(label)] for label in labels.tolist())
    return tuple(in_shares(shares, classes) for shares in labels.tolist())


def in_shares(shares: Sequence[float], classes: Sequence[str]) -> str:
    """The largest shares first; a class with less than half a percent is not named, nor the share of one alone."""
    found = sorted(zip(shares, classes, strict=True), key=lambda pair: -pair[0])
    named = [(share, name) for share, name in found if share >= 0.005]
    if len(named) == 1:
        return named[0][1]
    more = ", ..." if len(named) > NAMED else ""
    return ", ".join(f"{100 * share:.0f}% {name}" for share, name in named[:NAMED]) + more
