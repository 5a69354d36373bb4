"""Recipe -> one stand-alone PyTorch script that gives the same numbers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from copy import deepcopy
from importlib.metadata import version
from inspect import isgeneratorfunction
from typing import Any

import torch

from lab.activations import activations, gain_of
from lab.augmentations import Pending, augmentations, learners, sees_only_the_shape
from lab.augmentations.learning import finished, settings_of
from lab.averages import averages, blend
from lab.bundle import Bundle, bound_names
from lab.catalogue import Catalogue, Choice
from lab.data import batches, datasets, modifiers
from lab.depth import rate_groups
from lab.features import end_of, features_of
from lab.gradients import gradients
from lab.initializers import after_filling, initializers
from lab.models import initialise, models
from lab.optimizers import joined, optimizers, parameter_groups
from lab.recipe import Recipe
from lab.schedules import ramped, schedules, watches
from lab.steps import (
    EVALUATION_BATCH,
    ONE_THREAD_FLOPS,
    STREAMS,
    dropout_stream,
    learning_stream,
    noise_stream,
    seed_dropout,
    stalled,
)
from lab.training import Training
from lab.transfer import settle, sources, thawing, transfers
from lab.transfer.freezing import freeze_all_but
from lab.used_weights import spread, statistics, used_weights

KEPT = "model.pt"  # the file of the script's weights, where it is run
STREAM = {purpose: f"{len(STREAMS)} * SEED + {index}" for index, purpose in enumerate(STREAMS)}


def script(recipe: Recipe) -> str:
    """The recipe as a Python program without the lab in it; its losses equal `train`'s, bit for bit on a CPU.

    Raises:
        DataError: the recipe's data set is not on this machine (the network's shape depends on it).
        ValueError: two things that the script needs have one name.
    """
    session = Training(recipe, device="cpu", data_budget_bytes=0)
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
    """Raises ValueError when what the script takes over has the name of something of the script's own.

    Args:
        own: its names outside of `main`; local: those inside, which hide only what `main` itself calls.
    """
    called = {function.__name__ for function in functions_of(session)}
    if taken := sorted((own & {*bundle.definitions, *bundle.constants}) | (local & called)):
        raise ValueError(
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
    yield from (activations.functions[recipe.activation.name], models.functions[recipe.model.name])
    yield from (initializers.functions[recipe.init.name], initialise)
    if recipe.init.name in after_filling:
        yield from (after_filling[recipe.init.name], batches.sample)
    if takes_over(session):
        yield from (sources.functions[recipe.source.name], transfers.functions[recipe.transfer.name], settle)
    if recipe.transfer.name in thawing:
        yield from (freeze_all_but, thawing[recipe.transfer.name].trained)
    if session.layer_on_features() is not None:
        yield from (end_of, features_of)
    yield from (
        rate_groups if by_layer(recipe) else parameter_groups,
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


def call(catalogue: Catalogue, choice: Choice, *context: str) -> str:
    """`adam(parameter_groups(model), lr=0.001, ...)`."""
    return f"{catalogue.functions[choice.name].__name__}({', '.join([*context, *arguments(choice)])})"


def arguments(choice: Choice) -> list[str]:
    """`["lr=LR", "beta1=0.9", ...]`."""
    return [f"{key}={'LR' if key == 'lr' else repr(value)}" for key, value in choice if key != "name"]


def learning(recipe: Recipe) -> list[Choice]:
    """Augmentations that learn from the training split before the first step."""
    return [choice for choice in recipe.augment if choice.name in learners]


def has(session: Training, kind: str) -> bool:
    """Whether the network has a layer whose class name contains `kind`."""
    return any(kind in type(layer).__name__ for layer in session.model.modules())


def takes_over(session: Training) -> bool:
    """Whether a transfer has a say in the network."""
    return session.recipe.transfer.name != "scratch"


def by_layer(recipe: Recipe) -> bool:
    """Whether the optimizer is given each layer for itself."""
    return recipe.depth_decay != 1 or recipe.transfer.name in thawing


def averaging(session: Training) -> bool:
    return session.recipe.average.name != "nothing"


def has_other_weights(session: Training) -> bool:
    """Whether the network is used with other weights than those that training goes on with."""
    return averaging(session) or hasattr(session.optimizer, "used_weights")


def draws_randomly(session: Training) -> bool:
    """Whether a training pass uses the global random stream: dropout, noise."""
    trial, images = deepcopy(session.model).train(), torch.zeros(2, *session.data.shape, dtype=session.dtype)
    with dropout_stream(0, 0, session.device) as moved, torch.no_grad():
        trial(images)
        return moved()


def main_lines(session: Training) -> Iterator[str]:
    """The script's `main`: the same operations, in the same order, as `lab.training`."""
    yield "def main():"
    yield '    """Train; return the loss of every step and the trained network."""'
    for line in [*data_lines(session), *model_lines(session), *loop_lines(session)]:
        yield f"    {line}" if line else ""


