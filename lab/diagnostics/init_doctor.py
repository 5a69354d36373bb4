"""The init doctor: signal and gradient of every layer before the first step, and one sentence about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import hypot, isfinite, log, sqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from lab.data.batches import batches
from lab.diagnostics.signals import Trace, traced
from lab.diagnostics.theory import expected_std, flat_share
from lab.diagnostics.verdict import LayerSignal, Look, Trouble, all_well, changes_to_try, trouble_of
from lab.frames import frame_of
from lab.recipe import Recipe, checked
from lab.reports import aligned
from lab.steps import at_least_float32, dropout_stream, enough_threads
from lab.training import Training

if TYPE_CHECKING:
    import pandas as pd

LARGEST_BATCH = 2**22  # pixels looked at: 27 images of 3 x 224 x 224, whose signals still fit in a small memory
LARGEST_WORK = 2e11  # floating-point operations of a pass, as the doctor holds up what trains: seconds of two cores
FEWEST = 4  # images, however large the network
TRIES = 2  # other choices that are tried when something is wrong: three passes in all
ALIKE = 1e-5  # rounding, in float32, of gradients that are equal in exact arithmetic


@dataclass(frozen=True)
class InitReport:
    """What the init doctor found.

    look: the images, the loss and the layers, in the order they run.
    trouble: what is wrong in a word (overflow, identical, silent, vanishing, exploding, fading, loud, saturated, dead)
        or an empty text.
    passes: forward-backward passes that were made, with those of the choices that were tried instead.
    """

    recipe: Recipe
    look: Look
    trouble: str
    sentence: str
    passes: int

    @property
    def layers(self) -> tuple[LayerSignal, ...]:
        return self.look.layers

    def table(self) -> pd.DataFrame:
        """One row per layer, in the order they run."""
        return frame_of([asdict(layer) for layer in self.layers])

    def facts(self) -> dict[str, Any]:
        """For machines; what is not a finite number is None."""
        seen = {"images": self.look.images, "loss": finite(self.look.loss), "chance": self.look.chance}
        layers = [{key: finite(value) for key, value in asdict(layer).items()} for layer in self.layers]
        said = {"sentence": self.sentence, "trouble": self.trouble, "passes": self.passes}
        return {"id": self.recipe.id, **said, **seen, "layers": layers}

    def __str__(self) -> str:
        head = ["", "layer", "its std", "behind it", "std behind", "dead", "flat"]
        head += ["gradient", "weights", "gain", "theory"]
        rows = [[str(place), *cells(layer)] for place, layer in enumerate(self.layers, 1)]
        loss, chance = number(self.look.loss), number(self.look.chance)
        start = f"Before the first step the loss of {self.look.images} images is {loss}; chance is {chance}."
        return "\n".join([aligned([head, *rows]), start, self.sentence])


def examine(recipe: Recipe, *, images: int = 256, device: str | torch.device | None = None) -> InitReport:
    """Look at a recipe's network before its first step: one forward and one backward pass.

    The network is in training mode and a copy of its own, so a run of the recipe is not changed in any bit. The
    images are the first of the recipe's own order, not augmented; of large images, and for large networks, fewer are
    looked at. When something is wrong, up to two other choices are tried, and only what was seen to help is suggested.

    Raises:
        DataError, DeviceError: no data; no such device.
        ValueError: fewer than one image.
    Example:
        >>> examine(Recipe(), device="cpu").sentence
        'Signal and gradient keep their size through all 3 layers.'
    """
    *_, last = examinations(recipe, images=images, device=device)
    return last


def examinations(
    recipe: Recipe, *, images: int = 256, device: str | torch.device | None = None
) -> Iterator[InitReport]:
    """The same for those who watch: what is known after each pass. Whoever wants to stop need not wait for the next."""
    checked(recipe)
    if images < 1:
        raise ValueError(f"images is {images}, but must be at least 1.")
    session = Training(recipe, device=device, data_budget_bytes=0)  # nothing is read but what is looked at
    seen = look(session, images)
    trouble = trouble_of(seen)
    kind, sentence = (trouble.kind, f"{trouble.words}.") if trouble else ("", all_well(seen))
    yield InitReport(recipe, seen, kind, sentence, 1)
    if trouble:
        for passes, advised in enumerate(advice(session, trouble, images), 2):
            yield InitReport(recipe, seen, kind, advised, passes)


def advice(session: Training, trouble: Trouble, images: int) -> Iterator[str]:
    """The sentence on what is wrong after each choice that was tried, until one was seen to help."""
    tried: list[str] = []
    for name, recipe in changes_to_try(session.recipe, trouble)[:TRIES]:
        seen = look(Training(recipe, device=session.device, like=session), images)
        left = trouble_of(seen)
        if left is None or left.is_milder_than(trouble):
            yield f"{trouble.words}; {name} {trouble.mended(seen)}."
            return
        tried.append(name)
        yield f"{trouble.words}; {' and '.join(tried)} {'was' if len(tried) == 1 else 'were'} tried and did not help."


def images_of(session: Training, wanted: int) -> int:
    """As many as are wanted and there, within what a small memory and a moment of a processor can do."""
    channels, height, width = session.data.shape
    in_time = max(FEWEST, int(LARGEST_WORK / max(session.flops_per_image, 1.0)))
    return max(1, min(wanted, len(session.train_split), in_time, LARGEST_BATCH // (channels * height * width)))


def look(session: Training, images: int) -> Look:
    """One forward and one backward pass of a training that is looked at and thrown away."""
    count = images_of(session, images)
    batch, labels = next(batches(session.train_split, session.permutation()[:count], count, session.device))
    seen = session.prepare(batch).requires_grad_()  # so that the gradient also passes frozen layers
    with (
        enough_threads(session.device, session.flops_per_step),
        dropout_stream(session.recipe.seed, 0, session.device),
        traced(session.model, session.recipe.activation) as traces,
    ):
        loss = mean_loss(session, seen, labels)
        loss.backward()
    return Look(count, float(loss.detach()), log(len(session.data.classes)), signals(traces, count))


def mean_loss(session: Training, images: Tensor, labels: Tensor) -> Tensor:
    with session.autocast:
        logits = at_least_float32(session.model(images))
        return functional.cross_entropy(logits, labels, label_smoothing=session.recipe.label_smoothing)


def signals(traces: Sequence[Trace], images: int) -> tuple[LayerSignal, ...]:
    """A record per layer, in the order they ran."""
    return tuple(signal(before, trace, images) for before, trace in zip([None, *traces], traces, strict=False))


def signal(before: Trace | None, trace: Trace, images: int) -> LayerSignal:
    """Gradients are of one image's loss: those of the mean loss shrink with the number of images."""
    behind, weight, gradients = trace.activation, host(trace.weights[0]), gradients_of(trace)
    rms, weight_std = trace.gradient.rms * images, float(weight.std(correction=0))
    measured, expected = gains(before, trace, weight_std)
    return LayerSignal(
        name=trace.name,
        kind=type(trace.layer).__name__,
        units=trace.unit_count,
        mean=trace.output.mean,
        std=trace.output.std,
        activation=type(behind).__name__ if behind else None,
        activation_mean=trace.passed.mean if behind else None,
        activation_std=trace.passed.std if behind else None,
        dead=trace.dead,
        saturated=trace.flat.mean if behind else None,
        usual_saturated=flat_share(behind) if behind else None,
        weight_std=weight_std,
        weight_gradient=hypot(*map(length, gradients)) if gradients else None,
        gradient_rms=rms,
        gradient_norm=rms * sqrt(trace.gradient.count / images),
        gain=measured,
        expected_gain=expected,
        identical=bool(gradients) and same_rows(trace.weights[0].detach(), 0) and same_rows(gradients[0], ALIKE),
    )


