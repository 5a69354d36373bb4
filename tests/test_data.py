"""Digits, statistics of the channels, changes to the training split, and batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from lab.data import Dataset, Split, datasets, load, modifiers
from lab.data.batches import batches, place
from lab.data.folder import ImageFiles
from lab.data.splits import channel_statistics, stratified

CPU = torch.device("cpu")


def digits() -> Dataset:
    return load(datasets.parse("digits"))


def changed(dataset: Dataset, *changes: dict) -> Dataset:
    for change in changes:
        dataset = modifiers.build(modifiers.parse(change), dataset)
    return dataset


def rows(*splits: Split) -> list[bytes]:
    """Image and label of every example, sorted: equal lists hold the same examples."""
    return sorted(
        image.numpy().tobytes() + bytes([int(label)])
        for split in splits
        for image, label in zip(split.images, split.labels, strict=True)
    )


def test_digits_have_ten_classes_of_8_by_8_grey_pixels():
    data = digits()
    assert data.classes == tuple("0123456789")
    assert data.shape == (1, 8, 8)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [1259, 269, 269]
    assert data.train.images.dtype == torch.uint8
    assert data.train.labels.dtype == torch.int64


def test_digits_are_scikit_learns_each_in_one_split():
    data, source = digits(), load_digits()
    scaled = torch.from_numpy(np.rint(source.images * 255 / 16).astype(np.uint8)).unsqueeze(1)
    assert rows(data.train, data.validation, data.test) == rows(Split(scaled, torch.from_numpy(source.target)))


def test_digits_are_divided_class_by_class():
    data = digits()
    total = torch.from_numpy(load_digits().target).bincount()
    for part in (data.validation, data.test):
        assert (part.labels.bincount() - 0.15 * total).abs().max() <= 0.5


def test_digits_are_divided_the_same_way_every_time_and_everywhere():
    first, second = (datasets.build(datasets.parse("digits")) for _ in range(2))
    assert torch.equal(first.train.images, second.train.images)
    assert first.validation.images[:4].sum((1, 2, 3)).tolist() == [5132, 5083, 4080, 5116]
    assert first.test.images[:4].sum((1, 2, 3)).tolist() == [5119, 5577, 4955, 5037]


def test_the_split_does_not_touch_the_global_random_streams():
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002  # the stream meant
    datasets.build(datasets.parse("digits"))
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002


@pytest.mark.parametrize("count", [3, 4, 7, 20, 101])
def test_a_class_of_any_size_is_in_every_part_once(count):
    labels = torch.arange(3).repeat(count)
    parts = stratified(labels, (0.15, 0.15))
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(3 * count))
    assert all((labels[part].bincount(minlength=3) >= 1).all() for part in parts)


def test_statistics_are_mean_and_deviation_of_the_training_pixels():
    mean, std = digits().statistics
    pixels = digits().train.images.numpy() / 255
    assert mean == pytest.approx([pixels.mean()], abs=1e-6)
    assert std == pytest.approx([pixels.std()], abs=1e-6)


def test_statistics_are_taken_channel_by_channel():
    images = torch.tensor([10, 20, 30], dtype=torch.uint8).view(1, 3, 1, 1).repeat(2, 1, 4, 4)
    images[1, 2] = 50
    mean, std = channel_statistics(images)
    assert mean == pytest.approx([10 / 255, 20 / 255, 40 / 255], abs=1e-6)
    assert std == pytest.approx([1 / 255, 1 / 255, 10 / 255], abs=1e-6)  # a flat channel counts as one grey level


def test_statistics_of_many_images_look_at_the_whole_range():
    images = torch.arange(250, dtype=torch.uint8).repeat_interleave(40).view(-1, 1, 1, 1)
    mean, std = channel_statistics(images)
    assert mean == pytest.approx([124.5 / 255], rel=0.01)
    assert std == pytest.approx([np.arange(250).std() / 255], rel=0.01)


def test_subset_keeps_so_many_of_each_class_and_the_rest_whole():
    data = digits()
    few = changed(data, {"name": "subset", "per_class": 7})
    assert few.train.labels.bincount().tolist() == [7] * 10
    assert set(rows(few.train)) <= set(rows(data.train))
    assert few.validation is data.validation
    assert few.test is data.test


def test_smaller_subset_lies_in_the_larger_of_the_same_draw():
    small, large, other = (
        changed(digits(), {"name": "subset", "per_class": size, "draw": draw}).train
        for size, draw in ((5, 0), (20, 0), (5, 1))
    )
    assert set(rows(small)) < set(rows(large))
    assert rows(other) != rows(small)


def test_subset_larger_than_the_class_is_the_whole_split():
    data = digits()
    assert torch.equal(changed(data, {"name": "subset", "per_class": 10_000}).train.images, data.train.images)


@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_random_labels_change_their_share_of_training_labels_only(share):
    data = digits()
    noisy = changed(data, {"name": "random_labels", "share": share})
    count = len(data.train)
    expected = 0.9 * share  # one draw in ten hits the old label
    deviation = (expected * (1 - expected) / count) ** 0.5
    assert (noisy.train.labels != data.train.labels).double().mean().item() == pytest.approx(
        expected, abs=4 * deviation
    )
    assert noisy.train.images is data.train.images
    assert noisy.validation is data.validation
    assert noisy.test is data.test


def test_random_labels_are_uniform_over_the_classes():
    labels = changed(digits(), {"name": "random_labels"}).train.labels
    expected = len(labels) / 10
    chi_square = ((labels.bincount(minlength=10) - expected) ** 2 / expected).sum()
    assert chi_square < 27.9  # 9 degrees of freedom, one in a thousand


def test_random_labels_with_no_share_are_the_true_labels_and_draws_differ():
    data = digits()
    none, one, two = (
        changed(data, {"name": "random_labels", "share": share, "draw": draw}).train.labels
        for share, draw in ((0, 0), (1, 0), (1, 1))
    )
    assert torch.equal(none, data.train.labels)
    assert not torch.equal(one, two)


def test_modifiers_are_applied_in_their_order():
    few, noise = {"name": "subset", "per_class": 20}, {"name": "random_labels"}
    assert changed(digits(), noise, few).train.labels.bincount().tolist() == [20] * 10
    assert changed(digits(), few, noise).train.labels.bincount(minlength=10).tolist() != [20] * 10
    loaded = load(datasets.parse("digits"), [modifiers.parse(few), modifiers.parse(noise)])
    assert rows(loaded.train) == rows(changed(digits(), few, noise).train)


def test_modifiers_leave_the_loaded_data_as_it_was():
    before = rows(digits().train)
    load(datasets.parse("digits"), [modifiers.parse("random_labels")])
    assert rows(digits().train) == before


@pytest.fixture
def files(tmp_path):
    """Eleven grey pictures on disk, as a split that is read on demand."""
    paths = [tmp_path / f"{index:02}.png" for index in range(11)]
    for index, path in enumerate(paths):
        Image.new("L", (4, 4), 20 * index).save(path)
    return Split(ImageFiles(tuple(paths), 4, "grey"), torch.arange(11))


def test_a_split_is_resident_when_it_fits_and_streamed_when_it_does_not(files):
    assert files.image_bytes == 11 * 16
    assert isinstance(place(files, CPU, 11 * 16).images, torch.Tensor)
    assert place(files, CPU, 11 * 16 - 1) is files


@pytest.mark.parametrize("order", [[3, 0, 10, 7, 7, 1, 2], [5], []], ids=["a smaller last batch", "one", "none"])
def test_streamed_batches_equal_resident_ones(files, order):
    resident = list(batches(place(files, CPU, 10**6), torch.tensor(order, dtype=torch.long), 3, CPU))
    streamed = list(batches(files, torch.tensor(order, dtype=torch.long), 3, CPU))
    assert [labels.tolist() for _, labels in resident] == [order[at : at + 3] for at in range(0, len(order), 3)]
    assert len(streamed) == len(resident)
    for one, other in zip(resident, streamed, strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
        assert other[0][:, 0, 0, 0].tolist() == [20 * label for label in one[1].tolist()]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_streamed_split_leaves_the_global_random_stream_alone(files, workers):
    before = torch.get_rng_state()
    seen = [labels for _, labels in batches(files, torch.arange(11), 4, CPU, workers)]
    assert torch.cat(seen).tolist() == list(range(11))
    assert torch.equal(torch.get_rng_state(), before)
