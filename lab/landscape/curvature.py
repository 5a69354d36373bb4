"""Curvature of a network's loss: products of its Hessian with vectors, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from lab.arithmetic import flops_per_image
from lab.landscape.eigenpairs import (
    COUNT,
    MOST,
    PROBES,
    TOLERANCE,
    Eigenpairs,
    Trace,
    error_of,
    finite,
    probing,
    seeking,
    unit,
)
from lab.landscape.evaluators import PROBE, batch_in_cache
from lab.landscape.planes import Plane, check_alike, hessian
from lab.landscape.samples import Samples
from lab.landscape.trails import at_once
from lab.landscape.weights import Weights, flat, shaped, trained
from lab.steps import enough_threads

Loss = Callable[[Tensor, Tensor], Tensor]  # logits (b, classes), labels (b,) -> the sum over the images

GRAPH_BYTES = 512 * 2**20  # what the graphs that are kept may take; the others are built anew for each product
NOISE = 0.3  # of a warm start, and
PARTS = 8  # of the samples at least, from whose differences a standard error comes
LEAST_PRODUCTS = 8  # from it: with less of both, a direction that has become the sharpest one stayed unseen
RISE = 1.0  # nats that a parabola of the sharpest curvature rises to the edge of its picture
PRODUCT_FLOPS = 6  # times those of a forward pass: a gradient and its derivative

cross_entropy: Loss = partial(functional.cross_entropy, reduction="sum")


class Curvature:
    """The Hessian H of a network's mean loss over samples, at one place, by its products with vectors.

    product(v) = gradient of (gradient of the loss, times v)        (reverse over reverse)
    The graph of the gradient is kept, so that a product costs about as much as one gradient; as far as all graphs take
    more than `GRAPH_BYTES`, those of the last batches are built anew for each. Batch normalisation uses the statistics
    that the network has learned, dropout is off, there is no augmentation. It has a network of its own: the one given
    is only read. Vectors are (p,), all weights that are not frozen, in the order of their names.

    Args:
        model: the network; its buffers are used.
        samples: what the loss is the mean over.
        weights: by name, the place; by default where the network is.
        loss: logits (b, classes), labels (b,) -> sum over the images; cross-entropy by default.
        batch_size: images at once; decides memory and speed, not the result. What stays in the cache by default.
        dtype: float32, or float64 for a reference.
    Raises:
        ValueError: weights of another network.
    Source: Pearlmutter 1994, doi 10.1162/neco.1994.6.1.147.
    """

    def __init__(
        self,
        model: nn.Module,
        samples: Samples,
        *,
        weights: Mapping[str, Tensor] | None = None,
        loss: Loss = cross_entropy,
        batch_size: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.samples, self.loss, self.dtype, self.device = samples, loss, dtype, samples.labels.device
        self.network = deepcopy(model).to(self.device, dtype).eval()
        if weights is not None:
            place(self.network, weights)
        self.centre: Weights = trained(self.network)
        self.parameters = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        probe = samples.batch(slice(0, PROBE), dtype)
        self.batch_size = batch_size or batch_in_cache(self.network, probe, dtype)
        self.batches = cut(len(samples), self.batch_size)
        self.flops = PRODUCT_FLOPS * flops_per_image(self.network, probe) * self.batch_size
        each = graph_bytes(self.network.parameters(), lambda: self._gradient(slice(0, PROBE))) / len(probe)
        self.kept = int(GRAPH_BYTES / (each * self.batch_size + 1))  # graphs, of whole batches
        self._graphs: dict[int, list[Tensor]] = {}

    @property
    def size(self) -> int:
        """Weights that are not frozen."""
        return sum(tensor.numel() for tensor in self.centre.values())

    def product(self, vector: Tensor) -> Tensor:
        """(p,) -> (p,) the Hessian times a vector, in the type of this curvature."""
        return at_once(self.multiplying(vector))

    def multiplying(self, vector: Tensor) -> Generator[None, None, Tensor]:
        """The same with a chance to stop after each batch."""
        directions = list(shaped(vector, self.centre).values())
        total = torch.zeros(self.size, dtype=self.dtype, device=self.device)
        for number in range(len(self.batches)):
            with enough_threads(self.device, self.flops):
                total += torch.cat([part.reshape(-1) for part in self._product(self._graph(number), directions)])
            yield
        return total / len(self.samples)

    def error(self, vector: Tensor) -> float:
        """Standard error of the curvature v^T H v along a vector, as that of the whole split, over batches of samples.

        For an eigenvector it is the error of the eigenvalue to first order; not in it is that a vector sought on these
        samples is a little sharper on them than on others.
        """
        return at_once(self.erring(vector))

    def erring(self, vector: Tensor) -> Generator[None, None, float]:
        """The same with a chance to stop after each part."""
        sizes: list[int] = []
        along: list[float] = []
        for size, gradient in self._parts() if self.samples.unseen else ():
            along.append(self._along(vector, size, gradient))
            sizes.append(size)
            yield
        return self.samples.error_of_mean(along, sizes)

    def _along(self, vector: Tensor, size: int, gradient: Sequence[Tensor]) -> float:
        """v^T H v of some samples alone."""
        directions = list(shaped(vector, self.centre).values())
        with enough_threads(self.device, self.flops * size / self.batch_size):
            pairs = zip(self._product(gradient, directions), directions, strict=True)
            return float(sum((bent * direction).sum() for bent, direction in pairs)) / size

    def _parts(self) -> Iterator[tuple[int, list[Tensor]]]:
        """How many samples each of `PARTS` parts or more has, and their gradient; the batches where they suffice."""
        count, enough = len(self.samples), len(self.batches) >= PARTS
        for number, part in enumerate(self.batches if enough else cut(count, -(-count // PARTS))):
            yield part.stop - part.start, self._graph(number) if enough else self._gradient(part)

    def _product(self, gradient: Sequence[Tensor], directions: Sequence[Tensor]) -> Sequence[Tensor]:
        """Of one batch, and of the sum of its losses, from the gradient of that."""
        bent = [pair for pair in zip(gradient, directions, strict=True) if pair[0].requires_grad]
        if not bent:
            return [torch.zeros_like(direction) for direction in directions]
        slopes, along = zip(*bent, strict=True)
        return torch.autograd.grad(slopes, self.parameters, along, retain_graph=True, materialize_grads=True)

    def _graph(self, number: int) -> list[Tensor]:
        """The gradient of a batch, from the graphs that are kept or built anew."""
        if number in self._graphs:
            return self._graphs[number]
        gradient = self._gradient(self.batches[number])
        if number < self.kept:
            self._graphs[number] = gradient
        return gradient

    def _gradient(self, part: slice) -> list[Tensor]:
        """Of the sum of the losses of some samples, with the graph that made it."""
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
            logits = self.network(self.samples.batch(part, self.dtype))
            loss = self.loss(logits, self.samples.labels[part])
            return list(torch.autograd.grad(loss, self.parameters, create_graph=True, materialize_grads=True))

    def eigenpairs(
        self,
        *,
        count: int = COUNT,
        tolerance: float = TOLERANCE,
        most: int = MOST,
        seed: int = 0,
        earlier: Eigenpairs | None = None,
    ) -> Eigenpairs:
        """The largest eigenvalues and their vectors, with residuals, by Lanczos.

        Args:
            count: how many. tolerance: of the residuals, as a share of the values. most: products to try.
            earlier: what was found at a place nearby; with it about ten products do.
        Raises:
            ValueError: count below 1, most below count, or a curvature that is not finite.
        """
        return at_once(self.seeking(count=count, tolerance=tolerance, most=most, seed=seed, earlier=earlier))

    def seeking(
        self,
        *,
        count: int = COUNT,
        tolerance: float = TOLERANCE,
        most: int = MOST,
        seed: int = 0,
        earlier: Eigenpairs | None = None,
    ) -> Generator[None, None, Eigenpairs]:
        """The same with chances to stop."""
        like = flat(self.centre)
        generator = torch.Generator().manual_seed(seed)
        start = earlier.start(seed, NOISE).to(like) if earlier else unit(like, generator)
        least = min(LEAST_PRODUCTS, most) if earlier else 0
        wanted = {"count": count, "least": least, "most": most}
        return (yield from seeking(self.multiplying, start, tolerance=tolerance, seed=seed, **wanted))

    def trace(self, *, probes: int = PROBES, seed: int = 0) -> Trace:
        """The sum of all eigenvalues by Hutchinson's estimate, v^T H v on average over vectors v of random signs.

        error^2 = variance over vectors / probes + (probes E - e) / (probes - 1)
        E: the squared standard error over parts of the samples, as that of the whole split, of the mean over vectors.
        e: the same of one vector, on average; with it what depends on vector and part, and is in the first term
        already, is taken out. 0 where all of the split is used.

        Raises:
            ValueError: fewer than 2 probes, or a curvature that is not finite.
        Source: Hutchinson 1990, doi 10.1080/03610919008812866; the two variances: Searle, Casella & McCulloch,
        Variance Components, 1992, section 4.7.
        """
        return at_once(self.tracing(probes=probes, seed=seed))

    def tracing(self, *, probes: int = PROBES, seed: int = 0) -> Generator[None, None, Trace]:
        """The same with chances to stop; the graph of each part of the samples is built once for all vectors."""
        like, sizes = flat(self.centre), []
        found: list[list[float]] = []  # of each part, along each vector
        for size, gradient in self._parts():
            sizes.append(size)
            found.append([])
            for signs in probing(like, probes, seed):
                found[-1].append(self._along(signs, size, gradient))
                yield
            finite(torch.tensor(found[-1]))
        return self._trace(np.array(found), sizes)

    def _trace(self, found: np.ndarray, sizes: Sequence[int]) -> Trace:
        """From v^T H v of each part of the samples along each vector, (parts, probes)."""
        probes, each = found.shape[1], np.average(found, axis=0, weights=sizes)
        together = self.samples.error_of_mean(found.mean(1), sizes) ** 2
        alone = float(np.mean([self.samples.error_of_mean(column, sizes) ** 2 for column in found.T]))
        of_images = max(0.0, probes * together - alone) / (probes - 1)
        return Trace(float(each.mean()), (error_of(each) ** 2 + of_images) ** 0.5, probes)

    def plane(self, pairs: Eigenpairs) -> Plane:
        """The plane of the first two eigenvectors, or the line of the only one, through this place; on the host."""
        centre = {name: tensor.cpu() for name, tensor in self.centre.items()}
        vectors = [shaped(vector.cpu(), centre) for vector in pairs.vectors[:2]]
        found = zip(pairs.values, pairs.residuals, strict=True)
        said = ", ".join(f"{value:.3g} +- {residual:.1g}" for value, residual in list(found)[:2])
        return hessian(centre, vectors, note=f"eigenvalues {said}")


def cut(count: int, size: int) -> list[slice]:
    """All of so many, in parts of one size, the last one perhaps smaller."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def reach_of(sharpest: float, farthest: float) -> float:
    """How far a picture along eigenvectors goes: where a parabola this sharp has risen by RISE, and at most `farthest`.

    reach = sqrt(2 RISE / sharpest eigenvalue)

    Args:
        farthest: the length of the weights; 0 is no limit, and where it is flat too the reach is 1.
    """
    flattest = 2 * RISE / farthest**2 if farthest else 0.0
    return (2 * RISE / (max(sharpest, flattest) or 2 * RISE)) ** 0.5


def place(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put a network where these weights are.

    Raises:
        ValueError: they belong to another network.
    """
    check_alike(trained(network), weights, "the place")
    for name, parameter in network.named_parameters():
        if name in weights:
            parameter.data.copy_(weights[name])


def graph_bytes(weights: Iterable[Tensor], build: Callable[[], object]) -> int:
    """Bytes that a graph keeps beside the weights; memory that is shared counts once."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        memory = tensor.untyped_storage()
        kept[memory.data_ptr()] = memory.nbytes()
        return tensor.detach()  # the tensor itself would hold the graph that holds it

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        built = build()
    own = {tensor.untyped_storage().data_ptr() for tensor in weights}
    del built  # until here it held what was kept, so that no memory was used twice
    return sum(size for address, size in kept.items() if address not in own)
