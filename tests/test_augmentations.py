"""Augmentations: one random draw per sample, from the generator alone."""

import math
from typing import get_type_hints

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import specs

from lab.augmentations import Mix, augmentations, augmented, lessons
from lab.data import Split

every_augmentation = pytest.mark.parametrize("name", augmentations)
MIXING = [name for name, function in augmentations.functions.items() if get_type_hints(function)["return"] is Mix]
PICTURE = torch.arange(1, 31, dtype=torch.float32).view(1, 1, 5, 6) / 30
COLOURS = PICTURE[:, [0] * 3] ** torch.tensor([0.5, 1, 2]).view(3, 1, 1)


def augment(spec, images, seed=0):
    """Without labels; what learns sees a few pictures of noise before."""
    choice = augmentations.parse({"name": spec} if isinstance(spec, str) else spec)
    generator, labels = torch.Generator().manual_seed(seed), torch.zeros(len(images), dtype=torch.long)
    noise = torch.randint(256, (8, *images.shape[1:]), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    learned = lessons([choice], Split(noise, torch.zeros(8, dtype=torch.long)), 2, torch.Generator().manual_seed(0))
    return augmented([choice], images, labels, 2, generator, lessons=learned)[0]


def every_other_black(count):
    return COLOURS * (torch.arange(count) % 2)[:, None, None, None]


def draws_once_per_sample(function, *, mixes=False):
    """Whether copies of one picture come out in several ways; mixed with black ones, in more than four."""
    images = every_other_black(200) if mixes else COLOURS.expand(200, -1, -1, -1).clone()
    return len(function(images).flatten(1).unique(dim=0)) > (4 if mixes else 1)


def one_flip_for_all(images):
    """What torchvision's transforms do to a batch."""
    return images.flip(-1) if torch.rand(1) < 0.5 else images


def one_mixture_for_all(images):
    """Likewise."""
    return torch.lerp(images[torch.randperm(len(images))], images, 0.7)


@every_augmentation
def test_each_sample_has_its_own_draw(name):
    assert draws_once_per_sample(lambda images: augment(name, images), mixes=name in MIXING)


def test_one_draw_for_a_whole_batch_would_be_noticed():
    assert not draws_once_per_sample(one_flip_for_all)
    assert not draws_once_per_sample(one_mixture_for_all, mixes=True)


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
    images = every_other_black(20)
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