def data_lines(session: Training) -> Iterator[str]:
    recipe = session.recipe
    dtype = "torch.float64" if recipe.precision == "float64" else "torch.float32"
    yield 'device = torch.device("cuda" if torch.cuda.is_available() else "cpu")'
    yield f"data = {call(datasets, recipe.data)}"
    for choice in recipe.modify:
        yield f"data = {call(modifiers, choice, 'data')}"
    read = "torch.stack([images[i] for i in range(len(images))])" if recipe.data.name == "folder" else "images"
    for part in ("train", "validation"):
        yield f"images = data.{part}.images"
        yield f"{part}_images, {part}_labels = {read}.to(device), data.{part}.labels.to(device)"
    yield f"constants = [torch.tensor(values, dtype={dtype}, device=device) for values in data.statistics]"
    yield "mean, std = (values.view(1, -1, 1, 1) for values in constants)"
    yield f"order = torch.Generator().manual_seed({STREAM['order']})"
    if recipe.augment:
        yield f"draws = torch.Generator(device).manual_seed({STREAM['augment']})"
    for choice in learning(recipe):
        split = "train_images, train_labels, len(data.classes), learning_stream(SEED, device)"
        chosen = [f"{key}={value!r}" for key, value in settings_of(choice).items()]
        taught = f"{learners[choice.name].__name__}({', '.join([split, *chosen])})"
        yield f"{lesson_of(choice)} = {f'finished({taught})' if stops(choice) else taught}"
    yield from prepare_lines(session, dtype)


def stops(choice: Choice) -> bool:
    """Whether what learns stops in between."""
    return isgeneratorfunction(learners[choice.name])


def lesson_of(choice: Choice) -> str:
    """What the script calls it."""
    return f"lesson_of_{choice.name}"


def prepare_lines(session: Training, dtype: str) -> Iterator[str]:
    layout = ".contiguous(memory_format=torch.channels_last)" if has(session, "Conv2d") else ""
    yield ""
    yield "def prepare(images):"
    yield f"    return normalise(to_float(images, {dtype}), mean, std){layout}"
    yield ""
    if session.recipe.augment:
        yield "def prepare_batch(images, labels):"
        yield f"    batch = Pending(images, labels, len(data.classes), {dtype})"
        for choice in session.recipe.augment:
            given = "shape" if sees_only_the_shape(augmentations.functions[choice.name]) else "images"
            learned = ["batch.shares", lesson_of(choice)] if choice.name in learners else []
            yield f"    batch.add({call(augmentations, choice, f'batch.{given}', 'draws', *learned)})"
        yield f"    return normalise(batch.images, mean, std){layout}, batch.labels"
        yield ""


def model_lines(session: Training) -> Iterator[str]:
    recipe = session.recipe
    activation = call(activations, recipe.activation)
    factory = activation.removesuffix("()") if activation.endswith("()") else f"lambda: {activation}"
    yield "torch.manual_seed(SEED)"
    yield f"model = {call(models, recipe.model, 'data.shape', 'len(data.classes)', factory)}"
    yield f"weights_stream = torch.Generator().manual_seed({STREAM['init']})"
    yield f"gain = {gain_of(recipe.activation)!r}  # of {recipe.activation.name}"
    yield f"initialise(model, lambda weight: {call(initializers, recipe.init, 'weight', 'gain', 'weights_stream')})"
    if recipe.init.name in after_filling:
        context = ", ".join(["model", "lambda count: sample(data, count)", *arguments(recipe.init)])
        yield f"{after_filling[recipe.init.name].__name__}({context})"
    if takes_over(session):
        yield f"model = {call(transfers, recipe.transfer, 'model', call(sources, recipe.source), 'data')}"
    layout = ".to(memory_format=torch.channels_last)" if has(session, "Conv2d") else ""
    double = ", torch.float64" if recipe.precision == "float64" else ""
    yield f"model = model.to(device{double}){layout}"
    groups = f"rate_groups(model, {recipe.depth_decay})" if by_layer(recipe) else "parameter_groups(model)"
    optimizer = call(optimizers, recipe.optimizer, groups)
    yield f"optimizer = {optimizer if recipe.transfer.name in thawing else f'joined({optimizer})'}"
    if recipe.precision == "bfloat16":
        yield "autocast = torch.autocast(device.type, torch.bfloat16)"


