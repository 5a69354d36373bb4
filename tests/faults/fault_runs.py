"""Runs that something happens to, and what is left of them."""

from dataclasses import replace

from lab.events import Step
from lab.recipe import Recipe
from lab.store import Recorder
from lab.training import Training

SGD = Recipe(
    modify=[{"name": "subset", "per_class": 4}],
    model={"name": "cnn", "width": 4, "hidden": 16},
    optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.9},
    augment=["flip", {"name": "crop", "padding": 1}],
    epochs=4,
    batch_size=8,
)
RECIPES = {"momentum": SGD, "adam": SGD.changed(**{"optimizer": "adam", "optimizer.lr": 0.01})}
STEPS = 20
QUIET = {"progress": False, "device": "cpu"}


def numbers(run):
    """How a run ended, what it measured, without the clock, and its weights byte by byte."""
    history = replace(run.history, epochs=[replace(epoch, seconds=0) for epoch in run.history.epochs])
    return run.status, repr(history), {name: tensor.numpy().tobytes() for name, tensor in run.weights.items()}


def stopped_run(folder, step=5, recipe=SGD):
    """A run that was stopped after a step, with a checkpoint of it and one from before."""
    recorder = Recorder(Training(recipe, device="cpu"), folder, checkpoint_seconds=0)
    for event in recorder:
        if isinstance(event, Step) and event.step == step:
            break
    recorder.close()
    return folder


def start(nursery, target, *args):
    """A process, and our end of the wire to it; reading from a dead process is an error, not a wait."""
    ours, theirs = nursery.Pipe()
    process = nursery.Process(target=target, args=(*args, theirs), daemon=True)
    process.start()
    theirs.close()
    return process, ours
