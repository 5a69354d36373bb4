"""Features computed once and kept, against the same frozen network run anew at every step.

  python bench/transfer.py [EPOCHS ...]    # 1 5 20 by default

Both train a last layer on EfficientNet-Lite0's random features of the digits (weights do not matter for time),
validation included. Prints the ratio of the seconds, live over kept; at best it is the number of epochs.
"""

from __future__ import annotations

import sys
import time
from unittest.mock import patch

from lab import Recipe, Training, features

RECIPE = Recipe(model={"name": "efficientnet_lite0", "pixels": 32}, transfer="features")


def seconds(recipe: Recipe, *, kept: bool) -> float:
    """Of a whole run, its network built before."""
    session = Training(recipe, device="cpu")
    with patch.object(features, "keeps_features", (lambda _: kept)):
        start = time.perf_counter()
        list(session)
    assert (session.features is not None) == kept
    return time.perf_counter() - start


def main() -> None:
    few = RECIPE.changed(modify=[{"name": "subset", "per_class": 20}])
    seconds(few.changed(epochs=1), kept=True)  # warm up
    for epochs in map(int, sys.argv[1:] or ("1", "5", "20")):
        recipe = few.changed(epochs=epochs)
        live, kept = seconds(recipe, kept=False), seconds(recipe, kept=True)
        print(f"{epochs} epochs: {live / kept:.1f} times faster with kept features")


if __name__ == "__main__":
    main()
