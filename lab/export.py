"""Recipe -> one stand-alone PyTorch script that gives the same numbers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from lab.activations import activations
from lab.augmentations import Pending, augmentations, learners
from lab.augmentations.learning import finished
from lab.averages import averages, blend
from lab.bundle import Bundle, bound_names
from lab.catalogue import RecipeError
from lab.data import batches, datasets, modifiers
from lab.depth import rate_groups
from lab.features import features_of
from lab.gradients import INNERMOST, from_within, gradients
from lab.initializers import after_filling, initializers
from lab.last_layer import end_of
from lab.models import initialise, models
from lab.objectives import Moment, beside_trunk, objectives, take_beside
from lab.optimizers import joined, optimizers, parameter_groups
from lab.recipe import Recipe
from lab.schedules import ramped, schedules
from lab.script_lines import evaluate_lines, main_lines
from lab.script_questions import (
    averaging,
    by_layer,
    draws_randomly,
    has_other_weights,
    learning,
    learns_other,
    stops,
    takes_over,
)
from lab.steps import (
    EVALUATION_BATCH,
    learning_stream,
    noise_stream,
    objective_stream,
    parts_of,
    seed_dropout,
    stalled,
    taken_over,
)
from lab.training import Training
from lab.transfer import settle, sources, thawing, transfers
from lab.transfer.freezing import freeze_all_but
from lab.used_weights import spread, statistics, used_weights

KEPT = "model.pt"  # the file of the script's weights, where it is run


def script(recipe: Recipe) -> str:
    """The recipe as a Python program without the lab in it; its losses equal `train`'s, bit for bit on a CPU.

    Raises:
        DataError: the recipe's data set is not on this machine (the network's shape depends on it).
        RecipeError: two things that the script needs have one name, or the objective's steps cannot be written down.
    """
    session = Training(recipe, device="cpu", data_budget_bytes=0)
    if session.objective.takes_views or not session.objective.uses_labels:
        raise RecipeError(
            f"objective {recipe.objective.name} cannot be written as a script. Train it with `lab run`, and write the "
            f"recipe that takes its weights over: source={{name: run, folder: ...}}."
        )
    bundle = Bundle()
    for function in functions_of(session):
        bundle.add(function)
    body, constants = "\n".join(main_lines(session)), settings(session)
    bundle.use(body, sys.modules[__name__])
    refuse_taken(session, bundle, {"evaluate", "main", *bound_names("\n".join(constants))}, bound_names(body))
    if recipe.gradient:
        bundle.imports.add(("functools", "partial", "partial"))
    if has_other_weights(session):
        bundle.imports.add(("torch.func", "functional_call", "functional_call"))
    bundle.imports |= {
        ("torch", "", "torch"),
        ("math", "", "math"),
        ("torch.nn", "functional", "functional"),
    }
    constants += bundle.constants.values()
    parts = [*bundle.definitions.values(), "\n".join(evaluate_lines(session)), body, ENTRY]
    head = "\n".join([docstring(recipe), "", "from __future__ import annotations", "", *bundle.import_lines()])
    return "\n\n\n".join(["\n\n".join([head, "\n".join(constants)]), *parts]) + "\n"


def refuse_taken(session: Training, bundle: Bundle, own: set[str], local: set[str]) -> None:
    """Raises RecipeError when what the script takes over has the name of something of the script's own.

    Args:
        own: its names outside of `main`; local: those inside, which hide only what `main` itself calls.
    """
    called = {function.__name__ for function in functions_of(session)}
    if taken := sorted((own & {*bundle.definitions, *bundle.constants}) | (local & called)):
        raise RecipeError(
            f"The script has something of its own that is called {taken[0]!r}: rename the option's function."
        )


def functions_of(session: Training) -> Iterator[Any]:
    """Every function of ours that the script calls."""
    recipe = session.recipe
    yield datasets.functions[recipe.data.name]
    yield from (modifiers.functions[choice.name] for choice in recipe.modify)
    yield from (batches.to_float, batches.normalise)
    yield from (augmentations.functions[choice.name] for choice in recipe.augment)
    if recipe.augment:
        yield Pending
    for choice in learning(recipe):
        yield from (learning_stream, learners[choice.name], *([finished] if stops(choice) else []))
    yield from functions_of_network(session)
    yield from functions_of_steps(session)


def functions_of_network(session: Training) -> Iterator[Any]:
    """What makes the network, and fills it."""
    recipe = session.recipe
    yield from (activations.functions[recipe.activation.name], models.functions[recipe.model.name])
    yield from (initializers.functions[recipe.init.name], initialise)
    if recipe.init.name in after_filling:
        yield from (after_filling[recipe.init.name], batches.sample)
    if learns_other(session):
        yield from (objectives.functions[recipe.objective.name], Moment, objective_stream)
    if takes_over(session):
        yield from (sources.functions[recipe.source.name], transfers.functions[recipe.transfer.name], settle)
        yield from [take_beside] * bool(taken_over(recipe, session.objective))
    if recipe.transfer.name in thawing:
        yield from (freeze_all_but, thawing[recipe.transfer.name].trained)
    if session.layer_on_features() is not None:
        yield from (end_of, features_of)


def functions_of_steps(session: Training) -> Iterator[Any]:
    """What the steps call."""
    recipe = session.recipe
    yield from (
        rate_groups if by_layer(recipe) else parameter_groups,
        *([beside_trunk] if beside_trunk(session.model) else []),
        *([] if recipe.transfer.name in thawing else [joined]),
        optimizers.functions[recipe.optimizer.name],
        schedules.functions[recipe.schedule.name],
    )
    if recipe.warmup or recipe.cooldown:
        yield ramped
    if recipe.patience:
        yield stalled
    yield from (gradients.functions[choice.name] for choice in recipe.gradient)
    if recipe.gradient:
        yield noise_stream
        yield from [parts_of] * (from_within(recipe.gradient)[0].name in INNERMOST)
    if averaging(session):
        yield from (averages.functions[recipe.average.name], blend)
    if has_other_weights(session):
        yield from (used_weights, spread, statistics)
    if draws_randomly(session):
        yield seed_dropout


def docstring(recipe: Recipe) -> str:
    indented = (
        "\n".join(f"    {line}" for line in recipe.to_yaml().splitlines()).replace("\\", "\\\\").replace('"""', '\\"""')
    )
    return (
        f'"""{recipe.model.name} on {recipe.data.name} with {recipe.optimizer.name}: recipe {recipe.id}.\n\n'
        f"Written for torch {version('torch').split('+')[0]}; on a CPU, with that version and the same number of\n"
        f"threads, it gives the losses of the run it was made from to the last digit.\n\n{indented}\n"
        '"""'
    )


def settings(session: Training) -> list[str]:
    recipe = session.recipe
    lines = [f"SEED = {recipe.seed}", f"EPOCHS = {recipe.epochs}", f"BATCH_SIZE = {session.batch_size}"]
    return [*lines, f"LR = {getattr(recipe.optimizer, 'lr', 1.0)!r}", f"EVALUATION_BATCH = {EVALUATION_BATCH}"]


ENTRY = f"""if __name__ == "__main__":
    _, trained = main()
    torch.save(trained.state_dict(), "{KEPT}")
    print("weights in {KEPT}")"""
