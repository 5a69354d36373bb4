"""Augmentations: one random draw per sample, from the generator alone."""

import math
from typing import get_type_hints

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_runs import as_on_another_device
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


def sometimes(name):
    """An option as it stands, but done to half of the samples where it would do the same to all."""
    return {"name": name, "p": 0.5} if name == "centre_crop" else name


@every_augmentation
def test_each_sample_has_its_own_draw(name):
    assert draws_once_per_sample(lambda images: augment(sometimes(name), images), mixes=name in MIXING)


def test_one_draw_for_a_whole_batch_would_be_noticed():
    assert not draws_once_per_sample(one_flip_for_all)
    assert not draws_once_per_sample(one_mixture_for_all, mixes=True)


@every_augmentation
@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16, torch.float32, torch.float64])
@given(st.data())
def test_shape_type_range_and_input_are_kept(name, dtype, data):
    spec = data.draw(specs("augment", name, usual=True))
    channels, height, width = data.draw(
        st.tuples(st.sampled_from([1, 2, 3, 4]), st.integers(1, 64), st.integers(1, 65))
    )
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
    images, spec = every_other_black(20), sometimes(name)
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
    floats = torch.randn(8, 3, size, size)
    for images in (floats, floats.bfloat16(), noise(8, 1, size, size, dtype=torch.uint8)):
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


@pytest.mark.parametrize("name", sorted(set(augmentations.functions) - {"generated"}))
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_pixels_stay_between_black_and_white_also_for_the_next_in_the_list(name, dtype):
    images = torch.randint(256, (256, 3, 9, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    shown = images if dtype == torch.uint8 else images / 255
    for seed, options in enumerate(([name], [name, "gamma"])):  # which takes a logarithm
        choices = [augmentations.parse(option) for option in dict.fromkeys(options)]
        draws = torch.Generator().manual_seed(seed)
        out, _ = augmented(choices, shown, torch.zeros(256).long(), 10, draws, dtype=torch.float32)
        assert 0 <= out.min() <= out.max() <= 1
