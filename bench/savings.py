"""What saving takes and gives: memory and time of a step with bfloat16, layers computed again, and a batch in parts.

  python bench/savings.py    # each variant in a process of its own, in turn

A resnet on drawn shapes, batches of 128 on the CPU. Memory is how much more the process holds at its highest in steps
than before the first one; `counted` is what the panel says that a batch keeps. Prints all as shares of the plain one's.
Kept features are measured by `bench/transfer.py`. The numbers are kept in bench/results/savings-cpu.json.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from measure import machine

from lab import Recipe, Step, Training
from lab.costs import costs

RESULTS = Path(__file__).parent / "results" / "savings-cpu.json"
RECIPE = Recipe(data="shapes", model={"name": "resnet", "depth": 4, "width": 16}, batch_size=128, epochs=1000)
VARIANTS = {
    "plain": {},
    "bfloat16": {"precision": "bfloat16"},
    "recompute": {"gradient": "recompute"},
    "in_parts of 16": {"gradient": {"name": "in_parts", "images": 16}},
    "both": {"gradient": [{"name": "in_parts", "images": 16}, "recompute"]},
}
WARM, STEPS, ROUNDS = 2, 6, 2


def measured(name: str) -> dict[str, float]:
    """Seconds of a step, and bytes: at its highest, and as counted."""
    recipe = RECIPE.changed(**VARIANTS[name])
    counted = costs(recipe).activation_bytes
    session = Training(recipe, device="cpu")
    before, times = highest(), list[float]()
    for event in session:
        if isinstance(event, Step):
            times.append(time.perf_counter())
        if len(times) == WARM + STEPS:
            break
    return {"seconds": (times[-1] - times[WARM - 1]) / STEPS, "memory": highest() - before, "counted": counted}


def highest() -> float:
    """Bytes that this process has held at most."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measured(sys.argv[1])))
        return
    here = machine("cpu", ("torch",))
    rounds = [{name: alone(name) for name in VARIANTS} for _ in range(ROUNDS)]
    found = {name: least(rounds, name) for name in VARIANTS}
    shares = {name: {key: value / found["plain"][key] for key, value in of.items()} for name, of in found.items()}
    for name, share in shares.items():
        print(name, ", ".join(f"{key} {value:.2f}" for key, value in share.items()), found[name])
    report = {"machine": here, "recipe": RECIPE.model_dump(mode="json"), "steps": STEPS, "rounds": ROUNDS}
    report |= {"least": found, "shares of plain": shares}
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def alone(name: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def least(rounds: list[dict[str, dict[str, float]]], name: str) -> dict[str, float]:
    """Of all rounds: what else goes on on a machine only adds."""
    return {key: min(each[name][key] for each in rounds) for key in ("seconds", "memory", "counted")}


if __name__ == "__main__":
    main()
