"""Objectives for two domains: labels in the source, images to be judged in the target.

Where the data set has one domain, its training split stands for the target: like every option they train with any data.
`lab run` says so; in the panel such a choice rests, and says so, until there are two.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from lab.catalogue import Knob
from lab.data.batches import read_all
from lab.data.splits import Dataset, Split
from lab.objectives import objectives
from lab.objectives.objective import Batch, Moment, Objective
from lab.objectives.trunk import OnTrunk, features_of_last, in_full

STEEPNESS = 10.0  # of the schedule of Ganin et al.
UNITS = 64  # of the hidden layer that tells domains apart

CoralWeight = Annotated[
    float, Field(ge=0, le=1e6, description="of the distance of the covariances in the loss"), Knob(1, 1e4, log=True)
]
DannWeight = Annotated[
    float, Field(ge=0, le=1e3, description="of the reversed gradient at the end of the run"), Knob(0, 1)
]
PerClass = Annotated[int, Field(ge=1, le=100_000, description="labelled target images of each class"), Knob(1, 50)]
After = Annotated[float, Field(ge=0, lt=1, description="share of the steps on the source before"), Knob(0, 0.9)]


@objectives.add
def coral(data: Dataset, smoothing: float, *, weight: CoralWeight = 100.0) -> Objective:
    """Deep CORAL: features of both domains are to have the same covariances; target labels are not looked at.

    loss = cross-entropy on the source + weight |C_source - C_target|^2 / (4 d^2), C the covariances of d features
    The features are what the last layer reads, where the paper takes what it gives. Target images are drawn with
    replacement, as many as in the batch, and not augmented; both pass the network as one batch. A comparison's search
    judges rates in the source; patience and on_plateau watch the validation images, whose labels are the target's.

    Source: Sun & Saenko 2016, arXiv 1607.01719, eq. 1-4.
    """
    return Coral(data, smoothing, weight)


@objectives.add
def dann(data: Dataset, smoothing: float, *, weight: DannWeight = 1.0) -> Objective:
    """Domain-adversarial training: features from which a second head cannot tell the domain; no target labels.

    loss = cross-entropy on the source + mean log loss of the domain head, whose gradient reaches the features times
    -lambda ;  lambda = weight (2 / (1 + e^(-10 p)) - 1), p the share of the run
    The head is linear, relu, linear, on what the last layer reads. Target images are drawn as for coral, and
    what is said there of who looks at their labels holds here.

    Source: Ganin et al. 2016, arXiv 1505.07818, eq. 13-18 and section 5.2.2.
    """
    return Dann(data, smoothing, weight)


@objectives.add
def adapted_statistics(data: Dataset, smoothing: float) -> Objective:
    """AdaBN: trained on the source alone, then used with batch normalisation's statistics of target images.

    x^ = (x - mean_target) / sd_target in each normalisation, over up to 2,048 target training images without labels

    Source: Li et al. 2016, arXiv 1603.04779.
    """
    return AdaptedStatistics(data, smoothing)


@objectives.add
def fine_tuned_on_target(data: Dataset, smoothing: float, *, per_class: PerClass = 5, after: After = 0.5) -> Objective:
    """Train on the source first, then on a few labelled images of the target, all in one run.

    p < after: batches of the source ;  p >= after: as many images, drawn from per_class of each class of the target
    The schedule of the rate goes on through both. Target images are not augmented. A comparison's search judges rates
    in the source, which the second part may forget: compare it at given rates.

    Source: Yosinski et al. 2014, arXiv 1411.1792; labels in the target: Daume 2007, arXiv 0907.1815 (baselines).
    """
    return FineTuned(data, smoothing, per_class, after)


def coral_distance(source: Tensor, target: Tensor) -> Tensor:
    """|C_source - C_target|^2 / (4 d^2) of features (n, d) and (m, d); 0 where the covariances are equal."""
    return (covariance(source) - covariance(target)).square().sum() / (4 * source.size(1) ** 2)


def covariance(features: Tensor) -> Tensor:
    """(n, d) -> (d, d), divided by n - 1; of one image 0."""
    centred = features - features.mean(0)
    return centred.T @ centred / max(1, len(features) - 1)


class Reversal(torch.autograd.Function):
    """The identity; the gradient that comes back is turned round, and scaled."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, strength: Tensor) -> Tensor:
        ctx.save_for_backward(strength)
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (strength,) = ctx.saved_tensors
        return -strength * gradients[0], None


