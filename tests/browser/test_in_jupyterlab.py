"""The panel in a real JupyterLab in a real browser, used as a person would."""

from __future__ import annotations

import pytest
from jupyterlab_window import LONG, Window, add_augmentation, press  # pyright: ignore[reportMissingImports]

import lab

pytestmark = pytest.mark.browser

CELLS = "() => window.jupyterapp.shell.currentWidget.content.model.cells.length"
TEXT = "() => document.querySelector('.lab-code textarea').value"
FIGURES = """from plotly.graph_objects import Figure
for paper in ("white", "#ffffff", "#123", "rgba(0, 0, 0, 0)"):
    display(Figure().add_scatter(y=[1, 2]).update_layout(paper_bgcolor=paper, height=200))"""
LAST_CELL = """(code) => { const { content } = window.jupyterapp.shell.currentWidget;
  content.model.sharedModel.insertCell(content.model.cells.length, { cell_type: 'code', source: code });
  content.activeCellIndex = content.model.cells.length - 1 }"""
FILTERS = "() => [...document.querySelectorAll('.jp-RenderedPlotly')].map((each) => getComputedStyle(each).filter)"


def train(window: Window, **changes: object) -> None:
    if changes:
        window.recipe(**changes)
    press(window, "train")


def grows(window: Window, trace: int = 0) -> None:
    """The trace gets new points while we look."""
    now = window.traces()[trace]["points"]
    window.page.wait_for_function(
        "([i, n]) => document.querySelector('.lab-results .js-plotly-plot').data[2 + i].y.length !== n",
        arg=[trace, now],
    )


def drawn(window: Window, *points: int) -> None:
    """The first traces get so many points in the end: the last ones come when the browser has drawn those before."""
    lengths = (
        "document.querySelector('.lab-results .js-plotly-plot').data.slice(2).map((trace) => trace.y?.length ?? 0)"
    )
    window.page.wait_for_function(f"(points) => JSON.stringify({lengths}) === JSON.stringify(points)", arg=[*points])


def test_from_empty_state_to_a_trained_network(panel: Window) -> None:
    assert "press" in str(panel.page.locator(".lab-results .infolayer").first.text_content())
    assert "Runs appear here" in panel.page.locator(".lab-empty").inner_text()
    assert panel.page.locator(".Toastify__toast").all_inner_texts() == []  # `make lab` says the same settings
    press(panel, "train")
    panel.state("finished")
    row = panel.page.locator("table.lab-runs tbody tr").inner_text()
    assert "Finished" in row
    assert "20 of 20" in row
    assert float(panel.kernel("print(panel.runs[0].best.validation_accuracy)")) > 0.95
    drawn(panel, 200, 200, 20, 20, 0)
    assert panel.errors == []


def test_curves_grow_pause_hold_and_stop(panel: Window) -> None:
    train(panel, **LONG)
    panel.state("running")
    grows(panel)
    press(panel, "pause")
    panel.state("paused")
    panel.page.wait_for_timeout(3000)  # in which the step that was under way ends
    held = panel.kernel("print(panel.runs[0].step)")
    panel.page.wait_for_timeout(700)
    assert panel.kernel("print(panel.runs[0].step)") == held
    press(panel, "pause")
    panel.state("running")
    panel.until(f"panel.runs[0].step > {held}")
    grows(panel)
    press(panel, "stop")
    panel.state("stopped")
    assert panel.page.locator(".lab-stop").is_disabled()


def test_several_runs_queue_and_differ_in_colour_and_dash(panel: Window) -> None:
    train(panel, epochs=100)
    train(panel, optimizer="adam")
    train(panel, **{"optimizer.lr": 1e4})
    panel.state("diverged", timeout=180_000)
    assert panel.kernel("print([run.status for run in panel.runs])") == "['finished', 'finished', 'diverged']"
    lines = {(trace["color"], trace["dash"]) for trace in panel.traces()}
    assert len(lines) == 3
    assert len({colour for colour, _ in lines}) == len({dash for _, dash in lines}) == 3
    table = panel.page.locator("table.lab-runs").inner_text()
    assert "sgd(lr=10000.0)" in table
    assert "The loss is not finite at step" in panel.page.locator(".lab-message").inner_text()
    press(panel, "clear")
    panel.page.wait_for_selector(".lab-empty")


