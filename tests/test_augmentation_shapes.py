"""The shape of what is seen: against torchvision, image by image; many warps as one."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as torchvision

from lab.augmentations import Pending, Warp, augmentations, augmented, chain, rotation
from lab.augmentations.draws import matrices
from lab.augmentations.frames import TRIES
from lab.augmentations.shapes import blurring, seen_from_aside, slanted, turned

BILINEAR = v2.InterpolationMode.BILINEAR
# Both sample in float32 at places that differ by a few roundings: some 1e-7 of 30 pixels, times the step between two.
CLOSE = {"rtol": 0, "atol": 2e-5}
COUNT = 12


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(count=COUNT, channels=3, height=20, width=29, dtype=torch.float32):
    return torch.rand(count, channels, height, width, generator=stream(1), dtype=torch.float64).to(dtype)


def smooth(count=COUNT, size=48, dtype=torch.float64):
    """Waves of half the image and longer: sampled twice they lose little."""
    place = torch.linspace(0, 1, size, dtype=dtype)
    phase = torch.arange(count, dtype=dtype)[:, None, None, None]
    return 0.5 + 0.25 * torch.sin(6 * place + phase) + 0.25 * torch.cos(5 * place[:, None] - phase)


def warp(name, images, seed=0, **settings):
    choice = augmentations.parse({"name": name, **settings})
    return augmentations.build(choice, images.shape, stream(seed))


def draws(rows, images, seed=0):
    """The numbers that an option with so many draws a sample is given."""
    return torch.rand(rows, len(images), generator=stream(seed)).tolist()


def one_by_one(function, images, *parameters):
    return torch.stack([function(image, *chosen) for image, *chosen in zip(images, *parameters, strict=True)])


def affine(image, angle=0.0, translate=(0, 0), scale=1.0, shear=(0.0, 0.0)):
    return torchvision.affine(image, angle, list(translate), scale, list(shear), BILINEAR)


def signed(row, reach):
    return [(2 * draw - 1) * reach for draw in row]


def test_a_rotation_is_torchvisions():
    images = noise()
    angles = signed(draws(2, images)[0], 170)
    wanted = one_by_one(lambda image, angle: torchvision.rotate(image, angle, BILINEAR), images, angles)
    torch.testing.assert_close(warp("rotation", images, degrees=170).of(images), wanted, **CLOSE)


def test_a_shear_is_torchvisions():
    images = noise()
    across, down, _ = draws(3, images)
    angles = list(zip(signed(across, 40), signed(down, 25), strict=True))
    wanted = one_by_one(lambda image, angle: affine(image, shear=angle), images, angles)
    out = warp("shear", images, degrees=40, vertical_degrees=25).of(images)
    torch.testing.assert_close(out, wanted, **CLOSE)


def test_a_change_of_scale_is_torchvisions():
    images = noise()
    sizes = [1 + change for change in signed(draws(2, images)[0], 0.6)]
    wanted = one_by_one(lambda image, size: affine(image, scale=size), images, sizes)
    torch.testing.assert_close(warp("scale", images, amount=0.6).of(images), wanted, **CLOSE)


def test_a_translation_is_torchvisions_to_the_bit():
    images = noise()
    right, down, _ = draws(3, images)
    ways = [(round(x * 29), round(y * 20)) for x, y in zip(signed(right, 0.4), signed(down, 0.4), strict=True)]
    wanted = one_by_one(lambda image, way: torchvision.affine(image, 0.0, list(way), 1.0, [0.0, 0.0]), images, ways)
    assert torch.equal(warp("translation", images, amount=0.4).of(images), wanted)


def corners_of(kept, height, width):
    """Where torchvision is told that the corners go, from upper left, clockwise."""
    half = torch.tensor([width / 2, height / 2])
    sides = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    return ((sides * kept + 1) * half).tolist()


def test_a_perspective_is_torchvisions():
    images = noise()
    kept = (1 - 0.6 * torch.tensor(draws(9, images)[:8])).T.view(-1, 4, 2)
    start = corners_of(torch.ones(4, 2), 20, 29)
    wanted = one_by_one(
        lambda image, corner: torchvision.perspective(image, start, corners_of(corner, 20, 29), BILINEAR), images, kept
    )
    out = warp("perspective", images, distortion=0.6, p=1).of(images)
    torch.testing.assert_close(out, wanted, rtol=0, atol=1e-4)  # theirs solves eight equations by least squares


@given(
    kept=st.lists(st.floats(0.35, 1), min_size=8, max_size=8), size=st.tuples(st.integers(1, 64), st.integers(1, 65))
)
def test_a_perspective_puts_every_corner_where_it_shall_go(kept, size):
    kept = torch.tensor(kept).view(1, 4, 2)
    half = torch.tensor([size[1] / 2, size[0] / 2])
    sides = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    matrix = seen_from_aside(kept, torch.Size(size))[0].double()
    seen = torch.cat([sides * kept[0] * half, torch.ones(4, 1)], 1).double() @ matrix.T
    torch.testing.assert_close(seen[:, :2] / seen[:, 2:], (sides * half).double(), rtol=0, atol=1e-4 * max(size))


def test_elastic_is_torchvisions():
    images = noise(4, 2, 24, 24)
    generator = stream()
    rand = torch.rand(4, 2, 24, 24, generator=generator)
    kernel = [2 * 8 + 1] * 2
    blurred = torchvision.gaussian_blur(2 * rand - 1, kernel, [2.0, 2.0])
    moves = (blurred * (30 / 24)).permute(0, 2, 3, 1)
    wanted = one_by_one(lambda image, move: torchvision.elastic(image, move[None], BILINEAR), images, moves)
    out = warp("elastic", images, alpha=30, sigma=2, p=1).of(images)
    torch.testing.assert_close(out, wanted, **CLOSE)


@given(size=st.integers(1, 65), sigma=st.floats(0.1, 30))
def test_a_blur_keeps_the_mean_of_what_is_even(size, sigma):
    rows = blurring(size, sigma, torch.zeros((), dtype=torch.float64))
    torch.testing.assert_close(rows.sum(1), torch.ones(size, dtype=torch.float64), rtol=0, atol=1e-5)
    assert (rows >= 0).all()


def boxes(images, seed=0, smallest=0.25, largest=1.0, ratio=4 / 3):
    """Torchvision's own way from draws to boxes: top, left, height, width; None where no try fits."""
    height, width = images.shape[-2:]
    rows = torch.rand(2 * TRIES + 3, len(images), generator=stream(seed)).T.tolist()
    for row in rows:
        for area, shape in zip(row[0 : 2 * TRIES : 2], row[1 : 2 * TRIES : 2], strict=True):
            pixels = (smallest + (largest - smallest) * area) * height * width
            elongation = math.exp((2 * shape - 1) * math.log(ratio))
            across, down = round(math.sqrt(pixels * elongation)), round(math.sqrt(pixels / elongation))
            if across <= width and down <= height:
                left, top = int(row[-3] * (width - across + 1)), int(row[-2] * (height - down + 1))
                yield top, left, down, across
                break
        else:
            yield None


