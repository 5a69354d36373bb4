"""Published data sets through torchvision: looked for where they may lie, downloaded only when asked."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lab.data import datasets
from lab.data.splits import DataError, Dataset, Split, stratified

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
READERS = {"fashion_mnist": "FashionMNIST", "mnist": "MNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}


@datasets.add
def fashion_mnist() -> Dataset:
    """70,000 grey pictures of clothes, 28 x 28: harder than digits, as small.

    (1, 28, 28), 10 classes; 54,000 training, 6,000 validation, 10,000 test.

    Source: Xiao et al. 2017, arXiv 1708.07747.
    """
    return published("fashion_mnist")


@datasets.add
def mnist() -> Dataset:
    """70,000 handwritten digits, 28 x 28 grey pixels.

    (1, 28, 28), 10 classes; 54,000 training, 6,000 validation, 10,000 test.

    Source: LeCun et al., Proceedings of the IEEE 1998.
    """
    return published("mnist")


@datasets.add
def cifar10() -> Dataset:
    """60,000 small colour photographs of animals and vehicles, 32 x 32.

    (3, 32, 32), 10 classes; 45,000 training, 5,000 validation, 10,000 test.

    Source: Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images.
    """
    return published("cifar10")


@datasets.add
def cifar100() -> Dataset:
    """60,000 small colour photographs of a hundred kinds of things, 32 x 32.

    (3, 32, 32), 100 classes; 45,000 training, 5,000 validation, 10,000 test.

    Source: Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images.
    """
    return published("cifar100")


def reader(name: str) -> Any:
    """torchvision's class for a published data set."""
    from torchvision import datasets as known  # noqa: PLC0415  # as slow to import as torch, and digits need it not

    return getattr(known, READERS[name])


def places(name: str) -> list[Path]:
    """Where a published data set is looked for, in this order."""
    chosen = [Path(os.environ["LAB_DATA"]).expanduser()] if os.environ.get("LAB_DATA") else []
    debian = [DEBIAN_FASHION_MNIST] if name == "fashion_mnist" else []
    return [*chosen, *debian, Path(torch.hub.get_dir()).parent / "datasets"]


def published(name: str) -> Dataset:
    """Official training images (a tenth of them for validation) and the official test images.

    Raises:
        DataError: nowhere on this machine, or damaged.
    """
    for place in places(name):
        if (parts := read(name, place)) is not None:
            (images, labels, classes), (test_images, test_labels, _) = parts
            official = Split(images, labels)
            train, validation, _ = stratified(labels, (0.1, 0))
            return Dataset(official.take(train), official.take(validation), Split(test_images, test_labels), classes)
    looked = "\n".join(f"  {place}" for place in places(name))
    raise DataError(
        f"Data set {name!r} is not on this machine. Looked in:\n{looked}\n"
        f"Download it with `lab fetch {name}`, or set LAB_DATA to the folder that holds it."
    )


def read(name: str, place: Path) -> list[tuple[Tensor, Tensor, tuple[str, ...]]] | None:
    """Training and test part in `place`, or None where there is no such data set."""
    try:
        if name == "fashion_mnist" and (place / "train-images-idx3-ubyte.gz").exists():
            return [read_debian(place, part) for part in ("train", "t10k")]
        return [as_tensors(reader(name)(place, train=train, download=False)) for train in (True, False)]
    except RuntimeError as error:
        if "not found" in str(error).lower() and not is_started(name, place):
            return None
        raise damaged(name, place, error) from None
    except Exception as error:  # noqa: BLE001  # gzip, zlib, pickle, numpy and torchvision raise a dozen kinds
        raise damaged(name, place, error) from None


def is_started(name: str, place: Path) -> bool:
    """Whether a CIFAR folder is there: torchvision says "not found" of a damaged one too."""
    folder = getattr(reader(name), "base_folder", None)
    return folder is not None and (place / folder).is_dir()


def damaged(name: str, place: Path, error: Exception) -> DataError:
    return DataError(
        f"Data set {name!r} in {place} is damaged ({error or type(error).__name__}). "
        f"Delete it there and run `lab fetch {name}`."
    )


def as_tensors(source: Any) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """A torchvision data set -> images uint8 (n, c, h, w), labels int64 (n,), class names."""
    pixels = torch.as_tensor(source.data)
    images = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()
    labels = torch.as_tensor(source.targets)
    if len(images) != len(labels):
        raise ValueError(f"{len(images)} images, but {len(labels)} labels")
    return images, labels, tuple(map(str, source.classes))


def read_debian(place: Path, part: str) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Debian's package keeps the four compressed files side by side, without torchvision's folders."""
    images = read_idx(place / f"{part}-images-idx3-ubyte.gz").unsqueeze(1)
    labels = read_idx(place / f"{part}-labels-idx1-ubyte.gz").long()
    return images, labels, tuple(reader("fashion_mnist").classes)


def read_idx(path: Path) -> Tensor:
    """An IDX file of bytes: magic number (its last byte: dimensions), big-endian sizes, then the values."""
    content = gzip.decompress(path.read_bytes())
    dimensions = content[3]
    sizes = np.frombuffer(content, ">i4", dimensions, offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
    return torch.from_numpy(values.reshape(sizes).copy())


def fetch(name: str) -> Path:
    """Download a published data set with torchvision, showing its progress; return the folder.

    Raises:
        DataError: not a published data set, or no way to the internet.
    """
    if name not in READERS:
        raise DataError(f"{name!r} cannot be fetched. Expected one of: {', '.join(READERS)}.")
    place = next(place for place in places(name) if place != DEBIAN_FASHION_MNIST)
    try:
        for train in (True, False):
            reader(name)(place, train=train, download=True)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"Could not download {name!r} to {place}: {' '.join(str(error).split())}. Check the connection, "
            f"or copy the files there from another machine."
        ) from None
    return place


def state(name: str) -> str:
    """Where a published data set lies, or that it does not: a line for `lab doctor`."""
    try:
        found = [place for place in places(name) if read(name, place) is not None]
    except DataError as error:
        return str(error)
    return f"found in {found[0]}" if found else f"missing: lab fetch {name}"
