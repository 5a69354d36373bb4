"""What augmentations learn from the training split before a run's first step."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from inspect import isgenerator, signature
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from lab.catalogue import Choice
from lab.data.splits import DataError, Split

Learner = Callable[..., Any]
# Option -> function of (images, labels, classes, generator) with settings of its own; it is a generator function where
# it takes so long that one may want to leave it.
learners: dict[str, Learner] = {}
# Option -> function of (shape of an image, classes, images) with settings of its own: the floating-point operations of
# all its learning, counted as a network's are. Who is not here is not counted.
prices: dict[str, Callable[..., float]] = {}

KEPT = 64  # lessons of one process: the arms and seeds of a comparison ask for the same ones
_kept: dict[tuple[Any, ...], Lesson] = {}
_digests: Any = WeakIdKeyDictionary()  # tensor -> its version, and the digest of what was in it then


@dataclass(frozen=True)
class Lesson:
    """What an option has learned: it is handed to it with every batch.

    seconds: that it took, in this run or in an earlier one of the same process.
    """

    content: Any
    seconds: float


def lessons(choices: Iterable[Choice], split: Split, classes: int, generator: torch.Generator) -> dict[str, Lesson]:
    """By option, what the augmentations of a recipe learn from its training split; most learn nothing.

    Equal data, settings and seeds give equal lessons, so the last ones are kept.

    Args:
        generator: as it was seeded; each option gets a copy.
    Raises:
        DataError: the images are streamed.
    """
    told = learning(choices, split, classes, generator)
    return {option: lesson for option, lesson in told if lesson is not None}


def learning(
    choices: Iterable[Choice], split: Split, classes: int, generator: torch.Generator
) -> Iterator[tuple[str, Lesson | None]]:
    """Likewise, one after the other; None where an option has not yet learned all and one may stop."""
    for choice in choices:
        if choice.name in learners:
            for lesson in _lesson(choice, split, classes, generator):
                yield choice.name, lesson


def _lesson(choice: Choice, split: Split, classes: int, generator: torch.Generator) -> Iterator[Lesson | None]:
    images, device, seed = split.images, generator.device, generator.initial_seed()
    if not isinstance(images, Tensor) or images.device != device:
        raise DataError(
            f"{choice.name} learns from all training images before the first step, but there are too many of them for "
            "the device and they are streamed. Make them fewer (modify: subset) or smaller, or leave it out."
        )
    learner, settings = learners[choice.name], settings_of(choice)
    key = (learner, tuple(settings.items()), content_of(images, split.labels), classes, str(device), seed)
    if key not in _kept:
        while len(_kept) >= KEPT:
            del _kept[next(iter(_kept))]
        stream = torch.Generator(device).manual_seed(seed)
        _kept[key] = yield from _timed(lambda: learner(images, split.labels, classes, stream, **settings))
    yield _kept[key]


def learning_flops(choices: Iterable[Choice], shape: tuple[int, ...], classes: int, images: int) -> float:
    """Floating-point operations that the augmentations of a recipe take before its first step.

    Args:
        shape: (c, h, w) of an image; images: how many there are to learn from.
    """
    priced = (choice for choice in choices if choice.name in prices)
    return sum(prices[choice.name](shape, classes, images, **settings_of(choice)) for choice in priced)


def _timed(learn: Callable[[], Any]) -> Generator[None, None, Lesson]:
    """What a learner returns, whether it stops in between or not; only the time spent in it counts."""
    work, seconds = _in_steps(learn), 0.0
    while True:
        start = time.perf_counter()
        try:
            with torch.inference_mode(mode=False), torch.enable_grad():  # whoever asks may only want to look
                next(work)
        except StopIteration as end:
            return Lesson(end.value, seconds + time.perf_counter() - start)
        seconds += time.perf_counter() - start
        yield


def _in_steps(learn: Callable[[], Any]) -> Generator[object, None, Any]:
    content = learn()
    return (yield from content) if isgenerator(content) else content


def finished(work: Generator[Any, None, Any]) -> Any:
    """What a generator returns at its end, without a stop."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def settings_of(choice: Choice) -> dict[str, Any]:
    """Those settings of an option that its learner asks for: the others may change without another lesson."""
    asked = signature(learners[choice.name]).parameters
    return {key: value for key, value in choice if key in asked}


def content_of(*tensors: Tensor) -> tuple[str, ...]:
    """Equal for equal tensors only: files may have changed, and modifiers make new ones."""
    return tuple(map(_digest_of, tensors))


def _digest_of(tensor: Tensor) -> str:
    """Read once, as long as nothing is written into it: 43 MB take 0.15 s, and a grid of samples is drawn in 0.05."""
    version, digest = _digests.get(tensor, (-1, ""))
    if version != tensor._version:
        content = tensor.cpu().contiguous().numpy()
        digest = f"{tuple(content.shape)} {hashlib.blake2b(content.data).hexdigest()}"
        _digests[tensor] = tensor._version, digest
    return digest
