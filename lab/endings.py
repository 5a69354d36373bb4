"""How a run ended, in words that say what to do."""

from __future__ import annotations

from math import sqrt

from torch import Tensor

from lab.data import Split
from lab.events import Finished, History

FEW_STEPS = 20  # up to so many updates, a run that is at chance may just have begun
PICKED = "picked by the target's labels, which adapting does without"  # said of an epoch, with two domains
SIGMAS = 3  # an accuracy is above chance when it is so many standard errors above it


def diverged(history: History, step: int) -> Finished:
    """The loss of a step, or of the validation after it, is not finite."""
    lr = history.lr[min(step, len(history.lr) - 1)]
    return Finished("diverged", step, f"The loss is not finite at step {step}: try a learning rate below {lr:.3g}.")


def verdict(history: History, step: int, train: Split, validation: Split, epochs: int) -> Finished:
    """Finished, or stuck: no better than naming the most frequent class.

    Either split may show that something was learned. The training accuracy is the mean over an epoch in which the
    weights still move: after a few steps it knows little of the last ones, and the validation accuracy is all there
    is. Of random labels only the training split can be learned.

    Args:
        epochs: as many as the recipe has.
    """
    last = history.epochs[-1]
    early = stopped_early(history, epochs)
    if above_chance(last.train_accuracy, train.labels) or above_chance(last.validation_accuracy, validation.labels):
        return Finished("finished", step, early)
    accuracies = f"Training accuracy {last.train_accuracy:.3f} and validation accuracy {last.validation_accuracy:.3f}"
    found = f"{accuracies} are not above chance ({chance(train.labels):.3f})"
    if step < FEW_STEPS:
        few = f"{found} after {step} step{'s' * (step != 1)}, too few to tell: try more epochs or a smaller batch_size."
        return Finished("finished", step, " ".join(filter(None, [few, early])))
    return Finished("stuck", step, f"{found}: try another learning rate or initialisation.")


def unjudged(history: History, step: int, validation: Split, epochs: int, *, blind: bool) -> Finished:
    """Finished, where accuracies do not tell what was learned; stuck where the network sees nothing of the images.

    Args:
        blind: what its last layer reads is the same for all images, up to rounding. A last layer fitted to that may
            tell them apart all the same; the network is stuck where that one is at chance, too.
    """
    at_chance = not above_chance(history.epochs[-1].validation_accuracy, validation.labels)
    if blind and at_chance and step >= FEW_STEPS:
        said = "What the last layer reads is the same for all images, as if every unit of a layer were dead"
        return Finished("stuck", step, f"{said}: try another learning rate or initialisation.")
    return Finished("finished", step, stopped_early(history, epochs))


def chance(labels: Tensor) -> float:
    """The share of the most frequent class."""
    return float(labels.bincount().max()) / len(labels)


def above_chance(accuracy: float, labels: Tensor) -> bool:
    """Whether an accuracy on these labels is higher than chance by more than its noise."""
    share = chance(labels)
    return accuracy > share + SIGMAS * sqrt(share * (1 - share) / len(labels))


def stopped_early(history: History, epochs: int) -> str:
    """Why it ended before its last epoch; nothing when it did not."""
    losses = [epoch.validation_loss for epoch in history.epochs]
    if len(losses) == epochs:
        return ""
    best = losses.index(min(losses)) + 1
    said = f"Stopped early: the validation loss was lowest, {min(losses):.4f}, after epoch {best}"
    return f"{said}; the weights are those after epoch {len(losses)} of {epochs}."


def picked(history: History) -> str:
    """By what the best epoch was picked, where the run itself may not have looked at that; else empty."""
    if history.best is None or history.best.gap is None:
        return ""
    return f"{PICKED}; the last epoch has {history.epochs[-1].validation_accuracy:.4f}"
