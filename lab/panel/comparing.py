"""The panel's comparison: choose arms, see what it costs, watch the verdict form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from itertools import combinations
from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go

from lab.catalogue import RecipeError
from lab.compare import Comparison, Phase
from lab.comparison_plots import accuracy_by_rate, curves_with_bands, differences, pareto
from lab.panel.about import redraw
from lab.panel.controls import wide
from lab.panel.live_figure import large_figure
from lab.panel.words import comparison_in_html, duration, heading, how_far, message
from lab.panel.worker import Post, Task, in_words, submit
from lab.plans import Plan, arm_names, planned_runs, seconds_per_epoch
from lab.recipe import Recipe

MOST_ARMS = 8
EMPTY = '<div class="lab-detail">Add two to eight arms: recipes that differ in what you want to know.</div>'
BUDGETS = {"equal epochs": "epochs", "equal steps": "steps", "equal FLOPs": "flops", "equal seconds": "seconds"}


def newest(comparison: Comparison) -> go.Figure:
    """The search while it goes on, then the curves of the final runs, then the verdicts."""
    final = comparison.phases[-1]
    if comparison.judged(final):
        return differences(comparison, final)
    trained: list[Phase] = [
        phase for phase in comparison.phases if any(comparison.of(name, phase) for name in comparison.arms)
    ]
    return curves_with_bands(comparison, trained[-1]) if trained else accuracy_by_rate(comparison)


PICTURES: dict[str, Callable[[Comparison], go.Figure]] = {
    "what is newest": newest,
    "differences, tuned": lambda comparison: differences(comparison, comparison.phases[-1]),
    "differences, rates given": lambda comparison: differences(comparison, "given"),
    "accuracy by rate": accuracy_by_rate,
    "curves": lambda comparison: curves_with_bands(comparison, comparison.phases[-1]),
    "accuracy by cost (FLOPs)": lambda comparison: pareto(comparison, comparison.phases[-1], "flops"),
}


class ComparisonJob(Task):
    """A comparison in the worker thread, told by snapshots and what goes wrong."""

    def __init__(self, plan: Plan, post: Post, device: str | None, before: Comparison | None) -> None:
        super().__init__("comparison", post)
        self.plan, self.device, self.before = plan, device, before

    def do(self) -> None:
        self.look_up()
        comparison = Comparison(self.plan, before=self.before, device=self.device)
        comparison.told = lambda *_: self.look_up()
        for _ in comparison:
            judge(still := comparison.snapshot())
            self.post((self.name, still))


def judge(comparison: Comparison) -> None:
    """Work the verdicts out here: a bootstrap would hold up the main loop, which finds them ready."""
    for phase in comparison.phases:
        if comparison.judged(phase):
            comparison.verdicts(phase)
    if comparison.phases[-1] == "tuned" and comparison.judged("tuned"):
        for pair in combinations(comparison.arms, 2):
            comparison.change(*pair)


class Arms:
    """The list of arms: a line each, with a button that takes it off."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.recipes: list[Recipe] = []
        self.listeners = [changed]  # told when the list is another one
        self.widget = widgets.VBox(layout=wide())
        self.widget.add_class("lab-arms")

    @property
    def named(self) -> dict[str, Recipe]:
        return dict(zip(arm_names(self.recipes), self.recipes, strict=True))

    def add(self, recipes: Sequence[Recipe]) -> None:
        """Their seeds do not matter: a comparison has its own. Raises RecipeError when there are too many."""
        unseeded = [recipe.changed(seed=0) for recipe in recipes]
        wanted = list({recipe.id: recipe for recipe in [*self.recipes, *unseeded]}.values())
        if len(wanted) > MOST_ARMS:
            hint = "add recipes one by one, or clear the table and train those that matter"
            raise RecipeError(
                f"These would be {len(wanted)} arms, and a comparison here has at most {MOST_ARMS}: {hint}."
            )
        self.recipes = wanted
        self._show()

    def clear(self) -> None:
        self.recipes.clear()
        self._show()

    def remove(self, recipe: Recipe) -> None:
        self.recipes.remove(recipe)
        self._show()

    def _show(self) -> None:
        old = self.widget.children
        self.widget.children = [self._row(name, recipe) for name, recipe in self.named.items()]
        for row in old:
            for part in row.children:
                part.close()
            row.close()
        for listener in self.listeners:
            listener()

    def _row(self, name: str, recipe: Recipe) -> widgets.Widget:
        button = widgets.Button(icon="times", tooltip=f"Take {name} off", layout=widgets.Layout(width="28px"))
        button.on_click(lambda _: self.remove(recipe))
        return widgets.HBox([button, widgets.HTML(f"<span>{escape(name)}</span>")])