def reversal_strength(progress: float) -> float:
    """0 at the start of a run, nearly 1 from its middle on."""
    return 2 / (1 + math.exp(-STEEPNESS * progress)) - 1


class TwoDomains(Objective):
    """Batches of the source, and beside each as many images of the target."""

    def __init__(self, data: Dataset, smoothing: float, weight: float) -> None:
        super().__init__(data, smoothing)
        self.weight, self.target = weight, target_of(data)

    def network(self, model: nn.Module) -> nn.Module:
        return OnTrunk(model)

    def batch(self, images: Tensor, labels: Tensor, moment: Moment) -> Batch:
        return images, labels, moment.prepare(drawn(self.target, len(images), moment.draws)[0])

    def read_both(self, network: OnTrunk, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Features of the source and of the target (n, d) each, and logits of the source."""
        features, logits = network.read(torch.cat([batch[0], batch[2]]))
        source, target = features.split(len(batch[0]))
        return source, target, logits[: len(batch[0])]


class Coral(TwoDomains):
    """Equal covariances."""

    def loss(self, network: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        source, target, logits = self.read_both(network, batch)
        with torch.autocast(source.device.type, enabled=False):
            apart = coral_distance(in_full(source), in_full(target))
        return self.classified(logits, batch[1]) + self.weight * apart, logits


class WithDomainHead(OnTrunk):
    """A head that tells the source (0) from the target (1)."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__(trunk)
        self.domain = nn.Sequential(nn.Linear(features_of_last(trunk), UNITS), nn.ReLU(), nn.Linear(UNITS, 1))


class Dann(TwoDomains):
    """A head that must not be able to tell the domains apart."""

    def network(self, model: nn.Module) -> nn.Module:
        return WithDomainHead(model)

    def batch(self, images: Tensor, labels: Tensor, moment: Moment) -> Batch:
        strength = images.new_tensor(self.weight * reversal_strength(moment.progress))
        return *super().batch(images, labels, moment), strength

    def loss(self, network: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        source, target, logits = self.read_both(network, batch)
        reversed_features: Any = Reversal.apply(torch.cat([source, target]), batch[3])
        told = in_full(network.domain(reversed_features)).squeeze(1)
        truth = torch.cat([told.new_zeros(len(source)), told.new_ones(len(target))])
        return self.classified(logits, batch[1]) + functional.binary_cross_entropy_with_logits(told, truth), logits


class AdaptedStatistics(Objective):
    """Statistics of the target."""

    def __init__(self, data: Dataset, smoothing: float) -> None:
        super().__init__(data, smoothing)
        self.adapts_to = target_of(data)


class FineTuned(Objective):
    """The source, then a little of the target."""

    def __init__(self, data: Dataset, smoothing: float, per_class: int, after: float) -> None:
        super().__init__(data, smoothing)
        self.after, self.few = after, first_of_each_class(target_of(data), per_class)

    def batch(self, images: Tensor, labels: Tensor, moment: Moment) -> Batch:
        if moment.progress < self.after:
            return images, labels
        chosen, theirs = drawn(self.few, len(images), moment.draws)
        return moment.prepare(chosen), theirs.to(images.device)


def target_of(data: Dataset) -> Split:
    """Images to adapt to, in memory."""
    split = data.shift.target if data.shift else data.train
    return split if isinstance(split.images, Tensor) else Split(read_all(split.images), split.labels)


def first_of_each_class(split: Split, count: int) -> Split:
    """So many images of each class, the first ones."""
    kept = torch.cat([(split.labels == label).nonzero().flatten()[:count] for label in split.labels.unique()])
    return split.take(kept)


def drawn(split: Split, count: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images uint8 (count, c, h, w) and labels (count,) on the host, drawn with replacement."""
    index = torch.randint(len(split), (count,), generator=draws)
    assert isinstance(split.images, Tensor)
    return split.images[index], split.labels[index]
