"""Policies: what every sample draws, and that it is carried out as torchvision does."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms import v2

from lab.augmentations import augmentations, augmented, policies
from lab.augmentations.learned import LEARNED
from lab.augmentations.operations import (
    LEARNED_REACH,
    OPERATIONS,
    WIDE_REACH,
    magnitudes,
    performed,
    with_sign,
)

THEIR_NAMES = {
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "translate_x": "TranslateX",
    "translate_y": "TranslateY",
    "identity": "Identity",
    "rotate": "Rotate",
    "brightness": "Brightness",
    "saturation": "Color",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "posterise": "Posterize",
    "solarise": "Solarize",
    "auto_contrast": "AutoContrast",
    "equalise": "Equalize",
    "invert": "Invert",
}
POLICIES = ("trivial_augment", "rand_augment", "auto_augment")
every_operation = pytest.mark.parametrize("name", OPERATIONS)
every_policy = pytest.mark.parametrize("name", POLICIES)
CPU = torch.device("cpu")
BILINEAR = v2.InterpolationMode.BILINEAR


def random_bytes(count, channels, height, width):
    drawn = torch.randint(256, (count, channels, height, width), generator=torch.Generator().manual_seed(0))
    return drawn.to(torch.uint8)


def from_bytes(images):
    return images.to(torch.float32) / 255


def augment(spec, images, seed=0):
    return augmentations.build(augmentations.parse(spec), images, torch.Generator().manual_seed(seed))


def by_torchvision(image, name, amount):
    """What torchvision's policies do to one image, between pixels by bilinear interpolation.

    Posterise in bytes, for which alone it is theirs in full; all else in numbers from 0 to 1, without rounding.
    """
    whole = image if name == "posterise" else from_bytes(image)
    apply = v2.TrivialAugmentWide()._apply_image_or_video_transform
    out = apply(whole, THEIR_NAMES[name], amount, interpolation=BILINEAR, fill={torch.Tensor: None})
    return from_bytes(out) if name == "posterise" else out


def assert_close_but_for_ties(ours, theirs, tolerance=3e-5):
    """Equal up to rounding of the places that are looked at, which grows with the image."""
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


@every_operation
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(3, 4), (28, 28), (33, 50)], ids=str)
@pytest.mark.parametrize("reach", [LEARNED_REACH, WIDE_REACH], ids=["learned", "wide"])
def test_every_operation_at_every_magnitude_is_torchvisions(name, channels, size, reach):
    amounts = magnitudes(torch.Size(size), 31, reach, CPU)[OPERATIONS.index(name)]
    amounts = torch.cat([amounts, with_sign(amounts, torch.tensor(OPERATIONS.index(name)), torch.zeros(31))])
    images = random_bytes(len(amounts), channels, *size)
    ours = performed(from_bytes(images), torch.full((len(amounts),), OPERATIONS.index(name)), amounts)
    pairs = zip(images, amounts.tolist(), strict=True)
    theirs = torch.stack([by_torchvision(image, name, amount) for image, amount in pairs])
    assert_close_but_for_ties(ours, theirs)


@pytest.mark.parametrize(
    ("transform", "reach", "steps"),
    [(v2.TrivialAugmentWide, WIDE_REACH, 31), (v2.RandAugment, LEARNED_REACH, 31), (v2.AutoAugment, LEARNED_REACH, 10)],
    ids=["trivial", "rand", "auto"],
)
def test_magnitudes_and_signs_are_torchvisions(transform, reach, steps):
    ours = magnitudes(torch.Size((40, 70)), steps, reach, CPU)
    for name, their_name in THEIR_NAMES.items():
        if their_name not in transform._AUGMENTATION_SPACE:
            continue
        make, signed = transform._AUGMENTATION_SPACE[their_name]
        theirs = make(steps, 40, 70)
        place = OPERATIONS.index(name)
        assert torch.equal(ours[place], torch.zeros(steps) if theirs is None else theirs.float())
        flipped = with_sign(torch.ones(1), torch.tensor([place]), torch.zeros(1)).item()
        assert flipped == (-1 if signed or name == "identity" else 1)


@pytest.mark.parametrize("policy", v2.AutoAugmentPolicy, ids=str)
def test_learned_policies_are_those_that_torchvision_lists(policy):
    theirs = v2.AutoAugment(policy)._policies
    assert theirs == [tuple((THEIR_NAMES[name], *rest) for name, *rest in pair) for pair in LEARNED[policy.value]]


@given(
    st.integers(1, 64), st.integers(1, 65), st.sampled_from([1, 3]), st.sampled_from(POLICIES), st.integers(0, 2**32)
)
def test_shape_type_range_and_input_are_kept(height, width, channels, name, seed):
    images = torch.rand(16, channels, height, width, generator=torch.Generator().manual_seed(1))
    before = images.clone()
    out = augment(name, images, seed)
    assert (out.shape, out.dtype) == (images.shape, images.dtype)
    assert 0 <= out.min() <= out.max() <= 1
    assert torch.equal(images, before)
    assert torch.equal(out, augment(name, images, seed))


def drawn(monkeypatch, spec, count=7000, size=(8, 8)):
    """The (operations, amounts) that a policy hands on at each of its stages."""
    stages = []

    def note(images, operation, amount):
        stages.append((operation, amount))
        return images

    monkeypatch.setattr(policies, "performed", note)
    augment(spec, torch.zeros(count, 1, *size))
    return stages


def assert_frequent(values, probabilities):
    """Chi-squared: how often each value occurs is as expected; one seed in a million fails."""
    counts = torch.bincount(values, minlength=len(probabilities)).double()
    probabilities = torch.tensor(probabilities, dtype=torch.float64)
    assert counts[probabilities == 0].sum() == 0
    expected = probabilities[probabilities > 0] * counts.sum()
    assert stats.chisquare(counts[probabilities > 0].numpy(), expected.numpy()).pvalue > 1e-6


FOURTEEN = [1 / 14] * 14 + [0.0]


def test_trivial_augment_draws_each_operation_magnitude_and_sign_equally_often(monkeypatch):
    ((operation, amount),) = drawn(monkeypatch, "trivial_augment")
    assert_frequent(operation, FOURTEEN)
    turns = amount[operation == OPERATIONS.index("rotate")]
    assert_frequent((turns.abs() / 4.5).round().long(), [1 / 31] * 31)
    assert_frequent((turns[turns != 0] > 0).long(), [0.5, 0.5])


def test_rand_augment_draws_each_operation_and_sign_equally_often_at_one_magnitude(monkeypatch):
    stages = drawn(monkeypatch, {"name": "rand_augment", "operations": 3, "magnitude": 10})
    assert len(stages) == 3
    for operation, amount in stages:
        assert_frequent(operation, FOURTEEN)
        turns = amount[operation == OPERATIONS.index("rotate")]
        assert turns.abs().unique().tolist() == pytest.approx([10])
        assert_frequent((turns > 0).long(), [0.5, 0.5])
    assert_frequent(stages[0][0] * 15 + stages[1][0], [a * b for a in FOURTEEN for b in FOURTEEN])


@pytest.mark.parametrize("policy", LEARNED)
def test_auto_augment_draws_pairs_and_their_steps_as_often_as_the_policy_says(monkeypatch, policy):
    expected = torch.zeros(15, 15, dtype=torch.float64)
    for first, second in LEARNED[policy]:
        for took_first in (True, False):
            for took_second in (True, False):
                share = (first[1] if took_first else 1 - first[1]) * (second[1] if took_second else 1 - second[1])
                one, two = OPERATIONS.index(first[0]) * took_first, OPERATIONS.index(second[0]) * took_second
                expected[one, two] += share / 25
    (one, _), (two, _) = drawn(monkeypatch, {"name": "auto_augment", "policy": policy}, 20_000)
    assert_frequent(one * 15 + two, expected.flatten().tolist())


def test_auto_augment_takes_the_magnitudes_of_its_policy(monkeypatch):
    for operation, amount in drawn(monkeypatch, {"name": "auto_augment", "policy": "imagenet"}):
        seen = amount[operation == OPERATIONS.index("rotate")].abs()
        allowed = {step[2] * 30 / 9 for pair in LEARNED["imagenet"] for step in pair if step[0] == "rotate"}
        assert len(seen) > 100
        assert all(any(abs(turn - one) < 1e-4 for one in allowed) for turn in seen.unique().tolist())


@every_policy
def test_a_policy_is_what_it_drew_one_after_the_other_by_torchvision(name, monkeypatch):
    """Images in bytes after each stage, as theirs: ours are rounded there to be compared."""
    images, stages = random_bytes(300, 3, 20, 20), []
    monkeypatch.setattr(policies, "performed", lambda *given: stages.append(given) or performed(*given))
    augment(name, from_bytes(images))
    for before, operation, amount in stages:
        in_bytes = (before * 255).round().to(torch.uint8)
        drew = zip(in_bytes, operation.tolist(), amount.tolist(), strict=True)
        theirs = torch.stack([by_torchvision(image, OPERATIONS[one], size) for image, one, size in drew])
        assert_close_but_for_ties(performed(from_bytes(in_bytes), operation, amount), theirs)


@every_policy
def test_without_its_share_a_policy_changes_nothing_bit_for_bit(name):
    images = torch.rand(50, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(augment({"name": name, "p": 0}, images), images)
    assert torch.equal(augment({"name": "rand_augment", "operations": 0}, images), images)


@pytest.mark.parametrize("name", [*POLICIES, "translation"])
@pytest.mark.parametrize("p", [0.2, 0.7])
def test_a_share_p_of_the_samples_is_changed(name, p):
    """Of those that are changed when p is 1: a policy may draw to do nothing."""
    count = 2000
    images = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0)).expand(count, -1, -1, -1)
    labels = torch.zeros(count, dtype=torch.long)
    specs = (augmentations.parse({"name": name, "p": share}) for share in (1, p))
    outs = [augmented([spec], images, labels, 2, torch.Generator().manual_seed(0))[0] for spec in specs]
    changed = [(out != images).flatten(1).any(1) for out in outs]
    of = int(changed[0].sum())
    assert of > count / 2
    assert not (changed[1] & ~changed[0]).any()
    assert changed[1].sum().item() / of == pytest.approx(p, abs=5 * (p * (1 - p) / of) ** 0.5)  # five standard errors


@every_policy
def test_copies_of_an_image_in_one_batch_come_out_in_many_ways(name):
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    out = augment(name, image.expand(200, -1, -1, -1))
    assert len(out.flatten(1).unique(dim=0)) > 30