def test_a_random_resized_crop_is_torchvisions_but_for_the_rim():
    images = noise(200, 1, 24, 24)
    chosen = list(boxes(images))
    assert None not in chosen
    wanted = one_by_one(
        lambda image, box: torchvision.resized_crop(image, *box, [24, 24], BILINEAR, antialias=False), images, chosen
    )
    out = warp("random_resized_crop", images).of(images)
    rim = 2  # pixels: at half the size, a sample within half a pixel of the cut lies so near to the edge
    torch.testing.assert_close(out[..., rim:-rim, rim:-rim], wanted[..., rim:-rim, rim:-rim], **CLOSE)
    assert not torch.equal(out, images)


def test_a_random_resized_crop_that_never_fits_is_cut_to_the_frame():
    images = noise(50, 1, 2, 40)
    matrix = warp("random_resized_crop", images, smallest=1, ratio=1).matrix
    assert (matrix[:, 1, 1] == 1).all()  # 9 of 2 pixels high
    assert torch.allclose(matrix[:, 0, 0], torch.tensor(9 / 40))  # 9 of 40 wide


def test_a_centre_crop_is_torchvisions_scaled_back_but_for_the_rim():
    images = noise(3, 3, 16, 32)
    wanted = torchvision.resize(torchvision.center_crop(images, [8, 16]), [16, 32], BILINEAR, antialias=False)
    out = warp("centre_crop", images, side=0.5).of(images)
    torch.testing.assert_close(out[..., 1:-1, 1:-1], wanted[..., 1:-1, 1:-1], **CLOSE)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_exact_up_to_rounding(turns):
    images = noise(2, 3, 17, 17)
    out = Warp(turned(torch.tensor([turns * math.pi / 2] * 2))).of(images)
    torch.testing.assert_close(out, images.rot90(turns, (2, 3)), **CLOSE)


