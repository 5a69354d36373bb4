"""Which way to take, by what the ways showed: pure statistics and sentences, no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lab.sentences import furthest, in_points, words
from lab.verdicts import LEVEL, WORTH, Interval, Verdict, interval, oriented, verdicts

ABOUT_AS_CHEAP = 1.25  # times the seconds of the cheapest: a clock tells no closer
NEAR = 0.02  # of accuracy: what a cheaper way may seem to lose; few seeds tell no two ways apart, however far they lie
FEW_IMAGES = 100  # below these one image is more than a point

Missed = Sequence[int] | None


@dataclass(frozen=True)
class Standing:
    """What came out for a way.

    scores: test accuracy by seed; missed: by seed, the test images whose class was not named, None where that is not
    known. seconds: mean of a run; trained: number of weights that are; bytes: of weights, optimizer and one batch.
    """

    name: str
    scores: tuple[float, ...]
    missed: tuple[Missed, ...]
    rate: float
    seconds: float
    trained: int
    bytes: int

    @property
    def mean(self) -> float:
        return float(np.mean(self.scores))


@dataclass(frozen=True)
class Judgement:
    """The better of two ways against the other: over seeds, and over test images (None: not known, or many).

    Both are paired and corrected for all pairs. An interval over seeds is of these test images; one over images is of
    these seeds. A difference counts only where neither leaves room for none.
    """

    verdict: Verdict
    images: Interval | None

    @property
    def shown_over_seeds(self) -> bool:
        return self.verdict.winner == self.verdict.a

    @property
    def shown(self) -> bool:
        return self.shown_over_seeds and (self.images is None or self.images.low > 0)

    def over_images(self, count: int) -> str:
        """`over the 15 test images -3.1 to 16.2`; empty where that is not known."""
        if self.images is None:
            return ""
        if self.images.method == "sign test":  # its bounds are not worth printing
            return f"on each of the {count:,} test images they differ by the same"
        return f"over the {count:,} test images {' to '.join(in_points([self.images.low, self.images.high]))} points"


@dataclass(frozen=True)
class Choice:
    """Which way to take.

    best: the way with the best mean; tied: those not shown to be worse than it, itself among them, best mean first.
    judgements: best against each other way, best mean first.
    images: in the test split; chance: accuracy of always naming its most frequent class.
    """

    standings: tuple[Standing, ...]
    judgements: tuple[Judgement, ...]
    images: int
    chance: float

    @property
    def best(self) -> Standing:
        return self.standings[0]

    @cached_property
    def tied(self) -> tuple[Standing, ...]:
        equals = {judgement.verdict.b for judgement in self.judgements if not judgement.shown}
        return tuple(each for each in self.standings if each is self.best or each.name in equals)

    @cached_property
    def winner(self) -> Standing:
        """Of those tied and near the cheapest; of several that are about as cheap the one with the best mean."""
        least = min(each.seconds for each in self.near)
        return next(each for each in self.near if each.seconds <= ABOUT_AS_CHEAP * least)

    @property
    def near(self) -> tuple[Standing, ...]:
        """Those tied whose mean is near the best, too: that no difference is shown does not make two ways equal."""
        return tuple(each for each in self.tied if each.mean >= self.best.mean - self.margin)

    @property
    def margin(self) -> float:
        """How far from the best is near: at least one test image, as that is the luck of one."""
        return max(NEAR, 1 / self.images)

    @property
    def runner_up(self) -> Judgement:
        """The winner's evidence: the best way against the next one, or against the winner where that is another."""
        other = self.winner.name if self.winner is not self.best else self.standings[1].name
        return next(judgement for judgement in self.judgements if judgement.verdict.b == other)

    def sentences(self) -> list[str]:
        """The recommendation, its evidence, and what to keep in mind."""
        return [self.verdict_sentence(), self.evidence(), *self.cautions()]

    def verdict_sentence(self) -> str:
        if len(self.tied) == 1:
            return f"Take {self.winner.name}: it is better than every other way."
        others = [each.name for each in self.tied if each is not self.best]
        ahead = all(each.mean < self.best.mean for each in self.tied[1:])
        pair = f"{self.best.name}, which has the best mean, and {listed(others)}"
        tied = f"No difference is shown between {pair if ahead else listed([self.best.name, *others])}"
        within = "" if self.near == self.tied else f" whose mean is within {100 * self.margin:.2g} points of it"
        if len(self.near) == 1:
            return f"{tied}. Take {self.winner.name}: no other's mean is within {100 * self.margin:.2g} points of it."
        if self.winner is self.best:
            return f"{tied}. Take {self.winner.name}: none of these{within} is clearly cheaper."
        cost = f"{in_seconds(self.winner)}, {self.best.name} {in_seconds(self.best)}"
        better = self.best.mean > self.winner.mean
        guess = f" Where that does not matter, {self.best.name} is the better guess." if better else ""
        which = f"the cheapest{within and ' of those'}{within}"
        return f"{tied}. Take {which}, {self.winner.name}: a run takes {cost}.{guess}"

    def evidence(self) -> str:
        found = self.runner_up
        images, said = found.over_images(self.images), words if found.verdict.winner else furthest
        return f"{said(found.verdict).removesuffix('.')}{images and f'; {images}'}."

    def cautions(self) -> list[str]:
        """What the numbers do not tell."""
        return [*self._too_few_to_tell(), *self._coarse(), *self._nothing_learned()]

    def _too_few_to_tell(self) -> list[str]:
        hidden = [each.verdict.b for each in self.judgements if each.shown_over_seeds and not each.shown]
        said = f"{self.best.name} is ahead of {listed(hidden)} over seeds, but on so few" if hidden else ""
        other = f"of the {self.images:,} test images that other images might say otherwise"
        return [f"{said} {other}: the test is too small to tell."] if said else []

    def _coarse(self) -> list[str]:
        said = f"The test has {self.images} images, so one of them is {100 / self.images:.1f} points"
        return (
            [f"{said}, and rates were tuned by as many: more images would tell more."]
            if self.images < FEW_IMAGES
            else []
        )

    def _nothing_learned(self) -> list[str]:
        said = f"No way is better than always naming the most frequent class ({100 * self.chance:.1f}%)"
        return [f"{said}: try more epochs, or larger images (data.size)."] if self.best.mean <= self.chance else []