def test_an_error_is_shown_in_words_and_the_panel_stays_usable(panel: Window) -> None:
    train(panel, data={"name": "folder", "path": "no <b>such</b> folder"})
    panel.state("failed")
    assert "There is no folder no <b>such</b> folder." in panel.page.locator(".lab-message").inner_text()
    train(panel, epochs=1)
    panel.state("finished")


def test_an_invalid_value_is_refused_as_it_is_typed(panel: Window) -> None:
    box = panel.page.locator(".lab-epochs input[type=number]")
    box.fill("0")
    box.press("Enter")
    message = panel.page.wait_for_selector(".lab-message")
    assert message is not None
    assert message.inner_text().startswith("epochs is 0, but must be a whole number at least 1")
    box.fill("300")
    box.press("Enter")
    panel.page.wait_for_selector(".lab-message", state="detached")
    assert panel.kernel("print(panel.recipe.epochs)") == "300"


def test_sliders_never_change_a_value_that_was_set(panel: Window) -> None:
    values = {"epochs": 777, "batch_size": 61, "optimizer.lr": 0.0123, "model.width": 63, "seed": 123456}
    panel.recipe(**values)
    panel.page.wait_for_function(f"() => ({TEXT})().includes('seed: 123456')")
    panel.page.wait_for_timeout(500)  # in which a slider would answer
    text = panel.page.evaluate(TEXT)
    assert all(f"{key.split('.')[-1]}: {value}" in text for key, value in values.items())


def test_picking_an_option_swaps_in_its_settings(panel: Window) -> None:
    panel.page.get_by_label("optimizer", exact=True).select_option("adam")
    panel.page.wait_for_selector(".lab-beta1")
    assert panel.page.locator(".lab-momentum").count() == 0
    panel.page.wait_for_function(f"() => ({TEXT})().includes('adam')")
    add_augmentation(panel, "flip")
    panel.page.wait_for_selector(".lab-p input")
    panel.page.wait_for_function(f"() => ({TEXT})().includes('flip, p: 0.5')")
    assert panel.kernel("print(panel.recipe.augment)") == "(flip(name='flip', p=0.5),)"


def test_an_option_from_a_cell_appears_in_the_panel(panel: Window) -> None:
    panel.kernel("""
@lab.activations.add
def square():
    "x times x. Source: this test."
    class Square(__import__('torch').nn.Module):
        def forward(self, x): return x * x
    return Square()
panel.recipe = panel.recipe""")
    panel.page.get_by_label("activation", exact=True).select_option("square")
    train(panel)
    panel.page.wait_for_function("() => document.querySelectorAll('table.lab-runs tbody tr').length === 1")
    panel.kernel("panel.wait()")
    assert "square" in panel.kernel("print(panel.runs[0].provenance['custom_options'])")


DRAWN = "not panel.curves._late and panel.curves.figure._drawn == panel.curves.figure._sent"
# Where the curves of validation begin, and how far their points lie apart.
PLACES = """() => document.querySelector('.lab-results .js-plotly-plot').data.slice(4, 6).map((t) => [t.x0, t.dx])"""


def test_reloading_the_page_shows_the_same_state_and_goes_on(panel: Window) -> None:
    panel.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")  # it saves itself
    train(panel, **LONG, augment=["flip", "crop"], modify=["random_labels"])
    panel.state("running")
    grows(panel)
    before = panel.traces()[2]["points"]
    panel.page.reload(wait_until="domcontentloaded")
    panel.ready()
    panel.state("running")
    panel.page.wait_for_function("() => document.querySelector('.lab-results .js-plotly-plot')?.data?.length === 7")
    assert panel.traces()[2]["points"] >= before
    for setting in ("share", "padding"):  # of what is ticked
        panel.page.wait_for_selector(f".lab-{setting} input")
    grows(panel)
    press(panel, "stop")
    panel.state("stopped")
    panel.until(DRAWN)  # the last epoch decides where the first point of a long run is
    panel.page.wait_for_function(f"() => ({PLACES})().every(([x0, dx]) => x0 && dx)")
    places = panel.page.evaluate(PLACES)
    panel.page.reload(wait_until="domcontentloaded")
    panel.ready()
    panel.state("stopped")
    panel.page.wait_for_function("() => document.querySelector('.lab-results .js-plotly-plot')?.data?.length === 7")
    panel.page.wait_for_timeout(1000)  # in which the browser tells what it takes for defaults
    assert panel.page.evaluate(PLACES) == places


