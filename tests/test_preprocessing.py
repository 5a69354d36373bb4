"""Images are seen as a source's were: by the source's own mean and deviation, in training, in words and in scripts."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from small_runs import SMALL, trained
from torchvision.models import get_weight
from torchvision.transforms import functional

import lab
from lab.choosing.card import use
from lab.data.batches import sample
from lab.export import script
from lab.loading import data_of
from lab.recipe import Recipe
from lab.transfer import preprocessing, sources
from lab.transfer.preprocessing import Preprocessing, as_seen, preprocessing_of

RESNET = "ResNet18_Weights.IMAGENET1K_V1"
COLOURED = SMALL.changed(modify=[{"name": "subset", "per_class": 2}, "backgrounds"])
OWN = Preprocessing((0.2, 0.3, 0.7), (0.5, 0.25, 0.3), (12, 12))


def seen(recipe: Recipe, source: str | dict[str, str], transfer: str = "whole") -> lab.data.Dataset:
    """The recipe's data set as such a source's weights see it, which need not be here."""
    other = recipe.changed(source=source, transfer=transfer)
    return as_seen(data_of(recipe), other.source, other.transfer)


@pytest.fixture
def from_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """Starts from a file whose weights learned from images with a normalisation of their own."""
    monkeypatch.setitem(preprocessing, "file", lambda _: OWN)
    session, _ = trained(SMALL.changed(epochs=1))
    save_file(dict(session.model.state_dict()), tmp_path / "w.safetensors")
    return SMALL.changed(source={"name": "file", "path": str(tmp_path / "w.safetensors")}, transfer="whole")


def test_images_for_torchvisions_weights_are_normalised_as_torchvision_does() -> None:
    data = seen(COLOURED, {"name": "torchvision", "weights": RESNET})
    made = get_weight(RESNET).transforms()
    assert data.statistics == (made.mean, made.std)
    expected = functional.normalize(data.train.images[:1].float() / 255, made.mean, made.std)
    torch.testing.assert_close(sample(data, 20)[:1], expected)


def test_for_efficientnet_lite0_bytes_become_those_of_its_training() -> None:
    grey = seen(SMALL, "efficientnet_lite0")
    expected = (grey.train.images.double() - 127) / 128
    torch.testing.assert_close(sample(grey, len(grey.train)).double(), expected, atol=2e-6, rtol=0)


def test_grey_is_seen_by_the_mean_of_the_colours_and_other_channels_by_their_own() -> None:
    assert OWN.of_channels(3) == ([0.2, 0.3, 0.7], [0.5, 0.25, 0.3])
    assert OWN.of_channels(1) == ([0.4], [0.35])
    assert OWN.of_channels(2) is None
    grey = Preprocessing((0.4,), (0.35,))
    assert grey.of_channels(1) == ([0.4], [0.35])
    assert grey.of_channels(3) is None  # the first layer is another one then


@pytest.mark.parametrize(
    ("source", "transfer"),
    [
        ("efficientnet_lite0", "scratch"),
        ({"name": "efficientnet_lite0", "normalisation": "data"}, "features"),
        ("nothing", "features"),
        ("run", "whole"),  # which there is none of
        ("file", "whole"),
    ],
)
def test_by_their_own_statistics_are_seen_images_of_a_source_without_and_where_that_is_asked_for(
    source: str | dict[str, str], transfer: str
) -> None:
    assert seen(SMALL, source, transfer).statistics == data_of(SMALL).statistics


def test_a_training_and_its_record_use_the_sources_statistics(from_file: Recipe) -> None:
    session, _ = trained(from_file)
    images = session.data.test.images
    assert isinstance(images, torch.Tensor)
    torch.testing.assert_close(session.prepare(images), (images / 255 - 0.4) / 0.35)
    run = lab.train(from_file, progress=False, device="cpu")
    assert run.provenance["images"]["statistics"] == [[0.4], [0.35]]
    assert run.test("cpu") == session.evaluate(session.data.test)
    assert "tensor(values).view(1, -1, 1, 1) for values in ([0.4], [0.35]))" in "\n".join(use(data_of(SMALL), run))


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    """A run that learned from the three brightest classes: images of another mean than all have."""
    brightest = SMALL.changed(modify=[{"name": "classes", "first": 0, "last": 2}], epochs=1)
    lab.train(brightest, folder=tmp_path / "bright", progress=False, device="cpu")
    return tmp_path / "bright"


@pytest.mark.parametrize("kind", ["run", "file"])
def test_images_are_seen_as_the_run_saw_its_own_from_which_the_weights_are(bright: Path, kind: str) -> None:
    sources_of = {"run": {"folder": str(bright)}, "file": {"path": str(bright / "weights.safetensors")}}
    there, own = data_of(lab.open_run(bright).recipe).statistics, data_of(SMALL).statistics
    assert there != own
    source = {"name": kind, **sources_of[kind]}
    assert seen(SMALL, source).statistics == there
    assert lab.Training(SMALL.changed(source=source, transfer="features"), device="cpu").data.statistics == there
    assert seen(SMALL, {**source, "normalisation": "data"}).statistics == own
    assert seen(SMALL, source, "scratch").statistics == own
    said = lab.layer_table(SMALL.changed(source=source, transfer="features")).sentence
    assert f"Images are normalised as the source's were (mean {there[0][0]:.3g}; " in said
    assert "pixels" not in said  # both have 8 x 8


def test_a_run_of_before_the_setting_is_opened_as_it_was_trained(bright: Path, tmp_path: Path) -> None:
    source = {"name": "run", "folder": str(bright), "normalisation": "data"}
    kept = lab.train(
        SMALL.changed(source=source, transfer="whole", epochs=1), folder=tmp_path / "old", progress=False, device="cpu"
    )
    file = tmp_path / "old" / "recipe.yaml"
    older = file.read_text(encoding="utf-8").replace(", normalisation: data}", "}")
    file.write_text(older, encoding="utf-8")
    assert "normalisation" not in older
    opened = lab.open_run(tmp_path / "old")
    assert opened.recipe == kept.recipe
    assert opened.test("cpu") == kept.test("cpu")
    assert lab.open_run(bright).recipe.id == Recipe.load(bright / "recipe.yaml").id  # whose source has no such setting


@pytest.mark.parametrize("facts", ["", "[]", "{}", '{"provenance": {"images": {"statistics": [[0.5]]}}}'])
def test_what_a_damaged_or_older_run_does_not_say_is_not_made_up(bright: Path, facts: str) -> None:
    (bright / "run.json").write_text(facts, encoding="utf-8")
    assert seen(SMALL, {"name": "run", "folder": str(bright)}).statistics == data_of(SMALL).statistics


@pytest.mark.parametrize(
    ("statistics", "shape"),
    [
        ([["a"], ["b"]], [1, 8, 8]),
        ([["0.4"], ["0.3"]], [1, 8, 8]),
        ([[0.4], []], [1, 8, 8]),
        ([[], []], [1, 8, 8]),
        ([[0.4], [0.3, 0.3]], [1, 8, 8]),
        ([[0.4]], [1, 8, 8]),
        ([[[0.4]], [[0.3]]], [1, 8, 8]),
        ([0.4, 0.3], [1, 8, 8]),
        ([[0.4], [0.0]], [1, 8, 8]),
        ([[0.4], [1e-300]], [1, 8, 8]),
        ([[0.4], [-1.0]], [1, 8, 8]),
        ([[float("nan")], [0.3]], [1, 8, 8]),
        ([[0.4], [float("inf")]], [1, 8, 8]),
        ([[True], [True]], [1, 8, 8]),
        ([[0.4], [0.3]], [1, "<b>", "x"]),
        ([[0.4], [0.3]], [1, 8.5, 8]),
        ([[0.4], [0.3]], [1, -8, 8]),
        ([[0.4], [0.3]], 8),
        (None, None),
    ],
    ids=str,
)
def test_what_makes_no_sense_beside_the_tensors_is_as_if_it_were_not_there(
    statistics: Any, shape: Any, tmp_path: Path
) -> None:
    place = tmp_path / "w.safetensors"
    source = sources.parse({"name": "file", "path": str(place)})
    images = {"statistics": statistics, "shape": shape}
    save_file({"weight": torch.zeros(1)}, place, metadata={"images": json.dumps(images)})
    assert preprocessing_of(source, SMALL.changed(transfer="whole").transfer) is None


def test_a_file_of_others_says_nothing_of_its_images(tmp_path: Path) -> None:
    session, _ = trained(SMALL.changed(epochs=1))
    save_file(dict(session.model.state_dict()), tmp_path / "w.safetensors")
    torch.save(session.model.state_dict(), tmp_path / "w.pt")
    for name in ("w.safetensors", "w.pt"):
        data = seen(SMALL, {"name": "file", "path": str(tmp_path / name)})
        assert data.statistics == data_of(SMALL).statistics


def test_before_training_one_reads_with_what_images_are_seen_and_of_which_size_they_were(from_file: Recipe) -> None:
    said = "Images are normalised as the source's were (mean 0.4; deviation 0.35); those had 12 x 12 pixels, these "
    assert lab.layer_table(from_file).sentence.endswith(f"never. {said}have 8 x 8.")
    assert "normalised" not in lab.layer_table(SMALL.changed(transfer="features")).sentence


def test_the_script_sees_images_as_the_training_did(from_file: Recipe, tmp_path: Path) -> None:
    recipe = from_file.changed(init="lsuv", epochs=1)  # which looks at images too
    path = tmp_path / "written.py"
    path.write_text(script(recipe), encoding="utf-8")
    losses, _ = runpy.run_path(str(path))["main"]()
    session, _ = trained(recipe)
    assert "data.normalised_by([0.4], [0.35])" in path.read_text(encoding="utf-8")
    assert losses == session.history.loss


def test_every_source_with_preprocessing_is_one_that_there_is() -> None:
    assert set(preprocessing) <= set(sources)
    assert preprocessing_of(sources.parse("efficientnet_lite0"), Recipe(transfer="whole").transfer) is not None
