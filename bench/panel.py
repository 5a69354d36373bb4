"""The panel in JupyterLab in Chromium: how long a click takes, and what an update costs.

Measured, in one browser session, medians over the rounds:
  click to first point   from the click on Train to the first point drawn, digits and mlp
  stop to stopped        from the click on Stop to the status line saying so
  bytes per update       websocket bytes from the kernel divided by the redraws of the loss, all widgets included
  kernel per update      time of one flush on the kernel's main loop
  training speed         steps a second in the panel's thread, against the same training without a panel

    python bench/panel.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import machine
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "browser"))
from jupyterlab_window import CHROMIUM, Server, Window  # noqa: E402  # the tests' own way into JupyterLab

from lab.doctor import browser as find_browser  # noqa: E402

POINTS = "document.querySelector('.lab-results .js-plotly-plot')?.data?.[2]?.y?.length"
CLICK_TO_POINT = f"""() => new Promise(resolve => {{
  const start = performance.now(), clicked = document.querySelector('.lab-train');
  const look = () => ({POINTS} > 0) ? resolve(performance.now() - start) : requestAnimationFrame(look);
  clicked.click(); look(); }})"""
STOP_TO_STOPPED = """() => new Promise(resolve => {
  const start = performance.now(), stopped = '.lab-progress .lab-status[data-state=stopped]';
  const look = () => document.querySelector(stopped) ? resolve(performance.now() - start) : requestAnimationFrame(look);
  document.querySelector('.lab-stop').click(); look(); })"""
WATCH_FLUSHES = """
import time
flush, seconds = panel.pump.flush, []
def timed(items):
    start = time.perf_counter(); flush(items); seconds.append(time.perf_counter() - start)
panel.pump.flush = timed"""
BARE_STEPS = """
import time
session = lab.training(panel.recipe.changed(epochs=200))
steps = 0; start = time.perf_counter()
for event in session:
    steps += isinstance(event, lab.Step)
print(steps / (time.perf_counter() - start))"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=ROOT / "bench" / "results" / "panel.json")
    given = parser.parse_args()
    figures = in_jupyterlab(given.rounds)
    facts = machine("cpu", ("torch", "jupyterlab", "ipywidgets", "plotly"))
    report = {"machine": facts, "rounds": given.rounds, **figures}
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(report, indent=1) + "\n")
    for name, value in figures.items():
        print(f"{name:32} {value:10.3f}")


def in_jupyterlab(rounds: int) -> dict[str, float]:
    home = Path(tempfile.mkdtemp())
    shutil.copytree(ROOT / "notebooks", home / "root" / "notebooks", ignore=shutil.ignore_patterns("runs", ".*"))
    server = Server(home / "root", home).wait()
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=find_browser(), args=CHROMIUM)
            window = Window(chromium.new_page(viewport={"width": 1400, "height": 1000}), server)
            return measure(window, rounds)
    finally:
        server.close()
        shutil.rmtree(home, ignore_errors=True)


def measure(window: Window, rounds: int) -> dict[str, float]:
    received = count_bytes(window)
    window.open()
    window.run_all()
    window.kernel(WATCH_FLUSHES)
    results = [one_round(window, received) for _ in range(rounds)]
    return {name: statistics.median(result[name] for result in results) for name in results[0]}


def count_bytes(window: Window) -> list[int]:
    """Sizes of all websocket messages that the page receives, as they come."""
    sizes: list[int] = []

    def watch(socket: Any) -> None:
        socket.on("framereceived", lambda frame: sizes.append(len(frame)))

    window.page.on("websocket", watch)
    return sizes


def one_round(window: Window, received: list[int]) -> dict[str, float]:
    window.recipe(epochs=2000)
    window.page.wait_for_timeout(500)
    first = window.page.evaluate(CLICK_TO_POINT)
    window.page.wait_for_timeout(4000)  # past the first thousand points
    window.kernel("seconds.clear()")
    updates = watch_updates(window, received, 4.0)
    speed = float(window.kernel("print(panel.runs[-1].step / panel.runs[-1].seconds)"))
    stopped = window.page.evaluate(STOP_TO_STOPPED)
    window.kernel("panel.clear()")
    window.page.wait_for_selector(".lab-empty")
    bare = float(window.kernel(BARE_STEPS))
    return {
        "click to first point, s": first / 1000,
        "stop to stopped, s": stopped / 1000,
        **updates,
        "steps/s in the panel": speed,
        "steps/s without": bare,
        "ratio": speed / bare,
    }


def watch_updates(window: Window, received: list[int], seconds: float) -> dict[str, float]:
    before, start = len(received), time.monotonic()
    window.page.wait_for_timeout(seconds * 1000)
    elapsed, size = time.monotonic() - start, sum(received[before:])
    times = json.loads(window.kernel("print(seconds)"))
    return {
        "updates/s": len(times) / elapsed,
        "kB per update": size / 1000 / len(times),
        "kernel ms per update": 1000 * statistics.median(times),
    }


if __name__ == "__main__":
    main()
