"""Augmentations: one random draw per sample, from the generator alone."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import specs

from lab.augmentations import augmentations, augmented

every_augmentation = pytest.mark.parametrize("name", augmentations)
PICTURE = torch.arange(1, 31, dtype=torch.float32).view(1, 1, 5, 6) / 30
COLOURS = PICTURE[:, [0] * 3] ** torch.tensor([0.5, 1, 2]).view(3, 1, 1)


def augment(spec, images, seed=0):
    return by_chain(augmentations.parse(spec), images, torch.Generator().manual_seed(seed))


def by_chain(choice, images, generator):
    """A chain of one: what an option wants is carried out there."""
    return augmented([choice], images, torch.zeros(len(images), dtype=torch.long), 2, generator)[0]


def draws_once_per_sample(function, count=200):
    """Whether copies of one picture in a batch come out in more than one way."""
    out = function(COLOURS.expand(count, -1, -1, -1).clone(), torch.Generator().manual_seed(0))
    return len(out.flatten(1).unique(dim=0)) > 1


def one_flip_for_all(images, generator):
    """What torchvision's transforms do to a batch."""
    return images.flip(-1) if torch.rand(1, generator=generator) < 0.5 else images


@every_augmentation
def test_each_sample_has_its_own_draw(name):
    choice = augmentations.parse(name)
    assert draws_once_per_sample(lambda images, generator: by_chain(choice, images, generator))


def test_one_draw_for_a_whole_batch_would_be_noticed():
    assert not draws_once_per_sample(one_flip_for_all)


@every_augmentation
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(st.data())
def test_shape_type_range_and_input_are_kept(name, dtype, data):
    spec = data.draw(specs("augment", name, usual=True))
    images = torch.rand(4, 3, 6, 5, dtype=dtype, generator=torch.Generator().manual_seed(1))
    before = images.clone()
    out = augment(spec, images)
    assert (out.shape, out.dtype) == (images.shape, dtype)
    assert 0 <= out.min() <= out.max() <= 1
    assert torch.equal(images, before)


@every_augmentation
def test_equal_seeds_give_equal_images_and_other_seeds_others(name):
    images = COLOURS.expand(20, -1, -1, -1)
    assert torch.equal(augment(name, images, 3), augment(name, images, 3))
    assert not torch.equal(augment(name, images, 3), augment(name, images, 4))


@every_augmentation
def test_the_global_stream_is_left_alone(name):
    before = torch.get_rng_state()
    augment(name, COLOURS)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("spec", [{"name": "flip", "p": 0}, {"name": "crop", "padding": 0}])
def test_nothing_asked_is_nothing_done_bit_for_bit(spec):
    images = torch.randn(8, 3, 5, 7)
    assert torch.equal(augment(spec, images), images)


def test_a_certain_flip_mirrors_every_sample():
    out = augment({"name": "flip", "p": 1}, PICTURE.expand(3, -1, -1, -1))
    for column in range(6):
        assert torch.equal(out[..., column], PICTURE.expand(3, -1, -1, -1)[..., 5 - column])


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_a_flip_happens_as_often_as_asked(p):
    count = 10_000
    out = augment({"name": "flip", "p": p}, PICTURE.expand(count, -1, -1, -1))
    flipped = (out == PICTURE.flip(-1)).flatten(1).all(1).double().mean().item()
    assert flipped == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / count))  # five standard errors


def shifted(down, right):
    """The picture moved by hand, black where nothing is."""
    out = torch.zeros_like(PICTURE[0, 0])
    for row in range(5):
        for column in range(6):
            if 0 <= row - down < 5 and 0 <= column - right < 6:
                out[row, column] = PICTURE[0, 0, row - down, column - right]
    return out


def test_a_crop_is_every_shift_equally_often():
    count = 25_000
    out = augment({"name": "crop", "padding": 2}, PICTURE.expand(count, -1, -1, -1))
    shifts = [shifted(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    counts = [(out[:, 0] == shift).flatten(1).all(1).sum().item() for shift in shifts]
    assert sum(counts) == count
    assert counts == pytest.approx([1000] * 25, abs=5 * math.sqrt(1000))  # five standard errors


def test_a_crop_moves_all_channels_of_a_sample_alike():
    images = PICTURE.expand(50, 3, -1, -1)
    out = augment({"name": "crop", "padding": 2}, images)
    assert torch.equal(out[:, :1].expand(-1, 3, -1, -1), out)
