"""The usual objective."""

from __future__ import annotations

from lab.data.splits import Dataset
from lab.objectives import objectives
from lab.objectives.objective import Objective


@objectives.add
def supervised(data: Dataset, smoothing: float) -> Objective:
    """Learn the class of each image from its label.

    loss = - mean log p(label | image)
    Where the data set is judged in another domain (new_domain, backgrounds), nothing is done about that: source only.

    Source: Bishop 2006, Pattern Recognition and Machine Learning, section 4.3.4.
    """
    return Objective(data, smoothing)