SHAPES = {
    "rotation": {"degrees": 20},
    "shear": {"degrees": 10, "vertical_degrees": 5},
    "scale": {"amount": 0.1},
    "translation": {"amount": 0.1},
    "flip": {},
    "vertical_flip": {},
    "centre_crop": {"side": 0.9},
    "random_resized_crop": {"smallest": 0.8},
    "perspective": {"distortion": 0.2, "p": 1},
}


@given(names=st.lists(st.sampled_from(list(SHAPES)), min_size=2, max_size=5), seed=st.integers(0, 1000))
def test_a_chain_is_one_warp_of_the_product(names, seed):
    images, generator = noise(dtype=torch.float64), stream(seed)
    batch = Pending(images, torch.zeros(COUNT, dtype=torch.long), 2)
    product = torch.eye(3)
    for name in names:
        choice = augmentations.parse({"name": name, **SHAPES[name]})
        step = augmentations.build(choice, batch.shape, generator)
        batch.add(step)
        product = product @ step.matrix
    (only,) = batch._waiting
    assert torch.equal(only.matrix, product.expand(COUNT, -1, -1))
    one = Warp(product.expand(COUNT, -1, -1), only.fill, "perspective").of(images)
    torch.testing.assert_close(batch.images, one, rtol=0, atol=1e-9)


@pytest.mark.parametrize("names", [["rotation", "shear"], ["scale", "rotation", "flip"], ["perspective", "rotation"]])
def test_a_chain_looks_like_its_warps_in_sequence(names):
    images, inner = smooth(), slice(14, -14)
    warps = [warp(name, images, **SHAPES[name]) for name in names]
    together, in_turn = warps[0], warps[0].of(images)
    for step in warps[1:]:
        together, in_turn = together.then(step), step.of(in_turn)
    # Sampling once more smooths a wave of 48 / 6 * 2 pi pixels by up to its curvature / 8, 0.25 (6 / 47)^2 / 8 = 5e-4,
    # along each axis and each time.
    torch.testing.assert_close(together.of(images)[..., inner, inner], in_turn[..., inner, inner], rtol=0, atol=3e-3)


def test_a_bend_after_a_warp_is_one_with_it_and_before_it_is_not():
    images = smooth()
    turn, bend = warp("rotation", images), warp("elastic", images, alpha=20, p=1)
    assert turn.joins(bend)
    assert not bend.joins(turn)
    inner = slice(14, -14)
    together, in_turn = turn.then(bend).of(images), bend.of(turn.of(images))
    torch.testing.assert_close(together[..., inner, inner], in_turn[..., inner, inner], rtol=0, atol=3e-3)


def test_warps_that_disagree_on_what_lies_outside_are_two():
    images = noise()
    zero, edge = (warp("rotation", images, fill=fill) for fill in ("zero", "edge"))
    assert not zero.joins(edge)
    assert zero.joins(zero)


@pytest.mark.parametrize("fill", ["zero", "edge", "reflect"])
def test_what_lies_outside_is_as_asked(fill):
    """Half a pixel aside: half of the outermost pixel and half of what lies beyond."""
    images = torch.tensor([[[[0.2, 0.6, 1.0]]]])
    beyond = {"zero": 0.0, "edge": 1.0, "reflect": 0.6}[fill]
    out = Warp(matrices(c=torch.tensor([0.5])), fill).of(images)
    torch.testing.assert_close(out, torch.tensor([[[[0.4, 0.8, (1.0 + beyond) / 2]]]]))


