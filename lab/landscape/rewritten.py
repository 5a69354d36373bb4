"""A network with its first layers combined from products, and other work left out that does not change its values.

What may be left out is found by `rewriting`; here it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lab.landscape.weights import Weights


@dataclass(frozen=True)
class Product:
    """A first layer, the layers drawn into its products, and the max pool behind them, if there is one."""

    layer: str
    drawn_in: tuple[str, ...] = ()
    pool: str | None = None


@dataclass(frozen=True)
class Rewriting:
    """What is done to a network, by the names of its layers.

    products: first layers.
    swaps: (activation, max pool behind it) that change places, for less work.
    quartered: max pools over 2 x 2 places.
    in_place: activations that may overwrite what they are given.
    head: the linear layer that gives the logits.
    """

    products: tuple[Product, ...] = ()
    swaps: tuple[tuple[str, str], ...] = ()
    quartered: tuple[str, ...] = ()
    in_place: tuple[str, ...] = ()
    head: str | None = None

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
        for pool in rewriting.quartered:
            self._replace(pool, largest_of_four)
        for activation, pool in rewriting.swaps:
            self._swap(activation, pool)
        for name in rewriting.in_place:
            self.layers[name].inplace = True  # pyright: ignore[reportArgumentType]  # what torch calls it
        self.head = self.layers[rewriting.head] if rewriting.head else None
        if rewriting.head:
            self._replace(rewriting.head, as_it_is)

    def _replace(self, name: str, forward: Callable[..., Tensor]) -> None:
        self.forwards.setdefault(name, self.layers[name].forward)
        self.layers[name].forward = forward

    def logits(self, images: Tensor) -> Tensor:
        """(classes, n): classes first, in which losses are taken several times as fast as in rows of ten."""
        given = self.model(images)
        if not isinstance(self.head, nn.Linear):
            return given.T
        logits = self.head.weight @ given.T
        return logits.add_(self.head.bias[:, None]) if "bias" in dict(self.head.named_parameters()) else logits

    def _swap(self, activation: str, pool: str) -> None:
        bend, largest = self.layers[activation].forward, self.layers[pool].forward
        self._replace(activation, as_it_is)
        self._replace(pool, lambda images: bend(largest(images)))

    @contextmanager
    def _as_it_was(self) -> Generator[None]:
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
            made = [
                self._products(slot.product, given[slot.product.layer], (centre, *directions)) for slot in self.slots
            ]
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


class Parts:
    """The products of a rewritten network for one batch, and their sums.

    Each is (z0, z1[, z2]) in the order of centre and directions.
    """

    def __init__(self, slots: Sequence[Slot], tensors: list[tuple[Tensor, ...]]) -> None:
        self.slots, self.tensors = slots, tensors
        # Two buffers that are written again at each point: fresh memory of this size would cost more than the sum.
        self.rows = [torch.empty_like(parts[0]) if len(parts) == 3 else parts[0] for parts in tensors]
        self.sums = [torch.empty_like(parts[0]) for parts in tensors]
        self.row: float | None = None

    @property
    def bytes(self) -> int:
        return sum((len(parts) + 2) * parts[0].numel() * parts[0].element_size() for parts in self.tensors)

    def place(self, a: float, b: float) -> None:
        """Put what the first layers give at a point into their slots, until the next point."""
        if b != self.row:
            for row, parts in zip(self.rows, self.tensors, strict=True):
                if len(parts) == 3:
                    torch.add(parts[0], parts[2], alpha=b, out=row)
            self.row = b
        for slot, row, parts, total in zip(self.slots, self.rows, self.tensors, self.sums, strict=True):
            torch.add(row, parts[1], alpha=a, out=total)
            slot.now = total.amax(0).permute(0, 3, 1, 2) if slot.product.pool else total


def windows(images: Tensor, layer: nn.MaxPool2d) -> Tensor:
    """(n, c, h, w) -> (places of a window, n, h / k, w / k, c): the largest of the first axis is the pool's value."""
    height, width = pair(layer.kernel_size)
    rows, columns = (size - size % step for size, step in zip(images.shape[2:], (height, width), strict=True))
    places = images.permute(0, 2, 3, 1)
    return torch.stack([places[:, i:rows:height, j:columns:width] for i in range(height) for j in range(width)])


def largest_of_four(images: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, h / 2, w / 2): a 2 x 2 max pool in two steps, without the places of the largest."""
    height, width = (size - size % 2 for size in images.shape[2:])
    places = images.permute(0, 2, 3, 1)  # as they lie, with the channels last
    rows = torch.maximum(places[:, 0:height:2], places[:, 1:height:2])
    return torch.maximum(rows[:, :, 0:width:2], rows[:, :, 1:width:2]).permute(0, 3, 1, 2)


def pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))
