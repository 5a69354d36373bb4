"""From followed runs to scenes: the plane they are seen on, the surfaces over it, and the marks of their paths."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite, prod

import numpy as np
import torch

from lab.followed import Followed
from lab.landscape.curvature import Curvature, reach_of
from lab.landscape.directions import random_plane, why_unscaled
from lab.landscape.enough import enough_samples, noise_in_levels
from lab.landscape.evaluators import Evaluator
from lab.landscape.functions import Function, trained_by, why_apart
from lab.landscape.grids import Grid, line_grid
from lab.landscape.planes import Plane, line, through
from lab.landscape.replays import looking_through, spaced
from lab.landscape.scenes import RunPath, Scene
from lab.landscape.surfaces import BESIDE, FEW, Surface, Survey
from lab.landscape.trails import at_once, joint_plane, path_plane
from lab.landscape.weights import Weights, left_all_bounds, norm
from lab.recipe import RecipeError
from lab.views import PlaneName, View

RUNS_FOR: dict[PlaneName, range] = {
    "random": range(1, 9),
    "path": range(1, 2),
    "joint": range(2, 9),
    "line": range(1, 3),
    "points": range(1, 4, 2),
    "hessian": range(1, 2),
}
OWN: tuple[PlaneName, ...] = ("random", "hessian")  # each run has its own, which shows next to nothing of a path
MARGIN = 0.25  # of the reach, around the marks that a grid has to hold
NARROWEST = 0.2  # of the longer side is the shorter one at least

Progress = Callable[[int, int], None]  # points measured, points in all


@dataclass(frozen=True)
class Part:
    """One surface to be: the runs that share it, by their numbers, and where it lies."""

    name: PlaneName
    members: list[tuple[int, Followed]]
    plane: Plane
    grid: Grid
    whole: bool = False  # the plane is made from paths, which are seen, and not only their ends
    apart: str = ""  # why not all runs share it

    def replayed(self, most: int) -> list[int]:
        """Of which earlier snapshots there is to be a surface: of none where several runs share one that stays."""
        trail, own = self.members[0][1].trail, self.name in OWN or (self.whole and len(self.members) == 1)
        return spaced(len(trail) - 1, most) if own and trail else []


def scenes_of(runs: Sequence[Followed], view: View, progress: Progress) -> list[Scene]:
    """A scene for each different surface, with the paths of the runs that it belongs to.

    Runs whose loss is one function of the weights share a surface: the same data, model and activation, and no stored
    statistics of batch normalisation, which each run has its own of. On a random plane each run is in the middle of its
    own.

    Raises:
        RecipeError: the plane is not for so many runs, they have different networks, or no path to make it from.
    """
    name = view.plane or default_plane(runs)
    check(name, runs)
    try:
        parts = parts_of(name, runs, view)
    except ValueError as error:
        endings = [ending(run.name, run.ended, run.reason) for run in runs if run.ended != "finished"]
        raise RecipeError(" ".join([str(error), *endings])) from None
    of = sum(points_in(part, view) for part in parts)
    count = max(enough_samples(evaluator_of(part, view), part.grid, view.enough) for part in parts)  # one for all
    scenes: list[Scene] = []
    for index, part in enumerate(parts):
        before = sum(points_in(part, view) for part in parts[:index])
        scenes.append(scene_of(part, view, count, lambda done, before=before: progress(before + done, of)))
    return scenes if len(scenes) > 1 else [replace(scenes[0], title="")]  # the legend, or the page, names the runs


def points_in(part: Part, view: View) -> int:
    """That are going to be measured, as far as it goes as was asked for."""
    return surface_points(part, view) + len(part.replayed(view.replay)) * (FEW**2 + BESIDE)


def surface_points(part: Part, view: View) -> int:
    return prod(replace(part.grid, size=view.exact or part.grid.size).shape)


def default_plane(runs: Sequence[Followed]) -> PlaneName:
    if any(run.trail is None for run in runs):
        return "random"
    return "path" if len(runs) == 1 else "joint"


def check(name: PlaneName, runs: Sequence[Followed]) -> None:
    allowed = RUNS_FOR[name]
    if len(runs) not in allowed:
        between = " to " if allowed.step == 1 else " or "
        wanted = between.join(dict.fromkeys([f"{allowed[0]}", f"{allowed[-1]}"]))
        several = "s" if allowed[-1] > 1 else ""
        raise RecipeError(f"A plane '{name}' is for {wanted} run{several}, not {len(runs)}. Choose another --plane.")
    kept = next((run.name for run in runs if run.trail is None), None)
    if kept is not None and from_paths(name, len(runs)):
        raise RecipeError(
            f"The run {kept} keeps no snapshots, so there is no plane '{name}'. Give its recipe.yaml to train it anew, "
            "or choose --plane random."
        )


def from_paths(name: PlaneName, runs: int) -> bool:
    """Whether a plane is made from snapshots on the way, and not from ends only."""
    return name in ("path", "joint") or (name == "points" and runs == 1)


def why_lost(run: Followed) -> str:
    """Why nothing can be measured around the place where a run has ended; empty where it can."""
    if left_all_bounds(run.end, run.start):
        what = f"The weights of {run.name} have left all bounds"
    elif not isfinite(run.glimpses[-1].loss):
        what = f"The loss of {run.name} is not finite where it ended"
    elif run.ended == "diverged":
        what = f"The loss of {run.name} was not finite"
    else:
        return ""
    return f"{what} ({run.ended}), so there is no landscape around it. {run.reason or 'Train it at a lower rate.'}"


def why_unplaced(run: Followed, view: View) -> str:
    """Why no random plane lies around the place where a run has ended; empty where one does."""
    why = why_unscaled(run.end, view.normalisation)
    return why and f"There is no random plane around {run.name}. {why}"


def ending(name: str, ended: str, reason: str) -> str:
    """How a run ended, and why, in sentences; empty where nothing is known of it."""
    return " ".join(filter(None, [f"{name}: {ended}.", reason])) if ended else ""


def without_lost(runs: Sequence[Followed], view: View) -> tuple[list[Followed], dict[str, Followed]]:
    """The runs that can be drawn; and those that cannot, by a sentence that says why.

    Raises:
        RecipeError: none can.
    """
    lost = {why: run for run in runs if (why := why_lost(run))}
    kept = [run for run in runs if run not in lost.values()]
    if kept and (view.plane or default_plane(kept)) == "random":
        lost |= {why: run for run in kept if (why := why_unplaced(run, view))}
        kept = [run for run in kept if run not in lost.values()]
    if not kept:
        raise RecipeError(" ".join(lost))
    return kept, lost


def parts_of(name: PlaneName, runs: Sequence[Followed], view: View) -> list[Part]:
    numbered = list(enumerate(runs))
    if name == "random":
        seed, normalisation = view.lens.seed, view.normalisation
        planes = [random_plane(run.end, seed=seed, normalisation=normalisation) for run in runs]
        return [Part(name, [each], plane, Grid(view.size)) for each, plane in zip(numbered, planes, strict=True)]
    if name == "hessian":
        return [sharpest(runs[0], view)]
    plane, whole = shared_plane(name, runs), from_paths(name, len(runs))
    if name == "line":
        grid = line_grid(view.size)
    else:
        grid = grid_around(np.concatenate([places(run, plane, whole=whole) for run in runs]), view.size)
    groups: dict[tuple[Function, int | None], list[tuple[int, Followed]]] = {}
    for number, run in numbered:
        function = run.function
        groups.setdefault((function, number if function.own(view.lens.batchnorm) else None), []).append((number, run))
    whys = [apart(key, groups, view) for key in groups]
    return [Part(name, members, plane, grid, whole, why) for members, why in zip(groups.values(), whys, strict=True)]


def apart(key: tuple[Function, int | None], groups: Iterable[tuple[Function, int | None]], view: View) -> str:
    """Why a group of runs has a surface of its own, in words."""
    others = [function for function, number in groups if (function, number) != key]
    return why_apart(key[0], others, view.lens.batchnorm)


def sharpest(run: Followed, view: View) -> Part:
    """Around a run's end, on the plane of the two sharpest eigenvectors; one length counts the same both ways."""
    curvature = Curvature(run.model, run.samples, dtype=run.dtype)
    pairs = curvature.eigenpairs(seed=view.lens.seed)
    reach = reach_of(float(pairs.values[0]), norm(run.end))
    return Part("hessian", [(0, run)], curvature.plane(pairs), Grid(view.size, reach=(reach, reach)))