def loop_lines(session: Training) -> Iterator[str]:
    recipe = session.recipe
    yield ""
    yield "steps_per_epoch = math.ceil(len(train_images) / BATCH_SIZE)"
    yield "steps = EPOCHS * steps_per_epoch"
    yield "losses = []"
    if recipe.watches_validation:
        yield "validations = []"
    if recipe.warmup or recipe.cooldown:
        yield from ["", "def schedule(progress):", f"    return {schedule_call(recipe, 'progress')}", ""]
    if averaging(session):
        yield "average = {}"
    if recipe.gradient:
        yield from backward_lines(session)
    yield from features_lines(session)
    if session.flops_per_step < ONE_THREAD_FLOPS:
        yield "torch.set_num_threads(1)  # a second thread saves nothing on so small a network"
    yield "for epoch in range(EPOCHS):"
    for line in thaw_lines(session):
        yield f"    {line}"
    yield "    permutation = torch.randperm(len(train_images), generator=order).to(device)"
    yield "    for index in permutation.split(BATCH_SIZE):"
    for line in step_lines(session):
        yield f"        {line}"
    autocast = ", autocast" if recipe.precision == "bfloat16" else ""
    if has_other_weights(session):
        yield from other_weights_lines(session)
        autocast += ", weights"
    looked_at = (
        "last, torch.nn.Identity(), validation_features"
        if session.layer_on_features()
        else "model, prepare, validation_images"
    )
    yield f"    loss, accuracy = evaluate({looked_at}, validation_labels{autocast})"
    yield '    print(f"epoch {epoch + 1}: validation loss {loss:.4f}, accuracy {accuracy:.4f}")'
    if recipe.watches_validation:
        yield "    validations.append((loss, accuracy))"
    if recipe.patience:
        yield f"    if stalled([loss for loss, _ in validations], {recipe.patience}):"
        yield "        break"
    if has_other_weights(session):
        yield "model.load_state_dict(weights, strict=False)"
    yield "return [loss.item() for loss in losses], model"


def features_lines(session: Training) -> Iterator[str]:
    """What the last layer reads of each image, where that is computed once."""
    if session.layer_on_features() is None:
        return
    mixed = session.recipe.precision == "bfloat16"
    if mixed:
        yield "with autocast:"
    indent = "    " * mixed
    yield f"{indent}last = end_of(model, prepare(train_images[:1]))"
    for part in ("train", "validation"):
        prepared = f"(prepare(images) for images in {part}_images.split({EVALUATION_BATCH}))"
        yield f"{indent}{part}_features = torch.cat(list(features_of(model, last, {prepared})))"


def thaw_lines(session: Training) -> Iterator[str]:
    """At the start of an epoch: which layers train in it, and that the others rest."""
    transfer = session.recipe.transfer
    if transfer.name in thawing:
        trained, settings = thawing[transfer.name]
        chosen = [f"{key}={getattr(transfer, key)!r}" for key in settings]
        yield f"freeze_all_but(model, {trained.__name__}({', '.join(['epoch', 'EPOCHS', *chosen])}))"
    if takes_over(session):
        yield "settle(model)"


def schedule_call(recipe: Recipe, progress: str) -> str:
    return call(schedules, recipe.schedule, progress, *(["validations"] if watches(recipe.schedule) else []))


def rate_lines(recipe: Recipe) -> Iterator[str]:
    """This step's learning rate, and what each group has of it."""
    factor = schedule_call(recipe, "len(losses) / steps")
    if recipe.warmup or recipe.cooldown:
        factor = f"ramped(schedule, len(losses) / steps, warmup={recipe.warmup}, cooldown={recipe.cooldown})"
    scale = "" if recipe.depth_decay == 1 else 'group["scale"] * '
    yield f"factor = {factor}"
    yield "for group in optimizer.param_groups:"
    yield f'    group["lr"] = LR * {scale}factor'


