"""Mixed samples: who is mixed with whom, by which shares, and what becomes of the labels."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from small_runs import SMALL, trained
from strategies import specs
from torch.nn import functional
from torchvision.transforms import v2

from lab.augmentations import Mix, augmentations, augmented
from lab.augmentations.mixing import low_frequency_noise, symmetric_beta
from lab.data import datasets, load
from lab.gradients import unchanged
from lab.objectives import Objective
from lab.steps import main_class, update
from lab.training import Training

NAMES = ("mixup", "cutmix", "fmix")
every_mixture = pytest.mark.parametrize("name", NAMES)
SHAPE = torch.Size([4000, 1, 6, 9])


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def mix(spec, shape=SHAPE, seed=0):
    return augmentations.build(augmentations.parse(spec), shape, stream(seed))


def own_share(found):
    """(n,) how much of itself each sample keeps."""
    return found.own.float().mean((1, 2, 3))


# -- shares -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2, 0.5, 1.0, 2.0, 30.0])
def test_shares_are_of_the_beta_distribution(alpha):
    """Kolmogorov's statistic, between the ends to which float32 rounds the outermost shares."""
    count = 50_000
    found = np.sort(symmetric_beta(torch.Size([count]), stream(), alpha).flatten().double().numpy())
    small = np.geomspace(1e-6, 0.5, 300)
    places = np.concatenate([small, 1 - small])
    share = np.searchsorted(found, places, side="right") / count
    assert abs(share - stats.beta(alpha, alpha).cdf(places)).max() < 1.95 / math.sqrt(count)  # 0.1 % of all draws


def test_a_wrong_alpha_would_be_noticed():
    found = symmetric_beta(torch.Size([50_000]), stream(), 0.5).flatten().double().numpy()
    assert stats.kstest(found, stats.beta(0.6, 0.6).cdf).statistic > 3 * 1.95 / math.sqrt(50_000)


def test_alpha_0_gives_nothing_or_all():
    assert symmetric_beta(torch.Size([100_000]), stream(), 0.0).unique().tolist() == [0, 1]


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_keeps_the_larger_of_two_shares_of_the_beta_distribution(alpha):
    found = own_share(mix({"name": "mixup", "alpha": alpha})).double().numpy()
    assert found.min() >= 0.5
    places = np.linspace(0.5, 0.999, 50)
    folded = stats.beta(alpha, alpha).cdf(places) - stats.beta(alpha, alpha).cdf(1 - places)
    assert abs(np.searchsorted(np.sort(found), places) / len(found) - folded).max() < 1.95 / math.sqrt(len(found))


@pytest.mark.parametrize("softness", [0.0, 0.3, 1.0])
def test_the_shares_of_fmix_have_the_mean_and_the_spread_of_theirs(softness):
    found = own_share(mix({"name": "fmix", "alpha": 1, "p": 1, "softness": softness}))
    assert found.mean().item() == pytest.approx(0.5, abs=5 * found.std().item() / math.sqrt(len(found)))
    if softness == 0:  # uniform shares, in steps of a pixel
        assert stats.kstest(found.numpy(), "uniform").statistic < 1 / 54 + 1.95 / math.sqrt(len(found))


@every_mixture
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_so_many_samples_are_mixed_as_asked(name, p):
    found = own_share(mix({"name": name, "p": p, "alpha": 2}, torch.Size([10_000, 1, 16, 16])))
    reached = (found < 1).double().mean().item()
    empty = 0.002  # of the boxes and masks hold no pixel
    assert p * (1 - empty) - 5 * math.sqrt(p * (1 - p)) / 100 <= reached <= p + 5 * math.sqrt(p * (1 - p)) / 100


@every_mixture
def test_partners_are_all_samples_in_another_order(name):
    found = mix(name)
    assert torch.equal(found.partner.sort().values, torch.arange(len(found.partner)))
    assert (found.partner == torch.arange(len(found.partner))).sum() < 10


@every_mixture
@given(st.data())
def test_settings_do_not_change_what_is_drawn(name, data):
    """So that a slider that moves keeps partners, places and whatever is drawn next."""
    states, partners = [], []
    for spec in (name, data.draw(specs("augment", name, usual=True))):
        generator = stream(3)
        found = augmentations.build(augmentations.parse(spec), torch.Size([7, 1, 5, 4]), generator)
        states.append(generator.get_state())
        partners.append(found.partner)
    assert torch.equal(*states)
    assert torch.equal(*partners)