def test_running_the_cell_again_replaces_the_panel(panel: Window) -> None:
    train(panel, **LONG)
    panel.state("running")
    panel.kernel("old = panel")
    panel.run_all()
    panel.page.wait_for_selector(".lab-empty")
    assert panel.page.locator(".lab-panel").count() == 1
    panel.until("old.entries[0].job.run.status == 'stopped' and old.ui.comm is None")
    panel.until("[t.name for t in __import__('threading').enumerate()].count('lab-training') == 1")


def test_the_dark_theme_is_followed(panel: Window) -> None:
    colour = "() => getComputedStyle(document.querySelector('.lab-results :is(.gtitle, .annotation-text)')).fill"
    light = panel.page.evaluate(colour)
    panel.command("apputils:change-theme", {"theme": "JupyterLab Dark"})
    panel.page.wait_for_function(f"(light) => ({colour})() !== light", arg=light)
    panel.command("apputils:change-theme", {"theme": "JupyterLab Light"})
    panel.page.wait_for_function(f"(light) => ({colour})() === light", arg=light)


def test_figures_of_cells_on_white_paper_are_turned_round_on_a_dark_page_and_no_others(panel: Window) -> None:
    panel.page.evaluate(LAST_CELL, FIGURES)
    panel.command("notebook:run-cell")
    panel.page.wait_for_function("() => document.querySelectorAll('.jp-RenderedPlotly .main-svg').length >= 8")
    assert panel.page.evaluate(FILTERS) == ["none"] * 4
    panel.command("apputils:change-theme", {"theme": "JupyterLab Dark"})
    panel.page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
    filters = panel.page.evaluate(FILTERS)
    panel.command("apputils:change-theme", {"theme": "JupyterLab Light"})
    panel.command("notebook:delete-cell")
    assert [each.partition("(")[0] for each in filters] == ["invert", "invert", "none", "none"]


def test_the_keyboard_reaches_everything_and_inserts_no_cells(panel: Window) -> None:
    cells = panel.page.evaluate(CELLS)
    panel.page.locator(".lab-optimizer select").focus()
    panel.page.keyboard.type("adam")
    panel.page.wait_for_selector(".lab-beta1")
    panel.page.keyboard.press("b")
    panel.page.locator(".lab-train").focus()
    panel.page.keyboard.press("Space")
    panel.state("finished")
    panel.page.keyboard.press("a")
    assert panel.page.evaluate(CELLS) == cells
    slider = panel.page.get_by_role("slider", name="lr", exact=True)
    slider.focus()
    panel.page.keyboard.press("ArrowRight")
    panel.page.wait_for_function("() => document.querySelector('.lab-lr input').value !== '0.001'")


def test_every_control_has_a_name(panel: Window) -> None:
    nameless = """() => {
        const controls = document.querySelectorAll('.lab-panel :is(select, input, button, textarea, [role=slider])');
        const name = (e) => e.ariaLabel || e.labels?.[0]?.innerText || e.innerText || e.title || e.placeholder;
        return [...controls].filter(e => e.offsetParent && !name(e)).map(e => e.outerHTML.slice(0, 200)) }"""
    panel.page.wait_for_function(f"() => ({nameless})().length === 0")


def test_every_choice_is_explained_where_it_is_made(panel: Window) -> None:
    title = panel.page.locator(".lab-optimizer select").get_attribute
    panel.page.wait_for_selector(".lab-optimizer select[title^='Stochastic gradient descent']")
    panel.page.get_by_label("optimizer", exact=True).select_option("adam")
    panel.page.wait_for_selector(".lab-optimizer select[title^='Adaptive moments']")
    assert "each weight" in str(title("title"))
    panel.recipe(augment=["flip"])
    panel.page.wait_for_selector(".lab-augment-flip input[title]")
    assert panel.page.locator(".lab-augment-flip input").get_attribute("title") == lab.augmentations.sentence("flip")
    assert panel.page.locator(".lab-panel [title=null]").count() == 0


