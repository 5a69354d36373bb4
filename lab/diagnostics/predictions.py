"""What a network answers on a split, and what it gets wrong: one pass, shared by every look at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lab.data import Split
from lab.data.batches import batches
from lab.runs import Run
from lab.steps import EVALUATION_BATCH, at_least_float32
from lab.training import Training
from lab.used_weights import answer

SplitName = Literal["train", "validation", "test"]
Z95 = 1.959964  # of a standard normal, 97.5%
BINS = 15  # as Guo et al.
NOISE_SHARE = 0.15  # of an image's range, as in the SmoothGrad paper's figures


@dataclass(frozen=True)
class ClassAccuracy:
    """How many images of one class were named right; low and high: 95% Wilson interval of the accuracy."""

    name: str
    right: int
    count: int
    low: float
    high: float

    @property
    def accuracy(self) -> float:
        return self.right / self.count if self.count else float("nan")


@dataclass(frozen=True)
class Mistake:
    """One image, uint8 (c, h, w), and its place in the split.

    true, predicted: classes by name; loss: in nats; confidence: probability of the predicted class.
    """

    index: int
    image: Tensor
    true: str
    predicted: str
    loss: float
    confidence: float


@dataclass(frozen=True)
class Calibration:
    """Reliability by bins of confidence (the largest probability): (bins,) each, nan where a bin is empty.

    edges: (bins + 1,) from 0 to 1; a bin holds its upper edge. error: expected calibration error.

    error = sum_b counts_b / n |accuracy_b - confidence_b|

    Source: Guo et al. 2017, arXiv 1706.04599, eq. 3.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    error: float


@dataclass(frozen=True)
class Predictions:
    """A network's logits on a split: (n, classes) float32 or wider and labels (n,), on the host."""

    split: Split
    classes: tuple[str, ...]
    logits: Tensor
    session: Training

    @property
    def labels(self) -> Tensor:
        return self.split.labels.cpu()

    @cached_property
    def losses(self) -> Tensor:
        """(n,) nats, no label smoothing."""
        return functional.cross_entropy(self.logits, self.labels, reduction="none")

    @cached_property
    def confidence(self) -> Tensor:
        """(n,) probability of the predicted class."""
        return self.logits.softmax(1).amax(1)

    @cached_property
    def predicted(self) -> Tensor:
        """(n,) the class with the largest logit."""
        return self.logits.argmax(1)

    @property
    def accuracy(self) -> float:
        return float((self.predicted == self.labels).double().mean())

    @property
    def loss(self) -> float:
        return float(self.losses.double().mean())

    @cached_property
    def confusion(self) -> np.ndarray:
        """(classes, classes) counts: rows are true classes, columns predicted ones."""
        size = len(self.classes)
        return (self.labels * size + self.predicted).bincount(minlength=size * size).view(size, size).numpy()

    def per_class(self) -> list[ClassAccuracy]:
        """Accuracy of each class with its interval; a class without images has the interval 0 to 1."""
        found: list[ClassAccuracy] = []
        for place, name in enumerate(self.classes):
            right, count = int(self.confusion[place, place]), int(self.confusion[place].sum())
            found.append(ClassAccuracy(name, right, count, *wilson(right, count)))
        return found

    def highest_losses(self, count: int = 16) -> list[Mistake]:
        """The images that the network finds hardest, the hardest first; not all of them need be mistakes."""
        return [self._mistake(index) for index in self._hardest.tolist()[:count]]

    def worst_mistakes(self, count: int = 16) -> list[Mistake]:
        """The images that it takes for another class, the hardest first."""
        wrong = (self.predicted != self.labels)[self._hardest]
        return [self._mistake(index) for index in self._hardest[wrong].tolist()[:count]]

    @cached_property
    def _hardest(self) -> Tensor:
        """(n,) places in the split by loss, the highest first."""
        return self.losses.nan_to_num(nan=float("inf")).argsort(descending=True, stable=True)

    def calibration(self, bins: int = BINS) -> Calibration:
        """How often the network is right when it says how sure it is."""
        return calibration(self.confidence.numpy(), (self.predicted == self.labels).numpy(), bins)

    def saliency(self, index: int, *, samples: int = 1) -> Tensor:
        """(h, w) how much the predicted class's logit of the index-th image hangs on each pixel.

        max over channels of |d logit / d pixel|, of normalised pixels.

        Args:
            samples: 1 is the plain gradient; more: the mean gradient of so many noisy copies (SmoothGrad).
        Source: Simonyan et al. 2014, arXiv 1312.6034, section 3.1; Smilkov et al. 2017, arXiv 1706.03825.
        """
        image = self.split.images[index].to(self.session.device)
        return saliency(self.session, image, int(self.predicted[index]), samples=samples)

    def _mistake(self, index: int) -> Mistake:
        names = self.classes[int(self.labels[index])], self.classes[int(self.predicted[index])]
        image = self.split.images[index].cpu()
        return Mistake(index, image, *names, float(self.losses[index]), float(self.confidence[index]))


