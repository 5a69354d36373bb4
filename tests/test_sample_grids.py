"""Grids of samples: the same draws whatever else is in the list, and pictures that show them."""

import dataclasses
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from small_augmentations import blended, lighter, offered, slid

from lab import sheets
from lab.augmentations import Pending, augmentations, extend
from lab.data import datasets, load
from lab.sample_grids import Samples, captions, grid, grids, samples, stages, streams, strip, taught

DIGITS = load(datasets.parse("digits"))
OWN = (lighter, slid, blended)


@pytest.fixture(autouse=True)
def _own_options():
    with offered(*OWN):
        yield


def policy(*specs):
    return tuple(augmentations.parse(spec) for spec in specs)


def grey(count=12, value=0.25):
    """Even images, on which what `lighter` adds can be read off."""
    images = torch.full((count, 1, 6, 6), value)
    return Samples(images, torch.arange(count) % 3, torch.arange(count), count, ("a", "b", "c"))


def added(*specs, seed=0):
    """What `lighter` drew for each sample, in a list with further entries."""
    return grid(grey(), policy(*specs), seed=seed).images[:, 0, 3, 2] - 0.25


# -- the same draws ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("others", [["flip"], ["flip", "crop"], ["slid"]])
def test_another_entry_leaves_the_draws_alone(others):
    alone = added({"name": "lighter", "strength": 0.5})
    assert alone.std() > 0.05
    with_others = [spec if spec != "crop" else {"name": "crop", "padding": 1} for spec in others]
    assert torch.allclose(added(*with_others, {"name": "lighter", "strength": 0.5}), alone, atol=1e-6)
    assert torch.allclose(added({"name": "lighter", "strength": 0.5}, *with_others), alone, atol=1e-6)


def test_a_strength_that_moves_keeps_the_draws():
    weak, strong = (added({"name": "lighter", "strength": strength}) for strength in (0.2, 0.6))
    assert torch.allclose(3 * weak, strong, atol=1e-6)
    flips = [grid(samples(DIGITS), policy({"name": "flip", "p": p}, "crop")).images for p in (0.2, 0.7)]
    raw = grid(samples(DIGITS), policy("crop")).images
    alike = [(images == raw).flatten(1).all(1) for images in flips]
    assert (alike[0] | ~alike[1]).all()  # who is flipped at 0.2 is flipped at 0.7
    assert alike[0].sum() > alike[1].sum()


def test_the_second_time_an_option_stands_in_a_list_it_draws_anew():
    once, twice = added("lighter"), added("lighter", "lighter")
    assert not torch.allclose(twice, 2 * once, atol=1e-3)


def test_equal_seeds_give_equal_grids_and_other_seeds_others():
    chosen, flips = samples(DIGITS, count=32), policy("flip", "crop")
    assert torch.equal(grid(chosen, flips, seed=3).images, grid(chosen, flips, seed=3).images)
    assert not torch.equal(grid(chosen, flips, seed=3).images, grid(chosen, flips, seed=4).images)
    assert not torch.equal(samples(DIGITS, seed=1).index, samples(DIGITS, seed=2).index)


def test_the_global_stream_is_left_alone():
    before = torch.get_rng_state()
    grids(samples(DIGITS), [policy("flip")])
    assert torch.equal(torch.get_rng_state(), before)


# -- which samples ----------------------------------------------------------------------------------------------


def test_the_raw_side_comes_first_and_shows_training_images():
    raw, flipped = grids(samples(DIGITS, count=9), [policy({"name": "flip", "p": 1})])
    index = samples(DIGITS, count=9).index
    assert torch.equal((raw.images * 255).round().to(torch.uint8), DIGITS.train.images[index])
    assert raw.captions == tuple(DIGITS.classes[label] for label in DIGITS.train.labels[index])
    assert torch.equal(flipped.images, raw.images.flip(-1))


def test_a_pinned_image_fills_the_grid_and_is_mixed_with_others():
    chosen = samples(DIGITS, count=8, pinned=5)
    raw, crops = grids(chosen, [policy("crop")])
    assert len(raw.images) == 8
    assert len(raw.images.flatten(1).unique(dim=0)) == 1
    assert len(crops.images.flatten(1).unique(dim=0)) > 4
    assert len(chosen.images) == 16
    assert torch.equal(chosen.index[8:], samples(DIGITS, count=8).index)


