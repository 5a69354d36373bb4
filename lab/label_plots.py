"""Plotly figure of accuracy against labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from lab.compare import Comparison, Phase
from lab.figure_parts import completed, framed, pale, phase_words, seeds_of, trace
from lab.label_curves import scores_in
from lab.verdicts import critical

LEVEL = 0.95


def accuracy_by_labels(found: Mapping[int | None, Comparison], phase: Phase) -> go.Figure:
    """Test accuracy (%) by labelled images of each class, a line per arm, at equal distances; see `label_curve`.

    A band is the 95% interval of an arm's own mean over seeds (Student's t; where the plan may stop early, one that
    holds whenever one stops). Seeds are paired: whether arms differ is said by `label_table`, not by bands that
    overlap. With labels grow the updates, where epochs are equal: a line rises by both.

    Raises:
        RecipeError: the plan has no such phase.
    """
    figure = framed(f"{phase_words(phase)}: accuracy by labels of each class")
    ticks = [str(count or "all") for count in found]
    for index, name in enumerate(next(iter(found.values())).arms):
        scores = [100 * np.array(scores_in(comparison, phase)[name]) for comparison in found.values()]
        errors = [
            critical(len(some), LEVEL, sequential=comparison.sequential)
            for some, comparison in zip(scores, found.values(), strict=True)
        ]
        figure.add_traces(band_and_means(name, index, ticks, scores, errors))
    figure.update_xaxes(title_text="labelled images of each class", type="category")
    figure.update_yaxes(title_text="accuracy, % of test images")
    return completed(figure, f"line: mean of {seeds_of(next(iter(found.values())), phase)}; band: its 95% interval")


def band_and_means(
    name: str, index: int, ticks: list[str], scores: list[np.ndarray], errors: list[float]
) -> list[go.Scatter]:
    """Two traces of one arm.

    Args:
        scores: (seeds,) % of each number of labels; errors: how many standard errors the band reaches either way.
    """
    means = np.array([some.mean() for some in scores])
    deviations = [some.std(ddof=1) / np.sqrt(len(some)) for some in scores]
    reach = np.array(errors) * deviations
    around = np.append(means + reach, (means - reach)[::-1])
    band = go.Scatter(x=[*ticks, *ticks[::-1]], y=around, mode="lines", fill="toself")
    band.update(line_width=0, fillcolor=pale(index), hoverinfo="skip", legendgroup=name, showlegend=False)
    text = [f"{mean - half:.1f} to {mean + half:.1f}%" for mean, half in zip(means, reach, strict=True)]
    line = trace(name, index, ticks, means)
    return [band, line.update(text=text, hovertemplate="%{x} of each class: %{y:.1f}%<br>%{text}")]
