"""Losses that need no label, or few: pure functions of what networks give."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross-entropy: each view has to name its partner among all the other views.

    l_i = -ln( exp(s_ij / t) / sum_{k != i} exp(s_ik / t) ),  s the cosine, j the other view of the same image

    Args:
        first, second: (b, d) two views of the same images, in order.
    Returns:
        () mean over all 2 b views, in nats.
    Source: Chen et al. 2020, arXiv 2002.05709, eq. 1.
    """
    views = functional.normalize(torch.cat([first, second]), dim=1)
    scores = views @ views.T / temperature
    scores = scores.masked_fill(torch.eye(len(views), dtype=torch.bool, device=views.device), float("-inf"))
    partners = torch.arange(len(views), device=views.device).roll(len(first))
    return functional.cross_entropy(scores, partners)


def masked_error(guessed: Tensor, images: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error over what was hidden, and nothing else.

    Args:
        guessed, images: (b, c, h, w); mask: (b, 1, h, w), 1 where the image was hidden.
    Source: He et al. 2022, arXiv 2111.06377, section 3.
    """
    hidden = mask.expand_as(images)
    return ((guessed - images).square() * hidden).sum() / hidden.sum()


def confident_error(certain: Tensor, asked: Tensor, threshold: float) -> Tensor:
    """Cross-entropy with the class that another answer is sure of; where it is not, there is no loss.

    mean_i [ max p_i >= threshold ] ( -ln q_i[argmax p_i] ),  p = softmax(certain), q = softmax(asked)

    Args:
        certain, asked: (b, classes) logits; no gradient flows through `certain`.
    Source: Sohn et al. 2020, arXiv 2001.07685, eq. 4.
    """
    sure, label = certain.detach().softmax(1).max(1)
    errors = functional.cross_entropy(asked, label, reduction="none")
    return (errors * (sure >= threshold)).mean()


def ramp(progress: float, start: float, end: float) -> float:
    """0 before `start`, 1 from `end` on, and a straight line between.

    Example:
        >>> [ramp(progress, 0.25, 0.75) for progress in (0.1, 0.5, 0.75, 1.0)]
        [0.0, 0.5, 1.0, 1.0]
    """
    if progress >= end:
        return 1.0
    return max(0.0, (progress - start) / (end - start))
