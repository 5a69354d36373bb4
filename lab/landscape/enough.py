"""How many samples are enough: as few as keep the noise of a picture well below the height of one of its levels."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from math import ceil, inf, log, log2, nan
from typing import NamedTuple

import numpy as np

from lab.landscape.evaluators import Evaluator
from lab.landscape.grids import Grid
from lab.landscape.live_runs import LiveRun
from lab.landscape.planes import Plane
from lab.landscape.samples import samples_of
from lab.landscape.scenes import BANDS, Scale, Scene
from lab.landscape.surfaces import Surface, Survey
from lab.landscape.trails import at_once
from lab.views import BatchNormMode, Lens

PILOT = 128  # samples that tell how noisy the others are
MOST_POINTS = 0.9  # of the coarse grid, at which the noise has to be that small


def enough_samples(evaluator: Evaluator, grid: Grid, share: float) -> int:
    """`choosing` without chances to stop."""
    return at_once(choosing(evaluator, grid, share))


def choosing(evaluator: Evaluator, grid: Grid, share: float) -> Generator[None, None, int]:
    """As many of an evaluator's samples as make standard errors `share` of a level high, or less; all, if too few.

    n = 1 / ((share level / noise)^2 + 1 / total),  noise = standard error of the pilot / sqrt(1 / pilot - 1 / total)
    rounded up to the pilot times a power of two. The pilot are the first 128 samples (one batch, where its statistics
    count and it is larger) at the points of the grid's coarsest level, and its noise is the one that nine of ten of
    these points stay below. Noise is the standard error of a loss minus that at the centre, on the same samples; where
    the picture's scale is logarithmic, that of a loss as a share of it. The same samples, grid and share give the same
    number. There are chances to stop.

    Source: Stein 1945, doi 10.1214/aoms/1177731088 (two stages); Cochran, Sampling Techniques, 1977, section 4.6.
    """
    samples = evaluator.samples
    pilot = pilot_of(evaluator.batchnorm, evaluator.batch_size)
    if not share or pilot >= len(samples):
        return len(samples)
    seen = evaluator.with_samples(samples.first(pilot))
    noise = noise_in_levels((yield from coarsest(seen, grid))) / (1 / len(seen.samples) - 1 / samples.total) ** 0.5
    if not noise < inf:  # nor nan
        return len(samples)
    needed = 1 / ((share / max(noise, 1e-9)) ** 2 + 1 / samples.total)
    return min(len(samples), pilot * 2 ** max(0, ceil(log2(needed / pilot))))


def pilot_of(batchnorm: BatchNormMode | None, batch_size: int) -> int:
    """Samples that are taken at least: 128, or one batch, where its statistics count and it is larger."""
    return max(PILOT, batch_size if batchnorm == "batch" else 0)


class Count(NamedTuple):
    """Samples that are enough, of so many at most."""

    enough: int
    most: int


class Counted(NamedTuple):
    """What counting has come to. evaluator: with which, at that step; None where nothing could be measured."""

    found: Count
    step: int
    evaluator: Evaluator | None = None


def counting(run: LiveRun, plane: Plane, grid: Grid, lens: Lens, share: float) -> Generator[None, None, Counted]:
    """`choosing` where a run is, in float32; all of the lens where nothing can be measured, as its picture will say."""
    samples, newest = samples_of(run, split=lens.split, count=lens.samples, seed=lens.seed), run.newest
    try:
        evaluator = Evaluator(
            run.network_with(newest.buffers),
            plane.carried_to(newest.weights),
            samples,
            batchnorm=lens.batchnorm,
            batch_size=lens.own_batch_size,
        )
        yield
        found = Count((yield from choosing(evaluator, grid, share)), len(evaluator.samples))
        return Counted(found, newest.step, evaluator)
    except (ValueError, RuntimeError, MemoryError):
        return Counted(Count(len(samples), len(samples)), newest.step)


def coarsest(evaluator: Evaluator, grid: Grid) -> Generator[None, None, Surface]:
    """The first level of a grid, with chances to stop."""
    stride = grid.strides()[0]
    survey = Survey(evaluator, replace(grid, size=(grid.size - 1) // stride + 1))
    for _ in survey:
        yield
    return survey.surface()


def noise_in_levels(surface: Surface) -> float:
    """Standard error as a share of a level's height that most points stay below; nan where no loss is finite."""
    scale = Scale.of([Scene(surface)])
    shown = np.isfinite(surface.loss) & (surface.loss <= scale.high) & ((surface.loss > 0) | (not scale.log))
    if not shown.any():
        return nan
    loss, error, difference = (each[shown] for each in (surface.loss, surface.error, surface.difference_error))
    off = error / (loss * log(10)) if scale.log else difference
    low, high = scale.range
    return float(np.quantile(off, MOST_POINTS)) * BANDS / (high - low)