def step_lines(session: Training) -> Iterator[str]:
    recipe = session.recipe
    yield from rate_lines(recipe)
    if draws_randomly(session):
        yield "seed_dropout(SEED, len(losses), device)"
    images, labels = ("images", "labels") if recipe.augment else ("prepare(train_images[index])", "train_labels[index]")
    if session.layer_on_features():
        images = "train_features[index]"
    if recipe.augment:
        yield "images, labels = prepare_batch(train_images[index], train_labels[index])"
    if recipe.gradient:
        yield f"compute = partial(backward, {images}, {labels})"
        for choice in recipe.gradient:
            yield f"compute = {partial_call(choice)}"
        yield "loss = compute()"
    else:
        yield from gradient_lines(session, images, labels)
    if recipe.clip_norm:
        yield f"torch.nn.utils.clip_grad_norm_(model.parameters(), {recipe.clip_norm})"
    yield "optimizer.step()"
    if averaging(session):
        yield f"share = {call(averages, recipe.average, 'len(losses)', 'steps_per_epoch', 'EPOCHS')}"
        yield "average = blend(average, share, model, optimizer)"
    yield "losses.append(loss.detach())"


def gradient_lines(session: Training, images: str, labels: str) -> Iterator[str]:
    """One pass of a batch, forward and backward."""
    network, smoothing = "last" if session.layer_on_features() else "model", session.recipe.label_smoothing
    smoothed = f", label_smoothing={smoothing}" if smoothing else ""
    if session.recipe.precision == "bfloat16":
        yield "with autocast:"
        yield f"    logits = {network}({images}).float()"
        yield f"    loss = functional.cross_entropy(logits, {labels}{smoothed})"
    else:
        yield f"logits = {network}({images})"
        yield f"loss = functional.cross_entropy(logits, {labels}{smoothed})"
    yield "optimizer.zero_grad()"
    yield "loss.backward()"


def backward_lines(session: Training) -> Iterator[str]:
    yield ""
    yield "def backward(images, labels):"
    for line in gradient_lines(session, "images", "labels"):
        yield f"    {line}"
    yield "    return loss"
    yield ""


def partial_call(choice: Choice) -> str:
    """A change to the gradient around what is computed so far."""
    start = f"{gradients.functions[choice.name].__name__}, compute, model"
    chosen = [f"{key}={value!r}" for key, value in choice if key != "name"]
    return f"partial({', '.join([start, 'noise_stream(SEED, len(losses), device)', 'len(losses)', *chosen])})"


def other_weights_lines(session: Training) -> Iterator[str]:
    """At the end of an epoch: what the network is used with in place of what it is trained with."""
    average = "average or " if averaging(session) else ""
    mixed = session.recipe.precision == "bfloat16"
    start = "weights |= statistics(model, weights, (prepare(train_images[i]) for i in spread(len(train_images))))"
    yield f"    weights = dict({average}used_weights(model, optimizer))"
    yield "    if weights:"
    if mixed:
        yield "        with autocast:"
    yield f"        {'    ' * mixed}{start}"


def evaluate_lines(session: Training) -> Iterator[str]:
    mixed, other = session.recipe.precision == "bfloat16", has_other_weights(session)
    network = "functional_call(model, weights, (prepare(images[part]),))" if other else "model(prepare(images[part]))"
    yield "@torch.inference_mode()"
    yield f"def evaluate(model, prepare, images, labels{', autocast' * mixed}{', weights' * other}):"
    yield '    """Loss (mean nats per example) and accuracy (fraction)."""'
    yield "    model.eval()"
    yield "    sums = []"
    yield "    for start in range(0, len(images), EVALUATION_BATCH):"
    yield "        part = slice(start, start + EVALUATION_BATCH)"
    if mixed:
        yield "        with autocast:"
        yield f"            logits = {network}.float()"
    else:
        yield f"        logits = {network}"
    yield '        loss = functional.cross_entropy(logits, labels[part], reduction="sum")'
    yield "        sums.append(torch.stack([loss, (logits.argmax(1) == labels[part]).sum()]))"
    yield "    model.train()"
    yield "    loss, correct = torch.stack(sums).sum(0).tolist()"
    yield "    return loss / len(images), correct / len(images)"


ENTRY = f"""if __name__ == "__main__":
    _, trained = main()
    torch.save(trained.state_dict(), "{KEPT}")
    print("weights in {KEPT}")"""
