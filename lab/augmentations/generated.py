"""Pictures that nobody took: a small conditional variational autoencoder, taught on the training split alone."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from lab.augmentations.chain import augmentations
from lab.augmentations.learning import learners, prices
from lab.catalogue import Knob
from lab.data.batches import to_float
from lab.initializers import one_thread

TEACHING_BATCH = 128
TEACHING_RATE = 0.003
UPDATES_AT_ONCE = 20  # a few hundredths of a second on a CPU

Share = Annotated[float, Field(ge=0, le=1, description="share of the samples that are replaced"), Knob(0, 1)]
Latent = Annotated[int, Field(ge=1, le=1024, description="numbers that stand for a picture"), Knob(2, 64, log=True)]
Width = Annotated[int, Field(ge=1, le=10_000, description="units of the one hidden layer"), Knob(16, 1024, log=True)]
Steps = Annotated[
    int,
    Field(ge=1, le=1_000_000, description="updates of the generator, of 128 images each"),
    Knob(100, 10_000, log=True),
]


class Decoder(nn.Module):
    """p(x | z, y): codes (n, latent) and shares of classes (n, classes) -> images (n, c, h, w) from 0 to 1."""

    def __init__(self, shape: tuple[int, ...], classes: int, latent: int, width: int) -> None:
        super().__init__()
        self.shape, self.latent = shape, latent
        self.layers = two_layers(latent + classes, width, math.prod(shape))

    def logits(self, codes: Tensor, shares: Tensor) -> Tensor:
        """(n, pixels)"""
        return self.layers(torch.cat([codes, shares], 1))

    def forward(self, codes: Tensor, shares: Tensor) -> Tensor:
        return self.logits(codes, shares).sigmoid().unflatten(1, self.shape)


@augmentations.add
def generated(
    images: Tensor,
    generator: torch.Generator,
    shares: Tensor,
    decoder: Decoder,
    *,
    share: Share = 0.25,
    latent: Latent = 8,
    width: Width = 128,
    steps: Steps = 1000,
) -> Tensor:
    """Replace samples by new pictures of their class, from a generator that learned on the training split.

    x <- mean of p(x | z, y), z ~ N(0, 1) drawn anew for every batch, y the label, which stays
    learned before the first step:  min KL(q(z | x, y) || N(0, 1)) - E log p(x | z, y), the pixels being Bernoulli

    A conditional variational autoencoder with one hidden layer on each side. What its learning costs is bounded by its
    settings, is told as the run begins and counts in the run's seconds and FLOPs. From few images it learns little more
    than these images: `lab.copies` looks whether it copies them.

    Source: Kingma & Welling 2014, arXiv 1312.6114, section 3 and appendix C.1; Sohn et al., NeurIPS 2015.
    """
    replaced = torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < share
    codes = torch.randn(len(images), decoder.latent, generator=generator, device=images.device)
    with torch.no_grad(), one_thread():
        pictures = decoder(codes, shares.float())
    return torch.where(replaced, pictures.to(images), images)


def teach_decoder(
    images: Tensor,
    labels: Tensor,
    classes: int,
    generator: torch.Generator,
    *,
    latent: int,
    width: int,
    steps: int,
) -> Generator[None, None, Decoder]:
    """Train encoder and decoder together; the decoder is kept. Stops after every few updates, so that one may leave.

    Args:
        images: uint8 (n, c, h, w); labels: (n,).
    """
    shape, device = tuple(images.shape[1:]), images.device
    with torch.random.fork_rng(devices=[]):  # layers draw throw-away weights from the global stream
        encoder = two_layers(math.prod(shape) + classes, width, 2 * latent).to(device)
        decoder = Decoder(shape, classes, latent, width).to(device)
    weights = [*encoder.parameters(), *decoder.parameters()]
    draw_weights(weights, generator)
    optimizer = torch.optim.Adam(weights, lr=TEACHING_RATE)
    for first in range(0, steps, UPDATES_AT_ONCE):
        if first:
            yield
        with one_thread():  # not while others work, who may want more
            for _ in range(min(UPDATES_AT_ONCE, steps - first)):
                index = torch.randint(
                    len(images), (min(TEACHING_BATCH, len(images)),), generator=generator, device=device
                )
                pixels = to_float(images[index], torch.float32).flatten(1)
                shares = functional.one_hot(labels[index], classes).float()
                optimizer.zero_grad()
                negative_bound(encoder, decoder, pixels, shares, generator).backward()
                optimizer.step()
    return decoder.requires_grad_(False)  # noqa: FBT003  # torch's signature


learners["generated"] = teach_decoder


def price_of_teaching(
    shape: tuple[int, ...], classes: int, images: int, *, latent: int, width: int, steps: int
) -> float:
    """Two operations for each weight and image, and twice that backward."""
    pixels = math.prod(shape)
    weights = width * (pixels + classes + 2 * latent) + width * (latent + classes + pixels)
    return 3 * 2.0 * weights * min(TEACHING_BATCH, images) * steps


prices["generated"] = price_of_teaching


def negative_bound(
    encoder: nn.Module, decoder: Decoder, pixels: Tensor, shares: Tensor, generator: torch.Generator
) -> Tensor:
    """Mean over (n, pixels) pictures of what the evidence lower bound lacks to 0, in nats.

    KL = -1/2 sum(1 + log s^2 - m^2 - s^2);  z = m + s e, e ~ N(0, 1)

    Source: Kingma & Welling 2014, arXiv 1312.6114, eqs. 4 and 10.
    """
    mean, log_variance = encoder(torch.cat([pixels, shares], 1)).chunk(2, 1)
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)
    logits = decoder.logits(mean + (log_variance / 2).exp() * noise, shares)
    rebuilt = functional.binary_cross_entropy_with_logits(logits, pixels, reduction="sum")
    divergence = -(1 + log_variance - mean.square() - log_variance.exp()).sum() / 2
    return (rebuilt + divergence) / len(pixels)


def two_layers(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))


@torch.no_grad()
def draw_weights(weights: list[nn.Parameter], generator: torch.Generator) -> None:
    """He's weights and no biases, drawn from the generator."""
    for weight in weights:
        if weight.ndim > 1:
            weight.normal_(0, math.sqrt(2 / weight.shape[1]), generator=generator)
        else:
            weight.zero_()
