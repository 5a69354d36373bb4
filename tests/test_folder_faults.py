"""A person's own images: what is refused, in which words, and that training on the rest runs."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_files import folder, noise, pictures, truncated

from lab.data import DataError
from lab.recipe import Recipe
from lab.runs import train

HINT = "Repair or delete them, or set data.damaged to skip."


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """On a busy machine two threads that wait for each other are a hundred times slower than one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def refusal(root: Path, **knobs) -> str:
    """The text that a person sees, with ROOT for the folder."""
    with pytest.raises(DataError) as error:
        folder(root, **knobs)
    return str(error.value).replace(str(root), "ROOT")


def claim(path: Path, width: int, height: int) -> None:
    """A few bytes of PNG that say they are a huge picture."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (b"IHDR" + header, b"IDAT" + zlib.compress(b"\0" * 100), b"IEND")
    packed = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


@pytest.fixture
def spoilt(tmp_path):
    """Four good cats, three good dogs; an empty, a truncated and a false image."""
    pictures(tmp_path, each=5)
    (tmp_path / "cat" / "1.png").write_bytes(b"")
    truncated(tmp_path / "dog" / "0.png")
    (tmp_path / "dog" / "4.png").write_text("<html>404 Not Found</html>")
    return tmp_path


def test_damaged_files_are_refused_by_name(spoilt):
    assert refusal(spoilt) == (
        "3 files in ROOT cannot be read:\n"
        "  ROOT/cat/1.png: the file is empty\n"
        "  ROOT/dog/0.png: image file is truncated\n"
        "  ROOT/dog/4.png: not an image that Pillow can read\n" + HINT
    )


def test_damaged_files_are_skipped_on_request_and_named(spoilt):
    data = folder(spoilt, damaged="skip")
    assert [len(part) for part in (data.train, data.validation, data.test)] == [3, 2, 2]
    assert [line.split(": ")[0] for line in data.skipped] == [
        str(spoilt / file) for file in ("cat/1.png", "dog/0.png", "dog/4.png")
    ]


def test_a_training_says_that_files_were_skipped(spoilt, capsys):
    data = {"name": "folder", "path": str(spoilt), "size": 8, "damaged": "skip"}
    train(Recipe(data=data, epochs=1), folder=None, device="cpu")
    first = spoilt / "cat" / "1.png"
    said = f"Skipped, as it cannot be read: {first}: the file is empty, and 2 more (all in run.json).\n"
    assert said in capsys.readouterr().err


def test_a_run_remembers_which_files_were_skipped(spoilt):
    data = {"name": "folder", "path": str(spoilt), "size": 8, "damaged": "skip"}
    run = train(Recipe(data=data, epochs=1), device="cpu", progress=False)
    assert run.provenance["skipped_files"][0] == f"{spoilt / 'cat' / '1.png'}: the file is empty"
    assert len(run.provenance["skipped_files"]) == 3


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "bmp", "tif", "webp"])
def test_a_file_truncated_is_refused_in_every_format(ending, tmp_path):
    pictures(tmp_path)
    noise(5, (64, 64)).save(tmp_path / "cat" / f"half.{ending}")
    assert len(folder(tmp_path).train) == 3
    truncated(tmp_path / "cat" / f"half.{ending}")
    lines = refusal(tmp_path).splitlines()
    assert lines[1].startswith(f"  ROOT/cat/half.{ending}: ")
    assert lines[2:] == [HINT]


def test_one_damaged_file_is_not_called_files(tmp_path):
    (pictures(tmp_path) / "cat" / "0.png").write_bytes(b"")
    assert refusal(tmp_path) == f"1 file in ROOT cannot be read:\n  ROOT/cat/0.png: the file is empty\n{HINT}"


def test_of_many_damaged_files_twenty_are_listed(tmp_path):
    pictures(tmp_path, each=25)
    for file in (tmp_path / "dog").iterdir():
        file.write_bytes(b"")
    lines = refusal(tmp_path).splitlines()
    assert lines[0] == "25 files in ROOT cannot be read:"
    assert lines[20:] == [f"  ROOT/dog/{sorted(map(str, range(25)))[19]}.png: the file is empty", "  and 5 more", HINT]


@pytest.mark.parametrize("size", [(100_000, 100_000), (2**31 - 1, 1)])
def test_a_header_that_claims_a_huge_picture_is_refused(size, tmp_path):
    claim(pictures(tmp_path) / "cat" / "0.png", *size)
    assert refusal(tmp_path).splitlines()[1] == (
        f"  ROOT/cat/0.png: Image size ({size[0] * size[1]} pixels) exceeds limit of 178956970 pixels, "
        "could be decompression bomb DOS attack."
    )


@pytest.mark.parametrize("target", ["nowhere.png", "link.png"], ids=["a lost target", "itself"])
def test_a_link_that_leads_nowhere_is_a_damaged_file(target, tmp_path):
    (pictures(tmp_path) / "cat" / "link.png").symlink_to(target)
    lines = refusal(tmp_path).splitlines()
    assert lines[1].startswith("  ROOT/cat/link.png: ")
    assert lines[2:] == [HINT]


def test_a_link_to_a_folder_above_does_not_hang(tmp_path):
    (pictures(tmp_path) / "cat" / "all").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "myself").symlink_to("myself")
    data = folder(tmp_path)
    assert data.classes == ("cat", "dog")
    assert sum(map(len, (data.train, data.validation, data.test))) == 6


def no_folder(root: Path) -> None:
    root.rmdir()


def a_file(root: Path) -> None:
    root.rmdir()
    root.write_text("not a folder")


def nothing(root: Path) -> None:
    """An empty folder."""


def one_class(root: Path) -> None:
    pictures(root, "cat")
    (root / ".git").mkdir()


def no_images(root: Path) -> None:
    for name in ("cat", "dog"):
        (root / name).mkdir()
        (root / name / "notes.txt").write_text("later")


def small_classes(root: Path) -> None:
    pictures(pictures(root, "cat", "dog", each=2), "eel", each=3)
    (root / "fox").mkdir()


def small_after_skipping(root: Path) -> None:
    (pictures(root) / "cat" / "0.png").write_bytes(b"")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (no_folder, "There is no folder ROOT. Set data.path to a folder that holds one folder per class."),
        (a_file, "There is no folder ROOT. Set data.path to a folder that holds one folder per class."),
        (nothing, "ROOT must hold at least two class folders, but has none."),
        (one_class, "ROOT must hold at least two class folders, but has only 'cat'."),
        (
            no_images,
            "No images in the class folders of ROOT. "
            "Expected files that end in .bmp .gif .jpeg .jpg .png .tif .tiff .webp.",
        ),
        (
            small_classes,
            "Classes with fewer than 3 readable images in ROOT: cat (2), dog (2), fox (0). "
            "Training, validation and test need one each.",
        ),
        (
            small_after_skipping,
            "Classes with fewer than 3 readable images in ROOT: cat (2). Training, validation and test need one each.",
        ),
    ],
)
def test_a_folder_that_cannot_be_trained_on_is_refused_in_words(make, text, tmp_path):
    root = tmp_path / "images"
    root.mkdir()
    make(root)
    assert refusal(root, damaged="skip") == text


def test_classes_that_differ_by_case_only_are_refused(tmp_path):
    pictures(tmp_path, "Cat", "dog")
    if (tmp_path / "cat").exists():
        pytest.skip("this file system does not tell Cat from cat")
    pictures(tmp_path, "cat")
    assert refusal(tmp_path) == "Class folders in ROOT differ only by case: Cat, cat. Rename or merge them."


def test_the_folder_may_be_given_from_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(pictures(tmp_path / "images").parent))
    assert folder(Path("~/images")).classes == ("cat", "dog")


def test_files_that_were_deleted_after_the_look_are_named_when_they_are_read(tmp_path):
    data = folder(pictures(tmp_path))
    data.train.images.paths[0].unlink()
    with pytest.raises(FileNotFoundError, match=str(data.train.images.paths[0])):
        data.train.images[0]


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_training_on_a_folder_gives_the_same_numbers_resident_and_streamed(model, tmp_path):
    root = tmp_path / "images"
    for name, shade in (("dark", 60), ("light", 190)):
        (root / name).mkdir(parents=True)
        for index in range(20):
            pixels = np.random.default_rng(index).normal(shade, 10, (10, 12)).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.jpg")
    recipe = Recipe(data={"name": "folder", "path": str(root), "size": 8}, model=model, epochs=4, batch_size=6)
    resident = train(recipe, device="cpu", progress=False)
    streamed = train(recipe, device="cpu", progress=False, data_budget_bytes=0)
    assert resident.best.validation_accuracy == 1
    assert streamed.history.loss == resident.history.loss
    assert all(torch.equal(streamed.weights[name], weight) for name, weight in resident.weights.items())
