"""The transfers: what is copied from the source, what is frozen and what trains when.

Each option gets the network as its initialiser left it, the source's weights and the data set, and returns the network.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from lab.catalogue import Knob
from lab.data import Dataset
from lab.data.batches import sample
from lab.depth import by_depth
from lab.transfer import transfers
from lab.transfer.freezing import ALL, Thaw, cached, freeze_all_but, keep_statistics, renew_statistics, thawing
from lab.transfer.matching import copied_into, copy_layers, refuse_gaps
from lab.transfer.weights import SourceError, Weights

STATISTICS_IMAGES = 2048
STATISTICS_BATCH = 256

FrozenLayers = Annotated[
    int, Field(ge=0, le=10_000, description="first layers that never train, at most all but the last"), Knob(0, 8)
]
FrozenHead = Annotated[bool, Field(description="the copied layers never train")]
Names = Annotated[
    str, Field(description="fully connected layers to copy, by the network's names, with commas between; empty: all")
]
BatchNormMode = Annotated[
    Literal["trained", "frozen", "renewed"],
    Field(
        description="statistics of batch normalisation: they go on with the layer, stay the source's, or are first "
        "taken anew on the training images"
    ),
]
RestingBatchNorm = Annotated[
    Literal["frozen", "renewed"],
    Field(description="statistics of batch normalisation: the source's, or taken anew on the training images, once"),
]
Probe = Annotated[float, Field(ge=0, le=1, description="share of the epochs for the last layer alone"), Knob(0, 1)]
Every = Annotated[int, Field(ge=1, le=10_000, description="epochs until one layer more trains"), Knob(1, 10)]


@transfers.add
def scratch(model: nn.Module, weights: Weights, data: Dataset) -> nn.Module:
    """Train every layer from its initialisation; nothing is copied and nothing is frozen.

    theta_0 = initialisation ;  every parameter is trained

    Source: the baseline of every transfer study, e.g. Yosinski et al. 2014, arXiv 1411.1792.
    """
    return model


@transfers.add
def whole(
    model: nn.Module,
    weights: Weights,
    data: Dataset,
    *,
    frozen: FrozenLayers = 0,
    batchnorm: BatchNormMode = "trained",
) -> nn.Module:
    """Copy all that fits, and fine-tune it: the first `frozen` layers stay as they were.

    theta_0 = the source's, of each layer that has its shapes there ;  layers 1 ... frozen never move
    A last layer for other classes keeps its own start. A frozen layer works as in evaluation: no dropout, and its
    batch normalisation keeps its statistics. With depth_decay the first layers move less than the last.

    Raises:
        SourceError: nothing fits, or a frozen layer does not.

    Source: Yosinski et al. 2014, arXiv 1411.1792; frozen statistics: He et al. 2016, arXiv 1512.03385, appendix A;
    renewed ones: Li et al. 2016, arXiv 1603.04779.
    """
    copy_layers(model, weights, data.classes)
    freeze_all_but(model, max(1, len(by_depth(model)) - frozen))
    refuse_gaps(model, weights)
    return with_statistics(model, batchnorm, data)


@transfers.add
def head(
    model: nn.Module, weights: Weights, data: Dataset, *, layers: Names = "", frozen: FrozenHead = False
) -> nn.Module:
    """Copy fully connected layers only, by name; all before them starts from its initialisation.

    theta_0 = the source's in the layers named, the initialisation elsewhere
    The opposite of taking features over: does what was learned near the output help, when the input changes?

    Raises:
        SourceError: no fully connected layer of such a name, none that fits, or nothing left to train.

    Source: Yosinski et al. 2014, arXiv 1411.1792, whose upper layers are the specific ones.
    """
    names = fully_connected(model)
    chosen = [name.strip() for name in layers.split(",")] if layers.strip() else names
    for name in chosen:
        if name not in names:
            raise SourceError(
                f"{name!r} is no fully connected layer here. Expected some of: {', '.join(names) or 'none'}."
            )
    copy_layers(model, weights, data.classes, only=chosen)
    for match in copied_into(model):
        model.get_submodule(match.name).requires_grad_(not frozen)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise SourceError(
            "All layers of this network are copied and frozen: nothing is left to train. Set frozen to false."
        )
    return model


@transfers.add
def features(model: nn.Module, weights: Weights, data: Dataset, *, batchnorm: RestingBatchNorm = "frozen") -> nn.Module:
    """Keep the source's network as it is and train a last layer on what it computes, once, of each image.

    h = frozen layers(x), kept ;  logits = W h + b ;  only W and b are trained
    Computed at every step instead where augmentations change the images, where an average or the optimizer uses other
    weights, or where the last layer is not the end of the network. Without a source: random features.

    Raises:
        SourceError: nothing fits, or a layer but the last does not.

    Source: Donahue et al. 2014, arXiv 1310.1531 (DeCAF); Razavian et al. 2014, arXiv 1403.6382.
    """
    copy_layers(model, weights, data.classes)
    freeze_all_but(model, 1)
    refuse_gaps(model, weights)
    return with_statistics(model, batchnorm, data)


@transfers.add
def linear_probe_then_fine_tune(
    model: nn.Module, weights: Weights, data: Dataset, *, probe: Probe = 0.5, batchnorm: BatchNormMode = "trained"
) -> nn.Module:
    """First train the last layer alone, then everything: a fresh last layer would spoil good features meanwhile.

    epoch <= probe x epochs: W and b of the last layer ;  then all ; the schedule of the rate goes on through both
    The paper searches a rate for each phase; here a schedule that falls makes the second one gentle.

    Raises:
        SourceError: nothing fits.

    Source: Kumar et al. 2022, arXiv 2202.10054.
    """
    copy_layers(model, weights, data.classes)
    return with_statistics(model, batchnorm, data)


@transfers.add
def gradual_unfreezing(
    model: nn.Module, weights: Weights, data: Dataset, *, every: Every = 1, batchnorm: BatchNormMode = "trained"
) -> nn.Module:
    """Train the last layer first, and one layer more, downwards, after every few epochs.

    trained at epoch e = 0, 1, ... : the last 1 + floor(e / every) layers
    A network of more layers than there are epochs never trains its first ones.

    Raises:
        SourceError: nothing fits.

    Source: Howard & Ruder 2018, arXiv 1801.06146, section 3.3.
    """
    copy_layers(model, weights, data.classes)
    return with_statistics(model, batchnorm, data)


def after_a_probe(epoch: int, epochs: int, *, probe: float) -> int:
    """The last layer for a share of the epochs, to a whole one; then all."""
    return 1 if epoch < round(probe * epochs) else ALL


def one_by_one(epoch: int, epochs: int, *, every: int) -> int:  # as others have it
    return 1 + epoch // every


thawing["linear_probe_then_fine_tune"] = Thaw(after_a_probe, ("probe",))
thawing["gradual_unfreezing"] = Thaw(one_by_one, ("every",))
cached.add("features")


def fully_connected(model: nn.Module) -> list[str]:
    return [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]


def with_statistics(model: nn.Module, batchnorm: str, data: Dataset) -> nn.Module:
    """The network with its batch normalisation as asked for."""
    if batchnorm == "frozen":
        keep_statistics(model)
    elif batchnorm == "renewed":
        renew_statistics(model, spread_images(data))
    return model


def spread_images(data: Dataset) -> tuple[Tensor, ...]:
    """Training images, spread over the split, in batches as the network sees them."""
    return sample(data, STATISTICS_IMAGES).split(STATISTICS_BATCH)
