"""A person's own images, made here: every kind of picture, odd names, and the split."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_files import folder as build
from small_files import noise, pictures

from lab.data import DataError, Dataset, datasets, load
from lab.data import folder as folder_module
from lab.diagnostics import examine
from lab.diagnostics.init_doctor import look
from lab.recipe import Recipe
from lab.training import Training

RAMP = np.linspace(0, 1, 64).reshape(8, 8)
ORIENTATION = 0x0112
STORED_AS = {  # EXIF orientation -> what a camera held that way would store
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def seen(root: Path, image: Image.Image, file: str = "x.png", *, knobs: dict | None = None, **options) -> torch.Tensor:
    """What training sees of a picture: it is saved as each training image of the class `cat`."""
    pictures(root)
    for old in (root / "cat").iterdir():
        old.unlink()
        image.save(old.with_name(f"{old.stem}{file}"), **options)
    data = build(root, **(knobs or {}))
    return data.train.images[data.train.labels.tolist().index(0)]


def parts(data: Dataset) -> list[list[str]]:
    return [[f"{file.parent.name}/{file.name}" for file in part.images.paths] for part in split_of(data)]


def joined(data: Dataset) -> list[str]:
    return [file for part in parts(data) for file in part]


def split_of(data: Dataset) -> tuple:
    return data.train, data.validation, data.test


def flat(mode: str, colour) -> Image.Image:
    return Image.new(mode, (9, 7), colour)


def palette(transparent: bool) -> Image.Image:
    image = flat("P", 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    if transparent:
        image.info["transparency"] = 1
    return image


@pytest.mark.parametrize(
    ("image", "file", "colour"),
    [
        pytest.param(flat("RGB", (10, 200, 30)), "x.png", (10, 200, 30), id="rgb"),
        pytest.param(flat("L", 77), "x.png", (77, 77, 77), id="grey"),
        pytest.param(palette(transparent=False), "x.png", (10, 200, 30), id="palette"),
        pytest.param(palette(transparent=True), "x.png", (255, 255, 255), id="palette, transparent"),
        pytest.param(flat("RGBA", (10, 200, 30, 255)), "x.png", (10, 200, 30), id="rgba, opaque"),
        pytest.param(flat("RGBA", (10, 200, 30, 0)), "x.png", (255, 255, 255), id="rgba, transparent"),
        pytest.param(flat("RGBA", (0, 0, 0, 102)), "x.png", (153, 153, 153), id="rgba, two fifths black"),
        pytest.param(flat("LA", (50, 255)), "x.png", (50, 50, 50), id="grey with alpha, opaque"),
        pytest.param(flat("LA", (50, 0)), "x.png", (255, 255, 255), id="grey with alpha, transparent"),
        pytest.param(flat("CMYK", (0, 255, 255, 0)), "x.tif", (255, 0, 0), id="cmyk tiff"),
        pytest.param(flat("CMYK", (0, 255, 255, 0)), "x.jpg", (254, 0, 0), id="cmyk jpeg"),
        pytest.param(flat("1", 1), "x.png", (255, 255, 255), id="one bit, white"),
        pytest.param(flat("1", 0), "x.png", (0, 0, 0), id="one bit, black"),
        pytest.param(flat("YCbCr", (100, 128, 128)), "x.tif", (100, 100, 100), id="ycbcr tiff"),
        pytest.param(flat("LAB", (255, 128, 128)), "x.tif", (255, 255, 255), id="lab tiff"),
    ],
)
@pytest.mark.parametrize("mode", ["rgb", "grey"])
def test_every_kind_of_pixel_comes_out_as_a_person_sees_it(image, file, colour, mode, tmp_path):
    pixels = seen(tmp_path, image, file, knobs={"colour": mode})
    expected = np.array(colour) if mode == "rgb" else np.dot(colour, (0.299, 0.587, 0.114))
    assert pixels.shape == (3 if mode == "rgb" else 1, 8, 8)
    assert (pixels.flatten(1).T.double() - torch.tensor(expected)).abs().max() <= 1


def test_a_picture_of_the_right_size_keeps_every_pixel_in_its_place(tmp_path):
    picture = noise(42)
    assert torch.equal(seen(tmp_path, picture), torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1))


@pytest.mark.parametrize(
    ("values", "file"),
    [
        pytest.param((RAMP * 65535).astype(np.uint16), "x.png", id="16-bit png"),
        pytest.param((RAMP * 65535).astype(np.uint16), "x.tif", id="16-bit tiff"),
        pytest.param((RAMP * (2**31 - 1)).astype(np.int32), "x.tif", id="32-bit tiff"),
        pytest.param(RAMP.astype(np.float32), "x.tif", id="float tiff up to 1"),
        pytest.param((RAMP * 3000).astype(np.float32), "x.tif", id="float tiff up to 3000"),
    ],
)
def test_a_ramp_of_many_bits_stays_a_ramp(values, file, tmp_path):
    pixels = seen(tmp_path, Image.fromarray(values), file, knobs={"colour": "grey"})
    assert (pixels[0].double() - torch.from_numpy(RAMP * 255)).abs().max() <= 1


def test_float_pixels_that_are_not_numbers_are_black_and_harm_no_others(tmp_path):
    values = RAMP.astype(np.float32)
    values[0, 5] = np.nan
    pixels = seen(tmp_path, Image.fromarray(values), "x.tif", knobs={"colour": "grey"})[0]
    assert pixels[0, 5] == 0
    assert (pixels[1:].double() - torch.from_numpy(RAMP * 255)[1:]).abs().max() <= 1


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
def test_a_photograph_stands_upright_however_the_camera_was_held(orientation, ending, tmp_path):
    upright = Image.fromarray(np.kron(np.arange(10, 250, 40).reshape(2, 3), np.ones((8, 8))).astype(np.uint8))
    turned = upright if orientation == 1 else upright.transpose(STORED_AS[orientation])
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    pixels = seen(tmp_path, turned, f"x.{ending}", exif=exif, knobs={"size": 16, "colour": "grey"})
    middle = torch.from_numpy(np.asarray(upright)[:, 4:20].copy())
    assert (pixels[0].int() - middle.int()).abs().max() <= 4


def test_an_animation_is_its_first_frame(tmp_path):
    frames = [flat("RGB", colour) for colour in ("red", "blue", "lime")]
    pixels = seen(tmp_path, frames[0], "x.gif", save_all=True, append_images=frames[1:])
    assert pixels[:, 4, 4].tolist() == [255, 0, 0]


@pytest.mark.parametrize("size", [(1, 1), (3000, 1), (1, 3000), (2, 3)])
def test_pictures_of_any_proportion_fit(size, tmp_path):
    assert (seen(tmp_path, Image.new("L", size, 90)) == 90).all()


def test_the_shorter_side_is_scaled_and_the_middle_kept(tmp_path):
    values = np.zeros((8, 40), np.uint8)
    values[:, 16:24] = 200
    assert (seen(tmp_path, Image.fromarray(values)) == 200).all()


@pytest.mark.parametrize(("knobs", "shape"), [({"size": 4}, (3, 4, 4)), ({"size": 33, "colour": "grey"}, (1, 33, 33))])
def test_size_and_colour_are_as_asked(knobs, shape, tmp_path):
    data = build(pictures(tmp_path / "images"), **knobs)
    assert data.shape == shape
    assert data.train.images[0].dtype == torch.uint8


def test_endings_in_capitals_are_images_and_other_files_are_not(tmp_path):
    pictures(tmp_path, each=4)
    (tmp_path / "cat" / "0.png").rename(tmp_path / "cat" / "0.PNG")
    for name in ("notes.txt", "cat.xml", "Thumbs.db", ".DS_Store", ".hidden.png", "png", "._1.png"):
        (tmp_path / "cat" / name).write_text("not an image")
    (tmp_path / "README.md").write_text("not a class")
    noise(1).save(tmp_path / "stray.png")
    (tmp_path / ".cache").mkdir()
    data = build(tmp_path)
    assert data.classes == ("cat", "dog")
    dogs = [f"dog/{index}.png" for index in range(4)]
    assert sorted(joined(data)) == ["cat/0.PNG", "cat/1.png", "cat/2.png", "cat/3.png", *dogs]


def test_hidden_folders_inside_a_class_are_passed_over(tmp_path):
    pictures(tmp_path)
    shutil.copytree(tmp_path / "cat", tmp_path / "cat" / ".ipynb_checkpoints")
    assert len(joined(build(tmp_path))) == 6


def test_a_folder_that_is_named_like_an_image_is_a_folder(tmp_path):
    pictures(tmp_path)
    (tmp_path / "cat" / "album.png").mkdir()
    noise(7).save(tmp_path / "cat" / "album.png" / "inside.png")
    assert len(joined(build(tmp_path))) == 7


def test_folders_inside_a_class_belong_to_it(tmp_path):
    pictures(tmp_path)
    (tmp_path / "dog" / "2024" / "may").mkdir(parents=True)
    noise(7).save(tmp_path / "dog" / "2024" / "may" / "rex.png")
    data = build(tmp_path)
    dogs = [part.images.paths[at].name for part in split_of(data) for at in part.labels.nonzero()]
    assert sorted(dogs) == ["0.png", "1.png", "2.png", "rex.png"]


def test_names_may_have_spaces_and_any_letters(tmp_path):
    names = ("crème brûlée", "кошка", "猫 and 犬", "100% [sic] #1")
    for name in names:
        pictures(tmp_path / "my images", name)
        (tmp_path / "my images" / name / "0.png").rename(tmp_path / "my images" / name / f"a {name}.png")
    assert build(tmp_path / "my images").classes == tuple(sorted(names))
    assert "кошка/a кошка.png" in joined(build(tmp_path / "my images"))


def test_each_class_is_divided_alike_and_no_picture_is_in_two_parts(tmp_path):
    data = build(pictures(tmp_path, "a", "b", "c", each=20))
    assert [part.labels.bincount().tolist() for part in split_of(data)] == [[14] * 3, [3] * 3, [3] * 3]
    assert len(set(joined(data))) == 60


def test_three_pictures_are_enough_for_a_class(tmp_path):
    pictures(tmp_path, "many", each=30)
    data = build(pictures(tmp_path, "few"))
    assert [part.labels.bincount().tolist()[0] for part in split_of(data)] == [1, 1, 1]


def test_the_split_is_the_same_every_time_wherever_the_folder_lies(tmp_path):
    here = parts(build(pictures(tmp_path / "here", each=9)))
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert parts(build(tmp_path / "here")) == here
    assert parts(build(tmp_path / "there")) == here


def test_the_split_does_not_hang_on_the_order_in_which_the_disk_lists_files(tmp_path, monkeypatch):
    expected = parts(build(pictures(tmp_path, each=9)))
    rglob, iterdir = Path.rglob, Path.iterdir
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: iter(sorted(rglob(self, pattern), reverse=True)))
    monkeypatch.setattr(Path, "iterdir", lambda self: iter(sorted(iterdir(self), reverse=True)))
    assert next(tmp_path.iterdir()).name == "dog"
    assert parts(build(tmp_path)) == expected


def test_a_folder_that_stays_as_it_is_is_read_once_and_one_that_changes_anew(tmp_path, monkeypatch):
    root, checked = pictures(tmp_path), []
    check = folder_module.check
    monkeypatch.setattr(folder_module, "check", lambda files: checked.append(len(files)) or check(files))
    choice = datasets.parse({"name": "folder", "path": str(root)})
    assert load(choice) is load(choice)
    other = next(root.rglob("*.png")).with_name("one more.png")
    noise(9999).save(other)
    load(choice)
    other.write_bytes(b"damaged")
    with pytest.raises(DataError, match="one more"):
        load(choice)
    assert len(checked) == 3
    assert checked[1] == checked[2] == checked[0] + 1


def test_the_doctor_reads_no_more_of_a_folder_than_it_looks_at(tmp_path, monkeypatch):
    recipe = Recipe(data={"name": "folder", "path": str(pictures(tmp_path, each=10)), "size": 16})
    resident = look(Training(recipe, device="cpu"), 4)
    load(recipe.data).statistics  # noqa: B018  # of many images, once
    read: list[int] = []
    take = folder_module.ImageFiles.__getitem__
    monkeypatch.setattr(
        folder_module.ImageFiles, "__getitem__", lambda images, index: read.append(index) or take(images, index)
    )
    assert examine(recipe, images=4, device="cpu").look == resident
    assert len(read) == 4
