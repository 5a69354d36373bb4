"""A page that nobody sees: no frame comes, training goes on, and what is shown again is what is known by then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from jupyterlab_window import LONG, Window  # pyright: ignore[reportMissingImports]

pytestmark = pytest.mark.browser

# As a browser does with a tab behind others: it says so, and gives no frames until the page is seen again.
SEEN = """seen => {
  const always = (value) => ({ configurable: true, get: () => value });
  Object.defineProperty(document, 'hidden', always(!seen));
  Object.defineProperty(document, 'visibilityState', always(seen ? 'visible' : 'hidden'));
  window.askForFrame ??= window.requestAnimationFrame;
  window.keptFrames ??= [];
  window.requestAnimationFrame = seen ? window.askForFrame : (then) => window.keptFrames.push(then);
  if (seen) window.keptFrames.splice(0).forEach((then) => window.askForFrame(then));
  document.dispatchEvent(new Event('visibilitychange'));
}"""
# Of the last run's validation.
LAST_LOSS = "() => document.querySelector('.lab-results .js-plotly-plot').data.at(-3).y.at(-1)"
AWAY = 4  # seconds behind other tabs, at least


def acknowledged(window: Window) -> tuple[int, int, float]:
    """Up to which change the browser says that it has drawn, the last one that was sent, the seconds that it took."""
    drawn, sent, took = window.kernel("f = panel.curves.figure; print(f._drawn, f._sent, f._took)").split()
    return int(drawn), int(sent), float(took)


@pytest.fixture
def seen(panel: Window) -> Iterator[Window]:
    """The panel in a page that is seen again afterwards, or no later test would get a frame."""
    yield panel
    panel.page.evaluate(SEEN, arg=True)


def test_a_page_that_was_hidden_while_a_run_trained_is_current_when_it_is_shown_again(seen: Window) -> None:
    panel = seen
    panel.recipe(**LONG)
    panel.page.locator(".lab-train").click()
    panel.state("running")
    panel.until("panel.curves.figure._sent > 0 and panel.curves.figure._drawn == panel.curves.figure._sent")
    panel.page.evaluate(SEEN, arg=False)
    before = int(panel.kernel("print(panel.runs[-1].step)"))
    panel.until(f"panel.runs[-1].step > {before} + 100")
    panel.page.wait_for_timeout(1000 * AWAY)
    panel.kernel("panel.stop()")
    panel.until("panel.runs[-1].status == 'stopped'")
    panel.recipe(epochs=3)
    panel.kernel("panel.start()")
    panel.until("len(panel.runs) == 2 and panel.runs[-1].status == 'finished'")
    panel.until("panel.curves.figure._drawn < panel.curves.figure._sent")  # nobody drew what no frame has shown
    panel.page.evaluate(SEEN, arg=True)
    panel.until("panel.curves.figure._drawn == panel.curves.figure._sent")
    last = float(panel.kernel("print(panel.runs[-1].history.epochs[-1].validation_loss)"))
    panel.page.wait_for_function(f"last => Math.abs(({LAST_LOSS})() - last) < 1e-6", arg=last)
    assert acknowledged(panel)[2] < AWAY  # the absence is not counted as drawing
    panel.state("finished")
    assert panel.errors == []
