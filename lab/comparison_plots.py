"""Plotly figures of comparisons, readable on white and on dark paper: no training, no widgets.

What is known so far is drawn; where that is nothing, words say why. Accuracies are in %, differences in points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from textwrap import wrap
from typing import Any, Literal, get_args

import numpy as np
import plotly.graph_objects as go

from lab.compare import Comparison, Phase, Trial
from lab.plots import COLOURS, DRAWN_POINTS, colour_and_dash
from lab.reports import PHASES
from lab.tuning import rounded
from lab.verdicts import Verdict, words

MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "triangle-down", "cross")
MARKED = {"given": {"symbol": "circle-open", "size": 19, "line_width": 2}, "taken": {"symbol": "star", "size": 15}}
GREY = "#7f7f7f"  # as far from white as from black
MARKS = 10  # of a curve
DEPTH = 25  # points below the best that an accuracy axis shows at least
ACROSS = 110  # characters in a line of the legend
LINE_LENGTH = 38  # characters of a name before it goes on in the next line
DECADES = 1.5  # numbers above 0 that span more are drawn on a logarithmic axis

Cost = Literal["seconds", "flops"]
Means = Mapping[str, tuple[float, float]]  # by arm: cost of a run, and test accuracy in %
VALIDATION = "accuracy, % of validation images"
COSTS: dict[Cost, str] = {
    "seconds": "mean training time of a run, s (runs in one stack share it equally)",
    "flops": "mean floating-point operations of a run",
}
HOVER = {"rate": "rate %{x:~g}", "epoch": "epoch %{x}", "seconds": "%{x:.3~g} s", "flops": "%{x:.3~e} operations"}


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
    dots = seed_dots(name, index, tried, "rate", [trial.accuracy for trial in tried])
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
    stride = -(-epochs // DRAWN_POINTS)
    after = np.arange(stride, epochs + 1, stride)
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
        ends += [] if verdict.interval.unbounded else [verdict.interval.low, verdict.interval.high]
    most, room = max(DEPTH, 10 * found[0].points), 4 * (max(ends) - min(ends))
    return [max(-most, 100 * min(ends) - room), min(most, 100 * max(ends) + room)]


def pareto(comparison: Comparison, phase: Phase, x: Cost = "seconds") -> go.Figure:
    """Mean test accuracy (%) of each arm by the mean cost of one of its runs; pale dots are single seeds.

    Filled: on the front, which a dotted line joins; no other arm is at least as accurate for less. Without intervals:
    neighbours of the front may change places with other seeds. A run that diverged counts as chance and for the steps
    that it took; arms of which no run finished are left out. Seconds are equal shares of the time of runs
    that trained in one stack, so they do not tell its arms apart; flops count the network's operations in training, not
    the optimizer's.

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
    means = {name: mean_of(found, x) for name, found in trials.items()}
    best, figure = front(means), framed(heading)
    figure.add_scatter(x=[means[name][0] for name in best], y=[means[name][1] for name in best], mode="lines")
    figure.update_traces(showlegend=False, hoverinfo="skip", line={"color": GREY, "dash": "dot"})
    for index, name in enumerate(comparison.arms):
        if name in trials:
            figure.add_traces(cost_traces(name, index, trials[name], x, filled=name in best))
    figure.update_xaxes(cost_axis([cost for cost, _ in means.values()]))
    figure.update_xaxes(title_text=COSTS[x])
    figure.update_yaxes(title_text="accuracy, % of test images")
    return completed(figure, f"means of {seeds_of(comparison, phase)}, pale; filled: on the front")


def cost_axis(costs: Sequence[float]) -> dict[str, Any]:
    """From 0, so that nearly equal costs look so; logarithmic where they are far apart."""
    kind = {"type": "log"} if is_wide(np.array(costs)) else {"rangemode": "tozero"}
    return {"exponentformat": "power", **kind}


def cost_traces(name: str, index: int, trials: Sequence[Trial], x: Cost, *, filled: bool) -> list[go.Scatter]:
    """Single seeds, and the mean of one arm."""
    cost, score = mean_of(trials, x)
    look = {"size": 12} if filled else {"size": 12, "line_width": 2, "symbol": f"{marker_of(index)}-open"}
    mean = trace(name, index, [cost], [score], mode="markers", x_is=x)
    mean.update(text=[counted(len(trials), "seed")], marker=look)
    return [seed_dots(name, index, trials, x, [trial.score for trial in trials]), mean]


def mean_of(trials: Sequence[Trial], x: Cost) -> tuple[float, float]:
    return float(np.mean([getattr(trial, x) for trial in trials])), float(np.mean([100 * t.score for t in trials]))


def front(means: Means) -> list[str]:
    """Arms for which no other is at least as good in both cost and accuracy, cheapest first."""
    found: list[str] = []
    for name in sorted(means, key=lambda name: (means[name][0], -means[name][1])):
        if not found or means[name][1] > means[found[-1]][1]:
            found.append(name)
    return found


# -- what the figures share -------------------------------------------------------------------------------------


