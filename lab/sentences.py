"""Verdicts in words: one sentence each, in percentage points."""

from __future__ import annotations

from collections.abc import Sequence

from lab.verdicts import MOST_SEEDS, ROUNDING, Verdict

KINDS = {"t": "", "BCa bootstrap": "bootstrap ", "anytime-valid t": "anytime-valid ", "sign test": "sign-test "}


FEWEST_TO_TELL = 4  # seeds whose spread says anything of how many would be needed


def words(verdict: Verdict, *, prospect: bool = True, brief: bool = False) -> str:
    """The verdict as one sentence, in percentage points.

    prospect: whether to say how many seeds would be needed; where runs failed, the spread does not tell.
    brief: without what `footing` says for all of a list.
    """
    if verdict.winner is None:
        names = f"{verdict.a} and {verdict.b}{'' if brief else f' at {verdict.seeds} seeds'}"
        needed = _prospect(verdict) if prospect else ""
        return f"No difference shown between {names} ({_finding(verdict, brief=brief)}){needed}."
    difference, span = _numbers(verdict, sign=1 if verdict.outcome == "better" else -1)
    found = _span(verdict, span, brief=True) if brief else f"{_span(verdict, span)}, {verdict.seeds} seeds"
    if verdict.interval.method == "sign test":
        found = f"at each of {verdict.seeds} seeds; {_level(verdict)} sign test, which does not say how large it is"
    corrected = "" if brief else _correction(verdict)
    return f"{verdict.a} is {verdict.outcome} than {verdict.b} by {difference} points ({found}{corrected})."


def furthest(verdict: Verdict, *, prospect: bool = True, brief: bool = False) -> str:
    """How far apart two arms are between which no difference is shown; brief: without what `footing` says."""
    return f"{_finding(verdict, brief=brief)}{_prospect(verdict) if prospect else ''}."


def footing(verdicts: Sequence[Verdict]) -> str:
    """What several verdicts have in common, to be said once: `95% intervals, 8 seeds, corrected for 3 comparisons`.

    Empty for one verdict, and where they differ in it.
    """
    found = {f"{_level(verdict)} intervals, {verdict.seeds} seeds{_correction(verdict)}" for verdict in verdicts}
    return found.pop() if len(verdicts) > 1 and len(found) == 1 else ""


def ranking_claim(at_default: Verdict, tuned: Verdict) -> str:
    """What became of the ranking of two arms at the default learning rate once both were tuned.

    Errors:
        ValueError if the two verdicts are not about the same two arms.
    """
    pairs = [f"{claim.a} and {claim.b}" for claim in (at_default, tuned)]
    if {at_default.a, at_default.b} != {tuned.a, tuned.b}:
        raise ValueError(f"Both verdicts must be about the same arms; got {pairs[0]}, then {pairs[1]}.")
    before, after = at_default.winner, tuned.winner
    if before is None:
        after_all = f"; {after} won once both were tuned." if after else ", nor once both were tuned."
        return f"No difference was shown at the rate given{after_all}"
    if after is None:
        return f"{before} won at the rate given, not once both were tuned."
    if after == before:
        return f"{before} won at the rate given and won once both were tuned."
    return f"{after}, worse at the rate given, won once both were tuned."


def finding(verdict: Verdict) -> str:
    """Difference and interval, without a verdict: `0.5 points (95% interval -0.2 to 1.2, 16 seeds)`."""
    difference, span = _numbers(verdict)
    found = f"{_kind(verdict)} {span}"
    if verdict.interval.method == "sign test":
        found = f"the same at every seed, {_level(verdict)} sign test"
    return f"{difference} points ({found}, {verdict.seeds} seeds{_correction(verdict)})"


def _finding(verdict: Verdict, *, brief: bool) -> str:
    constant = verdict.interval.method == "sign test"
    if constant and abs(verdict.difference) <= ROUNDING:
        return "equal scores at every seed"
    difference, span = _numbers(verdict)
    everywhere = " at every seed" if constant else ""
    # Student's t has an interval at any number of seeds; the other rules rule nothing out before so many.
    none_yet = verdict.interval.unbounded and verdict.interval.method != "t"
    reach = f"too few seeds for any {_kind(verdict)}" if none_yet else _span(verdict, span, brief=brief)
    corrected = "" if brief else _correction(verdict)
    return f"{verdict.a} - {verdict.b}: {difference} points{everywhere}, {reach}{corrected}"


def _prospect(verdict: Verdict) -> str:
    if verdict.interval.method == "sign test" or verdict.seeds < FEWEST_TO_TELL:
        return ""
    named = {0.005: "half a point", 0.01: "one point"}.get(verdict.worth, f"{100 * verdict.worth:g} points")
    if verdict.needed is None:
        return f"; more than {MOST_SEEDS:,} seeds would be needed to see {named}"
    # That fewer would have been enough is no news: the interval says what these seeds have shown.
    return f"; about {verdict.needed:,} seeds would be needed to see {named}" if verdict.needed > verdict.seeds else ""


def _level(verdict: Verdict) -> str:
    return f"{100 * verdict.level:.6g}%"


def _kind(verdict: Verdict) -> str:
    return f"{_level(verdict)} {KINDS[verdict.interval.method]}interval"


def _span(verdict: Verdict, span: str, *, brief: bool = False) -> str:
    return f"{KINDS[verdict.interval.method]}{span}" if brief else f"{_kind(verdict)} {span}"


def _correction(verdict: Verdict) -> str:
    return f", corrected for {verdict.comparisons} comparisons" if verdict.comparisons > 1 else ""


def _numbers(verdict: Verdict, sign: int = 1) -> tuple[str, str]:
    """Difference and "low to high" in points."""
    bounds = sorted((sign * verdict.interval.low, sign * verdict.interval.high))
    if verdict.interval.method == "sign test":
        bounds = []  # not worth printing
    difference, *span = in_points([sign * verdict.difference, *bounds])
    return difference, " to ".join(span)


def in_points(fractions: Sequence[float]) -> list[str]:
    """In percentage points, the first the value itself: decimals enough that what is not 0 does not look like it."""
    rounded = [round(100 * value, 4) + 0.0 for value in fractions]
    fewest = 1 if abs(rounded[0]) >= 0.1 else 2
    decimals = next(n for n in range(fewest, 5) if all(value == 0 or round(value, n) for value in rounded))
    return [f"{value:.{decimals}f}" for value in rounded]
