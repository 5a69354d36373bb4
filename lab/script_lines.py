"""The lines of a stand-alone script: what `lab.training` does, in the same order, written for one recipe."""

from __future__ import annotations

from collections.abc import Iterator

from lab.activations import activations, gain_of
from lab.augmentations import augmentations, learners, sees_only_the_shape
from lab.augmentations.learning import settings_of
from lab.averages import averages
from lab.catalogue import Catalogue, Choice
from lab.data import datasets, modifiers
from lab.gradients import INNERMOST, from_within, gradients
from lab.initializers import after_filling, initializers
from lab.models import models
from lab.objectives import beside_trunk, objectives, trunk_of
from lab.optimizers import optimizers
from lab.recipe import Recipe
from lab.schedules import schedules, watches
from lab.script_questions import (
    adapts,
    averaging,
    by_layer,
    draws_randomly,
    has,
    has_other_weights,
    learning,
    learns_other,
    lesson_of,
    stops,
    takes_over,
)
from lab.steps import EVALUATION_BATCH, ONE_THREAD_FLOPS, STREAMS, taken_over
from lab.training import Training
from lab.transfer import sources, thawing, transfers

STREAM = {purpose: f"{len(STREAMS)} * SEED + {index}" for index, purpose in enumerate(STREAMS)}


def call(catalogue: Catalogue, choice: Choice, *context: str) -> str:
    """`adam(parameter_groups(model), lr=0.001, ...)`."""
    return f"{catalogue.functions[choice.name].__name__}({', '.join([*context, *arguments(choice)])})"


def arguments(choice: Choice) -> list[str]:
    """`["lr=LR", "beta1=0.9", ...]`."""
    return [f"{key}={'LR' if key == 'lr' else repr(value)}" for key, value in choice if key != "name"]


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
    if session.data.normalisation:
        yield "data = data.normalised_by({}, {})".format(*session.data.normalisation)
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
    outputs, network = ("objective.outputs()", "network") if learns_other(session) else ("len(data.classes)", "model")
    if learns_other(session):
        yield f"objective = {call(objectives, recipe.objective, 'data', str(recipe.label_smoothing))}"
    yield f"model = {call(models, recipe.model, 'data.shape', outputs, factory)}"
    if learns_other(session):
        yield "network = objective.network(model)"
    yield from weights_lines(recipe, network)
    if takes_over(session):
        yield from transfer_lines(session)
    layout = ".to(memory_format=torch.channels_last)" if has(session, "Conv2d") else ""
    double = ", torch.float64" if recipe.precision == "float64" else ""
    yield f"model = {network}.to(device{double}){layout}"
    optimizer = call(optimizers, recipe.optimizer, groups_call(session))
    yield f"optimizer = {optimizer if recipe.transfer.name in thawing else f'joined({optimizer})'}"
    if recipe.precision == "bfloat16":
        yield "autocast = torch.autocast(device.type, torch.bfloat16)"


def weights_lines(recipe: Recipe, network: str) -> Iterator[str]:
    """The first weights of what the script calls so."""
    yield f"weights_stream = torch.Generator().manual_seed({STREAM['init']})"
    yield f"gain = {gain_of(recipe.activation)!r}  # of {recipe.activation.name}"
    yield f"initialise({network}, lambda weight: {call(initializers, recipe.init, 'weight', 'gain', 'weights_stream')})"
    if recipe.init.name in after_filling:
        context = ", ".join(["model", "lambda count: sample(data, count)", *arguments(recipe.init)])
        yield f"{after_filling[recipe.init.name].__name__}({context})"


def transfer_lines(session: Training) -> Iterator[str]:
    """Weights of a source in their place, of layers beside the model too."""
    recipe = session.recipe
    if not taken_over(recipe, session.objective):
        yield f"model = {call(transfers, recipe.transfer, 'model', call(sources, recipe.source), 'data')}"
        return
    yield f"taken = {call(sources, recipe.source)}"
    yield f"model = {call(transfers, recipe.transfer, 'model', 'taken', 'data')}"
    yield "take_beside(network, model, taken, objective.meanings)"


def groups_call(session: Training) -> str:
    """The groups that the optimizer gets: the model's, and what an objective has put on it."""
    recipe, trunk, others = session.recipe, trunk_name(session), bool(beside_trunk(session.model))
    if by_layer(recipe):
        return f"rate_groups({trunk}, {recipe.depth_decay}{', beside_trunk(model)' if others else ''})"
    return f"parameter_groups({trunk})" + f" + parameter_groups({trunk}, beside_trunk(model))" * others


