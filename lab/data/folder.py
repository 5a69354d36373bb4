"""A person's own images: one folder per class."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import Field
from torch import Tensor

from lab.catalogue import Choice, Knob
from lab.data import datasets
from lab.data.splits import DataError, Dataset, divide

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
SMALLEST_CLASS = 3  # one image each for training, validation and test

PathText = Annotated[str, Field(description="folder that holds one folder of images per class")]
Size = Annotated[int, Field(ge=4, le=1024, description="height and width in pixels"), Knob(8, 256, log=True)]
Colour = Annotated[Literal["rgb", "grey"], Field(description="three channels or one")]
Damaged = Annotated[Literal["refuse", "skip"], Field(description="what to do with files that cannot be read")]


@datasets.add
def folder(
    *, path: PathText = "images", size: Size = 64, colour: Colour = "rgb", damaged: Damaged = "refuse"
) -> Dataset:
    """Your own images: one folder per class, any size and format that Pillow reads.

    (3 or 1, size, size); 70 % training, 15 % validation, 15 % test of each class, always the same split; a part is of
    whole images, at least one of each class, so that shares of few images differ.
    The shorter side is scaled to `size`, the middle is kept; transparent pixels become white.

    Raises:
        DataError: no such folder, one class only, no images, class names that differ only by case,
            damaged files (unless `damaged` is "skip"), or a class of fewer than three images.

    Source: the layout of torchvision.datasets.ImageFolder.
    """
    root = Path(path).expanduser()
    names = class_names(root)
    files = [file for name in names for file in image_files(root / name)]
    good, faults = check(files)
    refuse_damage(root, faults, damaged)
    labels = torch.tensor([names.index(file.parent.relative_to(root).parts[0]) for file in good], dtype=torch.long)
    refuse_small_classes(root, names, labels)
    images = ImageFiles(tuple(good), size, colour)
    return replace(divide(images, labels, tuple(names)), skipped=tuple(faults))


def stamp(choice: Choice) -> str:
    """Of a folder as it lies there: another one as soon as a file has come, gone or changed.

    To look at every file's entry takes microseconds each, to decode it milliseconds.
    """
    root = Path(getattr(choice, "path", "")).expanduser().absolute()
    states = "\n".join(state_of(file) for file in sorted(root.rglob("*")))
    return hashlib.sha256(f"{root}\n{states}".encode(errors="surrogateescape")).hexdigest()


def state_of(file: Path) -> str:
    """What changes when the file does, or its permissions; a broken link has a state too."""
    try:
        entry = file.stat()
    except OSError as error:
        return f"{file}|{error.strerror}"
    return f"{file}|{entry.st_size}|{entry.st_mtime_ns}|{entry.st_ctime_ns}"


def class_names(root: Path) -> list[str]:
    """Names of the class folders, sorted; hidden ones are passed over."""
    if not root.is_dir():
        raise DataError(f"There is no folder {root}. Set data.path to a folder that holds one folder per class.")
    names = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    by_case = Counter(name.casefold() for name in names)
    if clash := [name for name in names if by_case[name.casefold()] > 1]:
        raise DataError(f"Class folders in {root} differ only by case: {', '.join(clash)}. Rename or merge them.")
    if len(names) < 2:
        found = f"only {names[0]!r}" if names else "none"
        raise DataError(f"{root} must hold at least two class folders, but has {found}.")
    return names


def image_files(root: Path) -> list[Path]:
    return sorted(file for file in root.rglob("*") if is_image(file.relative_to(root)) and not file.is_dir())


def is_image(file: Path) -> bool:
    """By its ending; nothing hidden, nor in a hidden folder such as .ipynb_checkpoints."""
    return file.suffix.lower() in ENDINGS and not any(part.startswith(".") for part in file.parts)


def check(files: list[Path]) -> tuple[list[Path], list[str]]:
    """Files that decode, and a line `path: reason` for each that does not."""
    good: list[Path] = []
    faults: list[str] = []
    for file in files:
        try:
            with opened(file) as image:
                image.load()
            good.append(file)
        except Exception as error:  # noqa: BLE001  # Pillow's decoders raise a dozen kinds
            faults.append(f"{file}: {reason_of(error, file)}")
    return good, faults


def reason_of(error: Exception, file: Path) -> str:
    if isinstance(error, OSError) and error.strerror:  # the path is named already
        return error.strerror
    if isinstance(error, UnidentifiedImageError):
        return "the file is empty" if file.stat().st_size == 0 else "not an image that Pillow can read"
    return str(error) or type(error).__name__


@contextmanager
def opened(path: Path) -> Generator[Image.Image]:
    """Through a file of ours: given a path, Pillow maps some TIFFs into memory and forgets their orientation."""
    with path.open("rb") as file, Image.open(file) as image:
        yield image


def refuse_damage(root: Path, faults: list[str], damaged: str) -> None:
    if faults and damaged == "refuse":
        listing = "\n".join(f"  {fault}" for fault in faults[:20])
        more = f"\n  and {len(faults) - 20} more" if len(faults) > 20 else ""
        noun = "file" if len(faults) == 1 else "files"
        raise DataError(
            f"{len(faults)} {noun} in {root} cannot be read:\n{listing}{more}\n"
            "Repair or delete them, or set data.damaged to skip."
        )


def refuse_small_classes(root: Path, names: list[str], labels: Tensor) -> None:
    if len(labels) == 0:
        raise DataError(
            f"No images in the class folders of {root}. Expected files that end in {' '.join(sorted(ENDINGS))}."
        )
    counts = torch.bincount(labels, minlength=len(names)).tolist()
    if small := [f"{name} ({count})" for name, count in zip(names, counts, strict=True) if count < SMALLEST_CLASS]:
        raise DataError(
            f"Classes with fewer than {SMALLEST_CLASS} readable images in {root}: {', '.join(small)}. "
            "Training, validation and test need one each."
        )


@dataclass(frozen=True)
class ImageFiles:
    """Image files that are decoded on demand: `files[i]` is uint8 (c, size, size)."""

    paths: tuple[Path, ...]
    size: int
    colour: str

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.paths), 3 if self.colour == "rgb" else 1, self.size, self.size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        with opened(self.paths[index]) as image:
            fitted = ImageOps.fit(upright(image, self.colour), (self.size, self.size), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(fitted))
        return pixels.permute(2, 0, 1) if pixels.ndim == 3 else pixels.unsqueeze(0)

    def take(self, index: Tensor) -> ImageFiles:
        return replace(self, paths=tuple(self.paths[i] for i in index.tolist()))


def upright(image: Image.Image, colour: str) -> Image.Image:
    """Any Pillow image -> 8 bits, RGB or grey, turned as its EXIF says, on white where transparent."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    return image if colour == "rgb" else image.convert("L")


def eight_bits(image: Image.Image) -> Image.Image:
    """16 bits -> 8 by scale: Pillow's own conversion would cut everything above 255 to white."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0, neginf=0)
    brightest = max(float(values.max()), 1e-12)
    scale = 255 / 65535 if image.mode.startswith("I") and brightest <= 65535 else 255 / brightest
    return Image.fromarray((values * scale).round().clip(0, 255).astype(np.uint8))
