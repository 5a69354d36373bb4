"""The source that a person names in one word: a package, torchvision's weights, an earlier run, a file."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any, get_args

from lab.catalogue import Choice, RecipeError
from lab.choosing.telling import COMMAND, Command
from lab.loading import data_of
from lab.recipe import Recipe
from lab.runs import open_run
from lab.transfer import SourceError, sources
from lab.transfer.names import KnownWeights
from lab.transfer.published import LITE_PACKAGE, known_weights

LITE = "efficientnet_lite0"
ELSEWHERE = " Or start from an earlier run of the lab: {}."


def source_changes(source: str, said: Command = COMMAND) -> dict[str, Any]:
    """What a source makes of a recipe: itself, the network that its weights fit, and for a run the form of its images.

    Raises:
        RecipeError: the word names nothing that there is; SourceError: weights that are not here, or a damaged run.
    """
    place = Path(source).expanduser()
    if source == LITE:
        changes: dict[str, Any] = {"source": LITE, "model": LITE}
    elif source in get_args(KnownWeights):
        changes = {
            "source": {"name": "torchvision", "weights": source},
            "model": {"name": "torchvision", "network": network_of(source)},
        }
    elif place.is_dir():
        changes = changes_of_run(place)
    elif place.is_file():
        return {"source": {"name": "file", "path": str(place.resolve())}}  # its network is the person's to name
    else:
        raise RecipeError(
            f"There is no source {source!r}. Expected {LITE}, the folder of a finished run, a file of weights, or "
            "weights of torchvision such as ResNet18_Weights.IMAGENET1K_V1."
        )
    check(sources.parse(changes["source"]), said)
    return changes


def check(choice: Choice, said: Command) -> None:
    """Raises SourceError when the weights cannot be read, before anything is trained."""
    try:
        sources.build(choice)
    except SourceError as error:
        other = ELSEWHERE.format(said.set(source="runs/FOLDER")) if choice.name != "run" else ""
        raise SourceError(f"{error}{other}") from None


def network_of(weights: str) -> str:
    """`ResNet18_Weights.IMAGENET1K_V1` -> `resnet18`."""
    from torchvision.models import get_model_weights, list_models  # noqa: PLC0415  # slow to import

    kind = type(known_weights(weights))
    return next(name for name in list_models() if get_model_weights(name) is kind)


def changes_of_run(folder: Path) -> dict[str, Any]:
    """An earlier run's network, and images of the size and the colours that it learned from."""
    recipe: Recipe = open_run(folder).recipe
    channels, height, width = data_of(recipe).shape
    if height != width:
        raise RecipeError(f"The run in {folder} learned from {height} x {width} sequences, not from square images.")
    network = {key: getattr(recipe, key).model_dump() for key in ("model", "activation")}
    form = {"data.size": height, "data.colour": "grey" if channels == 1 else "rgb"}
    return {"source": {"name": "run", "folder": str(folder.resolve())}, **network, **form}


def licence_of(choice: Choice) -> str:
    """Whose the weights are that a network began with, in a sentence."""
    if choice.name == "nothing":
        return "No weights were taken over."
    if choice.name == LITE:
        said = (
            f"published under {first_line_of_licence(LITE_PACKAGE)}"
            if installed(LITE_PACKAGE)
            else "not installed here"
        )
        return f"The source is the package {LITE_PACKAGE}, {said}; its weights were learned from ImageNet."
    if choice.name == "torchvision":
        return (
            f"The source is torchvision's {dict(choice)['weights']}. Its code is under the BSD 3-clause licence; its "
            "weights, torchvision says, may have a licence of their own, from the data they learned from."
        )
    return (
        f"The source is {choice}: what it learned from decides under which terms its weights, and these, may be used."
    )


def installed(package: str) -> bool:
    try:
        return files(package) is not None
    except PackageNotFoundError:
        return False


def first_line_of_licence(package: str) -> str:
    """As the package's own file says; its metadata may say nothing."""
    found = next((file for file in files(package) or [] if file.name.upper().startswith("LICENSE")), None)
    lines = found.read_text(encoding="utf-8").split("\n") if found else []
    return next((line.strip() for line in lines if line.strip()), "a licence that it does not name")
