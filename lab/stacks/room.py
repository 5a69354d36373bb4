"""How many trainings fit into the memory that is free."""

from __future__ import annotations

import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from lab.steps import EVALUATION_BATCH
from lab.training import Training

ARMS = {"cpu": 32, "cuda": 256}  # in one stack: more fall out of a CPU's cache
IN_TURN = 8  # trainings that are held at once where nothing is stacked
SHARE = 0.5  # of the free memory: the bounds below are rough, and others want some too
KEPT = 4  # numbers for each parameter: itself, its gradient and two moments
KEPT_ALONE = 6  # an optimizer's third one and an average of the weights, which have no place in a stack
COPIES = 2  # and in a stack two more, made and dropped in each update


def arms_that_fit(session: Training, share: float = SHARE) -> int:
    """How many arms a stack of trainings like this one may have, at least 1."""
    limit = ARMS.get(session.device.type, ARMS["cpu"])
    each = (KEPT + COPIES) * bytes_of_parameters(session) + bytes_of_backward(session)
    return max(1, min(limit, int(share * free_bytes(session.device) / each)))


def held_that_fit(session: Training, share: float = SHARE) -> int:
    """How many trainings like this one may be held to take turns, at least 1: only one of them is in a step."""
    free = share * free_bytes(session.device) - bytes_of_backward(session)
    return max(1, min(IN_TURN, int(free / (KEPT_ALONE * bytes_of_parameters(session)))))


def free_bytes(device: torch.device) -> float:
    """What can still be taken on a device; on a CPU without pushing anything out of memory, or a container's limit."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch's own, to take again
        return torch.cuda.mem_get_info(device)[0] + cached
    return min(psutil.virtual_memory().available, container_bytes())


def container_bytes(folder: Path = Path("/sys/fs/cgroup")) -> float:
    """What a container (cgroup v2) may still take; infinite where there is no limit."""
    try:
        limit, taken = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return math.inf if limit == "max" else max(0, int(limit) - int(taken))
    except (OSError, ValueError):
        return math.inf


def bytes_of_parameters(session: Training) -> int:
    return session.dtype.itemsize * max(1, sum(parameter.numel() for parameter in session.model.parameters()))


def bytes_of_backward(session: Training) -> int:
    """A rough upper bound of what a step keeps for the backward pass and makes in it, or an evaluation makes."""
    images = max(4 * session.batch_size, 2 * min(EVALUATION_BATCH, len(session.validation_split)))
    return session.dtype.itemsize * outputs_per_image(session) * images


@torch.no_grad()
def outputs_per_image(session: Training) -> int:
    """Numbers that all layers together give for one image."""
    count, model = 0, deepcopy(session.model).eval()

    def add(_: nn.Module, __: Any, output: Any) -> None:
        nonlocal count
        count += output.numel() if isinstance(output, Tensor) else 0

    for layer in model.modules():
        layer.register_forward_hook(add)
    model(torch.zeros(1, *session.data.shape, dtype=session.dtype, device=session.device))
    return count
