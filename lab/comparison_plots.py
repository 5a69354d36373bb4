"""Plotly figures of comparisons, readable on white and on dark paper: no training, no widgets.

What is known so far is drawn; where that is nothing, words say why. Accuracies are in %, differences in points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import plotly.graph_objects as go

from lab.compare import Comparison, Phase, Trial
from lab.figure_parts import (
    DEPTH,
    LINE_LENGTH,
    completed,
    counted,
    drawn,
    empty,
    framed,
    is_wide,
    marker_of,
    missing,
    pale,
    phase_words,
    seed_dots,
    seeds_of,
    shown,
    those_that_finished,
    trace,
    trials_of,
    zoomed,
)
from lab.plots import COLOURS, every_nth
from lab.sentences import words
from lab.tuning import rounded
from lab.verdicts import Verdict

MARKED = {"given": {"symbol": "circle-open", "size": 19, "line_width": 2}, "taken": {"symbol": "star", "size": 15}}
GREY = "#7f7f7f"  # as far from white as from black
MARKS = 10  # of a curve
Cost = Literal["seconds", "flops"]
Means = Mapping[str, tuple[float, float]]  # by arm: cost of a run, and test accuracy in %
VALIDATION = "accuracy, % of validation images"
COSTS: dict[Cost, str] = {
    "seconds": "mean training time of a run alone, s",
    "flops": "mean floating-point operations of a run",
}
# -- the search -------------------------------------------------------------------------------------------------


def accuracy_by_rate(comparison: Comparison) -> go.Figure:
    """The search: mean validation accuracy (%) by learning rate, a line per arm; pale dots are single seeds.

    A ring marks the rate that was given and a star the one that was taken, or would be by what is known so far.
    The rates that did best met more seeds than the others. A run that diverged counts as chance. What lies more than 25
    points below the best is cut off, except marked rates of arms of which some run finished.
    """
    heading = "Accuracy by learning rate"
    if not any(trial.phase == "search" for trial in comparison.trials):
        tunes = comparison.plan.tune
        return empty(heading, "No rate was tried yet." if tunes else "This comparison was planned without a search.")
    so_far = ", so far" if all(trial.phase == "search" for trial in comparison.trials) else ""
    figure = framed(heading + so_far)
    for index, name in enumerate(comparison.arms):
        figure.add_traces(search_traces(comparison, name, index))
    for what, look in MARKED.items():
        figure.add_scatter(x=[None], y=[None], mode="markers", name=f"rate {what}", marker={**look, "color": GREY})
    figure.update_xaxes(title_text="learning rate", type="log", exponentformat="none")
    able = those_that_finished(comparison, "search")
    cut = zoomed(figure, [float(mark.y[0]) for mark in drawn(figure) if mark.meta and mark.legendgroup in able])
    figure.update_yaxes(title_text=VALIDATION)
    return completed(figure, "dots: single seeds; lines: their means", cut)


def search_traces(comparison: Comparison, name: str, index: int) -> list[go.Scatter]:
    """Single seeds, their means, and the marked rates of one arm."""
    tried, means = trials_of(comparison, name, "search"), comparison.by_rate(name)
    dots = seed_dots(name, index, tried, [(trial.rate, trial.accuracy) for trial in tried], x_is="rate")
    line = trace(name, index, list(means), [100 * mean for mean in means.values()])
    line.update(text=[counted(sum(trial.rate == rate for trial in tried), "seed") for rate in means])
    marks = [
        trace(name, index, [rate], [100 * means[rate]], mode="markers").update(
            marker=MARKED[what], showlegend=False, meta=what, text=[f"rate {what}"]
        )
        for what, rate in marked_rates(comparison, name).items()
        if rate in means
    ]
    return [dots, line, *marks]


def marked_rates(comparison: Comparison, name: str) -> dict[str, float]:
    """The rate that was given, as the search writes it, and the one that was taken."""
    given = {"given": rounded(comparison.rate(name, "given"))}
    return given | ({"taken": comparison.rate(name, "tuned")} if comparison.searches[name].scores else {})


# -- the final runs ---------------------------------------------------------------------------------------------


def curves_with_bands(comparison: Comparison, phase: Phase) -> go.Figure:
    """Validation accuracy (%) after each epoch: the mean over seeds, and a band from the lowest to the highest seed.

    A band is no interval: it does not narrow with more seeds, and bands that overlap do not say that arms are alike,
    as seeds are paired. From where a run diverged on, it counts as chance. What lies more than 25 points below the best
    is cut off, except where an arm ends there of which some run finished.

    Errors:
        ValueError for the phase "search", whose seeds meet different rates.
    """
    heading = f"{phase_words(phase)}: accuracy by epoch"
    if why := missing(comparison, phase):
        return empty(heading, why)
    figure, able = framed(heading), those_that_finished(comparison, phase)
    for index, name in enumerate(comparison.arms):
        if trials := trials_of(comparison, name, phase):
            figure.add_traces(band_and_mean(name, index, trials, comparison.arms[name].epochs))
    figure.update_xaxes(title_text="epochs", rangemode="tozero")
    figure.update_yaxes(title_text=VALIDATION)
    cut = zoomed(figure, [float(line.y[-1]) for line in drawn(figure) if line.name and line.legendgroup in able])
    return completed(figure, f"line: mean of {seeds_of(comparison, phase)}; band: lowest to highest seed", cut)


def band_and_mean(name: str, index: int, trials: Sequence[Trial], epochs: int) -> list[go.Scatter]:
    """Two traces of one arm; of long runs every n-th epoch."""
    after = np.array(every_nth(epochs))
    seeds = 100 * np.array([full_curve(trial, epochs) for trial in trials])[:, after - 1]
    low, high = seeds.min(axis=0), seeds.max(axis=0)
    band = go.Scatter(x=np.append(after, after[::-1]), y=np.append(high, low[::-1]), mode="lines", fill="toself")
    band.update(line_width=0, fillcolor=pale(index), hoverinfo="skip", legendgroup=name, showlegend=False)
    line = trace(name, index, after, seeds.mean(axis=0), x_is="epoch")
    line.update(marker_maxdisplayed=0 if len(after) <= MARKS else MARKS)
    spans = zip(low, high, strict=True)
    return [band, line.update(text=[f"{a:.1f} to {b:.1f}%, {counted(len(trials), 'seed')}" for a, b in spans])]


def full_curve(trial: Trial, epochs: int) -> list[float]:
    """Validation accuracy after each of the epochs; those that a run did not reach count as its last word."""
    return [*trial.curve, *[trial.accuracy] * (epochs - len(trial.curve))]


def differences(comparison: Comparison, phase: Phase) -> go.Figure:
    """Every pair of arms: mean difference of test accuracy in points, and its corrected interval; largest on top.

    Filled dots and thick lines: the interval excludes 0, a difference is shown. Open dots: none is shown. Within the
    grey band a difference is smaller than what the plan calls worth having. An interval that rules out nothing crosses
    the whole picture. Where small and huge differences meet, the axis ends at 25 points; arrows say what lies beyond.

    Errors:
        ValueError for the phase "search", which judges nothing.
    """
    heading = f"{phase_words(phase)}: difference of every pair"
    found = sorted(comparison.verdicts(phase), key=lambda verdict: abs(verdict.difference))
    if not found:
        return empty(heading, missing(comparison, phase) or "Two seeds of every arm are needed to judge.")
    names, ends = [pair(verdict) for verdict in found], reach(found)
    lines = max(name.count("<br>") for name in names) + 1
    figure = framed(heading, height=180 + (12 + 14 * lines) * len(found))
    add_worth(figure, 100 * comparison.plan.worth)
    inside = [verdict for verdict in found if verdict.points <= ends[1]]
    figure.add_traces([difference_dots(inside, wins=wins) for wins in (True, False)])
    if len(inside) < len(found):
        figure.add_trace(arrows(found[len(inside) :], len(inside), ends[1]))
    figure.update_xaxes(title_text="difference, points of test accuracy", range=ends, zeroline=False)
    figure.update_yaxes(tickvals=list(range(len(found))), ticktext=names, range=[-0.6, len(found) - 0.4])
    figure.update_yaxes(zeroline=False, automargin=True)
    level, seeds = f"{100 * found[0].level:.6g}% intervals", f"{found[0].seeds} of {comparison.plan.seeds} paired seeds"
    return completed(figure, f"{level} for all pairs together, {seeds}")


def pair(verdict: Verdict) -> str:
    """Both names, in one line if they are short."""
    names = f"{verdict.a} - {verdict.b}"
    return shown(names) if len(names) <= LINE_LENGTH else f"{shown(verdict.a)}<br>- {shown(verdict.b)}"


def difference_dots(found: Sequence[Verdict], *, wins: bool) -> go.Scatter:
    """Those of the pairs that have a winner, or those that have none, at their places in the list."""
    rows = [(place, verdict) for place, verdict in enumerate(found) if (verdict.winner is not None) == wins]
    above = [100 * (verdict.interval.high - verdict.difference) for _, verdict in rows]
    below = [100 * (verdict.difference - verdict.interval.low) for _, verdict in rows]
    bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "width": 5}
    look = {"symbol": "circle"} if wins else {"symbol": "circle-open", "line_width": 2}
    return go.Scatter(
        name="difference shown" if wins else "no difference shown",
        x=[verdict.points for _, verdict in rows] or [None],
        y=[place for place, _ in rows] or [None],
        error_x={**bars, "thickness": 3 if wins else 1.5},
        mode="markers",
        marker={**look, "color": COLOURS[0] if wins else GREY, "size": 11},
        customdata=[shown(words(verdict), 60) for _, verdict in rows],
        hovertemplate="%{customdata}<extra></extra>",
    )


def arrows(far: Sequence[Verdict], first: int, end: float) -> go.Scatter:
    """Pairs whose difference lies beyond the end of the axis, with its points in figures; filled if it is shown."""
    wins = [verdict.winner is not None for verdict in far]
    return go.Scatter(
        name="further than the axis goes",
        x=[end] * len(far),
        y=list(range(first, first + len(far))),
        mode="markers+text",
        marker_symbol=["triangle-right" if win else "triangle-right-open" for win in wins],
        marker_color=[COLOURS[0] if win else GREY for win in wins],
        marker_size=11,
        cliponaxis=False,
        text=[f"{verdict.points:.1f} " for verdict in far],
        textposition="middle left",
        customdata=[shown(words(verdict), 60) for verdict in far],
        hovertemplate="%{customdata}<extra></extra>",
    )


def add_worth(figure: go.Figure, points: float) -> None:
    """A line at 0, and the band of differences that would not matter."""
    figure.add_vrect(x0=-points, x1=points, fillcolor=GREY, opacity=0.18, line_width=0, layer="below")
    figure.add_vline(x=0, line={"color": GREY, "width": 1.5}, layer="below")
    band = {"symbol": "square", "size": 13, "color": GREY, "opacity": 0.3}
    figure.add_scatter(x=[None], y=[None], mode="markers", marker=band, name=f"less than {points:g} points")


def reach(found: Sequence[Verdict]) -> list[float]:
    """Ends of the axis in points: all dots, 0, the band, and the intervals that rule something out.

    At most 25 points, or ten times the smallest difference: beyond that the small ones could not be told from 0.
    """
    ends = [sign * 2 * found[0].worth for sign in (-1, 1)] + [1.5 * verdict.difference for verdict in found]
    for verdict in found:
        sized = not verdict.interval.unbounded and verdict.interval.method != "sign test"
        ends += [verdict.interval.low, verdict.interval.high] if sized else []
    most, room = max(DEPTH, 10 * found[0].points), 4 * (max(ends) - min(ends))
    return [max(-most, 100 * min(ends) - room), min(most, 100 * max(ends) + room)]


def pareto(comparison: Comparison, phase: Phase, x: Cost = "seconds") -> go.Figure:
    """Mean test accuracy (%) of each arm by the mean cost of one of its runs; pale dots are single seeds.

    Filled: on the front, which a dotted line joins; no other arm is at least as accurate for less. Without intervals:
    neighbours of the front may change places with other seeds. A run that diverged counts as chance and for the steps
    that it took; arms of which no run finished are left out. Seconds are steps times what a step of the arm takes
    alone, measured in turn: in a stack its runs share the time. Flops count the network's operations in training and
    what augmentations learn before, not the optimizer's.

    Errors:
        ValueError for the phase "search", or a cost that is not counted.
    """
    heading = f"{phase_words(phase)}: accuracy by cost"
    if x not in get_args(Cost):
        raise ValueError(f"x is {x!r}. Expected one of: {', '.join(get_args(Cost))}.")
    if why := missing(comparison, phase):
        return empty(heading, why)
    trials = {name: trials_of(comparison, name, phase) for name in those_that_finished(comparison, phase)}
    if not trials:
        return empty(heading, "No run has finished.")
    costs = {name: [cost_of(comparison, trial, x) for trial in found] for name, found in trials.items()}
    means = {name: (float(np.mean(costs[name])), mean_score(found)) for name, found in trials.items()}
    best, figure = front(means), framed(heading)
    figure.add_scatter(x=[means[name][0] for name in best], y=[means[name][1] for name in best], mode="lines")
    figure.update_traces(showlegend=False, hoverinfo="skip", line={"color": GREY, "dash": "dot"})
    for index, name in enumerate(comparison.arms):
        if name in trials:
            figure.add_traces(cost_traces(name, index, trials[name], costs[name], filled=name in best, x=x))
    if len(best) < len(means):
        figure.add_traces(keys_of_the_front())
    figure.update_xaxes(cost_axis([cost for cost, _ in means.values()]))
    figure.update_xaxes(title_text=COSTS[x])
    figure.update_yaxes(title_text="accuracy, % of test images")
    return completed(figure, f"large: means of {seeds_of(comparison, phase)}; pale: single seeds")


def keys_of_the_front() -> list[go.Scatter]:
    """What filled and open marks stand for, in the legend."""
    looks = {"filled: none is as accurate for less": {}, "open: another is": {"symbol": "circle-open", "line_width": 2}}
    return [
        go.Scatter(name=said, x=[None], y=[None], mode="markers", marker={"size": 12, "color": GREY, **look})
        for said, look in looks.items()
    ]


def cost_axis(costs: Sequence[float]) -> dict[str, Any]:
    """From 0, so that nearly equal costs look so; logarithmic where they are far apart."""
    kind = {"type": "log"} if is_wide(np.array(costs)) else {"rangemode": "tozero"}
    return {"exponentformat": "power", **kind}


def cost_traces(
    name: str, index: int, trials: Sequence[Trial], costs: Sequence[float], *, filled: bool, x: Cost
) -> list[go.Scatter]:
    """Single seeds, and the mean of one arm."""
    look = {"size": 12} if filled else {"size": 12, "line_width": 2, "symbol": f"{marker_of(index)}-open"}
    mean = trace(name, index, [float(np.mean(costs))], [mean_score(trials)], mode="markers", x_is=x)
    mean.update(text=[counted(len(trials), "seed")], marker=look)
    points = [(cost, trial.score) for cost, trial in zip(costs, trials, strict=True)]
    return [seed_dots(name, index, trials, points, x_is=x), mean]


def cost_of(comparison: Comparison, trial: Trial, x: Cost) -> float:
    return trial.flops if x == "flops" else trial.steps * comparison.step_seconds[trial.arm]


def mean_score(trials: Sequence[Trial]) -> float:
    return float(np.mean([100 * trial.score for trial in trials]))


def front(means: Means) -> list[str]:
    """Arms for which no other is at least as good in both cost and accuracy, cheapest first."""
    found: list[str] = []
    for name in sorted(means, key=lambda name: (means[name][0], -means[name][1])):
        if not found or means[name][1] > means[found[-1]][1]:
            found.append(name)
    return found
