"""Colours, tones and detail: each operation against torchvision's, image by image, with the same parameters."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as theirs

from lab.augmentations import Recolour, augmentations, augmented, chosen
from lab.augmentations.colour import brightened, contrasted, hues_turned, inverted, saturated
from lab.augmentations.covers import covered, covered_slices
from lab.augmentations.detail import blurred, roughened, sharpened
from lab.augmentations.erasing import first_that_fits
from lab.augmentations.tones import equalised, raised, solarised, stepped, stretched

SIZES = [(1, 1), (1, 7), (2, 2), (3, 5), (28, 28), (64, 65)]
ROUNDING = 3e-6  # of single precision, over the few operations that a change is made of
NAMES = (
    *("brightness", "contrast", "saturation", "grayscale", "invert", "hue", "gamma", "posterise", "solarise"),
    *("auto_contrast", "equalise", "sharpness", "blur", "noise", "random_erasing", "cutout"),
)
every_pair = pytest.mark.parametrize("channels", [1, 3])
every_size = pytest.mark.parametrize("size", SIZES, ids=str)
every_name = pytest.mark.parametrize("name", NAMES)


def random_bytes(count, channels, size, tones=256):
    drawn = torch.randint(tones, (count, channels, *size), generator=torch.Generator().manual_seed(0))
    return (drawn * (256 // tones)).to(torch.uint8)


def from_bytes(images):
    return images.to(torch.float32) / 255


def augment(spec, images, seed=0):
    labels = torch.zeros(len(images), dtype=torch.long)
    return augmented([augmentations.parse(spec)], images, labels, 2, torch.Generator().manual_seed(seed))[0]


def one_by_one(images, function, *settings):
    return torch.stack([function(image, *given) for image, *given in zip(images, *settings, strict=True)])


def linear(make):
    """A maker of a Recolour as a function of images and a factor."""
    return lambda images, factor: make(factor, images.shape[1]).of(images)


def assert_equal(ours, reference, tolerance=ROUNDING):
    torch.testing.assert_close(ours, reference, atol=tolerance, rtol=0)


FACTORS = torch.tensor([0.0, 0.3, 0.999, 1.0, 1.4, 2.0])
BY_FACTOR = {
    "brightness": (linear(brightened), theirs.adjust_brightness),
    "contrast": (linear(contrasted), theirs.adjust_contrast),
    "saturation": (linear(saturated), theirs.adjust_saturation),
    "sharpness": (sharpened, theirs.adjust_sharpness),
    "gamma": (
        lambda images, factor: raised(images, factor + 0.1),
        lambda image, f: theirs.adjust_gamma(image, f + 0.1),
    ),
    "hue": (
        lambda images, factor: hues_turned(images, factor / 2 - 0.5) if images.shape[1] == 3 else images,
        lambda image, factor: theirs.adjust_hue(image, factor / 2 - 0.5),
    ),
    "solarise": (lambda images, factor: solarised(images, factor / 2), lambda image, f: theirs.solarize(image, f / 2)),
}


@pytest.mark.parametrize("name", BY_FACTOR)
@every_size
@every_pair
def test_each_factor_does_what_torchvision_does_with_it(name, size, channels):
    ours, reference = BY_FACTOR[name]
    images = torch.rand(6, channels, *size, generator=torch.Generator().manual_seed(0))
    assert_equal(ours(images, FACTORS), one_by_one(images, reference, FACTORS.tolist()))


@every_size
def test_colours_that_are_grey_black_white_or_pure_turn_as_torchvision_turns_them(size):
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 0.5, 1.0])] * 3)[:, :, None, None].expand(-1, -1, *size)
    for turn in (-0.5, -1 / 3, -0.1, 1e-4, 1 / 6, 0.5):
        ours = hues_turned(corners, torch.full((len(corners),), turn))
        assert_equal(ours, theirs.adjust_hue(corners, turn))


@every_size
@every_pair
def test_bytes_are_posterised_as_torchvision_does(size, channels):
    images, bits = random_bytes(8, channels, size), torch.arange(1, 9)
    reference = one_by_one(images, theirs.posterize, bits.tolist())
    assert_equal(stepped(from_bytes(images), bits.float()), from_bytes(reference), 1e-6)


@every_size
@every_pair
@pytest.mark.parametrize("tones", [1, 20, 256])
def test_bytes_are_equalised_as_torchvision_does(size, channels, tones):
    images = random_bytes(8, channels, size, tones)
    assert_equal(equalised(from_bytes(images)), from_bytes(one_by_one(images, theirs.equalize)), 1e-6)


@every_size
@every_pair
def test_negatives_greys_and_stretched_contrasts_are_torchvisions(size, channels):
    images = 0.2 + 0.5 * torch.rand(4, channels, *size, generator=torch.Generator().manual_seed(0))
    ones = torch.ones(4)
    assert_equal(inverted(ones, channels).of(images), theirs.invert(images))
    assert_equal(saturated(0 * ones, channels).of(images), theirs.rgb_to_grayscale(images, channels))
    assert_equal(stretched(images), theirs.autocontrast(images))
    assert torch.equal(stretched(torch.full_like(images, 0.3)), torch.full_like(images, 0.3))


@every_size
@every_pair
def test_a_blur_is_torchvisions_with_a_kernel_that_fits(size, channels):
    images = torch.rand(5, channels, *size, generator=torch.Generator().manual_seed(0))
    widths = torch.tensor([0.05, 0.3, 0.8, 1.5, 3.0])
    kernel = [2 * min(5, side - 1) + 1 for side in reversed(size)]  # torchvision refuses to mirror more than there is
    reference = one_by_one(images, lambda image, width: theirs.gaussian_blur(image, kernel, width), widths.tolist())
    assert_equal(blurred(images, widths, radius=5), reference)


def test_noise_is_as_wide_as_drawn_and_of_mean_zero():
    images = torch.full((400, 3, 16, 16), 0.5)
    grains = (augment({"name": "noise", "sigma": 0.1, "p": 1}, images) - 0.5).flatten(1)
    widths = grains.std(1)
    assert 0 <= widths.min() < 0.01 < 0.09 < widths.max() < 0.11
    assert widths.mean().item() == pytest.approx(0.05, abs=5 * 0.1 / (12 * 400) ** 0.5)
    assert grains.mean().item() == pytest.approx(0, abs=5 * 0.058 / grains.numel() ** 0.5)


def gentle(*shape):
    """Images that none of the factors below drives to black or white."""
    return 0.35 + 0.2 * torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@every_pair
def test_a_chain_of_linear_colours_is_one_change_and_equals_their_sequence(channels):
    images, factor = gentle(6, channels, 9, 8), torch.tensor([0.8, 0.9, 1.0, 1.1, 1.2, 0.85])
    parts = [brightened(factor, channels), contrasted(2 - factor, channels), saturated(factor, channels)]
    parts += [inverted((factor > 1).float(), channels), brightened(2 - factor, channels)]
    whole, sequence, reference = parts[0], images, images
    for part in parts[1:]:
        whole = whole.then(part)
    for part in parts:
        sequence = part.of(sequence)
    for function, settings in (
        (theirs.adjust_brightness, factor),
        (theirs.adjust_contrast, 2 - factor),
        (theirs.adjust_saturation, factor),
        (lambda image, negative: theirs.invert(image) if negative > 1 else image, factor),
        (theirs.adjust_brightness, 2 - factor),
    ):
        reference = one_by_one(reference, function, settings.tolist())
    assert 0 < reference.min() < reference.max() < 1
    assert isinstance(whole, Recolour)
    assert_equal(whole.of(images), sequence)
    assert_equal(whole.of(images), reference)


def test_a_chain_is_cut_off_once_at_its_end_where_torchvision_cuts_after_each():
    white, double, half = torch.full((1, 3, 2, 2), 0.8), torch.tensor([2.0]), torch.tensor([0.5])
    together = brightened(double, 3).then(brightened(half, 3)).of(white)
    assert_equal(together, white)
    assert_equal(theirs.adjust_brightness(theirs.adjust_brightness(white, 2.0), 0.5), torch.full_like(white, 0.5))


def nothing_of(name):
    """The specs under which an option changes nothing, each by one setting."""
    specs = [{"name": name, "p": 0}]
    for key, value in {"strength": 0, "sigma": 0, "side": 0, "bits": 8}.items():
        if key in augmentations[name].model_fields:
            specs.append({"name": name, "p": 1, key: value})
    return specs


@every_name
@given(data=st.data())
def test_no_strength_is_no_change_bit_for_bit(name, data):
    size = data.draw(st.tuples(st.integers(1, 64), st.integers(1, 65)))
    images = torch.rand(3, data.draw(st.sampled_from([1, 3])), *size, generator=torch.Generator().manual_seed(0))
    assert torch.equal(augment(data.draw(st.sampled_from(nothing_of(name))), images), images)


@every_name
@pytest.mark.parametrize("p", [0.2, 0.7])
def test_a_share_p_of_the_samples_is_changed(name, p):
    count = 2000
    images = torch.rand(1, 3, 17, 18, generator=torch.Generator().manual_seed(0)).mul(0.8).expand(count, -1, -1, -1)
    seen = {"sigma": 20} if name == "blur" else {}  # a narrow one is lost in rounding
    out = augment({"name": name, "p": p, **seen}, images)
    share = (out != images).flatten(1).any(1).double().mean().item()
    assert share == pytest.approx(p, abs=5 * (p * (1 - p) / count) ** 0.5)  # five standard errors


@every_name
@given(data=st.data())
def test_a_sample_does_not_depend_on_the_size_of_the_batch_around_it(name, data):
    """What is drawn for n samples is one call: the first of the same n come out alike whatever the others show."""
    images = torch.rand(5, 3, 12, 11, generator=torch.Generator().manual_seed(0))
    others = torch.cat([images[:1], torch.rand(4, 3, 12, 11, generator=torch.Generator().manual_seed(1))])
    seed = data.draw(st.integers(0, 9))
    assert_equal(augment(name, images, seed)[0], augment(name, others, seed)[0])


@pytest.mark.parametrize("name", ["saturation", "hue", "grayscale"])
def test_an_image_without_colours_keeps_its_bits(name):
    images = torch.rand(9, 1, 5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(augment({"name": name, "p": 1}, images), images)


def test_strengths_are_drawn_from_their_whole_range():
    images = torch.full((4000, 1, 1, 1), 0.5)
    factors = augment({"name": "brightness", "strength": 0.5}, images).flatten() / 0.5
    assert 0.5 <= factors.min() < 0.51 < 1.49 < factors.max() <= 1.5
    exponents = augment({"name": "gamma", "strength": 1}, images).flatten().log() / torch.tensor(0.5).log()
    assert 0.499 < exponents.min() < 0.51 < 1.98 < exponents.max() < 2.001
    assert exponents.log().mean().item() == pytest.approx(0, abs=5 * 0.4 / 4000**0.5)


def pieces_of(change, monkeypatch, size):
    monkeypatch.setattr(chosen, "PIECE", size)
    return change()


@every_name
def test_pieces_of_a_batch_give_what_the_batch_gives(name, monkeypatch):
    images = torch.rand(40, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    change = partial(augment, {"name": name}, images)
    assert_equal(pieces_of(change, monkeypatch, 1000), pieces_of(change, monkeypatch, 10**9))


@every_name
@every_pair
def test_bytes_go_through_the_chain_as_the_numbers_that_they_stand_for(name, channels):
    images = random_bytes(40, channels, (13, 12))
    out = augment(name, images)
    assert out.dtype == torch.uint8
    assert_equal(from_bytes(out), augment(name, from_bytes(images)), 0.5 / 255 + 1e-6)


@every_size
@every_pair
def test_noise_is_torchvisions_where_it_draws_the_same_grains(size, channels):
    images, widths = torch.rand(4, channels, *size, generator=torch.Generator().manual_seed(0)), [0.0, 0.01, 0.2, 2.0]
    grains = torch.stack([torch.randn(channels, *size, generator=torch.Generator().manual_seed(3))] * 4)

    def reference(image, width):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return theirs.gaussian_noise(image, sigma=width)

    assert_equal(roughened(images, torch.tensor(widths), grains), one_by_one(images, reference, widths))


ERASING = {
    "zero": {"name": "random_erasing", "p": 1},
    "mean": {"name": "random_erasing", "p": 1, "fill": "mean"},
    "noise": {"name": "random_erasing", "p": 1, "fill": "noise"},
    "square": {"name": "cutout", "p": 1, "side": 9},
}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("spec", ERASING.values(), ids=ERASING)
@every_size
@every_pair
def test_a_rectangle_is_erased_as_torchvision_erases_it(spec, size, channels, dtype):
    images = random_bytes(30, channels, size)
    images = from_bytes(images) if dtype.is_floating_point else images
    cover = augmentations.build(augmentations.parse(spec), images.shape, torch.Generator().manual_seed(0))
    ours, scale = augment(spec, images), 1 if dtype.is_floating_point else 255
    for number, (image, sides) in enumerate(zip(images, cover.sides.int().tolist(), strict=True)):
        top, left, bottom, right = seen_part(sides, size)
        shown = {"zero": torch.zeros(1), "mean": image.float().mean((1, 2), keepdim=True)}
        if cover.grains is not None:
            shown["noise"] = cover.grains[number, :, top:bottom, left:right] * scale
        rectangle = top, left, bottom - top, right - left
        reference = theirs.erase(image.float(), *rectangle, shown[cover.fill])
        assert_equal(ours[number].float(), reference, ROUNDING if scale == 1 else 0.501)
        if cover.fill == "zero":
            assert torch.equal(ours[number], theirs.erase(image, *rectangle, shown["zero"]))


def seen_part(sides, size):
    """First row and column of a rectangle's part within the image, and those behind its last."""
    top, height, left, width = sides
    return max(top, 0), max(left, 0), min(top + height, size[0]), min(left + width, size[1])


