"""Mirror images and moves by whole pixels: exact, for integers too, whichever way is fastest."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as torchvision

from lab.augmentations import Warp, augmentations, augmented, moves
from lab.augmentations.draws import matrices
from lab.augmentations.moves import folded, moved, picked

FILLS = ("zero", "edge", "reflect")
PADDING = {"zero": "constant", "edge": "edge", "reflect": "reflect"}  # as torchvision calls them


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, dtype=torch.uint8):
    return torch.randint(256, shape, generator=stream(1)).to(dtype)


def any_move(count, reach):
    """Matrices of every kind of move."""
    signs = [torch.randint(2, (count,), generator=stream(seed)) * 2.0 - 1 for seed in (2, 3)]
    offsets = [torch.randint(-reach, reach + 1, (count,), generator=stream(seed)).float() for seed in (4, 5)]
    return matrices(a=signs[0], e=signs[1], c=offsets[0], f=offsets[1])


def chain(specs, images, seed=0):
    choices = [augmentations.parse(spec) for spec in specs]
    return augmented(choices, images, torch.zeros(len(images), dtype=torch.long), 2, stream(seed))[0]


sizes = st.tuples(st.integers(1, 64), st.integers(1, 65))


@pytest.mark.parametrize("large", [0, 10**9], ids=["each by itself", "all at once"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("fill", FILLS)
@given(size=sizes, channels=st.sampled_from([1, 3]), reach=st.integers(0, 140))
def test_every_way_gives_the_same_bits(fill, dtype, large, size, channels, reach):
    images, matrix = noise(6, channels, *size, dtype=dtype), any_move(6, reach)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moves, "LARGE", large)
        assert torch.equal(moved(images, matrix, fill), picked(images, matrix, fill))


@pytest.mark.parametrize("fill", FILLS)
@given(size=sizes, reach=st.integers(0, 70))
def test_a_move_is_the_warp_of_its_matrix(fill, size, reach):
    images, matrix = noise(5, 2, *size, dtype=torch.float64) / 255, any_move(5, reach)
    bilinear, exact = Warp(matrix, fill).of(images), Warp(matrix, fill, "whole").of(images)
    # A place that should be whole is rounded to 1e-16 of the frame, of a neighbour's pixel by as much: reach * 1e-15.
    torch.testing.assert_close(bilinear, exact, rtol=0, atol=1e-11)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-4, 4)])
def test_a_shift_is_torchvisions_crop_of_the_padded_image(fill, shift):
    images = noise(1, 3, 9, 7)
    padded = torchvision.pad(images, [4], padding_mode=PADDING[fill])
    down, right = shift
    wanted = torchvision.crop(padded, 4 + down, 4 + right, 9, 7)
    matrix = matrices(c=torch.tensor([float(right)]), f=torch.tensor([float(down)]))
    assert torch.equal(moved(images, matrix, fill), wanted)


def test_mirror_images_are_torchvisions():
    images = noise(4, 3, 8, 5)
    assert torch.equal(chain([{"name": "flip", "p": 1}], images), torchvision.horizontal_flip(images))
    assert torch.equal(chain([{"name": "vertical_flip", "p": 1}], images), torchvision.vertical_flip(images))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_reflection_goes_on_for_ever(size):
    there_and_back = [*range(size), *range(size - 2, 0, -1)]
    wanted = [there_and_back[index % len(there_and_back)] for index in range(-20, 21)]
    assert folded(torch.arange(-20, 21), size, "reflect").tolist() == wanted


@given(size=sizes, padding=st.integers(0, 256))
def test_a_reflected_crop_may_be_wider_than_the_image(size, padding):
    images = noise(3, 1, *size)
    out = chain([{"name": "crop", "padding": padding, "fill": "reflect"}], images)
    for old, new in zip(images, out, strict=True):
        assert set(new.unique().tolist()) <= set(old.unique().tolist())


def test_integers_stay_the_same_integers_and_become_the_same_floats():
    images = noise(50, 3, 12, 10)
    specs = ["flip", "crop", "vertical_flip", {"name": "translation", "amount": 0.3}]
    moved_first = chain(specs, images).float().div_(255)
    assert torch.equal(moved_first, chain(specs, images.float().div_(255)))
    choices = [augmentations.parse(spec) for spec in specs]
    floats, _ = augmented(choices, images, torch.zeros(50, dtype=torch.long), 2, stream(), dtype=torch.float32)
    assert torch.equal(moved_first, floats)


def test_what_was_moved_out_of_the_frame_may_come_back_within_one_chain():
    images = noise(1, 1, 6, 6)
    away, back = (Warp(matrices(c=torch.tensor([shift])), "zero", "whole") for shift in (4.0, -4.0))
    assert torch.equal(away.then(back).of(images), images)
    assert not torch.equal(back.of(away.of(images)), images)


def test_a_moving_slider_keeps_the_draws():
    images = noise(500, 1, 1, 1).expand(-1, -1, 32, 32)
    ramp = torch.arange(32, dtype=torch.uint8).expand_as(images)
    few, many = (chain([{"name": "crop", "padding": padding, "fill": "edge"}], ramp) for padding in (2, 8))
    shifts = [out[:, 0, 0, 16].double() - 16 for out in (few, many)]
    assert torch.corrcoef(torch.stack(shifts))[0, 1] > 0.95
    assert shifts[1].abs().max() == 8


@pytest.mark.parametrize("name", ["flip", "vertical_flip"])
def test_moves_of_no_pixels_take_their_neighbours_fill(name):
    shape = torch.Size((4, 1, 8, 8))
    flips = augmentations.functions[name](shape, stream(), p=0.5)
    for fill in FILLS:
        turn = augmentations.functions["rotation"](shape, stream(), fill=fill)
        assert flips.joins(turn)
        assert turn.joins(flips)
        assert flips.then(turn).fill == turn.then(flips).fill == fill


def test_a_translation_is_uniform_in_whole_pixels():
    count, ramp = 21_000, torch.arange(100, dtype=torch.uint8)
    out = chain([{"name": "translation", "amount": 0.1, "fill": "edge"}], ramp.expand(count, 1, 1, -1))
    shifts = 50 - out[:, 0, 0, 50].long()
    counts = torch.bincount(shifts + 10, minlength=21).tolist()
    inner, ends = [count / 20] * 19, count / 40  # U(-10, 10) rounded: half as often at its ends
    assert counts[1:-1] == pytest.approx(inner, abs=5 * math.sqrt(count / 20))  # five standard errors
    assert counts[::20] == pytest.approx([ends, ends], abs=5 * math.sqrt(ends))
