"""How a run ended, in words that say what to do."""

from __future__ import annotations

from math import sqrt

from torch import Tensor

from lab.events import Finished, History


def diverged(history: History, step: int) -> Finished:
    """The loss of a step, or of the validation after it, is not finite."""
    lr = history.lr[min(step, len(history.lr) - 1)]
    return Finished("diverged", step, f"The loss is not finite at step {step}: try a learning rate below {lr:.3g}.")


def verdict(history: History, step: int, labels: Tensor, epochs: int) -> Finished:
    """Finished, or stuck: no better on its own training images than naming the most frequent class.

    Args:
        labels: (n,) of the training images; epochs: as many as the recipe has.
    """
    share = float(labels.bincount().max()) / len(labels)
    noise = sqrt(share * (1 - share) / len(labels))
    accuracy = history.epochs[-1].train_accuracy
    if accuracy > share + 3 * noise:
        return Finished("finished", step, stopped_early(history, epochs))
    detail = f"Training accuracy {accuracy:.3f} is not above chance ({share:.3f})"
    return Finished("stuck", step, f"{detail}: try another learning rate or initialisation.")


def stopped_early(history: History, epochs: int) -> str:
    """Why it ended before its last epoch; nothing when it did not."""
    losses = [epoch.validation_loss for epoch in history.epochs]
    if len(losses) == epochs:
        return ""
    best = losses.index(min(losses)) + 1
    said = f"Stopped early: the validation loss was lowest, {min(losses):.4f}, after epoch {best}"
    return f"{said}; the weights are those after epoch {len(losses)} of {epochs}."