class ComparePane:
    """Arms, settings, cost, and the verdict as it forms.

    Args:
        recipe: gives the recipe that the controls show; shown: those of the runs on the screen.
        post, start: how to reach the pump, and how to have a job worked on.
    """

    def __init__(
        self,
        recipe: Callable[[], Recipe],
        shown: Callable[[], list[Recipe]],
        post: Post,
        start: Callable[[ComparisonJob], None],
        device: str | None,
    ) -> None:
        self._recipe, self._shown, self._post, self._start, self.device = recipe, shown, post, start, device
        self.comparison: Comparison | None = None
        self.dark, self.ended, self.width = False, "", None
        self.job: ComparisonJob | None = None
        self._drawn: tuple[str, int] | None = None
        self._asked: set[str] = set()
        self._seconds: dict[str, float] = {}  # of an epoch, by recipe
        self.arms = Arms(self.refresh)
        self._build()
        self.refresh()

    def _build(self) -> None:
        self.seeds = widgets.BoundedIntText(
            8, min=2, max=1000, description="seeds", layout=_narrow("110px"), style={"description_width": "44px"}
        )
        self.budget = widgets.Dropdown(options=BUDGETS, value="epochs", layout=_narrow("130px"), tooltip="same for all")
        self.tune = _checkbox("tune each arm's learning rate", value=True)
        self.early = _checkbox("stop when the verdict is clear", value=False)
        for control in (self.seeds, self.budget, self.tune, self.early):
            control.observe(lambda _: self.refresh(), "value")
        self.cost, self.problem, self.result = (widgets.HTML(layout=wide()) for _ in range(3))
        self.figure: Any = None  # made when there is something to draw
        self.frame = widgets.VBox(layout=_hidden())
        self.picture = widgets.Dropdown(options=list(PICTURES), layout=_narrow("210px"), tooltip="What is drawn")
        self.picture.layout.display = "none"
        self.picture.add_class("lab-compare-picture")
        self.picture.observe(lambda _: self._draw_again(), "value")
        title = widgets.HTML(heading("Compare fairly"))
        settings = _row([self.seeds, self.budget, self.tune, self.early])
        # What grows stands below what is pressed.
        parts = [title, self._buttons(), settings, self.arms.widget, self.cost, self.problem]
        parts += [self.picture, self.frame, self.result]
        self.widget = widgets.VBox(parts, layout=_hidden())
        self.widget.add_class("lab-compare-pane")

    def _buttons(self) -> widgets.Widget:
        self.go = self._button("Compare", "balance-scale", "Tune and run all arms, then judge", self.start)
        self.go.button_style = "primary"
        add = self._button("Add recipe", "plus", "The recipe that the controls show becomes an arm", self.add_recipe)
        runs = self._button("Add runs", "list", "The recipes of all runs in the table become arms", self.add_runs)
        for button, name in ((self.go, "compare-start"), (add, "compare-add"), (runs, "compare-runs")):
            button.add_class(f"lab-{name}")
        return _row([add, runs, self.go])

    def _button(self, name: str, icon: str, hint: str, action: Callable[[], None]) -> widgets.Button:
        button = widgets.Button(description=name, icon=icon, tooltip=hint, layout=_narrow())
        button.on_click(lambda _: self._guarded(action))
        return button

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            self.problem.value = ""
            action()
        except Exception as error:  # noqa: BLE001  # shown in words, whatever it is
            self.problem.value = message(in_words(error))

    def add_recipe(self) -> None:
        self.arms.add([self._recipe()])

    def add_runs(self) -> None:
        self.arms.add(self._shown())

    @property
    def plan(self) -> Plan:
        """Raises RecipeError when there are too few arms."""
        settings = {"seeds": self.seeds.value, "budget": self.budget.value, "tune": self.tune.value}
        return Plan(arms=self.arms.named, stop_early=self.early.value, **settings)

    @property
    def busy(self) -> bool:
        return self.job is not None and not self.job.done.is_set()

    @property
    def empty(self) -> bool:
        return not self.arms.recipes or self.busy

    def start(self) -> None:
        """Compare; trials that are known from before are not made again."""
        self.job = ComparisonJob(self.plan, self._post, self.device, self.comparison)
        self._start(self.job)
        self.refresh()

    def refresh_button(self) -> None:
        self.go.disabled = len(self.arms.recipes) < 2 or self.busy

    def refresh(self) -> None:
        """Say what the comparison would cost."""
        self.refresh_button()
        if len(self.arms.recipes) < 2:
            self.cost.value = EMPTY
            return
        try:
            runs = planned_runs(self.plan)
        except RecipeError as error:  # arms that are no comparison yet, until one of them is taken off
            self.cost.value = message(str(error))
            return
        text = f"{runs:,} runs, more if the search for an arm's rate has to go on{self._duration(runs)}"
        self.cost.value = f'<div class="lab-detail">{text}</div>'

    def _duration(self, runs: int) -> str:
        recipes = self.arms.recipes
        self._ask_for([recipe for recipe in recipes if recipe.id not in self._asked])
        if not all(recipe.id in self._seconds for recipe in recipes):
            return "; measuring what they take ..."
        taken = duration(runs * self._seconds_of_a_run())
        return f"; about {taken} one after the other, stacked often several times less"

    def _seconds_of_a_run(self) -> float:
        """Mean over the arms, of whom the first says how long; steps are as many as its own."""
        first, recipes = self.arms.recipes[0], self.arms.recipes
        if self.budget.value in ("seconds", "flops"):  # each pays about what the first does
            recipes = [first]
        steps = self.budget.value == "steps"
        each = [self._seconds[recipe.id] * (recipe.batch_size / first.batch_size if steps else 1) for recipe in recipes]
        return first.epochs * sum(each) / len(each)

    def _ask_for(self, recipes: Sequence[Recipe]) -> None:
        if recipes:
            self._asked |= {recipe.id for recipe in recipes}
            submit(lambda: self._measure(recipes))

    def _measure(self, recipes: Sequence[Recipe]) -> None:
        """In the worker thread: a moment of each arm."""
        try:
            seconds = seconds_per_epoch({recipe.id: recipe for recipe in recipes}, rounds=1, device=self.device)
            self._post(("comparison", seconds))
        except Exception as error:  # noqa: BLE001  # shown in words, whatever it is
            self._post(("comparison", error))

    def clear(self) -> None:
        """Take arms and result off the screen; nothing happens while a comparison runs."""
        if self.busy:
            return
        self.comparison, self._drawn = None, None
        self.result.value = self.problem.value = ""
        self.frame.layout.display = "none"
        self.arms.clear()

    def set_theme(self, *, dark: bool) -> None:
        self.dark = dark
        self._drawn = None
        self._draw_again()

    def set_width(self, pixels: int) -> None:
        self.width = pixels
        if self.figure is not None:
            self.figure.layout.width = pixels

    def show(self, *, visible: bool) -> None:
        self.widget.layout.display = None if visible else "none"

    def hear(self, news: Comparison | Exception | dict[str, float] | str) -> None:
        """Only the pump calls this."""
        if isinstance(news, Comparison):
            self.comparison, self.ended = news, ""
            self._draw(news)
        elif isinstance(news, Exception):
            self.problem.value = message(in_words(news))
            self._asked &= set(self._seconds)  # to be measured anew
            if self.job is not None and self.job.done.is_set() and self.comparison is not None:
                self.result.value = how_far(self.comparison, "failed") + comparison_in_html(self.comparison)
        elif isinstance(news, dict):
            self._seconds |= news
            self.refresh()
        else:
            self.ended = news
            self.result.value = how_far(self.comparison, news)
            self._draw_again()

    def _draw_again(self) -> None:
        if self.comparison is not None:
            self._draw(self.comparison)

    def _draw(self, comparison: Comparison) -> None:
        self.result.value = how_far(comparison, self.ended) + comparison_in_html(comparison)
        key = (str(self.picture.value), len(comparison.trials))
        if key == self._drawn or not comparison.trials:
            return
        self._drawn = key
        if self.figure is None:
            self.figure = large_figure()
            self.frame.children = [self.figure]
        self.frame.layout.display = self.picture.layout.display = None
        picture = PICTURES[str(self.picture.value)](comparison)
        redraw(self.figure, picture, dark=self.dark, width=self.width)


def _checkbox(text: str, *, value: bool) -> widgets.Checkbox:
    return widgets.Checkbox(value, description=text, indent=False, layout=_narrow())


def _narrow(width: str = "auto") -> widgets.Layout:
    return widgets.Layout(width=width)


def _hidden() -> widgets.Layout:
    return widgets.Layout(width="100%", display="none")


def _row(children: Sequence[widgets.Widget]) -> widgets.HBox:
    row = widgets.HBox(children, layout=wide())
    row.add_class("lab-toolbar")
    return row
