"""Loss and accuracy at many places of a plane, fast, with the numbers of a plain loop up to rounding.

What makes it fast: the network's first layers are combined from products that are made once (`rewriting`), all other
weights of a block of points are made in one sum, batches are so small that they stay in the cache, many points' logits
become losses at once, and no loader stands in between.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lab.arithmetic import flops_per_image
from lab.landscape.blocks import Block
from lab.landscape.planes import Plane, check_alike
from lab.landscape.rewriting import rewriting_of
from lab.landscape.rewritten import Parts, Rewriting, Rewritten
from lab.landscape.samples import Samples
from lab.landscape.trails import at_once, only_stops
from lab.landscape.weights import Weights
from lab.steps import enough_threads
from lab.views import BatchNormMode

CACHE_BYTES = 2 * 2**20  # what the largest activation of a batch may take
BLOCK_POINTS = 64  # evaluated together
WEIGHTS_BYTES = 64 * 2**20  # of the weights of one block
PRODUCTS_BYTES = 64 * 2**20  # kept from block to block; larger ones are made anew for each
LOGITS_BYTES = 2**20  # before they become losses
GROUP_FLOPS = 2e9  # between two chances to stop
LEAST_POINTS = 4  # in a block, for products to pay
PAUSE_SECONDS = 0.04  # between two chances to stop
SMALLEST_BATCH, LARGEST_BATCH = 8, 2048
PROBE = 8  # images on which the rewriting is found


@dataclass(frozen=True)
class Values:
    """What was measured at some points, (n,) each, over all samples.

    loss: mean nats. accuracy: fraction. error: standard error of the loss as that of the whole split, of which the
    samples were drawn without repetition (0 for all of it). difference_error: standard error of the loss minus the
    loss at the plane's centre, on the same samples: what a shape, not a height, is uncertain by.

    Source: Cochran, Sampling Techniques, 1977, section 2.6 (finite population).
    """

    loss: np.ndarray
    accuracy: np.ndarray
    error: np.ndarray
    difference_error: np.ndarray


COLUMNS = ("loss", "accuracy", "error", "difference_error")
NOTHING = Values(*(np.empty(0) for _ in COLUMNS))
NO_INDICES = np.empty(0, dtype=int)
Found = tuple[np.ndarray, Values]


class Evaluator:
    """Evaluates a network anywhere on a plane. It has a network of its own: the one given is only read.

    stored: batch normalisation uses the statistics that the network has learned, at every point, as evaluation does.
    batch: it uses those of each batch, as training does; `batch_size` and the order of the samples, which is random,
    then are a part of the result, and only whole batches are used. Dropout is off in both.

    Memory, beyond a copy of the network and the plane: `bytes`.

    Args:
        model: the network; its buffers belong to the centre.
        samples: what it is evaluated on.
        batch_size: images at once; by default the most that stays in the cache, or 128 in mode `batch`.
        dtype: float32; float64 for a reference; bfloat16 for mixed precision: weights and products stay float32, layers
            behind the first take bfloat16, as a training with autocast does. Its values are off by some tenths of a
            percent: `in_float32` tells.
    Raises:
        ValueError: an unknown mode, a plane of another network, or fewer samples than a batch.
    """

    def __init__(
        self,
        model: nn.Module,
        plane: Plane,
        samples: Samples,
        *,
        batchnorm: BatchNormMode = "stored",
        batch_size: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if batchnorm not in ("stored", "batch"):
            raise ValueError(f"Unknown batchnorm {batchnorm!r}. Expected one of: stored, batch.")
        check_alike(plane.centre, dict(model.named_parameters()), "the network")
        self.mixed = dtype == torch.bfloat16
        self.plane, self.dtype = plane, torch.float32 if self.mixed else dtype
        self.device = samples.labels.device
        self.batchnorm: BatchNormMode = batchnorm
        network = deepcopy(model).to(self.device, torch.float64).eval()
        probe = samples.batch(slice(0, PROBE), torch.float64)
        self.flops, self.normed = flops_per_image(network, probe), has_batchnorm(network)
        self.batch_size = batch_size or (128 if batchnorm == "batch" else batch_in_cache(network, probe, dtype))
        if batchnorm == "batch":
            use_batch_statistics(network)
        self.samples = self._usable(samples)
        self._prepare(network, probe)
        self._centre: Tensor | None = None  # (n,) losses of the samples at the plane's centre
        self._kept: dict[int, Batch] = {}

    def _prepare(self, network: nn.Module, probe: Tensor) -> None:
        """Find what can be rewritten in float64, then go over to the type asked for."""
        plane = self.plane
        exact = [on(weights, self.device, torch.float64) for weights in (plane.centre, *plane.directions)]
        with torch.no_grad():
            self.classes = network(probe).size(1)
        each = torch.finfo(self.dtype).bits // 8 * sum(tensor.numel() for tensor in plane.centre.values())
        self.block = max(1, min(BLOCK_POINTS, WEIGHTS_BYTES // each))
        pays = self.block >= LEAST_POINTS
        self.rewriting = rewriting_of(network, exact[0], exact[1:], probe) if pays else Rewriting()
        self._lay_out(network, [on(weights, self.device, self.dtype) for weights in exact])

    def _lay_out(self, network: nn.Module, sets: list[Weights]) -> None:
        self._sets = sets
        network.to(self.dtype).to(memory_format=self.samples.memory_format)  # pyright: ignore[reportCallIssue]
        self.network = Rewritten(network.requires_grad_(requires_grad=False), self.rewriting)
        self.weights = Block(network, self._sets, self.rewriting.idle(network), self.block)

    def carried_to(self, weights: Weights, model: nn.Module) -> Evaluator:
        """One for the parallel plane through these weights, without looking for what may be left out again.

        Args:
            model: the same network; its buffers belong to the weights.
        Raises:
            ValueError: the weights belong to another network.
        """
        other = copy(self)
        other.plane, other._centre, other._kept = self.plane.carried_to(weights), None, {}
        network = deepcopy(model).to(self.device).eval()
        network.load_state_dict(other.plane.centre, strict=False)  # also what rests on the plane: products hold it
        if self.batchnorm == "batch":
            use_batch_statistics(network)
        other._lay_out(network, [on(other.plane.centre, self.device, self.dtype), *self._sets[1:]])
        return other

    def with_samples(self, samples: Samples) -> Evaluator:
        """The same one on other samples of the same data. Raises ValueError where they are fewer than a batch."""
        other = copy(self)
        other.samples, other._centre, other._kept = self._usable(samples), None, {}
        return other

    def _usable(self, samples: Samples) -> Samples:
        return whole_batches(samples, self.batch_size) if self.batchnorm == "batch" else samples

    @property
    def precision(self) -> str:
        """Of the arithmetic."""
        return str(torch.bfloat16 if self.mixed else self.dtype).removeprefix("torch.")

    def in_float32(self) -> Evaluator:
        """The same one without mixed precision: what its values are off by is seen beside this one's."""
        other = copy(self)
        other.mixed, other._centre = False, None
        return other

    def rest(self) -> None:
        """Let go of the products; they are made again where they are needed."""
        self._kept.clear()

    @property
    def held(self) -> int:
        """Bytes that it holds now beside its samples, which several may share: network, plane, weights of a block, and
        the products that are kept.
        """
        plane = sum(tensor.nbytes for weights in self._sets for tensor in weights.values())
        network = plane // len(self._sets)
        products = sum(batch.bytes for batch in self._kept.values())
        return network + plane + self.weights.bytes + products

    @property
    def bytes(self) -> int:
        """The most that is held while points are evaluated: samples, weights, products and what a block gives."""
        values = len(self.samples) * self.block * (torch.finfo(self.dtype).bits // 8 + 1)
        products = PRODUCTS_BYTES + self._batch(0).bytes
        return self.samples.images.numel() + self.weights.bytes + products + values + 2 * LOGITS_BYTES

    def __call__(self, points: Sequence[tuple[float, float]] | np.ndarray) -> Iterator[Found]:
        """Evaluate points, in blocks.

        Yields:
            (indices, values): of the points that are now known; often of none, which is a chance to stop. Between two
            of them lies less than 0.1 s of work, or one batch at one point where that takes longer.

        Args:
            points: (n, 2) coordinates on the plane; on a line the second ones do not count.
        """
        places = np.asarray(points, dtype=float).reshape(-1, 2)
        if self._centre is None:
            self._centre = (yield from self._block(np.zeros((1, 2))))[0][0]
        order = np.lexsort((places[:, 0], places[:, 1]))  # a row of points shares what depends on b
        for start in range(0, len(order), self.block):
            indices = order[start : start + self.block]
            losses, hits = yield from self._block(places[indices])
            yield indices, self._values(losses, hits)

    def values(self, points: Sequence[tuple[float, float]] | np.ndarray) -> Values:
        """All points at once, in the order given."""
        found = [part for part in self(points) if len(part[0])]
        if not found:
            return NOTHING
        order = np.argsort(np.concatenate([indices for indices, _ in found]))
        return Values(*(np.concatenate([getattr(part, name) for _, part in found])[order] for name in COLUMNS))

    def losses(self, points: Sequence[tuple[float, float]] | np.ndarray) -> Tensor:
        """(points, samples) the loss of each sample at each point, in nats: for errors of what is made of several."""
        return at_once(self.measuring(points))

    def measuring(self, points: Sequence[tuple[float, float]] | np.ndarray) -> Generator[None, None, Tensor]:
        """The same with chances to stop."""
        places = np.asarray(points, dtype=float).reshape(-1, 2)
        blocks: list[Tensor] = []
        for start in range(0, len(places), self.block):
            block = yield from only_stops(self._block(places[start : start + self.block]))
            blocks.append(block[0])
        return torch.cat(blocks)

    def _block(self, places: np.ndarray) -> Generator[Found, None, tuple[Tensor, Tensor]]:
        """Chances to stop; in the end the losses (points, n), and whether each sample was right, likewise."""
        losses = torch.empty(len(places), len(self.samples), dtype=self.dtype, device=self.device)
        hits = torch.empty(losses.shape, dtype=torch.bool, device=self.device)
        self.weights.fill(places)
        stopped = time.perf_counter()
        for number in range(-(-len(self.samples) // self.batch_size)):
            batch = self._batch(number)
            size = len(batch.labels)
            together = max(1, int(min(LOGITS_BYTES / (8 * self.classes * size), GROUP_FLOPS / (self.flops * size + 1))))
            for start in range(0, len(places), together):
                rows = slice(start, start + together)
                losses[rows, batch.part], hits[rows, batch.part] = self._group(batch, places[rows], start)
                if time.perf_counter() - stopped > PAUSE_SECONDS:
                    yield NO_INDICES, NOTHING
                    stopped = time.perf_counter()
        return losses, hits

    @torch.inference_mode()
    def _group(self, batch: Batch, places: np.ndarray, first: int) -> tuple[Tensor, Tensor]:
        """(points, b) losses of a batch at some points of the block, and whether each image was right."""
        logits = torch.empty(len(places), self.classes, len(batch.labels), dtype=self.dtype, device=self.device)
        mixed = torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed)
        with enough_threads(self.device, 3 * self.flops * self.batch_size), mixed:
            for index, (a, b) in enumerate(places.tolist()):
                self.weights.lend(first + index)
                batch.parts.place(a, b)
                logits[index] = self.network.logits(batch.images)
            return losses_and_hits(logits, batch.labels)

    @torch.inference_mode()
    def _batch(self, number: int) -> Batch:
        """Images, labels and products; kept for the next block where all of them are small."""
        if number in self._kept:
            return self._kept[number]
        part = slice(number * self.batch_size, min((number + 1) * self.batch_size, len(self.samples)))
        with enough_threads(self.device, 3 * self.flops * self.batch_size):
            images = self.samples.batch(part, self.dtype)
            batch = Batch(
                part, images, self.samples.labels[part], self.network.parts(images, self._sets[0], self._sets[1:])
            )
        if batch.bytes * len(self.samples) <= PRODUCTS_BYTES * len(images):
            self._kept[number] = batch
        return batch

    def _values(self, losses: Tensor, hits: Tensor) -> Values:
        assert self._centre is not None
        exact, share = losses.double(), (self.samples.unseen / len(self.samples)) ** 0.5
        above = exact - self._centre.double()
        columns = (exact.mean(1), hits.double().mean(1), exact.std(1) * share, above.std(1) * share)
        return Values(*(column.cpu().numpy() for column in columns))


@dataclass(frozen=True)
class Batch:
    """Some of the samples: where they stand, what the network sees, and the products of its first layers."""

    part: slice
    images: Tensor
    labels: Tensor
    parts: Parts

    @property
    def bytes(self) -> int:
        return self.images.numel() * self.images.element_size() + self.parts.bytes


def losses_and_hits(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (points, classes, n) -> losses (points, n) in nats, and whether the (first) largest one was right."""
    largest, which = logits.max(1)
    right = logits.gather(1, labels.expand(len(logits), 1, -1)).squeeze(1)
    losses = (logits - largest[:, None]).exp_().sum(1).log_().add_(largest).sub_(right)
    return losses, which == labels


def use_batch_statistics(network: nn.Module) -> None:
    """Batch normalisation with the statistics of each batch; none move, and a single number keeps the stored ones."""
    for layer in network.modules():
        if is_batchnorm(layer):
            layer.training, layer.track_running_stats = True, False


def has_batchnorm(network: nn.Module) -> bool:
    return any(map(is_batchnorm, network.modules()))


def is_batchnorm(layer: nn.Module) -> TypeGuard[_BatchNorm]:
    return isinstance(layer, _BatchNorm)


def whole_batches(samples: Samples, size: int) -> Samples:
    """As many samples as fill batches. Raises ValueError where there is not one."""
    if len(samples) < size:
        raise ValueError(f"{len(samples)} samples make no batch of {size}: use more samples or a smaller batch_size.")
    return samples.first(len(samples) // size * size)


@torch.no_grad()
def batch_in_cache(network: nn.Module, probe: Tensor, dtype: torch.dtype) -> int:
    """The power of two at which the largest thing that a layer gives stays in a CPU's cache; 8 to 2,048."""
    largest = [0]

    def measure(_: nn.Module, given: tuple[Any, ...], gave: Any) -> None:
        if isinstance(gave, Tensor) and gave.data_ptr() != given[0].data_ptr():  # a view takes no room
            largest.append(gave[0].numel() * torch.finfo(dtype).bits // 8)

    handles = [layer.register_forward_hook(measure) for layer in network.modules() if not list(layer.children())]
    network(probe)
    for handle in handles:
        handle.remove()
    fits = max(1, CACHE_BYTES // max(largest))
    return min(LARGEST_BATCH, max(SMALLEST_BATCH, 2 ** (fits.bit_length() - 1)))


def on(weights: Weights, device: torch.device, dtype: torch.dtype) -> Weights:
    return {name: tensor.to(device, dtype) for name, tensor in weights.items()}