def shared_plane(name: PlaneName, runs: Sequence[Followed]) -> Plane:
    if name == "points":
        return through(*points_of(runs))
    if name == "line":
        return line_between(runs)
    trails = [trail for run in runs if (trail := run.trail)]
    return path_plane(trails[0]) if name == "path" else joint_plane(trails)


def points_of(runs: Sequence[Followed]) -> list[Weights]:
    """The ends of three runs; of one its first snapshot, the one in the middle and its end."""
    trail = runs[0].trail
    if len(runs) > 1 or trail is None:
        return [run.end for run in runs]
    return [trail.weights(0), trail.weights(len(trail) // 2), runs[0].end]


def line_between(runs: Sequence[Followed]) -> Plane:
    """From the first weights of one run to its last, or from the end of one to that of another; it says from where."""
    first, last = runs[0], runs[-1]
    alone = len(runs) == 1
    plane = line(first.start if alone else first.end, last.end)
    note = "from the start (0) to the end (1)" if alone else f"from {first.name} (0) to {last.name} (1)"
    return replace(plane, origin=replace(plane.origin, note=note))


def grid_around(coordinates: np.ndarray, size: int) -> Grid:
    """A grid that holds all these places (n, 2) and a margin."""
    low, high = coordinates.min(0), coordinates.max(0)
    half = np.maximum((high - low) / 2, 1e-6)
    a, b = (np.maximum(half, NARROWEST * half.max()) * (1 + MARGIN)).tolist()
    middle = ((low + high) / 2).tolist()
    return Grid(size, reach=(a, b), middle=(middle[0], middle[1]))


def places(run: Followed, plane: Plane, *, whole: bool) -> np.ndarray:
    """(k, 2) where a run's marks lie: its whole path, or its end on a plane that holds next to nothing of a path."""
    if whole and run.trail:
        found = [projection.coordinates for projection in run.trail.projections(plane)]
    else:
        found = [plane.project(run.end).coordinates]
    return np.array([(*place, 0.0)[:2] for place in found])


def evaluator_of(part: Part, view: View) -> Evaluator:
    """On all samples of the lens."""
    run, lens = part.members[0][1], view.lens
    dtype = getattr(torch, view.precision) if view.precision else run.dtype
    return Evaluator(
        run.model, part.plane, run.samples, batchnorm=lens.batchnorm, batch_size=lens.own_batch_size, dtype=dtype
    )


def scene_of(part: Part, view: View, count: int, progress: Callable[[int], None]) -> Scene:
    """A surface on the first so many samples, and marks on all: true losses are of these."""
    evaluator = evaluator_of(part, view)
    few, most = evaluator.with_samples(evaluator.samples.first(count)), len(evaluator.samples)
    surface = measured(few, part.grid, progress, exact=view.exact)
    past = past_of(part, view, few, surface, progress)
    if len(few.samples) < most:
        surface = on_few(surface, view.enough, most)
        past = {step: on_few(seen, view.enough, most) for step, seen in past.items()}
    marked = part.members if part.name != "line" else []
    paths = (path_of(part, run, number, evaluator) for number, run in marked)
    names, step = ", ".join(run.name for _, run in part.members), last_step(part)
    by = trained_by(run.recipe for _, run in part.members)
    return Scene(surface, tuple(paths), names, part.plane, part.apart, step, past, by)


def on_few(surface: Surface, enough: float, most: int) -> Surface:
    """With the reason why it was measured on so few samples, and how noisy that is."""
    known = replace(surface.measured, most=most, enough=enough, noise=noise_in_levels(surface), marked=most)
    return replace(surface, measured=known)


def last_step(part: Part) -> int | None:
    """Of the snapshot that a plane passes through: not a joint one, which lies amid the ends."""
    trail = part.members[0][1].trail
    return trail.steps[-1] if trail and len(part.members) == 1 and part.name != "joint" else None


def past_of(
    part: Part, view: View, few: Evaluator, surface: Surface, progress: Callable[[int], None]
) -> dict[int, Surface]:
    """Surfaces through earlier snapshots of the one run, by step, each with the buffers of its own."""
    found: dict[int, Surface] = {}
    (_, run), begun = part.members[0], surface_points(part, view)
    for place in part.replayed(view.replay):
        assert run.trail
        step, weights = run.trail.steps[place], run.trail.weights(place)
        there = few.carried_to(weights, run.network_at(step))
        found[step] = at_once(looking_through(surface, there, step=last_step(part)))
        progress(begun + len(found) * (FEW**2 + BESIDE))
    return found


def measured(evaluator: Evaluator, grid: Grid, progress: Callable[[int], None], *, exact: int | None = None) -> Surface:
    """All points; or a spline through `exact` along a side, where one leads through them: there may be a cliff."""
    survey = Survey(evaluator, grid)
    for _ in survey:
        progress(int(survey.known.sum()))
        few = survey.finest() if exact else None
        if few and few.grid.size == exact and (found := few.filled(grid.size)).spline:
            return replace(found, precision_error=at_once(survey.comparing()))
    return survey.checked()


def path_of(part: Part, run: Followed, number: int, evaluator: Evaluator) -> RunPath:
    """A run's marks with their true losses and those of the plane where they are projected to."""
    coordinates = places(run, part.plane, whole=part.whole)
    glimpses = run.glimpses[-len(coordinates) :]
    steps = np.array([glimpse.step for glimpse in glimpses])
    true = np.array([glimpse.loss for glimpse in glimpses])
    own = run.trail.explained_by(part.plane) if part.name != "path" and run.trail else None
    return RunPath(run.name, number, coordinates, steps, true, evaluator.in_float32().values(coordinates).loss, own)