def gains(before: Trace | None, trace: Trace, weight_std: float) -> tuple[float | None, float | None]:
    """Size of a layer's output over that of the layer before: measured, and by theory from what came between.

    Theory follows an activation's output into the next layer: of what a norm in between makes of it, it says nothing.
    """
    if before is None or type(before.layer) is not type(trace.layer) or not before.output.std:
        return None, None
    measured = trace.output.std / before.output.std
    if before.activation is None or before.renormed or not isfinite(before.received.std):
        return measured, None
    received, fan_in = before.received, trace.weights[0][0].numel()
    expected = expected_std(before.activation, received.mean, received.std, fan_in, weight_std)
    return measured, expected / before.output.std


def gradients_of(trace: Trace) -> list[Tensor]:
    return [weight.grad.to("cpu") for weight in trace.weights if weight.grad is not None]


def host(values: Tensor) -> Tensor:
    return values.detach().to("cpu", torch.float64)


def length(values: Tensor) -> float:
    """The root of the sum of squares, which may leave float32."""
    return float(torch.linalg.vector_norm(values, dtype=torch.float64))


def same_rows(weight: Tensor, tolerance: float) -> bool:
    """Whether all of at least two rows are equal, up to a share of the largest value."""
    rows = weight.flatten(1)
    if len(rows) < 2 or not (tolerance or torch.equal(rows[0], rows[1])):  # most differ at once
        return False
    return bool((rows - rows[:1]).abs().max() <= tolerance * rows.abs().max())


def cells(layer: LayerSignal) -> list[str]:
    """A layer's line in the printed table."""
    numbers = [layer.gradient_norm, layer.weight_std, layer.gain, layer.expected_gain]
    behind = [layer.activation or "-", number(layer.activation_std), percent(layer.dead), percent(layer.saturated)]
    return [f"{layer.kind} {layer.name}", number(layer.std), *behind, *map(number, numbers)]


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def finite(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value
