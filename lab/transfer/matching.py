"""Which layers of a source fit a network, layer by layer, and the copying of those that do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lab.depth import by_depth
from lab.transfer.weights import SourceError

COPIED = "copied"
SUMMED = "copied, its colours summed"
COUNTER = "num_batches_tracked"  # of batch normalisation; older files lack it

Shapes = dict[str, tuple[int, ...]]  # of a layer's tensors, by their names in it


class Match(NamedTuple):
    """A layer of the network beside the source's layer of the same name.

    said: `copied`, or why it is not.
    """

    name: str
    here: Shapes
    there: Shapes
    said: str

    @property
    def is_copied(self) -> bool:
        return self.said in (COPIED, SUMMED)


class Copied(NamedTuple):
    """What became of a source in a network: its layers, and what the network has no place for, shapes by name."""

    origin: str
    layers: list[Match]
    unused: Shapes


def matches(model: nn.Module, weights: Mapping[str, Tensor], classes: Sequence[str]) -> list[Match]:
    """Every layer with tensors of its own, in the network's order; a layer is copied as a whole or not at all.

    The last layer keeps its own start where the source tells other classes apart.
    """
    other, last = other_last(weights, classes), last_layer_name(model)
    found: list[Match] = []
    for name, layer in model.named_modules():
        here = own_shapes(layer)
        there = {key: tuple(weights[full].shape) for key in here if (full := joined_name(name, key)) in weights}
        if here:
            said = (other if name == last else "") or fit_of(here, there, first=not found)
            found.append(Match(name, here, there, said))
    return found


def other_last(weights: Mapping[str, Tensor], classes: Sequence[str]) -> str:
    """Why the source's last layer does not tell these classes apart; empty if it does, or that is not known."""
    known = getattr(weights, "classes", None)
    if known is None or tuple(known) == tuple(classes):
        return ""
    return "other classes" if known else "names no classes"


def own_shapes(layer: nn.Module) -> Shapes:
    """Of the tensors that a layer itself keeps, by name."""
    own = [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]
    unkept = layer._non_persistent_buffers_set
    return {name: tuple(tensor.shape) for name, tensor in own if name not in unkept}


def fit_of(here: Shapes, there: Shapes, *, first: bool) -> str:
    """What becomes of a layer: the first one may read grey where the source reads colours."""
    needed = {key: shape for key, shape in here.items() if key != COUNTER}
    if not there:
        return "not in the source"
    if all(there.get(key) == shape for key, shape in needed.items()):
        return COPIED
    kernel = needed.get("weight", ())
    grey = first and len(kernel) == 4 and kernel[1] == 1 and there.get("weight") == (kernel[0], 3, *kernel[2:])
    others = all(there.get(key) == shape for key, shape in needed.items() if key != "weight")
    return SUMMED if grey and others else "another shape"


def joined_name(layer: str, tensor: str) -> str:
    return f"{layer}.{tensor}" if layer else tensor


def last_layer_name(model: nn.Module) -> str:
    """The layer that gives the logits: that of the last matrix or kernel."""
    last = next(parameter for parameter in by_depth(model)[-1] if parameter.ndim > 1)
    return next(
        name for name, layer in model.named_modules() if any(p is last for p in layer.parameters(recurse=False))
    )


@torch.no_grad()
def copy_layers(
    model: nn.Module, weights: Mapping[str, Tensor], classes: Sequence[str], only: Collection[str] | None = None
) -> None:
    """Copy every layer that fits, or of those named; the network remembers under `transferred` what became of them.

    A first kernel for three colours becomes one for grey by their sum: grey is three colours alike.

    Raises:
        SourceError: there are weights, and none of them fits.

    Source: the sum over colours: timm, `adapt_input_conv`.
    """
    found = matches(model, weights, classes)
    chosen = [match for match in found if only is None or match.name in only]
    if weights and not any(match.is_copied for match in chosen):
        raise SourceError(misfit(chosen, weights))
    for match in chosen:
        if match.is_copied:
            layer = model.get_submodule(match.name)
            tensors = dict(layer.named_parameters(recurse=False)) | dict(layer.named_buffers(recurse=False))
            for key in match.there:
                value = weights[joined_name(match.name, key)]
                tensors[key].copy_(value.sum(1, keepdim=True) if match.said == SUMMED and key == "weight" else value)
    rest = [match if match in chosen else match._replace(said="not chosen") for match in found]
    model.transferred = Copied(origin_of(weights), rest, unused(model, weights))  # pyright: ignore[reportArgumentType]


def origin_of(weights: Mapping[str, Tensor]) -> str:
    return getattr(weights, "origin", "the source")


def report_on(model: nn.Module) -> Copied:
    """What a transfer has remembered in its network; nothing of a network that it has not filled."""
    return getattr(model, "transferred", Copied("nothing", [], {}))


def beneath(prefix: str, copied: Copied) -> Copied:
    """The same, of a network that holds the one that was filled under this name."""
    return copied._replace(layers=[match._replace(name=f"{prefix}.{match.name}") for match in copied.layers])


def copied_into(model: nn.Module) -> list[Match]:
    """The layers that a transfer has filled."""
    return [match for match in report_on(model).layers if match.is_copied]


def misfit(chosen: Sequence[Match], weights: Mapping[str, Tensor]) -> str:
    """That nothing fits, with the first layer of both sides."""
    origin, theirs = origin_of(weights), next(iter(weights.items()))
    shared = next((match for match in chosen if match.there), None)
    if shared is not None:
        key = next((key for key, shape in shared.there.items() if shape != shared.here[key]), next(iter(shared.there)))
        seen = f"layer {shared.name}: {key} is {shared.there[key]} there and {shared.here[key]} here"
        seen += f" ({shared.said})" if shared.here[key] == shared.there[key] else ""
        return (
            f"Nothing in {origin} fits this network ({seen}). Choose the model and the size of images it was made with."
        )
    seen = f"its first tensor is {theirs[0]} {tuple(theirs[1].shape)}, this network's first layer is {chosen[0].name}"
    said = f"Nothing in {origin} fits this network: no layer has the same name ({seen})"
    return f"{said}. Choose the model it was made with."


def unused(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """What the source has and the network has no place for: shapes by name."""
    own = model.state_dict()
    return {name: tuple(tensor.shape) for name, tensor in weights.items() if name not in own}


def refuse_gaps(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """A frozen layer that could not be copied would stay random for good.

    Raises:
        SourceError: there are weights, and a layer is frozen that they do not fill.
    """
    if not weights:
        return
    for match in report_on(model).layers:
        own = list(model.get_submodule(match.name).parameters(recurse=False))
        if not match.is_copied and not all(parameter.requires_grad for parameter in own):
            said = f"Layer {match.name} would stay as it was drawn at random ({match.said}: {origin_of(weights)})"
            raise SourceError(
                f"{said}. Choose the model and the size of images that the source was made with, or a transfer that "
                f"trains this layer."
            )
