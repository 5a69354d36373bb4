"""The exported script runs without the lab and gives the same numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import lab
from lab.export import script

ALONE = """
import json, runpy, sys
sys.modules["lab"] = None  # importing the lab is an error
losses, model = runpy.run_path(sys.argv[1])["main"]()
print(json.dumps(losses))
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
    "measured start": {
        "epochs": 1,
        "model": {"name": "cnn", "width": 4, "hidden": 16},
        "init": {"name": "lsuv", "images": 20},
        "activation": {"name": "gelu", "approximate": "tanh"},
    },
    "trained slope": {"epochs": 1, "init": "orthogonal", "activation": "prelu", "optimizer": "adamw"},
    "two threads": {"epochs": 1, "model": {"name": "mlp", "width": 512, "depth": 3}, "batch_size": 256},
}


def run_alone(recipe: lab.Recipe, folder: Path) -> list[float]:
    path = folder / "script.py"
    path.write_text(script(recipe), encoding="utf-8")
    command = [sys.executable, "-W", "error", "-c", ALONE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", RECIPES)
def test_the_script_gives_the_same_losses_bit_for_bit(name: str, tmp_path: Path) -> None:
    recipe = lab.Recipe(**RECIPES[name])
    assert run_alone(recipe, tmp_path) == lab.train(recipe, progress=False).history.loss


def test_a_folder_of_images_exports(tmp_path: Path) -> None:
    for name, shade in (("dark", 40), ("light", 200)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (12, 9), (shade + number, shade, shade)).save(tmp_path / "images" / name / f"{number}.png")
    data = {"name": "folder", "path": str(tmp_path / "images"), "size": 8}
    recipe = lab.Recipe(data=data, init="lsuv", epochs=2, batch_size=4)
    assert run_alone(recipe, tmp_path) == lab.train(recipe, progress=False).history.loss


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
        assert run_alone(recipe, tmp_path) == lab.train(recipe, progress=False).history.loss
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


def test_quotes_in_a_recipe_do_not_break_out_of_the_script(tmp_path: Path) -> None:
    nasty = 'a"""\nimport os  # \\'
    recipe = lab.Recipe(data={"name": "folder", "path": nasty})
    from lab.export import docstring  # noqa: PLC0415  # the one piece that holds free text before the code

    names: dict[str, object] = {}
    exec(docstring(recipe), names)
    assert "os" not in names
