"""Which learning rate a range test suggests: named rules on rates and smoothed losses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SMOOTHING = (
    0.8  # share of the last mean that is kept; the curve lags by 4 steps, at 100 steps over 7 decades a factor of 2
)
SETTLED = 10  # steps until a smoothed loss no longer hangs on the first batches
REACH = 5  # steps to either side over which a slope is taken: chance makes single steps steep anywhere


def smoothed(losses: np.ndarray) -> np.ndarray:
    """Exponential moving mean, corrected for its start at 0, as Adam corrects its moments.

    m_i <- beta m_(i-1) + (1 - beta) loss_i ;  returned: m_i / (1 - beta^(i+1))
    """
    means, mean = np.empty(len(losses)), 0.0
    for place, loss in enumerate(losses):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        means[place] = mean / (1 - SMOOTHING ** (place + 1))
    return means


def steepest(rates: np.ndarray, losses: np.ndarray) -> float:
    """Where the smoothed loss falls fastest by the rate's logarithm: over 10 steps, after the first 10.

    slope_i = (loss_(i+5) - loss_(i-5)) / (log rate_(i+5) - log rate_(i-5))
    """
    logs, first = np.log(rates), min(SETTLED, len(rates) - 2 * REACH - 1)
    falls = (losses[2 * REACH :] - losses[: -2 * REACH]) / (logs[2 * REACH :] - logs[: -2 * REACH])
    return rates[REACH + first + falls[first:].argmin()]


def valley(rates: np.ndarray, losses: np.ndarray) -> float:
    """In the middle of the longest valley: the longest series of falling losses, whose members need not be neighbours.

    The series is taken to begin as many steps before its end as it has members; the rate is a third and a sixth
    of that further.

    Source: fastai, `fastai.callback.schedule.valley`.
    """
    end, length = longest_valley(losses)
    return rates[max(0, end - length + int(length / 3) + int(length / 6))]


def longest_valley(losses: np.ndarray) -> tuple[int, int]:
    """Last place and number of members of the longest falling subsequence; the first found of equally long ones.

    Example:
        >>> longest_valley(np.array([3.0, 5.0, 4.0, 2.0, 1.0, 6.0]))
        (4, 4)
    """
    lengths = np.ones(len(losses), dtype=int)
    for place in range(1, len(losses)):
        lengths[place] = 1 + max(lengths[:place][losses[:place] > losses[place]], default=0)
    return int(lengths.argmax()), int(lengths.max())


def minimum_tenth(rates: np.ndarray, losses: np.ndarray) -> float:
    """A tenth of the rate at which the smoothed loss is lowest.

    Source: fastai, the rule `minimum`.
    """
    return rates[losses.argmin()] / 10


RULES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "steepest": steepest,
    "valley": valley,
    "minimum_tenth": minimum_tenth,
}
