"""Which trainings cannot be stacked."""

from __future__ import annotations

import warnings
from copy import deepcopy

import torch
from torch import Tensor

from lab.data.domains import judges_elsewhere
from lab.recipe import Recipe
from lab.stacks.forward import forward_of
from lab.steps import draws_numbers, is_out_of_memory
from lab.training import Training
from lab.transfer import freezes
from lab.used_weights import uses_other_weights


def misfit_of(session: Training) -> str:
    """Why trainings like this one cannot be stacked; empty if they can."""
    if said := alone_because(session.recipe):
        return said
    splits = (session.train_split, session.validation_split)
    if not all(isinstance(split.images, Tensor) and split.images.device == session.device for split in splits):
        return "The data of a stack must lie on its device; these images are streamed."
    if draws(session):
        return f"{session.recipe.model} draws random numbers in training: the arms of a stack would share them."
    if not maps(session):
        return f"torch cannot vectorise {session.recipe.model}: train its recipes in turn."
    return ""


def alone_because(recipe: Recipe) -> str:
    """Why a recipe trains alone whatever its network and its data are; empty if it need not."""
    optimizer, average = recipe.optimizer, recipe.average.name
    other = uses_other_weights(optimizer)
    reasons = {
        f"whose objective ({recipe.objective.name}) is not supervised": recipe.objective.name != "supervised",
        "that is judged in two domains": any(choice.name in judges_elsewhere for choice in recipe.modify),
        # A stack rounds otherwise than an arm alone: a loss that is a last bit lower could turn the whole run.
        "whose schedule or patience watches the validation": recipe.watches_validation,
        f"that changes its gradient ({', '.join(choice.name for choice in recipe.gradient)})": bool(recipe.gradient),
        f"whose transfer ({recipe.transfer.name}) lets layers rest": freezes(recipe.transfer),
        f"that is evaluated with an average of its weights ({average})": average != "nothing",
        f"whose optimizer ({optimizer.name}) is evaluated with other weights than it steps": other,
    }
    said = next((reason for reason, holds in reasons.items() if holds), "")
    return f"A recipe {said} trains alone, not in a stack." if said else ""


def draws(session: Training) -> bool:
    """Whether the network draws random numbers in training."""
    images = session.train_split.images
    assert isinstance(images, Tensor)
    return draws_numbers(session.model, session.prepare(images[:2]))


def maps(session: Training) -> bool:
    """Whether torch can vectorise the network: not nn.LSTM, nor a layer that asks a tensor for its value.

    Nor one of which torch warns that it would take the networks one by one.
    """
    images = session.train_split.images
    assert isinstance(images, Tensor)
    model = deepcopy(session.model).train()
    parameters = {name: torch.stack([part, part]) for name, part in (*model.named_parameters(), *model.named_buffers())}
    try:
        with torch.no_grad(), session.autocast, warnings.catch_warnings(action="error", category=UserWarning):
            forward_of(model)(parameters, torch.stack([session.prepare(images[:2])] * 2))
    except UserWarning:
        return False
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        return False
    return True