def framed(title: str, height: int = 400) -> go.Figure:
    figure = go.Figure()
    at_top = {"x": 0, "xref": "container", "y": 1, "yanchor": "top", "pad": {"t": 14, "l": 12}}
    legend = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "itemwidth": 45}
    margin = {"l": 60, "r": 15, "t": 60, "b": 50}
    figure.update_layout(title={"text": shown(title, 90), **at_top}, legend=legend, margin=margin, height=height)
    return figure.update_layout(template="plotly_white", uirevision="keep")


def subtitled(figure: go.Figure, *parts: str) -> go.Figure:
    """What is what, under the title."""
    text = shown("; ".join(filter(None, parts)), 85)
    above = 60 + 17 * (text.count("<br>") + 1)
    return figure.update_layout(title_subtitle_text=text, margin_t=above)


def completed(figure: go.Figure, *parts: str) -> go.Figure:
    """With its subtitle, and higher by the lines that the legend takes."""
    subtitled(figure, *parts)
    names = [each.name.split("<br>") for each in drawn(figure) if each.name and each.showlegend is not False]
    lines = max(map(len, names)) * -(-sum(max(map(len, name)) + 10 for name in names) // ACROSS)
    layout: Any = figure.layout
    return figure.update_layout(height=layout.height + 19 * lines)


def empty(title: str, why: str) -> go.Figure:
    """Words in place of a picture."""
    figure = framed(title, height=200)
    figure.add_annotation(text=shown(why, 70), x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font_size=14)
    return figure.update_xaxes(visible=False).update_yaxes(visible=False)


def zoomed(figure: go.Figure, seen: Sequence[float]) -> str:
    """End an axis of accuracy (%) below what must be seen, where lower points would flatten that. The words for it."""
    values = [float(y) for each in drawn(figure) if each.y is not None for y in each.y if y is not None]
    bottom = min(max(seen) - DEPTH, min(seen) - DEPTH / 5) if seen else 0
    if min(values) >= bottom:
        return ""
    figure.update_yaxes(range=[bottom, max(values) + DEPTH / 20])
    return f"from {bottom:.0f}% up, double-click: all"


def drawn(figure: go.Figure) -> Any:
    """The traces; Plotly does not say their type."""
    return figure.data


def trace(name: str, index: int, x: Any, y: Any, *, mode: str = "lines+markers", x_is: str = "rate") -> go.Scatter:
    """Points of an arm in its colour, dash and marker; under the pointer its name, the point and the trace's text."""
    colour, dash = colour_and_dash(index)
    return go.Scatter(
        name=shown(name),
        legendgroup=name,
        x=x,
        y=y,
        mode=mode,
        line={"color": colour, "dash": dash, "width": 2},
        marker={"color": colour, "symbol": marker_of(index), "size": 8, "line_color": colour},
        hovertemplate=f"{HOVER[x_is]}: %{{y:.1f}}%<br>%{{text}}",
    )


def marker_of(index: int) -> str:
    return MARKERS[index % len(MARKERS)]


def seed_dots(name: str, index: int, trials: Sequence[Trial], x_is: str, scores: Sequence[float]) -> go.Scatter:
    """Pale points of single runs; under the pointer their seed, and the status of those that did not finish."""
    x, y = [getattr(trial, x_is) for trial in trials], [100 * score for score in scores]
    ends = [f"seed {trial.seed}" + f", {trial.status}" * (trial.status != "finished") for trial in trials]
    dots = trace(name, index, x, y, mode="markers", x_is=x_is)
    return dots.update(text=ends, showlegend=False, opacity=0.45, marker_size=5)


def shown(text: str, length: int = LINE_LENGTH) -> str:
    """Text as Plotly shows it letter by letter, in lines of such a length."""
    return "<br>".join(escape(line, quote=False) for line in wrap(text, length))


def pale(index: int) -> str:
    colour, _ = colour_and_dash(index)
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"


def phase_words(phase: Phase) -> str:
    if phase not in PHASES:
        raise ValueError(f"phase is {phase!r}. Expected one of: {', '.join(PHASES)}.")
    return PHASES[phase]


def missing(comparison: Comparison, phase: Phase) -> str:
    """Why there is nothing to show of a phase; empty if there is something."""
    if phase not in comparison.phases:
        return "This comparison was planned without a search: there are no tuned rates."
    return "" if any(trial.phase == phase for trial in comparison.trials) else "No run has ended yet."


def trials_of(comparison: Comparison, name: str, phase: Phase) -> list[Trial]:
    return [trial for trial in comparison.trials if (trial.arm, trial.phase) == (name, phase)]


def those_that_finished(comparison: Comparison, phase: Phase) -> list[str]:
    """Arms of which some run finished."""
    names = {trial.arm for trial in comparison.trials if (trial.phase, trial.status) == (phase, "finished")}
    return [name for name in comparison.arms if name in names]


def seeds_of(comparison: Comparison, phase: Phase) -> str:
    """How many seeds the arms have that have any."""
    counts = [len(trials_of(comparison, name, phase)) for name in comparison.arms]
    return span(min(filter(None, counts)), max(counts), "seed")


def counted(count: float, what: str) -> str:
    return f"{count:g} {what}{'' if count == 1 else 's'}"


def span(low: float, high: float, what: str) -> str:
    return counted(high, what) if low == high else f"{low:g} to {high:g} {what}s"


def is_wide(values: np.ndarray) -> bool:
    return bool(values.min() > 0 and np.log10(values.max() / values.min()) > DECADES)
