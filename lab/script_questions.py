"""What the lines of a stand-alone script depend on: yes or no, of one training."""

from __future__ import annotations

from inspect import isgeneratorfunction

import torch

from lab.augmentations import learners
from lab.catalogue import Choice
from lab.recipe import Recipe
from lab.steps import draws_numbers
from lab.training import Training
from lab.transfer import thawing


def learning(recipe: Recipe) -> list[Choice]:
    """Augmentations that learn from the training split before the first step."""
    return [choice for choice in recipe.augment if choice.name in learners]


def has(session: Training, kind: str) -> bool:
    """Whether the network has a layer whose class name contains `kind`."""
    return any(kind in type(layer).__name__ for layer in session.model.modules())


def takes_over(session: Training) -> bool:
    """Whether a transfer has a say in the network."""
    return session.recipe.transfer.name != "scratch"


def learns_other(session: Training) -> bool:
    """Whether something else is learned than the class of each image, from its label."""
    return session.recipe.objective.name != "supervised"


def by_layer(recipe: Recipe) -> bool:
    """Whether the optimizer is given each layer for itself."""
    return recipe.depth_decay != 1 or recipe.transfer.name in thawing


def averaging(session: Training) -> bool:
    return session.recipe.average.name != "nothing"


def has_other_weights(session: Training) -> bool:
    """Whether the network is used with other weights than those that training goes on with."""
    return averaging(session) or hasattr(session.optimizer, "used_weights") or adapts(session)


def adapts(session: Training) -> bool:
    """Whether batch normalisation is used with statistics of other images."""
    return session.objective.adapts_to is not None


def draws_randomly(session: Training) -> bool:
    """Whether a training pass uses the global random stream: dropout, noise."""
    return draws_numbers(session.model, torch.zeros(2, *session.data.shape, dtype=session.dtype, device=session.device))


def stops(choice: Choice) -> bool:
    """Whether what learns stops in between."""
    return isgeneratorfunction(learners[choice.name])


def lesson_of(choice: Choice) -> str:
    """What the script calls it."""
    return f"lesson_of_{choice.name}"