@pytest.mark.parametrize(
    ("given", "words"),
    [({"count": 0}, "count is 0, but must be at least 1"), ({"pinned": 99999}, "has the places 0 to ")],
)
def test_what_cannot_be_shown_is_refused(given, words):
    with pytest.raises(ValueError, match=words):
        samples(DIGITS, **given)


@pytest.mark.parametrize("count", [0, 5])
def test_a_person_compares_one_to_four_lists(count):
    with pytest.raises(ValueError, match=f"There are {count} lists of augmentations, but must be 1 to 4"):
        grids(samples(DIGITS), [()] * count)


def test_a_small_split_is_shown_whole():
    small = dataclasses.replace(DIGITS, train=DIGITS.train.take(torch.arange(3)))
    assert samples(small, count=16).index.sort().values.tolist() == [0, 1, 2]


# -- captions ---------------------------------------------------------------------------------------------------


def test_a_mixture_says_whose_it_is():
    shares = torch.tensor([[0.0, 0.62, 0.38], [1.0, 0.0, 0.0], [0.998, 0.002, 0.0]])
    assert captions(shares, ("1", "3", "8")) == ("62% 3, 38% 8", "1", "1")
    assert captions(torch.full((1, 5), 0.2), tuple("abcde")) == ("20% a, 20% b, 20% c, ...",)
    assert captions(torch.tensor([2, 0]), ("cat", "dog", "owl")) == ("owl", "cat")


def test_a_mixed_grid_has_the_shares_under_its_tiles():
    found = grid(grey(), policy({"name": "blended", "share": 1}))
    assert any("%" in caption and ", " in caption for caption in found.captions)


# -- the strip --------------------------------------------------------------------------------------------------


def test_the_strip_ends_in_the_tile_of_the_grid():
    chosen, whole = samples(DIGITS), policy("slid", "flip", "slid", "lighter", "blended")
    stages = strip(chosen, whole, 3, seed=2)
    assert [caption.split("\n")[0] for caption in stages.captions] == ["raw", *(choice.name for choice in whole)]
    assert torch.equal(stages.images[0], chosen.images[3])
    tile = grid(chosen, whole, seed=2)
    assert torch.equal(stages.images[-1], tile.images[3])
    assert stages.captions[-1].split("\n")[1] == tile.captions[3]
    assert not torch.equal(stages.images[0], stages.images[1])


def test_looking_at_the_stages_does_not_part_what_is_carried_out_as_one():
    chosen, whole = samples(DIGITS), policy("slid", "slid", "lighter")
    batch = Pending(chosen.images, chosen.labels, len(chosen.classes))
    for choice, draws in zip(whole, streams(whole, 0), strict=True):
        extend(batch, choice, draws)
    assert torch.equal(strip(chosen, whole, 3).images[-1], batch.images[3])


def test_a_stage_shows_the_same_whenever_it_is_looked_at():
    chosen, whole = samples(DIGITS, count=4), policy("slid", "rotation", "lighter", "mixup", "flip")
    at_once = [batch.images for batch in stages(chosen, whole, 0, {})]
    afterwards = [batch.images for batch in list(stages(chosen, whole, 0, {}))]
    assert all(torch.equal(*pair) for pair in zip(at_once, afterwards, strict=True))


def test_what_learns_is_shown_as_a_run_of_that_seed_has_learned_it():
    few = dataclasses.replace(DIGITS, train=DIGITS.train.take(torch.arange(60)))
    made = policy({"name": "generated", "share": 1, "width": 16, "steps": 5})
    chosen, learned = samples(few, count=4), taught(made, few, 7)
    found = grid(chosen, made, learned=learned)
    assert not torch.equal(found.images, chosen.images)
    assert torch.equal(strip(chosen, made, 2, learned=learned).images[-1], found.images[2])
    assert not torch.equal(grid(chosen, made, learned=taught(made, few, 8)).images, found.images)


