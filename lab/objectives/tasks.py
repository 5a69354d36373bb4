"""Several tasks on one trunk: the class of an image, whether its number is odd, and how the image is turned."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from lab.catalogue import Knob
from lab.data.domains import pixels_of
from lab.data.splits import DataError, Dataset, Split
from lab.objectives import objectives
from lab.objectives.objective import Batch, Look, Moment, Objective, Part
from lab.objectives.trunk import OnTrunk, features_of_last, in_full

TURNS = 4  # by 0, 90, 180 and 270 degrees
TASKS = ("class", "odd", "turned")  # in the order of their losses

Weight = Annotated[float, Field(ge=0, le=1e3, description="of its loss in the sum; 0 leaves the task out"), Knob(0, 2)]
Weighting = Annotated[
    Literal["fixed", "uncertainty"],
    Field(description="weights as they are given, or divided by a variance that is learned for each task"),
]


def weights_of(choice: Any) -> tuple[float, float, float]:
    return choice.class_weight, choice.odd_weight, choice.turned_weight


def learns_no_classes(choice: Any) -> bool:
    """Whether an objective leaves out the task to name classes, so that its accuracy is that of an untrained head."""
    return choice.name == "multi_task" and choice.class_weight == 0


@objectives.add(
    rules={"A weight must be above 0: class_weight, odd_weight or turned_weight.": lambda c: any(weights_of(c))}
)
def multi_task(
    data: Dataset,
    smoothing: float,
    *,
    class_weight: Weight = 1.0,
    odd_weight: Weight = 1.0,
    turned_weight: Weight = 1.0,
    weighting: Weighting = "fixed",
) -> Objective:
    """Several heads on one trunk: class, an attribute of the class, and by how much the image was turned.

    fixed: loss = sum_i w_i L_i ;  uncertainty: loss = sum_i w_i (e^(-s_i) L_i + s_i / 2), s_i = log sigma_i^2 learned
    L_i are cross-entropies: of the class; of whether its number is odd; of the turn (0, 90, 180, 270 degrees) of a
    second copy of the batch. With one weight above 0 it is that task alone. Accuracies of all tasks learned are told.

    Raises:
        DataError: images that are not square cannot be turned.

    Source: Caruana, Machine Learning 1997; uncertainty: Kendall et al. 2018, arXiv 1705.07115, eq. 10; turned images:
    Gidaris et al. 2018, arXiv 1803.07728.
    """
    return MultiTask(data, smoothing, (class_weight, odd_weight, turned_weight), weighting)


def weighted(losses: Tensor, weights: Tensor, log_variances: Tensor | None) -> Tensor:
    """One number out of the losses (tasks,) of several tasks; without variances their weighted sum."""
    if log_variances is None:
        return (weights * losses).sum()
    return (weights * ((-log_variances).exp() * losses + log_variances / 2)).sum()


def turned(images: Tensor, turns: Tensor) -> Tensor:
    """(b, c, n, n), each turned by 90 degrees as often as `turns` (b,), on the host, says."""
    found = images.clone()
    for times in range(1, TURNS):
        index = (turns == times).nonzero().flatten().to(images.device)
        found[index] = images[index].rot90(times, (2, 3))
    return found


class Heads(OnTrunk):
    """A head for each task beside the class, and a variance for each task where they are learned."""

    def __init__(self, trunk: nn.Module, *, variances: bool) -> None:
        super().__init__(trunk)
        features = features_of_last(trunk)
        self.odd, self.turned = nn.Linear(features, 2), nn.Linear(features, TURNS)
        self.log_variances = nn.Parameter(torch.zeros(len(TASKS))) if variances else None

    def forward(self, images: Tensor, task: str = "class") -> Tensor:
        """(b, c, h, w) -> logits of one task."""
        features, logits = self.read(images)
        return logits if task == "class" else self.get_submodule(task)(features)


class MultiTask(Objective):
    """A weighted sum of losses."""

    def __init__(self, data: Dataset, smoothing: float, weights: tuple[float, ...], weighting: str) -> None:
        super().__init__(data, smoothing)
        self.weights, self.weighting = weights, weighting
        self.learned = [task for task, weight in zip(TASKS, weights, strict=True) if weight]
        self.learns_classes = "class" in self.learned
        if "turned" in self.learned and data.shape[1] != data.shape[2]:
            raise DataError(
                f"Images of {data.shape[1]} x {data.shape[2]} pixels cannot be turned by 90 degrees. Set turned_weight "
                f"to 0, or choose square images."
            )
        self._looks: dict[Part, tuple[Look, ...]] = {}

    def network(self, model: nn.Module) -> nn.Module:
        return Heads(model, variances=self.weighting == "uncertainty")

    @property
    def meanings(self) -> dict[str, list[str]]:
        known = {"odd": list(self.data.classes), "turned": [str(90 * times) for times in range(TURNS)]}
        return {task: names for task, names in known.items() if task in self.learned}

    def batch(self, images: Tensor, labels: Tensor, moment: Moment) -> Batch:
        if "turned" not in self.learned:
            return images, labels
        turns = torch.randint(TURNS, (len(images),), generator=moment.draws)
        return images, labels, turned(images, turns), turns.to(images.device)

    def loss(self, network: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        images, labels = batch[:2]
        features, logits = network.read(torch.cat([images, batch[2]]) if "turned" in self.learned else images)
        losses = [self.classified(logits[: len(images)], labels)]
        losses.append(self.classified(network.odd(features[: len(images)]), self.odd(labels)))
        losses.append(
            functional.cross_entropy(in_full(network.turned(features[len(images) :])), batch[3])
            if "turned" in self.learned
            else losses[0].new_zeros(())
        )
        weights = losses[0].new_tensor(self.weights)
        return weighted(torch.stack(losses), weights, network.log_variances), logits[: len(images)]

    def odd(self, labels: Tensor) -> Tensor:
        """(n,) classes -> 0 or 1; (n, classes) shares -> (n, 2) shares."""
        if not labels.is_floating_point():
            return labels % 2
        return torch.stack([labels[:, 0::2].sum(1), labels[:, 1::2].sum(1)], 1)

    def looks(self, part: Part) -> tuple[Look, ...]:
        if part not in self._looks:
            split = getattr(self.data, part)
            there = {"odd": self._odd_split, "turned": self._turned_split}
            found = (Look(task, there[task](split), task) for task in self.learned if task in there)
            self._looks[part] = (*super().looks(part), *found)
        return self._looks[part]

    def _odd_split(self, split: Split) -> Split:
        return Split(split.images, self.odd(split.labels))

    def _turned_split(self, split: Split) -> Split:
        """Every image once, the first as it is, the next one turned once, and so on."""
        turns = torch.arange(len(split)) % TURNS
        return Split(turned(pixels_of(split), turns), turns)
