"""Sources on this machine: an earlier run of the lab, a file of weights. Nothing is unpickled but plain tensors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, Field
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lab.catalogue import Choice
from lab.transfer import sources
from lab.transfer.preprocessing import Normalisation, Preprocessing, preprocessing
from lab.transfer.weights import SourceError, Weights

RUN_WEIGHTS = "weights.safetensors"  # of a run that has ended
RUN_FACTS = "run.json"  # beside them, what else is known of it
WRAPPERS = ("state_dict", "model_state_dict", "model")  # under which training scripts keep a state dict
TRUNK = "trunk."  # before the names of a model on which an objective put something
PARALLEL = "module."  # before every name of a network that was trained on several devices
REFUSED = "Unsupported global"  # torch says it of anything but tensors and containers

Folder = Annotated[str, Field(description="folder of a finished run, as `lab runs` lists it")]
Mean = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Deviation = Annotated[float, Field(strict=True, ge=0.001, le=1, allow_inf_nan=False)]  # in less there is no image
Size = Annotated[int, Field(strict=True, gt=0)]
PathText = Annotated[str, Field(description="a .safetensors file, or a state dict that torch.save wrote")]


@sources.add
def nothing() -> Weights:
    """No pretrained weights: the initialisation alone decides where training starts.

    weights = {}

    Source: the baseline of every transfer study, e.g. Yosinski et al. 2014, arXiv 1411.1792.
    """
    return Weights({}, "nothing")


@sources.add
def run(
    *,
    folder: Folder = "runs/first",
    normalisation: Normalisation = "source",  # noqa: ARG001  # decides how images are seen, not what is copied
) -> Weights:
    """The weights that an earlier run of the lab ended with, and the names of its classes.

    weights = those that its evaluation saw after the last epoch, the average where it kept one
    Images are normalised with the mean and deviation with which that run saw its own, which its folder keeps.

    Raises:
        SourceError: no such folder, no run in it, a run that has not ended, a damaged file.

    Source: Yosinski et al. 2014, arXiv 1411.1792 (first layers trained on one task, taken over to another).
    """
    place = Path(folder).expanduser()
    if not (place / "recipe.yaml").is_file():
        raise SourceError(
            f"There is no run in {place}. Set source.folder to the folder of a finished run; `lab runs` lists them."
        )
    if not (place / RUN_WEIGHTS).is_file():
        raise SourceError(f"The run in {place} has no weights yet: go on with `lab resume {place}` until it has ended.")
    tensors, facts = read_safetensors(place / RUN_WEIGHTS)
    held = {name.removeprefix(TRUNK): tensor for name, tensor in tensors.items()}
    classes = tuple(json.loads(facts["classes"])) if "classes" in facts else None
    return Weights(held, f"run {place}", classes, json.loads(facts.get("meanings", "{}")))


@sources.add
def file(
    *,
    path: PathText = "weights.safetensors",
    normalisation: Normalisation = "source",  # noqa: ARG001  # as above
) -> Weights:
    """Weights from a file: safetensors, or a state dict of torch, read without running any code in it.

    weights = {name: tensor}; `state_dict`, `model_state_dict` or `model` around them and `module.` before their names
    are taken off. Names must be those of the network: the table of layers says what matched and what did not. A file
    that the lab wrote says how its images were normalised, and these are too; with others they are by their own.

    Raises:
        SourceError: no such file, a damaged one, one that holds more than tensors.

    Source: torch.load (weights_only); safetensors.
    """
    place = Path(path).expanduser()
    if not place.is_file():
        raise SourceError(f"There is no file {place}. Set source.path to a .safetensors file or a saved state dict.")
    tensors = read_safetensors(place)[0] if place.suffix == ".safetensors" else read_state_dict(place)
    return Weights(tensors, f"file {place}")


def preprocessing_of_run(source: Choice) -> Preprocessing | None:
    """As its folder keeps it; None where there is none yet, or it is damaged: reading the weights says so."""
    path = Path(dict(source)["folder"]).expanduser() / RUN_FACTS
    return kept_in(lambda: json.loads(path.read_bytes())["provenance"]["images"])


def preprocessing_of_file(source: Choice) -> Preprocessing | None:
    """As a safetensors file of the lab says beside its tensors."""
    path = Path(dict(source)["path"]).expanduser()
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    return kept_in(lambda: json.loads(read_safetensors_facts(path)["images"]))


class Kept(BaseModel):
    """A record of a training split: mean and deviation of its channels, of pixels from 0 to 1; channels and sizes."""

    statistics: tuple[tuple[Mean, ...], tuple[Deviation, ...]]
    shape: tuple[Size, Size, Size] | None = None


def kept_in(read: Callable[[], Any]) -> Preprocessing | None:
    """As a record says, if all of it makes sense: who wrote a file of weights may have written anything."""
    try:
        kept = Kept.model_validate(read())
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError):
        return None
    mean, std = kept.statistics
    return Preprocessing(mean, std, kept.shape and kept.shape[1:]) if mean and len(mean) == len(std) else None


preprocessing["run"], preprocessing["file"] = preprocessing_of_run, preprocessing_of_file


def read_safetensors_facts(path: Path) -> dict[str, str]:
    """What the file says beside its tensors, which are not read."""
    with safe_open(path, framework="pt") as opened:
        return opened.metadata() or {}


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name, and what the file says beside them."""
    try:
        with safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata() or {}  # noqa: SIM118  # not a mapping
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error) from None


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """What torch.save kept of a network; anything but plain tensors and containers is refused unread."""
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  # torch, zipfile and the reader of pickles raise a dozen kinds
        if REFUSED not in str(error):
            raise unreadable(path, error) from None
        raise SourceError(
            f"{path} holds more than tensors, and reading that could run code. Save the network's weights alone: "
            f"torch.save(model.state_dict(), ...)."
        ) from None
    return unwrapped(kept, path)


def unwrapped(kept: Any, path: Path) -> dict[str, Tensor]:
    """The tensors by name, out of what a training script put around them."""
    inner = next(
        (kept[key] for key in WRAPPERS if isinstance(kept, Mapping) and isinstance(kept.get(key), Mapping)), kept
    )
    if not isinstance(inner, Mapping) or not inner or not all(isinstance(value, Tensor) for value in inner.values()):
        what = type(inner).__name__ if not isinstance(inner, Mapping) else "a mapping of other things than tensors"
        raise SourceError(f"{path} holds {what}, but must hold tensors by name: torch.save(model.state_dict(), ...).")
    parallel = all(name.startswith(PARALLEL) for name in inner)
    return {name.removeprefix(PARALLEL) if parallel else name: value for name, value in inner.items()}


def unreadable(path: Path, error: Exception) -> SourceError:
    said = " ".join(str(error).split())[:200] or type(error).__name__
    return SourceError(f"Cannot read the weights in {path}: {said}. Copy the file anew, or choose another source.")
