"""The search for a learning rate: a logarithmic grid that widens while its best lies on the edge, then closes in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Protocol

STEP = math.sqrt(10)  # half a decade between the rates of the first grid
FIRST = 5  # rates of the first grid, around the rate that the recipe gives
ROUND = 2  # rates that each later round adds
FINALS = 1 / 3
MORE = 16  # rates beyond those planned after which an arm that is still not settled is taken as it is

Score = tuple[float, float]  # validation accuracy, and minus the loss: it decides between equals


@dataclass
class RateSearch:
    """One arm's search, asked and told in rounds, so that the rounds of all arms can train together.

    The grid is explored with one seed; the best third of it then meets the other tuning seeds (successive halving
    over seeds, not over epochs: a rate that is ahead early need not be so at the end). An arm is settled when its best
    is not on the edge and the rates beside it are near: so an arm whose given rate is far off ends on a grid as fine.

    Args:
        centre: the rate that the recipe gives, above 0.
        trials: rates to try, the same number for each arm; all arms get more while one of them is not settled.
        seeds: tuning seeds, the first for every rate and all for the finalists.
        finals: share of the rates that are finalists.
    """

    centre: float
    trials: int
    seeds: tuple[int, ...]
    finals: float = FINALS
    scores: dict[float, dict[int, Score]] = field(default_factory=dict)  # by rate, then by seed
    gap: float = 0.0  # largest factor between the best and the rates beside it; 0: what the trials can reach

    def __post_init__(self) -> None:
        self.gap = self.gap or (STEP if self.trials < FIRST + ROUND else math.sqrt(STEP))

    def explore(self) -> list[tuple[float, int]]:
        """Rates to try next, with the first seed; none when there were `trials` of them."""
        missing = min(self.trials - len(self.scores), ROUND if self.scores else FIRST)
        return [(rate, self.seeds[0]) for rate in self._next_rates(missing)] if missing > 0 else []

    def decide(self) -> list[tuple[float, int]]:
        """The finalists, with the seeds that they have not met."""
        return [(rate, seed) for rate in self.finalists for seed in self.seeds if seed not in self.scores[rate]]

    def tell(self, rate: float, seed: int, score: Score) -> None:
        self.scores.setdefault(rate, {})[seed] = score

    @staticmethod
    def overrides(rate: float) -> dict[str, float]:
        return {"optimizer.lr": rate}

    def snapshot(self) -> RateSearch:
        return replace(self, scores={rate: dict(scores) for rate, scores in self.scores.items()})

    @property
    def tried(self) -> list[float]:
        return sorted(self.scores)

    @property
    def best(self) -> float:
        """The rate with the best mean over all tuning seeds; of those that met fewer, none if there are others."""
        return max(self.scores, key=lambda rate: (len(self.scores[rate]), self._mean(rate), -rate))

    @property
    def on_edge(self) -> bool:
        """Whether farther rates could be better; not where all rates tried give the same, as for a stuck network."""
        return not self._alike and self.best in (self.tried[0], self.tried[-1])

    @property
    def edges(self) -> list[str]:
        """What is best at the end of what was tried."""
        return ["optimizer.lr"] if self.scores and self.on_edge else []

    @property
    def settled(self) -> bool:
        return self._alike or not (self.on_edge or self._too_coarse)

    @property
    def _alike(self) -> bool:
        accuracies = {scores[self.seeds[0]][0] for scores in self.scores.values()}
        return len(accuracies) == 1 and min(accuracies) >= 0

    @property
    def _too_coarse(self) -> bool:
        most = self.gap * 1.02  # rates have three digits
        return any(high / low > most for low, high in pairwise(self.tried) if self.best in (low, high))

    @property
    def finalists(self) -> list[float]:
        ranked = sorted(self.scores, key=self._rank, reverse=True)
        return ranked[: math.ceil(len(ranked) * self.finals)]

    def _rank(self, rate: float) -> tuple[Score, float]:
        """By the first seed; of equals the lower rate: an arm that fails everywhere is tried with lower ones."""
        return self.scores[rate][self.seeds[0]], -rate

    def _mean(self, rate: float) -> Score:
        accuracies, losses = zip(*self.scores[rate].values(), strict=True)
        return sum(accuracies) / len(accuracies), sum(losses) / len(losses)

    def _next_rates(self, count: int) -> list[float]:
        if not self.scores:
            first = -(min(count, FIRST) // 2)
            return [rounded(self.centre * STEP**power) for power in range(first, first + min(count, FIRST))]
        if self.best == self.tried[0]:
            return [self._beyond(self.tried[0], -power) for power in range(1, count + 1)]
        if self.best == self.tried[-1]:
            return [self._beyond(self.tried[-1], power) for power in range(1, count + 1)]
        return self._closer(count)

    def _beyond(self, edge: float, power: int) -> float:
        """So many half decades beyond an edge, counted from the centre: rounded once, 0.1 stays 0.1."""
        steps = round(math.log(edge / self.centre, STEP))
        return rounded(self.centre * STEP ** (steps + power))

    def _closer(self, count: int) -> list[float]:
        """In the middle of the gaps beside the best, on a logarithmic axis; then of the widest others."""
        tried, found = self.tried, []
        for _ in range(count):
            place = tried.index(self.best)
            gaps = [pair for pair in pairwise(tried) if middle(*pair) not in tried]
            beside = [pair for pair in gaps if pair[0] in tried[max(0, place - 1) : place + 1]]
            if not gaps:
                break  # as fine as rates are written
            found.append(middle(*max(beside or gaps, key=lambda gap: gap[1] / gap[0])))
            tried = sorted([*tried, found[-1]])
        return found


def middle(low: float, high: float) -> float:
    return rounded(math.sqrt(low * high))


class Widening(Protocol):
    """A search that may get more trials."""

    trials: int

    @property
    def settled(self) -> bool: ...


def rounded(rate: float) -> float:
    """To three digits: a rate that a person can read and type."""
    return float(f"{rate:.3g}")


def widen(searches: Sequence[Widening], planned: int) -> bool:
    """Give every arm as many rates more while one of them is not settled. Whether there is more to do."""
    trials = max(search.trials for search in searches)
    if trials + ROUND > planned + MORE or all(search.settled for search in searches):
        return False
    for search in searches:
        search.trials = trials + ROUND
    return True