def test_a_control_without_effect_is_greyed_and_says_why(panel: Window) -> None:
    select = panel.page.locator(".lab-activation select")
    panel.page.get_by_label("model", exact=True).select_option("torchvision")
    panel.page.wait_for_selector(".lab-activation select[title^='No effect: networks of torchvision bring']")
    assert select.is_disabled()
    panel.page.get_by_label("model", exact=True).select_option("mlp")
    panel.page.wait_for_selector(".lab-activation select[title^='Rectified']")
    assert select.is_enabled()
    assert panel.errors == []


def test_the_init_doctor_follows_the_controls_also_while_training(panel: Window) -> None:
    sentence = panel.page.locator(".lab-forecast .lab-doctor")
    panel.page.wait_for_selector(".lab-verdict-line[data-trouble=none]")
    assert "parameters" in panel.page.locator(".lab-forecast").inner_text()
    train(panel, **{**LONG, "model.depth": 6})
    panel.state("running")
    panel.page.get_by_label("activation", exact=True).select_option("sigmoid")
    panel.page.wait_for_selector(".lab-verdict-line[data-trouble=vanishing]")
    assert "The gradient at layer 1 is" in sentence.inner_text()
    assert panel.page.locator(".lab-forecast .js-plotly-plot .main-svg").count() > 0
    panel.state("running")
    assert panel.errors == []


def test_formula_and_picture_unfold_beside_a_choice(panel: Window) -> None:
    press(panel, "about-activation")
    panel.page.get_by_text("f(x) = max(0, x)").wait_for()
    panel.page.wait_for_selector(".lab-controls .js-plotly-plot .main-svg")
    names = "() => document.querySelector('.lab-controls .js-plotly-plot').data.map(trace => trace.name)"
    panel.page.wait_for_function(f"() => ({names})().length === 3")
    assert panel.page.evaluate(names) == ["inputs", "f(x)", "slope f'(x)"]
    assert panel.page.evaluate(
        "() => { const c = document.querySelector('.lab-controls'); return c.scrollWidth <= c.offsetWidth }"
    )
    press(panel, "about-activation")
    panel.page.wait_for_selector(".lab-controls .js-plotly-plot", state="hidden")
    assert panel.errors == []


def test_a_rate_is_found_and_used(panel: Window) -> None:
    press(panel, "find-rate")
    use = panel.page.locator(".lab-use-valley")
    use.wait_for()
    panel.state("idle")  # what it suggests moves no more
    use.click()
    rate = str(use.inner_text()).split()[1]
    panel.page.wait_for_function("(rate) => document.querySelector('.lab-lr input').value === rate", arg=rate)
    assert panel.kernel("print(panel.recipe.optimizer.lr)") == str(float(rate))


def test_predictions_are_unfolded_by_key_and_follow_the_run_that_is_chosen(panel: Window) -> None:
    rows = "n => document.querySelectorAll('table.lab-runs tbody tr').length === n"
    for number, epochs in enumerate((1, 3), 1):
        train(panel, epochs=epochs)
        panel.page.wait_for_function(rows, arg=number)
    panel.kernel("panel.wait()")
    pane = panel.page.locator(".lab-predictions")
    pane.locator(".lab-fold").focus()
    panel.page.keyboard.press("Enter")
    pane.get_by_text("Run 2: ").wait_for()
    panel.page.wait_for_function("() => document.querySelectorAll('.lab-predictions .js-plotly-plot').length === 4")
    counted = """() => document.querySelector('.lab-predictions .js-plotly-plot').data[0].text
        .map(row => [...row].reduce((a, b) => a + b)).reduce((a, b) => a + b)"""
    assert panel.page.evaluate(counted) == int(panel.kernel("print(len(lab.predictions(panel.runs[1]).labels))"))
    panel.page.get_by_label("run", exact=True).select_option("1 epochs 1")
    pane.get_by_text("Run 1: ").wait_for()
    assert panel.errors == []


def test_what_a_button_opens_comes_into_view_and_has_the_focus(panel: Window) -> None:
    seen = """(css) => { const pane = document.activeElement;
        return pane.matches(css) && pane.getBoundingClientRect().top < window.innerHeight / 2 }"""
    press(panel, "choose")
    panel.page.wait_for_function(seen, arg=".lab-choose-pane")
    press(panel, "find-rate")
    panel.page.wait_for_function(seen, arg=".lab-finding-pane")
    press(panel, "finding-close")
    panel.page.wait_for_function("() => document.activeElement.matches('.lab-find-rate')")


