"""What some objectives need beside their function: a part that learns with the network, unlabelled images, more work.

An option with a helper uses no labels: the network's last layer then rests, and is fitted to what the others compute
whenever the network is looked at.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from lab.catalogue import Choice

Helper = Callable[..., nn.Module]  # of (features, pixels of an image), and some settings by name

helpers: dict[str, tuple[Helper, tuple[str, ...]]] = {}  # by option: thrown away when the run has ended
drawing: set[str] = set()  # options that draw unlabelled images
passes: dict[str, Callable[[Choice], float]] = {}  # by option, where it is not one


def without_labels(choice: Choice) -> bool:
    """Whether an objective never looks at a label."""
    return choice.name in helpers


def helper_for(choice: Choice, features: int, pixels: int) -> nn.Module:
    """What learns beside the network."""
    make, settings = helpers[choice.name]
    return make(features, pixels, **{key: getattr(choice, key) for key in settings})


def passes_for(choice: Choice) -> float:
    """Images that go through the network, forward and backward, for each one of the batch."""
    return passes[choice.name](choice) if choice.name in passes else 1.0
