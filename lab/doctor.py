"""What this machine has: a line for each thing that the lab may need."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import torch

from lab.data import datasets
from lab.data.embedded import MNIST_PACKAGE
from lab.data.published import READERS, state
from lab.installing import pip_install
from lab.steps import pick_device

PACKAGES = {  # what each is for, said where it is missing
    "torch": "everything",
    "torchvision": "everything",
    "jupyterlab": "the panel",
    "ipywidgets": "the panel",
    "plotly": "pictures",
    "papermill": "notebooks run by command",
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ENOUGH_DISK_BYTES = 2**30


def examine() -> dict[str, str]:
    """Name -> state in words, in the order in which a person would ask."""
    return {
        "python": platform.python_version(),
        **{package: installed(package) for package in PACKAGES},
        "cpu": f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads",
        "gpu": gpu(),
        "bfloat16": "fast here" if computes_bfloat16() else "emulated on this CPU: many times slower than float32",
        **{f"data: {name}": data_state(name) for name in datasets},
        "LAB_DATA": os.environ.get("LAB_DATA", "not set"),
        "browser": browser() or "none found: only the browser tests need one (Debian: apt-get install chromium)",
        "disk": disk(),
    }


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return f"missing, needed for {PACKAGES[package]}: {pip_install(package)}"


def gpu() -> str:
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        memory = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
        return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, {memory}"
    if torch.mps.is_available():
        return "Apple GPU (mps)"
    return "none: the lab trains on the CPU"


def computes_bfloat16() -> bool:
    """Whether the device that the lab picks has arithmetic for it; without, torch converts to float32 and back."""
    return pick_device().type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def data_state(name: str) -> str:
    if name in READERS:
        return state(name)
    if name == "mnist_digits" and find_spec(MNIST_PACKAGE) is None:
        return f"missing: {pip_install(MNIST_PACKAGE)}"
    return "your own images: set data.path" if name == "folder" else "ready (embedded)"


def browser() -> str | None:
    """Path of a Chromium or Chrome, or None."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free
    warning = "" if free > ENOUGH_DISK_BYTES else ": little room for runs"
    return f"{free / 2**30:.1f} GiB free here{warning}"