@given(st.integers(1, 64), st.integers(1, 65), st.integers(0, 999))
def test_rectangles_cover_the_same_pixels_by_slices_and_by_numbers(height, width, seed):
    draws = torch.Generator().manual_seed(seed)
    images = torch.rand(9, 3, height, width, generator=draws)
    sides = (torch.rand(9, 4, generator=draws) * torch.tensor([2 * height, height, 2 * width, width])).floor()
    sides -= torch.tensor([height // 2, 0, width // 2, 0])
    cover = torch.rand(9, 3, 1, 1, generator=draws).expand_as(images)
    assert torch.equal(covered_slices(images.clone(), sides, cover), covered(images, sides, cover))


def erased_rectangles(spec, size, count=4000):
    """(count, 2) height and width of what is black in white images; 0 where nothing is."""
    black = augment(spec, torch.ones(count, 1, *size))[:, 0] == 0
    return torch.stack([black.any(2).sum(1), black.any(1).sum(1)], 1), black


def test_an_erased_rectangle_has_the_area_and_shape_that_were_asked_for():
    spec = {"name": "random_erasing", "smallest": 0.1, "largest": 0.2, "ratio": 2.0, "p": 1}
    sides, black = erased_rectangles(spec, (64, 64))
    assert torch.equal(sides.prod(1), black.sum((1, 2)))  # whole rectangles
    share, ratio = sides.prod(1) / 64**2, sides[:, 0] / sides[:, 1]
    assert 0.09 < share.min() < 0.11 < 0.19 < share.max() < 0.21
    assert 0.47 < ratio.min() < 0.53 < 1.9 < ratio.max() < 2.1
    assert share.mean().item() == pytest.approx(0.15, abs=0.003)
    assert ratio.log().mean().item() == pytest.approx(0, abs=5 * 0.4 / 4000**0.5)


def test_a_rectangle_that_never_fits_is_left_out_and_the_first_that_does_is_taken():
    area, ratio = torch.tensor([[100.0, 400.0], [25.0, 400.0], [4.0, 400.0]]), torch.ones(3, 2)
    height, width = first_that_fits(area, ratio, torch.Size((10, 10)))
    assert (height.tolist(), width.tolist()) == ([5, 0], [5, 0])


def test_a_cutout_is_cut_off_at_the_edge_and_its_middle_lies_anywhere():
    sides, black = erased_rectangles({"name": "cutout", "side": 8}, (16, 16))
    assert sides.max() == 8
    assert sides.min() == 4
    assert (black.double().mean(0) > 0.03).all()  # every pixel is reached, a corner by 4 rows of 16 and as many columns


@pytest.mark.parametrize("fill", ["zero", "mean", "noise"])
def test_a_hole_shows_black_or_the_mean_pixel_or_noise(fill):
    images = torch.rand(200, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    out = augment({"name": "cutout", "side": 6, "fill": fill}, images)
    inside = (out != images).any(1)
    for image, old, hole in zip(out, images, inside, strict=True):
        shown = image[:, hole]
        assert torch.equal(image[:, ~hole], old[:, ~hole])
        if fill == "noise":
            assert shown.std() > 0.15
        else:
            assert_equal(shown, (old.mean((1, 2)) * (fill == "mean"))[:, None].expand_as(shown))