def trunk_name(session: Training) -> str:
    """What the script calls the recipe's model."""
    return "model" if trunk_of(session.model) is session.model else "model.trunk"


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
    if adapts(session):
        yield "adapted_images = objective.adapts_to.images.to(device)"
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
    transfer, model = session.recipe.transfer, trunk_name(session)
    if transfer.name in thawing:
        trained, settings = thawing[transfer.name]
        chosen = [f"{key}={getattr(transfer, key)!r}" for key in settings]
        yield f"freeze_all_but({model}, {trained.__name__}({', '.join(['epoch', 'EPOCHS', *chosen])}))"
    if takes_over(session):
        yield f"settle({model})"


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
    given = [images, labels]
    if learns_other(session):
        draws = "objective_stream(SEED, len(losses)), len(losses) / steps"
        moment = f"Moment({draws}, lambda others: prepare(others.to(device)))"
        yield f"batch = objective.batch({images}, {labels}, {moment})"
        given = ["batch"]
    if recipe.gradient:
        yield f"compute = partial(backward, {', '.join(given)})"
        for choice in from_within(recipe.gradient):
            yield f"compute = {partial_call(choice)}"
        yield "loss = compute()"
    else:
        yield from gradient_lines(session, *given)
    if recipe.clip_norm:
        yield f"torch.nn.utils.clip_grad_norm_(model.parameters(), {recipe.clip_norm})"
    yield "optimizer.step()"
    if averaging(session):
        yield f"share = {call(averages, recipe.average, 'len(losses)', 'steps_per_epoch', 'EPOCHS')}"
        yield "average = blend(average, share, model, optimizer)"
    yield "losses.append(loss.detach())"


def gradient_lines(session: Training, *given: str) -> Iterator[str]:
    """One pass of a batch, forward and backward.

    Args:
        given: what the script calls its images and labels, or the batch of an objective.
    """
    yield "optimizer.zero_grad()"
    yield from objective_lines(session, *given) if learns_other(session) else loss_lines(session, *given)
    yield "loss.backward()"


def objective_lines(session: Training, batch: str) -> Iterator[str]:
    """The loss as the objective has it."""
    mixed = session.recipe.precision == "bfloat16"
    if mixed:
        yield "with autocast:"
    yield f"{'    ' * mixed}loss, _ = objective.loss(model, {batch})"


def loss_lines(session: Training, images: str, labels: str) -> Iterator[str]:
    """The loss of the classes."""
    network, smoothing = "last" if session.layer_on_features() else "model", session.recipe.label_smoothing
    smoothed = f", label_smoothing={smoothing}" if smoothing else ""
    if session.recipe.precision == "bfloat16":
        yield "with autocast:"
        yield f"    logits = {network}({images}).float()"
        yield f"    loss = functional.cross_entropy(logits, {labels}{smoothed})"
    else:
        yield f"logits = {network}({images})"
        yield f"loss = functional.cross_entropy(logits, {labels}{smoothed})"


def backward_lines(session: Training) -> Iterator[str]:
    yield ""
    given = ["batch"] if learns_other(session) else ["images", "labels"]
    if from_within(session.recipe.gradient)[0].name in INNERMOST:
        yield from parted_lines(session, given)
        return
    yield f"def backward({', '.join(given)}):"
    for line in gradient_lines(session, *given):
        yield f"    {line}"
    yield "    return loss"
    yield ""


def parted_lines(session: Training, given: list[str]) -> Iterator[str]:
    """One pass of a batch part by part, whose gradients are added up."""
    whole = "batch" if given == ["batch"] else f"({', '.join(given)})"
    yield f"def backward({', '.join(given)}, count):"
    yield "    optimizer.zero_grad()"
    yield "    losses_of_parts = []"
    yield f"    for {whole}, share in parts_of({whole}, count):"
    for line in objective_lines(session, *given) if learns_other(session) else loss_lines(session, *given):
        yield f"        {line}"
    yield "        loss = loss if share == 1 else loss * share"
    yield "        loss.backward()"
    yield "        losses_of_parts.append(loss.detach())"
    yield "    return torch.stack(losses_of_parts).sum()"
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
    images = "adapted_images" if adapts(session) else "train_images"
    start = f"weights |= statistics(model, weights, (prepare({images}[i]) for i in spread(len({images}))))"
    yield f"    weights = dict({average}used_weights(model, optimizer))"
    indent = "    "
    for opened in filter(None, ["" if adapts(session) else "if weights:", "with autocast:" if mixed else ""]):
        yield indent + opened
        indent += "    "
    yield indent + start


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
