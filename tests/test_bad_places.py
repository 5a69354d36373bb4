"""Folders, devices and commands that a person gets wrong, and the exact words that come back."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from small_files import pictures
from wording import NOT_EPOCHS, Act, bad, complaint, options

from lab.__main__ import KINDS, PLAIN, main
from lab.data import DataError, fetch, load
from lab.recipe import Recipe
from lab.runs import open_run, resume, train
from lab.steps import DeviceError, pick_device
from lab.store import RunError


def images(name: str, **knobs: Any) -> Act:
    return lambda place: load(Recipe(data={"name": "folder", "path": str(place / name), **knobs}).data)


def device(name: str) -> Act:
    return lambda _: pick_device(name)


PLACES = [
    bad(
        "no folder of images",
        images("none"),
        "There is no folder PLACE/none. Set data.path to a folder that holds one folder per class.",
    ),
    bad("no class", images("empty"), "PLACE/empty must hold at least two class folders, but has none."),
    bad(
        "spoilt images",
        images("spoilt"),
        "2 files in PLACE/spoilt cannot be read:",
        "  PLACE/spoilt/cat/0.png: the file is empty",
        "  PLACE/spoilt/dog/0.png: not an image that Pillow can read",
        "Repair or delete them, or set data.damaged to skip.",
    ),
    bad(
        "too few images",
        images("spoilt", damaged="skip"),
        "Classes with fewer than 3 readable images in PLACE/spoilt: cat (2), dog (2). "
        "Training, validation and test need one each.",
    ),
    bad(
        "nothing to fetch",
        lambda _: fetch("imagenet"),
        "'imagenet' cannot be fetched. Expected one of: fashion_mnist, mnist, cifar10, cifar100.",
    ),
    bad("no such device", device("cuda"), "device is 'cuda', but this machine has: cpu."),
    bad("no such kind of device", device("tpu"), "device is 'tpu', but this machine has: cpu."),
    bad("no such number of a device", device("cpu:one"), "device is 'cpu:one', but this machine has: cpu."),
    bad("no run to resume", lambda place: resume(place / "none"), "There is no run in PLACE/none: no such folder."),
    bad(
        "no run in the folder",
        lambda place: resume(place / "empty"),
        "There is no readable run in PLACE/empty. "
        "Cannot read the recipe PLACE/empty/recipe.yaml: No such file or directory.",
    ),
    bad(
        "no run to open",
        lambda place: open_run(place / "bad.yaml"),
        "There is no run in PLACE/bad.yaml: no such folder.",
    ),
    bad(
        "finished run",
        lambda place: resume(place / "run"),
        "The run in PLACE/run has ended (finished); there is nothing to resume.",
    ),
    bad(
        "folder with a run",
        lambda place: train(Recipe(epochs=1), folder=place / "run", device="cpu", progress=False),
        "PLACE/run holds a run already. Go on with `lab resume PLACE/run`, or choose another folder.",
    ),
    bad(
        "file in the run's place",
        lambda place: train(Recipe(epochs=1), folder=place / "bad.yaml", device="cpu", progress=False),
        "Cannot make the folder PLACE/bad.yaml: File exists. Choose another folder.",
    ),
]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """On a busy machine two threads that wait for each other are a hundred times slower than one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def place(one_thread, tmp_path_factory):
    """A folder with everything that the rows look for, good and bad."""
    place = tmp_path_factory.mktemp("place")
    (place / "empty").mkdir()
    (place / "bad.yaml").write_text("epochs: 0\n")
    (place / "good.yaml").write_text("epochs: 1\n")
    (place / "plan.yaml").write_text("arms: {a: {seed: 1}, b: {optimizer: adam}}\n")
    (place / "recipes" / "claims").mkdir(parents=True)
    (place / "recipes" / "flat.yaml").write_text("epochs: 1\n")
    (place / "recipes" / "claims" / "held.yaml").write_text("claim: It holds.\n")
    pictures(place / "spoilt")
    (place / "spoilt" / "cat" / "0.png").write_bytes(b"")
    (place / "spoilt" / "dog" / "0.png").write_text("not an image")
    train(Recipe(epochs=1), folder=place / "run", device="cpu", progress=False)
    return place


@pytest.fixture(autouse=True)
def only_a_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.mps, "is_available", lambda: False)


