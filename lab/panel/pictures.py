"""The pictures that unfold with a choice, drawn in the worker thread: what an option does in the recipe shown."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import plotly.graph_objects as go

from lab.activation_plots import activation_curve, initial_weights
from lab.activations import gain_of
from lab.diagnostics.pre_activations import pre_activations
from lab.diagnostics.signals import matrices
from lab.layer_plots import parameters_by_layer
from lab.loading import data_of
from lab.optimizer_plots import path_in_valley
from lab.recipe import Recipe
from lab.schedule_plots import rate_over_run
from lab.steps import build_model

Picture = Callable[[Recipe, str | None], go.Figure | None]
LARGEST = 2**22  # weights of a layer that are drawn: more would take longer than a person waits


def of_activation(recipe: Recipe, device: str | None) -> go.Figure | None:
    """f, its slope, and behind them what this network's activations receive; None where f is no curve."""
    received = pre_activations(recipe, device=device)
    try:
        return activation_curve(recipe.activation, inputs=received)
    except ValueError:  # it mixes units
        return None


def of_init(recipe: Recipe, device: str | None) -> go.Figure | None:  # noqa: ARG001  # a Picture's signature
    """The first layer's weights; None of a layer that is too large to draw, and of weights that are not drawn."""
    if recipe.init.name == "pretrained":
        return None
    model = build_model(recipe, data_of(recipe))
    shape = next((tuple(weights[0].shape) for module in model.modules() if (weights := matrices(module))), None)
    if shape is None or prod(shape) > LARGEST:
        return None
    return initial_weights(recipe.init, shape, gain_of(recipe.activation))


def of_schedule(recipe: Recipe, device: str | None) -> go.Figure | None:  # noqa: ARG001  # a Picture's signature
    return rate_over_run(recipe)


def of_model(recipe: Recipe, device: str | None) -> go.Figure | None:  # noqa: ARG001  # a Picture's signature
    return parameters_by_layer(recipe)


def of_optimizer(recipe: Recipe, device: str | None) -> go.Figure | None:  # noqa: ARG001  # a Picture's signature
    return path_in_valley(recipe.optimizer)


PICTURES: dict[str, Picture] = {
    "model": of_model,
    "activation": of_activation,
    "init": of_init,
    "optimizer": of_optimizer,
    "schedule": of_schedule,
}
