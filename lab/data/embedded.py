"""Data that comes with scikit-learn: no download, no file of ours."""

from __future__ import annotations

from typing import Any

import torch

from lab.data import datasets
from lab.data.splits import Dataset, divide


@datasets.add
def digits() -> Dataset:
    """1,797 real handwritten digits of 8 x 8 grey pixels, embedded in scikit-learn.

    (1, 8, 8), 10 classes; 70 % training, 15 % validation, 15 % test; values 0..16 scaled to 0..255.

    Source: Alpaydin & Kaynak 1998, UCI Optical Recognition of Handwritten Digits.
    """
    from sklearn.datasets import load_digits  # noqa: PLC0415  # slow to import: `lab options` and its like do without

    bunch: Any = load_digits()
    images = torch.from_numpy(bunch.images / 16 * 255).round().to(torch.uint8).unsqueeze(1)
    return divide(images, torch.from_numpy(bunch.target).long(), tuple("0123456789"))