@pytest.mark.parametrize("fill", ["edge", "reflect"])
@given(size=st.tuples(st.integers(1, 64), st.integers(1, 65)), seed=st.integers(0, 99))
def test_nothing_black_comes_into_a_white_image(fill, size, seed):
    images = torch.ones(3, 1, *size)
    chained = [{"name": name, "fill": fill} for name in ("rotation", "shear", "scale", "translation", "perspective")]
    choices = [augmentations.parse(spec) for spec in [*chained, "random_resized_crop"]]
    out, _ = augmented(choices, images, torch.zeros(3, dtype=torch.long), 2, stream(seed))
    torch.testing.assert_close(out, images, rtol=0, atol=1e-5)


def test_a_horizon_within_the_image_leaves_numbers():
    matrix = torch.eye(3).repeat(2, 1, 1)
    matrix[:, 2, 0] = 0.2  # beyond five pixels to the left nothing is
    for fill in ("zero", "edge", "reflect"):
        assert Warp(matrix, fill, "perspective").of(noise(2)).isfinite().all()


@pytest.mark.parametrize("size", [1, 3, 5, COUNT])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_batch_in_parts_is_the_batch(size, dtype, monkeypatch):
    images = (noise() * 255).to(dtype) if dtype == torch.uint8 else noise()
    labels = torch.zeros(COUNT, dtype=torch.long)
    choices = [augmentations.parse(name) for name in ("flip", "rotation", "elastic", "perspective", "crop")]
    whole, _ = augmented(choices, images, labels, 2, stream())
    monkeypatch.setattr(chain, "CHUNK_BYTES", size * 4 * 3 * 20 * 29)
    parts, _ = augmented(choices, images, labels, 2, stream())
    assert torch.equal(whole, parts)


def test_samples_that_stay_are_left_out_and_keep_their_bits():
    images = noise()
    some = warp("rotation", images, degrees=90, p=0.5)
    all_of_them = Warp(some.matrix[some.moves]).of(images[some.moves])
    out = some.of(images)
    assert 0 < some.moves.sum() < COUNT
    assert torch.equal(out[~some.moves], images[~some.moves])
    assert torch.equal(out[some.moves], all_of_them)


@given(
    size=st.tuples(st.integers(1, 64), st.integers(1, 65)), channels=st.sampled_from([1, 3]), seed=st.integers(0, 99)
)
def test_integers_are_floats_rounded(size, channels, seed):
    images = (noise(3, channels, *size) * 255).round().to(torch.uint8)
    choices = [augmentations.parse("rotation")]
    labels = torch.zeros(3, dtype=torch.long)
    integers, _ = augmented(choices, images, labels, 2, stream(seed))
    floats, _ = augmented(choices, images.float().div_(255), labels, 2, stream(seed))
    assert torch.equal(integers, (floats * 255).round().to(torch.uint8))


def test_angles_are_uniform():
    count, degrees = 20_000, 30.0
    matrix = rotation(torch.Size((count, 1, 1, 1)), stream(), degrees=degrees).matrix
    angles = torch.rad2deg(torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0]))
    counts = torch.histc(angles, 10, -degrees, degrees)
    assert counts.tolist() == pytest.approx([count / 10] * 10, abs=5 * math.sqrt(count / 10))  # five standard errors


def test_a_slant_moves_rows_as_far_as_its_angle_says():
    matrix = slanted(torch.tensor([math.pi / 4]), torch.tensor([0.0]))
    assert matrix[0, :2].tolist() == [[1, pytest.approx(1), 0], [0, 1, 0]]


TRANSFORMS = {
    "flip": v2.RandomHorizontalFlip(),
    "crop": v2.RandomCrop(20, padding=4, pad_if_needed=True),
    "rotation": v2.RandomRotation(15),
    "perspective": v2.RandomPerspective(p=1),
    "elastic": v2.ElasticTransform(sigma=2.0),
    "random_resized_crop": v2.RandomResizedCrop(20, antialias=False),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_torchvision_draws_once_for_a_batch_and_the_lab_once_for_a_sample(name):
    """A fact about torchvision's transforms, on which our reason to have our own rests (its issues 2929 and 8484)."""
    images = noise(1, 1, 20, 20).expand(64, -1, -1, -1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = TRANSFORMS[name](images.contiguous())
    ours, _ = augmented([augmentations.parse(name)], images, torch.zeros(64, dtype=torch.long), 2, stream())
    assert len(theirs.flatten(1).unique(dim=0)) == 1
    assert len(ours.flatten(1).unique(dim=0)) > 1
