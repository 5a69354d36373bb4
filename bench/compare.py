"""How long a fair comparison takes: five optimizers, nine rates each, eight seeds, on the digits.

tuned    `recipes/optimizers.yaml` as it stands: search, then eight seeds at the rates given and at those found
full     every rate with every seed (five times nine times eight runs), then the same final runs

  python bench/compare.py
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from measure import machine

import lab

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    rows = {}
    for name, changes in {"tuned": {}, "full": {"tuning_seeds": 8, "finalists": 1.0}}.items():
        plan = lab.Plan.load(ROOT / "recipes" / "optimizers.yaml", changes)
        start = time.perf_counter()
        comparison = lab.Comparison(plan).run()
        runs = sum(cost["runs"] for cost in comparison.cost().values())
        rows[name] = {"seconds": time.perf_counter() - start, "runs": runs}
        print(name, rows[name], flush=True)
    report = {"machine": machine("cpu", ("lab", "torch")), **rows}
    (ROOT / "bench" / "results" / "compare-cpu.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
