"""Which trainings cannot be stacked."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from lab.stacks.forward import forward_of
from lab.steps import dropout_stream, is_out_of_memory
from lab.training import Training


def misfit_of(session: Training) -> str:
    """Why trainings like this one cannot be stacked; empty if they can."""
    splits = (session.train_split, session.validation_split)
    if not all(isinstance(split.images, Tensor) and split.images.device == session.device for split in splits):
        return "The data of a stack must lie on its device; these images are streamed."
    if draws(session):
        return f"{session.recipe.model} draws random numbers in training: the arms of a stack would share them."
    if not maps(session):
        return f"torch cannot vectorise {session.recipe.model}: train its recipes in turn."
    return ""


def draws(session: Training) -> bool:
    """Whether the network draws random numbers in training."""
    images = session.train_split.images
    assert isinstance(images, Tensor)
    model = deepcopy(session.model).train()
    with dropout_stream(0, 0, session.device) as moved, torch.no_grad():
        model(session.prepare(images[:2]))
        return moved()


def maps(session: Training) -> bool:
    """Whether torch can vectorise the network: not an LSTM, nor a layer that asks a tensor for its value."""
    images = session.train_split.images
    assert isinstance(images, Tensor)
    model = deepcopy(session.model).train()
    parameters = {name: tensor[None] for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    try:
        with torch.no_grad(), session.autocast:
            forward_of(model)(parameters, session.prepare(images[:2])[None])
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        return False
    return True