def choose(
    standings: Sequence[Standing],
    images: int,
    chance: float,
    *,
    level: float = LEVEL,
    worth: float = WORTH,
    sequential: bool = False,
) -> Choice:
    """Judge the way with the best mean against all others.

    Raises:
        ValueError: fewer than two ways or seeds, or scores that are no fractions.
    """
    found = verdicts({each.name: each.scores for each in standings}, level=level, worth=worth, sequential=sequential)
    ranked = tuple(sorted(standings, key=lambda each: each.mean, reverse=True))
    best, *others = ranked
    pairs = {frozenset((verdict.a, verdict.b)): verdict for verdict in found}
    judgements = [judged(best, other, pairs[frozenset((best.name, other.name))], images) for other in others]
    return Choice(ranked, tuple(judgements), images, chance)


def judged(best: Standing, other: Standing, verdict: Verdict, images: int) -> Judgement:
    differences = by_image(best.missed, other.missed, images)
    over = None if differences is None else interval(differences, verdict.interval.level)
    return Judgement(oriented(verdict, best.name), over)


def by_image(a: Sequence[Missed], b: Sequence[Missed], images: int) -> np.ndarray | None:
    """(images,) in [-1, 1]: how much more often a was right on each, over the seeds at which both are known."""
    both = [(one, two) for one, two in zip(a, b, strict=True) if one is not None and two is not None]
    if not both or images < 2:
        return None
    found = np.zeros(images)
    for one, two in both:
        found[list(one)] -= 1
        found[list(two)] += 1
    return found / len(both)


def in_seconds(standing: Standing) -> str:
    return f"{standing.seconds:.3g} s"


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last
