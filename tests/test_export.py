"""The exported script runs without the lab and gives the same numbers."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from torch import nn

import lab
from lab.bundle import Bundle
from lab.export import script
from lab.schedules import watches
from lab.script_lines import rate_lines
from lab.training import Training

Result = tuple[list[float], str]  # the losses, and a hash of the weights it ends with
ALONE = """
import hashlib, json, runpy, sys, torch
sys.modules["lab"] = None  # importing the lab is an error
threads = torch.get_num_threads()  # which a script for a tiny network sets to one

def result_of(path):
    torch.set_num_threads(threads)
    losses, model = runpy.run_path(path)["main"]()
    weights = [tensor.contiguous().numpy().tobytes() for tensor in model.state_dict().values()]
    return losses, hashlib.sha256(b"".join(weights)).hexdigest()

print(json.dumps([result_of(path) for path in sys.argv[1:]]))
"""
RECIPES = {
    "default": {"epochs": 2},
    "schedule": {
        "epochs": 2,
        "optimizer": "adam",
        "schedule": "cosine",
        "warmup": 0.2,
        "activation": {"name": "leaky_relu", "slope": 0.2},
    },
    "cnn with everything": {
        "epochs": 1,
        "model": {"name": "cnn", "width": 8, "depth": 3},
        "augment": ["crop", "flip", "rotation", "perspective", "elastic", "random_resized_crop"],
        "optimizer": {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        "label_smoothing": 0.1,
        "clip_norm": 0.5,
        "seed": 3,
    },
    "pixels": {
        "epochs": 1,
        "augment": [
            *("brightness", "contrast", "saturation", "grayscale", "invert", "hue", "gamma", "posterise", "solarise"),
            *("auto_contrast", "equalise", "sharpness", "blur", "noise", "random_erasing", "cutout"),
        ],
    },
    "policies": {"epochs": 1, "augment": ["trivial_augment", "rand_augment", "auto_augment"]},
    "bfloat16": {"epochs": 1, "model": "cnn", "precision": "bfloat16"},
    "float64": {"epochs": 1, "precision": "float64", "init": {"name": "random_normal", "std": 0.1}},
    "modified": {
        "epochs": 3,
        "modify": [{"name": "subset", "per_class": 7}, {"name": "random_labels", "share": 0.5}],
        "init": "xavier_normal",
        "activation": "tanh",
    },
    "measured start": {
        "epochs": 1,
        "model": {"name": "cnn", "width": 4, "hidden": 16},
        "init": {"name": "lsuv", "images": 20},
        "activation": {"name": "gelu", "approximate": "tanh"},
    },
    "trained slope": {"epochs": 1, "init": "orthogonal", "activation": "prelu", "optimizer": "adamw"},
    "on plateau between ramps": {
        "epochs": 6,
        "modify": [{"name": "subset", "per_class": 9}],
        "schedule": {"name": "on_plateau", "patience": 0, "threshold": 0.1, "metric": "accuracy", "factor": 0.5},
        "warmup": 0.1,
        "cooldown": 0.2,
    },
    "stops early": {
        "epochs": 60,
        "modify": [{"name": "subset", "per_class": 5}],
        "optimizer": {"name": "sgd", "lr": 0.5},
        "patience": 1,
    },
    "rate per depth": {
        "epochs": 1,
        "model": {"name": "cnn", "width": 4},
        "optimizer": {"name": "adamw", "weight_decay": 0.1},
        "depth_decay": 0.6,
        "schedule": {"name": "cosine_restarts", "final": 0.1},
    },
    "batch, gradient, average": {
        "epochs": 2,
        "model": {"name": "cnn", "width": 8},
        "optimizer": "muon",
        "gradient": ["sam", "gradient_noise", "l1", {"name": "clip_value", "limit": 0.01}, "centralise"],
        "average": {"name": "swa", "start": 0.2},
        "precision": "bfloat16",
    },
    "statistics under averaged weights": {
        "epochs": 2,
        "model": {"name": "mlp", "width": 16, "norm": "batch", "dropout": 0.5},
        "average": "ema",
        "gradient": "sam",
    },
    "schedule-free": {"epochs": 1, "optimizer": "schedule_free_adamw", "schedule": "cosine", "warmup": 0.2},
    "averages that stop early": {
        "epochs": 60,
        "modify": [{"name": "subset", "per_class": 5}],
        "model": {"name": "mlp", "width": 16, "norm": "batch"},
        "optimizer": {"name": "muon", "lr": 0.02},
        "depth_decay": 0.8,
        "average": {"name": "ema", "decay": 0.5},
        "patience": 2,
    },
    "a head beside a rate per depth": {
        "epochs": 1,
        "modify": [{"name": "subset", "per_class": 3}, "backgrounds"],
        "objective": "dann",
        "depth_decay": 0.5,
    },
    "heads beside hidden weights": {
        "epochs": 1,
        "modify": [{"name": "subset", "per_class": 3}],
        "objective": "multi_task",
        "optimizer": "muon",
    },
    "whole batches": {"epochs": 3, "optimizer": "batch_gd", "average": "ema"},
    "one name in two catalogues": {"epochs": 1, "init": "constant", "schedule": "constant"},
    "two threads": {"epochs": 1, "model": {"name": "mlp", "width": 512, "depth": 3}, "batch_size": 256},
}
FEW = {"epochs": 1, "modify": {"name": "subset", "per_class": 3}}
MODELS = {
    "normed mlp": {"name": "mlp", "width": 8, "norm": "batch", "dropout": 0.2},
    "local cnn": {"name": "cnn", "width": 2, "shared": False, "norm": "group", "hidden": 0},
    "resnet": {"name": "resnet", "depth": 1, "width": 4, "zero_last": True, "dropout": 0.2},
    "densenet": {"name": "densenet", "depth": 1, "growth": 4, "dropout": 0.2},
    "rnn": {"name": "rnn", "width": 4},
    "lstm": {"name": "lstm", "width": 4, "depth": 2, "forget_bias": 2, "norm": "layer"},
    "gru": {"name": "gru", "width": 4, "dropout": 0.1, "depth": 2},
    "transformer": {"name": "transformer", "width": 8, "positions": "sine"},
    "transformer, normed after": {"name": "transformer", "width": 8, "norm": "rms", "norm_place": "after"},
    "shared transformer": {"name": "transformer", "width": 8, "shared": True, "zero_last": True},
    "torchvision": {"name": "torchvision", "network": "mobilenet_v3_small", "small_stem": True},
    "efficientnet_lite0": {"name": "efficientnet_lite0", "dropout": 0.2},
}
AUGMENTED = {f"augmented: {name}": {**FEW, "augment": name} for name in lab.augmentations}
PARTS = 2  # of the recipes above: in each, one process takes all scripts
RECIPES_OF_MODELS = {name: {**FEW, "model": spec} for name, spec in MODELS.items()}
RECIPES |= AUGMENTED | {"all augmentations": {**FEW, "augment": list(lab.augmentations), "precision": "bfloat16"}}


def run_alone(recipe: lab.Recipe, folder: Path) -> Result:
    return run_all_alone([recipe], folder)[0]


def run_all_alone(recipes: list[lab.Recipe], folder: Path) -> list[Result]:
    """What each recipe's script gives, all in one process without the lab."""
    paths = [folder / f"script_{number}.py" for number in range(len(recipes))]
    for path, recipe in zip(paths, recipes, strict=True):
        path.write_text(script(recipe), encoding="utf-8")
    command = [sys.executable, "-W", "error", "-c", ALONE, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return [(losses, weights) for losses, weights in json.loads(done.stdout.splitlines()[-1])]


def trained(recipe: lab.Recipe) -> Result:
    run = lab.train(recipe, progress=False)
    assert run.weights is not None
    weights = [tensor.contiguous().numpy().tobytes() for tensor in run.weights.values()]
    return run.history.loss, hashlib.sha256(b"".join(weights)).hexdigest()


@pytest.mark.parametrize("part", range(PARTS))
def test_the_scripts_give_the_same_losses_and_weights_bit_for_bit(part: int, tmp_path: Path) -> None:
    recipes = {name: lab.Recipe(**RECIPES[name]) for name in list(RECIPES)[part::PARTS]}
    found = dict(zip(recipes, run_all_alone(list(recipes.values()), tmp_path), strict=True))
    different = [name for name, recipe in recipes.items() if found[name] != trained(recipe)]
    assert not different


def own_option(name: str) -> Any:
    """A function of this module with any name."""

    def option(*context: Any) -> None:
        """Does nothing. Source: this test."""

    option.__name__ = name
    return option


def test_two_things_of_one_name_cannot_stand_in_one_script() -> None:
    bundle, cosine = Bundle(), lab.schedules.functions["cosine"]
    bundle.add(cosine)
    bundle.add(cosine)
    said = "Two things are called 'cosine' (in lab.schedules and in test_export), but a script can have one: rename one"
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        bundle.add(own_option("cosine"))


@pytest.mark.usefixtures("own_options")
@pytest.mark.parametrize("name", ["gain", "steps", "schedule", "evaluate", "LR"])
def test_an_option_with_a_name_that_the_script_needs_itself_is_refused(name: str) -> None:
    @lab.activations.add
    def gain() -> nn.Module:
        """A rectifier. Source: this test."""
        return nn.ReLU()

    gain.__name__ = name
    with pytest.raises(ValueError, match=f"^The script has something of its own that is called '{name}': rename"):
        script(lab.Recipe(activation="gain", warmup=0.1))


def test_constants_of_one_name_must_be_equal() -> None:
    bundle = Bundle()
    bundle.claim("WHOLE", 0)
    bundle.claim("WHOLE", 0)
    with pytest.raises(ValueError, match=r"^Two things are called 'WHOLE' \(0 and 1\), but a script can have one: "):
        bundle.claim("WHOLE", 1)


@pytest.mark.parametrize("name", lab.schedules)
def test_every_schedule_is_the_same_function_in_the_script(name: str) -> None:
    session = Training(lab.Recipe(schedule=name), device="cpu")
    bundle, places, seen = Bundle(), [place / 97 for place in range(98)], [(1.0, 0.5)] * 9
    bundle.add(lab.schedules.functions[name])
    names: dict[str, Any] = {
        "losses": range(13),
        "steps": 97,
        "LR": 1.0,
        "validations": seen,
        "optimizer": session.optimizer,
    }
    exec("\n".join([*bundle.import_lines(), *bundle.constants.values(), *bundle.definitions.values()]), names)
    context = (seen,) if watches(session.recipe.schedule) else ()
    for place in places:
        assert names[name](place, *context) == lab.schedules.build(session.recipe.schedule, place, *context)
    exec("\n".join(rate_lines(session.recipe)), names)
    assert session.optimizer.param_groups[-1]["lr"] == names[name](13 / 97, *context)


def test_the_scripts_of_all_models_give_the_same_losses_bit_for_bit(tmp_path: Path) -> None:
    assert {spec["name"] for spec in MODELS.values()} | {"mlp", "cnn"} == set(lab.models)
    recipes = [lab.Recipe(**spec) for spec in RECIPES_OF_MODELS.values()]
    for found, recipe in zip(run_all_alone(recipes, tmp_path), recipes, strict=True):
        assert found == trained(recipe), recipe.model


def test_a_folder_of_images_exports(tmp_path: Path) -> None:
    for name, shade in (("dark", 40), ("light", 200)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (12, 9), (shade + number, shade, shade)).save(tmp_path / "images" / name / f"{number}.png")
    data = {"name": "folder", "path": str(tmp_path / "images"), "size": 8}
    recipe = lab.Recipe(data=data, init="lsuv", epochs=2, batch_size=4)
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


@pytest.mark.parametrize("name", {**RECIPES, **RECIPES_OF_MODELS})
def test_the_script_reads_as_clean_code(name: str, tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(script(lab.Recipe(**{**RECIPES, **RECIPES_OF_MODELS}[name])), encoding="utf-8")
    rules = ["--isolated", "--select", "E4,E7,E9,F,I,B,UP", "--line-length", "120"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *rules, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "lab." not in path.read_text().replace("`lab", "")


def test_quotes_in_a_recipe_do_not_break_out_of_the_script(tmp_path: Path) -> None:
    nasty = 'a"""\nimport os  # \\'
    recipe = lab.Recipe(data={"name": "folder", "path": nasty})
    from lab.export import docstring  # noqa: PLC0415  # the one piece that holds free text before the code

    names: dict[str, object] = {}
    exec(docstring(recipe), names)
    assert "os" not in names