@pytest.mark.parametrize(("act", "said"), PLACES)
def test_a_bad_place_is_answered_in_words(act, said, place):
    assert complaint(act, place, (DataError, RunError, DeviceError)) == said


def test_a_graphics_card_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert pick_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(DeviceError, match=r"^device is 'cuda:1', but this machine has: cpu, cuda"):
        pick_device("cuda:1")


COMMANDS = [
    ("", "lab: error: the following arguments are required: COMMAND"),
    ("run --bogus", "lab: error: unrecognized arguments: --bogus. Choices are written without dashes: bogus=..."),
    ("run --dev cpu", "lab: error: unrecognized arguments: --dev. Did you mean --device?"),
    ("options optimizers sgd", "lab: error: unrecognized arguments: sgd"),
    ("resume", "lab resume: error: the following arguments are required: folder"),
    ("run none.yaml", "lab: Cannot read the recipe none.yaml: No such file or directory."),
    (
        "run empty",
        "lab: There is no readable run in empty. Cannot read the recipe empty/recipe.yaml: No such file or directory.",
    ),
    ("run bad.yaml", f"lab: bad.yaml: epochs is 0, {NOT_EPOCHS}"),
    ("run good.yaml epochs=0", f"lab: epochs is 0, {NOT_EPOCHS}"),
    ("run good.yaml bad.yaml", "lab: Override 'bad.yaml' must look like optimizer.lr=0.3."),
    ("run epochs=1 epochs=2", "lab: Override 'epochs' is given twice."),
    (
        "run optimizer=sgdd",
        f"lab: Unknown optimizer 'sgdd'. Did you mean 'sgd'? Expected one of: {options('optimizer')}. "
        "For one of your own, name its file: --options FILE.py.",
    ),
    ("run --device tpu", "lab: device is 'tpu', but this machine has: cpu."),
    ("run data=folder", "lab: There is no folder images. Set data.path to a folder that holds one folder per class."),
    ("run --folder run", "lab: run holds a run already. Go on with `lab resume run`, or choose another folder."),
    ("run --folder bad.yaml", "lab: Cannot make the folder bad.yaml: File exists. Choose another folder."),
    (
        "options optimizzers",
        "lab: Unknown kind or name of options 'optimizzers'. Did you mean 'optimizers'? "
        f"Expected one of: {', '.join((*KINDS, PLAIN))}.",
    ),
    ("run --quiet epochs=0 --device cpu", f"lab: epochs is 0, {NOT_EPOCHS}"),
    ("run good.yaml --quiet epochs=0", f"lab: epochs is 0, {NOT_EPOCHS}"),
    (
        "run good.yaml --quiet epochs=0 --bogus",
        "lab: error: unrecognized arguments: --bogus. Choices are written without dashes: bogus=...",
    ),
    ("examine good.yaml --quiet epochs=0", f"lab: epochs is 0, {NOT_EPOCHS}"),
    ("range good.yaml --steps 20 epochs=0", f"lab: epochs is 0, {NOT_EPOCHS}"),
    ("export good.yaml --json epochs=0", f"lab: epochs is 0, {NOT_EPOCHS}"),
    (
        "compare plan.yaml --quiet seeds=1",
        "lab: plan.yaml: seeds is 1, but must be a whole number at least 2 and at most 1000.",
    ),
    ("resume --quiet none more", "lab: error: unrecognized arguments: more"),
    ("run good.yml", "lab: Cannot read the recipe good.yml: No such file or directory. Did you mean good.yaml?"),
    ("run godo", "lab: Cannot read the recipe godo: No such file or directory. Did you mean good.yaml?"),
    ("run flat", "lab: Cannot read the recipe flat: No such file or directory. Did you mean recipes/flat.yaml?"),
    (
        "claim held",
        "lab: Cannot read the claim held: No such file or directory. Did you mean recipes/claims/held.yaml?",
    ),
    ("compare good.yaml", "lab: good.yaml is not a comparison. Try: lab run good.yaml"),
    (
        "compare recipes/claims/held.yaml",
        "lab: recipes/claims/held.yaml is not a comparison. Try: lab claim recipes/claims/held.yaml",
    ),
    ("claim plan.yaml", "lab: plan.yaml is not a claim. Try: lab compare plan.yaml"),
    ("run plan.yaml", "lab: plan.yaml is not a recipe. Try: lab compare FILE"),
    ("runs nosuch", "lab: There is no folder nosuch."),
    ("resume none", "lab: There is no run in none: no such folder."),
    ("resume run", "lab: The run in run has ended (finished); there is nothing to resume."),
    ("resume run --device tpu", "lab: The run in run has ended (finished); there is nothing to resume."),
    ("test none", "lab: There is no run in none: no such folder."),
    ("export none", "lab: Cannot read the recipe none: No such file or directory."),
    (
        "export empty",
        "lab: There is no readable run in empty. Cannot read the recipe empty/recipe.yaml: No such file or directory.",
    ),
    ("export good.yaml --output none/x.py", "lab: Cannot write none/x.py: No such file or directory."),
    (  # said before the recipe is built, which looks for its data
        "export data=folder --output none/x.py",
        "lab: Cannot write none/x.py: No such file or directory.",
    ),
    *(
        (
            f"export objective={name}",
            f"lab: objective {name} cannot be written as a script. Train it with `lab run`, and write the "
            "recipe that takes its weights over: source={name: run, folder: ...}.",
        )
        for name in ("simclr", "masked_autoencoder", "pseudo_labels", "fixmatch")
    ),
    ("fetch mnits", "lab: 'mnits' cannot be fetched. Expected one of: fashion_mnist, mnist, cifar10, cifar100."),
]