def predictions(
    of: Run | Training, split: SplitName = "validation", *, device: str | torch.device | None = None
) -> Predictions:
    """What a run, or a training as it stands, answers on a split: one pass in inference mode.

    A look at a run's test split is counted in the run, as by `Run.test`.

    Args:
        device: for a run; a training keeps its own.
    Raises:
        DataError, DeviceError: no data; no such device.
        RunError: the run has no weights, or the look cannot be counted.
        ValueError: no such split.
    """
    if split not in ("train", "validation", "test"):
        raise ValueError(f"split is {split!r}. Expected one of: train, validation, test.")
    session = of if isinstance(of, Training) else filled(of, device, count_look=split == "test")
    part = {"train": session.train_split, "validation": session.validation_split, "test": session.data.test}[split]
    return Predictions(part, session.data.classes, torch.cat(list(answers(session, part))), session)


def predicting(run: Run, *, device: str | torch.device | None = None) -> Iterator[Predictions | None]:
    """What `predictions` of a run's validation images gives, a batch at a time: None until all is known.

    Raises:
        DataError, DeviceError, RunError: as `predictions`.
    """
    session = filled(run, device, count_look=False)
    yield None
    found: list[Tensor] = []
    for logits in answers(session, session.validation_split):
        found.append(logits)
        yield None
    yield Predictions(session.validation_split, session.data.classes, torch.cat(found), session)


def filled(run: Run, device: str | torch.device | None, *, count_look: bool) -> Training:
    session = Training(run.recipe, device=device)
    run._fill(session.model)
    if count_look:
        run._count_look()
    return session


def answers(session: Training, split: Split) -> Iterator[Tensor]:
    """Of each batch, the logits (b, classes) on the host, float32 or wider."""
    with torch.inference_mode():
        weights = session.other_weights()
    for images, _ in batches(split, torch.arange(len(split)), EVALUATION_BATCH, session.device):
        with torch.inference_mode():
            logits = at_least_float32(session.answer(weights, images)).cpu()
        yield logits.clone()


def saliency(session: Training, image: Tensor, label: int, *, samples: int = 1) -> Tensor:
    """(h, w) on the host: see `Predictions.saliency`. The network's parameters and their gradients are not touched."""
    if samples < 1:
        raise ValueError(f"samples is {samples}, but must be at least 1.")
    seen = session.prepare(image[None]).repeat(samples, 1, 1, 1)
    if samples > 1:
        noise = torch.randn(seen.shape, generator=torch.Generator().manual_seed(0))
        seen = seen + NOISE_SHARE * (seen.max() - seen.min()) * noise.to(seen)
    seen.requires_grad_()
    weights = session.other_weights()
    with torch.enable_grad(), session.autocast:
        logit = answer(session.model, weights, seen)[:, label].sum()
    gradient = torch.autograd.grad(logit, seen)[0].mean(0)
    return gradient.abs().amax(0).cpu()


def wilson(right: int, count: int) -> tuple[float, float]:
    """95% interval of a share. Unlike the plain one, it never leaves [0, 1] and never has width 0.

    centre = (p + z^2 / 2n) / (1 + z^2 / n) ;  half = z / (1 + z^2 / n) sqrt(p (1 - p) / n + z^2 / 4n^2)

    Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209-212.
    Example:
        >>> tuple(round(end, 3) for end in wilson(10, 10))
        (0.722, 1.0)
    """
    if not count:
        return 0.0, 1.0
    share, z2 = right / count, Z95**2 / count
    centre, half = share + z2 / 2, sqrt(z2 * (share * (1 - share) + z2 / 4))
    return max(0.0, (centre - half) / (1 + z2)), min(1.0, (centre + half) / (1 + z2))


def calibration(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> Calibration:
    """Reliability of answers with confidences in [0, 1] (n,) that were right or not (n,)."""
    if bins < 1:
        raise ValueError(f"bins is {bins}, but must be at least 1.")
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, confidence, bins) / counts
        accuracy = np.bincount(place, right, bins) / counts
    error = float(np.nansum(counts * np.abs(accuracy - mean)) / max(1, len(confidence)))
    return Calibration(edges, counts, mean, accuracy, error)
