"""A line or a plane through the places where runs have ended: what it wants before there is a picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

from lab.landscape.live_runs import LiveRun
from lab.landscape.planes import Plane, through
from lab.landscape.weights import Weights

EndsKind = Literal["line", "points"]
POINTS = 3
FORGOTTEN = "Of this run fewer than three snapshots are known: train one while its landscape is followed."
ONE_PLACE = {
    "line": "Both runs ended at the same weights: there is no line between them.",
    "points": "Two of the runs ended at the same weights: three points that differ are needed for a plane.",
}


def missing(kind: EndsKind, runs: Sequence[LiveRun]) -> str:
    """In words; empty where all is there, and where there is no run at all."""
    if not runs:
        return ""
    if wrong := wrong_number(kind, len(runs)):
        return wrong
    if len({run.shapes for run in runs}) > 1:
        return DIFFERENT[kind]
    if any(run.moving for run in runs):
        return WAITS[kind]
    if len(runs) == 1:
        return FORGOTTEN if len(runs[0].trail) < POINTS else ""
    return ONE_PLACE[kind] if any(at_one_place(*pair) for pair in combinations(runs, 2)) else ""


DIFFERENT = {
    "line": "The two runs have different networks: no line leads from one to the other.",
    "points": "The three runs have different networks: no plane holds their ends.",
}
WAITS = {
    "line": "The line waits until both runs have ended.",
    "points": "The plane waits until the runs have ended.",
}


def wrong_number(kind: EndsKind, count: int) -> str:
    if kind == "line" and count != 2:
        return f"The line is drawn between two runs, and there {counted(count)}."
    if kind == "points" and count not in (1, POINTS):
        return f"Three points are the ends of three runs, or three snapshots of one, and there are {count} runs."
    return ""


def counted(runs: int) -> str:
    return "is one: train another one" if runs == 1 else f"are {runs}: clear them, and train the two"


def at_one_place(one: LiveRun, other: LiveRun) -> bool:
    return all(weight.equal(other.newest.weights[name]) for name, weight in one.newest.weights.items())


def through_points(runs: Sequence[LiveRun]) -> Plane:
    """Through the ends of three runs, or through the first snapshot, the one in the middle and the last of one.

    Raises:
        ValueError: they lie on one line.
    """
    return through(*points_of(runs))


def points_of(runs: Sequence[LiveRun]) -> list[Weights]:
    if len(runs) == POINTS:
        return [run.newest.weights for run in runs]
    trail = runs[0].trail
    return [trail.weights(0), trail.weights(len(trail) // 2), runs[0].newest.weights]
