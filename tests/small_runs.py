"""Runs of a few milliseconds, and what two of them are compared by."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import torch
from PIL import Image

from lab.catalogue import knob_of
from lab.data import datasets, load
from lab.events import Step
from lab.models import models
from lab.recipe import Recipe
from lab.runs import Run
from lab.store import decode_state, encode_state
from lab.training import Training

loop = import_module("lab.training")  # the module: `lab.training` is its function of the same name
SMALL = Recipe(modify=[{"name": "subset", "per_class": 5}], epochs=3, batch_size=8, seed=7)
TINY_CNN = {"name": "cnn", "width": 2, "hidden": 8}
SMALLER = {  # what makes a model small beside its widths
    "resnet": {"depth": 1},
    "densenet": {"depth": 2, "blocks": 2},
    "torchvision": {"network": "shufflenet_v2_x0_5"},
}


def small_model(name):
    """A model with its widths (the sliders that are logarithmic) as low as they go."""
    knobs = {key: knob_of(field) for key, field in models[name].model_fields.items()}
    lowest = {key: int(knob.low) for key, knob in knobs.items() if knob and knob.log}
    return {"name": name, **lowest, **SMALLER.get(name, {})}


# In float64 what a stack computes in another order differs in the last bits: after 21 steps by up to 2e-15, and
# 2e-12 where Adam divides by the root of a tiny second moment. A wrong formula differs by 1e-4 or more.
NEAR = 1e-11
EXACT = SMALL.changed(precision="float64", model={"name": "mlp", "width": 8})


def trained(recipe, **where):
    """A training that has come to its end on the CPU, and its events."""
    session = Training(recipe, **{"device": "cpu", **where})
    return session, list(session)


def measured(history):
    """What a run measured, without the clock, in a form where nan is equal to itself."""
    epochs = [replace(epoch, seconds=0) for epoch in history.epochs]
    return repr((history.loss, history.accuracy, history.lr, epochs))


def same_history(a, b):
    return measured(a.history) == measured(b.history)


def bits(run):
    """The weights byte by byte: nan is equal to itself."""
    weights = run.weights if isinstance(run, Run) else run.model.state_dict()
    return {name: tensor.contiguous().numpy().tobytes() for name, tensor in weights.items()}


def same_weights(a, b):
    """Whether two trainings, or a Run and a training, have the same weights to the last bit."""
    return bits(a) == bits(b)


def first_batch(session, size):
    """The indices of a run's first batch, from the stream for `order`."""
    order = torch.Generator().manual_seed(4 * session.recipe.seed + 1)
    return torch.randperm(len(session.train_split), generator=order)[:size]


def read_every(seconds, monkeypatch):
    """How long the loops leave losses on the device."""
    monkeypatch.setattr(loop, "BLOCK_SECONDS", seconds)
    monkeypatch.setattr("lab.stacks.stack.BLOCK_SECONDS", seconds)


def pictures_in(folder):
    """Digits as files, three classes of ten: a recipe whose data is streamed when it may not lie on the device."""
    root, split = folder / "pictures", load(datasets.parse("digits")).train
    for label in range(3):
        (root / str(label)).mkdir(parents=True)
        for index, image in enumerate(split.images[split.labels == label][:10]):
            Image.fromarray(image[0].numpy()).save(root / str(label) / f"{index}.png")
    data = {"name": "folder", "path": str(root), "size": 8, "colour": "grey"}
    return EXACT.changed(data=data, modify=[], epochs=2, augment=["crop"])


def as_on_another_device(monkeypatch):
    """Augmentations go the way on which nothing is looked up in between, as they do on a GPU."""
    for part in ("chain", "changes", "moves"):
        monkeypatch.setattr(import_module(f"lab.augmentations.{part}"), "at_hand", lambda images: False)


def gone_on(recipe: Recipe, file: Path) -> Training:
    """A training that another one has begun and kept in a file after half of its steps, at its end."""
    session, again = (Training(recipe, device="cpu") for _ in range(2))
    next(event for event in session if isinstance(event, Step) and event.step == session.steps // 2)
    file.write_bytes(encode_state(session.state()))
    again.restore(decode_state(file))
    list(again)
    return again
