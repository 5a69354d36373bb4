"""Augmentations: one random draw per sample, from the generator alone."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_runs import as_on_another_device
from strategies import specs

from lab.augmentations import augmentations, augmented

every_augmentation = pytest.mark.parametrize("name", augmentations)
PICTURE = torch.arange(1, 31, dtype=torch.float32).view(1, 1, 5, 6) / 30
COLOURS = PICTURE[:, [0] * 3] ** torch.tensor([0.5, 1, 2]).view(3, 1, 1)


def augment(spec, images, seed=0):
    """Images after a chain of one; one option's, or its name's."""
    labels = torch.zeros(len(images), dtype=torch.long)
    generator = torch.Generator().manual_seed(seed)
    return augmented([augmentations.parse(spec)], images, labels, 2, generator)[0]


def draws_once_per_sample(function, count=200):
    """Whether copies of one picture in a batch come out in more than one way."""
    return len(function(COLOURS.expand(count, -1, -1, -1).clone()).flatten(1).unique(dim=0)) > 1


def one_flip_for_all(images):
    """What torchvision's transforms do to a batch."""
    return images.flip(-1) if torch.rand(1) < 0.5 else images


def sometimes(name):
    """An option as it stands, but done to half of the samples where it would do the same to all."""
    return {"name": name, "p": 0.5} if name == "centre_crop" else name


@every_augmentation
def test_each_sample_has_its_own_draw(name):
    assert draws_once_per_sample(lambda images: augment(sometimes(name), images))


def test_one_draw_for_a_whole_batch_would_be_noticed():
    assert not draws_once_per_sample(one_flip_for_all)


@every_augmentation
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@given(st.data())
def test_shape_type_range_and_input_are_kept(name, dtype, data):
    spec = data.draw(specs("augment", name, usual=True))
    channels, height, width = data.draw(st.tuples(st.sampled_from([1, 3]), st.integers(1, 64), st.integers(1, 65)))
    images = noise(4, channels, height, width, dtype=dtype)
    before = images.clone()
    out = augment(spec, images)
    assert (out.shape, out.dtype) == (images.shape, dtype)
    assert 0 <= out.min() <= out.max() <= (255 if dtype == torch.uint8 else 1)
    assert torch.equal(images, before)


def noise(*shape, dtype=torch.float32):
    images = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return (images * 255).round().to(dtype) if dtype == torch.uint8 else images.to(dtype)


@every_augmentation
def test_equal_seeds_give_equal_images_and_other_seeds_others(name):
    images = COLOURS.expand(20, -1, -1, -1)
    spec = sometimes(name)
    assert torch.equal(augment(spec, images, 3), augment(spec, images, 3))
    assert not torch.equal(augment(spec, images, 3), augment(spec, images, 4))


@every_augmentation
def test_the_global_stream_is_left_alone(name):
    before = torch.get_rng_state()
    augment(name, COLOURS)
    assert torch.equal(torch.get_rng_state(), before)


STRENGTHLESS = {
    "crop": {"padding": 0},
    "centre_crop": {"side": 1},
    "random_resized_crop": {"smallest": 1, "ratio": 1},  # of a square image
    "rotation": {"degrees": 0},
    "shear": {"degrees": 0},
    "scale": {"amount": 0},
    "translation": {"amount": 0},
    "perspective": {"distortion": 0},
    "elastic": {"alpha": 0},
}
GEOMETRY_WITH_P = ["flip", "vertical_flip", *(name for name in STRENGTHLESS if name not in {"crop", "translation"})]
CERTAIN_CHANGE = {"random_resized_crop": {"largest": 0.5}}  # where a draw may also leave all as it is
NOTHING_ASKED = [{"name": name, **settings} for name, settings in STRENGTHLESS.items()]
NOTHING_ASKED += [{"name": name, "p": 0} for name in augmentations if "p" in augmentations[name].model_fields]


@pytest.mark.parametrize("spec", NOTHING_ASKED, ids=str)
@pytest.mark.parametrize("size", [1, 7])
def test_nothing_asked_is_nothing_done_bit_for_bit(spec, size):
    certain = {"p": 1} if "p" in augmentations[spec["name"]].model_fields else {}
    for images in (torch.randn(8, 3, size, size), noise(8, 1, size, size, dtype=torch.uint8)):
        assert torch.equal(augment({**certain, **spec}, images), images)


def test_a_certain_flip_mirrors_every_sample():
    out = augment({"name": "flip", "p": 1}, PICTURE.expand(3, -1, -1, -1))
    for column in range(6):
        assert torch.equal(out[..., column], PICTURE.expand(3, -1, -1, -1)[..., 5 - column])


def share_changed(spec, images):
    return (augment(spec, images) != images).flatten(1).any(1).double().mean().item()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", GEOMETRY_WITH_P)
def test_as_many_samples_are_changed_as_asked(name, p):
    count = 10_000 if name in {"flip", "vertical_flip"} else 2_000
    spec = {"name": name, "p": p, **CERTAIN_CHANGE.get(name, {})}
    margin = 5 * math.sqrt(p * (1 - p) / count)  # five standard errors
    assert share_changed(spec, PICTURE.expand(count, -1, -1, -1)) == pytest.approx(p, abs=margin)


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


@every_augmentation
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_cpu_gives_the_images_of_another_device(name, dtype, monkeypatch):
    """Where nothing may be looked up every sample goes the same way: to the same bits."""
    images = noise(20, 3, 30, 40, dtype=dtype)
    here = augment(name, images)
    as_on_another_device(monkeypatch)
    assert torch.equal(augment(name, images), here)