# -- masks ------------------------------------------------------------------------------------------------------------


def edges(cells):
    """First and last of the marked cells, and whether all between them are marked."""
    places = [place for place, cell in enumerate(cells) if cell]
    return places[0], places[-1], places == list(range(places[0], places[-1] + 1))


def test_what_cutmix_pastes_is_a_box_of_the_pictures_proportions():
    found = mix({"name": "cutmix", "p": 1}, torch.Size([300, 1, 40, 60]))
    pasted = ~found.own[:, 0]
    inside = 0
    for mask in pasted:
        if not mask.any():
            continue
        top, bottom, whole_rows = edges(mask.any(1).tolist())
        left, right, whole_columns = edges(mask.any(0).tolist())
        assert whole_rows
        assert whole_columns
        assert mask[top : bottom + 1, left : right + 1].all()
        if 0 < top <= bottom < 39 and 0 < left <= right < 59:  # nothing was cut off
            inside += 1
            assert (right - left + 1) / 60 == pytest.approx((bottom - top + 1) / 40, abs=1 / 40 + 1 / 60)
    assert inside > 30


def test_a_cutmix_box_is_as_large_as_drawn_wherever_it_is_not_cut_off():
    """A generator in the same place gives the numbers that the box was made of."""
    shape, generator = torch.Size([2000, 1, 64, 64]), stream(5)
    torch.randperm(2000, generator=generator)
    torch.rand(2000, 1, 1, 1, generator=generator)
    share = symmetric_beta(shape, generator, 1.0).flatten()
    side = (1 - share).sqrt()
    down, right = (torch.rand(2000, generator=generator) for _ in range(2))
    whole = ((down - 0.5).abs() < (1 - side) / 2) & ((right - 0.5).abs() < (1 - side) / 2)
    found = own_share(mix({"name": "cutmix", "p": 1}, shape, seed=5))
    assert whole.sum() > 200
    torch.testing.assert_close(found[whole], share[whole], rtol=0, atol=2 / 64)
    assert (found >= share - 2 / 64).all()  # what is cut off is kept


@pytest.mark.parametrize("name", ["mixup", "fmix"])
def test_own_shares_are_shares(name):
    found = mix({"name": name, "p": 1})
    assert found.own.min() >= 0
    assert found.own.max() <= 1


def test_fmix_without_softness_takes_each_pixel_from_one_of_two():
    assert mix({"name": "fmix", "softness": 0, "p": 1}).own.unique().tolist() == [0, 1]


@pytest.mark.parametrize("softness", [0.1, 0.5])
def test_so_many_pixels_fade_as_asked(softness):
    shape = torch.Size([500, 1, 32, 32])
    own = mix({"name": "fmix", "softness": softness, "p": 1, "alpha": 100}, shape).own  # halves: the fade is whole
    assert ((own > 0) & (own < 1)).float().mean().item() == pytest.approx(softness, abs=2 / 1024)


def test_the_waves_of_fmix_fall_with_their_frequency():
    shape = torch.Size([3, 1, 12, 16])
    white, smooth = (np.fft.fft2(low_frequency_noise(shape, stream(), decay).numpy()) for decay in (0.0, 3.0))
    down, right = np.fft.fftfreq(12)[:, None] * 16, np.fft.fftfreq(16) * 16
    expected = np.maximum(np.sqrt(down**2 + right**2), 1) ** -3
    np.testing.assert_allclose(abs(smooth), abs(white) * expected, rtol=1e-3, atol=1e-5)


def test_noise_that_decays_faster_is_smoother():
    shape, spec = torch.Size([200, 1, 32, 32]), {"name": "fmix", "softness": 0, "p": 1}
    rough, smooth = (mix({**spec, "decay": decay}, shape).own.diff(dim=3).abs().mean() for decay in (1, 3))
    assert smooth < 0.5 * rough


# -- labels -----------------------------------------------------------------------------------------------------------


IMAGES = torch.tensor([[0.0, 0.0], [1.0, 0.5], [0.2, 0.4]]).view(3, 1, 1, 2)
ONE_HOT = torch.eye(3)[[0, 1, 1]]


