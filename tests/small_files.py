"""Data sets in small: folders of images, and the official layouts as torchvision and Debian keep them."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import tarfile
from pathlib import Path
from urllib.error import URLError

import numpy as np
from PIL import Image

from lab.data import Dataset, datasets
from lab.data.published import reader

FOLDERS = {
    "mnist": "MNIST/raw",
    "fashion_mnist": "FashionMNIST/raw",
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
}
BATCHES = {"cifar10": [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"], "cifar100": ["train", "test"]}
PREFIX = {"cifar10": "", "cifar100": "fine_"}


def example(name: str, each: int, shade: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`each` images of every class; the first two pixels count the images, so that none is like another."""
    classes, shape = (100 if name == "cifar100" else 10), ((3, 32, 32) if name in BATCHES else (28, 28))
    labels = np.tile(np.arange(classes, dtype=np.uint8), each)
    images = np.full((len(labels), *shape), shade, np.uint8)
    images.reshape(len(labels), -1)[:, 0] = np.arange(len(labels)) % 256
    images.reshape(len(labels), -1)[:, 1] = np.arange(len(labels)) // 256
    return images, labels


def idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes() + values.tobytes()


def idx_files(name: str, shade: int = 0) -> dict[str, bytes]:
    parts = {"train": example(name, 20, shade), "t10k": example(name, 3, shade)}
    return {
        f"{part}-{file}-ubyte": idx(values)
        for part, pair in parts.items()
        for file, values in zip(("images-idx3", "labels-idx1"), pair, strict=True)
    }


def pickled_files(name: str) -> dict[str, bytes]:
    *training, test = BATCHES[name]
    images, labels = (np.array_split(values, len(training)) for values in example(name, 20))
    parts = dict(zip(training, zip(images, labels, strict=True), strict=True)) | {test: example(name, 3)}
    files = {
        file: {"data": images.reshape(len(images), -1), f"{PREFIX[name]}labels": labels.tolist()}
        for file, (images, labels) in parts.items()
    }
    meta = {f"{PREFIX[name]}label_names": [f"thing {n}" for n in range(100 if name == "cifar100" else 10)]}
    return {file: pickle.dumps(content) for file, content in {**files, reader(name).meta["filename"]: meta}.items()}


def write(files: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir(parents=True)
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return folder


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def expect(name: str, files: dict[str, bytes], monkeypatch) -> None:
    """Let torchvision's reader take our small files for the official ones."""
    if name in BATCHES:
        *training, test = [[file, md5(files[file])] for file in BATCHES[name]]
        meta = reader(name).meta["filename"]
        monkeypatch.setattr(reader(name), "train_list", training)
        monkeypatch.setattr(reader(name), "test_list", [test])
        monkeypatch.setattr(reader(name), "meta", {**reader(name).meta, "md5": md5(files[meta])})


def put(name: str, place: Path, monkeypatch) -> Path:
    """The small data set in `place`, in torchvision's layout; the folder of its files."""
    files = pickled_files(name) if name in BATCHES else idx_files(name)
    expect(name, files, monkeypatch)
    return write(files, place / FOLDERS[name])


def put_debian(place: Path, shade: int = 0) -> Path:
    return write({f"{file}.gz": gzip.compress(data) for file, data in idx_files("fashion_mnist", shade).items()}, place)


def serve(name: str, address: str, folder: Path, monkeypatch) -> None:
    """What torchvision would download, on our server: four gz files, or one archive."""
    known = reader(name)
    if name in BATCHES:
        inside = put(name, folder, monkeypatch)
        with tarfile.open(folder / known.filename, "w:gz") as archive:
            archive.add(inside, known.base_folder)
        monkeypatch.setattr(known, "url", address + known.filename)
        monkeypatch.setattr(known, "tgz_md5", md5((folder / known.filename).read_bytes()))
    else:
        packed = {f"{file}.gz": gzip.compress(content) for file, content in idx_files(name).items()}
        for file, content in packed.items():
            (folder / file).write_bytes(content)
        monkeypatch.setattr(known, "mirrors", [address])
        monkeypatch.setattr(known, "resources", [(file, md5(content)) for file, content in packed.items()])


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def deleted(path: Path) -> None:
    path.unlink()


def flipped(path: Path) -> None:
    """The first and the last bytes stand, the middle is turned over."""
    content = bytearray(path.read_bytes())
    content[20:-8] = bytes(255 - byte for byte in content[20:-8])
    path.write_bytes(content)


def another_type(path: Path) -> None:
    """The header announces 4-byte floats."""
    path.write_bytes(b"\0\0\x0d" + path.read_bytes()[3:])


def shortened(path: Path) -> None:
    """A whole file, but of fewer labels than there are images."""
    path.write_bytes(idx(np.zeros(150, np.uint8)))


def nothing_packed(path: Path) -> None:
    path.write_bytes(gzip.compress(b""))


def unreachable(*_, **__):
    raise URLError("no way to the internet")


def noise(seed: int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))


def pictures(root: Path, *classes: str, each: int = 3) -> Path:
    """`each` pictures in every class, none like another."""
    for number, name in enumerate(classes or ("cat", "dog")):
        (root / name).mkdir(parents=True)
        for index in range(each):
            noise(1000 * number + index).save(root / name / f"{index}.png")
    return root


def folder(path: Path, **knobs) -> Dataset:
    """The data set `folder` of these images, 8 pixels wide."""
    return datasets.build(datasets.parse({"name": "folder", "path": str(path), "size": 8, **knobs}))
