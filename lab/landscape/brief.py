"""How far to trust a picture in one line: `trust_words` of `scenes` says all of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lab.landscape.planes import ENDS, Origin
from lab.landscape.scenes import PLANES, RunPath, Scale, Scene, classes_words, share
from lab.landscape.surfaces import Surface
from lab.views import BatchNormMode

THROUGH_ENDS = "Plane through the ends of the runs"


def brief_words(scene: Scene, scale: Scale | None = None) -> str:
    """The plane and the share of the paths in it; by how much it is off at their marks; images and noise.

    Args:
        scale: on which it is drawn: what that cuts off is said too.
    """
    origin = scene.surface.origin
    kind = THROUGH_ENDS if ends(scene) else f"{PLANES[origin.kind]}{directions_words(origin)}"
    plane = ", ".join(filter(None, [kind, in_the_plane(scene)]))
    on = scene.surface.measured
    measured = [images_words(scene.surface), statistics_words(on.batchnorm), arithmetic_words(scene.surface)]
    parts = [
        plane,
        classes_words(scene),
        off_words(scene.paths),
        *measured,
        scale and cut_words(scale.above(scene.surface)),
    ]
    return " · ".join(filter(None, parts))


def directions_words(origin: Origin) -> str:
    """What decides them where they are random."""
    if origin.kind != "random":
        return ""
    by = "not normalised" if origin.normalisation == "none" else f"normalised by {origin.normalisation}"
    return f" ({', '.join(filter(None, [f'seed {origin.seed}', by, origin.note]))})"


def statistics_words(batchnorm: BatchNormMode | None) -> str:
    """Nothing where a network has no batch normalisation."""
    return "" if batchnorm is None else f"BatchNorm {'as stored' if batchnorm == 'stored' else 'by batch'}"


def arithmetic_words(surface: Surface) -> str:
    """And by how much it is off, where that is known; nothing for float32, which all others are held against."""
    precision, off = surface.measured.precision, surface.precision_error
    if precision == "float32":
        return ""
    known = off and f"off by {share(off.median)}, at most {share(off.largest)}, from float32 at {off.points} points"
    return ", ".join(filter(None, [precision, known]))


def cut_words(above: float) -> str:
    return f"{share(above)} of the points cut off" if above else ""


def ends(scene: Scene) -> bool:
    """Whether the plane was made from the ends of runs alone."""
    return scene.surface.origin.note == ENDS


def in_the_plane(scene: Scene) -> str:
    """Of the variance of each path where that is known, or of all together; empty for a line, say."""
    own = [path.explained for path in scene.paths if path.explained is not None]
    if own and len(own) == len(scene.paths):
        shares = list(dict.fromkeys(map(share, (min(own), max(own)))))
        return f"{' to '.join(shares)} of {'each' if len(own) > 1 else 'this'} path"
    explained = scene.surface.origin.explained
    if explained is None:
        return ""
    whose = "their variance" if ends(scene) else "it" if scene.surface.origin.kind == "path" else "all"
    return f"{share(explained)} of {whose}"


def off_words(paths: Sequence[RunPath]) -> str:
    """Nothing where no loss of both kinds is known."""
    gaps = np.concatenate([path.gaps for path in paths]) if paths else np.empty(0)
    if not len(gaps):
        return ""
    most = f", at most {share(gaps.max())}" if len(gaps) > 1 else ""
    return f"off the true loss by {share(np.median(gaps))}{most}"


def images_words(surface: Surface) -> str:
    on, known = surface.measured, surface.error[np.isfinite(surface.error)]
    part = "all" if on.samples == on.total else f"{on.samples:,} of"
    error = float(np.median(known)) if len(known) else 0.0
    anew = "" if on.anew is None else f" (counted anew at step {on.anew:,})"
    return f"{part} {on.total:,} images{anew}{f', loss ± {error:.2g}' if error > 0 else ''}"