def test_shares_are_carried_out_by_hand():
    change = Mix(torch.tensor([1, 0, 2]), torch.tensor([0.75, 0.5, 0.1]).view(3, 1, 1, 1))
    expected = torch.tensor([[0.25, 0.125], [0.5, 0.25], [0.2, 0.4]]).view(3, 1, 1, 2)
    torch.testing.assert_close(change.of(IMAGES), expected)
    torch.testing.assert_close(change.of_labels(ONE_HOT), torch.tensor([[0.75, 0.25, 0], [0.5, 0.5, 0], [0, 1.0, 0]]))


def test_masks_are_carried_out_by_hand_and_labels_go_by_area():
    mask = torch.tensor([[True, False], [False, False], [True, True]]).view(3, 1, 1, 2)
    change = Mix(torch.tensor([1, 0, 1]), mask)
    assert change.of(IMAGES).flatten(1).tolist() == [[0, 0.5], [0, 0], pytest.approx([0.2, 0.4])]
    assert change.of_labels(ONE_HOT).tolist() == [[0.5, 0.5, 0], [1, 0, 0], [0, 1, 0]]


def with_its_partner(images, labels, found, number):
    """A batch of two, of which torchvision mixes the first with the second."""
    pair = torch.tensor([number, int(found.partner[number])])
    return images[pair], labels[pair]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_pair_is_blended_as_torchvision_blends_it(channels):
    images, labels = torch.rand(20, channels, 6, 9, generator=stream()), torch.arange(20) % 5
    found = mix({"name": "mixup", "alpha": 1}, images.shape)
    ours, shares = found.of(images), found.of_labels(functional.one_hot(labels, 5).float())
    for number, share in enumerate(own_share(found).tolist()):
        theirs = by_torchvision(v2.MixUp, with_its_partner(images, labels, found, number), lam=share)
        torch.testing.assert_close((ours[number], shares[number]), theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_box_is_pasted_as_torchvision_pastes_it(channels):
    images, labels = torch.rand(20, channels, 16, 19, generator=stream()), torch.arange(20) % 5
    found = mix({"name": "cutmix", "p": 1}, images.shape)
    ours, shares = found.of(images), found.of_labels(functional.one_hot(labels, 5).float())
    for number, kept in enumerate(found.own[:, 0]):
        pasted = (~kept).nonzero() if not kept.all() else torch.zeros(2, 2)
        (top, left), (bottom, right) = pasted.amin(0).tolist(), (pasted.amax(0) + (not kept.all())).tolist()
        box, share = (int(left), int(top), int(right), int(bottom)), kept.float().mean().item()
        pair = with_its_partner(images, labels, found, number)
        theirs = by_torchvision(v2.CutMix, pair, box=box, lam_adjusted=share)
        assert torch.equal(ours[number], theirs[0])
        torch.testing.assert_close(shares[number], theirs[1], rtol=0, atol=1e-6)


def by_torchvision(transform, pair, **drawn):
    """Image and label of the first of two, after a transform of torchvision that has drawn this."""
    images, labels = pair
    known = {"labels": labels, "batch_size": 2, **drawn}
    apply = transform(num_classes=5).transform
    return apply(images, known)[0], apply(labels, known)[0]


def test_a_mixture_of_mixtures_has_the_shares_of_three():
    half = Mix(torch.tensor([1, 2, 0]), torch.full((3, 1, 1, 1), 0.5))
    twice = half.of_labels(half.of_labels(torch.eye(3)))
    assert twice.tolist() == [[0.25, 0.5, 0.25], [0.25, 0.25, 0.5], [0.5, 0.25, 0.25]]


@every_mixture
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(st.data(), st.integers(1, 64), st.integers(1, 65), st.sampled_from([1, 3]))
def test_labels_are_shared_as_pictures_are(name, dtype, data, height, width, channels):
    """Pictures of class 1 are white and the others black: how bright a mixture is must be its share of class 1."""
    choice = augmentations.parse(data.draw(specs("augment", name, usual=True)))
    labels = torch.tensor([0, 1, 1, 0, 2])
    images = (labels == 1).to(dtype).view(5, 1, 1, 1).expand(5, channels, height, width)
    out, shares = augmented([choice], images, labels, 3, stream(data.draw(st.integers(0, 99))))
    assert (out.shape, out.dtype, shares.dtype) == (images.shape, dtype, dtype)
    torch.testing.assert_close(out.mean((1, 2, 3)), shares[:, 1], rtol=0, atol=1e-5)
    torch.testing.assert_close(shares.sum(1), torch.ones(5, dtype=dtype), rtol=0, atol=1e-6)
    assert shares.min() >= 0


@pytest.mark.parametrize("spec", [{"name": "mixup", "alpha": 0}, *({"name": name, "p": 0} for name in NAMES)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_asked_is_nothing_done_bit_for_bit(spec, dtype):
    images, labels = torch.rand(500, 2, 5, 7, dtype=dtype, generator=stream()), torch.arange(500) % 4
    out, shares = augmented([augmentations.parse(spec)], images, labels, 4, stream(1))
    assert torch.equal(out, images)
    assert torch.equal(shares, functional.one_hot(labels, 4).to(dtype))


@every_mixture
def test_one_sample_is_mixed_with_itself(name):
    images = torch.rand(1, 1, 5, 5, generator=stream())
    out, shares = augmented([augmentations.parse({"name": name, "p": 1})], images, torch.tensor([1]), 2, stream())
    torch.testing.assert_close(out, images)
    torch.testing.assert_close(shares, torch.tensor([[0.0, 1.0]]))


# -- a step -----------------------------------------------------------------------------------------------------------


def one_update(labels, smoothing):
    """Loss and accuracy of an update of a network whose logits are its inputs."""
    model = torch.nn.Flatten()
    model.register_parameter("offset", torch.nn.Parameter(torch.zeros(3)))
    model.register_forward_hook(lambda module, _, output: output + module.offset)
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 0.0]])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss_of = Objective(load(datasets.parse("digits")), smoothing).loss
    settings = {"loss_of": loss_of, "clip_norm": 0.0, "autocast": torch.autocast("cpu", enabled=False)}
    return logits, update(model, optimizer, (logits.view(2, 1, 1, 3), labels), change=unchanged, **settings)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss_of_shares_is_the_mean_surprise_by_share(smoothing):
    shares = torch.tensor([[0.6, 0.0, 0.4], [0.7, 0.3, 0.0]])
    logits, (loss, accuracy) = one_update(shares, smoothing)
    smoothed = (1 - smoothing) * shares + smoothing / 3
    assert loss.item() == pytest.approx(-(smoothed * logits.log_softmax(1)).sum(1).mean().item(), rel=1e-6)
    assert accuracy.item() == 0.5  # the second one's largest share is of class 0, its largest logit of class 1


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_whole_shares_are_classes(smoothing):
    classes = torch.tensor([2, 1])
    _, (loss, accuracy) = one_update(classes, smoothing)
    _, (other, same) = one_update(functional.one_hot(classes, 3).float(), smoothing)
    assert loss.item() == pytest.approx(other.item(), rel=1e-6)
    assert accuracy == same


def test_the_main_class_is_the_one_with_the_largest_share():
    assert main_class(torch.tensor([[0.2, 0.8], [0.6, 0.4]])).tolist() == [1, 0]
    assert main_class(torch.tensor([3, 1])).tolist() == [3, 1]


@every_mixture
def test_a_step_sees_shares_and_the_validation_classes(name):
    session = Training(SMALL.changed(augment={"name": name, "p": 1}), device="cpu")
    split = session.train_split
    images, labels = session.prepare_batch(split.images[:8], split.labels[:8])
    assert images.shape == (8, 1, 8, 8)
    assert labels.shape == (8, 10)
    torch.testing.assert_close(labels.sum(1), torch.ones(8))
    _, events = trained(session.recipe.changed(label_smoothing=0.1))
    assert events[-1].status in ("finished", "stuck")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_mask_keeps_the_bits_of_both_pictures(dtype):
    images = torch.rand(40, 3, 9, 17, dtype=dtype, generator=stream())
    mask, partner = torch.rand(40, 1, 9, 17, generator=stream(1)) < 0.5, torch.randperm(40, generator=stream(2))
    assert torch.equal(Mix(partner, mask).of(images), torch.where(mask, images, images[partner]))
