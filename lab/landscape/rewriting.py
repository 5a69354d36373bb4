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
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

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


@dataclass(frozen=True)
class Product:
    """A first layer, the layers drawn into its products, and the max pool behind them, if there is one."""

    layer: str
    drawn_in: tuple[str, ...] = ()
    pool: str | None = None


@dataclass(frozen=True)
class Rewriting:
    """What is done to a network, by the names of its layers.

    products: first layers. swaps: (activation, max pool behind it) that change places, for less work.
    in_place: activations that may overwrite what they are given.
    """

    products: tuple[Product, ...] = ()
    swaps: tuple[tuple[str, str], ...] = ()
    in_place: tuple[str, ...] = ()

    def idle(self, model: nn.Module) -> set[str]:
        """Names of the weights that the network no longer reads: those of its first layers."""
        layers = {product.layer for product in self.products}
        return {name for name, _ in model.named_parameters() if name.rpartition(".")[0] in layers}

    def moves_less(self) -> Iterator[Rewriting]:
        """This one, then ever more careful ones, down to the network as it is."""
        yield self
        yield replace(self, in_place=())
        yield Rewriting(tuple(Product(product.layer) for product in self.products))
        yield Rewriting()


@dataclass
class Slot:
    """Where a first layer finds what it gives at this point of the plane."""

    product: Product
    now: Tensor = field(default_factory=lambda: torch.empty(0))

    def __call__(self, *_: Any) -> Tensor:
        return self.now


def rewriting_of(model: nn.Module, centre: Weights, directions: Sequence[Weights], images: Tensor) -> Rewriting:
    """The most that may be rewritten with the same values.

    Args:
        model: in float64, in the mode in which it will be evaluated; its weights are moved and put back.
        images: (n, c, h, w) float64, a few, as the network sees them.
    """
    calls = watched(model, set(centre), images)
    found = Rewriting(
        products=tuple(products(model, calls, centre, directions)),
        swaps=tuple(swaps(calls)),
        in_place=tuple(call.name for call in calls if getattr(call.layer, "inplace", None) is False),
    )
    found = replace(found, swaps=tuple(swap for swap in found.swaps if swap[1] not in pools(found)))
    return next(each for each in found.moves_less() if same_values(model, each, centre, directions, images))


def pools(rewriting: Rewriting) -> set[str]:
    return {product.pool for product in rewriting.products if product.pool}


def watched(model: nn.Module, moving: set[str], images: Tensor) -> list[Call]:
    """Every call of a layer that has no layers of its own, in order; layers that are called twice are left out."""
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
            model(images)
    finally:
        for handle in handles:
            handle.remove()
        for parameter, wanted in before.items():
            parameter.requires_grad_(wanted)
    names = [call.name for call in calls]
    return [call for call in calls if names.count(call.name) == 1]


def products(
    model: nn.Module, calls: Sequence[Call], centre: Weights, directions: Sequence[Weights]
) -> Iterator[Product]:
    """First layers whose output is linear in their weights, with all that can be drawn into them."""
    for call in calls:
        names = {key: f"{call.name}.{key}" for key, _ in call.layer.named_parameters()}
        moving = [key for key, name in names.items() if name in centre]
        if call.fixed and moving and is_linear(call, names, centre, directions):
            yield extended(Product(call.name), call, calls, set(centre))


@torch.no_grad()
def is_linear(call: Call, names: dict[str, str], centre: Weights, directions: Sequence[Weights]) -> bool:
    """Whether the layer's output at a place of the plane is what the products of its three sets of weights add up to."""
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


def halves(layer: nn.Module, images: Tensor) -> bool:
    """A max pool whose windows neither overlap nor hang over."""
    if not isinstance(layer, nn.MaxPool2d) or images.dim() != 4 or layer.return_indices:
        return False
    window, stride = pair(layer.kernel_size), pair(layer.stride)
    whole = not layer.ceil_mode or all(size % part == 0 for size, part in zip(images.shape[2:], window, strict=True))
    return window == stride and pair(layer.padding) == (0, 0) and pair(layer.dilation) == (1, 1) and whole


def pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def windows(images: Tensor, layer: nn.MaxPool2d) -> Tensor:
    """(n, c, h, w) -> (places of a window, n, c, h / k, w / k): the largest of the first axis is the pool's value."""
    height, width = pair(layer.kernel_size)
    rows, columns = images.size(2) // height, images.size(3) // width
    cut = images[:, :, : rows * height, : columns * width].unflatten(2, (rows, height)).unflatten(4, (columns, width))
    apart = cut.permute(3, 5, 0, 2, 4, 1).contiguous().flatten(0, 1)  # channels last
    return apart.permute(0, 1, 4, 2, 3)


