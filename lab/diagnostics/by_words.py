"""Images found by words alone, of a run whose objective is `image_and_words`."""

from __future__ import annotations

from typing import Literal

from lab.data.domains import pixels_of
from lab.diagnostics.predictions import filled
from lab.objectives.words import ImageAndWords, nearest
from lab.runs import Run, RunError


def nearest_images(
    run: Run, text: str, count: int = 5, *, split: Literal["train", "validation"] = "validation", device: str = "cpu"
) -> list[int]:
    """Places in the split of the images whose content is nearest to a text, the nearest first.

    argmax over images of cos(image, words) ; the text may be a new combination of words that the run knows

    Raises:
        RunError: the run has learned no words; ValueError: it knows none of these.

    Source: Radford et al. 2021, arXiv 2103.00020.
    """
    if run.recipe.objective.name != "image_and_words":
        raise RunError(f"The objective of this run is {run.recipe.objective.name}: train one with image_and_words.")
    session = filled(run, device, count_look=False)
    assert isinstance(session.objective, ImageAndWords)
    images = session.prepare(pixels_of(getattr(session.data, split)))
    session.model.eval()
    return nearest(session.model, session.objective, text, images, count)  # pyright: ignore[reportArgumentType]