def without_usage(text: str) -> str:
    """The complaint alone: argparse words its usage differently from Python to Python."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("usage:"))


@pytest.mark.parametrize(("command", "said"), COMMANDS, ids=[command or "nothing" for command, _ in COMMANDS])
def test_a_bad_command_exits_2_with_words_on_stderr(command, said, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "200")
    try:
        code = main(command.split())
    except SystemExit as leaving:
        code = leaving.code
    printed = capsys.readouterr()
    assert (code, printed.out) == (2, "")
    assert without_usage(printed.err) == said


def test_data_that_are_not_here_are_said_to_be_missing(place, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "mine"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert main(["run", "data=cifar10", "--folder", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err == (
        f"lab: Data set 'cifar10' is not on this machine. Looked in:\n  {tmp_path / 'mine'}\n"
        f"  {tmp_path / 'torch' / 'datasets'}\n"
        "Download it with `lab fetch cifar10`, or set LAB_DATA to the folder that holds it.\n"
    )
    assert not (tmp_path / "run").exists()


def test_the_names_that_can_be_fetched_stand_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["fetch", "--help"])
    assert "fashion_mnist | mnist | cifar10 | cifar100" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["", "--quiet"])
def test_export_says_what_it_wrote_and_the_script_where_its_weights_go(flag, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "modify={name: subset, per_class: 4}", "epochs=1", "--output", "x.py", *flag.split()]) == 0
    said = "Wrote x.py: python x.py trains, prints each epoch and leaves the weights in model.pt.\n"
    assert capsys.readouterr().out == ("" if flag else said)
    runpy.run_path("x.py", run_name="__main__")
    assert capsys.readouterr().out.splitlines()[-1] == "weights in model.pt"
    assert Path("model.pt").exists()


def test_where_nobody_watches_a_terminal_training_says_what_it_begins(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "modify={name: subset, per_class: 4}", "epochs=1", "--device", "cpu"]) == 0
    begins, warns, trained = capsys.readouterr().err.splitlines()
    assert begins == (
        "mlp on digits, 8,970 parameters: 1 epoch of 40 images in 1 step, 269 validation images, on cpu ..."
    )
    assert warns == (
        "A batch of 64 holds all 40 training images, so an epoch is a single step: "
        "for more steps, take smaller batches (batch_size=5) or more epochs."
    )
    assert trained.startswith("epoch 1/1: ")


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ("batch_size=20", 2),
        ("batch_size=40", 2),  # just all: that was meant
        ("batch_size=41", 3),
        ("optimizer=batch_gd", 2),
    ],
)
def test_only_a_batch_that_never_fills_is_warned_of(changes, lines, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["modify={name: subset, per_class: 4}", "epochs=1", "--device", "cpu"]
    assert main(["run", *small, changes]) == 0
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_a_run_whose_data_are_not_there_leaves_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "data={name: folder, path: nowhere}", "--device", "cpu", "--quiet"]) == 2
    assert list((tmp_path / "runs").iterdir()) == []
