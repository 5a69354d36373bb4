"""What of a network need not be computed anew at each point of a plane, found out by watching it at work.

Along a plane the weights of a layer are W0 + a D1 + b D2. Where such a layer reads the images themselves, and nothing
that depends on weights, its output is Z0 + a Z1 + b Z2 with products that are made once for the whole plane. What
follows may be drawn into the products while it is affine and has no weights that move: evaluation-mode batch
normalisation under unmoved scales, an average pool, a reshape.

Nothing is taken on trust: a layer is taken to be linear in its weights because its values are, an activation to be
monotonic because it is on a scale of numbers, and the rewritten network as a whole is compared with the original in
float64 at two places of the plane before it is used. Where it differs, less is rewritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lab.landscape.rewritten import Product, Rewriting, Rewritten, pair
from lab.landscape.weights import Weights, moved

TOLERANCE = 1e-9  # relative, in float64
PLACES = ((0.31, -0.47), (-0.83, 0.59))  # with no relation to a grid or to each other


@dataclass(frozen=True)
class Call:
    """A layer without layers of its own at work once: what it was given and what it gave."""

    name: str
    layer: nn.Module
    given: Tensor
    gave: Tensor
    fixed: bool  # whether what it was given depends on no weight that moves


def rewriting_of(model: nn.Module, centre: Weights, directions: Sequence[Weights], images: Tensor) -> Rewriting:
    """The most that may be rewritten with the same values.

    Args:
        model: in float64, in the mode in which it will be evaluated; its weights are moved and put back.
        images: (n, c, h, w) float64, a few, as the network sees them.
    """
    moving = {name for name in centre if any(direction[name].any() for direction in directions)}
    calls, logits = watched(model, moving, images)
    found = Rewriting(
        products=tuple(products(calls, moving, centre, directions)),
        swaps=tuple(swaps(calls)),
        quartered=tuple(call.name for call in calls if halves(call.layer, call.given, only=(2, 2))),
        in_place=tuple(call.name for call in calls if getattr(call.layer, "inplace", None) is False),
        head=head_of(calls, logits),
    )
    done = {product.pool for product in found.products}
    found = replace(
        found,
        swaps=tuple(swap for swap in found.swaps if swap[1] not in done),
        quartered=tuple(pool for pool in found.quartered if pool not in done),
    )
    fewer = (each for each in found.moves_less() if same_values(model, each, centre, directions, images))
    return next(fewer, Rewriting())  # logits that are nan equal nothing


def watched(model: nn.Module, moving: set[str], images: Tensor) -> tuple[list[Call], Tensor]:
    """Every call of a layer that has no layers of its own, in order, and the logits.

    Layers that are called twice are left out.
    """
    calls: list[Call] = []
    before = {parameter: parameter.requires_grad for parameter in model.parameters()}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in moving)

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(layer: nn.Module, given: tuple[Any, ...], gave: Any) -> None:
            if len(given) == 1 and isinstance(given[0], Tensor) and isinstance(gave, Tensor):
                calls.append(Call(name, layer, given[0], gave, not given[0].requires_grad))

        return hook

    leaves = [(name, layer) for name, layer in model.named_modules() if not list(layer.children())]
    handles = [layer.register_forward_hook(note(name)) for name, layer in leaves]
    try:
        with torch.enable_grad():
            logits = model(images)
    finally:
        for handle in handles:
            handle.remove()
        for parameter, wanted in before.items():
            parameter.requires_grad_(wanted)
    names = [call.name for call in calls]
    return [call for call in calls if names.count(call.name) == 1], logits


def head_of(calls: Sequence[Call], logits: Tensor) -> str | None:
    """The linear layer that the logits come from."""
    last = [
        call for call in calls if call.gave is logits and isinstance(call.layer, nn.Linear) and call.given.dim() == 2
    ]
    return last[0].name if last and not last[0].fixed else None


def products(
    calls: Sequence[Call], moving: set[str], centre: Weights, directions: Sequence[Weights]
) -> Iterator[Product]:
    """First layers whose output is linear in their weights, with all that can be drawn into them."""
    for call in calls:
        names = {key: f"{call.name}.{key}" for key, _ in call.layer.named_parameters()}
        if call.fixed and moving & set(names.values()) and is_linear(call, names, centre, directions):
            yield extended(Product(call.name), call, calls, moving)


@torch.no_grad()
def is_linear(call: Call, names: dict[str, str], centre: Weights, directions: Sequence[Weights]) -> bool:
    """Whether the layer gives at a place of the plane what the products of its sets of weights add up to."""
    if not set(names.values()) <= set(centre):  # a part of the layer stays as it is: not homogeneous in what moves
        return False

    def output(weights: Weights) -> Tensor:
        own = {key: weights[name].to(call.given.dtype) for key, name in names.items()}
        return functional_call(call.layer, own, (call.given.detach(),))

    parts = [output(weights) for weights in (centre, *directions)]
    steps = list(zip(PLACES[0], directions, strict=False))
    here = moved({name: centre[name].double() for name in names.values()}, steps)
    expected = parts[0] + sum(length * part for (length, _), part in zip(steps, parts[1:], strict=True))
    return close(output(here), expected)


def extended(product: Product, call: Call, calls: Sequence[Call], moving: set[str]) -> Product:
    """The same product with the affine layers behind it, up to a max pool."""
    drawn_in: list[str] = []
    end = call
    while (following := reader_of(end, calls)) is not None and is_affine(following, moving):
        drawn_in.append(following.name)
        end = following
    pool = following.name if following is not None and halves(following.layer, following.given) else None
    if pool is None and following is not None and is_monotonic(following.layer):
        behind = reader_of(following, calls)
        pool = behind.name if behind is not None and halves(behind.layer, behind.given) else None
    return replace(product, drawn_in=tuple(drawn_in), pool=pool)


def reader_of(call: Call, calls: Sequence[Call]) -> Call | None:
    """The one layer that reads what this one gave. What else does is seen in the values."""
    readers = [other for other in calls if other.given is call.gave]
    return readers[0] if len(readers) == 1 else None


@torch.no_grad()
def is_affine(call: Call, moving: set[str]) -> bool:
    """Whether the layer is affine in what it is given, with no weights that move."""
    if any(f"{call.name}.{key}" in moving for key, _ in call.layer.named_parameters()):
        return False
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(call.given.shape, generator=generator, dtype=torch.float64).to(call.given) for _ in range(2))
    zero = call.layer(torch.zeros_like(x))
    return close(call.layer(2 * x - 3 * y) - zero, 2 * (call.layer(x) - zero) - 3 * (call.layer(y) - zero))


def swaps(calls: Sequence[Call]) -> Iterator[tuple[str, str]]:
    """Activations with a max pool behind them: pooling first gives the same for a monotonic one."""
    for call in calls:
        following = reader_of(call, calls)
        if following is not None and isinstance(following.layer, nn.MaxPool2d) and is_monotonic(call.layer):
            yield call.name, following.name


@torch.no_grad()
def is_monotonic(layer: nn.Module) -> bool:
    """Whether a layer without weights works number by number and never falls: on a scale of numbers, in any shape."""
    if list(layer.parameters()) or isinstance(layer, nn.MaxPool2d):
        return False
    scale = torch.linspace(-20, 20, 8001, dtype=torch.float64)
    try:
        values, image = layer(scale[None]), layer(scale[:8000].view(1, 2, 40, 100))
    except (RuntimeError, ValueError):  # not for this shape
        return False
    if values.shape != (1, 8001) or image.shape != (1, 2, 40, 100):
        return False
    return bool((values[0].diff() >= 0).all()) and torch.equal(image.flatten(), values[0, :8000])


def halves(layer: nn.Module, images: Tensor, only: tuple[int, int] | None = None) -> bool:
    """Whether this is a max pool whose windows neither overlap nor hang over, of one size `only` if that is given."""
    if not isinstance(layer, nn.MaxPool2d) or images.dim() != 4 or layer.return_indices:
        return False
    window, stride = pair(layer.kernel_size), pair(layer.stride)
    whole = not layer.ceil_mode or all(size % part == 0 for size, part in zip(images.shape[2:], window, strict=True))
    if only is not None and window != only:
        return False
    return window == stride and pair(layer.padding) == (0, 0) and pair(layer.dilation) == (1, 1) and whole


@torch.no_grad()
def same_values(
    model: nn.Module, rewriting: Rewriting, centre: Weights, directions: Sequence[Weights], images: Tensor
) -> bool:
    """Whether the rewritten network gives the original's logits at two places of the plane."""
    other = Rewritten(deepcopy(model), rewriting)
    parts = other.parts(images, centre, directions)
    idle = rewriting.idle(model)
    for a, b in PLACES:
        here = moved(
            {name: tensor.double() for name, tensor in centre.items()}, list(zip((a, b), directions, strict=False))
        )
        parts.place(a, b)
        rest = {name: tensor for name, tensor in here.items() if name not in idle}
        other.model.load_state_dict(rest, strict=False)
        if not close(other.logits(images).T, functional_call(model, here, (images,))):
            return False
    return True


def close(a: Tensor, b: Tensor) -> bool:
    """Equal up to rounding, relative to the largest value."""
    return a.shape == b.shape and bool((a - b).abs().max() <= TOLERANCE * (b.abs().max() + 1e-300))
