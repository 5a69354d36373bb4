"""Published data sets: torchvision's own readers on small official files, and downloads from loopback."""

from __future__ import annotations

import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from small_files import (
    BATCHES,
    FOLDERS,
    another_type,
    deleted,
    emptied,
    example,
    flipped,
    idx_files,
    nothing_packed,
    put,
    put_debian,
    serve,
    shortened,
    truncated,
    unreachable,
    write,
)

from lab.data import DataError, datasets, fetch, load, published
from lab.data.published import DEBIAN_FASHION_MNIST, places, read, state

DEBIAN_IS_HERE = (DEBIAN_FASHION_MNIST / "train-images-idx3-ubyte.gz").exists()
needs_debian = pytest.mark.skipif(not DEBIAN_IS_HERE, reason="needs Debian's package dataset-fashion-mnist")
REACHABLE = urllib.request.urlopen


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A machine without any published data set and without a way to the internet: (LAB_DATA, Debian's, torch's)."""
    monkeypatch.setenv("LAB_DATA", str(tmp_path / "chosen"))
    monkeypatch.setattr(published, "DEBIAN_FASHION_MNIST", tmp_path / "debian")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    return tmp_path / "chosen", tmp_path / "debian", tmp_path / "torch" / "datasets"


def build(name: str):
    return datasets.build(datasets.parse(name))


def assert_is_example(name: str, data) -> None:
    images, labels = map(torch.from_numpy, example(name, 20))
    images = images.reshape(len(images), *data.shape)
    assert (len(data.train), len(data.validation)) == (len(images) * 9 // 10, len(images) // 10)
    numbers = []
    for part in (data.train, data.validation):
        chosen = part.images.flatten(1)[:, 0].long() + 256 * part.images.flatten(1)[:, 1].long()
        assert torch.equal(part.images, images[chosen])
        assert torch.equal(part.labels, labels[chosen].long())
        numbers += chosen.tolist()
    assert sorted(numbers) == list(range(len(images)))
    test_images, test_labels = map(torch.from_numpy, example(name, 3))
    assert torch.equal(data.test.images, test_images.reshape(len(test_images), *data.shape))
    assert torch.equal(data.test.labels, test_labels.long())


@pytest.mark.parametrize("name", FOLDERS)
def test_torchvisions_layout_is_read(name, nowhere, monkeypatch):
    put(name, nowhere[0], monkeypatch)
    data = load(datasets.parse(name))
    assert data.shape == ((3, 32, 32) if name in BATCHES else (1, 28, 28))
    assert_is_example(name, data)
    assert data.validation.labels.bincount().tolist() == [2] * len(data.classes)
    assert state(name) == f"found in {nowhere[0]}"


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("mnist", ("0 - zero", "9 - nine")),
        ("fashion_mnist", ("T-shirt/top", "Ankle boot")),
        ("cifar10", ("thing 0", "thing 9")),
        ("cifar100", ("thing 0", "thing 99")),
    ],
)
def test_classes_have_the_names_that_torchvision_gives(name, classes, nowhere, monkeypatch):
    put(name, nowhere[0], monkeypatch)
    names = build(name).classes
    assert (names[0], names[-1]) == classes


def test_debians_layout_is_read(nowhere):
    put_debian(nowhere[1])
    assert_is_example("fashion_mnist", build("fashion_mnist"))


@needs_debian
def test_the_official_fashion_mnist_has_its_known_labels_and_sizes():
    training, test = read("fashion_mnist", DEBIAN_FASHION_MNIST)
    assert training[1][:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert test[1][:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    assert training[2][9] == "Ankle boot"
    assert training[0].float().mean().item() / 255 == pytest.approx(0.2860, abs=5e-5)  # as published


@needs_debian
def test_the_official_fashion_mnist_is_divided_without_overlap(monkeypatch):
    monkeypatch.delenv("LAB_DATA", raising=False)
    data = build("fashion_mnist")
    images, _, _ = read("fashion_mnist", DEBIAN_FASHION_MNIST)[0]
    assert [len(part) for part in (data.train, data.validation, data.test)] == [54_000, 6_000, 10_000]
    assert data.validation.labels.bincount().tolist() == [600] * 10
    together = torch.cat([data.train.images, data.validation.images])
    assert sorted(map(bytes, together.numpy())) == sorted(map(bytes, images.numpy()))


def test_places_are_the_chosen_one_then_debians_then_torchs(nowhere, monkeypatch):
    chosen, debian, torchs = nowhere
    assert places("fashion_mnist") == [chosen, debian, torchs]
    assert places("mnist") == [chosen, torchs]
    monkeypatch.delenv("LAB_DATA")
    assert places("fashion_mnist") == [debian, torchs]
    monkeypatch.setenv("LAB_DATA", "~/pictures")
    assert places("mnist")[0] == Path.home() / "pictures"


def test_the_first_place_that_has_the_data_gives_it(nowhere):
    for shade, place in reversed(list(enumerate(nowhere))):
        write(idx_files("fashion_mnist", shade), place / FOLDERS["fashion_mnist"])
        assert build("fashion_mnist").test.images[0, 0, 9, 9] == shade


def test_fashion_in_debians_layout_is_not_taken_for_another_data_set(nowhere):
    put_debian(nowhere[0])
    with pytest.raises(DataError, match="'mnist' is not on this machine"):
        build("mnist")


def test_missing_data_are_said_to_be_missing_and_not_downloaded(nowhere):
    chosen, debian, torchs = nowhere
    with pytest.raises(DataError) as error:
        load(datasets.parse("fashion_mnist"))
    assert str(error.value) == (
        "Data set 'fashion_mnist' is not on this machine. Looked in:\n"
        f"  {chosen}\n  {debian}\n  {torchs}\n"
        "Download it with `lab fetch fashion_mnist`, or set LAB_DATA to the folder that holds it."
    )
    assert not any(place.exists() for place in nowhere)
    assert state("fashion_mnist") == "missing: lab fetch fashion_mnist"


@pytest.mark.parametrize(
    ("name", "file", "damage"),
    [
        ("fashion_mnist", "train-images-idx3-ubyte.gz", truncated),
        ("fashion_mnist", "train-images-idx3-ubyte.gz", emptied),
        ("fashion_mnist", "train-images-idx3-ubyte.gz", flipped),
        ("fashion_mnist", "train-images-idx3-ubyte.gz", nothing_packed),
        ("fashion_mnist", "t10k-labels-idx1-ubyte.gz", deleted),
        ("mnist", "train-images-idx3-ubyte", truncated),
        ("mnist", "train-images-idx3-ubyte", emptied),
        ("mnist", "t10k-images-idx3-ubyte", another_type),
        ("mnist", "train-labels-idx1-ubyte", truncated),
        ("mnist", "train-labels-idx1-ubyte", shortened),
        ("cifar10", "data_batch_2", flipped),
        ("cifar10", "batches.meta", truncated),
        ("cifar100", "test", truncated),
    ],
)
def test_damaged_data_are_said_to_be_damaged(name, file, damage, nowhere, monkeypatch):
    place = nowhere[0]
    folder = put_debian(place) if file.endswith(".gz") else put(name, place, monkeypatch)
    damage(folder / file)
    with pytest.raises(DataError) as error:
        build(name)
    text = str(error.value)
    assert text.startswith(f"Data set {name!r} in {place} is damaged (")
    assert text.endswith(f"). Delete it there and run `lab fetch {name}`.")
    assert state(name) == text


def test_only_published_data_can_be_fetched():
    with pytest.raises(DataError) as error:
        fetch("digits")
    assert str(error.value) == "'digits' cannot be fetched. Expected one of: fashion_mnist, mnist, cifar10, cifar100."


@pytest.mark.parametrize("name", FOLDERS)
def test_fetching_without_the_internet_says_so(name, nowhere):
    with pytest.raises(DataError) as error:
        fetch(name)
    text = str(error.value)
    assert text.startswith(f"Could not download {name!r} to {nowhere[0]}: ")
    assert "no way to the internet" in text
    assert text.endswith("Check the connection, or copy the files there from another machine.")


@pytest.fixture
def server(nowhere, tmp_path, monkeypatch):
    """A web server on loopback, the only one that can be reached: (address, folder of what it serves)."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            """Not in the test's output."""

    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setattr(urllib.request, "urlopen", REACHABLE)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as serving:
        Thread(target=serving.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{serving.server_port}/", folder
        serving.shutdown()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_download_ends_in_data_that_load(name, nowhere, server, monkeypatch):
    serve(name, *server, monkeypatch)
    assert fetch(name) == nowhere[0]
    assert_is_example(name, build(name))


@pytest.mark.parametrize("name", ["mnist", "cifar100"])
def test_a_second_fetch_needs_no_internet(name, nowhere, server, monkeypatch):
    serve(name, *server, monkeypatch)
    fetch(name)
    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    assert fetch(name) == nowhere[0]


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_download_with_other_content_than_published_is_refused(name, nowhere, server, monkeypatch):
    serve(name, *server, monkeypatch)
    for file in server[1].glob("*.gz"):
        file.write_bytes(b"<html>Sign in to this network</html>")
    with pytest.raises(DataError) as error:
        fetch(name)
    assert str(error.value).startswith(f"Could not download {name!r} to {nowhere[0]}: ")
    assert "File not found or corrupted." in str(error.value)


def test_without_a_chosen_place_data_are_fetched_to_torchs(nowhere, server, monkeypatch):
    monkeypatch.delenv("LAB_DATA")
    serve("fashion_mnist", *server, monkeypatch)
    assert fetch("fashion_mnist") == nowhere[2]
    assert_is_example("fashion_mnist", build("fashion_mnist"))
