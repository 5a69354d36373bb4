"""What a person at a terminal, or the reader of a log, sees of a training."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from tqdm import tqdm

from lab.events import Epoch, Event, Learned
from lab.training import Training


def with_bar(events: Iterator[Event], session: Training) -> Iterator[Event]:
    """The same events; a bar on a terminal, a line at the start and per epoch elsewhere."""
    terminal = sys.stderr.isatty()
    if not terminal:
        print(f"{beginning(session)} ...", file=sys.stderr, flush=True)
    for warning in filter(None, (files_skipped(session), one_step_an_epoch(session))):
        print(warning, file=sys.stderr, flush=True)
    with tqdm(total=session.steps, initial=session.step, unit="step", disable=not terminal) as bar:
        for event in events:
            if isinstance(event, Learned):
                bar.write(f"{event.option} has learned for {event.seconds:.1f} s", file=sys.stderr)
            if isinstance(event, Epoch):
                line = f"epoch {event.epoch + 1}/{session.recipe.epochs}: {_scores(event)}"
                bar.set_postfix_str(_scores(event), refresh=False) if terminal else print(
                    line, file=sys.stderr, flush=True
                )
            bar.update(session.step - bar.n)
            yield event


def beginning(session: Training) -> str:
    """What begins, and where: `cnn on digits, 45,226 parameters: 5 epochs of 1,257 images in 100 steps, ...`."""
    started, recipe, images = session.started(), session.recipe, len(session.train_split)
    epochs = f"{recipe.epochs} epoch{'s' * (recipe.epochs != 1)} of {images:,} images"
    what = f"{recipe.model.name} on {recipe.data.name}, {started.parameters:,} parameters"
    looks, steps = len(session.validation_split), f"{started.steps:,} step{'s' * (started.steps != 1)}"
    return f"{what}: {epochs} in {steps}, {looks:,} validation image{'s' * (looks != 1)}, on {started.device}"


def files_skipped(session: Training) -> str:
    """Said where files of a person's own could not be read and were left out, as asked; empty elsewhere."""
    skipped = list(session.data.skipped)
    if not skipped:
        return ""
    more = f", and {len(skipped) - 1:,} more (all in run.json)" if len(skipped) > 1 else ""
    return f"Skipped, as it cannot be read: {skipped[0]}{more}."


def one_step_an_epoch(session: Training) -> str:
    """Said where a batch has room for more than all training images; empty elsewhere."""
    images, size = len(session.train_split), session.batch_size
    if size <= images:  # batch_gd, and whoever asks for a batch of just all images, means it
        return ""
    smaller = max(1, images // 8)
    return (
        f"A batch of {size:,} holds all {images:,} training images, so an epoch is a single step: "
        f"for more steps, take smaller batches (batch_size={smaller}) or more epochs."
    )


def _scores(epoch: Epoch) -> str:
    return (
        f"loss {short_loss(epoch.train_loss)}, validation loss {short_loss(epoch.validation_loss)}, "
        f"accuracy {epoch.validation_accuracy:.4f}, {others(epoch)}{epoch.seconds:.1f} s"
    )


def short_loss(loss: float) -> str:
    """Four digits after the point, of one that is huge only as many as there is room for."""
    return f"{loss:.4f}" if abs(loss) < 100 else f"{loss:.4g}"


def others(epoch: Epoch) -> str:
    """`source 0.9851, gap 0.3702, `: what the objective has measured beside; nothing where it has nothing."""
    return f"{epoch.beside_words}, " if epoch.beside else ""


def time_words(seconds: float) -> str:
    """`12 s`, `3 min`, `1 h 20 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
