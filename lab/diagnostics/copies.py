"""Whether generated pictures are copies: how far they lie from the nearest training picture of their class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from lab.augmentations import generated
from lab.data import Split
from lab.recipe import Recipe, RecipeError
from lab.training import Training

OPTION = generated.__name__
NEAR = 0.5  # of the distance at which validation pictures of the class lie: nearer is a copy, or almost one
SOME = 0.05  # more such pictures than the validation split has, as a share, are too many to be chance


@dataclass(frozen=True)
class Copies:
    """Generated pictures, each with its nearest training picture, and as many validation pictures of the same classes.

    generated, nearest: (n, c, h, w) from 0 to 1, on the host; labels: (n,).
    distances, validation: (n,) Euclidean, over all pixels, of generated and of validation pictures to their nearest
        training picture of the class, in units of the median of that class's validation pictures.
    """

    generated: Tensor
    nearest: Tensor
    labels: Tensor
    distances: Tensor
    validation: Tensor
    classes: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """Median distance of the generated pictures; 1 is as far as validation pictures."""
        return float(self.distances.median())

    @property
    def near(self) -> tuple[float, float]:
        """Shares of the generated and of the validation pictures that lie nearer than half as far as is usual."""
        return float((self.distances < NEAR).double().mean()), float((self.validation < NEAR).double().mean())

    @property
    def verdict(self) -> Literal["copies", "copies in part", "does not merely copy"]:
        if self.ratio < NEAR:
            return "copies"
        generated, validation = self.near
        return "copies in part" if generated > validation + SOME else "does not merely copy"

    @property
    def sentence(self) -> str:
        """One sentence: how far, and what that means."""
        found = f"Generated pictures lie {self.ratio:.2f} times as far from their nearest training picture"
        shares = "{:.0%} of them and {:.0%} of the others lie nearer than half as far".format(*self.near)
        end = f" ({shares})" if self.verdict == "copies in part" else ""
        return f"{found} as validation pictures do: the generator {self.verdict}{end}."

    def __str__(self) -> str:
        return self.sentence


@torch.no_grad()
def copies(of: Recipe | Training, *, count: int = 500, device: str | torch.device | None = None) -> Copies:
    """Ask what the generator of a recipe makes, and compare it with the training pictures that it has learned from.

    A picture is generated for each of up to `count` validation pictures, of the same class. The run's own random
    numbers stay untouched. Blurred pictures lie near anything: what is said is no praise of the generator.

    Args:
        device: for a recipe; a training keeps its own.
    Raises:
        RecipeError: the recipe has no generated pictures.
        DataError, DeviceError: no data, or too much of it to learn from; no such device.
    Source: the comparison with held-out data follows Meehan et al. 2020, arXiv 2004.05675.
    """
    session = of if isinstance(of, Training) else Training(of, device=device)
    if OPTION not in session.lessons:
        raise RecipeError(f"This recipe generates no pictures: add {OPTION} to its augment.")
    validation, labels = some(session.validation_split, count, session.device)
    train, train_labels = some(session.train_split, len(session.train_split), session.device)
    decoder, generator = session.lessons[OPTION].content, torch.Generator(session.device).manual_seed(0)
    codes = torch.randn(len(labels), decoder.latent, generator=generator, device=session.device)
    made = decoder(codes, functional.one_hot(labels, len(session.data.classes)).float())
    far, nearest = nearest_of_class(made, labels, train, train_labels)
    usual, _ = nearest_of_class(validation, labels, train, train_labels)
    unit = medians(usual, labels)
    distances, others = (far / unit).cpu(), (usual / unit).cpu()
    return Copies(made.cpu(), train[nearest].cpu(), labels.cpu(), distances, others, session.data.classes)


def some(split: Split, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images (n, c, h, w) from 0 to 1 and labels (n,) at equal distances in a split."""
    chosen = torch.linspace(0, len(split) - 1, min(count, len(split))).long()
    images = split.images
    taken = (
        images[chosen.to(images.device)]
        if isinstance(images, Tensor)
        else torch.stack([images[i] for i in chosen.tolist()])
    )
    return taken.to(device).float() / 255, split.labels.to(device)[chosen.to(device)]


def nearest_of_class(images: Tensor, labels: Tensor, among: Tensor, their_labels: Tensor) -> tuple[Tensor, Tensor]:
    """For each image (n, c, h, w) the distance to the nearest one of its class, and the place of that; (n,) each."""
    distance, place = torch.zeros(len(images), device=images.device), torch.zeros_like(labels)
    for label in labels.unique():
        own, candidates = labels == label, (their_labels == label).nonzero()[:, 0]
        pairs = torch.cdist(images[own].flatten(1), among[candidates].flatten(1), compute_mode=EXACT)
        distance[own], nearest = pairs.min(1)
        place[own] = candidates[nearest]
    return distance, place


EXACT = "donot_use_mm_for_euclid_dist"  # by products equal pictures would not have distance 0


def medians(values: Tensor, labels: Tensor) -> Tensor:
    """(n,) for each place the median of the values with its label."""
    found = {int(label): values[labels == label].median() for label in labels.unique()}
    return torch.stack([found[int(label)] for label in labels]).clamp(min=1e-12)
