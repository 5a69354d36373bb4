"""Where the numbers of a run come from, beside its recipe."""

from __future__ import annotations

import inspect
import platform
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from lab.catalogue import Choice
from lab.data import Dataset
from lab.own_options import file_of
from lab.recipe import CATALOGUES, Recipe
from lab.steps import threads_for
from lab.training import Training


def provenance(session: Training) -> dict[str, Any]:
    """Where the numbers come from: versions, device, commit, and the source of a person's own options."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        **{package: version(package) for package in ("torch", "torchvision", "numpy")},
        **made_with(session.recipe, session.data),
        "option_files": option_files(session.recipe),
        "device": device_name(session.device),
        "threads": threads_for(session.flops_per_step),
        "skipped_files": list(session.data.skipped),
        "learning_seconds": learning_seconds(session),
    }


def made_with(recipe: Recipe, data: Dataset) -> dict[str, Any]:
    """What a recipe's name for a choice does not hold: the lab's code, a person's own options, the training images."""
    return {
        "lab": version("lab"),
        "commit": commit(),
        "custom_options": custom_sources(recipe),
        "images": {"count": len(data.train), **form_of(data)},
    }


def form_of(data: Dataset) -> dict[str, Any]:
    """As what images are seen: what others need who take the weights over."""
    return {"shape": list(data.shape), "statistics": [list(values) for values in data.statistics]}


def learning_seconds(session: Training) -> dict[str, float]:
    """By augmentation, how long it learned before the first step; empty until it has."""
    return {option: lesson.seconds for option, lesson in vars(session).get("lessons", {}).items()}


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device} ({platform.machine()})"


def commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def custom_sources(recipe: Recipe) -> dict[str, str]:
    """The source of every option in the recipe that is not the lab's own."""
    return {key: source_of(function) for key, function in custom_options(recipe)}


def option_files(recipe: Recipe) -> dict[str, str]:
    """The files that `--options` named, by option of the recipe."""
    files = {key: file_of(function) for key, function in custom_options(recipe)}
    return {key: file for key, file in files.items() if file is not None}


def custom_options(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    for field, catalogue in CATALOGUES.items():
        value = getattr(recipe, field)
        for choice in [value] if isinstance(value, Choice) else value:
            function = catalogue.functions[choice.name]
            if not function.__module__.startswith("lab."):
                yield f"{field}.{choice.name}", function


def source_of(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return "not available"