# -- pictures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 28), (2, 9), (3, 32), (3, 96), (4, 20), (3, 300)])
@pytest.mark.parametrize("dark", [False, True])
def test_a_sheet_shows_every_pixel_as_a_square(channels, size, dark):
    tiles = torch.rand(5, channels, size, size, generator=torch.Generator().manual_seed(0))
    picture = np.asarray(sheets.sheet(tiles, ["a"] * 5, columns=3, width=480, dark=dark))
    assert picture.shape[1] <= 480
    assert tuple(picture[-1, -1]) == sheets.PAPER[dark]
    drawn = sheets.scaled(tiles, (480 + sheets.GAP) // 3 - sheets.GAP - 2)
    high, wide = drawn.shape[1:3]
    assert np.array_equal(picture[1 : 1 + high, 1 : 1 + wide], drawn[0])
    if size <= 96:
        factor = high // size
        first = (tiles[0, :3] if channels >= 3 else tiles[0, :1].expand(3, -1, -1)).mul(255).round().byte()
        assert np.array_equal(drawn[0, ::factor, ::factor], first.permute(1, 2, 0).numpy())
        assert np.array_equal(drawn[0, factor - 1 :: factor, factor - 1 :: factor], drawn[0, ::factor, ::factor])


def test_what_is_a_little_too_wide_is_made_a_little_smaller():
    tiles = torch.zeros(1, 1, 65, 130)
    tiles[..., 65:] = 1
    drawn = sheets.scaled(tiles, 100)[0, ..., 0]
    assert drawn.shape == (50, 100)
    assert set(drawn[:, :50].flat) == {0}
    assert set(drawn[:, 50:].flat) == {255}


def test_room_for_captions_is_kept_though_none_needs_it():
    tiles = torch.zeros(2, 1, 20, 20)
    one, three = (sheets.sheet(tiles, ["a", "b"], columns=2, width=200, lines=lines) for lines in (1, 3))
    assert three.height - one.height == 2 * sheets.LINE
    assert three.width == one.width


def test_equal_tiles_give_equal_files_and_the_paper_follows_the_theme():
    tiles = samples(DIGITS, count=4).images
    files = [sheets.png(sheets.sheet(tiles, "abcd", columns=2, width=200, dark=dark)) for dark in (False, False, True)]
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("size", [(1, 1), (7, 1), (1, 5), (40, 30)])
def test_a_file_holds_every_pixel_of_its_picture(mode, size):
    shape = (*size[::-1], len(mode)) if len(mode) > 1 else size[::-1]
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    read = Image.open(BytesIO(sheets.png(Image.fromarray(pixels))))
    read.load()
    assert read.size == size
    assert np.array_equal(np.asarray(read.convert(mode)), pixels)


def test_tiles_made_smaller_do_not_reach_into_each_other():
    tiles = torch.tensor([0.0, 1.0, 0.0, 1.0])[:, None, None, None].expand(-1, 3, 97, 131)
    assert [set(tile.flat) for tile in sheets.scaled(tiles, 50)] == [{0}, {255}, {0}, {255}]


def test_captions_are_written_and_fit_under_their_tile():
    tiles = torch.zeros(2, 1, 8, 8)
    blank, written = (np.asarray(sheets.sheet(tiles, said, columns=2, width=200)) for said in (["", ""], ["3", "8"]))
    assert blank.shape == written.shape
    assert not np.array_equal(blank, written)
    lines = sheets.lines_of("62% Ankle boot, 38% a class with a name without an end", 90)
    assert lines[0] == "62% Ankle boot,"
    assert lines[1].endswith("..")
    assert all(sheets.font_of(line).getlength(line) <= 90 for line in lines)
    assert sheets.lines_of("3\nsecond", 90) == ("3", "second")


def test_letters_of_other_scripts_are_cut_and_written_too():
    tiles = torch.zeros(1, 1, 8, 8)
    names = ["Жук, усач и ещё один очень длинный класс"]
    assert sheets.sheet(tiles, names, columns=1, width=100).width <= 100


def test_sides_stand_beside_each_other_in_a_file(tmp_path):
    sides = grids(samples(DIGITS, count=4), [policy("flip"), policy("crop")])
    drawn = [sheets.sheet(side.images, side.captions, columns=2, width=200) for side in sides]
    whole = sheets.beside(drawn, ["raw", "flip", "crop"], dark=True)
    whole.save(tmp_path / "sides.png")
    with Image.open(tmp_path / "sides.png") as read:
        assert read.width > sum(picture.width for picture in drawn)
        assert np.array_equal(np.asarray(read), np.asarray(whole))


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (4, 2), (9, 3), (16, 4), (36, 6), (64, 8), (5, 3)])
def test_a_sheet_is_about_as_wide_as_high(count, columns):
    assert sheets.columns_for(count) == columns
