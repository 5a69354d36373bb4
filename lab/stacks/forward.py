"""One forward pass of many networks of one architecture, whose parameters are stacked: (K, ...) each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

Parameters = Mapping[str, Tensor]
Forward = Callable[[Parameters, Tensor], Tensor]

ELEMENTWISE = (
    nn.Identity,
    nn.ReLU,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Softplus,
    nn.Sigmoid,
    nn.Tanh,
    nn.Hardswish,
)


def is_chain(model: nn.Module) -> bool:
    """Whether a network is fully connected layers and functions of single numbers, one after the other."""
    if type(model) is not nn.Sequential:
        return False
    first, *layers = model
    named = [len(list(model.named_parameters(remove_duplicate=once))) for once in (True, False)]
    return (
        type(first) is nn.Flatten
        and any(isinstance(layer, nn.Linear) for layer in layers)
        and all(type(layer) in (nn.Linear, *ELEMENTWISE) for layer in layers)
        and named[0] == named[1]  # a weight of two layers has one name only
        and not any(layer._forward_hooks or layer._forward_pre_hooks for layer in model.modules())
    )


def forward_of(model: nn.Module) -> Forward:
    """(parameters, images (K, b, c, h, w), or (1, ...) for all alike) -> logits (K, classes, b).

    The examples come last: a log-softmax over ten neighbours is twenty times slower than one over ten rows.
    """
    return chain(model) if is_chain(model) else mapped(model)


def chain(model: nn.Module) -> Forward:
    """Batched matrix products, layer by layer."""
    # Not `named_children`: it leaves out what stands there a second time.
    _, *layers = ((name, layer) for name, layer in model._modules.items() if layer is not None)

    def forward(parameters: Parameters, images: Tensor) -> Tensor:
        hidden = images.flatten(2).transpose(1, 2)
        for name, layer in layers:
            if isinstance(layer, nn.Linear):
                hidden = linear(hidden, parameters[f"{name}.weight"], parameters.get(f"{name}.bias"))
            else:
                hidden = layer(hidden)
        return hidden

    return forward


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(K or 1, in, b), (K, out, in), (K, out) -> (K, out, b)."""
    inputs = inputs.expand(len(weight), -1, -1)
    return torch.bmm(weight, inputs) if bias is None else torch.baddbmm(bias.unsqueeze(2), weight, inputs)


def mapped(model: nn.Module) -> Forward:
    """torch's own vectorisation of the network's forward; in training mode BatchNorm moves its stacked statistics."""

    def one(parameters: dict[str, Tensor], images: Tensor) -> Tensor:
        return functional_call(model, parameters, (images,))

    def forward(parameters: Parameters, images: Tensor) -> Tensor:
        if len(images) > 1:
            return vmap(one)(dict(parameters), images).transpose(1, 2)
        return vmap(one, in_dims=(0, None))(dict(parameters), images[0]).transpose(1, 2)

    return forward
