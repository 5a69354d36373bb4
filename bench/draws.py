"""A claim on few labels, over draws of the labelled images in place of one: no speed, but how far the claim carries.

  python bench/draws.py [CLAIM] [scratch=0.001 whole=0.003]    # one of CLAIMS; rates, which no run here decides

The seeds of a claim share their few images: its interval does not hold the luck of that draw. Here each
of eight draws (10 to 17) has a seed of its own, both arms are trained on it, and the interval is over the draws.
Prints test accuracies and the verdict.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lab.claims import Claim
from lab.first import trained_first
from lab.probes import accuracy_on_test
from lab.sentences import words
from lab.verdicts import verdict

FOLDER = Path(__file__).parent.parent / "recipes" / "claims"
DRAWS = range(10, 18)
CLAIMS = {  # and at which rates: those of an exploration, and those of the claim's own search
    "related_clothes_help_with_one_label": {"scratch": 0.001, "whole": 0.003},
    "transfer_beats_scratch_on_digits": {"scratch": 0.0095, "whole": 0.0169},
    "other_digits_help_with_five_labels": {"scratch": 0.0075, "whole": 0.01},
}


def main() -> None:
    claim = next((word for word in sys.argv[1:] if "=" not in word), next(iter(CLAIMS)))
    given = {name: float(rate) for name, sign, rate in (word.partition("=") for word in sys.argv[1:]) if sign}
    if claim not in CLAIMS:
        sys.exit(f"There are rates for {', '.join(CLAIMS)}, not for {claim}.")
    rates = CLAIMS[claim] | given
    plan = Claim.load(FOLDER / f"{claim}.yaml").plans["tuned"]
    for recipe in plan.first.values():
        trained_first(recipe, lambda *_: None, device="cpu")
    found: dict[str, list[float]] = {name: [] for name in rates}
    for draw in DRAWS:
        for name, rate in rates.items():
            changes = {"optimizer.lr": rate, "modify.subset.draw": draw, "seed": draw}
            found[name].append(accuracy_on_test(plan.arms[name].changed(**changes), "cpu"))
        print(f"draw {draw}: {', '.join(f'{name} {scores[-1]:.3f}' for name, scores in found.items())}", flush=True)
    print(words(verdict("whole", "scratch", found["whole"], found["scratch"])))


if __name__ == "__main__":
    main()
