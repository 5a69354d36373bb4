"""What a run has forgotten of the task that its weights came from: its network on the source's own test images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from lab.runs import Run, open_run
from lab.sentences import in_points
from lab.store import RunError
from lab.training import Training
from lab.transfer.files import TRUNK
from lab.transfer.matching import last_layer_name
from lab.trials import missed_by
from lab.verdicts import Interval, interval


@dataclass(frozen=True)
class Forgotten:
    """Accuracy on the source's test images with the source's weights, and with the run's in their place.

    interval: of before - after, over the images; images: how many; own_head: whether the run's last layer answered,
    which it does where both tell the same classes apart; else the source's did, on the run's features.
    """

    before: float
    after: float
    interval: Interval
    images: int
    own_head: bool

    def __str__(self) -> str:
        head = "its own last layer" if self.own_head else "the source's last layer, as the classes are others"
        lost, *span = in_points([self.before - self.after, self.interval.low, self.interval.high])
        seen = f"{100 * self.before:.1f}% before, {100 * self.after:.1f}% now, with {head}"
        reach = f"95% interval over images {' to '.join(span)}"
        return f"On the {self.images:,} test images of the source: {seen}; forgotten: {lost} points ({reach})."


def forgotten(run: Run, device: str | None = None) -> Forgotten:
    """Look at the test images of the run that this one took its weights from; the look is counted there.

    forgotten = accuracy(source's weights) - accuracy(run's weights), both on the source's test images

    Raises:
        RunError: the run took none from an earlier run, has no weights, or another network.

    Source: McCloskey & Cohen 1989, Psychology of Learning and Motivation 24:109 (catastrophic interference).
    """
    source = source_of(run)
    session = Training(source.recipe, device=device)
    source.test(device)  # counts the look, and says what is wrong with its weights
    own_head = tuple(session.data.classes) == tuple(Training(run.recipe, device="cpu").data.classes)
    assert source.weights is not None
    session.model.load_state_dict(source.weights)
    before = missed_by(session)
    session.model.load_state_dict(in_place(session, run.weights or {}, own_head=own_head))
    after, count = missed_by(session), len(session.data.test)
    differences = np.zeros(count)
    differences[list(after)] += 1
    differences[list(before)] -= 1
    return Forgotten(1 - len(before) / count, 1 - len(after) / count, interval(differences), count, own_head)


def source_of(run: Run) -> Run:
    """The earlier run. Raises RunError where there is none."""
    if run.recipe.source.name != "run" or run.recipe.transfer.name == "scratch":
        raise RunError("This run took no weights from an earlier run (source: run), so there is nothing to forget.")
    if run.weights is None:
        raise RunError(f"This run ({run.status}) has no weights.")
    return open_run(Path(dict(run.recipe.source)["folder"]).expanduser())


def in_place(session: Training, weights: Mapping[str, Tensor], *, own_head: bool) -> dict[str, Tensor]:
    """The source's tensors with the run's in their place, but for a last layer that tells other classes apart."""
    own, last = session.model.state_dict(), last_layer_name(session.model)
    named = {name.removeprefix(TRUNK): tensor for name, tensor in weights.items()}
    found = {name: named.get(name.removeprefix(TRUNK)) for name in own if own_head or not name.startswith(f"{last}.")}
    fitting = {name: tensor for name, tensor in found.items() if tensor is not None and tensor.shape == own[name].shape}
    if len(fitting) < len(found):
        odd = next(name for name in found if name not in fitting)
        raise RunError(f"The run has another network than its source: {odd} has no place in it, or another shape.")
    return own | fitting
