"""The exported script runs without the lab and gives the same numbers."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from torch import nn

import lab
from lab.export import script

ALONE = """
import hashlib, json, runpy, sys
sys.modules["lab"] = None  # importing the lab is an error
losses, model = runpy.run_path(sys.argv[1])["main"]()
weights = [tensor.contiguous().numpy().tobytes() for tensor in model.state_dict().values()]
print(json.dumps([losses, hashlib.sha256(b"".join(weights)).hexdigest()]))
"""
RECIPES = {
    "default": {"epochs": 2},
    "schedule": {
        "epochs": 2,
        "optimizer": "adam",
        "schedule": {"name": "cosine", "warmup": 0.2},
        "activation": {"name": "leaky_relu", "slope": 0.2},
    },
    "cnn with everything": {
        "epochs": 1,
        "model": {"name": "cnn", "width": 8, "depth": 3},
        "augment": ["crop", "flip"],
        "optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        "label_smoothing": 0.1,
        "clip_norm": 0.5,
        "seed": 3,
    },
    "bfloat16": {"epochs": 1, "model": "cnn", "precision": "bfloat16"},
    "float64": {"epochs": 1, "precision": "float64", "init": {"name": "random_normal", "std": 0.1}},
    "modified": {
        "epochs": 3,
        "modify": [{"name": "subset", "per_class": 7}, {"name": "random_labels", "share": 0.5}],
        "init": "xavier_normal",
        "activation": "tanh",
    },
    "batch, gradient, average": {
        "epochs": 2,
        "model": {"name": "cnn", "width": 8},
        "optimizer": "muon",
        "gradient": ["sam", "gradient_noise", "l1", {"name": "clip_value", "limit": 0.01}, "centralise"],
        "average": {"name": "swa", "start": 0.2},
        "precision": "bfloat16",
    },
    "schedule-free": {"epochs": 1, "optimizer": "schedule_free_adamw", "schedule": {"name": "cosine", "warmup": 0.2}},
    "whole batches": {"epochs": 3, "optimizer": "batch_gd", "average": "ema"},
    "two threads": {"epochs": 1, "model": {"name": "mlp", "width": 512, "depth": 3}, "batch_size": 256},
}


def run_alone(recipe: lab.Recipe, folder: Path) -> tuple[list[float], str]:
    """The losses of a script, and a hash of the weights it ends with."""
    path = folder / "script.py"
    path.write_text(script(recipe), encoding="utf-8")
    command = [sys.executable, "-W", "error", "-c", ALONE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    losses, weights = json.loads(done.stdout.splitlines()[-1])
    return losses, weights


def trained(recipe: lab.Recipe) -> tuple[list[float], str]:
    run = lab.train(recipe, progress=False)
    assert run.weights is not None
    weights = [tensor.contiguous().numpy().tobytes() for tensor in run.weights.values()]
    return run.history.loss, hashlib.sha256(b"".join(weights)).hexdigest()


@pytest.mark.parametrize("name", RECIPES)
def test_the_script_gives_the_same_losses_bit_for_bit(name: str, tmp_path: Path) -> None:
    recipe = lab.Recipe(**RECIPES[name])
    assert run_alone(recipe, tmp_path) == trained(recipe)


def test_a_folder_of_images_exports(tmp_path: Path) -> None:
    for name, shade in (("dark", 40), ("light", 200)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (12, 9), (shade + number, shade, shade)).save(tmp_path / "images" / name / f"{number}.png")
    recipe = lab.Recipe(data={"name": "folder", "path": str(tmp_path / "images"), "size": 8}, epochs=2, batch_size=4)
    assert run_alone(recipe, tmp_path) == trained(recipe)


def test_a_persons_own_option_goes_with_the_script(tmp_path: Path) -> None:
    @lab.initializers.add
    def halves(weight, gain, generator, *, size: float = 0.5):
        """Every weight alternates around zero. Source: this test."""
        weight.normal_(0, size, generator=generator)

    try:
        recipe = lab.Recipe(init={"name": "halves", "size": 0.1}, epochs=1)
        text = script(recipe)
        assert "def halves(weight, gain, generator, *, size=0.5):" in text
        assert "initializers.add" not in text
        assert run_alone(recipe, tmp_path) == trained(recipe)
    finally:
        lab.initializers.functions.pop("halves")
        lab.initializers._choices.pop("halves")


@pytest.mark.parametrize("name", RECIPES)
def test_the_script_reads_as_clean_code(name: str, tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(script(lab.Recipe(**RECIPES[name])), encoding="utf-8")
    rules = ["--isolated", "--select", "E4,E7,E9,F,I,B,UP", "--line-length", "120"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *rules, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "lab." not in path.read_text().replace("`lab", "")


def test_batch_normalisation_under_averaged_weights_goes_with_the_script(tmp_path: Path) -> None:
    @lab.models.add
    def dropped_and_normed(shape, classes, activation):
        """Batch normalisation and dropout. Source: this test."""
        layers = [nn.Linear(math.prod(shape), 16), nn.BatchNorm1d(16), activation(), nn.Dropout(0.5)]
        return nn.Sequential(nn.Flatten(), *layers, nn.Linear(16, classes))

    try:
        recipe = lab.Recipe(model="dropped_and_normed", epochs=2, average="ema", gradient="sam")
        assert run_alone(recipe, tmp_path) == trained(recipe)
    finally:
        lab.models.functions.pop("dropped_and_normed")
        lab.models._choices.pop("dropped_and_normed")


def test_quotes_in_a_recipe_do_not_break_out_of_the_script(tmp_path: Path) -> None:
    nasty = 'a"""\nimport os  # \\'
    recipe = lab.Recipe(data={"name": "folder", "path": nasty})
    from lab.export import docstring  # noqa: PLC0415  # the one piece that holds free text before the code

    names: dict[str, object] = {}
    exec(docstring(recipe), names)
    assert "os" not in names