class Parts:
    """The products of a rewritten network for one batch, and their sums.

    Each is (z0, z1[, z2]) in the order of centre and directions.
    """

    def __init__(self, slots: Sequence[Slot], tensors: list[tuple[Tensor, ...]]) -> None:
        self.slots, self.tensors = slots, tensors
        self.rows = [parts[0] for parts in tensors]
        self.row: float | None = None

    @property
    def bytes(self) -> int:
        return sum(part.numel() * part.element_size() for parts in self.tensors for part in parts)

    def place(self, a: float, b: float) -> None:
        """Put what the first layers give at a point into their slots."""
        if b != self.row and len(self.tensors) and len(self.tensors[0]) == 3:
            self.rows = [torch.add(parts[0], parts[2], alpha=b) for parts in self.tensors]
        self.row = b
        for slot, row, parts in zip(self.slots, self.rows, self.tensors, strict=True):
            together = torch.add(row, parts[1], alpha=a)
            slot.now = together.amax(0) if slot.product.pool else together


class Rewritten:
    """A network of its own whose first layers give sums of products; everything else is as it was."""

    def __init__(self, model: nn.Module, rewriting: Rewriting) -> None:
        self.model, self.rewriting = model, rewriting
        self.layers = dict(model.named_modules())
        self.forwards: dict[str, Callable[..., Tensor]] = {}
        self.slots = [Slot(product) for product in rewriting.products]
        for slot in self.slots:
            self._replace(slot.product.layer, slot)
            for name in (*slot.product.drawn_in, *filter(None, [slot.product.pool])):
                self._replace(name, as_it_is)
        for activation, pool in rewriting.swaps:
            self._swap(activation, pool)
        for name in rewriting.in_place:
            self.layers[name].inplace = True  # pyright: ignore[reportArgumentType]  # what torch calls it

    def _replace(self, name: str, forward: Callable[..., Tensor]) -> None:
        self.forwards[name] = self.layers[name].forward
        self.layers[name].forward = forward

    def _swap(self, activation: str, pool: str) -> None:
        bend, largest = self.layers[activation].forward, self.layers[pool].forward
        self._replace(activation, as_it_is)
        self._replace(pool, lambda images: bend(largest(images)))

    @contextmanager
    def _as_it_was(self) -> Iterator[None]:
        replaced = {name: self.layers[name].forward for name in self.forwards}
        for name, forward in self.forwards.items():
            self.layers[name].forward = forward
        try:
            yield
        finally:
            for name, forward in replaced.items():
                self.layers[name].forward = forward

    def parts(self, images: Tensor, centre: Weights, directions: Sequence[Weights]) -> Parts:
        """The products of a batch (n, c, h, w)."""
        if not self.slots:
            return Parts([], [])
        given = self._given(images)
        with self._as_it_was():
            made = [self._products(slot.product, given[slot.product.layer], (centre, *directions)) for slot in self.slots]
        return Parts(self.slots, made)

    def _given(self, images: Tensor) -> dict[str, Tensor]:
        """What each first layer reads: the network runs as far as the last of them, with any weights."""
        given: dict[str, Tensor] = {}
        last = len(self.slots)

        def keep(slot: Slot) -> Callable[..., None]:
            def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
                given[slot.product.layer] = inputs[0]
                if len(given) == last:
                    raise Enough

            return hook

        handles = [self.layers[slot.product.layer].register_forward_pre_hook(keep(slot)) for slot in self.slots]
        try:
            with self._as_it_was():
                self.model(images)
        except Enough:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return given

    def _products(self, product: Product, given: Tensor, sets: Sequence[Weights]) -> tuple[Tensor, ...]:
        layer = self.layers[product.layer]
        keys = [key for key, _ in layer.named_parameters()]
        own = [{key: weights[f"{product.layer}.{key}"] for key in keys} for weights in sets]
        made = [functional_call(layer, weights, (given,)) for weights in own]
        for name in product.drawn_in:
            shift = self.layers[name](torch.zeros_like(made[0]))
            made = [self.layers[name](made[0]), *(self.layers[name](part) - shift for part in made[1:])]
        pool = self.layers[product.pool] if product.pool else None
        return tuple(windows(part, pool) for part in made) if isinstance(pool, nn.MaxPool2d) else tuple(made)


class Enough(Exception):  # noqa: N818  # no error: the network has gone as far as is needed
    """Stops a forward pass."""


def as_it_is(given: Tensor) -> Tensor:
    return given


@torch.no_grad()
def same_values(
    model: nn.Module, rewriting: Rewriting, centre: Weights, directions: Sequence[Weights], images: Tensor
) -> bool:
    """Whether the rewritten network gives the original's logits at two places of the plane."""
    from copy import deepcopy  # noqa: PLC0415

    other = Rewritten(deepcopy(model), rewriting)
    parts = other.parts(images, centre, directions)
    idle = rewriting.idle(model)
    for a, b in PLACES:
        here = moved({name: tensor.double() for name, tensor in centre.items()}, list(zip((a, b), directions, strict=False)))
        parts.place(a, b)
        rest = {name: tensor for name, tensor in here.items() if name not in idle}
        if not close(functional_call(other.model, rest, (images,)), functional_call(model, here, (images,))):
            return False
    return True


def close(a: Tensor, b: Tensor) -> bool:
    """Equal up to rounding, relative to the largest value."""
    return a.shape == b.shape and bool((a - b).abs().max() <= TOLERANCE * (b.abs().max() + 1e-300))