def test_ticked_options_show_their_settings(panel: Window) -> None:
    for name in ("subset", "random labels"):
        panel.page.get_by_role("checkbox", name=name).check()
    for name in ("flip", "crop"):
        add_augmentation(panel, name)
    for setting in ("per_class", "share", "p", "padding"):
        panel.page.wait_for_selector(f".lab-{setting} input")


def test_the_recipe_can_be_taken_away(panel: Window) -> None:
    panel.recipe(optimizer="adam", **{"optimizer.lr": 0.003})
    for name, piece in {
        "command": "lab run optimizer=adam optimizer.lr=0.003",
        "papermill": "-y",
        "script": "def main():",
    }.items():
        panel.page.get_by_role("button", name=name, exact=True).click()
        panel.page.wait_for_function(f"(piece) => ({TEXT})().includes(piece)", arg=piece)
    press(panel, "copy")
    panel.page.wait_for_function("() => navigator.clipboard.readText().then(t => t.includes('def main():'))")


BUSY = """import time
end = time.monotonic() + 60
while panel.entries[0].job.session.step <= 100 and time.monotonic() < end:
    time.sleep(0.1)
time.sleep(1)
print(panel.entries[0].job.session.step)"""
STEP_SHOWN = """() => Number((document.querySelector('.lab-progress .lab-detail')?.innerText ?? '')
    .match(/step ([0-9,]+)/)?.[1].replaceAll(',', ''))"""


def test_training_goes_on_and_catches_up_while_a_cell_is_busy(panel: Window) -> None:
    train(panel, **LONG)
    panel.state("running")
    step = int(panel.kernel(BUSY))
    assert step > 100
    panel.page.wait_for_function(f"step => ({STEP_SHOWN})() >= step", arg=step)
    panel.kernel("panel.stop()")
    panel.state("stopped")
    assert int(panel.kernel("print(panel.runs[0].step)")) >= step


BELOW_THE_BUTTONS = """() => { const top = name => document.querySelector(name).getBoundingClientRect().y;
  return Math.round(top('.lab-compare-pane input') - top('.lab-compare-add')) }"""


def test_a_comparison_says_what_it_costs_streams_in_and_ends_in_a_verdict(panel: Window) -> None:
    press(panel, "compare")
    panel.page.wait_for_selector(".lab-compare-pane input")
    places = [panel.page.evaluate(BELOW_THE_BUTTONS)]
    for count, changes in enumerate(({"optimizer.lr": 0.001}, {"optimizer": "adam"}), start=1):
        panel.recipe(epochs=3, **changes)
        press(panel, "compare-add")
        panel.page.wait_for_function("n => document.querySelectorAll('.lab-arms button').length === n", arg=count)
        places.append(panel.page.evaluate(BELOW_THE_BUTTONS))
    assert len(set(places)) == 1  # what a person is about to press stays where it is
    panel.kernel("panel.comparing.seeds.value = 3")
    for words in ("42 runs, more if", "one after"):
        panel.page.locator(".lab-compare-pane").get_by_text(words).first.wait_for()
    press(panel, "compare-start")
    panel.page.wait_for_selector(".lab-compare-pane .js-plotly-plot .main-svg")
    panel.page.get_by_text("Finished: ").wait_for(timeout=240_000)
    text = panel.page.locator(".lab-verdicts").inner_text()
    assert "adam is better than sgd by" in text
    assert "Each at its tuned rate" in text
    assert "Cost: search" in text
    assert panel.errors == []


def test_a_comparison_stops_and_goes_on(panel: Window) -> None:
    press(panel, "compare")
    for optimizer in ("sgd", "adam"):
        panel.recipe(optimizer=optimizer, epochs=100)
        press(panel, "compare-add")
    press(panel, "compare-start")
    panel.page.wait_for_selector(".lab-progress .lab-status[data-state=comparing]")
    press(panel, "stop")
    panel.page.get_by_text("Stopped after").wait_for()
    assert not panel.page.locator(".lab-compare-start").is_disabled()
    train(panel, epochs=1)
    panel.state("finished")
